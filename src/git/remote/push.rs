//! Pushing a branch; never by force.

use std::time::Duration;

use git2::Oid;

use crate::git::change::resolve::ResolveRules;
use crate::git::error::GitError;
use crate::git::limits::PUSH_ATTEMPTS;
use crate::git::lock::OpKind;
use crate::git::managed::{Integrated, ManagedClone, Standing};
use crate::kit::clock::wait_until;

/// The result of [`ManagedClone::push_retry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// What the remote's branch is now.
    pub commit: Option<Oid>,
    /// Attempts made; 0 if there was nothing to push.
    pub attempts: u32,
    /// How commits of other machines came in meanwhile.
    pub integrated: Vec<Integrated>,
}

impl ManagedClone<'_> {
    /// Pushes HEAD's commits to the remote's branch of the same name. Where another machine pushed first, its commits are
    /// brought in and the push is tried again, three times in all. Each time the gate is asked first, if there is one.
    ///
    /// # Errors
    /// [`GitError::PushRaces`] if it lost every time; any refusal for another reason at once.
    pub fn push_retry(&mut self, branch: &str, rules: &ResolveRules) -> Result<Pushed, GitError> {
        let mut integrated = Vec::new();
        for attempt in 1..=PUSH_ATTEMPTS {
            let standing = self.standing_deep(branch)?;
            if standing.head.is_none() || standing.head == standing.upstream {
                return Ok(Pushed { commit: standing.upstream, attempts: attempt - 1, integrated });
            }
            if let (Some(gate), Some(head)) = (self.gate, standing.head) {
                gate(&*self.reader()?, head, standing.upstream)?;
            }
            let pushed = self.push_once(branch, &standing);
            match pushed {
                Ok(()) => {
                    self.forget_seed()?;
                    return Ok(Pushed { commit: standing.head, attempts: attempt, integrated });
                }
                Err(e) if e.lost_a_race() => log::info!("push lost a race: {e}"),
                Err(e) => return Err(e),
            }
            if attempt == PUSH_ATTEMPTS {
                break;
            }
            // Two machines that push in step get out of it by waiting unequally long.
            let unequal = Duration::from_millis(u64::from(std::process::id() % 7) * 40);
            let cancel = self.cancel.clone();
            wait_until(Duration::from_millis(250) * (attempt - 1) + unequal, || cancel.is_cancelled());
            self.fetch(branch)?;
            integrated.push(self.integrate(branch, rules)?);
        }
        Err(GitError::PushRaces)
    }

    pub(in crate::git) fn push_once(&mut self, branch: &str, standing: &Standing) -> Result<(), GitError> {
        let url = self.reader()?.origin_url().unwrap_or_default();
        self.within(OpKind::Push, branch, standing, |c| {
            let push = c.git.network("push", &c.path, &url);
            let push = push.args([
                "--porcelain",
                "--no-verify",
                "--no-signed",
                "--no-recurse-submodules",
                "--progress",
            ]);
            push.args(["origin", &format!("refs/heads/{branch}:refs/heads/{branch}")])
                .while_payload_flows()
                .run(&c.cancel)
                .map(drop)
        })
    }

    /// How many commits HEAD has that the remote-tracking ref has not.
    ///
    /// # Errors
    /// A clone that is not on the branch, or cannot be read.
    pub fn unpushed(&self, branch: &str) -> Result<usize, GitError> {
        let standing = self.standing(branch)?;
        match (standing.head, standing.upstream) {
            (Some(h), Some(u)) => Ok(self.reader()?.ahead_behind(h, u)?.0),
            (Some(h), None) => self.count_all(h),
            _ => Ok(0),
        }
    }

    fn count_all(&self, head: Oid) -> Result<usize, GitError> {
        let reader = self.reader()?;
        let mut walk = reader.repo().revwalk().map_err(GitError::git2("counting commits"))?;
        walk.push(head).map_err(GitError::git2("counting commits"))?;
        Ok(walk.count())
    }

    /// The remote-tracking ref of the branch.
    ///
    /// # Errors
    /// A clone that cannot be read.
    pub fn remote_tip(&self, branch: &str) -> Result<Option<Oid>, GitError> {
        self.reader()?.target(&format!("refs/remotes/origin/{branch}"))
    }
}
