//! The agents that all daemons on this machine hear of: ours for each of its projects, and those of the Go program.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::context::Cx;
use crate::daemon::{Entry, Registry};
use crate::ipc::client::{Client, ClientError};
use crate::ipc::limits::client::STATUS;
use crate::ipc::wire::{InstanceInfo, Instances, InstancesAsk, Message};
use crate::kit::clock::{Clock as _, SystemClock};
use crate::kit::process::may_live;

/// All daemons together are waited for this long; whoever was not asked by then is named.
const ASK_MAX: Duration = Duration::from_secs(3);

/// What was heard.
#[derive(Debug, Default)]
pub struct Everyone {
    /// Newest heartbeat first, each agent once.
    pub agents: Vec<InstanceInfo>,
    /// The directories of the projects that are served.
    pub roots: Vec<PathBuf>,
    /// Daemons that gave no answer, and why.
    pub errors: Vec<String>,
}

/// Asks every daemon of the registry whose process lives.
pub fn ask(cx: &Cx) -> Everyone {
    let entries = match Registry::at(cx.dirs.registry()).entries() {
        Ok(entries) => entries,
        Err(e) => {
            let errors = vec![format!("{}: {e}", cx.dirs.registry().display())];
            return Everyone { errors, ..Everyone::default() };
        }
    };
    let end = SystemClock.now().mono + ASK_MAX;
    let mut everyone = Everyone::default();
    let mut by_id: BTreeMap<String, InstanceInfo> = BTreeMap::new();
    for entry in entries.into_values().filter(|e| may_live(e.pid)) {
        everyone.roots.push(PathBuf::from(&entry.workspace_path));
        let left = end.since(SystemClock.now().mono).min(STATUS);
        if left.is_zero() {
            everyone.errors.push(format!("{}: not asked, others took too long", entry.workspace_path));
            continue;
        }
        match ask_one(&entry, left) {
            Ok(agents) => agents.into_iter().for_each(|agent| add(&mut by_id, &entry, agent)),
            // It has just let go of the project.
            Err(ClientError::NotRunning { .. }) => {}
            Err(e) => everyone.errors.push(format!("{}: {e}", entry.workspace_path)),
        }
    }
    everyone.agents = by_id.into_values().collect();
    everyone.agents.sort_by_key(|agent| std::cmp::Reverse(agent.last_heartbeat));
    everyone
}

fn ask_one(entry: &Entry, within: Duration) -> Result<Vec<InstanceInfo>, ClientError> {
    let ask = InstancesAsk { detail: true };
    let answer: Instances =
        Client::new(&entry.socket_path).call_as(Message::Instances, Some(&ask), within)?;
    Ok(answer.instances)
}

fn add(by_id: &mut BTreeMap<String, InstanceInfo>, entry: &Entry, mut agent: InstanceInfo) {
    if agent.workspace_path.is_empty() {
        agent.workspace_path.clone_from(&entry.workspace_path);
    }
    let known = by_id.get(&agent.agent_id);
    if known.is_none_or(|known| known.last_heartbeat < agent.last_heartbeat) {
        by_id.insert(agent.agent_id.clone(), agent);
    }
}
