//! The agents that are at work, by their heartbeats and by the processes behind them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use super::activity::{KEY_MAX, Uses};
use crate::kit::clock::{Mono, Now};
use crate::kit::process::{Seen, StartedAt};

/// So many agents are followed (decisions, section 8).
pub const AGENTS_MAX: usize = 2000;
/// So many times of an agent's heartbeats are kept.
pub const TIMES_MAX: usize = 20;
/// So many names of commands are told apart for an agent; the others count together as [`OTHER_COMMANDS`].
pub const COMMANDS_MAX: usize = 32;
/// Where commands beyond [`COMMANDS_MAX`] count.
pub const OTHER_COMMANDS: &str = "other";
/// A longer name of a command, type or agent is cut off.
pub const NAME_MAX: usize = 128;
/// Silent for longer than this, an agent is not active.
pub const IDLE: Duration = Duration::from_secs(5 * 60);
/// Silent for longer than this, it is gone, unless its process lives.
pub const STALE: Duration = Duration::from_secs(15 * 60);
/// Silent for this long, it is gone in any case.
pub const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// The processes of agents are looked at this often while there are any (decisions, section 8).
pub const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A process that has not been looked at yet is looked at within this time, before another can take its number.
pub const LOOK_FIRST: Duration = Duration::from_secs(1);

/// What a heartbeat tells of an agent. What is empty or zero is not told.
#[derive(Clone, Copy, Debug, Default)]
pub struct AgentHeartbeat<'a> {
    /// Which agent.
    pub agent: &'a str,
    /// Where it works.
    pub path: &'a str,
    /// The agent that started it.
    pub parent: &'a str,
    /// Such as `claude-code`.
    pub kind: &'a str,
    /// Its process.
    pub pid: u32,
    /// Tokens that a command put in front of its model.
    pub tokens: u64,
    /// The command.
    pub command: &'a str,
    /// Whom it works for.
    pub principal: &'a str,
    /// The tokens by what they are about.
    pub by_source: Option<&'a BTreeMap<String, i64>>,
    /// The tokens by the kind of knowledge base they come from.
    pub by_kb_type: Option<&'a BTreeMap<String, i64>>,
}

/// How an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was heard of in the last [`IDLE`].
    Active,
    /// Not for longer.
    Idle,
    /// Nor does its process live.
    Exited,
}

impl Status {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Idle => "idle",
            Status::Exited => "exited",
        }
    }
}

/// What is known of an agent's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    /// No heartbeat has named it.
    Untold,
    /// It has not been looked at, or could not be.
    Unseen(u32),
    /// It lived when last looked at. Another that gets its number later started at another time.
    Lives(u32, Option<StartedAt>),
    /// It is gone.
    Dead(u32),
}

/// What commands have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Tokens put in front of the model, as estimated by the commands.
    pub tokens: u64,
    /// How many commands.
    pub commands: u64,
}

/// Tokens by a name that newer programs give them. A bounded number of names; the others count together as [`OTHER_COMMANDS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split(BTreeMap<Box<str>, u64>);

impl Split {
    fn add(&mut self, told: Option<&BTreeMap<String, i64>>) {
        for (name, tokens) in told.into_iter().flatten() {
            let Ok(tokens @ 1..) = u64::try_from(*tokens) else { continue };
            let name = &name[..name.floor_char_boundary(NAME_MAX)];
            let is_full = self.0.len() >= COMMANDS_MAX && !self.0.contains_key(name);
            let sum = self.0.entry(if is_full { OTHER_COMMANDS } else { name }.into()).or_default();
            *sum = sum.saturating_add(tokens);
        }
    }

    /// The sums.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, tokens)| (&**name, *tokens))
    }
}

/// One agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Where it works; empty if it has not told.
    pub path: String,
    /// The agent that started it; may be empty.
    pub parent: String,
    /// Such as `claude-code`; may be empty.
    pub kind: String,
    /// All its commands.
    pub cost: Cost,
    /// Whom it works for; may be empty.
    pub principal: String,
    /// The tokens by what they are about, as far as it has told.
    pub by_source: Split,
    /// The tokens by the kind of knowledge base, as far as it has told.
    pub by_kb_type: Split,
    /// By name of the command.
    pub by_command: Vec<(Box<str>, Cost)>,
    /// When it took whispers last.
    pub last_whisper: Option<Timestamp>,
    /// Its heartbeats.
    pub beats: Uses,
    last: Mono,
    process: Process,
}

impl Agent {
    /// Its process; 0 if it has not told.
    pub fn pid(&self) -> u32 {
        match self.process {
            Process::Untold => 0,
            Process::Unseen(pid) | Process::Lives(pid, _) | Process::Dead(pid) => pid,
        }
    }

    /// How long nothing was heard of it.
    pub fn silent(&self, now: Mono) -> Duration {
        now.since(self.last)
    }

    /// How it is; `None` if it is gone.
    pub fn status(&self, now: Mono) -> Option<Status> {
        let silent = self.silent(now);
        let dead = matches!(self.process, Process::Dead(_));
        let no_process = dead || self.process == Process::Untold;
        if silent >= FORGOTTEN || (silent > STALE && no_process) {
            None
        } else if silent <= IDLE {
            // Hooks often tell the number of a shell that has ended when the heartbeat arrives.
            Some(Status::Active)
        } else if dead {
            Some(Status::Exited)
        } else {
            Some(Status::Idle)
        }
    }

    fn probe_within(&self) -> Duration {
        if matches!(self.process, Process::Unseen(_)) { LOOK_FIRST } else { LOOK_EVERY }
    }

    fn heard(&mut self, now: Now, beat: &AgentHeartbeat<'_>) {
        for (field, told) in [
            (&mut self.path, beat.path),
            (&mut self.parent, beat.parent),
            (&mut self.kind, beat.kind),
            (&mut self.principal, beat.principal),
        ] {
            if !told.is_empty() && field != told {
                *field = told.to_string();
            }
        }
        if beat.pid > 0 && (beat.pid != self.pid() || matches!(self.process, Process::Dead(_))) {
            self.process = Process::Unseen(beat.pid);
        }
        if beat.tokens > 0 {
            self.cost.add(beat.tokens);
            self.cost_of(beat.command).add(beat.tokens);
        }
        self.by_source.add(beat.by_source);
        self.by_kb_type.add(beat.by_kb_type);
        self.beats.add(now.wall);
        self.last = now.mono;
    }

    fn cost_of(&mut self, command: &str) -> &mut Cost {
        let known = |list: &[(Box<str>, Cost)], name: &str| list.iter().position(|(c, _)| **c == *name);
        let name = if known(&self.by_command, command).is_none() && self.by_command.len() >= COMMANDS_MAX {
            OTHER_COMMANDS
        } else {
            command
        };
        let at = known(&self.by_command, name).unwrap_or_else(|| {
            self.by_command.push((name.into(), Cost::default()));
            self.by_command.len() - 1
        });
        &mut self.by_command[at].1
    }
}

impl Cost {
    fn add(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
        self.commands += 1;
    }
}

/// All agents of a project.
#[derive(Clone, Debug, Default)]
pub struct Agents {
    by_id: HashMap<Box<str>, Agent>,
}

impl Agents {
    /// Takes in a heartbeat. Answers how long the next look at processes may wait on its account; `None` if it is about no agent.
    pub fn beat(&mut self, now: Now, beat: &AgentHeartbeat<'_>) -> Option<Duration> {
        let names = [beat.agent, beat.parent, beat.kind];
        if beat.agent.is_empty() || names.iter().any(|n| n.len() > NAME_MAX) || beat.path.len() > KEY_MAX {
            return None;
        }
        let cut = beat.command.floor_char_boundary(NAME_MAX);
        let principal = &beat.principal[..beat.principal.floor_char_boundary(NAME_MAX)];
        let beat = AgentHeartbeat { command: &beat.command[..cut], principal, ..*beat };
        if let Some(agent) = self.by_id.get_mut(beat.agent) {
            agent.heard(now, &beat);
            return Some(agent.probe_within());
        }
        if self.by_id.len() >= AGENTS_MAX {
            self.evict(now.mono);
        }
        let mut agent = Agent {
            path: String::new(),
            parent: String::new(),
            kind: String::new(),
            cost: Cost::default(),
            principal: String::new(),
            by_source: Split::default(),
            by_kb_type: Split::default(),
            by_command: Vec::new(),
            last_whisper: None,
            beats: Uses::none(now.wall, TIMES_MAX),
            last: now.mono,
            process: Process::Untold,
        };
        agent.heard(now, &beat);
        let within = agent.probe_within();
        self.by_id.insert(beat.agent.into(), agent);
        Some(within)
    }

    /// Makes room: first who is gone or has exited, else who has been silent for longest.
    fn evict(&mut self, now: Mono) {
        let keep = |a: &Agent| matches!(a.status(now), Some(Status::Active | Status::Idle));
        let first = self.by_id.iter().min_by_key(|(_, a)| (keep(a), a.last)).map(|(id, _)| id.clone());
        first.map(|id| self.by_id.remove(&id));
    }

    /// An agent took whispers.
    pub fn whispered(&mut self, agent: &str, at: Timestamp) {
        if let Some(agent) = self.by_id.get_mut(agent) {
            agent.last_whisper = Some(at);
        }
    }

    /// Forgets who is gone.
    pub fn prune(&mut self, now: Mono) {
        self.by_id.retain(|_, a| a.status(now).is_some());
        self.by_id.shrink_to_fit();
    }

    /// The processes that have to be looked at: of all agents whose process is not known to be dead.
    pub fn to_probe(&self) -> Vec<u32> {
        let pid = |a: &Agent| match a.process {
            Process::Unseen(pid) | Process::Lives(pid, _) => Some(pid),
            Process::Untold | Process::Dead(_) => None,
        };
        let mut pids: Vec<u32> = self.by_id.values().filter_map(pid).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// How long the next look may wait; `None` if there is nobody.
    pub fn probe_within(&self) -> Option<Duration> {
        self.by_id.values().map(Agent::probe_within).min()
    }

    /// Takes in what became of processes that were looked at, in the order of their numbers. A look that failed changes nothing.
    pub fn probed(&mut self, seen: &[(u32, Seen)]) {
        for agent in self.by_id.values_mut() {
            let of = |pid: u32| seen.binary_search_by_key(&pid, |(p, _)| *p).ok().map(|at| seen[at].1);
            agent.process = match agent.process {
                Process::Unseen(pid) => match of(pid) {
                    Some(Seen::Lives(started)) => Process::Lives(pid, started),
                    Some(Seen::Gone) => Process::Dead(pid),
                    Some(Seen::Unknown) | None => Process::Unseen(pid),
                },
                Process::Lives(pid, first) => match of(pid) {
                    Some(Seen::Lives(started)) if started == first => Process::Lives(pid, first),
                    Some(Seen::Lives(_) | Seen::Gone) => Process::Dead(pid),
                    Some(Seen::Unknown) | None => Process::Lives(pid, first),
                },
                other => other,
            };
        }
    }

    /// All that are not gone, newest heartbeat first.
    pub fn present(&self, now: Mono) -> Vec<(&str, &Agent, Status)> {
        let all = self.by_id.iter().filter_map(|(id, a)| a.status(now).map(|status| (&**id, a, status)));
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| b.1.last.cmp(&a.1.last).then_with(|| a.0.cmp(b.0)));
        all
    }

    /// Those whose process has ended and of whom nothing has been heard for a while, and that process.
    pub fn exited(&self, now: Mono) -> impl Iterator<Item = (String, u32)> {
        let exited = self.by_id.iter().filter(move |(_, agent)| agent.status(now) == Some(Status::Exited));
        exited.map(|(id, agent)| (id.to_string(), agent.pid()))
    }

    /// All agents that are followed, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Agent)> {
        self.by_id.iter().map(|(id, agent)| (&**id, agent))
    }

    /// How many are followed.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
