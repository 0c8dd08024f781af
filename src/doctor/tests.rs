//! Every check against a machine on which it must be quiet and one on which it must speak; every remedy carried out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

#[path = "../../tests/support/temp.rs"]
mod temp;

use super::context::Clone;
use super::*;
use crate::git::{CloneLock, Sparse};
use crate::health::beats;
use crate::ipc::wire::{DaemonIssue, InstanceInfo, StatusData};
use crate::kit::cancel::Cancel;
use crate::kit::clock::{Clock as _, SystemClock};
use crate::kit::gotime::GoTime;
use crate::project::{Config, Dirs, Env, LocalConfig, LocalLedger, Project, Team, TrustedHosts};
use crate::sync::{self, End, InitOptions, Site, Target};

/// A machine with a project whose ledger and team are cloned and whose daemon answers.
struct Machine {
    temp: tempfile::TempDir,
    cx: Context,
}

impl Machine {
    fn healthy() -> Machine {
        let temp = tempfile::tempdir_in(temp::place()).unwrap();
        let root = temp.path().canonicalize().unwrap();
        let (repo, home, bin) = (root.join("p"), root.join("h"), root.join("bin"));
        crate::git::prepare_library();
        git2::Repository::init(&repo).unwrap();
        for dir in [&home, &bin, &root.join("r")] {
            fs::create_dir_all(dir).unwrap();
        }
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let vars = [
            ("HOME", home.to_string_lossy().into_owned()),
            ("XDG_RUNTIME_DIR", root.join("r").to_string_lossy().into_owned()),
            ("PATH", path),
        ];
        let env = Env::of(vars, &repo);
        let dirs = Dirs::from_env(&env).unwrap();
        let site = Site::new(dirs.clone(), env.clone());
        sync::init_project(&site, &repo, &InitOptions::default()).unwrap();
        let ledger = Target::Ledger { root: repo.clone(), url: None, read_only: false };
        let cloned = sync::clone(&site, &ledger, &mut |_, _, _| (), &Cancel::new());
        assert!(matches!(cloned.end, End::UpToDate(_)), "{cloned:?}");
        let bare = root.join("team.git");
        git2::Repository::init_opts(
            &bare,
            git2::RepositoryInitOptions::new().bare(true).initial_head("main"),
        )
        .unwrap();
        let url = bare.to_string_lossy().into_owned();
        let team = Team { team_id: "t".into(), name: "Team".into(), url };
        sync::add_team(&site, &repo, &team, &mut |_, _, _| (), &Cancel::new()).unwrap();
        sync::load(&site, &Project::load(&repo, &env).unwrap(), None);
        let exe = bin.join("ox");
        executable(&exe, "#!/bin/sh\n");
        let mut machine = Machine {
            temp,
            cx: Context {
                project: ProjectView::discover(&env),
                exe: Some(exe),
                daemon: DaemonView::Stopped,
                registry: Vec::new(),
                agents: Some(Vec::new()),
                now: SystemClock.now().wall,
                site: Site::new(dirs.clone(), env.clone()),
                gathered: super::Gathered::default(),
                env,
                dirs,
            },
        };
        let status = StatusData {
            running: true,
            version: crate::daemon::VERSION.into(),
            last_sync: GoTime(Some(machine.cx.now)),
            ..StatusData::default()
        };
        machine.beat("", machine.cx.now);
        machine.beat("_ledger", machine.cx.now);
        machine.write_beat("t", machine.cx.now);
        machine.cx.daemon = DaemonView::Running(7, Some(Box::new(status)));
        machine.cx.dirs.make_runtime_dirs().unwrap();
        machine
    }

    /// As the daemon writes it: for the project, or its ledger.
    fn beat(&self, end: &str, at: jiff::Timestamp) {
        let project = self.cx.project.found().unwrap();
        self.write_beat(&format!("{}_{}{end}", project.repo_id, project.workspace_id), at);
    }

    fn write_beat(&self, name: &str, at: jiff::Timestamp) {
        let line = beats::Line { ts: at.into(), ..beats::Line::default() };
        beats::append(&self.cx.dirs.heartbeat("local", name), &line).unwrap();
    }

    fn drop_beats(&self) {
        fs::remove_dir_all(self.cx.dirs.heartbeat("local", "x").parent().unwrap()).unwrap();
    }

    fn ledger(&self) -> PathBuf {
        self.ledger_clone().at.path
    }

    fn ledger_clone(&self) -> Clone {
        self.cx.clones().ledger.clone().unwrap()
    }

    fn team(&self) -> Clone {
        self.cx.clones().teams[0].clone()
    }

    fn root(&self) -> PathBuf {
        self.cx.env.cwd().unwrap().to_owned()
    }

    fn remote(&self) -> PathBuf {
        self.cx.dirs.local_remote(&self.cx.project.found().unwrap().repo_id)
    }

    fn status(&mut self) -> &mut StatusData {
        match &mut self.cx.daemon {
            DaemonView::Running(_, Some(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    fn set_path(&mut self, path: &Path) {
        self.set("PATH", path);
    }

    /// An environment of nothing but a home directory and this variable.
    fn set(&mut self, name: &str, value: &Path) {
        let home = self.temp.path().join("h");
        let vars = [("HOME", home.as_os_str()), (name, value.as_os_str())];
        self.cx.env = Env::of(vars, self.cx.env.cwd().unwrap().to_owned());
    }

    fn write_config(&mut self, text: &str) {
        let root = self.cx.env.cwd().unwrap().to_owned();
        fs::write(root.join(".sageox/config.json"), text).unwrap();
        self.cx.project = ProjectView::discover(&self.cx.env);
        self.cx.forget();
    }

    fn check(&self, slug: &str) -> Outcome {
        let check = CHECKS.iter().find(|c| c.slug == slug).unwrap();
        self.cx.forget();
        (check.run)(&self.cx)
    }
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn old_lock(machine: &Machine) {
    let lock = machine.ledger().join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(&lock).unwrap().set_modified(then).unwrap();
}

fn never_cloned(clone: &Clone) {
    fs::remove_dir_all(&clone.at.path).unwrap();
    fs::remove_file(&clone.at.lock).unwrap();
}

/// The section of background work in the user's file; programs are looked for in `bin` alone.
fn worker(m: &mut Machine, text: &str) {
    let path = m.cx.dirs.user_config();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("agent_worker:\n  {text}\n")).unwrap();
    let bin = m.temp.path().join("bin");
    m.set_path(&bin);
}

/// What is done to a healthy machine so that a check has something to say, and what it then says.
type Sick = (&'static str, Status, fn(&mut Machine));

const SICK: &[Sick] = &[
    ("git-version", Status::Failed, |m| {
        let empty = m.temp.path().join("empty");
        fs::create_dir(&empty).unwrap();
        m.set_path(&empty);
    }),
    ("git-version", Status::Failed, |m| {
        let bin = m.temp.path().join("bin");
        executable(&bin.join("git"), "#!/bin/sh\necho git version 2.20.1\n");
        m.set_path(&bin);
    }),
    ("binary-path", Status::Warning, |m| m.cx.exe = Some(PathBuf::from("/opt/other/ox"))),
    ("directories", Status::Failed, |m| {
        let config = m.cx.dirs.config().to_owned();
        let _ = fs::remove_dir_all(&config);
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        fs::write(config, "a file").unwrap();
    }),
    ("runtime-private", Status::Warning, |m| {
        fs::set_permissions(m.cx.dirs.socket_dir(), fs::Permissions::from_mode(0o755)).unwrap();
    }),
    ("user-config", Status::Failed, |m| {
        let path = m.cx.dirs.user_config();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "daemon: [\n").unwrap();
    }),
    ("agent-worker", Status::Warning, |m| {
        worker(m, "agent: gemini");
        assert!(m.check("agent-worker").message.contains("not installed"));
    }),
    ("agent-worker", Status::Warning, |m| {
        worker(m, "agent: claude");
        executable(&m.temp.path().join("bin/claude"), "#!/bin/sh\n");
        assert!(m.check("agent-worker").message.contains("not logged in"));
    }),
    ("agent-worker", Status::Warning, |m| worker(m, "agent: chat")),
    ("project-init", Status::Failed, |m| {
        let root = m.cx.env.cwd().unwrap().to_owned();
        fs::remove_file(root.join(".sageox/config.json")).unwrap();
        m.cx.project = ProjectView::discover(&m.cx.env);
    }),
    ("project-init", Status::Skipped, |m| m.cx.project = ProjectView::None),
    ("project-config", Status::Failed, |m| m.write_config("{")),
    ("project-config", Status::Failed, |m| m.write_config(r#"{"endpoint":"local"}"#)),
    ("config-keys", Status::Warning, |m| {
        let repo_id = m.cx.project.found().unwrap().repo_id.clone();
        m.write_config(&format!(r#"{{"repo_id":"{repo_id}","endpoint":"local"}}"#));
        m.cx.project = ProjectView::discover(&m.cx.env);
    }),
    ("ledger-remote", Status::Warning, |m| {
        m.write_config(
            r#"{"repo_id":"repo_1","endpoint":"local","ledger_url":"https://git.example.com/l.git"}"#,
        );
    }),
    ("ledger-remote", Status::Failed, |m| {
        m.write_config(r#"{"repo_id":"repo_1","endpoint":"local","ledger_url":"ext::sh -c id"}"#);
    }),
    ("ledger-remote", Status::Failed, |m| fs::remove_dir_all(m.remote()).unwrap()),
    ("ssh-agent", Status::Warning, |m| {
        m.set("SSH_AUTH_SOCK", Path::new("/nobody/listens"));
        m.write_config(
            r#"{"repo_id":"repo_1","endpoint":"local","ledger_url":"ssh://git@git.example.com/l.git"}"#,
        );
    }),
    ("ledger-path", Status::Failed, |m| fs::remove_file(m.ledger().join(".git/HEAD")).unwrap()),
    ("ledger-path", Status::Failed, |m| fs::remove_dir_all(m.ledger()).unwrap()),
    ("ledger-path", Status::Skipped, |m| never_cloned(&m.ledger_clone())),
    ("ledger-path-mismatch", Status::Warning, |m| {
        let elsewhere = LocalLedger { path: m.root().join("elsewhere"), ..LocalLedger::default() };
        LocalConfig::update(&m.root(), &m.cx.dirs, |local| local.set_ledger(&elsewhere)).unwrap();
    }),
    ("git-repo-paths", Status::Failed, |m| fs::remove_dir_all(m.team().at.path).unwrap()),
    ("git-repo-paths", Status::Skipped, |m| never_cloned(&m.team())),
    ("git-repo-paths", Status::Failed, |m| {
        let path = m.team().at.path;
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
    }),
    ("git-repo-paths", Status::Failed, |m| {
        let path = m.team().at.path;
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("mine.txt"), "mine").unwrap();
    }),
    ("git-repo-paths", Status::Skipped, |m| {
        let team = r#"{"team_id":"far","name":"","url":"https://git.example.com/far.git"}"#;
        m.write_config(&format!(r#"{{"repo_id":"repo_1","endpoint":"local","teams":[{team}]}}"#));
    }),
    ("git-creds-freshness", Status::Warning, |m| {
        m.write_config(r#"{"repo_id":"repo_1","endpoint":"https://sageox.example"}"#);
    }),
    ("gitignore-missing", Status::Warning, |m| {
        fs::write(m.ledger().join(".git/info/exclude"), "# mine\n").unwrap();
    }),
    ("team-sparse-checkout", Status::Warning, |m| {
        let at = m.team().at;
        let few = Sparse::Patterns(vec!["/.sageox/".into(), "/AGENTS.md".into()]);
        let mut lock = CloneLock::acquire(&at.lock, std::time::Duration::from_secs(2)).unwrap().unwrap();
        let site = &m.cx.site;
        lock.open(site.git(true), &at.path, &Cancel::new()).unwrap().set_sparse(&few).unwrap();
    }),
    ("project-symlinks", Status::Warning, |m| fs::remove_file(m.root().join(".sageox/teams/t")).unwrap()),
    ("project-symlinks", Status::Warning, |m| {
        fs::remove_file(m.root().join(".sageox/ledger")).unwrap();
        fs::write(m.root().join(".sageox/ledger"), "mine").unwrap();
    }),
    ("gc-blocked-untracked", Status::Warning, |m| {
        let repo = git2::Repository::open(m.team().at.path).unwrap();
        let head = repo.head().unwrap().target().unwrap();
        repo.reference("refs/stash", head, true, "a stash").unwrap();
    }),
    ("whisper-db", Status::Warning, |m| {
        let state = m.ledger_clone().at.state;
        fs::create_dir_all(&state).unwrap();
        fs::write(state.join("whisper.db"), "no database").unwrap();
    }),
    ("whisper-db", Status::Skipped, |m| {
        let state = m.ledger_clone().at.state;
        fs::create_dir_all(state.join("whisper.db")).unwrap();
    }),
    ("agent-events", Status::Warning, |m| {
        let data = m.cx.dirs.data();
        crate::hooks::spool::put(data, &crate::hooks::record::Record::default()).unwrap();
        let file = fs::File::open(crate::hooks::spool::dir(data).join("in.jsonl")).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        file.set_modified(long_ago).unwrap();
    }),
    ("murmurs", Status::Warning, |m| {
        let bad = m.ledger_clone().at.state.join("outbox/bad");
        fs::create_dir_all(&bad).unwrap();
        fs::write(bad.join("a.json"), "{").unwrap();
    }),
    ("murmurs", Status::Warning, |m| {
        let (at, now) = (m.ledger_clone().at, m.cx.now);
        let murmur = crate::whispers::Murmur {
            id: "a".into(),
            timestamp: GoTime(Some(now)),
            content: "waits".into(),
            ..crate::whispers::Murmur::default()
        };
        crate::whispers::Outbox::of(&at.state).put(&murmur).unwrap();
        fs::create_dir_all(at.path.join("data")).unwrap();
        fs::write(at.path.join("data/murmurs"), "a file where a directory belongs").unwrap();
    }),
    ("orphaned-team-dirs", Status::Warning, |m| {
        let at = m.team().at;
        Config::update(&m.root(), &m.cx.dirs, |config| {
            assert!(config.remove_team("t"));
        })
        .unwrap();
        m.cx.project = ProjectView::discover(&m.cx.env);
        fs::remove_file(&at.lock).unwrap();
        let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        fs::File::open(&at.path).unwrap().set_modified(then).unwrap();
    }),
    ("team-context-clean", Status::Warning, |m| {
        let issue = DaemonIssue {
            kind: "dirty_workspace".into(),
            severity: "warning".into(),
            repo: "t".into(),
            summary: "kept in refs/ox/rescue/1".into(),
            ..DaemonIssue::default()
        };
        m.status().issues = vec![issue];
        assert_eq!(m.check("sync-issues").status, Status::Passed, "it is told of once");
    }),
    ("git-lock", Status::Failed, |m| old_lock(m)),
    ("uncommitted-files", Status::Warning, |m| fs::write(m.ledger().join("notes.md"), "mine").unwrap()),
    ("daemon-running", Status::Skipped, |m| m.cx.daemon = DaemonView::Stopped),
    ("daemon-running", Status::Failed, |m| m.cx.daemon = DaemonView::Stuck(7)),
    ("daemon-running", Status::Failed, |m| m.cx.daemon = DaemonView::Unknown("no permission".into())),
    ("daemon-socket", Status::Failed, |m| m.cx.daemon = DaemonView::Silent(7)),
    ("daemon-socket", Status::Skipped, |m| m.cx.daemon = DaemonView::Running(7, None)),
    ("last-sync", Status::Warning, |m| {
        let now = m.cx.now;
        m.status().last_sync = GoTime(Some(now - jiff::SignedDuration::from_secs(3_601)));
    }),
    ("last-sync", Status::Warning, |m| {
        *m.status() = StatusData { uptime: DaemonView::GRACE, ..StatusData::default() };
    }),
    ("sync-errors", Status::Warning, |m| {
        (m.status().recent_error_count, m.status().last_error) = (2, "push failed".into());
    }),
    ("sync-issues", Status::Failed, |m| {
        let issue = DaemonIssue {
            kind: "merge_conflict".into(),
            severity: "error".into(),
            summary: "both sides changed x".into(),
            ..DaemonIssue::default()
        };
        m.status().issues = vec![issue];
    }),
    ("sync-issues", Status::Warning, |m| {
        let issue = DaemonIssue {
            kind: "agent_stuck".into(),
            severity: "warning".into(),
            summary: "codex refuses its login".into(),
            ..DaemonIssue::default()
        };
        m.status().issues = vec![issue];
        let found = m.check("sync-issues");
        assert_eq!(found.remedy.map(|remedy| remedy.hint()).as_deref(), Some("ox agents status"));
    }),
    ("daemon-uptime", Status::Skipped, |m| m.cx.daemon = DaemonView::Stopped),
    ("daemon-version", Status::Warning, |m| m.status().version = "0.3.0".into()),
    ("daemon-version", Status::Warning, |m| m.status().version = "0.6.1+rs.0.0.1".into()),
    ("stored-errors", Status::Warning, |m| m.status().unviewed_error_count = 2),
    ("heartbeat-files", Status::Warning, |m| {
        m.status().uptime = DaemonView::GRACE;
        m.drop_beats();
    }),
    ("heartbeat-files", Status::Warning, |m| {
        m.status().uptime = DaemonView::GRACE;
        m.drop_beats();
        m.beat("", m.cx.now);
        m.beat("_ledger", m.cx.now);
        m.write_beat("t", m.cx.now - jiff::SignedDuration::from_secs(601));
    }),
    ("heartbeat-files", Status::Warning, |m| {
        let project = m.cx.project.found().unwrap();
        let file = m.cx.dirs.heartbeat("local", &format!("{}_{}", project.repo_id, project.workspace_id));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
    }),
    ("heartbeat-files", Status::Skipped, |m| {
        m.drop_beats();
        m.cx.daemon = DaemonView::Stopped;
    }),
    ("daemon-instance-stale", Status::Skipped, |m| m.cx.agents = None),
    ("daemon-dedup", Status::Warning, |m| {
        let entry = |pid| RegistryEntry {
            root: PathBuf::from("/p"),
            workspace_id: format!("{pid:08x}"),
            repo_id: "repo_1".into(),
            pid,
            alive: true,
            started_at: None,
        };
        m.cx.registry = vec![entry(7), entry(8)];
    }),
];

#[test]
fn cli_06_every_check_is_quiet_on_a_healthy_machine() {
    let machine = Machine::healthy();
    for check in CHECKS {
        let outcome = (check.run)(&machine.cx);
        // With remotes of one's own there are no credentials of ours to look at.
        let expected = if check.slug == "git-creds-freshness" { Status::Skipped } else { Status::Passed };
        assert_eq!((outcome.status, &outcome.remedy), (expected, &None), "{}: {outcome:?}", check.slug);
    }
}

#[test]
fn cli_05_cli_06_every_check_speaks_on_a_sick_machine_and_every_remedy_of_our_own_mends_it() {
    for check in CHECKS {
        assert!(SICK.iter().any(|(slug, ..)| *slug == check.slug), "{} has no sick machine", check.slug);
    }
    std::thread::scope(|scope| {
        for some in SICK.chunks(SICK.len().div_ceil(4)) {
            scope.spawn(|| some.iter().for_each(check_and_fix));
        }
    });
}

fn check_and_fix((slug, expected, harm): &Sick) {
    let mut machine = Machine::healthy();
    harm(&mut machine);
    let before = machine.check(slug);
    assert_eq!(before.status, *expected, "{slug}: {before:?}");
    assert!(!before.message.is_empty(), "{slug}: {before:?}");
    match before.remedy.unwrap_or_else(|| panic!("{slug} has no remedy")) {
        // That each is a command that exists, and that they help, is proven where commands are run.
        Remedy::Ox(command) => assert!(Command::ALL.contains(&command), "{slug}"),
        Remedy::Fix(fix) => {
            fix.apply(&machine.cx).unwrap();
            let mut after = machine.check(slug);
            // What was moved away is cloned next.
            if let Some(Remedy::Fix(next @ Fix::Clone(_))) = &after.remedy {
                next.apply(&machine.cx).unwrap();
                after = machine.check(slug);
            }
            assert_eq!((after.status, &after.remedy), (Status::Passed, &None), "{slug}: {after:?}");
        }
        Remedy::Person(text) => assert!(!text.is_empty(), "{slug}"),
    }
}

#[test]
fn background_work_that_is_off_is_no_finding_and_one_that_is_on_is_told() {
    let mut machine = Machine::healthy();
    worker(&mut machine, "auto_detect: true");
    let off = machine.check("agent-worker");
    let why = "off: neither claude nor codex is installed and logged in";
    assert_eq!((off.status, off.message.as_str()), (Status::Passed, why));
    assert_eq!(off.detail[0], "claude: not installed; not logged in");
    assert_eq!(off.detail[3..], ["next step, if it is wanted: ox config set agent_worker.agent claude"]);
    let bin = machine.temp.path().canonicalize().unwrap().join("bin");
    executable(
        &bin.join("codex"),
        "#!/bin/sh\n[ \"$*\" = 'login status' ] && echo Logged in using ChatGPT >&2\n",
    );
    let on = machine.check("agent-worker");
    assert_eq!((on.status, on.message.as_str()), (Status::Passed, "on: codex, found (logged in)"));
    assert_eq!(
        on.detail[1],
        format!("codex: installed at {}; logged in", machine.temp.path().join("bin/codex").display())
    );
    // One that does not say in time, and does not want to end.
    executable(&bin.join("codex"), "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n");
    let off = machine.check("agent-worker");
    assert_eq!(
        (off.message.as_str(), off.detail[1].ends_with("does not say within 2 s")),
        (why, true),
        "{off:?}"
    );
}

#[test]
fn what_the_checks_look_at_is_gathered_once_and_anew_after_a_remedy() {
    let machine = Machine::healthy();
    let clones = machine.cx.clones();
    assert!(clones.ledger.is_some() && clones.teams.len() == 1);
    run(&machine.cx);
    assert!(std::rc::Rc::ptr_eq(&clones, &machine.cx.clones()), "read again by a check");
    old_lock(&machine);
    let mut report = run(&machine.cx);
    report.fix(&machine.cx, |row| row.check.slug == "git-lock");
    assert!(!std::rc::Rc::ptr_eq(&clones, &machine.cx.clones()), "a remedy may have changed it");
}

#[test]
fn cli_05_fixing_reports_what_was_done_and_looks_again() {
    let machine = Machine::healthy();
    old_lock(&machine);
    let mut report = run(&machine.cx);
    assert!(report.has_failed());
    report.fix(&machine.cx, |row| row.check.slug == "git-lock");
    let row = report.rows.iter().find(|r| r.check.slug == "git-lock").unwrap();
    assert!(row.fixed.as_ref().unwrap().as_ref().unwrap().contains("index.lock"), "{:?}", row.fixed);
    assert!(!report.has_failed(), "{report:?}");
    assert!(!machine.ledger().join(".git/index.lock").exists());
}

#[test]
fn a_lock_file_of_a_clone_in_use_stays() {
    let machine = Machine::healthy();
    old_lock(&machine);
    let Some(Remedy::Fix(fix)) = machine.check("git-lock").remedy else { panic!("no fix") };
    let guard = machine.ledger_clone().at.lock;
    fs::create_dir_all(guard.parent().unwrap()).unwrap();
    let held = crate::kit::lock::FileLock::try_acquire(&guard).unwrap().unwrap();
    assert!(fix.apply(&machine.cx).is_err());
    assert!(machine.ledger().join(".git/index.lock").exists());
    drop(held);
    assert!(fix.apply(&machine.cx).is_ok());
}

#[test]
fn what_is_no_clone_is_moved_aside_whole_and_only_with_a_yes() {
    let machine = Machine::healthy();
    let path = machine.team().at.path;
    fs::remove_dir_all(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("mine.txt"), "mine").unwrap();
    let report = run(&machine.cx);
    let row = report.rows.iter().find(|r| r.check.slug == "git-repo-paths").unwrap();
    assert!(row.needs_yes());
    let Some(Remedy::Fix(fix)) = &row.outcome.remedy else { panic!("{row:?}") };
    fix.apply(&machine.cx).unwrap();
    let aside = path.with_file_name(format!("t_backup_{}", machine.cx.now.as_second()));
    assert_eq!(fs::read_to_string(aside.join("mine.txt")).unwrap(), "mine");
}

#[test]
fn a_team_of_nobody_that_holds_work_stays() {
    let mut machine = Machine::healthy();
    let path = machine.team().at.path;
    let (_, _, harm) = SICK.iter().find(|(slug, ..)| *slug == "orphaned-team-dirs").unwrap();
    fs::write(path.join("new.md"), "mine").unwrap();
    harm(&mut machine);
    let Some(Remedy::Fix(fix)) = machine.check("orphaned-team-dirs").remedy else { panic!("no fix") };
    assert!(fix.needs_yes() && fix.apply(&machine.cx).is_err());
    assert_eq!(fs::read_to_string(path.join("new.md")).unwrap(), "mine");
}

#[test]
fn a_trusted_host_is_no_finding() {
    let mut machine = Machine::healthy();
    machine.write_config(
        r#"{"repo_id":"repo_1","endpoint":"local","ledger_url":"https://git.example.com/l.git"}"#,
    );
    let place = sync::ledger_of(&machine.cx.env, &machine.cx.dirs, machine.cx.project.found().unwrap(), None)
        .unwrap();
    TrustedHosts::trust(&machine.cx.dirs, &place.remote).unwrap();
    assert_eq!(machine.check("ledger-remote").status, Status::Passed);
}

#[test]
fn a_line_under_an_older_name_counts_and_a_daemon_that_just_started_has_time() {
    let mut machine = Machine::healthy();
    machine.drop_beats();
    assert_eq!(machine.check("heartbeat-files").status, Status::Skipped, "not yet");
    machine.status().uptime = DaemonView::GRACE;
    let legacy = machine.cx.project.found().unwrap().legacy_workspace_id.clone();
    for name in [legacy.clone(), format!("{legacy}_ledger"), "t".to_owned()] {
        machine.write_beat(&name, machine.cx.now);
    }
    assert_eq!(machine.check("heartbeat-files").status, Status::Passed);
}

#[test]
fn agents_that_are_silent_for_long_are_told_and_are_no_fault() {
    let mut machine = Machine::healthy();
    let heard = |id: &str, seconds: i64| InstanceInfo {
        agent_id: id.into(),
        parent_pid: 7,
        last_heartbeat: GoTime(Some(machine.cx.now - jiff::SignedDuration::from_secs(seconds))),
        ..InstanceInfo::default()
    };
    machine.cx.agents = Some(vec![heard("OxAb12", 899), heard("OxCd34", 900)]);
    let outcome = machine.check("daemon-instance-stale");
    assert_eq!((outcome.status, outcome.message.as_str()), (Status::Passed, "2 heard of, 1 silent for long"));
    assert_eq!(outcome.detail, ["OxCd34, pid 7: silent for 15m"]);
}

#[test]
fn slugs_are_unique_and_every_file_is_in_the_table() {
    let mut slugs: Vec<_> = CHECKS.iter().map(|c| c.slug).collect();
    slugs.sort_unstable();
    slugs.dedup();
    assert_eq!(slugs.len(), CHECKS.len());
    assert!(select(&["nonsense".into()]).is_err());
    assert_eq!(select(&[]).unwrap().len(), CHECKS.len());
}

#[test]
fn the_json_has_the_documented_keys() {
    let machine = Machine::healthy();
    old_lock(&machine);
    let json = run(&machine.cx).to_json();
    assert_eq!(json["summary"]["failed"], 1);
    assert_eq!(json["summary"]["has_failed"], true);
    assert_eq!(json["available_fixes"][0]["slug"], "git-lock");
    let names: Vec<_> = json["categories"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, ["Machine", "Project", "Daemon"]);
    let keys: Vec<_> = json["categories"][0]["checks"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["name", "slug", "status", "message"]);
}
