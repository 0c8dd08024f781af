//! Does every murmur that waits go out?

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};
use crate::whispers::Outbox;

pub(super) const CHECK: Check = Check {
    slug: "murmurs",
    name: "murmurs",
    category: Category::Project,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let (mut lines, mut dirs) = (Vec::new(), Vec::new());
    for clone in cx.clones().existing() {
        let outbox = Outbox::of(&clone.at.state);
        let bad = outbox.bad(cx.now);
        dirs.extend(bad.first().and_then(|(path, _)| path.parent()).map(|dir| dir.display().to_string()));
        lines.extend(bad.iter().map(|(path, why)| format!("{}: {}: {why}", clone.label(), path.display())));
        match outbox.blocked(&clone.at.path, cx.now) {
            Ok(blocked) => lines.extend(blocked.iter().map(|why| format!("{}: {why}", clone.label()))),
            Err(e) => lines.push(format!("{}: {e}", clone.label())),
        }
    }
    if lines.is_empty() {
        return Outcome::passed("all of them go out");
    }
    let remedy = match dirs.as_slice() {
        [] => "remove what lies in their place in the clone, commit that, and: ox sync".to_owned(),
        dirs => format!("look at what lies there, then: rm -r {}", dirs.join(" ")),
    };
    Outcome::warning("some murmurs do not go out").detail(lines).remedy(Remedy::Person(remedy))
}
