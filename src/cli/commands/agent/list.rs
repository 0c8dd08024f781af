//! `ox agent list` and `ox agent instances`: who is at work, in all projects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::everyone::{self, Everyone};
use crate::cli::context::Cx;
use crate::cli::failure::Outcome;
use crate::cli::quoted::quoted;
use crate::cli::ui::Paint;
use crate::cli::ui::text::{Table, age, clean, compact, count, cut, relative, tilde};
use crate::health::agents::Status;
use crate::ipc::wire::{CommandCost, InstanceInfo};
use crate::kit::process::{Seen, probe};
use crate::project::Instance;

/// Columns of a project in the table of a terminal.
const PROJECT_MAX: usize = 40;

/// One agent, from what its daemon hears and from what it wrote down when it introduced itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Row {
    agent_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    agent_type: String,
    status: String,
    workspace_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heartbeat: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    context_tokens: i64,
    command_count: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent_agent_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_pid: Option<i64>,
    commands: Vec<CommandCost>,
}

/// Flags of `ox agent list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also show agents that have ended
    #[arg(long)]
    all: bool,
}

/// Lists the agents with what they cost.
pub fn list(cx: &Cx, args: &Args) -> Outcome {
    let mut everyone = everyone::ask(cx);
    if let Ok(Some(project)) = cx.project_if_any() {
        everyone.roots.push(project.root);
    }
    let on_disk = on_disk(&everyone.roots);
    let now = cx.now();
    let lives = |one: &Instance| {
        let valid = one.expires_at.0.is_some_and(|end| now < end);
        valid && one.parent_pid > 1 && matches!(probe(one.parent_pid), Seen::Lives(_))
    };
    let mut rows = rows(&everyone.agents, &on_disk, lives);
    rows.retain(|row| args.all || row.status != Status::Exited.name());
    if cx.ui.json() {
        return cx.ui.document(&document("agents", &rows, &everyone.errors));
    }
    everyone.errors.iter().for_each(|error| cx.ui.warn(error));
    if rows.is_empty() {
        cx.ui.note("no agent is at work on this machine");
        cx.ui.next_step("ox agent prime");
        return Ok(());
    }
    let lines = text(&rows, cx.now(), &cx.home(), (cx.ui.width(), cx.ui.paint()), cx.ui.verbose());
    cx.ui.print(&quoted(cx, &lines.join("\n")))
}

/// Lists what the daemons hear.
pub fn instances(cx: &Cx) -> Outcome {
    let Everyone { agents, errors, .. } = everyone::ask(cx);
    if cx.ui.json() {
        return cx.ui.document(&document("instances", &agents, &errors));
    }
    errors.iter().for_each(|error| cx.ui.warn(error));
    let mut lines = Vec::new();
    if !agents.is_empty() {
        let mut table = Table::new(&["AGENT", "PROJECT", "STATUS", "LAST HEARTBEAT"]);
        for agent in &agents {
            let heard = agent.last_heartbeat.0.map(|t| relative(t, cx.now())).unwrap_or_default();
            let workspace = tilde(&agent.workspace_path, &cx.home());
            let workspace = cut(&clean(&workspace), cx.ui.width().map(|_| PROJECT_MAX));
            table.row([agent.agent_id.clone(), workspace, agent.status.clone(), heard]);
        }
        lines.extend(table.lines(cx.ui.width(), cx.ui.paint()));
    }
    lines.push(count(agents.len() as u64, "instance"));
    cx.ui.print(&quoted(cx, &lines.join("\n")))
}

fn document<T: Serialize>(name: &str, list: &[T], errors: &[String]) -> serde_json::Value {
    match errors {
        [] => json!({ name: list }),
        _ => json!({ name: list, "error": errors.join("; ") }),
    }
}

fn on_disk(roots: &[PathBuf]) -> BTreeMap<String, (PathBuf, Instance)> {
    let roots: BTreeSet<&PathBuf> = roots.iter().collect();
    let of = |root: &PathBuf| {
        let root = root.clone();
        Instance::all(&root).into_iter().map(move |(id, one)| (id, (root.clone(), one)))
    };
    roots.into_iter().flat_map(of).collect()
}

/// The agents that daemons hear of, and those that only wrote themselves down and whose process lives: parents first, each
/// followed by the agents it started.
fn rows(
    heard: &[InstanceInfo],
    on_disk: &BTreeMap<String, (PathBuf, Instance)>,
    lives: impl Fn(&Instance) -> bool,
) -> Vec<Row> {
    let mut all: Vec<Row> = heard.iter().map(|a| with_disk(of_heard(a), on_disk.get(&a.agent_id))).collect();
    let known: BTreeSet<&str> = heard.iter().map(|a| a.agent_id.as_str()).collect();
    for (id, (root, one)) in on_disk {
        if !known.contains(id.as_str()) && lives(one) {
            let row = Row {
                agent_id: id.clone(),
                status: "active".into(),
                workspace_path: root.to_string_lossy().into_owned(),
                parent_pid: Some(i64::from(one.parent_pid)),
                ..Row::default()
            };
            all.push(with_disk(row, Some(&(root.clone(), one.clone()))));
        }
    }
    let ids: BTreeSet<String> = all.iter().map(|row| row.agent_id.clone()).collect();
    let (below, top): (Vec<Row>, Vec<Row>) =
        all.into_iter().partition(|r| r.parent_agent_id != r.agent_id && ids.contains(&r.parent_agent_id));
    let mut below = below;
    let mut sorted: Vec<Row> = Vec::new();
    for row in top {
        let id = row.agent_id.clone();
        sorted.push(row);
        let (children, others) = below.into_iter().partition(|r: &Row| r.parent_agent_id == id);
        below = others;
        sorted.extend::<Vec<Row>>(children);
    }
    // Grandchildren, and whoever is its own ancestor, come last.
    sorted.extend(below);
    sorted
}

fn of_heard(a: &InstanceInfo) -> Row {
    Row {
        agent_id: a.agent_id.clone(),
        agent_type: a.agent_type.clone(),
        status: a.status.clone(),
        workspace_path: a.workspace_path.clone(),
        last_heartbeat: a.last_heartbeat.0,
        created_at: None,
        context_tokens: a.cumulative_context_tokens,
        command_count: a.command_count,
        parent_agent_id: a.parent_agent_id.clone(),
        parent_pid: Some(a.parent_pid).filter(|pid| *pid > 0),
        commands: a.commands.clone(),
    }
}

/// What it wrote down itself comes first.
fn with_disk(mut row: Row, disk: Option<&(PathBuf, Instance)>) -> Row {
    if let Some((_, one)) = disk {
        row.created_at = one.created_at.0;
        for (field, told) in
            [(&mut row.agent_type, &one.agent_type), (&mut row.parent_agent_id, &one.parent_agent_id)]
        {
            if !told.is_empty() {
                field.clone_from(told);
            }
        }
    }
    row
}

fn text(
    rows: &[Row],
    now: Timestamp,
    home: &Path,
    (width, paint): (Option<usize>, Paint),
    verbose: bool,
) -> Vec<String> {
    let mut table = Table::new(&["ID", "TYPE", "TOKENS", "CMDS", "UPTIME", "STATUS", "PROJECT"]);
    let mut above = "";
    let mut costs = Vec::new();
    for row in rows {
        // Only directly below the parent: further down it would seem another's.
        let below = !above.is_empty() && row.parent_agent_id == above;
        let branch = if below { "└" } else { "" };
        above = if below { above } else { &row.agent_id };
        let kind = if row.agent_type.is_empty() { "-".to_owned() } else { row.agent_type.clone() };
        let up = row.created_at.map_or_else(|| "-".to_owned(), |t| compact(age(t, now)));
        table.row([
            format!("{branch}{}", row.agent_id),
            kind,
            tokens(row.context_tokens),
            row.command_count.to_string(),
            up,
            row.status.clone(),
            cut(&clean(&tilde(&row.workspace_path, home)), width.map(|_| PROJECT_MAX)),
        ]);
        let cost = |c: &CommandCost| format!("{} {} in {}", clean(&c.name), tokens(c.tokens), c.count);
        if verbose && !row.commands.is_empty() {
            let all: Vec<String> = row.commands.iter().map(cost).collect();
            costs.push(format!("{}: {}", clean(&row.agent_id), all.join(", ")));
        }
    }
    let mut lines = table.lines(width, paint);
    lines.extend(costs);
    lines
}

/// Tokens as an estimate in three digits or so; `-` for none.
pub fn tokens(n: i64) -> String {
    match n {
        ..=0 => "-".to_owned(),
        1..1_000 => format!("~{n}"),
        1_000..1_000_000 => format!("~{}.{}K", n / 1_000, n % 1_000 / 100),
        _ => format!("~{}.{}M", n / 1_000_000, n % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::gotime::GoTime;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn heard(id: &str, parent: &str) -> InstanceInfo {
        InstanceInfo {
            agent_id: id.into(),
            parent_agent_id: parent.into(),
            workspace_path: "/home/ann/p".into(),
            status: "active".into(),
            last_heartbeat: GoTime::from(at(0)),
            ..InstanceInfo::default()
        }
    }

    fn disk(pid: u32, parent: &str) -> (PathBuf, Instance) {
        let one = Instance {
            agent_type: "codex".into(),
            parent_pid: pid,
            parent_agent_id: parent.into(),
            created_at: GoTime::from(at(-90)),
            ..Instance::default()
        };
        ("/home/ann/q".into(), one)
    }

    fn page(rows: &[Row], verbose: bool) -> String {
        text(rows, at(0), "/home/ann".as_ref(), (None, Paint::PLAIN), verbose).join("\n")
    }

    #[test]
    fn children_stand_below_their_parent_and_the_disk_fills_in() {
        let mut parent = heard("OxAaaa", "");
        parent.cumulative_context_tokens = 3_149;
        parent.command_count = 4;
        parent.commands = vec![CommandCost { name: "prime".into(), tokens: 3_000, count: 1 }];
        let idle = InstanceInfo { status: "idle".into(), ..heard("OxCccc", "OxGone") };
        let all = [heard("OxBbbb", "OxAaaa"), parent, idle];
        let on_disk = [("OxBbbb", disk(5, "")), ("OxDddd", disk(6, "OxCccc")), ("OxEeee", disk(7, ""))]
            .into_iter()
            .map(|(id, one)| (id.to_owned(), one))
            .collect();
        let rows = rows(&all, &on_disk, |one| one.parent_pid == 6);
        insta::assert_snapshot!(page(&rows, true), @r"
        ID       TYPE   TOKENS  CMDS  UPTIME  STATUS  PROJECT
        OxAaaa   -      ~3.1K   4     -       active  ~/p
        └OxBbbb  codex  -       0     1m 30s  active  ~/p
        OxCccc   -      -       0     -       idle    ~/p
        └OxDddd  codex  -       0     1m 30s  active  ~/q
        OxAaaa: prime ~3.0K in 1
        ");
    }

    #[test]
    fn two_that_name_each_other_are_both_listed() {
        let rows = rows(&[heard("OxAaaa", "OxBbbb"), heard("OxBbbb", "OxAaaa")], &BTreeMap::new(), |_| true);
        assert_eq!(rows.len(), 2);
        let own = super::rows(&[heard("OxAaaa", "OxAaaa")], &BTreeMap::new(), |_| true);
        assert_eq!(own.len(), 1);
    }

    #[test]
    fn a_grandchild_is_not_drawn_below_a_stranger() {
        let all =
            [heard("OxAaaa", ""), heard("OxBbbb", "OxAaaa"), heard("OxCccc", "OxBbbb"), heard("OxDddd", "")];
        let rows = super::rows(&all, &BTreeMap::new(), |_| true);
        let ids: Vec<String> =
            page(&rows, false).lines().skip(1).map(|l| l.split(' ').next().unwrap().into()).collect();
        assert_eq!(ids, ["OxAaaa", "└OxBbbb", "OxDddd", "OxCccc"]);
    }

    #[test]
    fn numbers_are_short() {
        for (n, text) in
            [(0, "-"), (999, "~999"), (1_000, "~1.0K"), (999_999, "~999.9K"), (2_340_000, "~2.3M")]
        {
            assert_eq!(tokens(n), text);
        }
    }
}
