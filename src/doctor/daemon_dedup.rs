//! Do several daemons claim the same repository?

use std::collections::BTreeMap;

use super::{Category, Check, Command, Context, FixLevel, Outcome, RegistryEntry, Remedy};

pub(super) const CHECK: Check = Check {
    slug: "daemon-dedup",
    name: "one daemon a repository",
    category: Category::Daemon,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let mut by_repo: BTreeMap<&str, Vec<&RegistryEntry>> = BTreeMap::new();
    for entry in cx.registry.iter().filter(|e| e.alive && !e.repo_id.is_empty()) {
        by_repo.entry(&entry.repo_id).or_default().push(entry);
    }
    let several = |entries: &Vec<&RegistryEntry>| entries.iter().any(|e| e.pid != entries[0].pid);
    let twice: Vec<_> = by_repo.into_iter().filter(|(_, entries)| several(entries)).collect();
    if twice.is_empty() {
        return Outcome::passed("no repository has two");
    }
    let lines = twice.iter().map(|(repo, entries)| {
        let pids: Vec<String> = entries.iter().map(|e| e.pid.to_string()).collect();
        format!("{repo}: pids {}", pids.join(", "))
    });
    Outcome::warning(format!("{} served by several daemons", twice.len()))
        .detail(lines)
        .remedy(Remedy::Ox(Command::DaemonRestart))
}
