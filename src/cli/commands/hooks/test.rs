//! `ox hooks test`.

use serde_json::{Value, json};

use super::{ALL, agents, site};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::Tone;
use crate::cli::ui::text::{Table, count};
use crate::hooks::install;
use crate::hooks::probe::{self, EventProof, Fired, How, NOT_OPTED_IN, ProbeError, Proof};

/// Flags of `ox hooks test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent; all are those whose hooks are on, or else those that are set up on this machine
    #[arg(value_name = "AGENT", default_value = ALL, value_parser = agents())]
    agent: String,
}

pub(super) fn run(cx: &Cx, args: &Args) -> Outcome {
    let words = words(cx, &args.agent)?;
    if words.is_empty() {
        let failure = Failure::new(Exit::Failed, "no agent is set up on this machine");
        let first = install::rows().next().map_or(ALL, |hooks| hooks.word);
        return Err(failure.hint(format!("ox hooks install --agent {first}")));
    }
    let mut proofs = Vec::new();
    {
        let progress = cx.ui.progress("looking at the settings of agents");
        for word in words {
            let told = |text: &str| progress.phase(text, None);
            proofs.push(probe::probe(site(cx, None), word, &told).map_err(|e| failed(word, &e))?);
        }
    }
    let document: Vec<Value> = proofs.iter().map(document).collect();
    let broken: Vec<&Proof> = proofs.iter().filter(|proof| !proof.broken.is_empty()).collect();
    if cx.ui.json() && broken.is_empty() {
        return cx.ui.document(&json!({ "success": true, "agents": document }));
    }
    if !cx.ui.json() {
        show(cx, &proofs)?;
    }
    let Some(first) = broken.first().and_then(|proof| proof.broken.first()) else { return Ok(()) };
    let agents: Vec<&str> = broken.iter().map(|proof| proof.agent).collect();
    let what = format!("events of {} do not get through", agents.join(", "));
    // One command does it for all of them.
    let is_off = |proof: &&Proof| proof.broken.first().is_some_and(|one| one.reason == NOT_OPTED_IN);
    let next = if agents.len() > 1 && broken.iter().all(is_off) { "ox hooks install" } else { &first.next };
    let mut failure = Failure::new(Exit::Failed, what).with("agents", document.into()).hint(next);
    for proof in broken {
        for one in &proof.broken {
            let then = if next == "ox hooks install" || one.next == next { "" } else { &one.next };
            let then = if then.is_empty() { String::new() } else { format!("; next: {then}") };
            let what = format!("{}: not {}: {}{then}", proof.agent, one.link.name(), one.what);
            failure = failure.because_of(what);
        }
    }
    Err(failure)
}

/// The agents that are tested.
fn words(cx: &Cx, agent: &str) -> Outcome<Vec<&'static str>> {
    if let Some(row) = install::rows().find(|hooks| hooks.word == agent) {
        return Ok(vec![row.word]);
    }
    let site = site(cx, None);
    let (_, all) = install::status(site).map_err(|e| failed(agent, &e.into()))?;
    let mut on: Vec<&'static str> = all.iter().filter(|one| one.effective).map(|one| one.agent).collect();
    on.dedup();
    Ok(if on.is_empty() { install::present(site) } else { on })
}

fn failed(word: &str, error: &ProbeError) -> Failure {
    let exit = match error {
        ProbeError::Install(e) if e.is_disk() => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure::new(exit, "hooks cannot be tested").on(word).because(error).hint("ox hooks status")
}

fn show(cx: &Cx, proofs: &[Proof]) -> Outcome {
    let heads = ["AGENT", "EVENT", "CONFIGURED", "TRUSTED", "FIRED", "DELIVERED", "STORED"];
    let mut table = Table::new(&heads);
    for proof in proofs {
        let rows: Vec<(&str, [String; 5])> =
            proof.events.iter().map(|event| (event.event, cells(event))).collect();
        // Where nothing was run there may be one thing to say of all of them.
        let is_same = rows.windows(2).all(|two| two[0].1 == two[1].1);
        let all = format!("all {}", rows.len());
        let rows = match (is_same, rows.first()) {
            (true, Some((_, cells))) if proof.how == How::NotRun => vec![(all.as_str(), cells.clone())],
            _ => rows,
        };
        for (event, cells) in rows {
            table.row([&[proof.agent.to_owned(), event.to_owned()], &cells[..]].concat());
            for (n, _) in cells.iter().enumerate().filter(|(_, cell)| *cell == NO) {
                table.tone(n + 2, Tone::Bad);
            }
        }
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
    for proof in proofs {
        proof.notes.iter().for_each(|note| cx.ui.note(note));
        if let How::Replayed(why) = &proof.how {
            let agent = proof.agent;
            cx.ui.note(&format!(
                "{agent} was not run ({why}): the commands in its settings were run in its place"
            ));
        }
        if proof.broken.is_empty() {
            cx.ui.done(&verdict(proof))?;
        }
    }
    Ok(())
}

/// What is said of an agent whose events get through.
fn verdict(proof: &Proof) -> String {
    let of = |fired: Fired| proof.events.iter().filter(|event| event.fired == fired).count() as u64;
    let (run, replayed) = (of(Fired::Run), of(Fired::Replayed));
    let fired = match (run, replayed) {
        (0, _) => format!("{} replayed", count(replayed, "event")),
        (_, 0) => format!("{} fired by it", count(run, "event")),
        _ => format!("{} fired by it, {replayed} replayed", count(run, "event")),
    };
    format!("{}: events get through: {fired}", proof.agent)
}

const NO: &str = "no";

fn cells(event: &EventProof) -> [String; 5] {
    let word = |is: Option<bool>| is.map_or("-", |is| if is { "yes" } else { NO }).to_owned();
    let fired = match event.fired {
        Fired::Run => "yes",
        Fired::Replayed => "replayed",
        Fired::No => NO,
        Fired::Unknown => "-",
    };
    let entry = event.handler_us.map(|us| format!("in {}.{} ms", us / 1000, us % 1000 / 100));
    let stored = event.stored_ms.map(|ms| format!("after {ms} ms"));
    let timed = |is: Option<bool>, time: Option<String>| time.filter(|_| is == Some(true));
    [
        word(Some(event.configured)),
        word(event.trusted),
        fired.to_owned(),
        timed(event.delivered, entry).unwrap_or_else(|| word(event.delivered)),
        timed(event.stored, stored).unwrap_or_else(|| word(event.stored)),
    ]
}

fn document(proof: &Proof) -> Value {
    let (how, why) = match &proof.how {
        How::Run => ("run", None),
        How::Replayed(why) => ("replayed", Some(why)),
        How::NotRun => ("not run", None),
    };
    let events: Vec<Value> = proof
        .events
        .iter()
        .map(|event| {
            json!({
                "event": event.event, "event_type": event.event_type, "configured": event.configured, "trusted": event.trusted,
                "fired": event.fired.name(), "delivered": event.delivered, "stored": event.stored,
                "handler_us": event.handler_us, "stored_ms": event.stored_ms,
            })
        })
        .collect();
    let broken: Vec<Value> = proof
        .broken
        .iter()
        .map(|one| {
            json!({ "link": one.link.name(), "reason": one.reason, "what": one.what, "next_step": one.next })
        })
        .collect();
    json!({
        "agent": proof.agent, "works": proof.broken.is_empty(), "path": proof.path, "program": proof.program, "how": how,
        "not_run_because": why, "events": events, "broken": broken, "notes": proof.notes,
    })
}
