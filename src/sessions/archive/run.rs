//! One run: looks through what agent programs keep of the project, and copies what is to be copied.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

pub use super::copy::How;
use super::copy::{Came, Copy, NotCopied};
use super::index::{Index, Known, State};
use super::limits::{FILES_MAX, NOTES, TOLD_MAX};
use super::look::{Look, Standing, Whose, known};
use super::{Archive, Error, Run, Which};
use crate::harness::transcript::kept::{self, Keeping, Part, Source};
use crate::kit::file;
use crate::kit::lock::FileLock;
use crate::redact::Findings;

/// The lock that a run holds.
const LOCK: &str = "lock";
/// A run that is under way is waited for so long.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// A file that was copied, or was found to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The program.
    pub program: String,
    /// What the file is.
    pub part: Part,
    /// What it is known by.
    pub name: String,
    /// What the person said first in it.
    pub title: String,
    /// How it got in.
    pub how: How,
    /// Bytes that were added, as they were.
    pub added: u64,
}

/// A file that was left where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub place: PathBuf,
    /// Why.
    pub why: String,
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Files that were copied, or found to be kept.
    pub copied: Vec<Copied>,
    /// Files that were left, the first of them.
    pub left: Vec<Left>,
    /// How many these are in all.
    pub left_count: usize,
    /// Bytes that were added, as they were.
    pub added: u64,
    /// Files that were opened.
    pub opened: u64,
    /// Bytes that were read of them.
    pub read: u64,
    /// What was replaced.
    pub found: Findings,
    /// There is more to copy: a limit was reached, or the run was ended.
    pub more: bool,
    /// When something may next have passed half of the time for which its program keeps it, if it keeps nothing for ever.
    pub next: Option<Timestamp>,
}

impl Done {
    fn left(&mut self, place: PathBuf, why: String) {
        self.left_count += 1;
        if self.left.len() < TOLD_MAX {
            self.left.push(Left { place, why });
        }
    }

    fn next(&mut self, at: Option<Timestamp>) {
        self.next = self.next.into_iter().chain(at).min();
    }
}

impl Archive {
    /// Copies what is to be copied.
    ///
    /// # Errors
    /// Another run is under way, or the archive cannot be written. What was kept before, and what this run kept so far, is whole.
    pub fn run(&self, run: Run<'_>) -> Result<Done, Error> {
        let failed = |source| Error::Io { path: self.dir.clone(), source };
        file::private_dir(&self.dir).map_err(failed)?;
        let lock = FileLock::acquire(&self.dir.join(LOCK), LOCK_WAIT).map_err(failed)?;
        let Some(_lock) = lock else { return Err(Error::Busy) };
        let Some(mut index) = Index::open(&self.dir, true)? else { return Err(Error::Busy) };
        let mut look = Look::new(run.agents, Some(&index))?;
        let mut done = Done::default();
        let (mut notes, mut files) = (Vec::new(), 0);
        let copy = Copy {
            archive: self,
            index: &mut index,
            redactor: run.redactor,
            now: run.now,
            left: run.bytes,
            stop: run.stop,
            opened: 0,
            read: 0,
        };
        let mut on = On { look: &mut look, copy, notes: &mut notes, files: &mut files, done: &mut done };
        for program in kept::PROGRAMS {
            on.program(program, run.which, run.progress)?;
        }
        (done.opened, done.read) = (on.copy.opened, on.copy.read);
        done.opened += look.opened;
        index.note(&notes)?;
        if !done.more {
            index.ran(run.now, run.agents.trees)?;
        }
        Ok(done)
    }
}

/// A run that is under way.
struct On<'a, 'c> {
    look: &'a mut Look<'c>,
    copy: Copy<'a>,
    notes: &'a mut Vec<Known>,
    files: &'a mut usize,
    done: &'a mut Done,
}

impl On<'_, '_> {
    fn program(
        &mut self,
        program: &'static str,
        which: Which,
        progress: &mut dyn FnMut(&Done),
    ) -> Result<(), Error> {
        let (sources, keeping) = self.look.sources(program);
        let now = self.copy.now;
        // What comes from now on is not due before.
        self.done.next(keeping.half(now));
        let sources = match sources {
            Ok(sources) => sources,
            Err(e) => {
                self.done.left(PathBuf::from(program), format!("its transcripts cannot be listed: {e}"));
                return Ok(());
            }
        };
        for source in &sources {
            match self.look.standing(source) {
                Standing::Level => continue,
                Standing::Refused(why) => {
                    self.done.left(source.place(), why);
                    continue;
                }
                Standing::Open => {}
            }
            if which == Which::Due && !is_due(&keeping, source, now) {
                self.done.next(keeping.half(source.stat.modified()));
                continue;
            }
            if *self.files >= FILES_MAX || self.copy.left == 0 || (self.copy.stop)() {
                self.done.more = true;
                return Ok(());
            }
            self.file(source)?;
            progress(self.done);
        }
        Ok(())
    }

    fn file(&mut self, source: &Source) -> Result<(), Error> {
        let cwd = match self.look.whose(source) {
            Whose::Ours(cwd) => cwd,
            Whose::Foreign(cwd) => return self.note(known(source, State::Foreign, &cwd)),
            Whose::Unclear => return self.note(known(source, State::Unclear, "")),
        };
        let before = self.look.known(source).cloned();
        let came = match self.copy.file(source, &cwd, before.as_ref()) {
            Ok(came) => came,
            Err(NotCopied::Archive(error)) => return Err(error),
            // Its program may have deleted it this moment; else it is tried again.
            Err(NotCopied::Source(error)) => {
                self.done.left(source.place(), error.to_string());
                return Ok(());
            }
        };
        *self.files += 1;
        let Came { known, kept, added, found, is_cut } = came;
        self.done.more |= is_cut;
        self.done.found.merge(&found);
        self.done.added += added;
        let Some((version, how)) = kept else {
            self.done.left(source.place(), known.why.clone());
            return self.note(known);
        };
        self.look.note(known.clone());
        if how == How::Known {
            self.notes.push(known);
        }
        self.done.copied.push(Copied {
            program: version.program,
            part: version.part,
            name: version.name,
            title: version.title,
            how,
            added,
        });
        Ok(())
    }

    /// Notes what is known of a file that is not kept.
    fn note(&mut self, known: Known) -> Result<(), Error> {
        self.look.note(known.clone());
        self.notes.push(known);
        if self.notes.len() >= NOTES {
            self.copy.index.note(self.notes)?;
            self.notes.clear();
        }
        Ok(())
    }
}

fn is_due(keeping: &Keeping, source: &Source, now: Timestamp) -> bool {
    keeping.half(source.stat.modified()).is_some_and(|half| half <= now)
}
