//! Is everything checked out that the teams' manifests name?

use super::{Category, Check, Context, Fix, FixLevel, Outcome, Remedy};
use crate::sync::upkeep;

pub(super) const CHECK: Check = Check {
    slug: "team-sparse-checkout",
    name: "teams' files",
    category: Category::Project,
    fix_level: FixLevel::Suggested,
    run,
};

fn run(cx: &Context) -> Outcome {
    let site = &cx.site;
    let (mut lines, mut targets) = (Vec::new(), Vec::new());
    for team in cx.clones().teams.iter().filter(|t| t.at.exists()) {
        match upkeep::missing_patterns(site, &team.at) {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => {
                lines.push(format!("{}: {}", team.label(), missing.join(" ")));
                targets.push(team.target.clone());
            }
            Err(e) => return Outcome::skipped(format!("{} cannot be looked at: {e}", team.label())),
        }
    }
    if targets.is_empty() {
        return Outcome::passed("as the manifests say");
    }
    Outcome::warning(format!("not all is checked out in {}", targets.len()))
        .detail(lines)
        .remedy(Remedy::Fix(Fix::CheckOut(targets)))
}
