//! What is shown of background work.

use std::time::Duration;

use jiff::SignedDuration;

use super::Agents;
use crate::agents::manager::{Manager, Pause, Run};
use crate::ipc::wire::{AgentWorkBudget, AgentWorkRun, AgentWorkStats, AgentWorkStatus, AgentWorkWaiting};
use crate::kit::clock::Now;
use crate::kit::gotime::GoTime;

/// The one kind of work that there is, as the wire calls it.
const KIND: &str = "session-finalize";
/// What the wire calls no agent.
const NONE: &str = "none";

/// Why no agent is run, in words.
pub(super) fn told(pause: &Pause) -> String {
    let why = match pause {
        Pause::User => return "paused by the user; ox agents resume".to_owned(),
        Pause::Quota(_) => "its quota is used up",
        Pause::Auth(_) => "its login is refused",
        Pause::Failures(_) => "it has failed three times in a row",
        Pause::Budget(_) => "too little of its budget is left for a run",
    };
    pause.until().map_or_else(|| why.to_owned(), |at| format!("{why}, until {at:.0}"))
}

fn word(pause: &Pause) -> &'static str {
    match pause {
        Pause::User => "user",
        Pause::Quota(_) => "quota",
        Pause::Auth(_) => "auth",
        Pause::Failures(_) => "failures",
        Pause::Budget(_) => "budget",
    }
}

fn count(n: impl TryInto<i64>) -> i64 {
    n.try_into().unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "sums of money are far below 2^53 millionths")]
fn dollars(micro_usd: u64) -> f64 {
    micro_usd as f64 / 1e6
}

impl Agents {
    /// What is shown of it; none until it is known.
    pub(in crate::daemon) fn shown(&self, now: Now) -> Option<AgentWorkStatus> {
        self.is_known.then(|| self.status(now))
    }

    /// How it stands, with what waits.
    pub(super) fn status_in_full(&self, now: Now) -> AgentWorkStatus {
        let queued = self.manager.as_ref().map(Manager::queued).unwrap_or_default();
        let waiting = queued.into_iter().map(|item| {
            let wait = item.not_before.since(now.mono);
            let at = now.wall.checked_add(SignedDuration::try_from(wait).unwrap_or_default()).ok();
            AgentWorkWaiting {
                target: target(&item.key),
                needs_agent: item.needs_agent,
                not_before: GoTime(at.filter(|_| !wait.is_zero())),
                error: item.error.clone(),
            }
        });
        AgentWorkStatus { waiting: waiting.collect(), ..self.status(now) }
    }

    /// How it stands.
    pub(super) fn status(&self, now: Now) -> AgentWorkStatus {
        let Some(manager) = &self.manager else { return AgentWorkStatus::default() };
        let agent = if self.agent.word.is_empty() { NONE } else { &self.agent.word };
        let stats = manager.stats();
        AgentWorkStatus {
            enabled: manager.settings().on,
            agent_type: agent.to_owned(),
            agent_available: self.agent.is_there,
            agent_usable: manager.settings().usable,
            agent_detail: self.agent.detail.clone(),
            queue_depth: count(manager.waiting()),
            active: manager.active().map(|run| self.run_of(&run, now)).collect(),
            recent: manager.recent().map(|run| self.run_of(run, now)).collect(),
            stats: AgentWorkStats {
                total_invocations: count(stats.total),
                successes: count(stats.successes),
                failures: count(stats.failures),
            },
            waiting: Vec::new(),
            paused: manager.paused().map_or("", word).to_owned(),
            paused_until: GoTime(manager.paused().and_then(Pause::until)),
            budget: manager.settings().on.then(|| budget(manager, now)),
        }
    }

    fn run_of(&self, run: &Run, now: Now) -> AgentWorkRun {
        let status = match (&run.took, run.error.is_empty()) {
            (None, _) => "running",
            (Some(_), true) => "completed",
            (Some(_), false) => "failed",
        };
        let took = run.took.unwrap_or_else(|| now.wall.duration_since(run.began));
        AgentWorkRun {
            pid: self.pids.get(&run.id).copied().map_or(0, i64::from),
            work_type: KIND.to_owned(),
            target: target(&run.key),
            started_at: GoTime(Some(run.began)),
            status: status.to_owned(),
            duration: if run.took.is_none() { Duration::ZERO } else { took.unsigned_abs() },
            error: run.error.clone(),
            exit_code: i64::from(run.exit_code),
        }
    }
}

/// What the wire calls a session.
fn target(key: &str) -> String {
    let (_, name) = key.rsplit_once('/').unwrap_or(("", key));
    format!("{KIND}:{name}")
}

fn budget(manager: &Manager, now: Now) -> AgentWorkBudget {
    let (runs, cost) = manager.budget().spent_at(now.wall);
    let caps = manager.settings().caps;
    let unknown = manager.budget().is_unknown();
    AgentWorkBudget {
        unknown,
        runs: i64::from(if unknown { caps.runs } else { runs }),
        runs_max: i64::from(caps.runs),
        tokens: count(if unknown { caps.tokens } else { cost.tokens }),
        tokens_max: count(caps.tokens),
        usd: dollars(if unknown { caps.micro_usd.unwrap_or(0) } else { cost.micro_usd }),
        usd_max: caps.micro_usd.map(dollars),
    }
}
