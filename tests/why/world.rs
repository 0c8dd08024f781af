//! A repository with people and agents at work, by chance; it knows who wrote each line.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use ox::kit::rng::Rng;
use ox::redact::Redactor;
use ox::sessions::edits;
use ox::sessions::raw::{Entry, Header, Kind, Writer};
use serde_json::{Value, json};

use crate::support::git::Sandbox;
use crate::support::spawn;

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// A person, or a command in an agent's shell.
    Other,
    /// A session, after this prompt.
    Session { session: usize, prompt: i64 },
    /// It has no text of its own, and nobody could tell.
    Unclear,
}

/// A session that was recorded.
pub struct Session {
    pub name: String,
    pub dir: PathBuf,
    program: &'static str,
    entries: Vec<Entry>,
}

/// The repository.
pub struct World {
    pub seed: u64,
    pub repo: PathBuf,
    pub sessions: Vec<Session>,
    /// What was done, in one word each.
    pub did: Vec<&'static str>,
    sandbox: Sandbox,
    rng: Rng,
    /// Seconds since 1970.
    now: i64,
    /// Who wrote a line: by its text without white space, and by the mark at its end where several write the same.
    by: BTreeMap<(String, String), By>,
    /// Numbers texts, files and branches.
    number: u64,
}

const PROGRAMS: [&str; 4] = ["claude-code", "codex", "gemini", "opencode"];
/// Of a hundred changes of a file that is there, those that hand it over as a whole.
pub const WHOLE_PERCENT: u64 = 10;
/// Lines that several sessions and people write.
const COMMON: [&str; 6] = [
    "        let mut result = Vec::new();",
    "        for item in items.iter() {",
    "            result.push(item.clone());",
    "        return Err(Error::NotFound);",
    "        log::debug!(\"done\");",
    "        Ok(result)",
];

impl World {
    pub fn new(seed: u64) -> World {
        let sandbox = Sandbox::new();
        let repo = sandbox.at("repo");
        fs::create_dir_all(repo.join("src")).unwrap();
        let mut world = World {
            seed,
            repo,
            sessions: Vec::new(),
            did: Vec::new(),
            sandbox,
            rng: Rng::new(seed.wrapping_mul(0x9e37_79b9) ^ 0x5eed),
            now: 1_790_000_000,
            by: BTreeMap::new(),
            number: 0,
        };
        world.git(&["init", "-q", "-b", "main"]);
        for _ in 0..2 {
            let (path, block) = (world.path(), world.block(By::Other));
            let more = world.block(By::Other);
            world.write(&path, &[block, more].concat());
        }
        world.commit();
        world
    }

    /// What happens.
    pub fn live(mut self) -> World {
        let steps = 6 + self.pick(8);
        for _ in 0..steps {
            self.now += 60 + i64::try_from(self.rng.below(4000)).unwrap();
            match self.rng.below(20) {
                0..=6 => self.session(),
                7..=9 => self.person(),
                10 | 11 => self.commit(),
                12 => self.amend(),
                13 => self.rebase(),
                14 => self.squash(),
                15 => self.cherry_pick(),
                16 => self.split(),
                17 => self.rename(),
                18 => self.revert(),
                _ => self.fixup(),
            }
        }
        if self.rng.chance(70) {
            self.commit();
        }
        self.finish();
        self
    }

    fn pick(&mut self, n: usize) -> usize {
        usize::try_from(self.rng.below(n as u64)).unwrap()
    }

    fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    // git

    fn try_git(&mut self, args: &[&str]) -> (bool, String) {
        self.now += 1;
        let path = std::env::var_os("PATH").unwrap();
        let mut command = Command::new(spawn::found("git".as_ref(), &path));
        command.args(args).current_dir(&self.repo).env_clear().env("PATH", path);
        command.env("HOME", self.sandbox.at("home")).env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C");
        command.env("GIT_EDITOR", "true").env("GIT_SEQUENCE_EDITOR", "sed -i 2s/^pick/fixup/");
        let now = format!("{} +0000", self.now);
        command.env("GIT_AUTHOR_DATE", &now).env("GIT_COMMITTER_DATE", &now);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let out = spawn::output(command).unwrap();
        let text = [out.stdout, out.stderr].concat();
        if std::env::var_os("OX_WHY_STEPS").is_some() {
            println!("{} git {args:?}: {}", self.now, out.status.success());
        }
        (out.status.success(), String::from_utf8_lossy(&text).trim_end().to_owned())
    }

    fn git(&mut self, args: &[&str]) -> String {
        let (ok, text) = self.try_git(args);
        assert!(ok, "seed {}: git {args:?}: {text}", self.seed);
        text
    }

    fn is_clean(&mut self) -> bool {
        self.git(&["status", "--porcelain"]).is_empty()
    }

    fn commit(&mut self) {
        if self.is_clean() {
            return;
        }
        let paths = self.files();
        self.did.push("commit");
        // Sometimes only one of the files.
        if self.rng.chance(20) && paths.len() > 1 {
            let path = paths[self.pick(paths.len())].clone();
            self.git(&["add", &path]);
            self.try_git(&["commit", "-q", "-m", "part"]);
            return;
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "work"]);
    }

    fn amend(&mut self) {
        if self.is_clean() {
            self.session();
        }
        self.did.push("amend");
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--amend", "--no-edit", "--allow-empty"]);
    }

    /// A branch with one to three commits; back on main, which has gone on.
    fn branch(&mut self) -> String {
        self.commit();
        self.git(&["add", "-A"]);
        self.try_git(&["commit", "-q", "-m", "rest"]);
        let name = format!("b{}", self.number());
        self.git(&["checkout", "-q", "-b", &name]);
        for _ in 0..=self.pick(3) {
            self.now += 600;
            match self.rng.chance(75) {
                true => self.session(),
                false => self.person(),
            }
            self.git(&["add", "-A"]);
            self.try_git(&["commit", "-q", "-m", "on the branch"]);
        }
        self.git(&["checkout", "-q", "main"]);
        self.now += 600;
        if self.rng.chance(70) {
            // In a file of its own, so that most go through.
            let (path, block) = (self.path(), self.block(By::Other));
            self.write(&path, &block);
            self.git(&["add", "-A"]);
            self.git(&["commit", "-q", "-m", "meanwhile"]);
        }
        self.now += 600;
        name
    }

    fn rebase(&mut self) {
        let name = self.branch();
        self.did.push("rebase");
        self.git(&["checkout", "-q", &name]);
        if !self.try_git(&["rebase", "-q", "main"]).0 {
            self.try_git(&["rebase", "--abort"]);
        }
        self.git(&["checkout", "-q", "main"]);
        self.try_git(&["merge", "-q", "--ff-only", &name]);
    }

    fn squash(&mut self) {
        let name = self.branch();
        self.did.push("squash");
        if self.try_git(&["merge", "-q", "--squash", &name]).0 {
            self.try_git(&["commit", "-q", "-m", "squashed"]);
        } else {
            self.git(&["reset", "-q", "--hard"]);
        }
    }

    fn cherry_pick(&mut self) {
        let name = self.branch();
        self.did.push("cherry-pick");
        let range = format!("main..{name}");
        if !self.try_git(&["cherry-pick", "--allow-empty", "--keep-redundant-commits", &range]).0 {
            self.try_git(&["cherry-pick", "--abort"]);
        }
    }

    /// The last two commits become one, which is as old as the first.
    fn fixup(&mut self) {
        self.commit();
        self.git(&["add", "-A"]);
        self.try_git(&["commit", "-q", "-m", "rest"]);
        if self.git(&["rev-list", "--count", "--first-parent", "HEAD"]).parse::<u32>().unwrap() < 4 {
            return;
        }
        self.did.push("fixup");
        if !self.try_git(&["rebase", "-q", "-i", "HEAD~2"]).0 {
            self.try_git(&["rebase", "--abort"]);
        }
    }

    /// The last commit becomes two: first some of its files, or the first half of what was added to one.
    fn split(&mut self) {
        self.commit();
        if !self.is_clean() || self.git(&["rev-list", "--count", "HEAD"]).parse::<u32>().unwrap() < 3 {
            return;
        }
        self.did.push("split");
        let whole = self.files().into_iter().map(|path| (self.read(&path), path)).collect::<Vec<_>>();
        self.git(&["reset", "-q", "--soft", "HEAD~1"]);
        self.git(&["reset", "-q"]);
        let changed = self.git(&["status", "--porcelain", "-uall"]);
        let changed: Vec<String> = changed
            .lines()
            .filter(|line| !line.contains(" D ") && !line.starts_with('D'))
            .map(|line| line[3..].to_owned())
            .collect();
        let Some(first) = changed.first().cloned() else {
            self.git(&["add", "-A"]);
            self.git(&["commit", "-q", "-m", "again"]);
            return;
        };
        if changed.len() == 1 {
            let lines = self.read(&first);
            let half = lines.len() / 2;
            let (ok, before) = self.try_git(&["show", &format!("HEAD:{first}")]);
            // The first half is as it became, the second as it was.
            let mut part = lines[..half].to_vec();
            if ok {
                let old: Vec<String> = before.lines().map(str::to_owned).collect();
                part.extend(old.into_iter().filter(|line| lines[half..].contains(line)));
            }
            self.write(&first, &part);
        }
        self.git(&["add", &first]);
        self.try_git(&["commit", "-q", "-m", "first part"]);
        for (lines, path) in whole {
            self.write(&path, &lines);
        }
        self.git(&["add", "-A"]);
        self.try_git(&["commit", "-q", "-m", "second part"]);
    }

    fn rename(&mut self) {
        let files = self.files();
        if files.is_empty() {
            return;
        }
        let path = files[self.pick(files.len())].clone();
        let to = self.path();
        self.did.push("rename");
        fs::rename(self.repo.join(&path), self.repo.join(&to)).unwrap();
        if self.rng.chance(60) {
            self.commit();
        }
    }

    fn revert(&mut self) {
        self.commit();
        if !self.is_clean() {
            return;
        }
        self.did.push("revert");
        for _ in 0..=self.pick(2) {
            if !self.try_git(&["revert", "--no-edit", "HEAD"]).0 {
                self.try_git(&["revert", "--abort"]);
            }
        }
    }

    // files

    fn path(&mut self) -> String {
        let number = self.number();
        let extension = ["rs", "py", "ts"][self.pick(3)];
        format!("src/part{number}.{extension}")
    }

    fn files(&self) -> Vec<String> {
        let mut all: Vec<String> = fs::read_dir(self.repo.join("src"))
            .map(|dir| {
                dir.map(|entry| format!("src/{}", entry.unwrap().file_name().to_str().unwrap())).collect()
            })
            .unwrap_or_default();
        all.sort();
        all
    }

    fn read(&self, path: &str) -> Vec<String> {
        fs::read_to_string(self.repo.join(path)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn write(&self, path: &str, lines: &[String]) {
        fs::create_dir_all(self.repo.join("src")).unwrap();
        fs::write(self.repo.join(path), text(lines)).unwrap();
    }

    /// A line that nobody wrote before.
    fn line(&mut self, by: By) -> String {
        let n = self.number();
        let line = match self.rng.below(5) {
            0 => format!("        let value_{n} = compute_{}({n});", n % 7),
            1 => format!("        self.field_{n}.push(item);"),
            2 => format!("        // because of case {n} of the parser"),
            3 => format!("        x{n} += 1;"),
            _ => format!("        if check_{}(input, {n}) {{ return Some({n}); }}", n % 5),
        };
        self.wrote(&line, by);
        line
    }

    fn wrote(&mut self, line: &str, by: By) {
        self.by.insert(key(line), by);
    }

    /// A function, with lines in it that others write as well.
    fn block(&mut self, by: By) -> Vec<String> {
        let n = self.number();
        let head = format!("    fn part_{n}(&self) {{");
        self.wrote(&head, by);
        let mut lines = vec![head];
        for _ in 0..2 + self.pick(6) {
            lines.push(self.line(by));
        }
        if self.rng.chance(40) {
            let at = 1 + self.pick(lines.len());
            let from = self.pick(4);
            let common: Vec<String> =
                COMMON[from..from + 3].iter().map(|line| format!("{line}{}", mark(n))).collect();
            common.iter().for_each(|line| self.wrote(line, by));
            lines.splice(at..at, common);
            lines.push(self.line(by));
        }
        lines.push("    }".into());
        lines.push(String::new());
        lines
    }

    /// Where a block may begin.
    fn gap(&mut self, lines: &[String]) -> usize {
        let gaps: Vec<usize> = (0..=lines.len()).filter(|n| *n == 0 || lines[n - 1].is_empty()).collect();
        gaps[self.pick(gaps.len())]
    }

    // people

    fn person(&mut self) {
        self.did.push("person");
        let files = self.files();
        if files.is_empty() || self.rng.chance(15) {
            let (path, block) = (self.path(), self.block(By::Other));
            return self.write(&path, &block);
        }
        let path = files[self.pick(files.len())].clone();
        let mut lines = self.read(&path);
        match self.rng.below(7) {
            0 | 1 => {
                let (at, block) = (self.gap(&lines), self.block(By::Other));
                lines.splice(at..at, block);
            }
            2 | 3 if !lines.is_empty() => {
                let at = self.pick(lines.len());
                lines[at] = self.line(By::Other);
            }
            4 if lines.len() > 3 => {
                let at = self.pick(lines.len() - 2);
                lines.drain(at..at + 2);
            }
            5 => {
                // To another depth.
                let (from, to) = (self.pick(lines.len() + 1), lines.len());
                for line in lines[from..to].iter_mut().filter(|line| !line.is_empty()) {
                    *line = format!("\t{}", line.trim_start());
                }
                self.did.push("reformat");
            }
            _ if lines.len() > 4 => {
                // A part of it once more, which is then nobody's in particular.
                let from = self.pick(lines.len() - 3);
                let part = lines[from..from + 3].to_vec();
                part.iter().for_each(|line| self.wrote(line, By::Unclear));
                let at = self.gap(&lines);
                lines.splice(at..at, part);
                self.did.push("copy");
            }
            _ => {}
        }
        self.write(&path, &lines);
    }

    // sessions

    fn session(&mut self) {
        let is_new = self.sessions.is_empty() || self.rng.chance(50);
        if is_new {
            let n = self.sessions.len();
            let name = format!("2026-03-12T11-{:02}-dana-Ox{n:04}", n % 60);
            let dir = self.sandbox.at("sessions").join(&name);
            let program = PROGRAMS[self.pick(4)];
            self.sessions.push(Session { name, dir, program, entries: Vec::new() });
        }
        let n = if is_new { self.sessions.len() - 1 } else { self.pick(self.sessions.len()) };
        self.did.push(self.sessions[n].program);
        for _ in 0..=self.pick(2) {
            self.now += 30;
            let prompt = self.say(n);
            for _ in 0..=self.pick(3) {
                self.now += 5;
                self.edit(n, By::Session { session: n, prompt });
            }
        }
        self.now += 5;
    }

    fn entry(&mut self, n: usize, entry: Entry) -> i64 {
        let timestamp = Timestamp::from_second(self.now).ok();
        let entries = &mut self.sessions[n].entries;
        entries.push(Entry { timestamp, ..entry });
        i64::try_from(entries.len()).unwrap() - 1
    }

    fn say(&mut self, n: usize) -> i64 {
        let content = format!("do the next thing, number {}", self.number());
        self.entry(n, Entry { kind: Kind::User, content, ..Entry::default() })
    }

    fn call(&mut self, n: usize, tool: &str, input: &str) -> String {
        let call_id = format!("c{}", self.number());
        let entry = Entry {
            kind: Kind::Tool,
            tool_name: tool.into(),
            tool_input: input.into(),
            call_id: call_id.clone(),
            ..Entry::default()
        };
        self.entry(n, entry);
        call_id
    }

    fn edit(&mut self, n: usize, by: By) {
        let files = self.files();
        if files.is_empty() || self.rng.chance(25) {
            let (path, mut lines) = (self.path(), self.block(by));
            for _ in 0..self.pick(3) {
                lines.extend(self.block(by));
            }
            self.hand_over(n, &path, &[], &lines);
            return self.write(&path, &lines);
        }
        let path = files[self.pick(files.len())].clone();
        let before = self.read(&path);
        let mut after = before.clone();
        match self.rng.below(8) {
            0..=3 => {
                let (at, block) = (self.gap(&after), self.block(by));
                after.splice(at..at, block);
            }
            4 | 5 if !after.is_empty() => {
                let at = self.pick(after.len());
                after[at] = self.line(by);
            }
            6 if after.len() > 6 => {
                let at = self.pick(after.len() - 3);
                let new = [self.line(by), self.line(by)];
                after.splice(at..at + 3, new);
            }
            _ => {
                // By a command in the shell: nobody sees that.
                let block = self.block(By::Other);
                after.extend(block);
                self.call(
                    n,
                    "Bash",
                    &json!({"command": format!("cat >> {path} <<'EOF'\n…\nEOF")}).to_string(),
                );
                return self.write(&path, &after);
            }
        }
        if self.rng.chance(8) {
            // It fails, and nothing comes of it.
            let call = self.hand_over(n, &path, &before, &after);
            self.entry(n, Entry { kind: Kind::Tool, is_error: true, call_id: call, ..Entry::default() });
            return;
        }
        self.hand_over(n, &path, &before, &after);
        self.write(&path, &after);
    }

    /// As the session's program writes down that it makes `after` of `before`.
    fn hand_over(&mut self, n: usize, path: &str, before: &[String], after: &[String]) -> String {
        if std::env::var_os("OX_WHY_STEPS").is_some() {
            let new: Vec<&String> = after.iter().filter(|line| !before.contains(line)).collect();
            println!("{} session {n} {} {path}: {new:?}", self.now, self.sessions[n].program);
        }
        let (before, after) = (&unmarked(before)[..], &unmarked(after)[..]);
        let full = self.repo.join(path).display().to_string();
        let head = before.iter().zip(after).take_while(|(a, b)| a == b).count();
        let rest = before.len().min(after.len()) - head;
        let tail = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count().min(rest);
        let whole = before.is_empty() || self.rng.chance(WHOLE_PERCENT);
        // Agents hand over as much around as makes it the only one; often one line, sometimes none.
        let mut around = self.pick(3);
        let (old, new) = loop {
            let (from, to) = (head.saturating_sub(around), around.min(tail));
            let old = before[from..before.len() - tail + to].join("\n");
            let is_one = !old.is_empty() && text(before).matches(&old).count() == 1;
            if is_one || around > before.len() {
                break (old, after[from..after.len() - tail + to].join("\n"));
            }
            around += 1;
        };
        let program = self.sessions[n].program;
        if whole && !before.is_empty() && program != "codex" {
            // It cannot repeat what it has not seen; Claude Code and opencode insist on that.
            let read = match program {
                "gemini" => self.call(n, "read_file", &json!({ "absolute_path": full }).to_string()),
                "opencode" => self.call(n, "read", &json!({ "filePath": full }).to_string()),
                _ => self.call(n, "Read", &json!({ "file_path": full }).to_string()),
            };
            assert!(!read.is_empty());
        }
        let (tool, input): (&str, Value) = match program {
            "codex" => {
                let mut patch = String::from("*** Begin Patch\n");
                if before.is_empty() {
                    patch += &format!("*** Add File: {path}\n");
                    after.iter().for_each(|line| patch += &format!("+{line}\n"));
                } else {
                    patch += &format!("*** Update File: {path}\n@@\n");
                    let around = 3;
                    before[head.saturating_sub(around)..head]
                        .iter()
                        .for_each(|line| patch += &format!(" {line}\n"));
                    before[head..before.len() - tail].iter().for_each(|line| patch += &format!("-{line}\n"));
                    after[head..after.len() - tail].iter().for_each(|line| patch += &format!("+{line}\n"));
                    let below = &before[before.len() - tail..];
                    below.iter().take(around).for_each(|line| patch += &format!(" {line}\n"));
                }
                patch += "*** End Patch";
                if self.rng.chance(30) {
                    let script = format!("apply_patch <<'EOF'\n{patch}\nEOF\n");
                    let input = json!({ "command": ["bash", "-lc", script] }).to_string();
                    return self.call(n, "shell", &input);
                }
                return self.call(n, "apply_patch", &patch);
            }
            "gemini" if whole => ("write_file", json!({ "file_path": full, "content": text(after) })),
            "gemini" => ("replace", json!({ "file_path": full, "old_string": old, "new_string": new })),
            "opencode" if whole => ("write", json!({ "filePath": full, "content": text(after) })),
            "opencode" => ("edit", json!({ "filePath": full, "oldString": old, "newString": new })),
            _ if whole => ("Write", json!({ "file_path": full, "content": text(after) })),
            _ if self.rng.chance(20) => {
                let edits = [json!({ "old_string": old, "new_string": new })];
                ("MultiEdit", json!({ "file_path": full, "edits": edits }))
            }
            _ => ("Edit", json!({ "file_path": full, "old_string": old, "new_string": new })),
        };
        self.call(n, tool, &input.to_string())
    }

    /// Keeps what the sessions wrote.
    fn finish(&mut self) {
        let redactor = Redactor::new();
        for session in &self.sessions {
            fs::create_dir_all(&session.dir).unwrap();
            let mut writer = Writer::open(&session.dir, &Header::default(), &redactor).unwrap();
            session.entries.iter().for_each(|entry| writer.append(entry).unwrap());
            writer.commit().unwrap();
            drop(writer);
            edits::write(&session.dir, &self.repo, &redactor).unwrap();
        }
    }

    /// Of each file who wrote its lines.
    pub fn truth(&self) -> Vec<(String, Vec<By>)> {
        let all = self.files().into_iter().map(|path| {
            let lines = self.read(&path);
            let of = |line: &String| {
                let has_text = line.chars().any(char::is_alphanumeric);
                if has_text { self.by[&key(line)] } else { By::Unclear }
            };
            let by = lines.iter().map(of).collect();
            (path, by)
        });
        all.collect()
    }
}

/// What tells a line from all others: nobody but git sees its end.
fn key(line: &str) -> (String, String) {
    let words = line.trim_end();
    (words.split_whitespace().collect(), line[words.len()..].to_owned())
}

/// The end of a line that is of this block, though others read the same: white space, which neither agents hand over nor a comparison sees.
fn mark(block: u64) -> String {
    let bits = (0..u64::BITS - block.leading_zeros()).map(|n| if block >> n & 1 == 1 { '\t' } else { ' ' });
    bits.collect()
}

/// Lines as people and agents see them.
fn unmarked(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
