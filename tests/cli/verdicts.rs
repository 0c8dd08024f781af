//! One fact, one verdict: what `status`, `clones`, `doctor`, `daemon status`, `up` and `sync` say in each of many situations, as snapshots, and
//! that what is printed as the way out leads out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::teams::config;
use crate::support::http_git::{Fault, GitServer};
use crate::support::{Ran, TestEnv, until};

/// The six pages, in the order in which they are asked: those that only look come first.
const PAGES: [&[&str]; 6] =
    [&["status"], &["clones"], &["doctor"], &["daemon", "status"], &["sync"], &["up"]];

struct Scene {
    env: TestEnv,
    server: GitServer,
    repo: PathBuf,
    ledger: PathBuf,
}

impl Scene {
    /// A project whose ledger is at a server and whose team is in a directory, all of it fine.
    fn new() -> Scene {
        let mut env = TestEnv::new();
        let served = env.work().join("srv");
        fs::create_dir(&served).unwrap();
        env.git(&served, ["init", "-q", "--bare", "-b", "main", "ledger.git"]);
        let server = GitServer::start(&env, &served);
        let repo = env.repo("r");
        env.ox_in(&repo, ["up", "--yes", "--ledger", &server.url("ledger.git")]).ok();
        let team = env.bare("plat.git");
        env.ox_in(&repo, ["team", "add", &format!("plat={}", team.display())]).ok();
        env.ox_in(&repo, ["up"]).ok();
        let status = env.ox_in(&repo, ["status", "--json"]).ok().json();
        let ledger = PathBuf::from(status["ledger"]["path"].as_str().unwrap());
        env.hurry();
        Scene { env, server, repo, ledger }
    }

    fn ox(&self, args: &[&str]) -> Ran {
        self.env.ox_in(&self.repo, args)
    }

    /// Another machine's commit.
    fn elsewhere(&self, file: &str, text: &str) {
        let work = self.env.work().join("elsewhere");
        if !work.exists() {
            self.env.git(self.env.work(), ["clone", "-q", &self.server.url("ledger.git"), "elsewhere"]);
        }
        self.env.git(&work, ["pull", "-q", "--rebase"]);
        fs::write(work.join(file), text).unwrap();
        self.env.git(&work, ["add", file]);
        self.env.git(&work, ["commit", "-q", "-m", "elsewhere"]);
        self.env.git(&work, ["push", "-q"]);
    }

    fn commit(&self, file: &str, text: &str) {
        fs::write(self.ledger.join(file), text).unwrap();
        self.env.git(&self.ledger, ["add", file]);
        self.env.git(&self.ledger, ["commit", "-q", "-m", "own"]);
    }

    fn set(&self, key: &str, value: serde_json::Value) {
        let mut all = config(&self.repo);
        all[key] = value;
        fs::write(self.repo.join(".sageox/config.json"), all.to_string()).unwrap();
    }

    /// What all pages say, without what differs from run to run.
    fn pages(&self) -> String {
        let mut text = String::new();
        let mut verdicts = Vec::new();
        for args in PAGES {
            let ran = self.ox(args);
            if matches!(args, ["status"] | ["daemon", "status"]) && ran.stdout.starts_with(['●', '◐']) {
                verdicts.push(ran.stdout.split(" — ").next().unwrap().to_owned());
            }
            text.push_str(&format!(
                "$ ox {}\n{}{}[{}]\n\n",
                args.join(" "),
                ran.stdout,
                ran.stderr,
                ran.code.unwrap()
            ));
        }
        verdicts.dedup();
        assert!(verdicts.len() <= 1, "two verdicts on one fact: {verdicts:?}\n{text}");
        self.plain(&text)
    }

    fn plain(&self, text: &str) -> String {
        let mut text = text.replace(&self.env.root().to_string_lossy().into_owned(), "[ROOT]");
        for (pattern, with) in [
            // Progress, which is shown when something takes long.
            (r"(?m)^.* …\n", ""),
            (r"repo_[0-9a-f-]{36}", "[REPO]"),
            (r"127\.0\.0\.1:\d+", "[HOST]"),
            (r"pid \d+", "pid [PID]"),
            (r"(just now|\d+[smh] ago|in \d+s\b|<1s|\d+(\.\d)?s\b( uptime)?)", "[TIME]"),
            (r"\d+(\.\d+)? ?(ms|s|µs)\b", "[TIME]"),
            (r"\d+(\.\d+)? ?(kB|MB|bytes)\b", "[SIZE]"),
            (r"\b\d+ syncs?, ", ""),
            (r"[▁▂▃▄▅▆▇█|]{20,}", "[CHART]"),
            (r"\d+ passed", "[N] passed"),
            (r"\d+ not checked", "[N] not checked"),
            (r"refs/ox/rescue/\d+", "refs/ox/rescue/[N]"),
            (r"\b[0-9a-f]{12,40}\b", "[COMMIT]"),
            (r"v\d+\.\d+\.\d+\S*", "[VERSION]"),
            (r"git \d+\.\d+\.\d+", "git [VERSION]"),
            (r" +\n", "\n"),
            (r"  +", "  "),
        ] {
            text = regex::Regex::new(pattern).unwrap().replace_all(&text, with).into_owned();
        }
        text
    }

    /// All is well again, on every page.
    fn is_well(&self) {
        self.ox(&["sync"]).ok();
        self.ox(&["up"]).ok();
        for args in [&["status"][..], &["daemon", "status"]] {
            let said = self.ox(args).ok().stdout;
            assert!(said.starts_with("● Healthy"), "{args:?}: {said}");
        }
        let doctor = self.ox(&["doctor"]).ok().stdout;
        assert!(doctor.contains("no problems"), "{doctor}");
    }
}

/// In each: what is done, and what leads out of it.
macro_rules! situation {
    ($name:ident, |$s:ident| $harm:block, |$o:ident| $out:block) => {
        #[test]
        fn $name() {
            let mut $s = Scene::new();
            $harm
            let pages = $s.pages();
            insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!(stringify!($name), pages);
            });
            let $o = &mut $s;
            $out
            $s.env.stop_daemon();
        }
    };
}

situation!(all_is_well, |s| {}, |s| { s.is_well() });

situation!(
    offline,
    |s| {
        s.server.fault(Some(Fault::Reset));
        s.ox(&["sync"]).fails(7);
    },
    |s| {
        s.server.fault(None);
        s.is_well();
    }
);

situation!(
    conflict,
    |s| {
        s.elsewhere("notes.md", "theirs\n");
        s.ox(&["daemon", "stop"]).ok();
        s.commit("notes.md", "mine\n");
        s.ox(&["sync"]).fails(1);
    },
    |s| {
        // The first command that is printed, then what it says.
        let status = s.ox(&["status"]).stdout;
        let next = status.lines().find_map(|l| l.strip_prefix("next: ")).unwrap();
        let words: Vec<&str> = next.split(',').next().unwrap().split_whitespace().skip(1).collect();
        assert_ne!(s.env.try_git(&s.repo, &words).code, Some(0));
        fs::write(s.ledger.join("notes.md"), "both\n").unwrap();
        s.env.git(&s.ledger, ["add", "notes.md"]);
        s.env.git(&s.ledger, ["-c", "core.editor=true", "rebase", "--continue"]);
        s.is_well();
        let page = s.ox(&["status", "-v"]).ok().stdout;
        assert!(page.contains("  solved   conflict in notes.md, "), "{page}");
    }
);

situation!(
    ledger_host_not_trusted,
    |s| {
        s.ox(&["daemon", "stop"]).ok();
        s.set("ledger_url", json!("https://git.example.invalid/l.git"));
        s.ox(&["daemon", "start"]).ok();
        until(|| s.ox(&["daemon", "status"]).stdout.contains("Waiting for trust"));
    },
    |s| {
        s.set("ledger_url", json!(s.server.url("ledger.git")));
        s.is_well();
    }
);

situation!(
    team_host_not_trusted,
    |s| {
        let team = json!([{ "team_id": "ops", "name": "", "url": "ssh://git@gitbox.invalid/ops.git" }]);
        s.set("teams", team);
        s.ox(&["up"]).ok();
    },
    |s| {
        s.ox(&["team", "remove", "ops"]).ok();
        s.is_well();
    }
);

situation!(
    no_password,
    |s| {
        s.server.fault(Some(Fault::Status(401)));
        s.ox(&["sync"]).fails(5);
    },
    |s| {
        s.server.fault(None);
        s.is_well();
    }
);

situation!(
    forbidden,
    |s| {
        s.server.fault(Some(Fault::Status(403)));
        s.ox(&["sync"]).fails(5);
    },
    |s| {
        s.server.fault(None);
        s.is_well();
    }
);

situation!(
    server_error,
    |s| {
        s.server.fault(Some(Fault::Status(500)));
        s.ox(&["sync"]).fails(7);
    },
    |s| {
        s.server.fault(None);
        s.is_well();
    }
);

situation!(
    gone_remote,
    |s| {
        s.server.fault(Some(Fault::Status(404)));
        s.ox(&["sync"]).fails(2);
    },
    |s| {
        s.server.fault(None);
        s.is_well();
    }
);

situation!(
    refused_push,
    |s| {
        let hook = s.env.work().join("srv/ledger.git/hooks/pre-receive");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, "#!/bin/sh\necho 'the quota is used up'\nexit 1\n").unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        s.commit("own.md", "own\n");
        s.ox(&["sync"]);
    },
    |s| {
        fs::remove_file(s.env.work().join("srv/ledger.git/hooks/pre-receive")).unwrap();
        s.is_well();
    }
);

situation!(
    gone_team,
    |s| {
        fs::rename(s.env.work().join("plat.git"), s.env.work().join("gone.git")).unwrap();
        s.ox(&["sync", "--all-teams"]).fails(1);
    },
    |s| {
        fs::rename(s.env.work().join("gone.git"), s.env.work().join("plat.git")).unwrap();
        s.is_well();
    }
);

situation!(
    daemon_stopped,
    |s| {
        s.ox(&["daemon", "stop", "--all"]).ok();
    },
    |s| { s.is_well() }
);

situation!(
    put_beside,
    |s| {
        s.elsewhere("notes.md", "1\n");
        s.ox(&["sync"]).ok();
        fs::write(s.ledger.join("notes.md"), "mine\n").unwrap();
        s.elsewhere("notes.md", "theirs\n");
        s.ox(&["sync"]).ok();
    },
    |s| {
        for file in fs::read_dir(&s.ledger).unwrap().flatten() {
            if file.file_name().to_string_lossy().contains(".conflict-") {
                fs::remove_file(file.path()).unwrap();
            }
        }
        s.is_well();
    }
);

situation!(
    not_committed,
    |s| {
        fs::write(s.ledger.join("draft.md"), "mine\n").unwrap();
        s.ox(&["sync"]).ok();
    },
    |s| {
        let doctor = s.ox(&["doctor"]).stdout;
        let way = doctor.lines().find_map(|l| l.trim().strip_prefix("hint: git -C ")).unwrap().to_owned();
        assert!(way.contains(" add -A && "), "{way}");
        s.env.git(&s.ledger, ["add", "-A"]);
        s.env.git(&s.ledger, ["commit", "-q", "-m", "draft"]);
        s.is_well();
    }
);

situation!(
    damaged_clone,
    |s| {
        s.ox(&["daemon", "stop", "--all"]).ok();
        fs::write(s.ledger.join(".git/HEAD"), "").unwrap();
    },
    |s| { s.is_well() }
);

situation!(
    removed_clone,
    |s| {
        s.ox(&["daemon", "stop", "--all"]).ok();
        fs::remove_dir_all(&s.ledger).unwrap();
    },
    |s| { s.is_well() }
);

situation!(
    damaged_settings,
    |s| {
        fs::write(
            s.repo.join(".sageox/config.json.bak"),
            fs::read(s.repo.join(".sageox/config.json")).unwrap(),
        )
        .unwrap();
        fs::write(s.repo.join(".sageox/config.json"), "{").unwrap();
    },
    |s| {
        fs::rename(s.repo.join(".sageox/config.json.bak"), s.repo.join(".sageox/config.json")).unwrap();
        s.is_well();
    }
);

situation!(made_by_a_newer_ox, |s| { s.set("config_version", json!("99")) }, |s| {
    s.set("config_version", json!("2"));
    s.is_well();
});

situation!(
    healed,
    |s| {
        s.server.fault(Some(Fault::Status(500)));
        s.ox(&["sync"]).fails(7);
        s.server.fault(None);
        s.ox(&["sync"]).ok();
    },
    |s| { s.is_well() }
);

situation!(
    a_rebase_of_somebody_under_way,
    |s| {
        s.commit("a.md", "1\n");
        s.ox(&["sync"]).ok();
        s.ox(&["daemon", "stop"]).ok();
        fs::create_dir(s.ledger.join(".git/rebase-merge")).unwrap();
        s.elsewhere("b.md", "1\n");
    },
    |s| {
        fs::remove_dir(s.ledger.join(".git/rebase-merge")).unwrap();
        s.is_well();
    }
);

#[test]
fn outside_of_a_project() {
    let env = TestEnv::new();
    let (plain, repo) = (env.work().join("plain"), env.repo("r"));
    fs::create_dir(&plain).unwrap();
    let ask = |dir: &Path, args: &[&str]| {
        let ran = env.ox_in(dir, args);
        let text = format!("{}{}", ran.stdout, ran.stderr);
        let next = |word: &str| text.lines().find_map(|l| l.strip_prefix(word).map(str::to_owned));
        (ran.code, next("hint: ").or(next("next: ")).unwrap_or_default())
    };
    for args in
        [&["status"][..], &["clones"], &["sync"], &["up"], &["murmur", "a word or two"], &["team", "list"]]
    {
        let (code, next) = ask(&plain, args);
        assert!(next.starts_with("git init"), "{args:?}: {next}");
        assert_eq!(code, Some(if args == ["status"] { 0 } else { 2 }), "{args:?}");
    }
    for args in [&["status"][..], &["clones"], &["sync"], &["murmur", "a word or two"], &["team", "list"]] {
        assert_eq!(ask(&repo, args).1, "ox up", "{args:?}");
    }
    env.ox_in(&repo, ["up"]).ok();
    env.stop_daemon();
}
