//! Which agents have been silent for long, with a process that lives? That is no fault: they may think, or wait for a person.

use super::{Category, Check, Context, FixLevel, Outcome};
use crate::health::agents::STALE;
use crate::kit::human::short;

pub(super) const CHECK: Check = Check {
    slug: "daemon-instance-stale",
    name: "agents",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(agents) = &cx.agents else {
        return cx.not_served();
    };
    let silent = |at: jiff::Timestamp| cx.now.duration_since(at).unsigned_abs();
    let stale: Vec<String> = agents
        .iter()
        .filter_map(|agent| Some((agent, silent(agent.last_heartbeat.0?))))
        .filter(|(_, silent)| *silent >= STALE)
        .map(|(agent, silent)| {
            format!("{}, pid {}: silent for {}", agent.agent_id, agent.parent_pid, short(silent))
        })
        .collect();
    let count = agents.len();
    let text = if stale.is_empty() {
        format!("{count} heard of")
    } else {
        format!("{count} heard of, {} silent for long", stale.len())
    };
    Outcome::passed(text).detail(stale)
}
