//! What a worker does for the archive.

use std::path::Path;
use std::time::Duration;

use super::event::{Effect, Event, Looked};
use crate::daemon::host::lanes::{Lane, Lanes};
use crate::git;
use crate::kit::cancel::Cancel;
use crate::project::settings::Settings;
use crate::project::{Project, RedactRules};
use crate::redact::Redactor;
use crate::sessions::archive::{Agents, Archive, Run, Which};
use crate::sync::Site;

/// A look copies at most so many bytes: others wait for the lane's one thread.
const LOOK_BYTES: u64 = 64 << 20;

pub(in crate::daemon) fn perform(lanes: &Lanes, effect: Effect) {
    let Effect::Look(id, root) = effect;
    let (site, stop) = (lanes.site.clone(), lanes.stop.clone());
    let work = move || look(&site, &root, &stop);
    lanes.start(Lane::Scan, work, move |looked| {
        Event::Looked(id, looked.unwrap_or_else(|e| Looked::Failed(e.to_string()))).into()
    });
}

fn look(site: &Site, root: &Path, stop: &Cancel) -> Looked {
    if Settings::load(&site.env, &site.dirs, None).0.archives_sessions() != Some(true) {
        return Looked::Off;
    }
    let project = match Project::load(root, &site.env) {
        Ok(project) => project,
        Err(e) => return Looked::Failed(e.to_string()),
    };
    let (Some(home), false) = (site.env.home(), project.repo_id.is_empty()) else { return Looked::Off };
    let rules = RedactRules::read(&site.dirs, Some(&project));
    rules.trouble.iter().for_each(|trouble| log::warn!("{trouble}"));
    let (redactor, trees) = (Redactor::with_rules(rules.rules), git::work_trees(&project.root));
    let now = site.clock.now().wall;
    let get = |name: &str| site.env.get(name).map(str::to_owned);
    let done = Archive::of(&site.dirs, &project.slug, &project.repo_id).run(Run {
        agents: Agents { home, get: &get, trees: &trees },
        which: Which::Due,
        bytes: LOOK_BYTES,
        redactor: &redactor,
        now,
        stop: &|| stop.is_cancelled(),
        progress: &mut |_| (),
    });
    match done {
        Ok(done) => {
            if !done.copied.is_empty() {
                log::info!("{} files of agents' sessions are kept, {} bytes", done.copied.len(), done.added);
            }
            done.left
                .iter()
                .for_each(|left| log::debug!("{} is not kept: {}", left.place.display(), left.why));
            let from_now =
                |at: jiff::Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
            Looked::Done { more: done.more, next: done.next.map(from_now) }
        }
        Err(e) => Looked::Failed(e.to_string()),
    }
}
