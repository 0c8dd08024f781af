//! Are the databases of whispers sound?

use super::{Category, Check, Context, Fix, FixLevel, Outcome, Remedy};
use crate::whispers::Store;

pub(super) const CHECK: Check = Check {
    slug: "whisper-db",
    name: "whispers",
    category: Category::Project,
    fix_level: FixLevel::Suggested,
    run,
};

fn run(cx: &Context) -> Outcome {
    let (mut lines, mut damaged) = (Vec::new(), Vec::new());
    for clone in cx.clones().existing() {
        let store = Store::of(&clone.at.state);
        match store.is_damaged() {
            Ok(false) => {}
            Ok(true) => {
                lines.push(format!("{}: {}", clone.label(), store.path().display()));
                damaged.push(clone.at.state.clone());
            }
            // Busy, or no permission: that says nothing about it.
            Err(e) => {
                let path = store.path().display().to_string();
                return Outcome::skipped(format!(
                    "the whispers of {} cannot be looked at: {e}",
                    clone.label()
                ))
                .remedy(Remedy::Person(format!("look what keeps {path} from being read")));
            }
        }
    }
    if damaged.is_empty() {
        return Outcome::passed("their databases are sound");
    }
    Outcome::warning(format!("the database of whispers is damaged in {}", damaged.len()))
        .detail(lines)
        .remedy(Remedy::Fix(Fix::PutWhispersAside(damaged)))
}
