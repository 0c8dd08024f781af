//! What people do on a machine: edit, commit, and settle conflicts. They never throw away what they have not committed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};
use ox::kit::clock::{Clock as _, SystemClock};
use ox::kit::rng::Rng;

use crate::machines::fleet::{Machine, REPOS};
use crate::support::until_or;

/// Where people write, by repository; the last directory of the first two is decided by rule.
const DIRS: [[&str; 3]; 3] =
    [["notes", "sessions", "data"], ["docs", "memory", "data"], ["docs", "memory", "agents"]];
/// Files that everybody edits, by directory: few, so that people meet.
const SHARED: [&str; 4] = ["a.txt", "b.txt", "c.json", "d.bin"];
/// Lines of a shared text when it is new.
const LINES: usize = 8;

/// All that was ever written: lines by their marks, binary files by their objects; with who and where.
#[derive(Default)]
pub struct Written {
    pub marks: BTreeMap<String, String>,
    pub blobs: BTreeMap<Oid, String>,
    /// Which of these were written in just the moment in which git wrote the files of that clone: it may have written over them, as a git
    /// that a person runs may. A known gap; whatever else is missing is lost.
    pub moments: BTreeSet<String>,
    /// What the last edit wrote.
    last: Vec<String>,
    count: usize,
}

impl Written {
    /// A word that appears nowhere else.
    fn mark(&mut self, who: usize, what: &str) -> String {
        self.count += 1;
        let mark = format!("@{who}.{:06}@", self.count);
        self.marks.insert(mark.clone(), what.to_owned());
        self.last.push(mark.clone());
        mark
    }

    fn line(&mut self, who: usize, what: &str, json: bool) -> String {
        let mark = self.mark(who, what);
        if json { format!("\"{mark}\": \"{what}\",") } else { format!("{mark} {what}") }
    }

    /// A whole new file.
    fn file(&mut self, rng: &mut Rng, who: usize, what: &str, name: &str) -> Vec<u8> {
        if name.ends_with(".bin") {
            let mut bytes = vec![0, 255];
            bytes.extend((0..rng.below(40) + 4).flat_map(|_| rng.next_u64().to_le_bytes()));
            let id = Oid::hash_object(ObjectType::Blob, &bytes).unwrap();
            self.blobs.insert(id, what.to_owned());
            self.last.push(id.to_string());
            return bytes;
        }
        let json = name.ends_with(".json");
        let mut lines: Vec<String> = (0..LINES).map(|_| self.line(who, what, json)).collect();
        if json {
            lines.insert(0, "{".into());
            lines.push("\"end\": 0\n}".into());
        }
        format!("{}\n", lines.join("\n")).into_bytes()
    }
}

/// One stretch of work in one clone.
pub struct Person<'a> {
    pub machine: &'a Machine,
    pub who: usize,
    pub repo: usize,
    pub round: usize,
}

impl Person<'_> {
    fn at(&self, name: &str) -> PathBuf {
        self.machine.clones[self.repo].join(name)
    }

    /// Paths that are not as they were committed.
    fn dirty(&self) -> BTreeSet<String> {
        let out = self.machine.git(self.repo, &["status", "--porcelain", "-z", "-uall", "--no-renames"]);
        out.split('\0').filter_map(|e| e.get(3..)).map(str::to_owned).collect()
    }

    /// A few edits; some are committed, some stay as they are.
    pub fn work(&self, rng: &mut Rng, written: &mut Written) {
        let mut dirty = self.dirty();
        for _ in 0..rng.below(4) {
            let touched = self.edit(rng, written, &dirty);
            if touched.is_empty() {
                continue;
            }
            if !(rng.chance(65) && self.commit(&touched)) {
                dirty.extend(touched);
            }
        }
    }

    /// One edit; the paths it touched.
    fn edit(&self, rng: &mut Rng, written: &mut Written, dirty: &BTreeSet<String>) -> Vec<String> {
        written.last.clear();
        let before = self.is_written_by_git();
        let touched = self.edit_one(rng, written, dirty);
        if before || self.is_written_by_git() {
            written.moments.extend(written.last.drain(..));
        }
        touched
    }

    /// Whether a daemon has noted that a git of its own writes the clone's files now.
    fn is_written_by_git(&self) -> bool {
        let clone = &self.machine.clones[self.repo];
        let kind = if self.repo == 0 { "ledger" } else { "team" };
        let name = format!("{kind}-{}.lock", clone.file_name().unwrap().to_str().unwrap());
        let lock = clone.ancestors().nth(2).unwrap().join("locks").join(name);
        let text = fs::read_to_string(&lock).unwrap_or_else(|e| panic!("{}: {e}", lock.display()));
        ["\"kind\":\"rebase\"", "\"kind\":\"fast-forward\""].iter().any(|kind| text.contains(kind))
    }

    fn edit_one(&self, rng: &mut Rng, written: &mut Written, dirty: &BTreeSet<String>) -> Vec<String> {
        let dir = DIRS[self.repo][rng.below(3) as usize];
        let shared = SHARED[rng.below(SHARED.len() as u64) as usize];
        let name = format!("{dir}/{shared}");
        let path = self.at(&name);
        let what = self.what(&name);
        let clean = !dirty.contains(&name);
        // People wait until a replay has passed before they touch what it shows them.
        if self.is_undecided(&name) {
            return Vec::new();
        }
        if !path.is_file() {
            if fs::symlink_metadata(&path).is_ok() || (!clean && !self.is_gone(&name)) {
                return Vec::new();
            }
            put(&path, &written.file(rng, self.who, &what, &name));
            return vec![name];
        }
        match rng.below(10) {
            0 | 1 => {
                let ending = [".txt", ".bin", ".json"][rng.below(3) as usize];
                let name = format!("{dir}/{}-{}-{}{ending}", self.who, self.round, rng.below(1 << 30));
                put(&self.at(&name), &written.file(rng, self.who, &what, &name));
                vec![name]
            }
            2 if clean => {
                fs::remove_file(&path).unwrap();
                vec![name]
            }
            3 if clean => {
                let to = format!("{dir}/moved-{}-{}-{shared}", self.who, self.round);
                if self.at(&to).exists() {
                    return Vec::new();
                }
                fs::rename(&path, self.at(&to)).unwrap();
                if self.is_undecided(&to) {
                    // It was shown between the look and the rename.
                    self.give_back(&path, &to);
                    return Vec::new();
                }
                vec![name, to]
            }
            4 => {
                let mode = if rng.chance(50) { 0o755 } else { 0o644 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                vec![name]
            }
            _ if name.ends_with(".bin") && !clean => Vec::new(),
            _ if name.ends_with(".bin") => {
                put(&path, &written.file(rng, self.who, &what, &name));
                vec![name]
            }
            _ if self.change(rng, written, &name, clean) => vec![name],
            _ => Vec::new(),
        }
    }

    /// Undoes a rename that has taken a replay's markers along; what is there by now stays.
    fn give_back(&self, path: &Path, to: &str) {
        if fs::symlink_metadata(path).is_err() {
            fs::rename(self.at(to), path).unwrap();
        } else {
            fs::remove_file(self.at(to)).unwrap();
        }
    }

    /// A deletion that nobody committed may be taken back by writing the file anew.
    fn is_gone(&self, name: &str) -> bool {
        fs::symlink_metadata(self.at(name)).is_err()
    }

    /// Who wrote something, where and when.
    fn what(&self, name: &str) -> String {
        let now = SystemClock.now().wall.strftime("%H:%M:%S.%3f");
        format!("machine {} round {} {}/{name} {now}", self.who, self.round, REPOS[self.repo])
    }

    /// Replaces lines of a text, or adds one if the text has lines that are nowhere else. False if a replay shows markers there.
    fn change(&self, rng: &mut Rng, written: &mut Written, name: &str, clean: bool) -> bool {
        let what = self.what(name);
        let text = fs::read_to_string(self.at(name)).unwrap();
        if has_markers(text.as_bytes()) {
            return false;
        }
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let json = name.ends_with(".json");
        let new = written.line(self.who, &what, json);
        let (from, to) = if json { (1, lines.len().saturating_sub(2).max(1)) } else { (0, lines.len()) };
        let at = (from + rng.below((to - from.min(to)) as u64) as usize).min(lines.len());
        if clean && at < to && rng.chance(70) {
            lines[at] = new
        } else {
            lines.insert(at, new)
        }
        put(&self.at(name), format!("{}\n", lines.join("\n")).as_bytes());
        true
    }

    /// Files in which somebody has to decide between two sides: a daemon that replays commits shows such for a moment, and nobody
    /// commits what looks like that.
    fn is_undecided(&self, path: &str) -> bool {
        has_markers(&fs::read(self.at(path)).unwrap_or_default())
    }

    /// Whether git took it. Where a killed daemon left git in the middle of something it does not; then it stays uncommitted.
    fn commit(&self, paths: &[String]) -> bool {
        if paths.iter().any(|path| self.is_undecided(path)) {
            return false;
        }
        let mut add = vec!["add", "--sparse", "-A", "--"];
        add.extend(paths.iter().map(String::as_str));
        if self.machine.try_git(self.repo, &add).code != Some(0) {
            return false;
        }
        let message = format!("machine {} round {}", self.who, self.round);
        let mut commit = vec!["commit", "-q", "-m", &message, "--"];
        commit.extend(paths.iter().map(String::as_str));
        self.machine.try_git(self.repo, &commit).code == Some(0)
    }

    /// Commits what is uncommitted and brings the own commits on top of the others', taking one side of every conflict and
    /// laying the other beside.
    pub fn settle(&self) {
        let undecided =
            || self.dirty().into_iter().filter(|path| self.is_undecided(path)).collect::<Vec<_>>();
        until_or(
            || undecided().is_empty(),
            || {
                let texts = undecided()
                    .into_iter()
                    .map(|path| fs::read_to_string(self.at(&path)).map(|text| (path, text)));
                let state = self.machine.git(self.repo, &["status"]);
                let texts = texts.collect::<Vec<_>>();
                format!("{}: {texts:#?}\n{state}\n{}", self.what(REPOS[self.repo]), self.machine.log())
            },
        );
        self.machine.git(self.repo, &["add", "--sparse", "-A", "."]);
        if self.machine.try_git(self.repo, &["diff-index", "--cached", "--quiet", "HEAD"]).code != Some(0) {
            self.machine.git(self.repo, &["commit", "-q", "-m", "what was left"]);
        }
        self.machine.git(self.repo, &["fetch", "-q", "origin"]);
        let mut ran = self.machine.try_git(self.repo, &["rebase", "-q", "origin/main"]);
        let git_dir = self.at(".git");
        for pass in 0.. {
            if !["rebase-merge", "rebase-apply"].iter().any(|d| git_dir.join(d).exists()) {
                break;
            }
            assert!(pass < 200, "{ran:?}");
            self.take_sides(pass);
            let staged = self.machine.try_git(self.repo, &["diff-index", "--cached", "--quiet", "HEAD"]);
            let verb = if staged.code == Some(0) { "--skip" } else { "--continue" };
            ran = self.machine.try_git(self.repo, &["-c", "core.editor=true", "rebase", verb]);
        }
        ran.ok();
    }

    fn take_sides(&self, pass: usize) {
        let list = self.machine.git(self.repo, &["ls-files", "-u", "-z"]);
        let mut sides: BTreeMap<&str, Vec<(&str, &str, &str)>> = BTreeMap::new();
        for line in list.split('\0').filter(|l| !l.is_empty()) {
            let (about, path) = line.split_once('\t').unwrap();
            let words: Vec<&str> = about.split(' ').collect();
            sides.entry(path).or_default().push((words[2], words[1], words[0]));
        }
        for (path, sides) in sides {
            let of = |stage: &str| sides.iter().find(|s| s.0 == stage).map(|s| (s.1, s.2));
            let (theirs, own) = (of("2"), of("3"));
            self.machine.git(self.repo, &["rm", "-q", "-f", "--cached", "--sparse", "--", path]);
            let _ = fs::remove_file(self.at(path));
            if let Some((id, mode)) = own.or(theirs) {
                self.take(id, mode, path);
            }
            if let (Some((id, mode)), Some(_)) = (theirs, own) {
                let beside = format!("{path}.theirs-{}-{}-{pass}", self.who, self.round);
                self.take(id, mode, &beside);
            }
        }
    }

    fn take(&self, id: &str, mode: &str, path: &str) {
        let info = format!("{mode},{id},{path}");
        self.machine.git(self.repo, &["update-index", "--add", "--cacheinfo", &info]);
        self.machine.git(self.repo, &["checkout-index", "-f", "-q", "--", path]);
    }
}

/// Whether git has marked two sides of a conflict there.
pub fn has_markers(bytes: &[u8]) -> bool {
    bytes.split(|b| *b == b'\n').any(|l| l.starts_with(b"<<<<<<< ") || l.starts_with(b">>>>>>> "))
}

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
