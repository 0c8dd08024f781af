//! Offered where a project is set up: that agents tell of what they do.

use super::{ALL, change, site};
use crate::cli::context::Cx;
use crate::cli::errors::of_project;
use crate::cli::failure::Outcome;
use crate::hooks::install;
use crate::project::settings::{self, Settings};

/// Where agents are set up on this machine and the user never said whether they are to tell of their events, asks; where nobody can be
/// asked, says how. In a container, whose settings may be those of the machine around it, nothing is said.
pub fn offer(cx: &Cx) -> Outcome {
    let is_decided = Settings::load(&cx.env, &cx.dirs, None).0.hooks_enabled().is_some();
    if is_decided || install::is_container(&cx.env) {
        return Ok(());
    }
    let words = install::present(site(cx, None));
    if words.is_empty() {
        return Ok(());
    }
    let agents = words.join(", ");
    let question = format!(
        "Have agents ({agents}) tell ox of what they do, as it happens? It stays on this machine; one command for each event is \
         put in their settings."
    );
    match cx.ui.answer(&question, false) {
        Some(true) => change::install(cx, &change::Install::of_all()),
        // Asked once: whoever says no is not asked again.
        Some(false) => settings::use_hooks(&cx.dirs, &[], false, true).map_err(|e| of_project(&e)),
        None => {
            cx.ui.note(&format!(
                "agents are set up here ({agents}); ox hooks install has them tell ox of what they do"
            ));
            Ok(())
        }
    }
}

impl change::Install {
    /// As the command without a flag.
    fn of_all() -> change::Install {
        change::Install { agent: ALL.to_owned(), dry_run: false, force: false, enable_feature: false }
    }
}
