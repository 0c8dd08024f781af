//! Can the user's settings be read?

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};
use crate::project::UserConfig;

pub(super) const CHECK: Check = Check {
    slug: "user-config",
    name: "user settings",
    category: Category::Machine,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let path = cx.dirs.user_config();
    match UserConfig::load(&cx.dirs) {
        (_, None) if !path.exists() => Outcome::passed("none, defaults apply"),
        (_, None) => Outcome::passed(path.display().to_string()),
        (_, Some(e)) => Outcome::failed(e.to_string())
            .remedy(Remedy::Person(format!("repair {} or remove it", path.display()))),
    }
}
