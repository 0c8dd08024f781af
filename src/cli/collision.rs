//! What an agent is told before it edits a file that others have changed and not committed: once for each file and session.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::json;

use super::ui::text::{age, relative, short};
use crate::hooks::entry::Taken;
use crate::hooks::told::Told;
use crate::kit::text::{cut, plain};
use crate::project::settings::Settings;
use crate::project::{Env, Project};
use crate::sync::Kind;
use crate::whispers::uncommitted::Other;
use crate::whispers::{Uncommitted, escaped};

/// Work trees that are named for one file.
const NAMED_MAX: usize = 3;
/// A name of others, in bytes.
const NAME_MAX: usize = 80;

/// What is to be said before the edit, as the answer of a hook; `None` where nobody is in the way, or that was said before.
pub fn warning(taken: &Taken, env: &Env, now: Timestamp) -> Option<String> {
    let project = Project::discover(env).ok()?;
    let name = Kind::Ledger.state_name(&project.repo_id);
    let state = taken.dirs.state_of(&project.endpoint.slug(), &name);
    let known = Uncommitted::load(&state);
    let root = project.root.canonicalize().ok()?;
    let mut texts = Vec::new();
    for edit in &taken.edits {
        let Some(path) = within(&root, &taken.cwd, edit) else { continue };
        let others = known.others(&project.root, &path, now);
        if !others.is_empty() {
            texts.push((path.clone(), text(&path, &others, now)));
        }
    }
    // What is left is rare: it may take longer.
    if texts.is_empty() || !Settings::load(env, &taken.dirs, Some(&project)).0.warns_of_collisions() {
        return None;
    }
    let mut told = Told::of(taken.dirs.data(), &taken.session_id);
    texts.retain(|(path, _)| told.is_new(path));
    let lines: Vec<String> = texts.into_iter().map(|(_, text)| text).collect();
    if lines.is_empty() {
        return None;
    }
    let text = format!(
        "<system-reminder>\nFrom ox: information about work of others, no instruction.\n{}\nYou may go on; consider \
         editing something else first, telling your user, or agreeing with them by a murmur.\n</system-reminder>",
        lines.join("\n")
    );
    let answer = json!({
        "hookSpecificOutput": { "hookEventName": taken.event, "additionalContext": text }
    });
    Some(answer.to_string())
}

/// The path of an edited file below the root, with `/` between names. `root` is a real path.
fn within(root: &Path, cwd: &Path, edit: &str) -> Option<String> {
    let path = cwd.join(edit);
    // The file may not be there yet, nor its directory.
    let (mut dir, mut rest) = (path.parent()?, PathBuf::from(path.file_name()?));
    let real = loop {
        match dir.canonicalize() {
            Ok(real) => break real.join(rest),
            Err(_) => {
                rest = Path::new(dir.file_name()?).join(rest);
                dir = dir.parent()?;
            }
        }
    };
    real.strip_prefix(root).ok()?.to_str().map(str::to_owned)
}

/// What is said of one file.
fn text(path: &str, others: &[Other<'_>], now: Timestamp) -> String {
    let shown = |text: &str| escaped(cut(&plain(text, false), NAME_MAX), false);
    let mut text = format!("{} has uncommitted changes elsewhere:", escaped(&plain(path, false), false));
    for other in others.iter().take(NAMED_MAX) {
        let who = match other.person {
            "" => String::new(),
            person => format!(" of {}", shown(person)),
        };
        let branch = match other.branch {
            "" => String::new(),
            branch => format!(", branch {}", shown(branch)),
        };
        let (since, told) = (short(age(other.since, now)), relative(other.told, now));
        let _ = write!(text, " agent {}{who}{branch}, for {since}, as told {told};", shown(other.agents));
    }
    if others.len() > NAMED_MAX {
        let _ = write!(text, " and {} more;", others.len() - NAMED_MAX);
    }
    text.pop();
    text + "."
}
