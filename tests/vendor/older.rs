//! Clones that an older program made, with the password in their files.

use std::fs;

use crate::vendor::canary::files_with;
use crate::vendor::world::{World, put};

#[test]
fn syn_09_a_clone_of_an_older_program_loses_its_token_and_goes_on() {
    let w = World::new();
    w.gives(&w.pat, &["own"]);
    w.names("ready", "member", &[]);
    // As it cloned, fetched and noted.
    let ledger = w.ledger();
    fs::create_dir_all(ledger.parent().unwrap()).unwrap();
    let with_token = w.git.url("ledger.git").replace("http://", &format!("http://oauth2:{}@", w.pat));
    w.env
        .git(w.env.work(), ["clone", "-q", w.bare("ledger.git").to_str().unwrap(), ledger.to_str().unwrap()]);
    let config = ledger.join(".git/config");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace(w.bare("ledger.git").to_str().unwrap(), &with_token);
    let header = crate::support::http_git::base64(format!("oauth2:{}", w.pat).as_bytes());
    let more = format!(
        "[remote \"origin\"]\n\tpushurl = {with_token}\n[url \"{with_token}\"]\n\tinsteadOf = x:\n[http]\n\textraHeader = Authorization: Basic {header}\n"
    );
    fs::write(&config, format!("{text}{more}")).unwrap();
    let head = w.env.git(&ledger, ["rev-parse", "HEAD"]);
    fs::write(ledger.join(".git/FETCH_HEAD"), format!("{head}\t\tbranch 'main' of {with_token}\n")).unwrap();
    for log in ["HEAD", "refs/heads/main", "refs/remotes/origin/HEAD"] {
        let line = format!("{head} {head} T <t@e> 1700000000 +0000\tpull {with_token} main: Fast-forward\n");
        let path = ledger.join(".git/logs").join(log);
        fs::write(&path, fs::read_to_string(&path).unwrap_or_default() + &line).unwrap();
    }
    assert!(files_with(&ledger, std::slice::from_ref(&w.pat)).len() >= 4);
    w.elsewhere("ledger.git", &|work| put(work, "sessions/new.md", "new"));
    w.start();
    w.until_level("ledger");
    w.until("it has gone on", || ledger.join("sessions/new.md").exists());
    assert_eq!(files_with(&ledger, &[w.pat.clone(), header]), Vec::<String>::new());
    assert_eq!(w.env.git(&ledger, ["config", "remote.origin.url"]), w.git.url("ledger.git"));
    w.commit(&ledger, "sessions/ours.md", "ours");
    w.env.ox_in(&w.repo, ["sync"]).ok();
    assert!(w.listed("ledger.git").contains("sessions/ours.md"));
    // Git run by hand there asks our helper.
    w.env.git(&ledger, ["fetch", "-q", "origin"]);
    assert_eq!(files_with(&ledger, std::slice::from_ref(&w.pat)), Vec::<String>::new());
}
