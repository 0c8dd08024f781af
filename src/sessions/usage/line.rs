//! `usage.jsonl` in a session's directory: what its answers cost in tokens, a line an answer, so that those who have the session and not the
//! transcript can count it. An answer may stand there again with more tokens: the one with the most counts.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::counts::Counts;
use crate::harness::transcript::{Spent, Thread};
use crate::kit::file::NOFOLLOW;
use crate::redact::Redactor;

/// The file's name.
pub const FILE: &str = "usage.jsonl";

/// What an answer is known by wherever it is told: the first eight bytes of SHA-256 over the program and the answer's id. Of a million answers
/// two have the same with a chance of one in thirty million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u64);

impl Key {
    /// That of the answer that the program `kind` knows by `answer`.
    pub fn new(kind: &str, answer: &str) -> Key {
        let mut hash = Sha256::new();
        hash.update(kind.as_bytes());
        hash.update([0]);
        hash.update(answer.as_bytes());
        Key(hash.finalize().iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte)))
    }

    /// As it is stored.
    pub(super) fn column(self) -> i64 {
        self.0.cast_signed()
    }
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// The program, as recordings call it.
    pub program: String,
    /// The answer's [`Key`], 16 hexadecimal digits.
    pub answer: String,
    /// The model.
    pub model: String,
    /// When.
    pub timestamp: Option<Timestamp>,
    /// The thread that asked for it.
    pub thread: String,
    /// The session that the thread belongs to.
    pub session: String,
    /// The thread that started it, of a sub-agent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// The git branch it worked in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub branch: String,
    /// Tokens.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Line {
    /// An answer that a transcript of the program `kind` tells.
    pub fn new(kind: &str, spent: &Spent, thread: &Thread, time: Option<Timestamp>) -> Line {
        let asked = if spent.thread.is_empty() { &thread.id } else { &spent.thread };
        let session = if *asked == thread.id { &thread.session } else { asked };
        Line {
            program: kind.to_owned(),
            answer: format!("{:016x}", Key::new(kind, &spent.answer).0),
            model: spent.model.clone(),
            timestamp: time,
            thread: asked.clone(),
            session: session.clone(),
            parent: if *asked == thread.id { thread.parent.clone() } else { String::new() },
            branch: thread.branch.clone(),
            counts: Counts::from(spent),
        }
    }

    /// The same of a sub-agent of `session`, whose own transcript may not say whose it is.
    pub fn of_helper(mut self, session: &str) -> Line {
        let is_root = |id: &str| id.is_empty() || id == session;
        if !is_root(&self.thread) && !session.is_empty() {
            session.clone_into(&mut self.session);
            if self.parent.is_empty() {
                session.clone_into(&mut self.parent);
            }
        }
        self
    }

    /// The answer's key; none if the line has none.
    pub fn key(&self) -> Option<Key> {
        let is_one = self.answer.len() == 16 && !self.program.is_empty();
        u64::from_str_radix(&self.answer, 16).ok().filter(|_| is_one).map(Key)
    }
}

/// Adds to the file in the session directory `dir` what it does not tell yet: an answer once, with the most tokens that any of `lines` gives
/// it, and none that stands there with as many. Who adds the same again adds nothing. Only who holds the lock of `raw.jsonl` may.
///
/// # Errors
/// As those of [`append`].
pub fn add(dir: &Path, lines: &[Line], redactor: &Redactor) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let (mut told, mut size) = (HashMap::new(), 0);
    match OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(dir.join(FILE)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
        Ok(file) => {
            let mut file = BufReader::new(file);
            let mut line = Vec::new();
            // A last line that was cut off goes.
            while file.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
                size += line.len() as u64;
                if let Ok(line) = serde_json::from_slice::<Line>(&line) {
                    let most: &mut u64 = told.entry(line.answer).or_default();
                    *most = line.counts.total().max(*most);
                }
                line.clear();
            }
        }
    }
    // In the order in which they are told first.
    let (mut places, mut most): (HashMap<&str, usize>, Vec<&Line>) = (HashMap::new(), Vec::new());
    for line in lines {
        let at = *places.entry(&line.answer).or_insert(most.len());
        match most.get_mut(at) {
            None => most.push(line),
            Some(one) if line.counts.total() > one.counts.total() => *one = line,
            Some(_) => {}
        }
    }
    let is_new = |line: &&Line| told.get(&line.answer).is_none_or(|told| *told < line.counts.total());
    let new: Vec<Line> = most.into_iter().filter(is_new).cloned().collect();
    if new.is_empty() { Ok(()) } else { append(dir, size, &new, redactor).map(drop) }
}

/// Appends lines to the file in the session directory `dir` behind its first `size` bytes, cutting off what stands there, and has them on
/// disk; how many bytes it has then. Without lines and bytes no file is made. Only who holds the lock of `raw.jsonl` may.
///
/// # Errors
/// The disk refuses, or the file is a link.
pub fn append(dir: &Path, size: u64, lines: &[Line], redactor: &Redactor) -> io::Result<u64> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(NOFOLLOW).create(!lines.is_empty());
    let mut file = match options.truncate(false).open(dir.join(FILE)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let (known, there) = (size, file.metadata()?.len());
    if there == known && lines.is_empty() {
        return Ok(known);
    }
    // One that is shorter than what was noted lost lines that are nowhere else; what there is stays.
    let size = known.min(there);
    file.set_len(size)?;
    let mut text = Vec::new();
    for line in lines {
        let mut value = serde_json::to_value(line)?;
        redactor.redact_json(&mut value);
        serde_json::to_writer(&mut text, &value)?;
        text.push(b'\n');
    }
    io::Seek::seek(&mut file, io::SeekFrom::Start(size))?;
    file.write_all(&text)?;
    file.sync_data()?;
    Ok(size + text.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_added_stands_there_once_whoever_is_ended_when() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let line = |answer: &str, output| Line {
            program: "codex".into(),
            answer: answer.into(),
            counts: Counts { output, ..Counts::default() },
            ..Line::default()
        };
        let add = |lines: &[Line]| {
            add(dir.path(), lines, &Redactor::new()).unwrap();
            fs::read_to_string(&file).unwrap_or_default()
        };
        assert_eq!((add(&[]).as_str(), file.exists()), ("", false));
        let lines = [line("a", 1), line("b", 7), line("a", 5)];
        let whole = add(&lines);
        assert_eq!(whole.lines().count(), 2, "{whole}");
        assert!(whole.contains(r#""output":5"#), "{whole}");
        for cut in 0..=whole.len() {
            fs::write(&file, &whole[..cut]).unwrap();
            assert_eq!(add(&lines), whole, "cut at {cut}");
        }
        let more = add(&[line("a", 4), line("b", 8)]);
        assert_eq!(more.strip_prefix(&whole).unwrap().lines().count(), 1, "{more}");
    }

    #[test]
    fn a_sub_agents_line_says_whose_it_is() {
        let line = |thread: &str, session: &str, parent: &str| {
            let line = Line { thread: thread.into(), session: session.into(), ..Line::default() };
            let line = Line { parent: parent.into(), ..line }.of_helper("s");
            [line.thread, line.session, line.parent].join(" ")
        };
        assert_eq!(line("h", "h", ""), "h s s");
        assert_eq!(line("h", "s", "other"), "h s other");
        assert_eq!(line("s", "s", ""), "s s ", "what it repeats of the session itself");
    }

    #[test]
    fn a_line_says_all_and_has_nothing_that_counts_as_a_secret() {
        let spent =
            Spent { answer: "msg_1".into(), model: "m".into(), input: 1, output: 2, ..Spent::default() };
        let thread =
            Thread { id: "t".into(), session: "s".into(), branch: "main".into(), ..Thread::default() };
        let line = Line::new("codex", &spent, &thread, Some(Timestamp::UNIX_EPOCH));
        let json = r#"{"program":"codex","answer":"f19dd8f9cfd5022b","model":"m","timestamp":"1970-01-01T00:00:00Z","thread":"t","session":"s","branch":"main","input":1,"cached":0,"cache_written":0,"output":2,"reasoning":0}"#;
        assert_eq!(serde_json::to_string(&line).unwrap(), json);
        assert_eq!(serde_json::from_str::<Line>(json).unwrap(), line);
        assert_eq!(line.key(), Some(Key::new("codex", "msg_1")));
        assert_ne!(line.key(), Some(Key::new("gemini", "msg_1")));
        assert_eq!(Line { answer: "+19dd8f9cfd5022".into(), ..line.clone() }.key(), None);
        let redactor = Redactor::new();
        for n in 0..2000 {
            let spent = Spent { answer: format!("msg_{n}"), ..spent.clone() };
            let line = Line::new("claude-code", &spent, &thread, None);
            let mut value = serde_json::to_value(&line).unwrap();
            assert_eq!(redactor.redact_json(&mut value).total(), 0, "{value}");
        }
    }
}
