//! `ox daemon logs`: the end of the log, and what is added to it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::clean;
use crate::daemon::parse_log_line;
use crate::kit::clock::pause;
use crate::project::Project;

/// At most this much of the log's end is read; the log itself is cut at 10 MiB.
const END_MAX: u64 = 12 << 20;
/// At most this much is read at once while following.
const STEP_MAX: u64 = 1 << 20;
/// How often the file is looked at while following.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Flags of `ox daemon logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show the last N lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,
    /// Keep showing new lines
    #[arg(short, long, conflicts_with = "path")]
    follow: bool,
    /// Show the lines of all projects
    #[arg(long)]
    all: bool,
    /// Print only the path of the log
    #[arg(long)]
    path: bool,
}

/// Shows it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let path = cx.dirs.log();
    if args.path {
        return match cx.ui.json() {
            true => cx.ui.document(&serde_json::json!({ "path": path })),
            false => cx.ui.print(&path.to_string_lossy()),
        };
    }
    if args.follow && cx.ui.json() {
        return Err(Failure::new(Exit::Usage, "--follow never ends and --json is one document"));
    }
    let filter =
        Filter { project: if args.all { None } else { cx.project_or_warn().map(|p| log_name(&p.root)) } };
    let failed = |e: io::Error| Failure::new(Exit::Failed, "cannot read the log").on_path(&path).because(&e);
    let mut tail = match Tail::open(&path) {
        Ok(tail) => tail,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return nothing(cx, &path),
        Err(e) => return Err(failed(e)),
    };
    let text = tail.end().map_err(failed)?;
    let lines: Vec<&str> = text.lines().filter(|line| filter.wants(line)).collect();
    let last = &lines[lines.len().saturating_sub(args.lines)..];
    if cx.ui.json() {
        return cx.ui.document(&serde_json::json!({ "path": path, "lines": last }));
    }
    for line in last {
        cx.ui.print(&clean(line))?;
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        pause(LOOK_EVERY);
        let text = tail.more().map_err(failed)?;
        for line in text.lines().filter(|line| filter.wants(line)) {
            cx.ui.print(&clean(line))?;
        }
    }
}

/// The last lines of the log, those of other projects left out; none if there is no log.
pub fn end(cx: &Cx, project: Option<&Project>, lines: usize) -> Vec<String> {
    let filter = Filter { project: project.map(|p| log_name(&p.root)) };
    let text = Tail::open(&cx.dirs.log()).and_then(|mut tail| tail.end()).unwrap_or_default();
    let wanted: Vec<&str> = text.lines().filter(|line| filter.wants(line)).collect();
    wanted[wanted.len().saturating_sub(lines)..].iter().map(|line| clean(line)).collect()
}

fn nothing(cx: &Cx, path: &Path) -> Outcome {
    if cx.ui.json() {
        return cx.ui.document(&serde_json::json!({ "path": path, "lines": [] }));
    }
    cx.ui.note(&format!("there is no log yet: {}", path.display()));
    Ok(())
}

/// What the log calls a project.
fn log_name(root: &Path) -> String {
    root.file_name().unwrap_or(root.as_os_str()).to_string_lossy().into_owned()
}

/// Which lines are shown.
struct Filter {
    project: Option<String>,
}

impl Filter {
    /// Lines of this project, and those that belong to none.
    fn wants(&self, line: &str) -> bool {
        let Some(project) = &self.project else { return true };
        match parse_log_line(line) {
            Some((.., Some(named))) => named == *project,
            _ => true,
        }
    }
}

/// A growing file that may be rotated.
struct Tail {
    path: PathBuf,
    file: File,
    inode: u64,
    at: u64,
    unfinished: Vec<u8>,
}

impl Tail {
    fn open(path: &Path) -> io::Result<Tail> {
        let file = File::open(path)?;
        let inode = file.metadata()?.ino();
        Ok(Tail { path: path.to_owned(), file, inode, at: 0, unfinished: Vec::new() })
    }

    /// The end of the file as it is now, from a line's beginning.
    fn end(&mut self) -> io::Result<String> {
        let len = self.file.metadata()?.len();
        self.at = len.saturating_sub(END_MAX);
        let cut = self.at > 0;
        let text = self.read(END_MAX)?;
        Ok(if cut { text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned()) } else { text })
    }

    /// Whole lines added since; after a rotation first the rest of the old file, then the new one.
    fn more(&mut self) -> io::Result<String> {
        let mut text = self.read(STEP_MAX)?;
        match self.path.metadata() {
            Ok(meta) if meta.ino() != self.inode => {
                *self = Tail { ..Tail::open(&self.path)? };
                text.push_str(&self.read(STEP_MAX)?);
            }
            Ok(meta) if meta.len() < self.at => {
                self.at = 0;
                self.unfinished.clear();
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {} // between two files
            Err(e) => return Err(e),
        }
        Ok(text)
    }

    fn read(&mut self, max: u64) -> io::Result<String> {
        self.file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = std::mem::take(&mut self.unfinished);
        self.at += (&mut self.file).take(max).read_to_end(&mut bytes)? as u64;
        let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        self.unfinished = bytes.split_off(end);
        if self.unfinished.len() as u64 > STEP_MAX {
            self.unfinished.clear(); // no log line is that long
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn following_survives_half_lines_and_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut file = File::create(&path).unwrap();
        write!(file, "one\ntw").unwrap();
        let mut tail = Tail::open(&path).unwrap();
        assert_eq!(tail.end().unwrap(), "one\n");
        writeln!(file, "o").unwrap();
        assert_eq!(tail.more().unwrap(), "two\n");
        writeln!(file, "three").unwrap();
        std::fs::rename(&path, dir.path().join("x.log.1")).unwrap();
        std::fs::write(&path, "four\n").unwrap();
        assert_eq!(tail.more().unwrap(), "three\nfour\n");
        assert_eq!(tail.more().unwrap(), "");
    }

    #[test]
    fn a_project_sees_its_own_lines_and_those_of_nobody() {
        let line = |name: &str| format!("time=2026-01-01T00:00:00.000Z level=INFO pid=1{name} msg=x");
        let filter = Filter { project: Some("mine".into()) };
        assert!(filter.wants(&line(" project=mine")));
        assert!(!filter.wants(&line(" project=other")));
        assert!(filter.wants(&line("")));
        assert!(filter.wants("not a line of ours"));
        assert!(Filter { project: None }.wants(&line(" project=other")));
    }
}
