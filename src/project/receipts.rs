//! Receipts: one line for each contact that the programs of this user made over a network, in `<data>/net/receipts.jsonl`. A line says when,
//! who, for what, with which host and port, what came of it and how many bytes went: no path, query, login or content.

use std::collections::BTreeMap;
use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Dirs;
use crate::kit::clock::{Clock as _, SystemClock};
use crate::kit::contact::{self, CLOSED, Contact, Peer};
use crate::kit::journal::Journal;

/// Each of the two files has at most so many bytes: some 50,000 receipts in both. That is a month of a ledger that is looked at every minute, a
/// week of one with a team, and two days of twenty.
const SIZE: u64 = 4 << 20;

/// A receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// When the contact ended; of a link, when it stood.
    pub time: Timestamp,
    /// Who made it: `ox` for a command, `daemon`.
    pub by: String,
    /// What it was for, in a word or two.
    pub purpose: String,
    /// How: `https`, `ssh`, …; empty where a program was run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    /// With whom; empty where a program was run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// The server's port, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The program that was run, which reaches servers of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program: String,
    /// The proxy in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// What came of it: `ok`, a status of HTTP, or a word such as `refused`.
    pub outcome: String,
    /// Bytes that went out, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// Bytes that came in, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
}

impl Receipt {
    /// The receipt of a contact that `by` made.
    pub fn of(contact: &Contact, by: &str, time: Timestamp) -> Receipt {
        let (scheme, host, port, program) = match &contact.peer {
            Peer::Server { scheme, host, port } => (scheme.to_string(), host.clone(), *port, String::new()),
            Peer::Program(name) => (String::new(), String::new(), None, (*name).to_owned()),
        };
        Receipt {
            // As exact as somebody may want to know it; what is finer only takes room.
            time: Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time),
            by: by.to_owned(),
            purpose: contact.purpose.word().to_owned(),
            scheme,
            host,
            port,
            program,
            via: contact.via.clone(),
            outcome: contact.end.to_string(),
            sent: contact.sent,
            received: contact.received,
        }
    }

    /// Whether it went well: an answer below 400, or whatever else is no failure.
    pub fn is_good(&self) -> bool {
        match self.outcome.parse::<u16>() {
            Ok(status) => status < 400,
            Err(_) => matches!(self.outcome.as_str(), "ok" | CLOSED),
        }
    }
}

/// Where they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipts(Journal);

impl Receipts {
    /// Those of the user.
    pub fn of(dirs: &Dirs) -> Receipts {
        Receipts(Journal::new(dirs.receipts(), SIZE))
    }

    /// Keeps one. No disk that is full or missing is anybody's failure: then there is none.
    pub fn keep(&self, receipt: &Receipt) {
        let kept =
            serde_json::to_string(receipt).map_err(io::Error::from).and_then(|line| self.0.append(&line));
        if let Err(e) = kept {
            log::debug!("a receipt could not be written: {e}");
        }
    }

    /// All that are still kept, oldest first. Lines that are none are left out.
    ///
    /// # Errors
    /// They are there and cannot be read.
    pub fn read(&self) -> io::Result<Vec<Receipt>> {
        let mut all = Vec::new();
        self.0.read(&mut |line| all.extend(serde_json::from_slice::<Receipt>(line)))?;
        Ok(all)
    }
}

/// From now on each contact of this process leaves a receipt, made by `by`: `ox` or `daemon`.
pub fn keep_receipts(dirs: &Dirs, by: &'static str) {
    let receipts = Receipts::of(dirs);
    contact::record(move |contact| receipts.keep(&Receipt::of(contact, by, SystemClock.now().wall)));
}

/// What was done with one host for one purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dealings {
    /// What for.
    pub purpose: String,
    /// With whom; empty where a program was run.
    pub host: String,
    /// The server's port, where it is known.
    pub port: Option<u16>,
    /// The program that was run; empty for a host.
    pub program: String,
    /// How often.
    pub contacts: u64,
    /// How often nothing good came of it.
    pub failures: u64,
    /// When first, of what is kept.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// What came of the last.
    pub outcome: String,
    /// Bytes that went out, as far as they were counted.
    pub sent: u64,
    /// Bytes that came in, as far as they were counted.
    pub received: u64,
    /// Bytes of some were not counted.
    pub uncounted: u64,
}

impl Dealings {
    /// With whom: `host:port`, or the program.
    pub fn peer(&self) -> String {
        peer(&self.host, self.port, &self.program)
    }
}

impl Receipt {
    /// With whom: `host:port`, or the program.
    pub fn peer(&self) -> String {
        peer(&self.host, self.port, &self.program)
    }
}

fn peer(host: &str, port: Option<u16>, program: &str) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match port {
        _ if !program.is_empty() => program.to_owned(),
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// Receipts by host, port and purpose, who was contacted last first.
pub fn dealings(receipts: &[Receipt]) -> Vec<Dealings> {
    let mut all: BTreeMap<(&str, Option<u16>, &str, &str), Dealings> = BTreeMap::new();
    for one in receipts {
        let key = (one.host.as_str(), one.port, one.program.as_str(), one.purpose.as_str());
        let of = all.entry(key).or_insert_with(|| Dealings {
            purpose: one.purpose.clone(),
            host: one.host.clone(),
            port: one.port,
            program: one.program.clone(),
            contacts: 0,
            failures: 0,
            first: one.time,
            last: one.time,
            outcome: one.outcome.clone(),
            sent: 0,
            received: 0,
            uncounted: 0,
        });
        // The end of a link is none of its own.
        of.contacts += u64::from(one.outcome != CLOSED);
        of.failures += u64::from(!one.is_good());
        of.uncounted += u64::from(one.sent.is_none() && one.received.is_none());
        of.sent += one.sent.unwrap_or(0);
        of.received += one.received.unwrap_or(0);
        of.first = of.first.min(one.time);
        if one.time >= of.last {
            of.last = one.time;
            of.outcome.clone_from(&one.outcome);
        }
    }
    let mut all: Vec<Dealings> = all.into_values().collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.last));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::contact::{End, Purpose};
    use crate::project::Env;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn contact(url: &str, end: End) -> Contact {
        Contact::new(Purpose::Sync, Peer::of_url(url).unwrap(), end)
    }

    #[test]
    fn a_receipt_has_the_host_and_nothing_of_the_rest() {
        let temp = tempfile::tempdir().unwrap();
        let dirs = Dirs::from_env(&Env::of([("HOME", temp.path())], temp.path())).unwrap();
        let receipts = Receipts::of(&dirs);
        assert_eq!(receipts.read().unwrap(), []);
        let url = "https://CANARY:CANARY@git.example/CANARY?CANARY#CANARY";
        let sent = Contact { sent: Some(5), received: Some(7), ..contact(url, End::Status(200)) };
        receipts.keep(&Receipt::of(&sent, "ox", at(1)));
        let agent = Contact::new(Purpose::Agent, Peer::Program("claude"), End::Done);
        receipts.keep(&Receipt::of(&agent, "daemon", at(2)));
        let text = std::fs::read_to_string(dirs.receipts()).unwrap();
        assert_eq!(
            text,
            "{\"time\":\"1970-01-01T00:00:01Z\",\"by\":\"ox\",\"purpose\":\"sync\",\"scheme\":\"https\",\
             \"host\":\"git.example\",\"port\":443,\"outcome\":\"200\",\"sent\":5,\"received\":7}\n\
             {\"time\":\"1970-01-01T00:00:02Z\",\"by\":\"daemon\",\"purpose\":\"agent\",\"program\":\"claude\",\
             \"outcome\":\"ok\"}\n"
        );
        let read = receipts.read().unwrap();
        assert_eq!(read.iter().map(Receipt::peer).collect::<Vec<_>>(), ["git.example:443", "claude"]);
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn what_cannot_be_kept_fails_nobody() {
        let temp = tempfile::tempdir().unwrap();
        let dirs = Dirs::from_env(&Env::of([("HOME", temp.path())], temp.path())).unwrap();
        std::fs::create_dir_all(dirs.data()).unwrap();
        std::fs::write(dirs.data().join("net"), "in the way").unwrap();
        Receipts::of(&dirs).keep(&Receipt::of(&contact("https://h/", End::Done), "ox", at(1)));
        assert_eq!(std::fs::read_to_string(dirs.data().join("net")).unwrap(), "in the way");
    }

    #[test]
    fn res_06_days_of_twenty_projects_stay_within_two_files_of_four_mebibytes() {
        let temp = tempfile::tempdir().unwrap();
        let dirs = Dirs::from_env(&Env::of([("HOME", temp.path())], temp.path())).unwrap();
        let receipts = Receipts::of(&dirs);
        let longest = format!("https://{}.example:65535/x", "h".repeat(60));
        let refused = contact(&longest, End::Failed("refused"));
        let minutes = 40 * 60;
        for minute in 0..minutes {
            (0..20).for_each(|_| receipts.keep(&Receipt::of(&refused, "daemon", at(minute * 60))));
        }
        let files = std::fs::read_dir(dirs.receipts().parent().unwrap()).unwrap().flatten();
        let sizes: Vec<u64> = files.map(|f| f.metadata().unwrap().len()).collect();
        assert!(sizes.len() == 2 && sizes.iter().all(|size| *size <= 4 << 20), "{sizes:?}");
        let kept = receipts.read().unwrap();
        assert!((20_000..48_000).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept.last().map(|r| r.time), Some(at((minutes - 1) * 60)));
    }

    #[test]
    fn dealings_are_counted_by_host_port_and_purpose() {
        let link = |end, bytes| Contact { sent: bytes, received: bytes, ..contact("wss://r/", end) };
        let all = [
            Receipt::of(&contact("https://h/a", End::Status(200)), "ox", at(1)),
            Receipt::of(&contact("https://h/b", End::Failed("refused")), "daemon", at(3)),
            Receipt::of(&contact("https://h:8443/b", End::Status(404)), "daemon", at(2)),
            Receipt::of(&link(End::Status(101), None), "daemon", at(4)),
            Receipt::of(&link(End::Closed, Some(9)), "daemon", at(5)),
        ];
        let found = dealings(&all);
        let short: Vec<_> = found
            .iter()
            .map(|d| (d.peer(), d.contacts, d.failures, d.outcome.as_str(), d.sent, d.first, d.last))
            .collect();
        assert_eq!(
            short,
            [
                ("r:443".to_owned(), 1, 0, "closed", 9, at(4), at(5)),
                ("h:443".to_owned(), 2, 1, "refused", 0, at(1), at(3)),
                ("h:8443".to_owned(), 1, 1, "404", 0, at(2), at(2)),
            ]
        );
    }
}
