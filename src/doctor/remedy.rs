//! How a finding is mended. Remedies are values, not sentences, so that tests can carry them out.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::Context;
use crate::git::{CloneLock, lock_files};
use crate::kit::cancel::Cancel;
use crate::kit::clock::{Clock as _, SystemClock};
use crate::project::{Endpoint, LocalConfig, LocalLedger, Project};
use crate::sync::{self, End, SetupError, Site, Target, TeamRef, Workspace, upkeep};
use crate::whispers::Store;

/// How long the clone's lock is waited for before a lock file in it is removed.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// A way to mend a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A command of ours.
    Ox(Command),
    /// Something that `ox doctor --fix` does.
    Fix(Fix),
    /// Something that only a person can do.
    Person(String),
}

impl Remedy {
    /// What the person reads after `hint:`.
    pub fn hint(&self) -> String {
        match self {
            Remedy::Ox(command) => format!("ox {}", command.words().join(" ")),
            Remedy::Fix(_) => "ox doctor --fix".into(),
            Remedy::Person(text) => text.clone(),
        }
    }
}

/// A command of ours that mends something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Write the project's files again.
    InitForce,
    /// Make the project if there is none, trust hosts, and sync.
    Up,
    /// Sync now.
    Sync,
    /// Trust the teams' hosts, and sync their contexts.
    SyncTeams,
    /// See what was put beside.
    RescueList,
    /// See what keeps sessions from being finished in the background.
    AgentsStatus,
    /// Start the daemon, and have it serve the project.
    DaemonStart,
    /// Stop the daemon and start it again.
    DaemonRestart,
    /// Read what the daemon wrote down.
    DaemonLogs,
    /// Read what was stored, and mark it as seen.
    DaemonErrors,
}

impl Command {
    /// All of them.
    pub const ALL: [Command; 10] = [
        Command::InitForce,
        Command::Up,
        Command::Sync,
        Command::SyncTeams,
        Command::RescueList,
        Command::AgentsStatus,
        Command::DaemonStart,
        Command::DaemonRestart,
        Command::DaemonLogs,
        Command::DaemonErrors,
    ];

    /// The words after `ox`.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Command::InitForce => &["init", "--force"],
            Command::Up => &["up"],
            Command::Sync => &["sync"],
            Command::SyncTeams => &["sync", "--all-teams"],
            Command::RescueList => &["rescue", "list"],
            Command::AgentsStatus => &["agents", "status"],
            Command::DaemonStart => &["daemon", "start"],
            Command::DaemonRestart => &["daemon", "restart"],
            Command::DaemonLogs => &["daemon", "logs"],
            Command::DaemonErrors => &["daemon", "errors"],
        }
    }
}

/// What `ox doctor --fix` does: one kind of change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// Take other people's rights off a directory of ours.
    MakePrivate(PathBuf),
    /// Remove lock files that git left in clones, unless they have changed since or the clone is in use.
    RemoveGitLocks(Vec<Leftovers>),
    /// Make clones that are missing, each at its path.
    Clone(Vec<(PathBuf, Target)>),
    /// Have git leave machine-local files out of these clones.
    Exclude(Vec<Target>),
    /// Check out in these clones what their manifests name.
    CheckOut(Vec<Target>),
    /// Write down in the machine-local file of the project at the first path that its ledger is at the second.
    NameLedger(PathBuf, PathBuf),
    /// Write into the committed configuration of the project at this directory what that lost.
    PutKeysBack(PathBuf),
    /// Make the links of the project at this directory lead to its clones.
    MakeLinks(PathBuf),
    /// Remove the clones of these teams that name their remotes themselves, unless they hold what their remotes have not.
    RemoveTeams(Vec<String>),
    /// Put the damaged databases of whispers in these state directories aside; they are made anew from the clones.
    PutWhispersAside(Vec<PathBuf>),
    /// Move what is in the way of a clone beside it, with the time in its name. Nothing is deleted.
    SetAside(PathBuf),
}

/// Lock files that git left in a clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftovers {
    /// The clone.
    pub clone: PathBuf,
    /// The lock that guards it.
    pub guard: PathBuf,
    /// The files.
    pub files: Vec<PathBuf>,
}

impl Fix {
    /// Whether somebody has to agree, whatever the check's level is: something of theirs is moved.
    pub fn needs_yes(&self) -> bool {
        matches!(self, Fix::SetAside(_) | Fix::RemoveTeams(_))
    }

    /// Does it, and says what was done.
    ///
    /// # Errors
    /// What the system or git said. Of several things those before were done.
    pub fn apply(&self, cx: &Context) -> io::Result<String> {
        match self {
            Fix::MakePrivate(path) => {
                fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
                Ok(format!("took the rights of others off {}", path.display()))
            }
            Fix::RemoveGitLocks(left) => {
                let done: io::Result<Vec<String>> = left.iter().map(remove_locks).collect();
                Ok(done?.join("; "))
            }
            Fix::Clone(missing) => clone_all(cx, missing),
            Fix::Exclude(targets) => each(cx, targets, upkeep::write_excludes, "set up the ignored files of"),
            Fix::CheckOut(targets) => each(cx, targets, upkeep::check_out, "checked out the files of"),
            Fix::NameLedger(root, ledger) => name_ledger(cx, root, ledger),
            Fix::PutKeysBack(root) => {
                sync::put_back(&cx.site, root).map_err(io::Error::other)?;
                Ok("put the lost keys back into .sageox/config.json; commit it, so that your team has them too".into())
            }
            Fix::MakeLinks(root) => make_links(cx, root),
            Fix::RemoveTeams(ids) => remove_teams(cx, ids),
            Fix::PutWhispersAside(states) => {
                for state in states {
                    Store::of(state).put_aside().map_err(io::Error::other)?;
                }
                Ok("put the damaged database of whispers aside as *.corrupt".into())
            }
            Fix::SetAside(path) => set_aside(path, cx.now),
        }
    }
}

fn remove_locks(left: &Leftovers) -> io::Result<String> {
    let Leftovers { clone, guard, files } = left;
    let lock = CloneLock::acquire(guard, LOCK_WAIT).map_err(io::Error::other)?;
    let Some(_lock) = lock else {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "the clone is in use"));
    };
    // Looked at again under the lock: what is no leftover any more stays.
    let now = SystemClock.now().wall;
    let still = lock_files(clone, now).map_err(io::Error::other)?;
    let mut removed = Vec::new();
    for file in still.iter().filter(|f| files.contains(&f.path) && super::git_lock::is_leftover(f)) {
        fs::remove_file(&file.path)?;
        removed.push(file.path.display().to_string());
    }
    Ok(if removed.is_empty() {
        "nothing to remove any more".into()
    } else {
        format!("removed {}", removed.join(", "))
    })
}

/// Makes the clones here and now: that needs no daemon. One that runs finds them when it looks next.
fn clone_all(cx: &Context, missing: &[(PathBuf, Target)]) -> io::Result<String> {
    let site = &cx.site;
    let mut made = Vec::new();
    for (path, target) in missing {
        // Only an empty directory can be removed this way.
        match fs::remove_dir(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        match sync::clone(site, target, &mut |_, _, _| (), &Cancel::new()).end {
            End::UpToDate(_) => made.push(path.display().to_string()),
            End::Failed(failure) => return Err(io::Error::other(failure.text)),
            _ => return Err(io::Error::new(io::ErrorKind::ResourceBusy, "the clone is in use")),
        }
    }
    Ok(format!("cloned {}", made.join(", ")))
}

fn each(
    cx: &Context,
    targets: &[Target],
    mend: fn(&Site, &Workspace) -> Result<(), SetupError>,
    what: &str,
) -> io::Result<String> {
    let site = &cx.site;
    for target in targets {
        let (_, at) = sync::locate(site, target).map_err(io::Error::other)?;
        mend(site, &at).map_err(io::Error::other)?;
    }
    let names: Vec<String> = targets.iter().map(Target::label).collect();
    Ok(format!("{what} {}", names.join(", ")))
}

fn name_ledger(cx: &Context, root: &Path, ledger: &Path) -> io::Result<String> {
    let change = |local: &mut LocalConfig| {
        let known = local.ledger().unwrap_or_default();
        local.set_ledger(&LocalLedger { path: ledger.to_owned(), ..known });
    };
    LocalConfig::update(root, &cx.dirs, change).map_err(io::Error::other)?;
    Ok(format!("named {}", ledger.display()))
}

fn make_links(cx: &Context, root: &Path) -> io::Result<String> {
    let project = Project::load(root, &cx.env).map_err(io::Error::other)?;
    let site = &cx.site;
    sync::load(site, &project, None);
    match sync::wrong_links(site, &project).first() {
        Some(still) => Err(io::Error::other(still.text.clone())),
        None => Ok("made the links lead to the clones".to_owned()),
    }
}

fn remove_teams(cx: &Context, ids: &[String]) -> io::Result<String> {
    let site = &cx.site;
    let slug = Endpoint::local().slug();
    for id in ids {
        let team = TeamRef { id: id.clone(), ..TeamRef::default() };
        let at = sync::team_of(&cx.dirs, &slug, None, &team).map_err(io::Error::other)?;
        sync::remove_clone(site, &at, false, &Cancel::new()).map_err(io::Error::other)?;
    }
    Ok(format!("removed the clones of {}", ids.join(", ")))
}

fn set_aside(path: &Path, now: Timestamp) -> io::Result<String> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!("_backup_{}", now.as_second()));
    let to = path.with_file_name(name);
    if to.exists() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", to.display())));
    }
    fs::rename(path, &to)?;
    Ok(format!("moved {} to {}", path.display(), to.display()))
}
