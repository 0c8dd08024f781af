//! Where a repository may lie, in what form, and what is said of one that cannot be read.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use crate::support::http_git::GitServer;
use crate::support::{TestEnv, until_or};

/// `ox up` in `start` sets up the work tree `root`, and every later command there and below finds it.
#[track_caller]
fn check_up(env: &TestEnv, start: &Path, root: &Path) {
    let up = env.ox_in(start, ["up"]).ok();
    assert!(up.stdout.contains("is up"), "{up:?}");
    assert!(root.join(".sageox/config.json").is_file(), "{up:?}");
    let status = env.ox_in(start, ["status", "--json"]).ok().json();
    assert_eq!(status["project"]["directory"].as_str(), root.to_str(), "{status}");
}

#[test]
fn a_work_tree_is_where_git_says_it_is() {
    let env = TestEnv::new();
    let at = |name: &str| env.work().join(name);
    let git = |args: &[&str]| env.git(env.work(), args);
    fs::create_dir(at("gits")).unwrap();
    git(&["init", "-q", "--separate-git-dir", "gits/app.git", "app"]);
    git(&["init", "-q", "plain"]);
    git(&["init", "-q", "linked-main"]);
    fs::create_dir_all(at("plain/a/b")).unwrap();
    env.git(at("linked-main"), ["commit", "-q", "--allow-empty", "-m", "1"]);
    env.git(at("linked-main"), ["worktree", "add", "-q", at("linked").to_str().unwrap()]);
    git(&["init", "-q", "moved"]);
    fs::rename(at("moved/.git"), at("gits/moved")).unwrap();
    symlink(at("gits/moved"), at("moved/.git")).unwrap();
    for (start, root) in [("app", "app"), ("plain/a/b", "plain"), ("linked", "linked"), ("moved", "moved")] {
        check_up(&env, &at(start), &at(root));
    }
    assert!(!at("gits/.sageox").exists() && !at(".sageox").exists());
    assert!(!at("linked-main/.sageox").exists());
    env.stop_daemon();
}

/// People read `~` for the home directory wherever a path is told; programs, and what is to be pasted, get it whole.
#[test]
fn ux_72_the_home_directory_is_a_tilde_on_every_page_and_whole_in_json() {
    let env = TestEnv::new();
    let home = env.home();
    let remote = env.bare("ledger").display().to_string();
    fs::rename(env.bare("ops"), home.join("ops.git")).unwrap();
    let repo = home.join("p");
    env.git(env.work(), ["init", "-q", repo.to_str().unwrap()]);
    env.git(&repo, ["commit", "-q", "--allow-empty", "-m", "1"]);
    let ops = format!("ops={}", home.join("ops.git").display());
    let nowhere = format!("x={}", home.join("nowhere.git").display());
    let check = |args: &[&str]| {
        let ran = env.ox_in(&repo, args);
        let sentences: Vec<&str> = [&ran.stdout, &ran.stderr]
            .into_iter()
            .flat_map(|text| text.lines())
            .filter(|line| !["hint: ", "next: "].iter().any(|mark| line.trim_start().starts_with(mark)))
            .collect();
        let whole = sentences.iter().find(|line| line.contains(home.to_str().unwrap()));
        assert!(whole.is_none(), "{args:?}: {whole:?}");
        sentences.iter().any(|line| line.contains("~/"))
    };
    assert!(check(&["up"]));
    assert!(check(&["team", "add", &ops]) && check(&["team", "add", &nowhere]));
    assert!(check(&["doctor", "-v"]) && check(&["status"]) && check(&["config", "list", "--origin"]));
    assert!(check(&["config", "get", "endpoint", "--origin"]));
    assert!(check(&["docs", "man", home.join("man").to_str().unwrap()]));
    check(&["ledger", "set-remote", &remote]);
    let json = env.ox_in(&repo, ["doctor", "--json"]).stdout;
    assert!(json.contains(home.to_str().unwrap()) && !json.contains("~/"), "{json}");
    fs::write(repo.join(".sageox/config.json"), "{").unwrap();
    assert!(check(&["doctor"]) && check(&["sync"]) && check(&["status"]));
    let failed = env.ox_in(&repo, ["sync", "--json"]).stdout;
    assert!(failed.contains(home.to_str().unwrap()), "{failed}");
    env.stop_daemon();
}

/// What the library cannot read git reads; the watcher says why it does not watch, and what helps.
#[test]
fn a_repository_in_a_form_of_its_own_is_set_up_and_says_why_it_is_not_watched() {
    let env = TestEnv::new();
    let forms: [(&str, &[&str], &str); 3] = [
        ("reftable", &["init", "-q", "--ref-format=reftable"], "git refs migrate --ref-format=files"),
        ("sha256", &["init", "-q", "--object-format=sha256"], "SHA-256"),
        ("split", &["init", "-q"], "git update-index --no-split-index"),
    ];
    for (name, init, said) in forms {
        let root = env.work().join(name);
        let args: Vec<&str> = init.iter().copied().chain([name]).collect();
        if env.try_git(env.work(), &args).code != Some(0) {
            println!("skipped: this git has no {name}");
            continue;
        }
        fs::write(root.join("a"), "1\n").unwrap();
        env.git(&root, ["add", "a"]);
        env.git(&root, ["commit", "-q", "-m", "1"]);
        if name == "split" {
            env.git(&root, ["update-index", "--split-index"]);
        }
        check_up(&env, &root, &root);
        env.ox_in(&root, ["agent", "prime"]).ok();
        let status = || env.ox_in(&root, ["daemon", "status", "-v"]).stdout;
        until_or(|| status().contains(said), || format!("{name}: {}", status()));
        let status = env.ox_in(&root, ["status"]).ok().stdout;
        assert!(status.contains("not told to the team") && status.contains("attention"), "{name}: {status}");
        let doctor = env.ox_in(&root, ["doctor"]).stdout;
        assert!(doctor.contains(said), "{name}: {doctor}");
    }
    env.stop_daemon();
}

#[test]
fn a_repository_that_git_refuses_is_never_called_absent() {
    let env = TestEnv::new();
    let root = env.repo("r");
    let config = fs::read(root.join(".git/config")).unwrap();
    fs::write(root.join(".git/config"), "[core\nbroken").unwrap();
    let failed = env.ox_in(&root, ["up"]).fails(2);
    assert!(failed.stderr.contains("git does not read this repository"), "{failed:?}");
    assert!(failed.stderr.contains("bad config"), "{failed:?}");
    fs::write(root.join(".git/config"), config).unwrap();

    let bare = env.bare("b.git");
    let failed = env.ox_in(&bare, ["up"]).fails(2);
    assert!(failed.stderr.contains("bare repository") && failed.stderr.contains("git clone"), "{failed:?}");

    let failed = env.ox_in(env.work(), ["up"]).fails(2);
    assert!(failed.stderr.contains("not in a git repository"), "{failed:?}");
    let failed = env.ox_in(&root, ["sync"]).fails(2);
    assert!(failed.stderr.contains("does not use ox yet") && failed.stderr.contains("ox up"), "{failed:?}");
}

/// Whose repository may be worked in git decides, by `safe.directory`, in all its forms; and its remedy is printed.
#[test]
fn a_repository_of_another_owner_is_taken_as_git_takes_it() {
    let env = TestEnv::new();
    let root = env.repo("r");
    let owned = fs::set_permissions(&root, fs::Permissions::from_mode(0o755))
        .and_then(|()| chown(&root, Some(12345), None))
        .and_then(|()| chown(root.join(".git"), Some(12345), None));
    if owned.is_err() {
        println!("skipped: only root gives files away");
        return;
    }
    let failed = env.ox_in(&root, ["up"]).fails(2);
    assert!(failed.stderr.contains("dubious ownership"), "{failed:?}");
    let remedy = failed.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap().to_owned();
    assert!(remedy.starts_with("git config --global --add safe.directory "), "{failed:?}");
    let words: Vec<&str> = remedy.split_whitespace().skip(1).collect();
    env.git(env.work(), &words);
    check_up(&env, &root, &root);
    env.stop_daemon();
}

/// A variable that nothing can be made of is told, and the command goes on without it.
#[test]
fn a_variable_that_means_nothing_is_warned_of() {
    let mut env = TestEnv::new();
    let (one, two) = (env.repo("one"), env.repo("two"));
    env.ox_in(&one, ["up"]).ok();
    env.ox_in(&two, ["up"]).ok();
    let status = |env: &TestEnv| env.ox_in(&one, ["status"]).ok();
    env.set("OX_PROJECT_ROOT", &two);
    env.set("OX_LOG", "debug");
    let named = status(&env);
    assert!(named.stdout.contains(two.to_str().unwrap()) && named.stderr.is_empty(), "{named:?}");
    env.set("OX_PROJECT_ROOT", "/nonexistent");
    env.set("OX_LOG", "loud");
    let warned = status(&env);
    assert!(warned.stdout.contains(one.to_str().unwrap()), "{warned:?}");
    for text in ["OX_PROJECT_ROOT names no project", "/nonexistent", "OX_LOG must be error", "loud"] {
        assert!(warned.stderr.contains(text), "{text}: {warned:?}");
    }
    env.unset("OX_PROJECT_ROOT");
    env.unset("OX_LOG");
    env.stop_daemon();
}

/// Where a directory of ours belongs to another user (`sudo` that keeps HOME, a shared data directory), no command writes anything there.
#[test]
fn what_belongs_to_another_user_is_left_as_it_is() {
    for foreign in [&["."][..], &["data"], &["config", "config/sageox"], &["run"]] {
        let mut env = TestEnv::new();
        let repo = env.repo("r");
        let home = env.work().join("theirs");
        fs::create_dir(&home).unwrap();
        for dir in foreign.iter().filter(|dir| **dir != ".") {
            fs::create_dir_all(home.join(dir)).unwrap();
        }
        for (name, dir) in [("DATA_HOME", "data"), ("CONFIG_HOME", "config"), ("RUNTIME_DIR", "run")] {
            env.set(format!("XDG_{name}"), home.join(dir));
        }
        env.set("HOME", &home);
        let all = |dir: &Path| env.git(dir, ["ls-files", "--others", "--directory"]);
        let given = |dir: &&str| chown(home.join(dir), Some(12345), Some(12345));
        if let Err(e) = foreign.iter().try_for_each(given) {
            println!("skipped: only root gives files away: {e}");
            return;
        }
        let before = census(&home);
        let commands: [&[&str]; 6] = [
            &["up"],
            &["murmur", "--topic", "t", "as root"],
            &["sync"],
            &["daemon", "start"],
            &["config", "set", "murmur_send", "manual"],
            &["agent", "prime"],
        ];
        for args in commands {
            let ran = env.ox_in(&repo, args);
            assert_ne!(ran.code, Some(0), "{foreign:?}: {ran:?}");
            assert!(ran.stderr.contains("user 12345, without sudo"), "{foreign:?}: {ran:?}");
        }
        assert_eq!(census(&home), before, "{foreign:?}");
        assert_eq!(all(&repo), "", "{foreign:?}");
    }
}

/// Every path below `dir` with its owner.
fn census(dir: &Path) -> Vec<(std::path::PathBuf, u32)> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let meta = fs::symlink_metadata(entry.path()).unwrap();
            if meta.is_dir() {
                todo.push(entry.path());
            }
            found.push((entry.path(), meta.uid()));
        }
    }
    found.sort();
    found
}

/// A hook, `git rebase --exec` or an alias tells its children of one repository; that need not be the one of the current directory.
#[test]
fn variables_that_name_another_repository_reach_no_child() {
    let mut env = TestEnv::new();
    let (root, other) = (env.repo("r"), env.repo("other"));
    let before = env.git(&other, ["rev-parse", "HEAD"]);
    let names = [
        ("GIT_DIR", ".git"),
        ("GIT_WORK_TREE", ""),
        ("GIT_INDEX_FILE", ".git/index"),
        ("GIT_OBJECT_DIRECTORY", ".git/objects"),
        ("GIT_COMMON_DIR", ".git"),
    ];
    for (name, below) in names {
        env.set(name, other.join(below));
    }
    env.ox_in(&root, ["init", "--commit"]).ok();
    env.ox_in(&root, ["up"]).ok();
    env.ox_in(&root, ["sync"]).ok();
    names.iter().for_each(|(name, _)| env.unset(name));
    assert_eq!(env.git(&other, ["rev-parse", "HEAD"]), before);
    assert_eq!(env.git(&other, ["status", "--porcelain"]), "");
    assert_eq!(env.git(&root, ["log", "-1", "--format=%s"]), "Add ox project files");
    assert_eq!(env.git(&root, ["fsck", "--no-dangling"]), "");
    env.stop_daemon();
}

/// The default branch of a ledger or a team is renamed at its host, as hosts offer it: every clone follows, and nothing is lost.
#[test]
fn a_branch_renamed_at_the_host_is_followed() {
    for over_http in [false, true] {
        let env = TestEnv::new();
        let served = env.work().join("srv");
        fs::create_dir(&served).unwrap();
        for name in ["ledger", "team"] {
            let bare = served.join(format!("{name}.git"));
            env.git(&served, ["init", "-q", "--bare", "-b", "master", bare.to_str().unwrap()]);
            env.git(env.work(), ["clone", "-q", bare.to_str().unwrap(), name]);
            let work = env.work().join(name);
            fs::write(work.join("a"), "1\n").unwrap();
            env.git(&work, ["add", "a"]);
            env.git(&work, ["commit", "-q", "-m", "1"]);
            env.git(&work, ["push", "-q", "origin", "HEAD:master"]);
        }
        let server = GitServer::start(&env, &served);
        let url = |name: &str| match over_http {
            true => server.url(&format!("{name}.git")),
            false => served.join(format!("{name}.git")).to_str().unwrap().to_owned(),
        };
        let repo = env.repo("r");
        let team = format!("plat={}", url("team"));
        env.ox_in(&repo, ["init", "--yes", "--ledger", &url("ledger"), "--team", &team]).ok();
        env.ox_in(&repo, ["up", "--yes"]).ok();
        env.ox_in(&repo, ["sync", "--all-teams"]).ok();
        for name in ["ledger", "team"] {
            let bare = served.join(format!("{name}.git"));
            env.git(&bare, ["branch", "-m", "master", "trunk"]);
            env.git(&bare, ["symbolic-ref", "HEAD", "refs/heads/trunk"]);
        }
        let ledger = env.ox_in(&repo, ["status", "--json"]).ok().json()["ledger"]["path"].clone();
        let ledger = Path::new(ledger.as_str().unwrap());
        fs::write(ledger.join("own"), "own\n").unwrap();
        env.git(ledger, ["add", "own"]);
        env.git(ledger, ["commit", "-q", "-m", "own"]);
        env.ox_in(&repo, ["sync"]).ok();
        env.ox_in(&repo, ["sync", "--all-teams"]).ok();
        assert_eq!(env.git(ledger, ["symbolic-ref", "HEAD"]), "refs/heads/trunk");
        assert_eq!(env.git(served.join("ledger.git"), ["show", "trunk:own"]), "own");
        assert_eq!(
            env.git(served.join("ledger.git"), ["for-each-ref", "--format=%(refname)"]),
            "refs/heads/trunk"
        );
        env.git(ledger, ["fetch", "-q"]);
        env.git(ledger, ["status", "--porcelain"]);
        let status = env.ox_in(&repo, ["status"]).ok().stdout;
        assert!(!status.contains("no branch") && !status.contains("diverged"), "{status}");
        env.stop_daemon();
    }
}

/// The daemon knows a project by one of its directories. When that is removed or renamed, whoever works in another one, or in the renamed,
/// goes on at once; while it is there it stays.
#[test]
fn a_project_whose_directory_went_is_served_from_where_somebody_works() {
    let env = TestEnv::new();
    let repo = env.repo("r");
    env.ox_in(&repo, ["init", "--commit"]).ok();
    let at = |name: &str| env.work().join(name);
    for name in ["one", "two"] {
        env.git(&repo, ["worktree", "add", "-q", at(name).to_str().unwrap()]);
        env.ox_in(at(name), ["up"]).ok();
    }
    let served = || env.ox(["daemon", "list", "--json"]).ok().stdout;
    assert!(served().contains(at("one").to_str().unwrap()));
    // Still there: it stays.
    env.ox_in(at("two"), ["sync"]).ok();
    assert!(served().contains(at("one").to_str().unwrap()));
    env.git(&repo, ["worktree", "remove", "--force", at("one").to_str().unwrap()]);
    env.ox_in(at("two"), ["sync"]).ok();
    env.ox_in(at("two"), ["up"]).ok();
    assert!(served().contains(at("two").to_str().unwrap()), "{}", served());
    env.ox_in(at("two"), ["daemon", "stop"]).ok();

    let plain = env.repo("before");
    env.ox_in(&plain, ["up"]).ok();
    fs::rename(&plain, at("after")).unwrap();
    env.ox_in(at("after"), ["sync"]).ok();
    env.ox_in(at("after"), ["murmur", "--topic", "t", "still here"]).ok();
    assert!(served().contains(at("after").to_str().unwrap()), "{}", served());
    env.stop_daemon();
}

/// The daemon was started in a login session; `cron`, `su` or a container asks about it with other directories for sockets.
#[test]
fn a_daemon_is_found_whatever_the_runtime_directory() {
    let mut env = TestEnv::new();
    let repo = env.repo("r");
    env.ox_in(&repo, ["up"]).ok();
    let tmp = env.work().join("tmp");
    fs::create_dir(&tmp).unwrap();
    let before = env.runtime();
    for (runtime, temporary) in [(None, Some(&tmp)), (Some(&tmp), None)] {
        match runtime {
            Some(dir) => env.set("XDG_RUNTIME_DIR", dir),
            None => env.unset("XDG_RUNTIME_DIR"),
        }
        if let Some(dir) = temporary {
            env.set("TMPDIR", dir);
        }
        let status = env.ox_in(&repo, ["status"]).ok().stdout;
        assert!(status.contains("Healthy"), "{status}");
        env.ox_in(&repo, ["sync"]).ok();
        let told = env.ox_in(&repo, ["murmur", "--topic", "t", "hello"]).ok();
        assert!(!told.stderr.contains("no daemon"), "{told:?}");
        env.ox_in(&repo, ["daemon", "errors"]).ok();
    }
    env.ox_in(&repo, ["daemon", "stop"]).ok();
    env.set("XDG_RUNTIME_DIR", before);
    assert!(!env.ox(["daemon", "list"]).stdout.contains(repo.to_str().unwrap()));
    env.stop_daemon();
}

/// `git clean -fdx`, a branch from before, a second work tree of such: the project is the one it was, with its ledger, and that is said.
#[test]
fn a_repository_that_lost_its_files_has_its_ledger_again() {
    let env = TestEnv::new();
    let repo = env.repo("r");
    env.git(&repo, ["branch", "old"]);
    env.ox_in(&repo, ["up"]).ok();
    let path = |root: &Path| {
        let status = env.ox_in(root, ["status", "--json"]).ok().json();
        status["ledger"]["path"].as_str().unwrap().to_owned()
    };
    let ledger = path(&repo);
    env.git(&repo, ["clean", "-fdxq"]);
    let up = env.ox_in(&repo, ["up"]).ok();
    assert!(up.stderr.contains("it has its ledger again"), "{up:?}");
    assert_eq!(path(&repo), ledger);
    let status = env.ox_in(&repo, ["status"]).ok().stdout;
    assert!(status.contains("Healthy"), "{status}");
    env.git(&repo, ["add", ".sageox"]);
    env.git(&repo, ["commit", "-q", "-m", "ox"]);
    let old = env.work().join("old");
    env.git(&repo, ["worktree", "add", "-q", old.to_str().unwrap(), "old"]);
    env.ox_in(&old, ["up"]).ok();
    assert_eq!(path(&old), ledger);
    // Another one, asked for by name, is another one.
    env.git(&repo, ["checkout", "-q", "--detach", "HEAD~1"]);
    env.git(&repo, ["clean", "-fdxq"]);
    let bare = env.bare("other.git");
    let up = env.ox_in(&repo, ["up", "--yes", "--ledger", bare.to_str().unwrap()]).ok();
    assert!(!up.stderr.contains("again"), "{up:?}");
    assert_ne!(path(&repo), ledger);
    env.stop_daemon();
}

/// Two projects asked for from two logins, each with the ssh agent that opens its own remote: what the daemon does by itself in one is done
/// with that one's, whoever asked last.
#[test]
fn each_project_is_synced_as_its_own_newest_caller_reaches_it() {
    let mut env = TestEnv::new();
    let ssh = env.work().join("ssh");
    let script = "#!/bin/sh\ncase \"$*\" in *$SSH_AUTH_SOCK.example*) ;; *) echo 'Permission denied (publickey).' >&2; exit 255;; esac\n\
                  for last; do :; done\neval \"$last\"\n";
    fs::write(&ssh, script).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    env.set("GIT_SSH_COMMAND", &ssh);
    env.set("GIT_SSH_VARIANT", "ssh");
    let projects = ["one", "two"].map(|name| {
        let (repo, bare) = (env.repo(name), env.bare(&format!("{name}.git")));
        env.set("SSH_AUTH_SOCK", name);
        env.ox_in(&repo, ["up", "--yes", "--ledger", &format!("ssh://me@{name}.example{}", bare.display())])
            .ok();
        (repo, bare)
    });
    for (repo, bare) in projects {
        let ledger = repo.join(".sageox/ledger");
        fs::write(ledger.join("note"), "n\n").unwrap();
        env.git(&ledger, ["add", "note"]);
        env.git(&ledger, ["commit", "-q", "-m", "a note"]);
        until_or(
            || env.git(&bare, ["log", "--format=%s"]).contains("a note"),
            || env.ox_in(&repo, ["daemon", "errors"]).stdout,
        );
    }
    env.stop_daemon();
}

/// After a new login the agent's socket is another one, a proxy has moved, a tool has its directory elsewhere: what git finds in the shell
/// that asks it finds in the daemon as well. Nothing else of that shell comes along.
#[test]
fn the_daemon_reaches_remotes_as_the_newest_caller_does() {
    let mut env = TestEnv::new();
    let repo = env.repo("r");
    let bare = env.bare("led.git");
    let ssh = env.work().join("ssh");
    let script = "#!/bin/sh\n[ \"$SSH_AUTH_SOCK\" = new ] || { echo 'me@host: Permission denied (publickey).' >&2; exit 255; }\n\
                  [ -z \"$SECRET_OF_SHELL\" ] || exit 254\nfor last; do :; done\neval \"$last\"\n";
    fs::write(&ssh, script).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    env.set("SSH_AUTH_SOCK", "old");
    env.ox_in(&repo, ["daemon", "start"]);
    env.set("GIT_SSH_COMMAND", &ssh);
    env.set("GIT_SSH_VARIANT", "ssh");
    let url = format!("ssh://me@host.example{}", bare.display());
    env.ox_in(&repo, ["init", "--yes", "--ledger", &url]).ok();
    let refused = env.ox_in(&repo, ["up", "--yes"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    env.set("SSH_AUTH_SOCK", "new");
    env.set("SECRET_OF_SHELL", "1");
    env.ox_in(&repo, ["up", "--yes"]).ok();
    env.ox_in(&repo, ["sync"]).ok();
    // Who asks without an agent, cron say, does not take the other's away.
    env.unset("SSH_AUTH_SOCK");
    env.ox_in(&repo, ["sync"]).ok();
    let doctor = env.ox_in(&repo, ["doctor", "-v"]).stdout;
    assert!(doctor.contains("SSH_AUTH_SOCK is not set"), "{doctor}");
    env.stop_daemon();
}
