//! What `ox net` shows.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use super::tracer::receipts;
use crate::support::TestEnv;
use crate::support::http_git::GitServer;

/// A project whose ledger is reached over a network.
struct Scene {
    env: TestEnv,
    repo: PathBuf,
    server: GitServer,
}

impl Scene {
    fn new() -> Scene {
        let env = TestEnv::new();
        let repo = env.repo("p");
        let served = env.work().join("served");
        fs::create_dir(&served).unwrap();
        env.git(&served, ["init", "-q", "--bare", "-b", "main", "ledger.git"]);
        let server = GitServer::start(&env, &served);
        env.ox_in(&repo, ["up", "--yes", "--ledger", &server.url("ledger.git")]).ok();
        Scene { env, repo, server }
    }
}

#[test]
fn whom_it_can_contact_and_whom_it_has_with_what_changes_it() {
    let scene = Scene::new();
    let (env, repo) = (&scene.env, &scene.repo);
    let host = scene.server.address().to_string();
    let net = env.ox_in(repo, ["net"]).ok();
    assert!(net.stdout.starts_with(&format!("contacts 1 host: {host}\n\nWHAT ")), "{net:?}");
    let line = |start: &str| net.stdout.lines().find(|l| l.starts_with(start)).unwrap_or_default();
    assert!(line("ledger").contains(&format!("{host}  on ")), "{net:?}");
    assert!(line("ledger").ends_with("ox ledger set-remote"), "{net:?}");
    assert!(net.stdout.contains("CONTACTED ") && net.stdout.contains(" clone "), "{net:?}");
    assert!(!net.stdout.contains("relay.url"), "what is not configured is not in the way");
    assert!(env.ox_in(repo, ["net", "-v"]).ok().stdout.contains("relay.enabled, relay.url"));

    let shown = env.ox_in(repo, ["net", "--json"]).ok().json();
    assert_eq!(shown["contacts_nobody"], false);
    let ways = shown["can_contact"].as_array().unwrap();
    let way = |what: &str| ways.iter().find(|way| way["what"] == what).unwrap();
    assert_eq!((&way("ledger")["to"], &way("ledger")["on"]), (&host.clone().into(), &true.into()));
    assert_eq!((&way("relay")["to"], &way("relay")["on"]), (&"".into(), &false.into()));
    let done = shown["contacted"].as_array().unwrap();
    let sum: u64 = done.iter().map(|one| one["contacts"].as_u64().unwrap()).sum();
    assert_eq!(sum, receipts(env).len() as u64);
    assert!(shown["receipts_since"].is_string());

    // Nothing of before counts.
    let later = env.ox_in(repo, ["net", "--since", "2100-01-01", "--json"]).ok().json();
    assert_eq!(later["contacted"].as_array().map(Vec::len), Some(0));
    let later = env.ox_in(repo, ["net", "--since", "2100-01-01"]).ok();
    assert!(later.stdout.ends_with("\nnobody was contacted since then\n"), "{later:?}");
    let one = env.ox_in(repo, ["net", "list", "--limit", "1"]).ok();
    assert_eq!(one.stdout.lines().count(), 2, "{one:?}");
}

#[test]
fn receipts_are_for_their_owner_alone_and_a_contact_goes_well_without_them() {
    let scene = Scene::new();
    let (env, repo) = (&scene.env, &scene.repo);
    let file = env.data().join("sageox/net/receipts.jsonl");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    // Gone with its directory: the next contact makes it anew.
    fs::remove_dir_all(file.parent().unwrap()).unwrap();
    env.ox_in(repo, ["sync"]).ok();
    assert!(!receipts(env).is_empty());
    // Nothing can be kept: nobody fails.
    fs::remove_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file.parent().unwrap(), "in the way").unwrap();
    fs::set_permissions(file.parent().unwrap(), fs::Permissions::from_mode(0o400)).unwrap();
    env.ox_in(repo, ["sync"]).ok();
    let told = env.ox_in(repo, ["net"]);
    assert!(matches!(told.code, Some(0 | 1)), "{told:?}");
}
