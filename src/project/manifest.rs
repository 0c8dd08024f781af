//! `.sageox/sync.manifest` of a team context: which of its files a clone holds, how often it is looked at, and which conflicts
//! are decided without asking.
//!
//! The file is other people's and may be newer than this program, so what is not understood is left out and told, and what cannot
//! be read at all is replaced by a set of paths that every team context has. Reading it never fails.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::limits;
use crate::kit::openat;

/// The directory of a clone that the manifest lies in.
const DIR: &str = ".sageox";
const NAME: &str = "sync.manifest";
/// The only format there is.
const VERSION: &str = "1";

/// Without a manifest these are held.
const FALLBACK: [&str; 9] =
    [".sageox/", "SOUL.md", "TEAM.md", "MEMORY.md", "AGENTS.md", "memory/", "docs/", "coworkers/", "agents/"];

/// Always held, whatever the manifest says: a manifest that forgets one of these would lose it silently.
const FLOOR: [&str; 2] = ["agents/", ".sageox/"];

/// What people wrote for people: no rule may decide a conflict here.
const NEVER_AUTO: [&str; 10] = [
    "SOUL.md",
    "AGENTS.md",
    "TEAM.md",
    ".sageox/",
    "docs/",
    "coworkers/",
    "sessions/",
    "MEMORY.md",
    "memory/",
    "discussions/",
];

/// What a manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Paths to hold, in the order of the file.
    pub includes: Vec<String>,
    /// Paths not to hold, in the order of the file.
    pub denies: Vec<String>,
    /// Time between two syncs, at least a minute; five by default.
    pub sync_interval: Duration,
    /// The file names that time itself.
    pub names_sync_interval: bool,
    /// Time between two fresh clones, 1 to 90 days; seven by default.
    pub gc_interval: Duration,
    /// Which conflicts are decided.
    pub resolve: Resolve,
    /// Whether the file could not be used and this is what stands in for it.
    pub is_fallback: bool,
    /// What was left out, and why.
    pub warnings: Vec<Warning>,
}

/// Prefixes of paths whose conflicts are decided for the local version (`auto`) or by a person (`none`). The longest one that a
/// path begins with counts; of two equally long ones `none`; without one a person decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    /// Prefixes under which the local version wins.
    pub auto: Vec<String>,
    /// Prefixes under which a person decides.
    pub none: Vec<String>,
}

impl Default for Resolve {
    /// What holds without a rule, and for ledgers, which have no manifest.
    fn default() -> Resolve {
        Resolve { auto: vec!["data/".to_owned()], none: Vec::new() }
    }
}

/// A part of the file that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Its line, from 1; 0 for the whole file.
    pub line: usize,
    /// Why.
    pub reason: &'static str,
}

/// Whether a path is to be held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Include,
    Deny,
}

impl Manifest {
    /// Reads the manifest of a clone. A missing, unreadable or linked one is the fallback.
    pub fn load(clone: &Path) -> Manifest {
        match openat::read(clone, &[DIR], NAME, limits::MANIFEST_MAX) {
            Ok(bytes) => Manifest::parse(&bytes),
            Err(e) => Manifest::fallback(match e.kind() {
                ErrorKind::NotFound => "there is no sync.manifest",
                ErrorKind::FileTooLarge => "the file is too large",
                _ => "the file cannot be read",
            }),
        }
    }

    /// What stands in for a manifest that cannot be used.
    pub fn fallback(reason: &'static str) -> Manifest {
        Manifest {
            includes: FALLBACK.map(str::to_owned).to_vec(),
            denies: Vec::new(),
            sync_interval: limits::TEAM_SYNC_DEFAULT,
            names_sync_interval: false,
            gc_interval: limits::GC_DEFAULT,
            resolve: Resolve::default(),
            is_fallback: true,
            warnings: vec![Warning { line: 0, reason }],
        }
    }

    /// Reads the text of a manifest.
    pub fn parse(bytes: &[u8]) -> Manifest {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let mut reader = Reader::default();
        for (n, line) in bytes.split(|b| *b == b'\n').enumerate() {
            if line.len() >= limits::MANIFEST_LINE_MAX {
                return Manifest::fallback("a line is too long");
            }
            match std::str::from_utf8(line) {
                Ok(line) => reader.line(n + 1, line),
                Err(_) => reader.warn(n + 1, "the line is no UTF-8"),
            }
            if reader.paths.len() + reader.auto.len() + reader.none.len() > limits::MANIFEST_RULES_MAX {
                return Manifest::fallback("it has too many rules");
            }
        }
        reader.finish()
    }

    /// The patterns of a sparse checkout that is not in cone mode; of those that match a path the last one counts.
    pub fn patterns(&self) -> Vec<String> {
        let mut patterns = vec!["/*".to_owned(), "!/*/".to_owned()];
        let mut deep = Vec::new();
        let held = |p: &&String| !FLOOR.contains(&p.as_str()) && !self.is_denied(p);
        let includes: Vec<&String> = self.includes.iter().filter(held).collect();
        patterns.extend(includes.iter().map(|p| format!("/{p}")));
        for deny in &self.denies {
            if deny != FLOOR[0] && is_below(deny, FLOOR[0]) {
                deep.push(format!("!/{deny}"));
            } else if is_felt(deny, &includes) {
                patterns.push(format!("!/{deny}"));
            }
        }
        patterns.push(format!("/{}", FLOOR[0]));
        patterns.append(&mut deep);
        // Last, so that nothing before can take it away: without it the manifest itself is gone.
        patterns.push(format!("/{}", FLOOR[1]));
        patterns
    }

    fn is_denied(&self, path: &str) -> bool {
        self.denies.iter().any(|deny| deny == path || is_below(path, deny))
    }
}

/// Whether `path` lies in the directory `dir`, which must end in a slash to be one.
fn is_below(path: &str, dir: &str) -> bool {
    dir.ends_with('/') && path.starts_with(dir)
}

/// Whether leaving out `deny` makes a difference: it lies in something included, at the top, where all files are held, or there are
/// wildcards, of which nothing is known before they meet the tree.
fn is_felt(deny: &str, includes: &[&String]) -> bool {
    let wild = |p: &str| p.contains(['*', '?', '[', '\\']);
    !deny.trim_end_matches('/').contains('/')
        || wild(deny)
        || includes.iter().any(|include| is_below(deny, include) || wild(include))
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    versions: Vec<bool>,
    /// In the order in which each was first named.
    paths: Vec<(String, Want)>,
    sync_interval: Option<Duration>,
    gc_interval: Option<Duration>,
    /// Whether any `resolve` line made sense, allowed or not.
    resolves: bool,
    auto: Vec<String>,
    none: Vec<String>,
    warnings: Vec<Warning>,
}

impl Reader {
    fn warn(&mut self, line: usize, reason: &'static str) {
        if self.warnings.len() < limits::MANIFEST_WARNINGS_MAX {
            self.warnings.push(Warning { line, reason });
        }
    }

    fn line(&mut self, n: usize, line: &str) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let mut fields = line.split_whitespace();
        let directive = fields.next().unwrap_or_default();
        let values: Vec<&str> = fields.collect();
        if values.is_empty() {
            return self.warn(n, "a directive needs a value");
        }
        let value = values.join(" ");
        let done = match directive {
            "version" => {
                self.versions.push(value.parse::<i64>().is_ok_and(|v| v.to_string() == VERSION));
                Ok(())
            }
            "include" => self.want(value, Want::Include),
            "deny" => self.want(value, Want::Deny),
            "sync_interval_minutes" => number(&value)
                .map(|minutes| minutes.min(limits::SYNC_MINUTES_MAX))
                .map(|minutes| self.sync_interval = Some(Duration::from_secs(minutes * 60))),
            "gc_interval_days" => number(&value).map(|days| {
                let days = days.min(limits::GC_DAYS_MAX);
                self.gc_interval = Some(Duration::from_secs(days * 24 * 60 * 60));
            }),
            "resolve" => self.resolve(&values),
            _ => Err("the directive is unknown"),
        };
        if let Err(reason) = done {
            self.warn(n, reason);
        }
    }

    /// Notes a path. Of `include` and `deny` of the same path the last counts.
    fn want(&mut self, path: String, want: Want) -> Result<(), &'static str> {
        check_path(&path)?;
        match self.paths.iter_mut().find(|(known, _)| *known == path) {
            Some((_, old)) => *old = want,
            None => self.paths.push((path, want)),
        }
        Ok(())
    }

    fn resolve(&mut self, values: &[&str]) -> Result<(), &'static str> {
        let [mode, path, ..] = values else { return Err("resolve needs a mode and a path") };
        let rules = match *mode {
            "auto" => &mut self.auto,
            "none" => &mut self.none,
            _ => return Err("the mode is neither auto nor none"),
        };
        check_path(path)?;
        self.resolves = true;
        if *mode == "auto" && NEVER_AUTO.iter().any(|p| p == path || is_below(p, path) || is_below(path, p)) {
            return Err("conflicts there are never decided without a person");
        }
        if !rules.iter().any(|rule| rule == path) {
            rules.push((*path).to_owned());
        }
        Ok(())
    }

    fn finish(mut self) -> Manifest {
        if self.versions.is_empty() {
            return Manifest::fallback("it names no version");
        }
        if self.versions.contains(&false) {
            return Manifest::fallback("its version is unknown");
        }
        let of = |want: Want| {
            let wanted = self.paths.iter().filter(|(_, w)| *w == want);
            wanted.map(|(path, _)| path.clone()).collect::<Vec<_>>()
        };
        let (includes, denies) = (of(Want::Include), of(Want::Deny));
        if includes.is_empty() {
            return Manifest::fallback("it includes nothing");
        }
        if denies.iter().any(|deny| FLOOR.iter().any(|f| deny == f || is_below(f, deny))) {
            self.warn(0, "agents/ and .sageox/ are always held");
        }
        Manifest {
            includes,
            denies,
            names_sync_interval: self.sync_interval.is_some(),
            sync_interval: self.sync_interval.unwrap_or(limits::TEAM_SYNC_DEFAULT),
            gc_interval: self.gc_interval.unwrap_or(limits::GC_DEFAULT),
            resolve: if self.resolves { rules(self.auto, self.none) } else { Resolve::default() },
            is_fallback: false,
            warnings: self.warnings,
        }
    }
}

/// The rules of the file. One without a slash at its end, as `m` or `docs`, also begins names that no rule may decide; those get a
/// longer rule of their own, which wins.
fn rules(auto: Vec<String>, mut none: Vec<String>) -> Resolve {
    for path in NEVER_AUTO {
        let reached = auto.iter().any(|rule| path.starts_with(rule.as_str()));
        if reached && !none.iter().any(|rule| rule == path) {
            none.push(path.to_owned());
        }
    }
    Resolve { auto, none }
}

/// A whole number, at least 1.
fn number(text: &str) -> Result<u64, &'static str> {
    let number = text.parse::<i64>().map_err(|_| "the value is no whole number")?;
    Ok(u64::try_from(number).unwrap_or(0).max(1))
}

/// Whether a path may stand in a pattern.
fn check_path(path: &str) -> Result<(), &'static str> {
    if path.contains("..") {
        return Err("a path must not hold `..`");
    }
    if path.starts_with('/') {
        return Err("a path must not begin with a slash");
    }
    if path.starts_with(['!', '-']) {
        return Err("a path must not begin with `!` or `-`");
    }
    if path.chars().any(char::is_control) {
        return Err("a path must not hold control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
