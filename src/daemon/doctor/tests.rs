//! Every check against a machine on which it must be quiet and one on which it must speak; every remedy carried out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::ipc::wire::{DaemonIssue, StatusData};
use crate::kit::clock::{Clock as _, SystemClock};
use crate::kit::gotime::GoTime;
use crate::project::{Dirs, Env, TrustedHosts};
use crate::sync::{self, InitOptions, Site};

/// A machine with a project whose ledger is cloned and whose daemon answers.
struct Machine {
    temp: tempfile::TempDir,
    cx: Context,
}

impl Machine {
    fn healthy() -> Machine {
        let temp = tempfile::tempdir().unwrap();
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
        let exe = bin.join("ox");
        executable(&exe, "#!/bin/sh\n");
        let mut machine = Machine {
            temp,
            cx: Context {
                project: ProjectView::discover(&env),
                exe: Some(exe),
                daemon: DaemonView::Stopped,
                registry: Vec::new(),
                now: SystemClock.now().wall,
                env,
                dirs,
            },
        };
        let status =
            StatusData { running: true, last_sync: GoTime(Some(machine.cx.now)), ..StatusData::default() };
        machine.cx.daemon = DaemonView::Running(7, Some(Box::new(status)));
        git2::Repository::init(machine.ledger()).unwrap();
        git2::Repository::init_bare(machine.remote()).unwrap();
        machine.cx.dirs.make_runtime_dirs().unwrap();
        machine
    }

    fn ledger(&self) -> PathBuf {
        self.cx.ledger().unwrap().clone
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
        let home = self.temp.path().join("h");
        let vars = [("HOME", home.as_os_str()), ("PATH", path.as_os_str())];
        self.cx.env = Env::of(vars, self.cx.env.cwd().unwrap().to_owned());
    }

    fn write_config(&mut self, text: &str) {
        let root = self.cx.env.cwd().unwrap().to_owned();
        fs::write(root.join(".sageox/config.json"), text).unwrap();
        self.cx.project = ProjectView::discover(&self.cx.env);
    }

    fn look(&self, slug: &str) -> Outcome {
        let check = CHECKS.iter().find(|c| c.slug == slug).unwrap();
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
    ("project-init", Status::Failed, |m| {
        let root = m.cx.env.cwd().unwrap().to_owned();
        fs::remove_file(root.join(".sageox/config.json")).unwrap();
        m.cx.project = ProjectView::discover(&m.cx.env);
    }),
    ("project-init", Status::Skipped, |m| m.cx.project = ProjectView::None),
    ("project-config", Status::Failed, |m| m.write_config("{")),
    ("project-config", Status::Failed, |m| m.write_config(r#"{"endpoint":"local"}"#)),
    ("ledger-remote", Status::Warning, |m| {
        m.write_config(
            r#"{"repo_id":"repo_1","endpoint":"local","ledger_url":"https://git.example.com/l.git"}"#,
        );
    }),
    ("ledger-remote", Status::Failed, |m| {
        m.write_config(r#"{"repo_id":"repo_1","endpoint":"local","ledger_url":"ext::sh -c id"}"#);
    }),
    ("ledger-remote", Status::Failed, |m| fs::remove_dir_all(m.remote()).unwrap()),
    ("ledger-path", Status::Failed, |m| fs::remove_file(m.ledger().join(".git/HEAD")).unwrap()),
    ("ledger-path", Status::Skipped, |m| fs::remove_dir_all(m.ledger()).unwrap()),
    ("git-lock", Status::Failed, |m| old_lock(m)),
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
    ("daemon-dedup", Status::Warning, |m| {
        let entry = |pid| RegistryEntry {
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
        assert_eq!((outcome.status, &outcome.remedy), (Status::Passed, &None), "{}: {outcome:?}", check.slug);
    }
}

#[test]
fn cli_06_every_check_speaks_on_a_sick_machine() {
    for check in CHECKS {
        assert!(SICK.iter().any(|(slug, ..)| *slug == check.slug), "{} has no sick machine", check.slug);
    }
    for (slug, expected, harm) in SICK {
        let mut machine = Machine::healthy();
        harm(&mut machine);
        let outcome = machine.look(slug);
        assert_eq!(outcome.status, *expected, "{slug}: {outcome:?}");
        assert!(!outcome.message.is_empty() && outcome.remedy.is_some(), "{slug}: {outcome:?}");
    }
}

#[test]
fn cli_05_every_remedy_of_our_own_mends_what_was_found() {
    for (slug, _, harm) in SICK {
        let mut machine = Machine::healthy();
        harm(&mut machine);
        let before = machine.look(slug);
        match before.remedy.unwrap() {
            // That each is a command that exists, and that they help, is proven where commands are run.
            Remedy::Ox(command) => assert!(Command::ALL.contains(&command), "{slug}"),
            Remedy::Fix(fix) => {
                fix.apply(machine.cx.now).unwrap();
                let after = machine.look(slug);
                // What was moved away is cloned by the next sync.
                let mended = matches!(after.status, Status::Passed | Status::Skipped);
                assert!(mended, "{slug}: {after:?}");
                assert!(!matches!(after.remedy, Some(Remedy::Fix(_))), "{slug}: {after:?}");
            }
            Remedy::Person(text) => assert!(!text.is_empty(), "{slug}"),
        }
    }
}

#[test]
fn cli_05_fixing_reports_what_was_done_and_looks_again() {
    let machine = Machine::healthy();
    old_lock(&machine);
    let mut report = run(&machine.cx);
    assert!(report.has_failed());
    report.fix(&machine.cx, machine.cx.now, |row| row.check.slug == "git-lock");
    let row = report.rows.iter().find(|r| r.check.slug == "git-lock").unwrap();
    assert!(row.fixed.as_ref().unwrap().as_ref().unwrap().contains("index.lock"), "{:?}", row.fixed);
    assert!(!report.has_failed(), "{report:?}");
    assert!(!machine.ledger().join(".git/index.lock").exists());
}

#[test]
fn a_lock_file_of_a_clone_in_use_stays() {
    let machine = Machine::healthy();
    old_lock(&machine);
    let Some(Remedy::Fix(fix)) = machine.look("git-lock").remedy else { panic!("no fix") };
    let guard = machine.cx.ledger().unwrap().guard;
    fs::create_dir_all(guard.parent().unwrap()).unwrap();
    let held = crate::kit::lock::FileLock::try_acquire(&guard).unwrap().unwrap();
    assert!(fix.apply(machine.cx.now).is_err());
    assert!(machine.ledger().join(".git/index.lock").exists());
    drop(held);
    assert!(fix.apply(machine.cx.now).is_ok());
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
    assert_eq!(machine.look("ledger-remote").status, Status::Passed);
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
