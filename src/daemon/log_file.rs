//! The daemon's log: one file, private, rotated, one line a message.
//!
//! `time=… level=INFO pid=… project=… msg="…"`, or one JSON object a line with the same keys when `OX_LOG_FORMAT=json`. A warning or
//! error that repeats word for word is written once in ten minutes, then its count.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use jiff::Timestamp;
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

use crate::kit::clock::{Clock, SystemClock};
use crate::kit::file;

/// A file that grew beyond this is rotated.
pub const SIZE_MAX: usize = 10 << 20;
/// So many rotated files are kept.
pub const FILES_KEPT: usize = 2;
/// The same warning is written once in this time.
const REPEAT: Duration = Duration::from_secs(600);
/// So many different warnings are remembered for that.
const REPEAT_MAX: usize = 64;
/// A longer message is cut.
const MESSAGE_MAX: usize = 4096;

/// Sends all of `log` to the file at `path`.
///
/// # Errors
/// The file or its directory cannot be made.
pub fn start(path: &Path, level: LevelFilter, json: bool) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        file::private_dir(dir)?;
    }
    // The rotating writer swallows a failure to open; so it is found out here.
    let mut options = std::fs::OpenOptions::new();
    options.read(true).create(true).append(true).mode(0o600).custom_flags(file::NOFOLLOW);
    drop(options.open(path)?);
    let limit = ContentLimit::BytesSurpassed(SIZE_MAX);
    let out = FileRotate::new(path, AppendCount::new(FILES_KEPT), limit, Compression::None, Some(options));
    let sink = Sink { json, state: Mutex::new(State { out, repeats: Repeats::default() }) };
    log::set_boxed_logger(Box::new(sink)).map_err(io::Error::other)?;
    log::set_max_level(level);
    Ok(())
}

struct Sink {
    json: bool,
    state: Mutex<State>,
}

struct State {
    out: FileRotate<AppendCount>,
    repeats: Repeats,
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries' own chatter is not ours to keep.
        metadata.target().starts_with("ox") && metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let now = SystemClock.now().wall;
        let mut text = record.args().to_string();
        cut(&mut text);
        let mut state = self.state.lock();
        if record.level() <= Level::Warn {
            match state.repeats.seen(&text, now) {
                Seen::New => {}
                Seen::Again => return,
                Seen::AfterMany(n) => {
                    let _ = write!(text, " ({n} times more in the last 10 minutes)");
                }
            }
        }
        let line = line(now, record.level(), &text, self.json);
        // There is nobody to tell if the disk is full; the daemon lives on.
        let _ = state.out.write_all(line.as_bytes());
    }

    fn flush(&self) {
        let _ = self.state.lock().out.flush();
    }
}

fn cut(text: &mut String) {
    if text.len() > MESSAGE_MAX {
        let at = (0..=MESSAGE_MAX).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(at);
        text.push('…');
    }
}

/// A message that starts with `[name] ` is about that project.
fn split_project(text: &str) -> (Option<&str>, &str) {
    match text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((name, rest)) => (Some(name), rest),
        None => (None, text),
    }
}

fn line(now: Timestamp, level: Level, text: &str, json: bool) -> String {
    let (project, text) = split_project(text);
    let time = now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    let pid = std::process::id();
    if json {
        let mut object = serde_json::json!({ "time": time.to_string(), "level": level.as_str(), "pid": pid });
        if let Some(project) = project {
            object["project"] = project.into();
        }
        object["msg"] = text.into();
        return format!("{object}\n");
    }
    let project = project.map(|p| format!(" project={}", quoted(p))).unwrap_or_default();
    format!("time={time} level={level} pid={pid}{project} msg={}\n", quoted(text))
}

/// A value as it stands behind `=`: bare if it is one word, else quoted, never with a line end or a control character in it.
fn quoted(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !text.is_empty() && text.chars().all(bare) {
        return text.to_string();
    }
    serde_json::Value::from(text).to_string()
}

/// The parts of a log line that a reader filters by: time, level, project.
pub fn parse_line(line: &str) -> Option<(Timestamp, Level, Option<String>)> {
    if line.starts_with('{') {
        let object: serde_json::Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| object.get(key).and_then(|v| v.as_str());
        return Some((
            text("time")?.parse().ok()?,
            text("level")?.parse().ok()?,
            text("project").map(str::to_string),
        ));
    }
    let mut words = line.split(' ');
    let time = words.next()?.strip_prefix("time=")?.parse().ok()?;
    let level = words.next()?.strip_prefix("level=")?.parse().ok()?;
    let (_, rest) = line.split_once(" pid=")?;
    let project = rest.split_once(' ')?.1.strip_prefix("project=").map(|rest| {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        match values.next() {
            Some(Ok(name)) => name,
            _ => rest.split(' ').next().unwrap_or_default().to_string(),
        }
    });
    Some((time, level, project))
}

/// Which warnings have been written lately.
#[derive(Debug, Default)]
struct Repeats {
    recent: VecDeque<(String, Timestamp, u32)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    New,
    Again,
    AfterMany(u32),
}

impl Repeats {
    fn seen(&mut self, text: &str, now: Timestamp) -> Seen {
        if let Some((_, since, more)) = self.recent.iter_mut().find(|(t, ..)| t == text) {
            if now.duration_since(*since).unsigned_abs() < REPEAT {
                *more += 1;
                return Seen::Again;
            }
            *since = now;
            return match std::mem::take(more) {
                0 => Seen::New,
                n => Seen::AfterMany(n),
            };
        }
        if self.recent.len() >= REPEAT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((text.to_string(), now, 0));
        Seen::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(s).unwrap()
    }

    #[test]
    fn a_line_is_one_line_and_can_be_read_back() {
        for json in [false, true] {
            let text = line(at(0), Level::Warn, "[my \"project\"] two\nlines\u{1b}[31m", json);
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(!text.contains('\u{1b}'), "{text}");
            assert_eq!(
                parse_line(text.trim_end()),
                Some((at(0), Level::Warn, Some("my \"project\"".into())))
            );
            let plain = line(at(0), Level::Info, "starting", json);
            assert_eq!(parse_line(plain.trim_end()), Some((at(0), Level::Info, None)));
        }
        assert_eq!(parse_line("thread main panicked"), None);
    }

    #[test]
    fn res_06_a_repeated_warning_is_written_once_in_ten_minutes_with_its_count() {
        let mut r = Repeats::default();
        assert_eq!(r.seen("x", at(0)), Seen::New);
        for s in 1..600 {
            assert_eq!(r.seen("x", at(s)), Seen::Again);
        }
        assert_eq!(r.seen("x", at(600)), Seen::AfterMany(599));
        assert_eq!(r.seen("x", at(1300)), Seen::New);
        for n in 0..200 {
            r.seen(&n.to_string(), at(1300));
        }
        assert_eq!(r.recent.len(), REPEAT_MAX);
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let mut text = "ä".repeat(3000);
        cut(&mut text);
        assert!(text.len() <= MESSAGE_MAX + 3 && text.ends_with('…'));
    }
}
