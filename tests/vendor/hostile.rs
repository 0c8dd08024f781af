//! Remotes that mean harm: nothing of theirs runs, and nothing is written outside of their clone.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use crate::support::api::{Answer, detail_path};
use crate::vendor::world::{REPO, World, id, put, script};

/// What would run, if anything did; it leaves a line in this file.
fn trap(w: &World) -> std::path::PathBuf {
    let log = w.env.root().join("ran");
    script(&w.env.root().join("bin/trap"), &format!("echo \"$0 $*\" >> '{}'\ncat", log.display()));
    log
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[test]
fn sec_10_nothing_of_a_hostile_remote_runs() {
    let w = World::new();
    let log = trap(&w);
    let trap = w.env.root().join("bin/trap");
    let trap = trap.to_str().unwrap();
    // What the user's own configuration would run in their own repositories.
    let (hooks, template) = (w.env.root().join("hooks"), w.env.root().join("template"));
    // Without those that git runs at its host, which has the same configuration here.
    for hook in ["post-checkout", "post-merge", "post-commit", "pre-push", "pre-commit", "post-rewrite"] {
        script(&hooks.join(hook), &format!("echo hook {hook} >> '{}'", log.display()));
        script(&template.join("hooks").join(hook), &format!("echo template {hook} >> '{}'", log.display()));
    }
    let config = w.env.home().join(".gitconfig");
    let more = format!(
        "[core]\n\thooksPath = {hooks}\n\tfsmonitor = {trap}\n[init]\n\ttemplateDir = {template}\n[filter \"x\"]\n\tsmudge = {trap}\n\tclean = {trap}\n\trequired = true\n[diff \"x\"]\n\ttextconv = {trap}\n[merge \"x\"]\n\tdriver = {trap}\n",
        hooks = hooks.display(),
        template = template.display(),
    );
    let before = fs::read_to_string(&config).unwrap();
    let traps = |on: bool| {
        let text = if on { format!("{before}{more}") } else { before.clone() };
        fs::write(&config, text).unwrap();
    };
    for name in ["ledger.git", "seen.git", "told.git"] {
        w.elsewhere(name, &|work| {
            put(work, ".gitattributes", "* filter=x diff=x merge=x\n");
            put(work, "docs/x.md", "x");
            put(work, "sessions/x.md", "x");
            let url = format!("ext::{trap}");
            put(
                work,
                ".gitmodules",
                &format!("[submodule \"s\"]\n\tpath = s\n\turl = {url}\n\tupdate = !{trap}\n"),
            );
            w.env.git(
                work,
                ["update-index", "--add", "--cacheinfo", "160000,1111111111111111111111111111111111111111,s"],
            );
            script(&work.join(".githooks/post-merge"), trap);
        });
    }
    // The traps work.
    traps(true);
    w.env.git(w.env.work(), ["clone", "-q", w.bare("seen.git").to_str().unwrap(), "own-clone"]);
    assert!(fs::read_to_string(&log).unwrap().contains("post-checkout"));
    traps(false);
    fs::remove_file(&log).unwrap();
    traps(true);
    w.all_well();
    w.start();
    w.until_all_level();
    // Hooks and a monitor that got into a clone do not run either.
    for clone in [w.ledger(), w.team("seen")] {
        for hook in ["post-checkout", "post-merge", "pre-push", "reference-transaction", "post-rewrite"] {
            script(
                &clone.join(".git/hooks").join(hook),
                &format!("echo clone {hook} >> '{}'", log.display()),
            );
        }
        let config = clone.join(".git/config");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(config, format!("{text}[core]\n\tfsmonitor = {trap}\n")).unwrap();
    }
    // A pull over a change of ours, a rebase and a push.
    traps(false);
    for name in ["ledger.git", "seen.git"] {
        w.elsewhere(name, &|work| put(work, "docs/y.md", "y"));
    }
    traps(true);
    for clone in [w.ledger(), w.team("seen")] {
        put(&clone, "docs/z.md", "z");
        let plain = [
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "filter.x.clean=cat",
            "-c",
            "filter.x.smudge=cat",
        ];
        w.env.git(&clone, plain.iter().chain(&["add", "--sparse", "docs/z.md"]));
        w.env.git(&clone, plain.iter().chain(&["commit", "-qm", "z"]));
        put(&clone, "docs/x.md", "changed");
    }
    let _ = fs::remove_file(&log);
    w.env.ox_in(&w.repo, ["sync"]).ok();
    w.env.ox_in(&w.repo, ["sync", "--all-teams"]).ok();
    assert!(w.listed("ledger.git").contains("docs/z.md") && w.listed("seen.git").contains("docs/z.md"));
    assert_eq!(fs::read_to_string(&log).unwrap_or_default(), "");
    assert!(!w.ledger().join("s/.git").exists());
}

#[test]
fn sec_10_links_and_large_files_of_a_remote_lead_nowhere() {
    let w = World::new();
    let outside = w.env.root().join("outside");
    fs::create_dir(&outside).unwrap();
    w.elsewhere("told.git", &|work| {
        fs::remove_dir_all(work.join(".sageox")).unwrap();
        symlink(&outside, work.join(".sageox")).unwrap();
        symlink(&outside, work.join("agents")).unwrap();
    });
    w.elsewhere("ledger.git", &|work| {
        fs::remove_dir_all(work.join(".sageox")).unwrap();
        symlink(&outside, work.join(".sageox")).unwrap();
        fs::remove_dir_all(work.join("sessions")).unwrap();
        symlink(&outside, work.join("sessions")).unwrap();
    });
    let line = format!("include {}\n", "d".repeat(1000));
    w.elsewhere("seen.git", &|work| {
        put(work, ".sageox/sync.manifest", &format!("version 1\n{}", line.repeat(10_000)))
    });
    w.all_well();
    w.start();
    w.until_all_level();
    for name in ["ledger.git", "told.git"] {
        w.elsewhere(name, &|work| put(work, "docs/later.md", "x"));
    }
    w.env.ox_in(&w.repo, ["sync"]).ok();
    w.env.ox_in(&w.repo, ["sync", "--all-teams"]).ok();
    w.env.ox_in(&w.repo, ["doctor"]);
    assert_eq!(entries(&outside), 0);
    // A manifest that cannot be used is as none.
    assert!(w.team("seen").join("SOUL.md").exists());
    assert!(w.ledger().join("docs/later.md").exists());
}

#[test]
fn sec_10_addresses_that_run_something_or_lead_elsewhere_are_refused() {
    let w = World::new();
    let log = trap(&w);
    let trap = w.env.root().join("bin/trap");
    w.gives(&w.pat, &["own"]);
    let bad = [
        format!("ext::{}", trap.display()),
        format!("--upload-pack={}", trap.display()),
        format!("file://{}", w.bare("told.git").display()),
        "https://evil.example/l.git".to_string(),
        "http://oauth2:x@evil.example/l.git".to_string(),
        "ssh://-oProxyCommand=x/l.git".to_string(),
    ];
    let teams: Vec<_> = bad
        .iter()
        .enumerate()
        .map(|(n, url)| json!({ "team_id": id(&format!("bad{n}")), "repo_url": url }))
        .collect();
    for url in &bad {
        w.forget();
        let ledger = json!({ "status": "ready", "repo_url": url });
        w.api.answer(&detail_path(REPO), Answer::json(json!({ "ledger": ledger, "team_contexts": teams })));
        let before = w.api.requests().len();
        w.start();
        w.until("the server was asked", || w.api.requests().len() >= before + 2);
        assert_ne!(w.env.ox_in(&w.repo, ["sync"]).code, Some(0));
        assert!(!w.ledger().exists(), "{url}");
    }
    let ledger = json!({ "status": "pending" });
    w.forget();
    w.api.answer(&detail_path(REPO), Answer::json(json!({ "ledger": ledger, "team_contexts": teams })));
    w.start();
    w.until("they are known", || !w.clone_of("team_bad0").is_null());
    assert_ne!(w.env.ox_in(&w.repo, ["sync", "--all-teams"]).code, Some(0));
    for (n, url) in bad.iter().enumerate() {
        assert!(!w.team(&format!("bad{n}")).exists(), "{url}");
    }
    assert_eq!(fs::read_to_string(&log).unwrap_or_default(), "");
    assert!(!w.git_calls().contains("evil.example"));
}
