//! `ox why`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::session::places;
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::lines::{authors, may_be_in};
use crate::cli::quoted::quoted;
use crate::cli::ui::Tone;
use crate::cli::ui::text::{clean, cut, relative};
use crate::git::{Blamed, CommitInfo, History};
use crate::kit::shell::word;
use crate::project::Project;
use crate::redact::Redactor;
use crate::sessions::Glance;
use crate::sessions::edits::Edit;
use crate::sessions::edits::kept::{Kept, kept, prompts, says_changed};
use crate::sessions::edits::why::{Answer, Reason};
use crate::sessions::raw;

/// Characters of a commit's id.
const ID_SHOWN: usize = 8;
/// Characters of a prompt.
const PROMPT_SHOWN: usize = 72;

/// Flags of `ox why`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox why src/parser.rs\n  ox why src/parser.rs:40\n  ox why src/parser.rs:40-60 --json"
)]
pub struct Args {
    /// The file, and the lines of it that are meant [default: all]
    #[arg(value_name = "FILE[:LINE[-LINE]]")]
    target: String,
}

/// Neighbouring lines of which the same is known.
struct Group<'a> {
    from: usize,
    to: usize,
    commit: Option<&'a CommitInfo>,
    what: What<'a>,
}

/// What is known of lines.
#[derive(Clone, PartialEq)]
enum What<'a> {
    Session { session: usize, edit: &'a Edit, edit_is_known: bool },
    Unknown { reason: Reason, sessions: Vec<usize>, not_here: Option<usize> },
}

/// A session and what was said in it, as it is shown.
struct Shown {
    glance: Glance,
    prompts: BTreeMap<i64, String>,
}

pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let project = cx.project()?;
    let (named, lines) = target(&args.target);
    let path = in_project(cx, &project, named)?;
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, "the history of the file cannot be read")
            .on(&path)
            .because_of(e.to_string())
    };
    if let Some(other) = repository_of(&project.root, &path) {
        return Err(Failure::new(Exit::Usage, "the file is in another repository")
            .on(&path)
            .because_of(format!("{other} has a history of its own"))
            .hint(format!("cd {} && ox why FILE", word(&project.root.join(&other).to_string_lossy()))));
    }
    let progress = cx.ui.progress("reading the history");
    let history = History::open(&project.root).map_err(|e| failed(&e))?;
    let blamed = history.blame(&path).map_err(|e| failed(&e))?;
    let Some(blamed) = blamed else {
        return Err(Failure::new(Exit::Usage, "there is no such file of text").on(&path).because_of(
            "lines are followed in files of the work tree and of the newest commit, up to 4 MiB",
        ));
    };
    let count = blamed.lines.len();
    let (first, last) = lines.unwrap_or((1, count.max(1)));
    if first == 0 || first > last || (lines.is_some() && first > count) {
        let has = crate::cli::ui::text::count(count as u64, "line");
        return Err(Failure::new(Exit::Usage, "there are no such lines")
            .on(&args.target)
            .because_of(format!("the file has {has}"))
            .hint(format!("ox why {}", word(named))));
    }
    let last = last.min(count);
    let redactor = cx.redactor(Some(&project));
    progress.phase("reading sessions", None);
    let all = places(cx, &project).all().0;
    let kept = kept(all, &project.root, &redactor, &may_be_in(&history, &path, &blamed));
    let answers = authors(&history, &path, &blamed, &kept.sessions).map_err(|e| failed(&e))?;
    drop(progress);
    let answers = answers.iter().enumerate().skip(first - 1).take((last + 1).saturating_sub(first));
    let groups = groups(answers, &blamed, &kept, &path);
    let shown = shown(&groups, &kept);
    if cx.ui.json() {
        let lines: Vec<Value> = groups.iter().map(|g| document(g, &kept, &shown, &redactor)).collect();
        return cx
            .ui
            .document(&json!({ "file": path, "lines": lines, "sessions_searched": kept.sessions.len() }));
    }
    let rows: Vec<String> =
        groups.iter().map(|group| row(cx, &path, group, &kept, &shown, &redactor)).collect();
    cx.ui.print(&quoted(cx, &rows.join("\n")))?;
    if let Some(command) = groups.iter().find_map(|group| next(group, &kept)) {
        cx.ui.next_step(&command);
    }
    Ok(())
}

/// The file that is named, and the lines, from 1.
fn target(text: &str) -> (&str, Option<(usize, usize)>) {
    let parsed = text.rsplit_once(':').and_then(|(file, lines)| {
        let (from, to) = lines.split_once('-').unwrap_or((lines, lines));
        Some((file, Some((from.parse().ok()?, to.parse().ok()?))))
    });
    parsed.filter(|(file, _)| !file.is_empty()).unwrap_or((text, None))
}

/// The path of a file in the project, with `/` between names.
fn in_project(cx: &Cx, project: &Project, named: &str) -> Outcome<String> {
    let outside = || {
        Failure::new(Exit::Usage, "the file is not in the project")
            .on(named)
            .because_of("sessions write in it")
    };
    let cwd = cx.env.cwd().unwrap_or(&project.root);
    let mut path = PathBuf::new();
    for part in cwd.join(named).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    // The directory may be reached through a link.
    let real = |path: &Path| Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    let roots = [Some(project.root.clone()), project.root.canonicalize().ok()];
    let found = [Some(path.clone()), real(&path)].into_iter().flatten().find_map(|path| {
        let inside = roots.iter().flatten().find_map(|root| path.strip_prefix(root).ok())?;
        inside.to_str().filter(|inside| !inside.is_empty()).map(str::to_owned)
    });
    found.ok_or_else(outside)
}

/// The repository below the project's that a file lies in, a submodule for one.
fn repository_of(root: &Path, path: &str) -> Option<String> {
    let mut above = path.match_indices('/').map(|(end, _)| &path[..end]);
    above.rfind(|dir| root.join(dir).join(".git").symlink_metadata().is_ok()).map(str::to_owned)
}

fn groups<'a>(
    answers: impl Iterator<Item = (usize, &'a Answer<'a>)>,
    blamed: &'a Blamed,
    kept: &Kept,
    path: &str,
) -> Vec<Group<'a>> {
    // What is told of a session whose edits are not known is all there is.
    let not_here = kept.not_here.iter().position(|found| says_changed(&found.dir, path));
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (n, answer) in answers {
        let commit = blamed.origins[n].map(|origin| &blamed.commits[origin.commit]);
        let what = match answer {
            Answer::Session { author, edit_is_known } => {
                What::Session { session: author.session, edit: author.edit, edit_is_known: *edit_is_known }
            }
            Answer::Unknown { reason, sessions } => {
                let is_open =
                    matches!(reason, Reason::NoRecordedEdit | Reason::BeforeRecording | Reason::NotCommitted);
                match not_here.filter(|_| is_open) {
                    Some(_) => What::Unknown { reason: Reason::NotHere, sessions: Vec::new(), not_here },
                    None => What::Unknown { reason: *reason, sessions: sessions.clone(), not_here: None },
                }
            }
        };
        let is_same = |last: &&mut Group<'_>| {
            last.what == what && last.commit.map(|commit| commit.id) == commit.map(|commit| commit.id)
        };
        match groups.last_mut().filter(is_same) {
            Some(last) => last.to = n + 1,
            None => groups.push(Group { from: n + 1, to: n + 1, commit, what }),
        }
    }
    groups
}

/// The sessions that are named, with the prompts that are asked for.
fn shown(groups: &[Group<'_>], kept: &Kept) -> BTreeMap<usize, Shown> {
    let mut wanted: BTreeMap<usize, BTreeSet<i64>> = BTreeMap::new();
    for group in groups {
        if let What::Session { session, edit, edit_is_known } = &group.what {
            let prompt = edit.prompt.filter(|_| *edit_is_known);
            wanted.entry(*session).or_default().extend(prompt);
        }
    }
    let of = |(session, wanted): (usize, BTreeSet<i64>)| {
        let found = &kept.found[session];
        // What cannot be read, or is not here, has no words to show.
        let prompts = prompts(&found.dir, &wanted).unwrap_or_default();
        (session, Shown { glance: Glance::of(found), prompts })
    };
    wanted.into_iter().map(of).collect()
}

fn document(group: &Group<'_>, kept: &Kept, shown: &BTreeMap<usize, Shown>, redactor: &Redactor) -> Value {
    let told = |text: &str| redactor.redact(text).into_owned();
    let commit = group.commit.map(|commit| {
        json!({
            "id": commit.id.to_string(), "subject": told(&commit.subject), "author": commit.author,
            "authored_at": commit.authored, "committed_at": commit.committed,
        })
    });
    let mut all =
        json!({ "from": group.from, "to": group.to, "commit": commit, "session": null, "reason": null });
    match &group.what {
        What::Session { session, edit, edit_is_known } => {
            let of = &shown[session];
            let prompt = edit.prompt.filter(|_| *edit_is_known);
            all["session"] = json!({
                "session_name": kept.sessions[*session].name, "title": told(&of.glance.title),
                "username": of.glance.username, "agent_type": of.glance.agent_type, "subagent": edit.subagent,
                "edited_at": edit.at.0, "seq": Some(edit.seq).filter(|_| *edit_is_known), "prompt_seq": prompt,
                "prompt": prompt.and_then(|seq| of.prompts.get(&seq)).map(|text| told(text)),
            });
        }
        What::Unknown { reason, sessions, not_here } => {
            all["reason"] = reason.name().into();
            let names = sessions.iter().map(|n| kept.sessions[*n].name.as_str());
            let names: Vec<&str> = names.chain(not_here.map(|n| &*kept.not_here[n].name)).collect();
            all["candidates"] = json!(names);
            all["next"] = json!(next(group, kept));
        }
    }
    all
}

fn row(
    cx: &Cx,
    path: &str,
    group: &Group<'_>,
    kept: &Kept,
    shown: &BTreeMap<usize, Shown>,
    redactor: &Redactor,
) -> String {
    let paint = cx.ui.paint();
    let told = |text: &str| clean(&redactor.redact(text));
    let lines =
        if group.from == group.to { group.from.to_string() } else { format!("{}-{}", group.from, group.to) };
    let ago = |at: Option<Timestamp>| at.map(|at| relative(at, cx.now())).unwrap_or_default();
    let (commit, at) = match group.commit {
        Some(commit) => (commit.id.to_string()[..ID_SHOWN].to_owned(), Some(commit.authored)),
        None => ("uncommitted".to_owned(), None),
    };
    let mut cells =
        vec![paint.text(Tone::Head, &format!("{}:{lines}", clean(path))), paint.text(Tone::Dim, &commit)];
    match &group.what {
        What::Session { session, edit, edit_is_known } => {
            let of = &shown[session];
            let who: Vec<&str> = [&*of.glance.username, &*of.glance.agent_type]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect();
            let prompt = edit.prompt.filter(|_| *edit_is_known).and_then(|seq| of.prompts.get(&seq));
            let words = prompt.unwrap_or(&of.glance.title);
            cells.push(paint.text(Tone::Dim, &ago(edit.at.0.or(at))));
            cells.push(clean(&who.join(", ")));
            cells.push(kept.sessions[*session].name.clone());
            if !words.is_empty() {
                cells.push(format!("\"{}\"", cut(&told(words), Some(PROMPT_SHOWN))));
            }
        }
        What::Unknown { reason, sessions, not_here } => {
            cells.push(paint.text(Tone::Dim, &ago(at)));
            cells.extend(group.commit.map(|commit| told(&commit.author)));
            let names = sessions.iter().map(|n| kept.sessions[*n].name.as_str());
            let names: Vec<&str> = names.chain(not_here.map(|n| &*kept.not_here[n].name)).collect();
            let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
            cells.push(format!("{}{names}", reason.text()));
        }
    }
    cells.retain(|cell| !cell.is_empty());
    cells.join("  ")
}

/// The command that leads on.
fn next(group: &Group<'_>, kept: &Kept) -> Option<String> {
    match &group.what {
        What::Session { session, .. } => {
            let found = &kept.found[*session];
            // What it wrote may be here without what was said.
            let is_here = raw::is_pointer(&found.dir.join(raw::FILE)).is_ok_and(|is_pointer| !is_pointer);
            Some(format!("ox session {} {}", if is_here { "view" } else { "download" }, found.name))
        }
        What::Unknown { not_here: Some(n), .. } => {
            Some(format!("ox session download {}", kept.not_here[*n].name))
        }
        What::Unknown { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_its_lines_are_told_apart() {
        assert_eq!(target("src/a.rs"), ("src/a.rs", None));
        assert_eq!(target("src/a.rs:4"), ("src/a.rs", Some((4, 4))));
        assert_eq!(target("src/a.rs:4-9"), ("src/a.rs", Some((4, 9))));
        assert_eq!(target("a:b.rs"), ("a:b.rs", None));
        assert_eq!(target("a:b.rs:1"), ("a:b.rs", Some((1, 1))));
        assert_eq!(target(":4"), (":4", None));
        assert_eq!(target("a:4-"), ("a:4-", None));
    }
}
