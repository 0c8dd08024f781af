//! Does git leave what is of this machine alone out of the clones?

use super::{Category, Check, Context, Fix, FixLevel, Outcome, Remedy};
use crate::sync::upkeep;

pub(super) const CHECK: Check = Check {
    slug: "gitignore-missing",
    name: "ignored files",
    category: Category::Project,
    fix_level: FixLevel::Suggested,
    run,
};

fn run(cx: &Context) -> Outcome {
    let (mut lines, mut targets) = (Vec::new(), Vec::new());
    for clone in cx.clones().existing() {
        match upkeep::missing_excludes(&clone.at) {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => {
                lines.push(format!("{}: {}", clone.label(), missing.join(" ")));
                targets.push(clone.target.clone());
            }
            Err(e) => return Outcome::skipped(format!("{} cannot be looked at: {e}", clone.label())),
        }
    }
    if targets.is_empty() {
        return Outcome::passed("machine-local files stay out of the clones");
    }
    Outcome::warning(format!("git sees machine-local files in {}", targets.len()))
        .detail(lines)
        .remedy(Remedy::Fix(Fix::Exclude(targets)))
}
