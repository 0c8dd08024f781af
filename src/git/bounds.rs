//! What a git child that talks to a remote may take: memory, output, disk and time without payload.

use std::time::Duration;

use super::limits::{
    CLONE_STALL, NETWORK_DEADLINE, NETWORK_FILE, NETWORK_MEMORY, NETWORK_OUTPUT, SERVER_WORK, TREE_MEMORY,
};
use crate::http::limits::STALL;
use crate::kit::backoff::Backoff;
use crate::kit::clock::Mono;

/// The bounds of a git child that talks to a remote. A test brings smaller ones. Those of memory, output and disk are for remotes behind a
/// network; on macOS, where the kernel hardly keeps to the one of memory, only the others hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For what is short.
    pub deadline: Duration,
    /// For what may be large: the longest time without a byte of payload.
    pub stall: Duration,
    /// How long a server's own work counts as payload.
    pub server_work: Duration,
    /// Bytes of memory of each process.
    pub memory: u64,
    /// The same where it works in the clone's files besides.
    pub tree_memory: u64,
    /// Bytes printed.
    pub output: u64,
    /// Bytes of one file.
    pub file: u64,
    /// For a large file outside of git: the longest time without a byte.
    pub transfer_stall: Duration,
    /// The waits between attempts at such files.
    pub retry: Backoff,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            deadline: NETWORK_DEADLINE,
            stall: CLONE_STALL,
            server_work: SERVER_WORK,
            memory: NETWORK_MEMORY,
            tree_memory: TREE_MEMORY,
            output: NETWORK_OUTPUT,
            file: NETWORK_FILE,
            transfer_stall: STALL,
            retry: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(8) },
        }
    }
}

/// What git and its libraries say when memory is refused, in lower case.
const NO_MEMORY: &[&str] = &["out of memory", "cannot allocate memory", "unable to create thread"];
/// What git says when a file may not grow, or when a child of it was ended for that (`SIGXFSZ`), in lower case.
const NO_ROOM: &[&str] = &["file too large", "died of signal 25"];
/// All that git says when the child that takes a pack ends without a word, which only a signal makes it do.
const NO_WORD: &str = "fatal: fetch-pack: invalid index-pack output";

impl Bounds {
    /// Which bound the lines tell of that a failed git printed which had `memory`, and how much that is.
    pub(super) fn reached(&self, memory: u64, lines: &[&str]) -> Option<(&'static str, u64)> {
        let tells = |words: &[&str]| {
            lines.iter().map(|l| l.to_ascii_lowercase()).any(|l| words.iter().any(|w| l.contains(w)))
        };
        let without_a_word = || lines.iter().filter(|l| l.starts_with("fatal:")).all(|l| *l == NO_WORD);
        if tells(NO_MEMORY) {
            Some(("memory", memory))
        } else if tells(NO_ROOM) || (lines.contains(&NO_WORD) && without_a_word()) {
            Some(("disk for one file", self.file))
        } else {
            None
        }
    }
}

/// How a line begins that git passes on from the server.
pub(super) const SERVER_SAYS: &str = "remote:";

/// Progress of git's own that payload comes with: it is printed when bytes or objects have come or gone.
const OWN: &[&str] = &[
    "Enumerating objects",
    "Counting objects",
    "Compressing objects",
    "Writing objects",
    "Receiving objects",
    "Unpacking objects",
    "Resolving deltas",
    "Indexing objects",
    "Checking objects",
    "Checking connectivity",
    "Updating files",
];

/// Progress of an honest server: what it does before it sends, and after it has received.
const SERVERS: [&str; 5] = [
    "Enumerating objects",
    "Counting objects",
    "Compressing objects",
    "Resolving deltas",
    "Unpacking objects",
];

/// Tells payload from talk in what git prints, so that a server which only talks is left after [`CLONE_STALL`].
///
/// Payload is what git itself says of objects that came, went or were worked on. What the server says is none, with one exception: before a
/// large pack it counts and compresses, after one it resolves, and tells a number that rises. Each of the five kinds of work counts
/// while its number is higher than ever before, for [`SERVER_WORK`] after the last payload at most. So an honest server has five minutes where
/// it needs them, one that says anything else a minute, and one that lies six; the whole has its deadline besides.
#[derive(Debug)]
pub(super) struct Payload {
    lines: Lines,
    server_work: Duration,
    /// When payload last came.
    last: Mono,
    /// The highest number of each kind of the server's work.
    highest: [Option<u64>; SERVERS.len()],
}

impl Payload {
    pub(super) fn new(server_work: Duration, now: Mono) -> Payload {
        Payload { lines: Lines::default(), server_work, last: now, highest: [None; SERVERS.len()] }
    }

    /// Takes what git printed; whether it tells of payload.
    pub(super) fn feed(&mut self, bytes: &[u8], now: Mono) -> bool {
        let Payload { lines, server_work, last, highest } = self;
        let mut counts = false;
        lines.feed(bytes, &mut |line| {
            if let Some(said) = line.strip_prefix(SERVER_SAYS) {
                counts |= now - *last < *server_work && rises(highest, said.trim_start());
            } else if title(line).is_some_and(|(title, _)| OWN.contains(&title)) {
                *last = now;
                counts = true;
            }
        });
        counts
    }
}

/// `Counting objects:  42% (42/100)` or `Enumerating objects: 42`: the title and the number.
fn title(line: &str) -> Option<(&str, u64)> {
    let (title, rest) = line.split_once(':')?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((title, rest.get(..end)?.parse().ok()?))
}

fn rises(highest: &mut [Option<u64>; SERVERS.len()], said: &str) -> bool {
    let Some((title, number)) = title(said) else { return false };
    let Some(at) = SERVERS.iter().position(|s| *s == title) else { return false };
    let before = highest[at].replace(number);
    highest[at] = highest[at].max(before);
    before.is_none_or(|b| b < number)
}

/// Bytes of an unfinished line that are kept.
const LINE_CAP: usize = 1024;

/// Puts together the lines of what git prints, in pieces of any size; the carriage return of progress ends one too.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    pub(super) fn feed(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(&str)) {
        for b in bytes {
            if matches!(b, b'\r' | b'\n') {
                on_line(&String::from_utf8_lossy(&self.0));
                self.0.clear();
            } else if self.0.len() < LINE_CAP {
                self.0.push(*b);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::kit::clock::{Clock, SimClock};

    /// Lets a server talk, a line of `say` every five seconds; after how many seconds it is left.
    fn left_after(say: impl Fn(u64) -> String) -> Option<u64> {
        let clock = SimClock::new(Timestamp::UNIX_EPOCH);
        let (bounds, start) = (Bounds::default(), clock.now().mono);
        let (mut payload, mut heard) = (Payload::new(bounds.server_work, start), start);
        for n in 0..360 {
            clock.advance(Duration::from_secs(5));
            let now = clock.now().mono;
            if payload.feed(say(n).as_bytes(), now) {
                heard = now;
            }
            if now - heard >= bounds.stall {
                return Some((now - start).as_secs());
            }
        }
        None
    }

    #[test]
    fn a_server_that_only_talks_is_left_after_a_minute() {
        let check = |line: &str| assert_eq!(left_after(|_| line.to_owned()), Some(60), "{line}");
        check("remote: please wait\n");
        check("remote: Receiving objects: 100% (9/9)\r");
        check("remote:\n");
        check("remote: Receiving objects: 1%\nremote: x\n");
        // What comes over ssh beside git's protocol has no mark.
        check("welcome\n");
        check("Receiving\n");
        // Never a whole line.
        check("Receiving objects: 1%");
        check("");
        assert_eq!(left_after(|n| format!("remote: Step {n}: {n}% (1/2)\r")), Some(60));
    }

    #[test]
    fn an_honest_server_has_five_minutes_for_its_work_and_a_lying_one_no_more() {
        let counting = |n: u64| format!("remote: Counting objects: {:3}% ({n}/360)\r", n * 100 / 360);
        assert_eq!(left_after(|n| counting(n.min(40))), Some(205 + 60), "it stands still at 11 %");
        assert_eq!(left_after(counting), Some(300 - 5 + 60));
        assert_eq!(left_after(|n| format!("remote: Enumerating objects: {n}\r")), Some(300 - 5 + 60));
        // Fifteen minutes of work, and payload between.
        let sends =
            |n: u64| if n % 50 == 49 { "Receiving objects: 1% (1/9)\r".to_owned() } else { counting(n) };
        assert_eq!(left_after(sends), None);
    }

    #[test]
    fn payload_keeps_it_going_however_long_it_takes() {
        for line in ["Receiving objects:   1% (1/99), 3.1 MiB | 2 KiB/s\r", "Writing objects:   1% (1/99)\r"]
        {
            let rarely =
                |n: u64| if n.is_multiple_of(11) { line.to_owned() } else { "remote: x\n".to_owned() };
            assert_eq!(left_after(rarely), None, "{line}");
        }
    }

    #[test]
    fn bounds_are_told_from_other_failures() {
        let bounds = Bounds::default();
        let check = |text: &str, what: Option<&str>| {
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(bounds.reached(1, &lines).map(|(w, _)| w), what, "{text}");
        };
        check("fatal: Out of memory, malloc failed (tried to allocate 9 bytes)", Some("memory"));
        check("fatal: unable to create thread: Resource temporarily unavailable", Some("memory"));
        check("error: cannot fork() for git: Cannot allocate memory", Some("memory"));
        check("error: index-pack died of signal 25", Some("disk for one file"));
        check("fatal: write error: File too large", Some("disk for one file"));
        check("error: index-pack died of signal 15", None);
        check("fatal: fetch-pack: invalid index-pack output", Some("disk for one file"));
        check("fatal: early EOF\nfatal: fetch-pack: invalid index-pack output", None);
        check("", None);
    }
}
