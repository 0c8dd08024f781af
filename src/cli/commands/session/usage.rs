//! `ox session usage`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::Tone;
use crate::cli::ui::text::{Table, clean, grouped};
use crate::cli::when;
use crate::daemon;
use crate::git::Reader;
use crate::harness::transcript::places::database;
use crate::harness::transcript::sources;
use crate::kit::file;
use crate::kit::shell::word;
use crate::project::Project;
use crate::sessions::usage::{
    self, By, Counts, Group, Money, Price, Prices, Question, Record, Report, Scanned, Shared, Sources, Spend,
    Store, UsageError,
};

/// So many files that could not be read are named.
const NAMED_MAX: usize = 5;
/// What a figure is called where nothing is known of it.
const UNKNOWN: &str = "?";

/// Flags of `ox session usage`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to add up by
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Column::Model)]
    by: Column,
    /// Count nothing before this: a day, a time, or how long ago, such as 7d
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Count what was spent in all directories, not only in this project
    #[arg(long)]
    all_projects: bool,
    /// Show the records that the figures are made of; with a name, those of that row
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    explain: Option<String>,
}

/// What figures are added up by.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Column {
    Session,
    Agent,
    Model,
    Branch,
    Person,
    Day,
    Project,
}

impl Column {
    fn by(self) -> (By, &'static str) {
        match self {
            Column::Session => (By::Session, "session"),
            Column::Agent => (By::Agent, "agent"),
            Column::Model => (By::Model, "model"),
            Column::Branch => (By::Branch, "branch"),
            Column::Person => (By::Person, "person"),
            Column::Day => (By::Day, "day"),
            Column::Project => (By::Project, "project"),
        }
    }
}

pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let project = if args.all_projects { None } else { cx.project_if_any()? };
    let zone = TimeZone::system();
    let since = args.since.as_ref().map(|text| when::parse(text, cx.now(), &zone)).transpose();
    let since = since.map_err(|why| Failure::new(Exit::Usage, "--since is no time").because_of(why))?;
    let prices = Prices::load(&cx.dirs.prices()).map_err(|e| failed(cx, &e))?;
    let path = cx.dirs.usage();
    let mut store = Store::open(&path).map_err(|e| failed(cx, &e))?;
    let progress = cx.ui.progress("looking at transcripts");
    let (sources, mut problems) = sources(cx, project.as_ref(), &store).map_err(|e| failed(cx, &e))?;
    let Scanned { failed: unread, .. } =
        usage::scan(&mut store, &path, sources, &zone).map_err(|e| failed(cx, &e))?;
    problems.extend(unread);
    drop(progress);
    let (by, column) = args.by.by();
    let repo = project.as_ref().map(|project| project.repo_id.clone());
    let question = Question { by, since, repo, zone };
    let person = |dir: &Path| person(cx, dir);
    let mut report = store.report(&question, &prices, &cx.env, &person).map_err(|e| failed(cx, &e))?;
    let mut records = None;
    if let Some(name) = &args.explain {
        let mut all = store.records(&question, &prices, &cx.env, &person).map_err(|e| failed(cx, &e))?;
        if !name.is_empty() {
            let group = meant(&report, column, name)?;
            all.retain(|record| record.group == group);
            keep(&mut report, &group);
        }
        records = Some(all);
    }
    if cx.ui.json() {
        return cx.ui.document(&Document {
            by: column,
            project: question.repo.as_deref(),
            since: question.since,
            prices_as_of: prices.as_of(),
            own_prices: prices.own(),
            groups: report.groups.iter().map(|(group, spend)| Row::new(by, group, spend)).collect(),
            total: Figures::of(&report.total),
            unpriced_models: &report.unpriced,
            problems: problems.iter().map(|(path, error)| Problem { path, error }).collect(),
            records: records.as_ref().map(|records| records.iter().map(RecordRow::new).collect()),
        });
    }
    tell_problems(cx, &problems);
    if report.total.answers == 0 {
        cx.ui.note(if since.is_some() {
            "nothing was spent since then"
        } else {
            "nothing has been spent yet"
        });
        if project.is_some() {
            cx.ui.next_step("ox session usage --all-projects");
        }
        return Ok(());
    }
    if let Some(records) = &records {
        cx.ui.print(&records_table(cx, records).lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
    }
    cx.ui.print(&table(cx, by, column, &report).lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
    tell_prices(cx, &report, &prices);
    Ok(())
}

/// What is to be counted, and what could not be looked at.
fn sources(
    cx: &Cx,
    project: Option<&Project>,
    store: &Store,
) -> Result<(Sources, Vec<(PathBuf, String)>), UsageError> {
    let get = |name: &str| cx.env.get(name).map(str::to_owned);
    let home = cx.home();
    let transcripts = sources::begin(&home, get);
    let mut problems = Vec::new();
    let opencode = Some(database(&home, get));
    let mut shared = Vec::new();
    let mut add = |project: &Project| {
        let (found, unread) = super::places(cx, project).all();
        problems.extend(unread.into_iter().map(|(path, e)| (path, e.to_string())));
        shared.extend(found.into_iter().map(|found| Shared {
            dir: found.dir,
            name: found.name,
            repo: project.repo_id.clone(),
        }));
    };
    match project {
        Some(project) => add(project),
        None => {
            let mut roots: BTreeSet<PathBuf> = daemon::attached_roots(&cx.dirs).into_iter().collect();
            roots.extend(store.roots()?);
            let mut seen = BTreeSet::new();
            // Of a project that is gone nothing new comes.
            for project in roots.iter().filter_map(|root| Project::load(root, &cx.env).ok()) {
                if seen.insert(project.repo_id.clone()) {
                    add(&project);
                }
            }
        }
    }
    Ok((Sources { transcripts, opencode, shared }, problems))
}

/// Who works in a directory: as sessions' headers have it.
fn person(cx: &Cx, dir: &Path) -> String {
    let of = |dir: &Path| Reader::open(dir).ok().and_then(|repo| repo.user_name());
    // Where there is no repository any more, or never was, whoever works here does.
    of(dir).or_else(|| of(cx.env.cwd()?)).unwrap_or_default()
}

/// The row that a name means: its name, or how that begins if only one does so.
fn meant(report: &Report, column: &str, name: &str) -> Outcome<Group> {
    let called = |group: &Group| {
        [&group.name, &group.root].into_iter().any(|known| !known.is_empty() && known == name)
    };
    let groups = || report.groups.iter().map(|(group, _)| group);
    let is_unknown = |group: &&Group| group.name.is_empty() && name == UNKNOWN;
    let mut found: Vec<&Group> = groups().filter(|group| called(group) || is_unknown(group)).collect();
    if found.is_empty() {
        found = groups().filter(|group| group.name.starts_with(name)).collect();
    }
    match found[..] {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(Exit::Usage, format!("no such {column}"))
            .on(name)
            .hint(format!("ox session usage --by {column}"))),
        [first, ..] => Err(Failure::new(Exit::Usage, format!("several rows begin like this {column}"))
            .on(name)
            .hint(format!("ox session usage --by {column} --explain {}", first.name))),
    }
}

/// Leaves one row of a report.
fn keep(report: &mut Report, wanted: &Group) {
    report.groups.retain(|(group, _)| group == wanted);
    report.total = report.groups.first().map(|(_, spend)| spend.clone()).unwrap_or_default();
    if !report.total.price.has_unknown {
        report.unpriced.clear();
    }
}

fn table(cx: &Cx, by: By, column: &str, report: &Report) -> Table {
    let heads =
        [&column.to_uppercase(), "ANSWERS", "INPUT", "CACHED", "WRITTEN", "OUTPUT", "REASONING", "PRICE"];
    let mut table = Table::new(&heads);
    let total = (Group { name: "total".into(), ..Group::default() }, report.total.clone());
    for (at, (group, spend)) in report.groups.iter().chain([&total]).enumerate() {
        let name = if at == report.groups.len() { group.name.clone() } else { name_of(cx, by, group) };
        let c = &spend.counts;
        let counts = [spend.answers, c.input, c.cached, c.cache_written, c.output, c.reasoning].map(grouped);
        table.row([name].into_iter().chain(counts).chain([price_text(&spend.price)]));
        if at == report.groups.len() {
            table.tone(0, Tone::Head);
        }
    }
    table
}

fn name_of(cx: &Cx, by: By, group: &Group) -> String {
    let name = match by {
        By::Session => format!("{} {}", group.agent, group.name),
        By::Project if !group.root.is_empty() => cx.ui.with_tilde(&group.root).into_owned(),
        _ => group.name.clone(),
    };
    if name.trim().is_empty() { UNKNOWN.to_owned() } else { name }
}

fn records_table(cx: &Cx, records: &[Record]) -> Table {
    let heads = ["WHEN", "MODEL", "ANSWER", "INPUT", "CACHED", "WRITTEN", "OUTPUT", "PRICE", "RECORD"];
    let mut table = Table::new(&heads);
    for record in records {
        let c = &record.counts;
        let [input, cached, written, output] = [c.input, c.cached, c.cache_written, c.output].map(grouped);
        let file = cx.ui.with_tilde(&record.file.to_string_lossy()).into_owned();
        let at = match record.offset {
            Some(offset) => format!("{file} byte {offset}"),
            None => format!("{file} {}", record.part),
        };
        let when = record.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let (model, answer) = (record.model.clone(), record.answer.clone());
        table.row([when, model, answer, input, cached, written, output, price_text(&record.price), at]);
    }
    table
}

fn price_text(price: &Price) -> String {
    match price.at_least() {
        None => UNKNOWN.to_owned(),
        Some(money) if price.has_unknown => format!("at least {}", dollars(money)),
        Some(money) => dollars(money),
    }
}

/// Cents, and below a dollar hundredths of one.
fn dollars(money: Money) -> String {
    let dollars = money.dollars();
    if dollars != 0.0 && dollars < 1.0 { format!("${dollars:.4}") } else { format!("${dollars:.2}") }
}

fn tell_problems(cx: &Cx, problems: &[(PathBuf, String)]) {
    for (path, why) in problems.iter().take(NAMED_MAX) {
        cx.ui.warn(&format!("not counted: {}: {why}", path.display()));
    }
    if problems.len() > NAMED_MAX {
        cx.ui.warn(&format!("not counted: {} more files", problems.len() - NAMED_MAX));
    }
}

fn tell_prices(cx: &Cx, report: &Report, prices: &Prices) {
    let own = if prices.own() > 0 { ", and your own" } else { "" };
    cx.ui.note(&format!("prices are the makers' list prices, looked up until {}{own}", prices.as_of()));
    if !report.unpriced.is_empty() {
        let names: Vec<String> = report
            .unpriced
            .iter()
            .map(|name| if name.is_empty() { "one that is not named".to_owned() } else { clean(name) })
            .collect();
        let file = cx.dirs.prices();
        let file = cx.ui.with_tilde(&file.to_string_lossy()).into_owned();
        cx.ui.note(&format!(
            "no price is known for all of: {}; {file} adds prices, see ox session usage --help",
            names.join(", ")
        ));
    }
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    by: &'static str,
    project: Option<&'a str>,
    since: Option<Timestamp>,
    prices_as_of: Date,
    own_prices: usize,
    groups: Vec<Row<'a>>,
    total: Figures,
    unpriced_models: &'a BTreeSet<String>,
    problems: Vec<Problem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<Vec<RecordRow<'a>>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<&'a str>,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Serialize)]
struct Figures {
    answers: u64,
    input_tokens: u64,
    cached_tokens: u64,
    cache_written_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    price_usd: Option<f64>,
    price_complete: bool,
}

#[derive(Serialize)]
struct Problem<'a> {
    path: &'a Path,
    error: &'a str,
}

#[derive(Serialize)]
struct RecordRow<'a> {
    name: &'a str,
    time: Timestamp,
    agent: &'a str,
    thread: &'a str,
    answer: &'a str,
    model: &'a str,
    path: &'a Path,
    offset: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    session: &'a str,
    #[serde(flatten)]
    figures: Figures,
}

impl Figures {
    fn new(answers: u64, counts: &Counts, price: &Price) -> Figures {
        Figures {
            answers,
            input_tokens: counts.input,
            cached_tokens: counts.cached,
            cache_written_tokens: counts.cache_written,
            output_tokens: counts.output,
            reasoning_tokens: counts.reasoning,
            price_usd: price.at_least().map(Money::dollars),
            price_complete: !price.has_unknown,
        }
    }

    fn of(spend: &Spend) -> Figures {
        Figures::new(spend.answers, &spend.counts, &spend.price)
    }
}

impl<'a> Row<'a> {
    fn new(by: By, group: &'a Group, spend: &Spend) -> Row<'a> {
        Row {
            name: &group.name,
            agent: (by == By::Session).then_some(&*group.agent),
            root: (by == By::Project).then_some(&*group.root),
            figures: Figures::of(spend),
        }
    }
}

impl<'a> RecordRow<'a> {
    fn new(record: &'a Record) -> RecordRow<'a> {
        RecordRow {
            name: &record.group.name,
            time: record.time,
            agent: &record.agent,
            thread: &record.thread,
            answer: &record.answer,
            model: &record.model,
            path: &record.file,
            offset: record.offset,
            session: &record.part,
            figures: Figures::new(1, &record.counts, &record.price),
        }
    }
}

fn failed(cx: &Cx, e: &UsageError) -> Failure {
    let failure = Failure::new(Exit::Failed, "usage cannot be counted").because(e);
    let (path, prices) = (cx.dirs.usage(), cx.dirs.prices());
    let aside = |path: &Path| word(&file::with_suffix(path, ".aside").to_string_lossy());
    let quoted = |path: &Path| word(&path.to_string_lossy());
    match e {
        UsageError::Prices { .. } => failure.hint(format!("mv {} {}", quoted(&prices), aside(&prices))),
        // What it has of files that are gone is in it alone: it is the user's to give up. Its log goes with it.
        e if e.is_damage() => {
            let (path, aside) = (quoted(&path), aside(&path));
            failure.hint(format!("mkdir {aside} && mv {path} {path}-* {aside}; ox session usage"))
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let price = |dollars: f64, has_known, has_unknown| {
            price_text(&Price { known: Money((dollars * 1e12) as i128), has_known, has_unknown })
        };
        assert_eq!(price(0.0, false, true), "?");
        assert_eq!(price(0.0, true, false), "$0.00");
        assert_eq!(price(0.01234, true, false), "$0.0123");
        assert_eq!(price(12.345, true, true), "at least $12.35");
    }
}
