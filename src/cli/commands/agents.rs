//! `ox agents`: background work of agents, shown, held and bounded.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::agents::kept::Kept;
use crate::agents::usable::{self, Usable};
use crate::cli::context::Cx;
use crate::cli::errors::of_reach;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::{Table, clean, count, grouped, relative, row, short};
use crate::daemon::reach;
use crate::http::Client as HttpClient;
use crate::ipc::client::{Client, ClientError};
use crate::ipc::wire::{AgentWorkAsk, AgentWorkBudget, AgentWorkStatus};
use crate::kit::clock::SystemClock;
use crate::project::AgentWorker;
use crate::project::settings::Settings;

/// Flags of `ox agents`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox agents status\n  ox agents budget\n  ox agents pause")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show which agents can be run, what runs and what waits
    ///
    /// When a recording has ended, the daemon has an agent sum it up and shares it in the ledger, if
    /// agent_worker.agent names one: claude, codex, gemini, or chat for a server of chat completions (ox config set).
    /// Without a name no agent is ever run.
    #[command(after_help = "Examples:\n  ox agents status\n  ox agents status --json")]
    Status,
    /// Run no agent in the background until further notice
    ///
    /// What runs now goes on to its end. It stays so when the daemon begins anew.
    #[command(after_help = "Examples:\n  ox agents pause")]
    Pause,
    /// Run agents in the background again, also before a pause by itself is over
    #[command(after_help = "Examples:\n  ox agents resume")]
    Resume,
    /// Show what background work has cost, and may cost
    ///
    /// Runs count in an hour, input tokens and money in a day; at a limit no agent is run before it is over. The limits
    /// are agent_worker.max_invocations_per_hour, max_input_tokens_per_day and max_usd_per_day.
    #[command(after_help = "Examples:\n  ox agents budget\n  ox agents budget --json")]
    Budget,
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match args.command {
        Command::Status => status(cx),
        Command::Pause => pause(cx, true),
        Command::Resume => pause(cx, false),
        Command::Budget => budget(cx),
    }
}

/// What the daemon says of it, if one runs.
fn ask(cx: &Cx, ask: &AgentWorkAsk) -> Outcome<Option<AgentWorkStatus>> {
    let host = Client::new(cx.dirs.host_socket());
    if !host.is_reachable() {
        return Ok(None);
    }
    match host.agent_work(ask) {
        Ok(status) => Ok(Some(status)),
        // One of an older version knows no such message.
        Err(ClientError::Remote(_)) => {
            Err(Failure::new(Exit::Failed, "the daemon is of another version").hint("ox daemon restart"))
        }
        Err(e) => Err(of_reach(&reach::ReachError::Client(e))),
    }
}

fn worker(cx: &Cx) -> AgentWorker {
    let (settings, trouble) = Settings::load(&cx.env, &cx.dirs, None);
    let (worker, wrong) = settings.agent_worker();
    trouble.iter().chain(&wrong).for_each(|e| cx.ui.warn(&e.to_string()));
    worker
}

fn status(cx: &Cx) -> Outcome {
    let worker = worker(cx);
    let work = ask(cx, &AgentWorkAsk::default())?;
    let agents = usable::look(&worker, &cx.env, &HttpClient::new(Arc::new(SystemClock))).all;
    let effective = usable::resolve(&worker, &agents);
    if cx.ui.json() {
        let rows: Vec<Value> = agents.iter().map(document).collect();
        return cx.ui.document(&json!({
            "agents": rows, "effective": effective.agent, "why": effective.why, "daemon": work.is_some(),
            "work": work.unwrap_or_default(),
        }));
    }
    let mut table = Table::new(&["AGENT", "INSTALLED", "LOGIN", "PROGRAM"]);
    for one in &agents {
        let program = one.program.as_ref().map(|path| path.to_string_lossy().into_owned());
        table.row([
            one.agent.to_owned(),
            if one.installed { "yes" } else { "no" }.to_owned(),
            one.detail.clone(),
            cx.ui.with_tilde(&program.unwrap_or_default()).into_owned(),
        ]);
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
    let Some(work) = work else {
        cx.ui.note("the daemon is not running: nothing is done in the background");
        cx.ui.next_step("ox daemon start");
        return Ok(());
    };
    cx.ui.print(&told(cx, &work).join("\n"))?;
    if !work.enabled {
        let ready = agents.iter().find(|one| one.is_usable());
        cx.ui.next_step(&match ready {
            Some(one) => format!("ox config set agent_worker.agent {}", one.agent),
            None => "install claude, codex or gemini and log in there".to_owned(),
        });
    } else if work.paused == "user" {
        cx.ui.next_step("ox agents resume");
    }
    Ok(())
}

/// How background work stands, in lines.
fn told(cx: &Cx, work: &AgentWorkStatus) -> Vec<String> {
    if !work.enabled {
        return vec![row("work", "off: no agent is run in the background")];
    }
    let mut lines = Vec::new();
    let state = match (work.paused.as_str(), work.agent_usable) {
        ("", true) => String::new(),
        ("", false) => format!("; it cannot be used: {}", work.agent_detail),
        _ => format!("; {}", paused(work)),
    };
    lines.push(row("work", &format!("on with {}{state}", work.agent_type)));
    lines.extend(work.budget.as_ref().map(|budget| row("spent", &spent(budget))));
    let done = format!(
        "{} waiting, {} running, {} done, {} failed",
        work.queue_depth,
        work.active.len(),
        work.stats.successes,
        work.stats.failures
    );
    lines.push(row("sessions", &done));
    let name = |target: &str| target.rsplit_once(':').map_or(target, |(_, name)| name).to_owned();
    for run in work.active.iter().chain(work.recent.iter().rev()) {
        let ago = run.started_at.0.map(|at| relative(at, cx.now())).unwrap_or_default();
        let what = match run.status.as_str() {
            "running" if run.pid > 0 => format!("running, pid {}", run.pid),
            "running" => "running".to_owned(),
            "completed" => format!("done in {}", short(run.duration)),
            _ => format!("failed: {}", clean(&run.error)),
        };
        lines.push(row("", &format!("{}  {ago}  {what}", name(&run.target))));
    }
    for one in work.waiting.iter().take(WAITING_SHOWN) {
        let when = one.not_before.0.map(|at| format!(", tried again {}", relative(at, cx.now())));
        let why = if one.error.is_empty() { String::new() } else { format!(": {}", clean(&one.error)) };
        lines.push(row("", &format!("{}  waits{}{why}", name(&one.target), when.unwrap_or_default())));
    }
    lines
}

/// Of what waits so much is named.
const WAITING_SHOWN: usize = 10;

/// Why no agent is run now, and until when.
pub fn paused(work: &AgentWorkStatus) -> String {
    let why = match work.paused.as_str() {
        "user" => return "paused by you".to_owned(),
        "quota" => "its quota is used up",
        "auth" => "its login was refused",
        "failures" => "it has failed three times in a row",
        _ => "too little of its budget is left for a run",
    };
    let until = work.paused_until.0.map(|at| format!("{at:.0}")).unwrap_or_default();
    format!("it waits until {until}: {why}")
}

fn spent(budget: &AgentWorkBudget) -> String {
    let tokens = |n: i64| grouped(u64::try_from(n).unwrap_or(0));
    if budget.unknown {
        return "not known, and so counted as all of it for a day".to_owned();
    }
    let money = match budget.usd_max {
        Some(max) => format!(", ${:.2} of ${max:.2} today", budget.usd),
        None if budget.usd > 0.0 => format!(", ${:.2} today", budget.usd),
        None => String::new(),
    };
    format!(
        "{} of {} this hour, {} of {} input tokens today{money}",
        budget.runs,
        count(u64::try_from(budget.runs_max).unwrap_or(0), "run"),
        tokens(budget.tokens),
        tokens(budget.tokens_max)
    )
}

fn pause(cx: &Cx, pause: bool) -> Outcome {
    let work = ask(cx, &AgentWorkAsk { pause: Some(pause), peek: true })?;
    let work = work.ok_or_else(|| of_reach(&reach::ReachError::NotRunning))?;
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "paused": pause, "work": work }));
    }
    if pause {
        cx.ui.done("no agent is begun in the background any more; what runs goes on to its end")?;
        cx.ui.next_step("ox agents resume");
    } else if work.enabled {
        cx.ui.done("agents are run in the background again")?;
    } else {
        cx.ui.done("the pause is over, and background work is off")?;
        cx.ui.next_step("ox agents status");
    }
    Ok(())
}

fn budget(cx: &Cx) -> Outcome {
    let worker = worker(cx);
    let work = ask(cx, &AgentWorkAsk::default())?;
    let known = work.as_ref().and_then(|work| work.budget.clone());
    let is_known = known.is_some();
    // Before the first run too, and where no daemon runs.
    let kept = Kept::load(&cx.dirs.agent_spend());
    let unknown = kept.is_err();
    let (runs, cost) = kept.unwrap_or_default().budget.spent_at(cx.now());
    let budget = known.unwrap_or_else(|| AgentWorkBudget {
        unknown,
        runs: i64::from(runs),
        tokens: i64::try_from(cost.tokens).unwrap_or(i64::MAX),
        usd: cost.micro_usd as f64 / 1e6,
        runs_max: i64::from(worker.max_invocations_per_hour),
        tokens_max: i64::try_from(worker.max_input_tokens_per_day).unwrap_or(i64::MAX),
        usd_max: worker.max_micro_usd_per_day.map(|micro| micro as f64 / 1e6),
    });
    if cx.ui.json() {
        return cx.ui.document(&json!({ "budget": budget, "daemon": work.is_some() }));
    }
    cx.ui.print(&row("spent", &spent(&budget)))?;
    if !is_known {
        cx.ui.note("no agent is run in the background");
        cx.ui.next_step("ox agents status");
    }
    Ok(())
}

fn document(one: &Usable) -> Value {
    json!({
        "agent": one.agent, "installed": one.installed, "authenticated": one.authenticated, "detail": one.detail,
        "path": one.program,
    })
}
