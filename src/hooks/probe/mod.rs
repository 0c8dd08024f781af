//! Proves the way of events from an agent's program to the store: configured, trusted, fired, delivered, stored. What its settings say is
//! looked at first; then the program is run once, with a model server of ours in the place of its model, in a project that is made for
//! that and goes again. What a run does not fire, or all of it where the program cannot be run so, is replayed: the commands in the settings
//! are run as the program does it.
//!
//! A run has a project of its own because its id tells what belongs to it in spool and store: nothing of it stays, and nothing else goes.

mod judge;
mod run;
pub mod speech;
mod stub;
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use judge::{Broken, EventProof, Fired, Link, NOT_OPTED_IN};

use self::judge::Seen;
use self::run::{Private, Ran};
use self::watch::{Arrived, Watch};
use super::entry;
use super::event;
use super::install::{self, Error, Site, Wiring};
use super::record::{Record, VERSION};
use super::spool;
use super::store::Store;
use crate::harness::headless;
use crate::kit::clock::{Clock as _, SystemClock};
use crate::kit::{id, lock};
use crate::project::{Dirs, root_above};

/// What a program has started may come in until this long after its end: the plug-in waits for nothing.
const LATE_MAX: Duration = Duration::from_secs(3);
/// An event is stored within this (it is a second where all is well; a daemon may have to be started for it).
const STORED_MAX: Duration = Duration::from_secs(6);

/// How the way was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// The program was run.
    Run,
    /// Its commands were run in its place; why.
    Replayed(String),
    /// Nothing was run: what stands in the settings cannot work.
    NotRun,
}

/// What a test has shown of one agent.
#[derive(Debug)]
pub struct Proof {
    /// Its word.
    pub agent: &'static str,
    /// The file of hooks that it reads here.
    pub path: PathBuf,
    /// The program.
    pub program: Option<PathBuf>,
    /// How it was tried.
    pub how: How,
    /// Its events, in the order of its row.
    pub events: Vec<EventProof>,
    /// Links that are broken, the first first.
    pub broken: Vec<Broken>,
    /// What else is worth to be said.
    pub notes: Vec<String>,
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The state of hooks cannot be read.
    #[error(transparent)]
    Install(#[from] Error),
    /// There is no such agent, or no home directory.
    #[error("nobody knows where {0} has its settings: there is no home directory")]
    Nowhere(String),
    /// No project can be made for the run, or nothing watched.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Tries the way of the agent that `word` names. `told` hears what is being done.
///
/// # Errors
/// Nothing could be tried; a link that is broken is no error.
pub fn probe(site: Site<'_>, word: &str, told: &dyn Fn(&str)) -> Result<Proof, ProbeError> {
    let project = site.env.cwd().and_then(|cwd| root_above(cwd, site.env)).map(Path::to_owned);
    let found = install::wiring(site, word, project.as_deref())?;
    let wiring = found.ok_or_else(|| ProbeError::Nowhere(word.to_owned()))?;
    let is_off = site.env.get(entry::MODE) == Some(entry::OFF);
    let broken = judge::before(&wiring, is_off);
    let mut notes = judge::notes(&wiring);
    let seen = Seen::default();
    if !broken.is_empty() {
        let events = judge::events(&wiring, &broken, &seen);
        let proof = Proof {
            agent: wiring.hooks.word,
            path: wiring.status.path.clone(),
            program: None,
            how: How::NotRun,
            events,
            broken,
            notes,
        };
        return Ok(proof);
    }
    let private = Private::new(site.env).map_err(|source| at(site.env.temp(), source))?;
    let data = site.dirs.data();
    let watch = Watch::start(data, &site.dirs.events(), private.repo_id()).map_err(|e| at(data, e))?;
    let trial = Trial { site, wiring: &wiring, private: &private, watch: &watch, told };
    let (program, how, seen) = trial.run();
    if project.is_none() && trial.is_for_projects() {
        notes.push(format!(
            "this directory is in no project: what {word} does here is not taken in (hooks.scope)"
        ));
    }
    if let Some(why) = &seen.cut_short {
        notes.push(format!("{word} did not come to its end ({why}): the rest was run in its place"));
    }
    let broken = judge::after(&wiring, &how, &seen);
    let events = judge::events(&wiring, &broken, &seen);
    trial.clean_up();
    Ok(Proof {
        agent: wiring.hooks.word,
        path: wiring.status.path.clone(),
        program,
        how,
        events,
        broken,
        notes,
    })
}

fn at(path: &Path, source: io::Error) -> ProbeError {
    ProbeError::Io { path: path.to_owned(), source }
}

/// One agent's.
struct Trial<'t> {
    site: Site<'t>,
    wiring: &'t Wiring,
    private: &'t Private,
    watch: &'t Watch,
    told: &'t dyn Fn(&str),
}

impl Trial<'_> {
    fn run(&self) -> (Option<PathBuf>, How, Seen) {
        let word = self.wiring.hooks.word;
        let program = self.site.env.program(word);
        let ran = match &program {
            None => Err("it is not on PATH".to_owned()),
            Some(program) => self.run_program(program),
        };
        let mut seen = Seen { tried: true, ..Seen::default() };
        let how = match ran {
            Err(why) => How::Replayed(why),
            Ok(mut ran) => {
                let mut expected = judge::expected(self.wiring, ran.served);
                let has_come = |ran: &Ran, expected: &[&str]| {
                    self.watch.until(LATE_MAX, |arrived| {
                        ran.failed.is_some() || expected.iter().all(|event| arrived.is_delivered(event))
                    })
                };
                // An entry has 200 ms: on a machine that is busy one may have had no time.
                if !has_come(&ran, &expected)
                    && let Some(Ok(again)) = program.as_deref().map(|program| self.run_program(program))
                {
                    ran = again;
                    expected = judge::expected(self.wiring, ran.served);
                    has_come(&ran, &expected);
                }
                let arrived = self.watch.arrived();
                let is_by_run = |name: &&str| arrived.is_delivered(name);
                seen.by_run = self.names().filter(is_by_run).collect();
                match ran.failed {
                    // What it did not come to proves nothing.
                    Some(why) if seen.by_run.is_empty() => How::Replayed(why),
                    Some(why) => {
                        seen.cut_short = Some(why);
                        How::Run
                    }
                    None => {
                        seen.missed = expected.into_iter().filter(|e| !arrived.is_delivered(e)).collect();
                        How::Run
                    }
                }
            }
        };
        self.replay(&mut seen);
        let is_stored =
            |arrived: &Arrived| self.names().all(|e| !arrived.is_delivered(e) || arrived.row(e).is_some());
        (self.told)(&format!("{word}: waiting for its events to be stored"));
        self.watch.until(STORED_MAX, is_stored);
        seen.arrived = self.watch.arrived();
        seen.daemon = lock::is_held(&self.site.dirs.daemon_lock()).unwrap_or(true);
        (program, how, seen)
    }

    fn run_program(&self, program: &Path) -> Result<Ran, String> {
        let (word, managed) = (self.wiring.hooks.word, headless::managed_settings());
        if let Some(why) = headless::asks_elsewhere(word, &self.wiring.dir, managed) {
            return Err(why);
        }
        (self.told)(&format!("{word}: running {}", program.display()));
        run::run(self.wiring.hooks, program, &self.private.project(), self.private.dir())
    }

    /// The events at which a command of ours stands.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.wiring.commands.iter().map(|(event, _)| *event)
    }

    /// Runs the commands of what has not come.
    fn replay(&self, seen: &mut Seen) {
        let (hooks, session) = (self.wiring.hooks, id::new_id().to_string());
        let rest: Vec<_> =
            self.wiring.commands.iter().filter(|(event, _)| !seen.by_run.contains(event)).collect();
        if rest.is_empty() {
            return;
        }
        (self.told)(&format!("{}: running the commands in its settings", hooks.word));
        for (event, command) in &rest {
            let now = SystemClock.now().wall;
            let wrong = run::replay(hooks, event, command, &session, &self.private.project(), now);
            seen.wrong = seen.wrong.take().or(wrong);
        }
        // It was written when the command ended.
        let arrived = self.watch.arrived();
        if !rest.iter().all(|(event, _)| arrived.is_delivered(event)) {
            seen.refused = self.put(&session).err();
        }
    }

    /// Puts an event into the spool as the entry does it, and says what keeps it from that.
    fn put(&self, session: &str) -> Result<(), String> {
        let record = Record {
            v: VERSION,
            spool_id: id::new_id().to_string(),
            at_ms: SystemClock.now().wall.as_millisecond(),
            agent: event::program(self.wiring.hooks.word).map_or("", |program| program.kind).to_owned(),
            event: "Notification".to_owned(),
            raw_event: PUT.to_owned(),
            session_id: session.to_owned(),
            repo_id: self.private.repo_id().to_owned(),
            ..Record::default()
        };
        spool::put(self.site.dirs.data(), &record).map_err(|e| {
            let source = std::error::Error::source(&e).map(|source| format!(": {source}"));
            format!("{e}{}", source.unwrap_or_default())
        })
    }

    /// Whether events count in projects alone.
    fn is_for_projects(&self) -> bool {
        let flag = super::flag::read(self.site.dirs.data(), self.wiring.hooks.word);
        flag.is_some_and(|flag| flag.scope == super::flag::Scope::Initialized)
    }

    /// Takes out of the store what came of it, and sees to it that what is not stored yet never is: neither from the spool nor from a
    /// transcript.
    fn clean_up(&self) {
        let hooks = self.wiring.hooks;
        for kept in headless::kept(hooks.word, &self.wiring.dir, &self.private.project()) {
            if let Err(e) = std::fs::remove_dir_all(&kept) {
                log::debug!("{}: {e}", kept.display());
            }
        }
        let arrived = self.watch.arrived();
        let lines: Vec<(&str, i64)> =
            arrived.records.iter().map(|record| (record.spool_id.as_str(), record.at_ms)).collect();
        for session in arrived.sessions() {
            if let Err(e) = forget(self.site.dirs, session, &lines) {
                log::warn!("events of a test stay in the store: {e}");
            }
        }
        // Of what was handed over too late the entry knows no session.
        for (event, _) in arrived.rows.values().filter(|(event, _)| event.session_id.is_empty()) {
            let gone = Store::open(&self.site.dirs.events())
                .and_then(|mut opened| opened.store.forget_nobodys(event.seq));
            if let Err(e) = gone {
                log::warn!("an event of a test stays in the store: {e}");
            }
        }
    }
}

/// What the line is called that is put into the spool to see whether it can be.
const PUT: &str = "ox-hooks-test";

fn forget(dirs: &Dirs, session: &str, lines: &[(&str, i64)]) -> Result<(), super::store::StoreError> {
    Store::open(&dirs.events())?.store.forget(session, lines).map(drop)
}
