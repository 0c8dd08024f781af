//! Can the user's settings be read?

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};
use crate::project::settings::Settings;

pub(super) const CHECK: Check = Check {
    slug: "user-config",
    name: "user settings",
    category: Category::Machine,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let path = cx.dirs.user_config();
    let (settings, damaged) = Settings::load(&cx.env, &cx.dirs, cx.project.found());
    if let Some(e) = damaged {
        return Outcome::failed(e.to_string())
            .remedy(Remedy::Person(format!("repair {} or remove it", path.display())));
    }
    let wrong = settings.list().1;
    match wrong.is_empty() {
        true if !path.exists() => Outcome::passed("none, defaults apply"),
        true => Outcome::passed(path.display().to_string()),
        false => Outcome::warning(format!("{}: settings that do not count", path.display()))
            .detail(wrong.iter().map(ToString::to_string))
            .remedy(Remedy::Person(format!("correct them in {}", path.display()))),
    }
}
