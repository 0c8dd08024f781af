//! `ox session redaction`: which rules for secrets hold, and whether recorded sessions hold any.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{find, places};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::{Table, count, tilde};
use crate::kit::cancel::Cancel;
use crate::project::{Project, RedactRules, RuleFile};
use crate::redact::custom::Level;
use crate::redact::{Redactor, Rule};
use crate::sessions::redaction::{Checked, check, mend};
use crate::sessions::{Found, Place};
use crate::sync::{self, Mended, Site, Target};

/// Flags of `ox session redaction`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox session redaction policy\n  ox session redaction verify --all")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the rules for secrets that hold here
    ///
    /// The built-in ones, and after them those of the REDACT.md files of the team (docs/), the project (.sageox/) and the user's
    /// configuration. What a rule of these files looks for is not shown: it may be a secret itself.
    #[command(after_help = "Examples:\n  ox session redaction policy\n  ox session redaction policy --json")]
    Policy,
    /// Look for secrets in recorded sessions, by the rules of today
    ///
    /// What is found is told by rule and file and never shown. Exits with 1 if there is any.
    #[command(
        after_help = "Examples:\n  ox session redaction verify OxTndR\n  ox session redaction verify --all\n  ox session redaction verify --all --fix"
    )]
    Verify(Verify),
}

/// Flags of `ox session redaction verify`.
#[derive(Debug, clap::Args)]
struct Verify {
    #[command(flatten)]
    which: super::Which,
    /// Look into all sessions
    #[arg(long, conflicts_with = "session")]
    all: bool,
    /// Take out what is found: of files, of commits that were not pushed yet, and by a new commit of what was
    #[arg(long)]
    fix: bool,
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match &args.command {
        Command::Policy => policy(cx),
        Command::Verify(args) => verify(cx, args),
    }
}

fn policy(cx: &Cx) -> Outcome {
    let project = cx.project_if_any()?;
    let found = RedactRules::read(&cx.dirs, project.as_ref());
    let redactor = Redactor::with_rules(found.rules);
    let built_in = redactor.rules().iter().filter(|rule| rule.is_built_in()).count();
    let file_of =
        |n: usize| found.files.iter().find(|file| n >= built_in && file.rules.contains(&(n - built_in)));
    if cx.ui.json() {
        let rule = |(n, rule): (usize, &Rule)| {
            let file = file_of(n);
            json!({
                "name": rule.name(), "matches": rule.about(), "token": rule.token(),
                "level": file.map_or("built-in", |file| level(file.level)), "path": file.map(|file| &file.path),
                "line": file.and_then(|_| line(rule)),
            })
        };
        let rules: Vec<Value> = redactor.rules().iter().enumerate().map(rule).collect();
        let problem = |file: &RuleFile| {
            let unread =
                file.unread.iter().map(|why| json!({ "path": file.path, "line": null, "reason": why }));
            let bad = file.bad.iter().map(|bad| {
                json!({ "path": file.path, "line": Some(bad.line).filter(|line| *line > 0), "reason": bad.reason })
            });
            unread.chain(bad).collect::<Vec<_>>()
        };
        let problems: Vec<Value> = found.files.iter().flat_map(problem).collect();
        let files: Vec<Value> = found
            .files
            .iter()
            .map(|file| json!({ "path": file.path, "level": level(file.level), "rules": file.rules.len() }))
            .collect();
        return cx.ui.document(&json!({ "rules": rules, "files": files, "problems": problems }));
    }
    found.trouble.iter().for_each(|trouble| cx.ui.warn(trouble));
    let mut table = Table::new(&["RULE", "REPLACED BY", "WHERE", "MATCHES"]);
    for (n, rule) in redactor.rules().iter().enumerate() {
        let place = match (file_of(n), line(rule)) {
            (Some(file), Some(line)) => format!("{}:{line}", tilde(&file.path.to_string_lossy(), &cx.home())),
            _ => "built in".to_owned(),
        };
        table.row([rule.name().to_owned(), rule.token().to_owned(), place, rule.about().to_owned()]);
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Team => "team",
        Level::Repo => "project",
        Level::User => "user",
    }
}

/// The line of its file that a rule stands in, which its name says.
fn line(rule: &Rule) -> Option<usize> {
    rule.name().strip_prefix("custom_")?.rsplit_once("_L")?.1.parse().ok()
}

/// A session that was looked into.
struct Looked {
    found: Found,
    checked: Checked,
    /// What was found is gone from it.
    fixed: bool,
}

fn verify(cx: &Cx, args: &Verify) -> Outcome {
    let project = cx.project()?;
    let redactor = cx.redactor(Some(&project));
    let meant = if args.all {
        let (all, unread) = places(cx, &project).all();
        for (dir, e) in unread {
            cx.ui.warn(&format!("cannot look for sessions: {}: {e}", dir.display()));
        }
        all
    } else {
        vec![find(cx, &args.which)?]
    };
    let progress = cx.ui.progress("looking for secrets");
    let (mut looked, mut unread) = (Vec::new(), Vec::new());
    for found in meant {
        match check(&found.dir, &redactor) {
            Ok(checked) => looked.push(Looked { found, checked, fixed: false }),
            Err(e) => unread.push(format!("{}: {e}", found.name)),
        }
    }
    drop(progress);
    let mut mended = Mended::default();
    if args.fix {
        mended = fix(cx, &project, &redactor, &mut looked, &mut unread)?;
    }
    report(cx, &looked, &mended, &unread, args)
}

/// Takes the secrets out of the sessions that hold some.
fn fix(
    cx: &Cx,
    project: &Project,
    redactor: &Redactor,
    looked: &mut [Looked],
    unread: &mut Vec<String>,
) -> Outcome<Mended> {
    let _progress = cx.ui.progress("taking secrets out");
    let is_shared = |one: &&Looked| one.found.place == Place::Ledger && !one.checked.unclean.is_empty();
    let paths = |one: &Looked| {
        let name = PathBuf::from(&*one.found.name);
        one.checked.unclean.iter().map(move |file| name.join(&file.file)).collect::<Vec<_>>()
    };
    let shared: Vec<PathBuf> = looked.iter().filter(is_shared).flat_map(paths).collect();
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let target = Target::Ledger { root: project.root.clone(), url: None, read_only: false };
    let mended = sync::mend(&site, &target, &shared, &Cancel::default()).map_err(|e| {
        Failure::new(Exit::Failed, "the ledger cannot be mended").because_of(e.text).hint("ox sync")
    })?;
    unread.extend(mended.left.clone());
    for one in looked.iter_mut().filter(|one| !one.checked.unclean.is_empty()) {
        // Of a session in the ledger what is left now is what nobody has committed.
        match mend(&one.found.dir, redactor) {
            Ok(_) => one.fixed = true,
            Err(e) => unread.push(format!("{}: {e}", one.found.name)),
        }
    }
    Ok(mended)
}

fn report(cx: &Cx, looked: &[Looked], mended: &Mended, unread: &[String], args: &Verify) -> Outcome {
    unread.iter().for_each(|text| cx.ui.warn(text));
    let unclean = || looked.iter().filter(|one| !one.checked.unclean.is_empty());
    let total: u64 = unclean().flat_map(|one| &one.checked.unclean).map(|file| file.found.total()).sum();
    let left = unclean().filter(|one| !one.fixed).count();
    let sessions: Vec<Value> = looked.iter().map(document).collect();
    let fixed = json!({ "files": mended.files, "commits": mended.commits, "secrets": mended.found.total() });
    let is_done = left == 0 && unread.is_empty();
    if cx.ui.json() && is_done {
        return cx.ui.document(
            &json!({ "success": true, "sessions": sessions, "secrets": total, "ledger_fixed": fixed }),
        );
    }
    if total > 0 && !cx.ui.json() {
        let mut table = Table::new(&["SESSION", "FILE", "RULE", "FOUND"]);
        for one in unclean() {
            for file in &one.checked.unclean {
                for rule in file.found.rules() {
                    table.row([
                        one.found.name.to_string(),
                        file.file.clone(),
                        rule.rule.clone(),
                        rule.count.to_string(),
                    ]);
                }
            }
        }
        cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
    }
    if !is_done {
        let what = if left > 0 { "sessions hold secrets" } else { "not every session could be looked into" };
        let name = args
            .which
            .session
            .clone()
            .unwrap_or_else(|| if args.all { "--all".into() } else { String::new() });
        let hint = match args.fix {
            true => "ox session status".to_owned(),
            false => format!("ox session redaction verify {name} --fix").replace("  ", " "),
        };
        return Err(Failure::new(Exit::Failed, what)
            .hint(hint)
            .with("sessions", sessions.into())
            .with("secrets", total.into())
            .with("ledger_fixed", fixed));
    }
    let names: BTreeSet<&str> = unclean().map(|one| &*one.found.name).collect();
    if names.is_empty() && mended.files == 0 {
        return cx.ui.done(&format!("no secrets in {}", count(looked.len() as u64, "session")));
    }
    if mended.files > 0 {
        cx.ui.done(&format!(
            "took {} out of {} of the ledger",
            count(mended.found.total(), "secret"),
            count(mended.files as u64, "file")
        ))?;
    }
    cx.ui.done(&format!(
        "took {} out of {}",
        count(total, "secret"),
        count(names.len() as u64, "session")
    ))?;
    if unclean().any(|one| one.found.place == Place::Ledger) {
        cx.ui.warn(
            "what others have pulled before they still have: make those keys invalid where they were issued",
        );
    }
    if mended.commits > 0 {
        cx.ui.next_step("ox sync");
    }
    Ok(())
}

fn document(one: &Looked) -> Value {
    let file = |file: &crate::sessions::redaction::Unclean| {
        let rules: Vec<Value> =
            file.found.rules().iter().map(|f| json!({ "rule": f.rule, "count": f.count })).collect();
        json!({ "file": file.file, "rules": rules })
    };
    let unclean: Vec<Value> = one.checked.unclean.iter().map(file).collect();
    json!({
        "session_name": &*one.found.name, "path": one.found.dir, "files": one.checked.files, "unclean": unclean,
        "fixed": one.fixed,
    })
}
