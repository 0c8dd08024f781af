//! What workers do with murmurs and whispers. Every function here touches a disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::event::Relay;
use super::notes::{TEAM_TOPIC, entry, nudge_for, team_note, timed};
use crate::git::{CloneLock, GitError, ManagedClone, Reader as Clone};
use crate::ipc::wire::{Murmur as Message, Response, WhisperHistory, WhisperHistoryAsk, Whispers};
use crate::kit::cancel::Cancel;
use crate::kit::clock::Now;
use crate::kit::gotime::GoTime;
use crate::kit::human::{bytes, count};
use crate::project::settings::Settings;
use crate::project::{Project, RedactRules};
use crate::redact::Redactor;
use crate::sync::{self, Site};
use crate::whispers::limits::{MESSAGE_MAX, TEAM_WORD_EVERY};
use crate::whispers::nudge::{self, Facts};
use crate::whispers::{
    self, Ask, Error, Importance, Murmur, Outbox, Reader, Receipt, Scope, Source, Store, Stores, Whisper,
    relay,
};

/// So long a look waits for somebody at work on the clone before it does without contents that were left at the remote.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The databases, and what else workers need for murmurs and whispers. Cheap to clone.
#[derive(Clone)]
pub(super) struct WhisperWorker {
    pub(super) site: Site,
    pub(super) stores: Arc<Stores>,
    /// The built-in rules, made for the first murmur: a daemon without any keeps its memory.
    redactor: Arc<OnceLock<Arc<Redactor>>>,
    /// Around each change of a file of [`Uncommitted`].
    pub(super) uncommitted: Arc<Mutex<()>>,
}

impl WhisperWorker {
    pub(super) fn new(site: Site) -> WhisperWorker {
        WhisperWorker { site, stores: Arc::default(), redactor: Arc::default(), uncommitted: Arc::default() }
    }

    pub(super) fn now(&self) -> Now {
        self.site.clock.now()
    }

    /// Has a murmur wait to be committed, and tells it to the agents of this machine. False if it is none.
    pub(super) fn murmur(
        &self,
        root: &Path,
        state: &Path,
        scope: &Scope,
        message: &Message,
    ) -> Result<bool, Error> {
        let now = self.now();
        let outbox = Outbox::of(state);
        // Our own command has decoded, redacted and kept it before it sent this.
        let murmur = match outbox.get(message.murmur_id(), now.wall)? {
            Some(murmur) => murmur,
            None => {
                let taken = Project::load(root, &self.site.env)
                    .map_err(|e| e.to_string())
                    .and_then(|project| self.take_in(&project, message, now.wall));
                match taken {
                    Ok(murmur) => {
                        outbox.put(&murmur)?;
                        murmur
                    }
                    Err(why) => {
                        log::warn!("a murmur is not taken: {why}");
                        return Ok(false);
                    }
                }
            }
        };
        if let Err(e) = self.stores.of(state).take_in(now, &[Whisper::of(&murmur, scope)], &[]) {
            log::warn!("the agents of this machine hear of a murmur only after the next sync: {e}");
        }
        Ok(true)
    }

    /// The murmur in a message, without what counts as a secret in its project.
    fn take_in(&self, project: &Project, message: &Message, now: Timestamp) -> Result<Murmur, String> {
        let redactor = self.redactor(project);
        let mut murmur = decode(message, &redactor, now)?;
        murmur.redact(&redactor, &self.home());
        Ok(murmur)
    }

    /// The rules for secrets that hold in a project.
    pub(super) fn redactor(&self, project: &Project) -> Arc<Redactor> {
        let found = RedactRules::read(&self.site.dirs, Some(project));
        found.trouble.iter().for_each(|trouble| log::warn!("{trouble}"));
        match found.rules.is_empty() {
            true => Arc::clone(self.redactor.get_or_init(Arc::default)),
            false => Arc::new(Redactor::with_rules(found.rules)),
        }
    }

    pub(super) fn home(&self) -> String {
        self.site.env.home().map(|home| home.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Takes in the murmurs of a clone, takes back those that are gone, and tells the projects of a team what changed in it. True if nothing
    /// is left to be done.
    pub(super) fn relay(&self, asked: &Relay, cancel: &Cancel) -> bool {
        let Relay { target, scope, since, removed_since, .. } = asked;
        let (_, at) = match sync::locate(&self.site, target) {
            Ok(found) => found,
            Err(e) => {
                log::warn!("murmurs of {}: {e}", target.label());
                return false;
            }
        };
        let (store, outbox) = (self.stores.of(&at.state), Outbox::of(&at.state));
        let look = || {
            let heard = &mut |murmurs: &[Murmur]| {
                if *scope == Scope::Ledger {
                    self.heard(&at.state, murmurs);
                }
            };
            relay(&store, &Clone::open(&at.path)?, &outbox, scope, self.now(), heard)
        };
        let taken = look().and_then(|relayed| {
            if relayed.missing.is_empty() {
                return Ok((relayed.new, true));
            }
            let Some(mut lock) = CloneLock::acquire(&at.lock, LOCK_WAIT)? else {
                return Ok((relayed.new, false));
            };
            let clone = lock.open(self.site.git(at.self_hosted), &at.path, cancel)?;
            clone.ensure_objects(&relayed.missing)?;
            drop(clone);
            drop(lock);
            look().map(|again| (relayed.new + again.new, again.missing.is_empty()))
        });
        let mut done = match taken {
            Ok((new, done)) => {
                if new > 0 {
                    log::info!("[{}] {}", target.label(), count(new as u64, "new murmur"));
                }
                done
            }
            Err(e) => {
                log::warn!("[{}] murmurs: {e}", target.label());
                false
            }
        };
        if let Some(head) = asked.head.as_ref().filter(|_| !removed_since.is_empty())
            && let Err(e) = self.take_back(&store, &at.path, removed_since, head)
        {
            done = false;
            log::warn!("[{}] murmurs that were taken out are still told: {e}", target.label());
        }
        if let Err(e) = self.tell_of_changes(&at.path, scope.team(), since, &asked.tell) {
            log::warn!("[{}] what changed in the team's context is not told: {e}", target.label());
        }
        done
    }

    /// Murmurs that somebody has taken out of a clone are told to nobody from now on.
    fn take_back(&self, store: &Store, clone: &Path, since: &str, head: &str) -> Result<(), Error> {
        let Ok(head) = git2::Oid::from_str(head) else { return Ok(()) };
        let gone = whispers::window::removed(&Clone::open(clone)?, since, head)?;
        store.forget(self.now(), &gone)
    }

    /// One word to the agents of each project about what changed in their team's context (7.4); too soon after the last one it waits for the
    /// next change.
    fn tell_of_changes(
        &self,
        clone: &Path,
        team: &str,
        since: &str,
        ledgers: &[PathBuf],
    ) -> Result<(), Error> {
        if ledgers.is_empty() {
            return Ok(());
        }
        let reader = Clone::open(clone)?;
        let Some(head) = reader.head()?.commit else { return Ok(()) };
        let now = self.now();
        for ledger in ledgers {
            let store = self.stores.of(ledger);
            let last = store.last_of(now, Source::TeamContext, TEAM_TOPIC)?;
            let last = last.filter(|w| w.metadata.get("team").is_some_and(|t| t == team));
            let recent =
                |w: &Whisper| w.created_at.0.is_some_and(|at| now.wall.duration_since(at) < TEAM_WORD_EVERY);
            if last.as_ref().is_some_and(recent) {
                continue;
            }
            // What came since the last word, also what was too soon after it then.
            let told = last.as_ref().and_then(|w| w.metadata.get("commit")).map_or(since, String::as_str);
            let mut paths = reader.changed_paths(told, head)?;
            paths.retain(|path| !path.starts_with("data/murmurs/") && !path.starts_with(".sageox/"));
            if !paths.is_empty() {
                store.take_in(now, &[team_note(team, &paths, &head.to_string(), now.wall)], &[])?;
            }
        }
        Ok(())
    }

    /// What waits for an agent, and what to say when it has got it.
    pub(super) fn pending(&self, states: &[PathBuf], ask: &Ask) -> (Response, bool, Receipt) {
        let given = self.stores.pending(states, ask, self.now());
        let any = !given.whispers.is_empty();
        let entries = given.whispers.into_iter().map(|w| entry(w, None)).collect();
        (Response::data(&Whispers { entries }), any, given.receipt)
    }

    /// Whispers of the past.
    pub(super) fn history(&self, states: &[PathBuf], reader: &str, ask: &WhisperHistoryAsk) -> Response {
        let who = (!ask.agent_id.is_empty()).then_some(Reader { key: reader, agent: &ask.agent_id });
        match self.stores.past(states, who, ask.before.0, ask.limit, self.now()) {
            Err(e) => Response::error(format!("whisper history: {e}")),
            Ok(past) => {
                let next =
                    if past.more { past.whispers.last().and_then(|(w, _)| w.created_at.0) } else { None };
                Response::data(&WhisperHistory {
                    entries: past
                        .whispers
                        .into_iter()
                        .map(|(w, read)| entry(w, who.is_some().then_some(read)))
                        .collect(),
                    cursor: GoTime(past.read_up_to),
                    has_cursor: past.has_place,
                    has_more: past.more,
                    next_cursor: GoTime(next),
                })
            }
        }
    }

    pub(super) fn pause(&self, state: &Path, agent: &str, paused: bool) {
        if let Err(e) = self.stores.of(state).pause(self.now(), agent, paused) {
            log::warn!("a pause of {agent:?} is not remembered: {e}");
        }
    }

    /// Reminds those agents that are due to be.
    pub(super) fn nudge(&self, root: &Path, state: &Path, prefix: &str, agents: &[Facts]) {
        let project = Project::load(root, &self.site.env).ok();
        let (settings, _) = Settings::load(&self.site.env, &self.site.dirs, project.as_ref());
        if !settings.murmurs_by_itself() {
            return;
        }
        let (store, now, every) = (self.stores.of(state), self.now(), settings.nudge_interval());
        for facts in agents {
            let done = store.nudged(now, &facts.agent).and_then(|record| {
                let Some(unanswered) = nudge::due(now.wall, facts, &record, every) else { return Ok(()) };
                let reader = Reader { key: &format!("{prefix}{}", facts.agent), agent: &facts.agent };
                store.nudge(now, reader, &nudge_for(&facts.agent, now.wall), unanswered)
            });
            if let Err(e) = done {
                log::warn!("{} is not reminded: {e}", facts.agent);
            }
        }
    }

    /// Says who is at work, unless that was said last.
    pub(super) fn tell_activity(&self, state: &Path, text: String) {
        let (store, now) = (self.stores.of(state), self.now());
        let word = Whisper {
            source: Source::Activity.name().into(),
            topic: "activity".into(),
            content: text,
            importance: Importance::Ambient.name().into(),
            ..timed(now.wall)
        };
        let said = store.last_of(now, Source::Activity, &word.topic).and_then(|last| {
            match last.is_some_and(|last| last.content == word.content) {
                true => Ok(0),
                false => store.take_in(now, std::slice::from_ref(&word), &[]),
            }
        });
        if let Err(e) = said {
            log::warn!("who is at work is not said: {e}");
        }
    }

    /// Looks after databases, and closes those that nobody asks for.
    pub(super) fn maintain(&self, states: &[PathBuf]) {
        self.stores.close_idle(self.now());
        for state in states {
            let store = self.stores.of(state);
            match store.maintain(self.now()) {
                Ok(done) if done.healed => log::warn!("{}: damaged, made anew", store.path().display()),
                Ok(done) if done.pruned > 0 || done.vacuumed => {
                    let (before, after) = (done.size_before, done.size_after);
                    log::info!(
                        "{}: {} removed, {} to {}",
                        store.path().display(),
                        count(done.pruned, "row"),
                        bytes(before),
                        bytes(after)
                    );
                }
                Ok(_) => {}
                Err(e) => log::warn!("{e}"),
            }
        }
    }
}

/// Commits in a clone what waits for that; for [`sync::PendingCommits`].
pub(in crate::daemon) fn commit_waiting(
    clone: &mut ManagedClone<'_>,
    state: &Path,
    now: Timestamp,
) -> Result<usize, GitError> {
    match Outbox::of(state).commit(clone, now) {
        Ok(committed) => Ok(committed),
        Err(Error::Git(e)) => Err(e),
        Err(Error::Io { path, source }) => Err(GitError::Io { what: "writing a murmur", path, source }),
        Err(e) => {
            log::warn!("murmurs wait on: {e}");
            Ok(0)
        }
    }
}

/// What waits and cannot be committed; for [`sync::PendingCommits`].
pub(in crate::daemon) fn stuck(state: &Path, clone: &Path, now: Timestamp) -> Option<String> {
    Outbox::of(state).stuck(clone, now)
}

/// Whether anything waits to be committed; for [`sync::PendingCommits`].
pub(in crate::daemon) fn is_waiting(state: &Path) -> bool {
    !Outbox::of(state).is_empty()
}

/// The murmur in a message, if it is one and says where it belongs (3.2).
fn decode(message: &Message, redactor: &Redactor, now: Timestamp) -> Result<Murmur, String> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(&message.murmur_json)
        .map_err(|e| format!("not base64: {e}"))?;
    if bytes.len() > MESSAGE_MAX {
        return Err(format!("{} bytes are too many", bytes.len()));
    }
    // Secrets go before anything is cut: half of one has no shape any more.
    let mut value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| format!("not JSON: {e}"))?;
    redactor.redact_json(&mut value);
    let bytes = serde_json::to_vec(&value).unwrap_or(bytes);
    let murmur = Murmur::read(message.murmur_id(), &bytes, now).map_err(|why| why.to_string())?;
    if murmur.path() == message.rel_path { Ok(murmur) } else { Err(whispers::Refused::Path.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{Dirs, Env};

    #[test]
    fn what_our_own_command_keeps_already_is_neither_read_nor_kept_again() {
        let temp = tempfile::tempdir().unwrap();
        let home = temp.path().join("home");
        let env = Env::of([("HOME", home.as_os_str())], temp.path());
        let worker = WhisperWorker::new(Site::new(Dirs::from_env(&env).unwrap(), env));
        let (state, now) = (temp.path().join("state"), worker.now());
        let kept = Murmur {
            id: "a".into(),
            timestamp: GoTime(Some(now.wall)),
            content: "kept".into(),
            ..Murmur::default()
        };
        Outbox::of(&state).put(&kept).unwrap();
        let said = |name: &str| {
            let rel_path = format!("data/murmurs/{name}.json");
            let message = Message { rel_path, murmur_json: "not base64".into(), ..Message::default() };
            worker.murmur(temp.path(), &state, &Scope::Ledger, &message).unwrap()
        };
        assert!(said("a"), "a sync is to follow");
        assert!(!said("b"), "what nobody keeps has to be in the message");
        let store = worker.stores.of(&state);
        let (all, _) = store.past(now, None, None, 10).unwrap();
        assert_eq!(all.iter().map(|(_, w)| w.content.as_str()).collect::<Vec<_>>(), ["kept"]);
        assert_eq!(Outbox::of(&state).waiting(now.wall).unwrap().len(), 1);
    }
}
