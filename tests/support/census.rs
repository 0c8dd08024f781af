//! Counting what is there: processes, files, threads, descriptors. Read from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ox::kit::child::Cmd;

use super::{HANG, run, spawn, until_or};

/// A living process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// Its command line.
    pub command: String,
}

/// Every living process that belongs to the machine below `base`: named in its environment, command line or directory. Not
/// ourselves, and no zombies: those have nothing of this any more.
pub fn processes_of(base: &Path) -> Vec<Process> {
    let needle = base.as_os_str().as_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        let dir = entry.path();
        let command = fs::read(dir.join("cmdline")).unwrap_or_default();
        let environ = fs::read(dir.join("environ")).unwrap_or_default();
        let inside = fs::read_link(dir.join("cwd")).is_ok_and(|cwd| cwd.starts_with(base));
        if !(inside || contains(&environ, needle) || contains(&command, needle)) {
            continue;
        }
        // Between fork and exec a child of ours still has our name and directory; it is counted only if it stays.
        let Some((state, parent)) = state(pid) else { continue };
        if state != 'Z' && state != 'X' {
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            found.push(Process { pid, parent, command });
        }
    }
    found
}

/// How many children of `pid` have ended without being waited for.
pub fn zombies_of(pid: u32) -> usize {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok())
        .filter(|p| state(*p).is_some_and(|(state, parent)| state == 'Z' && parent == pid))
        .count()
}

/// State letter and parent of a process, from `/proc/<pid>/stat`.
pub fn state(pid: u32) -> Option<(char, u32)> {
    stat(&format!("/proc/{pid}/stat"))
}

/// Whether a process is there and has not ended.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

fn stat(path: &str) -> Option<(char, u32)> {
    let stat = fs::read_to_string(path).ok()?;
    // The command in brackets may hold anything, also brackets.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Whether every thread of a process has stopped. A stop reaches one after the other.
pub fn is_stopped(pid: u32) -> bool {
    let threads = threads(pid);
    let is_stopped =
        |id: &String| stat(&format!("/proc/{pid}/task/{id}/stat")).is_some_and(|(s, _)| s == 'T');
    !threads.is_empty() && threads.keys().all(is_stopped)
}

/// Everything below `base` that `wanted` accepts. The objects of git repositories are left out.
pub fn files(base: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![base.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if wanted(&path) {
                found.push(path.clone());
            }
            if entry.file_type().is_ok_and(|t| t.is_dir()) && entry.file_name() != "objects" {
                todo.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The threads and descriptors of this process at one moment.
///
/// Other tests of the same binary run beside this one and count too: use it inside [`own_process`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    threads: BTreeMap<String, String>,
    descriptors: BTreeMap<String, String>,
}

impl Census {
    /// Counts now.
    pub fn take() -> Census {
        let mut threads = threads(std::process::id());
        threads.retain(|_, name| name != spawn::WATCH);
        Census { threads, descriptors: descriptors(std::process::id()) }
    }

    /// Everything that came since must go.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        until_or(|| self.left().is_empty(), || format!("threads or descriptors left: {:#?}", self.left()));
    }

    /// What came since and is still there.
    pub fn left(&self) -> Vec<String> {
        let now = Census::take();
        // A number that leads elsewhere than before is another descriptor; a thread may name itself late.
        let threads = now.threads.iter().filter(|(id, _)| !self.threads.contains_key(*id));
        let descriptors = now.descriptors.iter().filter(|(fd, to)| self.descriptors.get(*fd) != Some(*to));
        threads.chain(descriptors).map(|(number, what)| format!("{number}: {what}")).collect()
    }
}

/// The threads of a process, id to name.
pub fn threads(pid: u32) -> BTreeMap<String, String> {
    let all = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    all.filter_map(|e| {
        let name = fs::read_to_string(e.path().join("comm")).ok()?;
        Some((e.file_name().into_string().ok()?, name.trim_end().to_string()))
    })
    .collect()
}

/// The open descriptors of a process, number to what they lead to.
pub fn descriptors(pid: u32) -> BTreeMap<String, String> {
    let dir = format!("/proc/{pid}/fd");
    let all = fs::read_dir(&dir).into_iter().flatten().flatten();
    all.filter_map(|e| {
        let target = fs::read_link(e.path()).ok()?.to_string_lossy().into_owned();
        // The descriptor this very listing needs.
        let own = target.starts_with("/proc/") && target.ends_with("/fd");
        (!own).then_some((e.file_name().into_string().ok()?, target))
    })
    .collect()
}

/// Runs `body` of the test called `test` (with its modules) in a process of its own, where nothing else runs beside it.
#[track_caller]
pub fn own_process(test: &str, body: impl FnOnce()) {
    const INSIDE: &str = "OX_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some_and(|name| name == test) {
        return body();
    }
    let cmd = Cmd::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .keep_all_env()
        .deadline(HANG)
        .env(INSIDE, test)
        .dir(env!("CARGO_MANIFEST_DIR"));
    let ran = run(cmd, format!("{test} in a process of its own")).ok();
    assert!(ran.stdout.contains("1 passed"), "there is no test of that name: {ran:?}");
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|w| w == needle)
}
