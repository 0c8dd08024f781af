//! Programs started the cheap way. A test binary is large, and a fork copies what it has mapped: `posix_spawn` does not, which the standard
//! library takes for a program that is named by its path and needs no code of ours before it begins.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, Once};
use std::time::Duration;

use ox::kit::clock::{Clock, Mono, SystemClock, pause};
use rustix::process::Signal;

use super::{HANG, send};

/// Where `PATH` has a program; the name itself if it is a path already, or is nowhere.
pub fn found(program: &OsStr, path: &OsStr) -> OsString {
    if Path::new(program).components().count() > 1 {
        return program.into();
    }
    let all = std::env::split_paths(path).map(|dir| dir.join(program));
    all.filter(|p| p.is_file()).map(PathBuf::into_os_string).next().unwrap_or_else(|| program.into())
}

/// The thread that ends what hangs. It lives as long as the test binary.
pub const WATCH: &str = "hangs";

/// What runs now, and since when.
static RUNNING: Mutex<BTreeMap<u32, Mono>> = Mutex::new(BTreeMap::new());

/// Runs a program to its end, with all it says. One that hangs is killed after [`HANG`].
pub fn output(mut command: Command) -> io::Result<Output> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(std::thread::Builder::new().name(WATCH.into()).spawn(watch)));
    let child = command.spawn()?;
    let pid = child.id();
    RUNNING.lock().unwrap().insert(pid, SystemClock.now().mono);
    let output = child.wait_with_output();
    RUNNING.lock().unwrap().remove(&pid);
    output
}

fn watch() {
    loop {
        pause(Duration::from_secs(1));
        let now = SystemClock.now().mono;
        for (pid, _) in RUNNING.lock().unwrap().iter().filter(|(_, since)| now.since(**since) > HANG) {
            send(*pid, Signal::KILL);
        }
    }
}
