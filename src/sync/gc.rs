//! Keeping clones small: upkeep in place, or a fresh clone where that is worth it or somebody asks for it.

use super::outcome::Failure;
use super::reclone::{self, Callbacks, Due, GcRecord, INTERVAL_DAYS, Reclone, due, taken};
use super::run::{Job, OnProgress, job};
use super::shape::Shape;
use super::site::Site;
use super::workspace::Target;
use crate::git::{Reader, disk_size};
use crate::kit::cancel::Cancel;

/// Called before a clone is replaced by another at its path, and after.
pub struct Stores<'a> {
    /// Nothing below the clone may stay open.
    pub close: &'a mut dyn FnMut(),
    /// It may be opened again; also when the clone was not replaced.
    pub open: &'a mut dyn FnMut(),
}

/// Makes the clone of `target` smaller if it is time, or if somebody `asked`. `None` if it is not, or there is no clone.
///
/// # Errors
/// The clone is whole; the class says whether to try again.
pub fn gc(
    site: &Site,
    target: &Target,
    asked: bool,
    stores: Stores<'_>,
    on_progress: OnProgress<'_>,
    cancel: &Cancel,
) -> Result<Option<Reclone>, Failure> {
    let job = job(site, target, cancel).map_err(|e| Failure::new(e.class(), e.to_string()))?;
    if !job.at.exists() {
        return Ok(None);
    }
    let shape = Shape::of(&job.at, &job.at.path);
    let record = GcRecord::load(&job.at.state);
    let days = shape.gc_days().unwrap_or(INTERVAL_DAYS);
    let facts = facts(&job, &record, asked)?;
    let now = site.clock.now().wall;
    let (what, rules) = (due(&facts, record.last, days, now), shape.rules());
    let branch = job.branch()?;
    let gate = |reader: &Reader, head, upstream| job.may_push(reader, head, upstream);
    let clone = reclone::Target {
        git: job.git(),
        clock: &*site.clock,
        clone: &job.at.path,
        lock: &job.at.lock,
        state: &job.at.state,
        branch: &branch,
        rules: &rules,
        read_only: job.at.read_only,
        gate: Some(&gate),
    };
    match what {
        Due::NotBefore(_) => Ok(None),
        Due::Maintain => {
            on_progress("verifying", None, "packing");
            reclone::maintain(&clone, &mut |c| c.maintain(), cancel).map(Some)
        }
        Due::Reclone => {
            let mut make = |to: &std::path::Path| job.make_at(to, on_progress);
            let hands = Callbacks { make: &mut make, before_swap: stores.close, after_swap: stores.open };
            reclone::reclone(&clone, hands, cancel).map(Some)
        }
    }
}

/// Sizes are only measured when they count.
fn facts(job: &Job<'_>, record: &GcRecord, asked: bool) -> Result<reclone::Facts, Failure> {
    let reader = Reader::open(&job.at.path)?;
    let partial = reader.is_partial();
    let local = job.at.remote.local_path().is_some();
    let without_filters = local || record.without_filters.as_deref() == Some(&*job.at.url());
    let (mut git_bytes, mut checked_out_bytes) = (0, 0);
    if !asked && !partial && !without_filters {
        git_bytes = disk_size(&job.at.path);
        let all = taken(&job.at.path).map_err(|e| Failure::io("measuring", &job.at.path, &e))?;
        checked_out_bytes = all.saturating_sub(git_bytes);
    }
    Ok(reclone::Facts { git_bytes, checked_out_bytes, partial, without_filters, asked })
}
