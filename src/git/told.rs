//! What git and ssh children contacted, as far as can be told from outside: by the remote's URL, and for a command that only may have had to ask
//! the remote, by what it left.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::GitError;
use crate::kit::Class;
use crate::kit::child::Output;
use crate::kit::contact::{self, Contact, End, Peer, Purpose};

/// A contact that a child is about to make.
pub(super) struct Contacting {
    peer: Peer,
    purpose: Purpose,
    /// For a command that only may make it: where contents that it fetched come to lie, and how that was before.
    packs: Option<(PathBuf, Option<SystemTime>)>,
}

impl Contacting {
    /// The contact that a child for `sub` makes with the remote `url`; none with what is on this machine's disk.
    pub(super) fn of(sub: &str, url: &str) -> Option<Contacting> {
        let purpose = match sub {
            "clone" => Purpose::Clone,
            "push" => Purpose::Push,
            "lfs" => Purpose::Lfs,
            _ => Purpose::Sync,
        };
        Some(Contacting { peer: Peer::of_url(url)?, purpose, packs: None })
    }

    /// It is only made if contents are missing in the repository at `dir`.
    pub(super) fn only_if_needed(self, dir: &Path) -> Contacting {
        let packs = dir.join(".git/objects/pack");
        let before = changed(&packs);
        Contacting { packs: Some((packs, before)), ..self }
    }

    /// Tells of it, now that the child for `sub` has ended.
    pub(super) fn tell(self, sub: &'static str, ran: &Result<Output, GitError>) {
        let failure = match ran {
            Ok(out) if out.status.success() => None,
            Ok(out) => Some(GitError::of_output(sub, out)),
            // Nothing was run.
            Err(GitError::NotInstalled | GitError::Io { .. }) => return,
            Err(_) => None,
        };
        let failure = failure.as_ref().or(ran.as_ref().err());
        if !self.was_made(failure) {
            return;
        }
        let end = failure.map_or(End::Done, |e| End::Failed(word(e, ran.as_ref().ok())));
        contact::tell(Contact::new(self.purpose, self.peer, end));
    }

    /// Whether there was a contact: always, but where contents only had to be fetched if they were missing. Then something was fetched, or
    /// the way there failed.
    fn was_made(&self, failure: Option<&GitError>) -> bool {
        let Some((packs, before)) = &self.packs else { return true };
        let now = changed(packs);
        let has_fetched = now.is_none() || now != *before;
        has_fetched || failure.is_some_and(|e| matches!(e.class(), Class::Network | Class::Auth))
    }
}

fn changed(dir: &Path) -> Option<SystemTime> {
    dir.metadata().and_then(|meta| meta.modified()).ok()
}

/// Why nothing came of it, in a word or two.
fn word(e: &GitError, out: Option<&Output>) -> &'static str {
    let said = out.map(|out| String::from_utf8_lossy(&out.stderr).to_lowercase()).unwrap_or_default();
    match e {
        _ if said.contains("connection refused") => "refused",
        _ if said.contains("could not resolve host") => "unknown host",
        GitError::Timeout { .. } => "timeout",
        GitError::Stalled { .. } => "stalled",
        GitError::Cancelled(_) => "cancelled",
        GitError::TooLarge { .. } => "too large",
        e => match e.class() {
            Class::Network => "unreachable",
            Class::Auth => "no access",
            Class::Conflict => "rejected",
            _ => "failed",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_may_have_to_fetch_made_a_contact_if_it_fetched_or_failed_on_the_way() {
        let temp = tempfile::tempdir().unwrap();
        let packs = temp.path().join(".git/objects/pack");
        std::fs::create_dir_all(&packs).unwrap();
        let of = |sub| Contacting::of(sub, "https://h/x").unwrap();
        assert!(Contacting::of("fetch", "/srv/x.git").is_none(), "a path is nobody");
        assert!(of("fetch").was_made(None));
        let lazy = of("checkout").only_if_needed(temp.path());
        assert!(!lazy.was_made(None));
        let failed = |text| GitError::failed("checkout", Some(128), text);
        assert!(!lazy.was_made(Some(&failed("error: unable to write file"))));
        assert!(lazy.was_made(Some(&failed("fatal: unable to access: Connection refused"))));
        std::fs::File::open(&packs).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(lazy.was_made(None), "contents came");
        let unknown = of("checkout").only_if_needed(&temp.path().join("gone"));
        assert!(unknown.was_made(None), "what cannot be looked at is never not there");
    }
}
