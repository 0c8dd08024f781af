//! Which servers are asked, and for which ledgers.

use std::collections::BTreeSet;
use std::time::Duration;

use ox::daemon::parts::{accounts, projects};
use ox::daemon::{Effect, Id};
use ox::sync::{CloudView, Loaded};

use super::bench::Bench;

const ONE: &str = "https://one.example";
const TWO: &str = "https://two.example";

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// What the files of a project of that server say.
fn from(endpoint: &str) -> Loaded {
    let cloud = Some(CloudView { login: Some("me".into()), ..CloudView::default() });
    Loaded { slug: endpoint[8..].into(), endpoint: Some(endpoint.into()), cloud, ..Loaded::default() }
}

/// Who is asked in ten minutes, soon after a change, and about which ledger; none where credentials are asked for.
fn asked(bench: &mut Bench) -> BTreeSet<(String, Option<String>)> {
    // Files that were being read when they changed are read again.
    bench.pass(secs(60));
    bench.wanted.clear();
    bench.pass(secs(600));
    let asked = bench.wanted.iter().filter_map(|(_, e)| match e {
        Effect::Accounts(accounts::Effect::AskLedger { endpoint, repo_id }) => {
            Some((endpoint.clone(), Some(repo_id.clone())))
        }
        Effect::Accounts(accounts::Effect::AskRepos { endpoint }) => Some((endpoint.clone(), None)),
        _ => None,
    });
    asked.collect()
}

fn all(expected: &[(&str, Option<&str>)]) -> BTreeSet<(String, Option<String>)> {
    expected.iter().map(|(endpoint, repo)| ((*endpoint).to_string(), repo.map(str::to_string))).collect()
}

#[test]
fn only_servers_and_ledgers_that_a_served_project_needs_are_asked_for() {
    let mut bench = Bench::new();
    bench.interval = secs(36_000);
    bench.loaded = Some(from(ONE));
    bench.attach("a", &[]);
    bench.attach("b", &[]);
    assert_eq!(asked(&mut bench), all(&[(ONE, None), (ONE, Some("repo_a")), (ONE, Some("repo_b"))]));
    bench.event(projects::Event::Checked(vec![(Id::from("a"), projects::Finding::Gone)]));
    assert_eq!(asked(&mut bench), all(&[(ONE, None), (ONE, Some("repo_b"))]));
    // Its files name another server now, which is asked at once.
    bench.loaded = Some(from(TWO));
    bench.event(projects::Event::Loaded(vec![(Id::from("b"), Some(Box::new(from(TWO))))]));
    assert_eq!(asked(&mut bench), all(&[(TWO, None), (TWO, Some("repo_b"))]));
    // And none.
    bench.loaded = Some(Loaded::default());
    bench.event(projects::Event::Loaded(vec![(Id::from("b"), Some(Box::default()))]));
    assert_eq!(asked(&mut bench), all(&[]));
}
