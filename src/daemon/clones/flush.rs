//! When clones were last up to date, as it is written down in the projects that use them.

use std::path::PathBuf;

use super::Clones;
use super::event::{Effect, SyncedAt, Timer};
use crate::daemon::cx::Cx;
use crate::daemon::names::Id;
use crate::sync::{Source, Target};

impl Clones {
    /// It is time to write down what is not yet.
    pub(super) fn flush(&mut self, cx: &mut Cx) {
        cx.set_in(Timer::Flush, cx.identity.periods.flush);
        let roots: Vec<(Id, PathBuf)> =
            cx.shared.projects().iter().map(|(id, p)| (id.clone(), p.root.clone())).collect();
        for (id, root) in roots {
            let synced = self.unflushed(cx, &id);
            if !synced.is_empty() {
                cx.push(Effect::Flush { root, synced });
            }
        }
        self.states.values_mut().for_each(|state| state.unflushed = None);
    }

    /// When the project's clones were last up to date, as far as that is not written down in it yet.
    pub(super) fn unflushed(&self, cx: &Cx, id: &Id) -> SyncedAt {
        let mut synced = SyncedAt::default();
        let Some(project) = cx.shared.project(id) else { return synced };
        for state in self.states.values().filter(|s| s.users.contains(id)) {
            let (Some(at), Some(place)) = (state.unflushed, &state.place) else { continue };
            match &state.target {
                Target::Ledger { .. } => synced.ledger = Some(at),
                // What others name has no place in the project's own file.
                Target::Team { team, .. } if project.teams.sources(&team.id).contains(&Source::Config) => {
                    synced.teams.push((team.clone(), place.path.clone(), at));
                }
                Target::Team { .. } => {}
            }
        }
        synced
    }
}
