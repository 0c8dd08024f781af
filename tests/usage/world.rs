//! A home in which agent programs write transcripts, and a model that knows what it served.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ox::harness::transcript::{opencode, sources};
use ox::kit::rng::Rng;
use ox::project::Env;
use ox::sessions::usage::{By, Counts, Prices, Question, Record, Report, Scanned, Sources, Store, scan};
use serde_json::Value;

/// The model's name in all transcripts.
pub const MODEL: &str = "claude-haiku-4-5";

/// An answer that was served.
#[derive(Clone, Debug)]
pub struct Served {
    /// Its number, and no other's.
    pub n: u64,
    pub counts: Counts,
    /// When, in milliseconds.
    pub at: i64,
}

impl Served {
    /// All that was given, as programs say that count what is cached among it.
    pub fn given(&self) -> u64 {
        self.counts.prompt()
    }

    pub fn total(&self) -> u64 {
        self.counts.total()
    }
}

pub struct World {
    pub home: PathBuf,
    pub rng: Rng,
    /// Now, in milliseconds.
    now: i64,
    served: u64,
    /// What was served, by session; the session is empty where no transcript says whose it is.
    by_session: BTreeMap<String, Counts>,
    total: (u64, Counts),
    /// Files are written whole while this is set.
    whole: bool,
}

impl World {
    pub fn new(home: &Path, seed: u64) -> World {
        let now = "2026-11-20T09:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        let (by_session, total) = (BTreeMap::new(), (0, Counts::default()));
        World { home: home.to_owned(), rng: Rng::new(seed), now, served: 0, by_session, total, whole: false }
    }

    /// A moment after all that were before.
    pub fn tick(&mut self) -> i64 {
        self.now += 1 + i64::try_from(self.rng.below(600_000)).unwrap();
        self.now
    }

    pub fn time(&mut self) -> String {
        let now = self.tick();
        text(now)
    }

    /// Whether something happens that happens once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.rng.below(n) == 0
    }

    pub fn pick(&mut self, n: usize) -> usize {
        usize::try_from(self.rng.below(n as u64)).unwrap()
    }

    /// An id of the form of a UUID, and no other's.
    pub fn id(&mut self) -> String {
        self.served += 1;
        format!("{:08x}-0000-4000-8000-{:012x}", self.served, self.rng.below(1 << 40))
    }

    /// The model serves an answer in a session. Which kinds of tokens there are is the program's to say.
    pub fn serve(&mut self, session: &str, with_written: bool) -> Served {
        self.served += 1;
        let n = self.served;
        let at = self.tick();
        let reasoning = if n.is_multiple_of(3) { 5 } else { 0 };
        let written = if with_written && n.is_multiple_of(4) { 7 + n } else { 0 };
        let counts = Counts {
            input: 1000 + 17 * n,
            cached: if n % 2 == 1 { 100 + n } else { 0 },
            cache_written: written,
            cache_written_long: 0,
            output: 50 + n + reasoning,
            reasoning,
        };
        *self.by_session.entry(session.to_owned()).or_default() += counts;
        self.total.0 += 1;
        self.total.1 += counts;
        Served { n, counts, at }
    }

    /// Appends a line, at times in two pieces between which somebody looks.
    pub fn append(&mut self, path: &Path, line: &Value) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        let line = line.to_string() + "\n";
        let mut rest = line.as_bytes();
        if !self.whole && self.once_in(60) {
            let (first, second) = rest.split_at(self.pick(rest.len()));
            file.write_all(first).unwrap();
            self.scan();
            rest = second;
        }
        file.write_all(rest).unwrap();
    }

    /// Appends lines as one piece.
    pub fn append_all<'v>(&mut self, path: &Path, lines: impl IntoIterator<Item = &'v Value>) {
        self.whole = true;
        lines.into_iter().for_each(|line| self.append(path, line));
        self.whole = false;
    }

    fn database(&self) -> PathBuf {
        self.home.join(".local/share/sageox/usage.db")
    }

    pub fn opencode(&self) -> PathBuf {
        self.home.join(".local/share/opencode/opencode.db")
    }

    /// What `ox session usage` counts of this user's own.
    pub fn sources(&self) -> Sources {
        let transcripts = sources::begin(&self.home, |_| None);
        let opencode = opencode::path(&self.home.join(".local/share"), None);
        Sources { transcripts, opencode: Some(opencode), shared: Vec::new() }
    }

    pub fn scan(&self) -> Scanned {
        let mut store = Store::open(&self.database()).unwrap();
        let scanned = scan(&mut store, &self.database(), self.sources(), &TimeZone::UTC).unwrap();
        assert!(scanned.failed.is_empty(), "{:?}", scanned.failed);
        scanned
    }

    fn env(&self) -> Env {
        Env::of([("HOME", self.home.as_os_str())], "/")
    }

    fn question(by: By) -> Question {
        Question { by, since: None, repo: None, zone: TimeZone::UTC }
    }

    pub fn report(&self, by: By) -> Report {
        let prices = Prices::load(Path::new("/nowhere")).unwrap();
        let store = Store::open(&self.database()).unwrap();
        store.report(&World::question(by), &prices, &self.env(), &|_| "Dana".into()).unwrap()
    }

    pub fn records(&self, by: By) -> Vec<Record> {
        let prices = Prices::load(Path::new("/nowhere")).unwrap();
        let store = Store::open(&self.database()).unwrap();
        store.records(&World::question(by), &prices, &self.env(), &|_| "Dana".into()).unwrap()
    }

    /// What was served, in answers and tokens.
    pub fn total(&self) -> (u64, Counts) {
        self.total
    }

    /// Looks, and finds what was served so far and nothing else.
    pub fn look(&self) {
        self.scan();
        let total = self.report(By::Model).total;
        assert_eq!((total.answers, total.counts), self.total, "{total:?}");
    }

    /// Looks whether each session has what was served in it, whatever it was repeated in.
    pub fn look_at_sessions(&self) {
        let mut expected = self.by_session.clone();
        expected.remove("");
        let report = self.report(By::Session);
        for (session, counts) in expected {
            let found = report.groups.iter().find(|(group, _)| group.name == session);
            assert_eq!(found.map(|(_, spend)| spend.counts), Some(counts), "{session}");
        }
    }

    /// Removes a transcript that was looked at.
    pub fn vanish(&self, path: &Path) {
        self.look();
        fs::remove_file(path).unwrap();
    }

    /// Replaces a file by its compressed form.
    pub fn compress(&self, path: &Path) {
        let mut name = path.as_os_str().to_owned();
        name.push(".zst");
        zstd::stream::copy_encode(File::open(path).unwrap(), File::create(name).unwrap(), 3).unwrap();
        fs::remove_file(path).unwrap();
    }
}

/// A moment as programs write it.
pub fn text(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
