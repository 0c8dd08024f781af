//! What workers do with recordings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::event::{Effect, Ended, Event, Progress, Recorded, Stepped};
use crate::daemon::host::lanes::{Lane, Lanes, hint};
use crate::daemon::names::VERSION;
use crate::daemon::names::shown_version;
use crate::git;
use crate::harness::transcript::Thread;
use crate::harness::transcript::places::{Wanted, roots, running};
use crate::kit::file;
use crate::project::{Project, RedactRules, RulesStamp};
use crate::redact::Redactor;
use crate::sessions::input::GENERIC;
use crate::sessions::raw::{self, Header};
use crate::sessions::subagents::Attached;
use crate::sessions::{
    self, Ending, FollowError, Follower, Found, Info, Name, Places, Recording, State, Step, header_of, lives,
    subagents, watch_mode,
};
use crate::sync::{self, Site};
use crate::watch::DirWatcher;

/// An agent's process that is gone may have been a short-lived shell's, so young a recording is not finished for it (agent work and
/// sessions, 5.3).
const GRACE: Duration = Duration::from_secs(10 * 60);
/// A recording that says nothing of its agent's process, or nothing at all, is finished when nothing has been written for so long.
const SILENT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Whoever stopped a recording finishes it; after this long they have been ended meanwhile.
const STOPPED_MAX: Duration = Duration::from_secs(60);

/// A recording that is kept open between steps.
struct Open {
    follower: Follower,
    header: Header,
    project: Project,
    redactor: Redactor,
    /// Of the rules in `redactor`.
    rules: RulesStamp,
}

impl Open {
    /// Takes rules in that have come, changed or gone since.
    fn renew_rules(&mut self, site: &Site) {
        let now = RedactRules::stamp(&site.dirs, Some(&self.project));
        if now != self.rules {
            (self.redactor, self.rules) = (redactor_of(site, &self.project), now);
        }
    }
}

/// What the work on recordings needs.
#[derive(Default)]
pub(in crate::daemon) struct Work {
    open: Arc<Mutex<BTreeMap<PathBuf, Open>>>,
    watcher: Arc<Mutex<Option<DirWatcher>>>,
}

impl Work {
    pub(in crate::daemon) fn perform(&self, lanes: &Lanes, effect: Effect) {
        match effect {
            Effect::Look(id, root, ended) => {
                let site = lanes.site.clone();
                lanes.start(
                    Lane::Disk,
                    move || look(&site, &root, &ended),
                    move |found| Event::Found(id, found.ok().flatten()).into(),
                );
            }
            Effect::Step { id, root, name, dir } => {
                let (site, open, stepped) = (lanes.site.clone(), Arc::clone(&self.open), name.clone());
                let work = move || step(&site, &open, &root, &name, dir);
                lanes.start(Lane::Disk, work, move |came| {
                    let came = came.unwrap_or_else(|e| Stepped::Failed(e.to_string()));
                    Event::Stepped(id, stepped, came).into()
                });
            }
            Effect::Close(dir) => drop(self.open.lock().remove(&dir)),
            Effect::Watch { dir, on } => {
                let (watcher, watchers, inbox) =
                    (Arc::clone(&self.watcher), lanes.watchers(), lanes.inbox.clone());
                let clock = Arc::clone(&lanes.site.clock);
                lanes.run(Lane::Disk, move || {
                    let mut watcher = watcher.lock();
                    let Some(name) = dir.to_str() else { return };
                    if watcher.is_none()
                        && let Some(watches) = &watchers.watches
                    {
                        // A hint that finds no room is made up for by the next look.
                        let touched = move |name: &str| hint(&inbox, Event::Touched(PathBuf::from(name)));
                        *watcher = Some(DirWatcher::on(watches, clock, touched));
                    }
                    match watcher.as_mut() {
                        Some(watcher) if on => {
                            if let Err(e) = watcher.watch(name, &dir) {
                                log::error!("{name} is not watched, only looked at every five minutes: {e}");
                            }
                        }
                        Some(watcher) => watcher.unwatch(name),
                        None => {}
                    }
                });
            }
        }
    }
}

/// The project at `root` and its recordings' directory; none where that cannot be told.
fn places(site: &Site, root: &Path) -> Option<(Project, Places)> {
    let project = Project::load(root, &site.env).ok()?;
    let ledger = sync::ledger_of(&site.env, &site.dirs, &project, None).ok().filter(sync::Workspace::exists);
    let ledger = ledger.as_ref().map(|at| at.path.as_path());
    let places = Places::new(&site.dirs, root, &project.repo_id, ledger);
    Some((project, places))
}

fn look(site: &Site, root: &Path, ended: &[Ended]) -> Option<Vec<Recorded>> {
    let (project, places) = places(site, root)?;
    let now = site.clock.now().wall;
    let mut recorded = Vec::new();
    for found in places.here() {
        let recording = match Recording::load(&found.dir) {
            State::Some(recording) => recording,
            State::None => {
                if let Err(e) = sessions::remove_stub(&found, now) {
                    log::warn!("session {}: {e}", found.name);
                }
                continue;
            }
            State::Unreadable(why) => {
                if is_silent(&found.dir, Path::new(""), SILENT_MAX, now) {
                    let done = close_unreadable(site, &project, &found, now);
                    told(&found.name, &format!("its recording cannot be read: {why}"), done);
                } else {
                    recorded.push(Recorded { name: found.name, dir: found.dir, transcript: None });
                }
                continue;
            }
        };
        if let Some(reason) = is_over(&recording, &found.dir, ended, now) {
            let done = finish(site, &project, &found.name, &found.dir, &recording, reason, now);
            told(&found.name, reason, done.map_err(|e| e.to_string()));
        } else {
            // What hooks of the Go program write down, and what is being stopped, is only looked at again.
            let is_followed = recording.watch_mode == watch_mode::TAIL
                && recording.stopped_at.is_zero()
                && sessions::can_read(&recording.adapter_name);
            let transcript = is_followed.then(|| transcript(site, &found.dir, &recording)).flatten();
            recorded.push(Recorded { name: found.name, dir: found.dir, transcript });
        }
    }
    Some(recorded)
}

fn told(name: &Name, reason: &str, done: Result<Option<i64>, String>) {
    match done {
        Ok(Some(entries)) => log::info!("session {name} is finished ({reason}): {entries} entries"),
        Ok(None) => log::info!("session {name} is none: nothing was said in it before its agent ended"),
        Err(e) => log::warn!("session {name} cannot be finished: {e}"),
    }
}

/// Why a recording is to be finished, if it is (agent work and sessions, 5.3 and 5.5).
fn is_over(recording: &Recording, dir: &Path, ended: &[Ended], now: Timestamp) -> Option<&'static str> {
    let is_past = |at: Option<Timestamp>, wait: Duration| {
        at.is_some_and(|at| now.duration_since(at).unsigned_abs() >= wait && at <= now)
    };
    // Whoever stopped it has said so, whatever lives.
    if !recording.stopped_at.is_zero() {
        return is_past(recording.stopped_at.0, STOPPED_MAX).then_some("stopped");
    }
    let transcript = Path::new(&recording.session_file);
    let pid = recording.parent_pid;
    let has_ended = if let Some(ended) = ended.iter().find(|ended| ended.agent == recording.agent_id) {
        pid == 0 || pid == ended.pid || !lives(recording)
    } else if pid == 0 {
        is_silent(dir, transcript, SILENT_MAX, now)
    } else {
        // The process that a hook tells of may be a shell that ended with it: as long as hooks write, the agent lives.
        let is_written = recording.watch_mode == watch_mode::HOOK && !is_silent(dir, transcript, GRACE, now);
        !lives(recording) && is_past(recording.started_at.0, GRACE) && !is_written
    };
    has_ended.then_some("recovered")
}

/// Whether nothing has been written for so long: neither to the recording in `dir` nor to the agent's transcript. What cannot be looked at may
/// have been.
fn is_silent(dir: &Path, transcript: &Path, wait: Duration, now: Timestamp) -> bool {
    let own = [dir.join(sessions::RECORDING), dir.join(raw::FILE)];
    let mut newest = None;
    for path in own.iter().map(PathBuf::as_path).chain([transcript]) {
        match file::look(path) {
            Ok(None) => {}
            Ok(Some(meta)) => match meta.modified().map(Timestamp::try_from) {
                Ok(Ok(at)) => newest = newest.max(Some(at)),
                _ => return false,
            },
            Err(_) => return false,
        }
    }
    newest.is_some_and(|at| at <= now && now.duration_since(at).unsigned_abs() >= wait)
}

/// Finishes a session of whose recording nothing can be read any more; how many entries it has, none where it is none.
fn close_unreadable(
    site: &Site,
    project: &Project,
    found: &Found,
    now: Timestamp,
) -> Result<Option<i64>, String> {
    let done = (|| {
        if sessions::end_ghost(&found.dir)? {
            return Ok(None);
        }
        let header = Info::of(found)?.header;
        let end = Ending { name: &found.name, title: "", reason: "recovered", native: "" };
        let redactor = redactor_of(site, project);
        sessions::close(&found.dir, &header, &end, &[], &redactor, now)
            .map(|closed| Some(closed.written.next_seq))
    })();
    done.map_err(|e: std::io::Error| e.to_string())
}

/// The transcript of a recording, or the database that it is in; one that was not there when it began is noted when it is found.
fn transcript(site: &Site, dir: &Path, recording: &Recording) -> Option<PathBuf> {
    if !recording.session_file.is_empty() {
        return Some(PathBuf::from(&recording.session_file));
    }
    let wanted = Wanted {
        session: &recording.native_session,
        cwd: &recording.workspace_path,
        since: recording.started_at.0?,
    };
    let get = |name: &str| site.env.get(name).map(str::to_owned);
    let found = running(&recording.adapter_name, site.env.home()?, get, wanted).ok()??;
    Recording::locate(dir, &found).ok()??;
    Some(found.path)
}

fn open(site: &Site, project: Project, dir: &Path) -> Result<Open, FollowError> {
    let get = |name: &str| site.env.get(name).map(str::to_owned);
    let home = site.env.home().unwrap_or(Path::new("/"));
    let follower = Follower::open(dir, |kind| roots(kind, home, get))?;
    // Looked at first: what changes while they are read is then seen as a change.
    let rules = RedactRules::stamp(&site.dirs, Some(&project));
    let redactor = redactor_of(site, &project);
    let (user, version) = (git::user_name(&project.root), shown_version(VERSION));
    let header = header_of(follower.recording(), follower.thread(), &project.repo_id, &user, version);
    Ok(Open { follower, header, project, redactor, rules })
}

fn redactor_of(site: &Site, project: &Project) -> Redactor {
    let rules = RedactRules::read(&site.dirs, Some(project));
    rules.trouble.iter().for_each(|trouble| log::warn!("{trouble}"));
    Redactor::with_rules(rules.rules)
}

fn step(
    site: &Site,
    open_ones: &Mutex<BTreeMap<PathBuf, Open>>,
    root: &Path,
    name: &Name,
    dir: PathBuf,
) -> Stepped {
    // Taken out while it is worked on: a slow disk keeps no other waiting.
    let taken = open_ones.lock().remove(&dir);
    let opened = match taken {
        Some(open) => Ok(open),
        None => match Project::load(root, &site.env) {
            Ok(project) => open(site, project, &dir),
            Err(e) => return Stepped::Failed(e.to_string()),
        },
    };
    let mut open = match opened {
        Ok(open) => open,
        Err(FollowError::NotRecording) => return Stepped::Ended,
        Err(e) => return Stepped::Failed(e.to_string()),
    };
    if open.follower.is_level() {
        open_ones.lock().insert(dir, open);
        return Stepped::Level;
    }
    open.renew_rules(site);
    let done = open.follower.step(&open.header, &open.redactor);
    let came = match done {
        Ok(Step { more: true, bytes, facts, .. }) => Stepped::More(Progress { bytes, facts }),
        Ok(step) => {
            if let Err(e) = open.follower.note(step.entries) {
                log::debug!("session {name}: {e}");
            }
            Stepped::New(Progress { bytes: step.bytes, facts: step.facts })
        }
        Err(FollowError::NotRecording) => return Stepped::Ended,
        Err(e) => Stepped::Failed(e.to_string()),
    };
    open_ones.lock().insert(dir, open);
    came
}

/// Takes over what is left of a recording that nobody else will finish; how many entries it has then, none where nothing was said in it.
fn finish(
    site: &Site,
    project: &Project,
    name: &Name,
    dir: &Path,
    recording: &Recording,
    reason: &str,
    now: Timestamp,
) -> Result<Option<i64>, FollowError> {
    // It may have come after the last look.
    if recording.adapter_name != GENERIC {
        transcript(site, dir, recording);
    }
    let (header, redactor) = match open(site, project.clone(), dir) {
        Ok(Open { mut follower, header, redactor, .. }) => {
            let done = follower.drain(&header, &redactor)?;
            follower.note(done.entries)?;
            (header, redactor)
        }
        // What the agent wrote down itself is all there is.
        Err(FollowError::NoTranscript | FollowError::NoReader(_)) => {
            let header = header_of(
                recording,
                &Thread::default(),
                &project.repo_id,
                &git::user_name(&project.root),
                shown_version(VERSION),
            );
            (header, redactor_of(site, project))
        }
        Err(e) => return Err(e),
    };
    let home = site.env.home().unwrap_or(Path::new("/"));
    let get = |name: &str| site.env.get(name).map(str::to_owned);
    if reason != "stopped" && sessions::end_ghost(dir)? {
        return Ok(None);
    }
    let mut helpers = Attached::default();
    if let State::Some(recording) = Recording::load(dir) {
        match subagents::attach(dir, &recording, &header, home, &get, &redactor) {
            Ok(attached) => helpers = attached,
            Err(e) => log::warn!("session {name}: what sub-agents did cannot be kept: {e}"),
        }
    }
    let end = Ending { name, title: &recording.title, reason, native: &recording.native_session };
    Ok(Some(sessions::close(dir, &header, &end, &helpers.spent, &redactor, now)?.written.next_seq))
}
