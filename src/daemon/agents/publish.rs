//! A finished session on its way to others: what the room of sessions packs, the room of syncs brings into the ledger and pushes; when the
//! remote has all of it, what is here may go.

use std::path::Path;

use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::kit::file;
use crate::kit::pointer::Stored;
use crate::project::Project;
use crate::redact::Redactor;
use crate::sessions::finish::{self, FinishError, Left};
use crate::sync::share::{Parcel, share};
use crate::sync::{self, Failure, OnProgress, Site, Target};

/// A session that changes while it is shared is packed anew so often.
const ROUNDS: usize = 3;

/// Who shares it, as the message of the commit says: as the Go program has them (agentwork and sessions, 7.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharer {
    /// The daemon, when it finishes a session.
    Daemon,
    /// A command.
    Command,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The commit of the remote that has it; empty where somebody else has shared it meanwhile.
    pub commit: String,
    /// Its files, and where each is kept.
    pub stored: Vec<Stored>,
    /// What is left of it here.
    pub left: Left,
}

/// Why a session is not shared.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It cannot be packed.
    #[error(transparent)]
    Finish(#[from] FinishError),
    /// It cannot be brought into the ledger.
    #[error("{}", .0.text)]
    Share(Failure),
    /// It was written to again and again.
    #[error("it changes while it is shared")]
    Unquiet,
}

impl PublishError {
    /// The class of the failure.
    pub fn class(&self) -> Class {
        match self {
            PublishError::Share(failure) => failure.class,
            PublishError::Finish(FinishError::Io(e) | FinishError::Meta(e)) => Class::of_io(e),
            PublishError::Finish(_) => Class::Usage,
            PublishError::Unquiet => Class::Busy,
        }
    }
}

/// Shares the session in `dir`, once for all: a second call changes nothing.
///
/// # Errors
/// Nothing is lost by any: what is not surely elsewhere stays here.
pub fn publish(
    site: &Site,
    (project, target): (&Project, &Target),
    dir: &Path,
    sharer: Sharer,
    redactor: &Redactor,
    on_progress: OnProgress<'_>,
    cancel: &Cancel,
) -> Result<Published, PublishError> {
    let ledger = sync::locate(site, target).ok().map(|(_, at)| at.path);
    let name = dir.file_name().unwrap_or_default();
    let there = ledger.as_ref().map(|ledger| ledger.join("sessions").join(name));
    let _held = finish::hold(dir, cancel)?;
    if file::is_gone(dir)
        && let Some(there) = &there
        && let Some(stored) = finish::stored(there).map_err(FinishError::Meta)?
    {
        // Somebody else has shared it meanwhile.
        return Ok(Published { commit: String::new(), stored, left: Left::Nothing });
    }
    for _ in 0..ROUNDS {
        let pack = finish::pack(dir, there.as_deref(), &project.root, redactor)?;
        let plain = |stored: &[Stored]| pack.plain(stored);
        let message = match sharer {
            Sharer::Daemon => format!("finalize session {}", pack.name),
            Sharer::Command => format!("session: {}", pack.name),
        };
        let parcel = Parcel { name: &pack.name, content: pack.content.clone(), plain: &plain, message };
        let shared = share(site, target, &parcel, on_progress, cancel).map_err(PublishError::Share)?;
        match finish::shared(dir, &pack, &shared.stored)? {
            Left::Changed => {}
            left => return Ok(Published { commit: shared.commit.to_string(), stored: shared.stored, left }),
        }
    }
    Err(PublishError::Unquiet)
}
