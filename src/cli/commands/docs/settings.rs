//! `ox-config.5`: every setting with its file, type, default and variable.

use super::Page;
use super::roff::Roff;
use crate::project::settings::{Kind, Place, SETTINGS, Setting};

/// The page.
pub fn page() -> Page {
    let mut page = Roff::new("ox-config", 5, "settings of ox");
    page.heading("DESCRIPTION");
    page.paragraphs(
        "What speaks first counts: the command line, the environment, the user's file, the project's file, the default. \
         `ox config list --origin` shows each value and where it comes from.\n\n\
         The user's file is YAML; `ox config set` and `ox config unset` change one setting in it and leave all else as it \
         is. A key with a dot is one of a map: `daemon.auto_start` is `auto_start` below `daemon`.",
    );
    for (place, heading) in [
        (Place::User, "SETTINGS OF THE USER"),
        (Place::UserOrRepository, "SETTINGS OF THE USER, OR OF THE PROJECT WHERE THE USER SAYS NOTHING"),
        (Place::Repository, "SETTINGS OF THE PROJECT"),
    ] {
        page.heading(heading);
        for setting in SETTINGS.iter().filter(|s| s.place == place) {
            page.definition(setting.key, &meaning(setting));
        }
    }
    page.heading("FILES");
    page.definition("~/.config/sageox/config.yaml", "the user's; OX_USER_CONFIG names another");
    page.definition(".sageox/config.json", "the project's, committed with it");
    page.heading("EXAMPLES");
    page.code(&[
        "ox config list --origin",
        "ox config set daemon.sync_interval_read 5m",
        "ox config unset daemon.sync_interval_read",
    ]);
    page.heading("SEE ALSO");
    page.paragraphs("ox(1), ox-config(1)");
    page.page()
}

fn meaning(setting: &Setting) -> String {
    let kind = match setting.kind {
        Kind::Duration { .. } => "a duration, such as 90s or 5m",
        Kind::Number { .. } => "a whole number",
        Kind::Decimal { .. } => "a number",
        Kind::Bool => "true or false",
        Kind::Word(words) => &words.join(" or "),
        Kind::Text => "text",
    };
    let default = if setting.default.is_empty() { "none" } else { setting.default };
    let variable = setting.env.map(|name| format!(" Variable: {name}.")).unwrap_or_default();
    let instead =
        setting.instead.map(|how| format!(" Not set with ox config set: {how}.")).unwrap_or_default();
    format!("{} Type: {kind}. Default: {default}.{variable}{instead}", setting.doc)
}
