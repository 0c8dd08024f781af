//! What happens when the program itself is at fault: one line for the person, a report in a file, exit code 70.

use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::{Path, PathBuf};

use super::ui;
use crate::kit::clock::{Clock as _, SystemClock};
use crate::kit::file;
use crate::project::{Dirs, Env};

/// Runs `work`; a panic in it is reported and gives `None`.
pub fn guard<T>(json: bool, work: impl FnOnce() -> T) -> Option<T> {
    std::panic::set_hook(Box::new(move |info| report(info, json)));
    catch_unwind(AssertUnwindSafe(work)).ok() // nothing that was in use is looked at afterwards
}

fn report(info: &PanicHookInfo<'_>, json: bool) {
    let said = info.payload();
    let said =
        said.downcast_ref::<&str>().copied().or_else(|| said.downcast_ref::<String>().map(String::as_str));
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let fault = format!("{} ({place})", said.unwrap_or("unknown"));
    let path = report_path();
    let kept = path.as_deref().is_some_and(|path| write(path, &fault).is_ok());
    ui::last_words(&line(&fault, path.as_deref().filter(|_| kept)), json);
}

/// What the person reads.
fn line(fault: &str, report: Option<&Path>) -> String {
    let fault = ui::text::clean(fault);
    match report {
        Some(path) => format!("a fault in ox: {fault}; report: {}", path.display()),
        None => format!("a fault in ox: {fault}; no report could be written"),
    }
}

fn report_path() -> Option<PathBuf> {
    let dirs = Dirs::from_env(&Env::process()).ok()?;
    Some(dirs.cache().join("logs").join("crash.log"))
}

/// Keeps the newest report only, so that it never grows.
fn write(path: &Path, fault: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        file::private_dir(dir)?;
    }
    let when = SystemClock.now().wall;
    let version = env!("CARGO_PKG_VERSION");
    let trace = Backtrace::force_capture();
    file::write_atomic(path, format!("{when} ox {version}\n{fault}\n{trace}\n").as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_13_the_person_gets_one_line_that_names_the_report() {
        let text = line("index out of bounds\n(src/x.rs:1:2)", Some(Path::new("/c/logs/crash.log")));
        assert_eq!(text, "a fault in ox: index out of bounds (src/x.rs:1:2); report: /c/logs/crash.log");
        assert_eq!(text.lines().count(), 1);
    }
}
