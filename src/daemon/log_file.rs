//! The daemon's log: one file, private, rotated, one line a message.
//!
//! `time=… level=INFO pid=… project=… msg="…"`, or one JSON object a line with the same keys when `OX_LOG_FORMAT=json`. A warning or
//! error that repeats word for word is written once in ten minutes, then its count.
//!
//! Whoever logs waits for no disk: lines go to a thread of their own, and where that does not follow they are left out and counted.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::Timestamp;
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::kit::clock::{Clock, SystemClock};
use crate::kit::file;
use crate::kit::thread::{self, STACK_SMALL};

/// A file that grew beyond this is rotated.
const SIZE_MAX: u64 = 10 << 20;
/// So many rotated files are kept.
const FILES_KEPT: usize = 2;
/// So many lines wait for the disk; what comes then is left out.
const LINES_MAX: usize = 512;
/// So long [`Log::flush`] waits for the disk at most.
const FLUSH_MAX: Duration = Duration::from_secs(1);
/// The same warning is written once in this time.
const REPEAT: Duration = Duration::from_secs(600);
/// So many different warnings are remembered for that.
const REPEAT_MAX: usize = 64;
/// A longer message is cut.
const MESSAGE_MAX: usize = 4096;

/// Sends all of `log` to the file at `path`.
///
/// # Errors
/// The file or its directory cannot be made, or no thread.
pub fn start(path: &Path, level: LevelFilter, json: bool) -> io::Result<()> {
    let mut writer = Writer { out: Rotated::open(path)?, json, repeats: Repeats::default() };
    let (sink, lines) = Sink::new();
    thread::spawn("log", STACK_SMALL, move || lines.iter().for_each(|line| writer.take(line)))?;
    log::set_boxed_logger(Box::new(sink)).map_err(io::Error::other)?;
    log::set_max_level(level);
    Ok(())
}

/// What the log's thread gets.
enum LogEntry {
    /// A message.
    Line { at: Timestamp, level: Level, text: String },
    /// Whoever sent it waits until all before it is written.
    Flush(Sender<()>),
}

struct Sink {
    lines: Sender<LogEntry>,
    left_out: AtomicU64,
}

impl Sink {
    fn new() -> (Sink, Receiver<LogEntry>) {
        let (lines, receiver) = bounded(LINES_MAX);
        (Sink { lines, left_out: AtomicU64::new(0) }, receiver)
    }

    /// False if there is no room.
    fn send(&self, level: Level, text: String) -> bool {
        self.lines.try_send(LogEntry::Line { at: SystemClock.now().wall, level, text }).is_ok()
    }
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
        let mut left_out = self.left_out.swap(0, Ordering::Relaxed);
        let note =
            || format!("the log could not be written fast enough: {left_out} messages are left out here");
        if left_out > 0 && self.send(Level::Warn, note()) {
            left_out = 0;
        }
        let mut text = record.args().to_string();
        cut(&mut text);
        left_out += u64::from(!self.send(record.level(), text));
        self.left_out.fetch_add(left_out, Ordering::Relaxed);
    }

    fn flush(&self) {
        let (written, is_written) = bounded(1);
        if self.lines.send_timeout(LogEntry::Flush(written), FLUSH_MAX).is_ok() {
            let _ = is_written.recv_timeout(FLUSH_MAX); // a disk that hangs
        }
    }
}

/// What the log's thread has.
struct Writer {
    out: Rotated,
    json: bool,
    repeats: Repeats,
}

impl Writer {
    fn take(&mut self, entry: LogEntry) {
        match entry {
            LogEntry::Line { at, level, text } => self.write(at, level, text),
            LogEntry::Flush(written) => drop(written.send(())),
        }
    }

    fn write(&mut self, at: Timestamp, level: Level, mut text: String) {
        if level <= Level::Warn {
            match self.repeats.seen(&text, at) {
                Seen::New => {}
                Seen::Again => return,
                Seen::AfterMany(n) => {
                    let _ = write!(text, " ({n} times more in the last 10 minutes)");
                }
            }
        }
        // There is nobody to tell if the disk is full; the daemon lives on.
        let _ = self.out.write(line(at, level, &text, self.json).as_bytes());
    }
}

/// A file of limited size, and its predecessors `<name>.1` (the last) to `<name>.2`. Whoever removes or moves any of them may.
///
/// Our own, because `file-rotate` asserts that its files are where it left them, and takes the process's log with it where they are not.
struct Rotated {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Rotated {
    fn open(path: &Path) -> io::Result<Rotated> {
        if let Some(dir) = path.parent() {
            file::private_dir(dir)?;
        }
        let mut options = fs::OpenOptions::new();
        options.create(true).append(true).mode(0o600).custom_flags(file::NOFOLLOW);
        let file = options.open(path)?;
        let size = file.metadata()?.len();
        Ok(Rotated { path: path.to_path_buf(), file, size })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size > SIZE_MAX {
            self.rotate()?;
        }
        // Somebody removed it: nobody reads there any more.
        if self.file.metadata().is_ok_and(|m| m.nlink() == 0) {
            *self = Rotated::open(&self.path)?;
        }
        self.size += line.len() as u64;
        self.file.write_all(line)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let nth = |n: usize| PathBuf::from(format!("{}.{n}", self.path.display()));
        for n in (1..FILES_KEPT).rev() {
            let _ = fs::rename(nth(n), nth(n + 1)); // it need not be there
        }
        if fs::rename(&self.path, nth(1)).is_err() {
            // Somebody moved it, or the directory cannot be written: what matters is that it does not grow on.
            self.file.set_len(0)?;
        }
        *self = Rotated::open(&self.path)?;
        Ok(())
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

    fn full(path: &Path) -> Rotated {
        let mut out = Rotated::open(path).unwrap();
        out.file.set_len(SIZE_MAX + 1).unwrap();
        out.size = SIZE_MAX + 1;
        out
    }

    #[test]
    fn a_full_file_makes_room_whatever_somebody_did_to_the_others() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("logs/daemon.log");
        let read = |name: &str| fs::read_to_string(path.with_file_name(name)).ok();
        let mut out = Rotated::open(&path).unwrap();
        let names = ["daemon.log", "daemon.log.1", "daemon.log.2"];
        for n in 1..=4 {
            out.write(format!("{n}").as_bytes()).unwrap();
            out.size = SIZE_MAX + 1;
        }
        assert_eq!(names.map(read), [Some("4".into()), Some("3".into()), Some("2".into())]);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), names.len());
        // A predecessor, the file itself, the whole directory.
        fs::remove_file(path.with_file_name("daemon.log.1")).unwrap();
        out.write(b"5").unwrap();
        assert_eq!(names.map(read), [Some("5".into()), Some("4".into()), Some("2".into())]);
        fs::remove_file(&path).unwrap();
        out.write(b"6").unwrap();
        assert_eq!(read("daemon.log"), Some("6".into()));
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        let mut out = full(&path);
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        out.write(b"7").unwrap();
        assert_eq!(names.map(read), [Some("7".into()), None, None]);
        // What is no file of ours is in the way: the file stays in its bounds.
        let mut out = full(&path);
        fs::create_dir(path.with_file_name("daemon.log.1")).unwrap();
        fs::write(path.with_file_name("daemon.log.1").join("x"), "").unwrap();
        fs::create_dir(path.with_file_name("daemon.log.2")).unwrap();
        fs::write(path.with_file_name("daemon.log.2").join("x"), "").unwrap();
        out.write(b"8").unwrap();
        assert_eq!(read("daemon.log"), Some("8".into()));
    }

    #[test]
    fn who_logs_waits_for_no_disk_and_hears_how_much_is_missing() {
        let (sink, lines) = Sink::new();
        let say = |n: u64| {
            let text = format!("{n}");
            sink.log(
                &Record::builder().level(Level::Error).target("ox").args(format_args!("{text}")).build(),
            );
        };
        log::set_max_level(LevelFilter::Error);
        // Nobody takes any of them.
        (0..LINES_MAX as u64 + 7).for_each(say);
        let texts = |lines: &Receiver<LogEntry>| -> Vec<String> {
            lines
                .try_iter()
                .filter_map(|e| if let LogEntry::Line { text, .. } = e { Some(text) } else { None })
                .collect()
        };
        assert_eq!(texts(&lines).len(), LINES_MAX);
        say(1);
        assert_eq!(
            texts(&lines),
            ["the log could not be written fast enough: 7 messages are left out here", "1"]
        );
    }
}
