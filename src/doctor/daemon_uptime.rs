//! For how long has the project been served?

use super::{Category, Check, Context, FixLevel, Outcome};
use crate::kit::human::compact;

pub(super) const CHECK: Check = Check {
    slug: "daemon-uptime",
    name: "uptime",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    match cx.daemon.status() {
        Some(status) => Outcome::passed(compact(status.uptime)),
        None => cx.not_served(),
    }
}
