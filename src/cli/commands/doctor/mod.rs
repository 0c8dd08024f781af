//! `ox doctor`.

use crate::cli::commands::gc;
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::live::{Absent, Seen, probe};
use crate::cli::ui::text::{clean, count};
use crate::cli::ui::{Paint, Tone, Ui};
use crate::doctor::{self, Category, Context, DaemonView, ProjectView, Remedy, Report, Row, Status};

/// Flags of `ox doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox doctor\n  ox doctor --fix\n  ox doctor --fix-slug git-lock")]
pub struct Args {
    /// Apply the fixes that are safe
    #[arg(long)]
    fix: bool,
    /// Apply only the fix of this check; may be repeated
    #[arg(long, value_name = "SLUG")]
    fix_slug: Vec<String>,
    /// Also apply fixes that need a confirmation
    #[arg(short, long)]
    yes: bool,
    /// The same as `ox gc`
    #[arg(long, conflicts_with_all = ["fix", "fix_slug"], hide = true)]
    gc: bool,
}

/// Looks, mends if asked to, and reports.
pub fn run(cx: &Cx, args: &Args) -> Outcome<Exit> {
    if args.gc {
        return gc::run(cx);
    }
    let slugs = doctor::select(&args.fix_slug).map_err(|slug| {
        let all: Vec<&str> = doctor::CHECKS.iter().map(|c| c.slug).collect();
        Failure::new(Exit::Usage, "no such check")
            .on(slug)
            .because_of(format!("there are {}", all.join(", ")))
    })?;
    let progress = cx.ui.progress("checking");
    let context = gather(cx);
    let mut report = doctor::run(&context);
    drop(progress);
    let mut unsure = Vec::new();
    let asked = args.fix || !args.fix_slug.is_empty();
    let progress = cx.ui.progress("fixing");
    report.fix(&context, |row| {
        let wanted = asked && slugs.contains(&row.check.slug);
        let sure = !row.needs_yes() || args.yes;
        if wanted && !sure {
            unsure.push(row.check.slug);
        }
        wanted && sure
    });
    drop(progress);
    if cx.ui.json() {
        cx.ui.document(&report.to_json())?;
    } else {
        cx.ui.done(&text(&report, &cx.ui))?;
    }
    for slug in unsure {
        cx.ui.warn(&format!("the fix of {slug} needs a confirmation: ox doctor --fix-slug {slug} --yes"));
    }
    Ok(if report.has_failed() { Exit::Failed } else { Exit::Done })
}

/// What the checks look at.
pub fn gather(cx: &Cx) -> Context {
    let project = ProjectView::discover(&cx.env);
    let mut agents = None;
    let daemon = match probe(cx, project.found()) {
        Ok(Seen::Running { data, agents: heard, .. }) => {
            agents = heard;
            DaemonView::Running(u32::try_from(data.pid).unwrap_or_default(), Some(data))
        }
        Ok(Seen::Absent(absent)) => match absent {
            Absent::NotRunning { .. } => DaemonView::Stopped,
            Absent::Starting { pid } => DaemonView::Starting(pid),
            Absent::Stuck { pid } => DaemonView::Stuck(pid),
            Absent::Unresponsive { pid } => DaemonView::Silent(pid),
            Absent::NotServed { pid } | Absent::NoProject { pid } => DaemonView::Running(pid, None),
        },
        Err(failure) => DaemonView::Unknown(failure.headline()),
    };
    Context {
        env: cx.env.clone(),
        dirs: cx.dirs.clone(),
        exe: std::env::current_exe().ok(),
        project,
        daemon,
        agents,
        registry: Context::registry(&cx.dirs),
        now: cx.now(),
        site: crate::sync::Site::new(cx.dirs.clone(), cx.env.clone()),
        gathered: crate::doctor::Gathered::default(),
    }
}

/// The page: what is not well with its remedy, what was not looked at by its reason, and how much is fine; with `-v` a heading for each
/// part and a line for each check.
fn text(report: &Report, ui: &Ui) -> String {
    let (paint, verbose) = (ui.paint(), ui.verbose());
    let mut lines = Vec::new();
    if verbose {
        for category in Category::ALL {
            lines.push(paint.text(Tone::Head, category.name()));
            for row in report.rows.iter().filter(|row| row.check.category == category) {
                lines.extend(row_lines(row, ui));
            }
            lines.push(String::new());
        }
    } else {
        let is_told = |row: &&Row| {
            matches!(row.outcome.status, Status::Warning | Status::Failed) || row.fixed.is_some()
        };
        lines.extend(report.rows.iter().filter(is_told).flat_map(|row| row_lines(row, ui)));
        lines.extend(not_looked_at(report, ui));
    }
    let n = |status| report.count(status) as u64;
    let mut sum = Vec::new();
    let (warnings, failed) = (n(Status::Warning), n(Status::Failed));
    if failed > 0 {
        sum.push(format!("{failed} failed"));
    }
    if warnings > 0 {
        sum.push(count(warnings, "warning"));
    }
    let is_all_well = sum.is_empty();
    sum.push(format!("{} passed", n(Status::Passed)));
    if n(Status::Skipped) > 0 {
        sum.push(format!("{} not checked", n(Status::Skipped)));
    }
    let verdict = if is_all_well { paint.text(Tone::Good, "✓ no problems") + ": " } else { String::new() };
    let more = if verbose { "" } else { " (ox doctor -v lists all)" };
    lines.push(format!("{verdict}{}{more}", sum.join(", ")));
    lines.join("\n")
}

/// What was not looked at and can be, once something is done: a line for each reason, with the checks it keeps. No hint is given twice.
fn not_looked_at(report: &Report, ui: &Ui) -> Vec<String> {
    let paint = ui.paint();
    let skipped: Vec<&Row> = report.rows.iter().filter(|row| row.outcome.status == Status::Skipped).collect();
    let (mut lines, mut reasons, mut hints) = (Vec::new(), Vec::new(), Vec::new());
    for row in &skipped {
        let reason = &row.outcome.message;
        let Some(remedy) = &row.outcome.remedy else { continue };
        if reasons.contains(&reason) {
            continue;
        }
        reasons.push(reason);
        let same = skipped.iter().filter(|row| row.outcome.message == *reason);
        let names: Vec<&str> = same.map(|row| row.check.name).collect();
        let glyph = paint.text(Tone::Dim, "- not checked");
        lines.push(format!("  {glyph}: {} — {}", names.join(", "), clean(&ui.with_tilde(reason))));
        if !hints.contains(&remedy.hint()) {
            lines.push(hint_line(remedy, paint));
            hints.push(remedy.hint());
        }
    }
    lines
}

fn hint_line(remedy: &Remedy, paint: Paint) -> String {
    format!("         {}: {}", paint.text(Tone::Head, "hint"), clean(&remedy.hint()))
}

fn row_lines(row: &Row, ui: &Ui) -> Vec<String> {
    let (paint, verbose) = (ui.paint(), ui.verbose());
    let told = |text: &str| clean(&ui.with_tilde(text));
    let (glyph, mean) = match row.outcome.status {
        Status::Passed => ("✓ ok  ", Tone::Good),
        Status::Warning => ("⚠ warn", Tone::Warn),
        Status::Failed => ("✗ fail", Tone::Bad),
        Status::Skipped => ("- skip", Tone::Dim),
    };
    let outcome = &row.outcome;
    let slug = if verbose || row.is_fixable() { format!("  [{}]", row.check.slug) } else { String::new() };
    let mut lines =
        vec![format!("  {} {}: {}{slug}", paint.text(mean, glyph), row.check.name, told(&outcome.message))];
    if verbose || outcome.status != Status::Passed {
        lines.extend(outcome.detail.iter().map(|line| format!("         {}", told(line))));
    }
    match &row.fixed {
        Some(Ok(done)) => lines.push(format!("         fixed: {}", told(done))),
        Some(Err(why)) => lines.push(format!("         not fixed: {}", told(why))),
        None => {}
    }
    if let Some(remedy) = &outcome.remedy {
        lines.push(hint_line(remedy, paint));
    }
    lines
}
