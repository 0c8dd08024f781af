//! How the archive stands: what it holds, and which transcripts would be lost next.

use jiff::Timestamp;

use super::index::{Index, Sums};
use super::limits::TOLD_MAX;
use super::look::{Look, Standing, Whose};
use super::{Agents, Archive, Error};
use crate::harness::transcript::kept::{self, Keeping, Part};

/// A transcript of the project that is not kept, or not all of it, and that its program deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endangered {
    /// The program.
    pub program: &'static str,
    /// What it is known by.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// From when on its program may delete it.
    pub until: Timestamp,
}

/// How the archive stands.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// What it holds.
    pub sums: Sums,
    /// How long each program keeps its transcripts.
    pub keeping: Vec<(&'static str, Keeping)>,
    /// Transcripts of sessions that are not kept yet, and their bytes.
    pub sessions: u64,
    /// All files that are not kept yet, or not all of them.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The transcripts that would be lost next, the first of them.
    pub endangered: Vec<Endangered>,
    /// Files that were left, and why, the first of them.
    pub left: Vec<super::Left>,
}

impl Archive {
    /// Looks how it stands. Reads beginnings of transcripts of which nothing is known yet, and writes nothing.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn status(&self, agents: Agents<'_>) -> Result<Status, Error> {
        let index = Index::open(&self.dir, false)?;
        let sums = index.as_ref().map_or(Ok(Sums::default()), Index::sums)?;
        let mut look = Look::new(agents, index.as_ref())?;
        let mut status = Status { sums, ..Status::default() };
        for program in kept::PROGRAMS {
            let (sources, keeping) = look.sources(program);
            let sources = match sources {
                Ok(sources) => sources,
                Err(e) => {
                    let why = format!("its transcripts cannot be listed: {e}");
                    status.left.push(super::Left { place: program.into(), why });
                    continue;
                }
            };
            for source in &sources {
                match look.standing(source) {
                    Standing::Level => continue,
                    Standing::Refused(why) => {
                        status.left.push(super::Left { place: source.place(), why });
                        continue;
                    }
                    Standing::Open => {}
                }
                if !matches!(look.whose(source), Whose::Ours(_)) {
                    continue;
                }
                status.files += 1;
                status.bytes += source.stat.size;
                if source.part != Part::Session {
                    continue;
                }
                status.sessions += 1;
                if let Some(until) = keeping.until(source.stat.modified()) {
                    let (name, size) = (source.name.clone(), source.stat.size);
                    status.endangered.push(Endangered { program, name, size, until });
                }
            }
            status.keeping.push((program, keeping));
        }
        status.endangered.sort_by(|a, b| (a.until, &a.name).cmp(&(b.until, &b.name)));
        status.endangered.truncate(TOLD_MAX);
        status.left.truncate(TOLD_MAX);
        Ok(status)
    }
}
