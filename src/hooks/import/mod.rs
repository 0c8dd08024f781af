//! Events from the transcripts of agent programs: for who has no hooks, and for what hooks have missed.
//!
//! How far a file was read stands in the store, and moves in the transaction that takes in what was read. What a transcript tells again
//! (a fork, a list that is written anew, a file that is read from its beginning) is known by the id of its fact.

mod facts;
mod scope;

use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension as _, params};

pub use scope::Projects;

use self::facts::{Followed, Told};
use super::store::{AGE_MAX, Store, StoreError, Taken};
use crate::harness::transcript::opencode::{Database, Opencode};
use crate::harness::transcript::places::Text;
use crate::harness::transcript::sources::Source;
use crate::harness::transcript::{Fact, Reader};
use crate::kit::file;
use crate::tail::Tail;

/// A transcript that is one object is read up to so many bytes.
const WHOLE_MAX: usize = 16 << 20;
/// Events that are taken in by one transaction, at least.
const AT_ONCE: usize = 4_000;
/// What a reader needs to tell each fact once is kept for so long after the last that was written to its file.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);
/// A session of opencode is looked at for so long after its newest turn began.
const TURN_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Behind the path of a database the session stands in the name under which it is noted.
const PART: char = '\n';

/// What an import came to.
#[derive(Debug, Default)]
pub struct Imported {
    /// Files that are as they were.
    pub unchanged: usize,
    /// Files that were read.
    pub read: usize,
    /// What their events came to.
    pub events: Taken,
    /// Lines that are no record of a transcript, or too long.
    pub damaged: u64,
    /// What could not be read, and why.
    pub failed: Vec<(PathBuf, String)>,
    /// There is more: it was stopped.
    pub more: bool,
}

/// How an import runs.
pub struct Run<'r> {
    /// The time.
    pub now: Timestamp,
    /// Which directories count.
    pub projects: &'r mut Projects,
    /// Whether to stop; asked between transactions.
    pub stop: &'r dyn Fn() -> bool,
}

/// Reads what is new in transcripts that were written to lately, those of which others go on first.
///
/// # Errors
/// The store cannot be written to. What was read and not taken in is read again.
pub fn import(store: &mut Store, sources: Vec<Source>, mut run: Run<'_>) -> Result<Imported, StoreError> {
    let mut imported = Imported::default();
    let oldest = run.now.checked_sub(AGE_MAX).unwrap_or(Timestamp::MIN);
    let mut changed = Vec::new();
    for source in sources.into_iter().filter(|source| source.modified >= oldest) {
        let name = source.path.to_string_lossy().into_owned();
        match store.noted(&name)? {
            Some(noted) if noted.look == look(source.size, source.modified) => imported.unchanged += 1,
            noted => changed.push((source, name, noted.map(|noted| noted.state).unwrap_or_default())),
        }
    }
    // A fork tells what the one tells that it goes on from, and began later.
    changed.sort_by_cached_key(|(source, name, _)| began(source, name));
    for (source, name, state) in changed {
        if (run.stop)() {
            imported.more = true;
            break;
        }
        let mut file = File { store: &mut *store, source: &source, name: &name, run: &mut run };
        match file.read(&state, &mut imported)? {
            Ok(()) => imported.read += 1,
            Err(why) => imported.failed.push((source.path.clone(), why)),
        }
    }
    Ok(imported)
}

/// Reads what is new in the sessions of opencode's database at `path`.
///
/// # Errors
/// Those of [`import`].
pub fn import_rows(store: &mut Store, path: &Path, run: Run<'_>) -> Result<Imported, StoreError> {
    let mut imported = Imported::default();
    if file::is_gone(path) {
        return Ok(imported);
    }
    let oldest = run.now.checked_sub(AGE_MAX).unwrap_or(Timestamp::MIN);
    // Its program may open it, or leave it, at the same moment.
    let opened = Database::open(path).and_then(|database| Ok((database.sessions()?, database)));
    let opened = opened.or_else(|_| {
        let database = Database::open(path)?;
        Ok::<_, rusqlite::Error>((database.sessions()?, database))
    });
    let (sessions, mut database) = match opened {
        Ok(opened) => opened,
        Err(e) => {
            imported.failed.push((path.to_owned(), e.to_string()));
            return Ok(imported);
        }
    };
    for session in sessions.into_iter().filter(|session| session.modified >= oldest) {
        if (run.stop)() {
            imported.more = true;
            break;
        }
        let name = format!("{}{PART}{}", path.display(), session.id);
        let seen = look(0, session.modified);
        let noted = store.noted(&name)?;
        let is_level = noted.as_ref().is_some_and(|noted| noted.look == seen);
        // A turn says when it began: one that runs changes without a word.
        if is_level && session.modified < run.now.checked_sub(TURN_MAX).unwrap_or_default() {
            imported.unchanged += 1;
            continue;
        }
        let mut followed = Followed::load("opencode", &noted.map(|noted| noted.state).unwrap_or_default());
        let mut reader = followed.rows(&session.id);
        reader.tell_turns();
        let mut facts = Vec::new();
        let mut read = read_rows(&database, &mut reader, &mut facts);
        if read.as_ref().is_err_and(Database::is_busy) {
            read = Database::open(path).and_then(|anew| {
                database = anew;
                read_rows(&database, &mut reader, &mut facts)
            });
        }
        if let Err(e) = read {
            imported.failed.push((path.to_owned(), e.to_string()));
            continue;
        }
        if is_level && facts.is_empty() {
            imported.unchanged += 1;
            continue;
        }
        facts.into_iter().for_each(|fact| followed.fact(fact, session.modified));
        followed.keep_rows(reader);
        save(store, &name, seen, &mut followed, run.projects, &mut imported)?;
        imported.read += 1;
    }
    Ok(imported)
}

/// All that is new in a session.
fn read_rows(database: &Database, reader: &mut Opencode, facts: &mut Vec<Fact>) -> rusqlite::Result<()> {
    while database.read(reader, facts)? {}
    Ok(())
}

/// How a file looked, as it is stored.
fn look(size: u64, modified: Timestamp) -> (i64, i64) {
    let nanos = i64::try_from(modified.as_nanosecond()).unwrap_or(i64::MAX);
    (i64::try_from(size).unwrap_or(i64::MAX), nanos)
}

/// By which files come in the order in which their threads began: the names of codex tell, of others the file is as old as its thread.
fn began(source: &Source, name: &str) -> (Timestamp, String) {
    if source.kind == "codex" {
        let name = source.path.file_name().map(|name| name.to_string_lossy().into_owned());
        return (Timestamp::MIN, name.unwrap_or_default());
    }
    let made = fs::symlink_metadata(&source.path).and_then(|meta| meta.created()).ok();
    (made.and_then(|time| time.try_into().ok()).unwrap_or(source.modified), name.to_owned())
}

/// Takes in what was told, with how far it was read; `look` is none while there is more.
fn save(
    store: &mut Store,
    name: &str,
    look: (i64, i64),
    followed: &mut Followed,
    projects: &mut Projects,
    imported: &mut Imported,
) -> Result<(), StoreError> {
    let told = followed.take_told();
    let mut taken = Taken::default();
    store.write(|batch| {
        for Told { happening: mut h, id, cwd, forked_from } in told {
            let Some(repo) = projects.of(&cwd) else { continue };
            repo.clone_into(&mut h.repo_id);
            if let Some(from) = forked_from {
                batch.forked(&h, &from)?;
            }
            let Some(fact) = h.fact else {
                batch.saw(&h)?;
                continue;
            };
            let mut is_known = batch.is_known(fact)?;
            if !is_known && followed.may_repeat() && h.event != "SessionStart" {
                for scope in batch.ancestors(&h.agent, followed.forked_from())? {
                    is_known = is_known || batch.is_known(followed.fact_in(&scope, &h.event, &id))?;
                }
                if !is_known {
                    followed.goes_on();
                }
            }
            if is_known {
                taken.replayed += 1;
            } else {
                batch.happened(&h, &mut taken)?;
            }
        }
        let mut put = batch.conn().prepare_cached("INSERT OR REPLACE INTO files VALUES (?1, ?2, ?3, ?4)")?;
        put.execute(params![name, look.0, look.1, followed.saved()]).map(drop)
    })?;
    imported.events.new += taken.new;
    imported.events.merged += taken.merged;
    imported.events.replayed += taken.replayed;
    Ok(())
}

/// A transcript that is read.
struct File<'f, 'r> {
    store: &'f mut Store,
    source: &'f Source,
    name: &'f str,
    run: &'f mut Run<'r>,
}

impl File<'_, '_> {
    /// Reads it to its end; why that cannot be.
    fn read(&mut self, state: &str, imported: &mut Imported) -> Result<Result<(), String>, StoreError> {
        let Source { kind, path, modified, .. } = self.source;
        let mut followed = Followed::load(kind, state);
        let reader = followed.reader.take().or_else(|| self.source.reader());
        let Some(mut reader) = reader else { return Ok(Err("its program is not known".to_owned())) };
        reader.tell_turns();
        let before = reader.skipped().damaged;
        if self.source.is_compressed() || self.source.is_whole() {
            let mut whole = || {
                if let Reader::Gemini(gemini) = &mut reader {
                    let mut facts = Vec::new();
                    gemini.whole(&file::read_capped(path, WHOLE_MAX)?, &mut facts);
                    facts.into_iter().for_each(|fact| followed.fact(fact, *modified));
                    return Ok(0);
                }
                let text = Text::new(path, fs::File::open(path)?)?;
                reader.read_all(text, true, &mut |fact| followed.fact(fact, *modified))
            };
            match whole() {
                Ok(too_long) => imported.damaged += too_long,
                Err(e) => return Ok(Err(std::io::Error::to_string(&e))),
            }
            imported.damaged += reader.skipped().damaged - before;
            return self.done(reader, followed, true, imported).map(Ok);
        }
        let mut tail = Tail::new(path, followed.cursor);
        let mut facts: Vec<Fact> = Vec::new();
        loop {
            let mut at = tail.cursor().offset;
            let step = tail.step(&mut |offset, line| {
                if offset < at {
                    // The file was written anew.
                    if let Some(new) = self.source.reader() {
                        reader = new;
                        reader.tell_turns();
                    }
                    followed.begin_anew();
                }
                at = offset;
                reader.line(line, &mut facts);
                facts.drain(..).for_each(|fact| followed.fact(fact, *modified));
            });
            let step = match step {
                Ok(step) => step,
                Err(e) => return Ok(Err(e.to_string())),
            };
            imported.damaged += step.too_long as u64;
            followed.cursor = tail.cursor();
            let is_stopped = step.more && (self.run.stop)();
            if step.more && followed.told() < AT_ONCE && !is_stopped {
                continue;
            }
            if !step.more || is_stopped {
                imported.more |= is_stopped;
                imported.damaged += reader.skipped().damaged.saturating_sub(before);
                return self.done(reader, followed, !is_stopped, imported).map(Ok);
            }
            followed.reader = Some(reader);
            save(self.store, self.name, NOT_ALL, &mut followed, self.run.projects, imported)?;
            let Some(back) = followed.reader.take() else { return Ok(Ok(())) };
            reader = back;
        }
    }

    fn done(
        &mut self,
        mut reader: Reader,
        mut followed: Followed,
        is_all: bool,
        imported: &mut Imported,
    ) -> Result<(), StoreError> {
        let is_idle = self.run.now.duration_since(self.source.modified) > KEPT_FOR;
        if is_idle || self.source.kind == "claude-code" {
            // Its facts are known by ids that no other has.
            reader.forget_told();
        }
        followed.reader = Some(reader);
        followed.seen(self.source.modified);
        let look = if is_all { look(self.source.size, self.source.modified) } else { NOT_ALL };
        save(self.store, self.name, look, &mut followed, self.run.projects, imported)
    }
}

/// How no file looks: there is more to read.
const NOT_ALL: (i64, i64) = (-1, 0);

/// What is noted of a file.
struct Noted {
    look: (i64, i64),
    state: String,
}

impl Store {
    fn noted(&self, name: &str) -> Result<Option<Noted>, StoreError> {
        self.read(|conn| {
            conn.prepare_cached("SELECT size, modified, state FROM files WHERE path = ?1")?
                .query_row([name], |row| Ok(Noted { look: (row.get(0)?, row.get(1)?), state: row.get(2)? }))
                .optional()
        })
    }
}
