//! Does something in a clone keep it from being made anew when it has grown?

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};
use crate::git::{Reader, Unmovable, unmovable};
use crate::kit::cancel::Cancel;

pub(super) const CHECK: Check = Check {
    slug: "gc-blocked-untracked",
    name: "gc",
    category: Category::Project,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let site = &cx.site;
    let mut lines = Vec::new();
    for clone in cx.clones().existing() {
        let head = Reader::open(&clone.at.path).and_then(|r| r.head()).ok().and_then(|h| h.branch);
        let branch = head.as_deref().and_then(|b| b.strip_prefix("refs/heads/")).unwrap_or("main");
        match unmovable(site.git(clone.at.self_hosted), &clone.at.path, branch, &Cancel::new()) {
            // That passes by itself.
            Ok(None | Some(Unmovable::InUse(_))) => {}
            Ok(Some(why)) => lines.push(format!("{} ({}): {why}", clone.label(), clone.at.path.display())),
            Err(e) => return Outcome::skipped(format!("{} cannot be looked at: {e}", clone.label())),
        }
    }
    match lines.first().cloned() {
        None => Outcome::passed("nothing is in its way"),
        Some(first) => Outcome::warning(format!("{} cannot be made anew", lines.len()))
            .detail(lines)
            .remedy(Remedy::Person(format!("push, apply or drop what only this machine has: {first}"))),
    }
}
