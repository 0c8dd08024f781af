//! One session, from the end of its recording to the ledger: read, summed up by an agent, judged, shared.

use std::io;
use std::path::{Path, PathBuf};

use super::cost;
use super::event::Place;
use super::publish::{PublishError, Sharer, publish};
use crate::agents::budget::Cost;
use crate::agents::limits::{BYTES_A_TOKEN, PROMPT_MAX};
use crate::agents::manager::{End, Ended};
use crate::agents::runner::{self, Ask as AskAgent, Runner, Which};
use crate::kit::cancel::Cancel;
use crate::kit::file;
use crate::project::{AgentWorker, Project, RedactRules};
use crate::redact::Redactor;
use crate::sessions::finish::{self, Ask, By, FinishError, Prepared};
use crate::sessions::finish::{Candidate, Need};
use crate::sessions::raw;
use crate::sessions::summary::Thresholds;
use crate::sessions::{Name, Place as Lies, Places};
use crate::sync::{self, Site};

/// What is there to do it with.
pub(super) struct Means<'a> {
    pub(super) site: &'a Site,
    pub(super) place: &'a Place,
    pub(super) worker: &'a AgentWorker,
    /// The agent that may be asked.
    pub(super) runner: Option<&'a Runner>,
    /// Is told the number of its process.
    pub(super) began: &'a dyn Fn(u32),
    pub(super) cancel: &'a Cancel,
}

/// How far it got.
enum Step {
    /// There is more to do.
    Go,
    /// This is the end of it.
    End(Ended),
}

impl Means<'_> {
    /// Finishes the session.
    pub(super) fn finish(&self, name: &Name) -> Ended {
        let nothing = Some(Cost::default());
        let failed = |end: End, error: String| Ended { end, error, exit_code: 0, cost: nothing };
        let project = match Project::load(&self.place.root, &self.site.env) {
            Ok(project) => project,
            Err(e) => return failed(End::Rejected, e.to_string()),
        };
        let rules = RedactRules::read(&self.site.dirs, Some(&project));
        rules.trouble.iter().for_each(|trouble| log::warn!("{trouble}"));
        let redactor = Redactor::with_rules(rules.rules);
        let ended = self.finish_in(&project, name, &redactor);
        // An agent or a server may say the key that it refuses.
        Ended { error: redactor.redact(&ended.error).into_owned(), ..ended }
    }

    fn finish_in(&self, project: &Project, name: &Name, redactor: &Redactor) -> Ended {
        let nothing = Some(Cost::default());
        let failed = |end: End, error: String| Ended { end, error, exit_code: 0, cost: nothing };
        let places = places(self.site, self.place, project);
        let dir = match own_copy(&places, name) {
            Ok(Some(dir)) => dir,
            // Somebody else has finished it meanwhile.
            Ok(None) => return failed(End::Done, String::new()),
            Err(e) => return failed(End::Unfinished, e.to_string()),
        };
        let (mut cost, mut rejected) = (nothing, None);
        if let Some(runner) = self.runner {
            match self.summary(runner, project, &dir, redactor) {
                (Step::End(ended), _, _) => return ended,
                (Step::Go, took, error) => (cost, rejected) = (took, error),
            }
        }
        let done = match self.worker.publishes(project) {
            true => self.share(project, &dir, redactor),
            false => Ok(()),
        };
        let (end, error) = match (done, rejected) {
            _ if self.cancel.is_cancelled() => (End::Cancelled, String::new()),
            (Err(why), _) => (End::Unfinished, why),
            (Ok(()), Some(why)) => (End::Rejected, why),
            (Ok(()), None) => (End::Done, String::new()),
        };
        Ended { end, error, exit_code: 0, cost }
    }

    /// Brings the session in `dir` to others, unless it was decided that it stays here.
    fn share(&self, project: &Project, dir: &Path, redactor: &Redactor) -> Result<(), String> {
        if file::is_gone(dir) {
            return Ok(());
        }
        let of = (project, &self.place.target);
        let silent = &mut |_: &str, _: Option<u8>, _: &str| ();
        match publish(self.site, of, dir, Sharer::Daemon, redactor, silent, self.cancel) {
            Ok(_) | Err(PublishError::Finish(FinishError::NotShared)) => Ok(()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Has the session in `dir` summed up. Answers what that took, and what is wrong with the answer.
    fn summary(
        &self,
        runner: &Runner,
        project: &Project,
        dir: &Path,
        redactor: &Redactor,
    ) -> (Step, Option<Cost>, Option<String>) {
        let nothing = Some(Cost::default());
        let end = |end: End, error: String| Ended { end, error, exit_code: 0, cost: nothing };
        let tokens = usize::try_from(PROMPT_MAX / BYTES_A_TOKEN).unwrap_or(usize::MAX);
        let ask = Ask { tokens, force: false, root: &project.root };
        let mut prepared = match finish::prepare(dir, ask, redactor) {
            Ok(prepared) => prepared,
            // What is left is to share it.
            Err(FinishError::Finished | FinishError::GivenUp) => return (Step::Go, nothing, None),
            Err(e @ (FinishError::Io(_) | FinishError::Meta(_))) => {
                return (Step::End(end(End::Unfinished, e.to_string())), nothing, None);
            }
            Err(e) => return (Step::End(end(End::Rejected, e.to_string())), nothing, None),
        };
        let prompt = prepared.prompt.take();
        if prompt.is_some()
            && let Err(e) = finish::count(dir, &mut prepared, redactor)
        {
            return (Step::End(end(End::Unfinished, e.to_string())), nothing, None);
        }
        let mut is_attempt = true;
        let (said, cost, failure) = match &prompt {
            None => (String::new(), nothing, None),
            Some(prompt) => {
                let ask = AskAgent {
                    prompt: &prompt.text,
                    model: &self.worker.model,
                    deadline: self.worker.timeout,
                    cancel: self.cancel,
                    env: &self.site.env,
                    private: &self.site.dirs.agent_work(),
                    clock: self.site.clock.as_ref(),
                };
                match runner.run_telling(&ask, &mut |pid| (self.began)(pid)) {
                    Ok(ran) => {
                        let cost = cost::took(self.site, self.worker, runner.which().word(), &ran.answer);
                        (ran.answer.text, cost, None)
                    }
                    Err(failed) => {
                        is_attempt = failed.end == End::Failed && !is_servers(runner, &failed);
                        let ended = Ended {
                            end: failed.end,
                            error: failed.error,
                            exit_code: failed.exit_code,
                            cost: failed.cost,
                        };
                        (String::new(), ended.cost, Some(ended))
                    }
                }
            }
        };
        match failure {
            // A wall, a login, our own end and a server that is away are no attempts.
            Some(ended) if !is_attempt => match finish::uncount(dir, &prepared, redactor) {
                Ok(()) | Err(FinishError::Changed) => (Step::End(ended), cost, None),
                Err(e) => (Step::End(Ended { error: format!("{}; {e}", ended.error), ..ended }), cost, None),
            },
            Some(ended) => match finish::fail(dir, &prepared, &ended.error, redactor) {
                // The last one: what can be told without an agent is shared.
                Ok(accepted) if accepted.given_up => (Step::Go, cost, Some(ended.error)),
                Ok(_) => (Step::End(ended), cost, None),
                Err(e) => (Step::End(Ended { error: format!("{}; {e}", ended.error), ..ended }), cost, None),
            },
            None => match self.accept(dir, &prepared, &said, redactor) {
                Ok(accepted) => (Step::Go, cost, accepted.error),
                Err(e) => {
                    // It is to be asked about once more, which is not for nothing.
                    let end = if prompt.is_some() { End::Failed } else { End::Unfinished };
                    (Step::End(Ended { end, error: e.to_string(), exit_code: 0, cost }), cost, None)
                }
            },
        }
    }

    fn accept(
        &self,
        dir: &Path,
        prepared: &Prepared,
        said: &str,
        redactor: &Redactor,
    ) -> Result<finish::Accepted, FinishError> {
        let thresholds = Thresholds {
            upload: self.worker.quality_upload_threshold,
            discard: self.worker.quality_discard_threshold,
        };
        finish::accept(dir, prepared, said, By { thresholds, redactor })
    }
}

/// Whether it failed because a server could not be reached or failed itself: nothing came of which anybody knows what it took.
fn is_servers(runner: &Runner, failed: &runner::Failed) -> bool {
    matches!(runner.which(), Which::Chat(_)) && failed.cost.is_none()
}

/// Where sessions of the project lie.
pub(super) fn places(site: &Site, place: &Place, project: &Project) -> Places {
    let ledger = sync::locate(site, &place.target).ok().map(|(_, at)| at).filter(sync::Workspace::exists);
    Places::new(&site.dirs, &project.root, &project.repo_id, ledger.as_ref().map(|at| at.path.as_path()))
}

/// The directory of this machine in which the session is finished; none where there is none of it.
fn own_copy(places: &Places, name: &Name) -> io::Result<Option<PathBuf>> {
    let Ok(found) = places.find(name) else { return Ok(None) };
    match found.place {
        Lies::Project => Ok(None),
        Lies::Ledger if !raw::is_substantive(&found.dir.join(raw::FILE))? => Ok(None),
        place => {
            let (name, dir) = (found.name, found.dir);
            let candidate = Candidate { name, dir, place, need: Need::Summary, bytes: 0 };
            finish::bring_here(places, &candidate).map(Some)
        }
    }
}
