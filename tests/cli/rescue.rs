//! `ox rescue` on a ledger made by hand, without a daemon.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{json, machine};
use crate::support::TestEnv;

const THEN: i64 = 1_790_000_000;

/// A project whose ledger has a rescue with four files, one of which did not merge, and a backup.
struct Bench {
    env: TestEnv,
    repo: PathBuf,
    ledger: PathBuf,
}

fn bench() -> Bench {
    let (env, repo) = machine();
    let config: Value = serde_json::from_slice(&fs::read(repo.join(".sageox/config.json")).unwrap()).unwrap();
    let id = config["repo_id"].as_str().unwrap();
    let ledger = env.data().join("sageox/local/ledgers").join(id);
    let remote = env.bare("remote.git");
    fs::create_dir_all(ledger.parent().unwrap()).unwrap();
    env.git(env.work(), ["clone", "-q", remote.to_str().unwrap(), ledger.to_str().unwrap()]);
    let git = |args: &[&str]| env.git(&ledger, args);
    let put = |name: &str, text: &str| {
        let path = ledger.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("notes/a.md", "one\ntwo\n");
    put("gone.md", "x\n");
    git(&["add", "-A"]);
    git(&["commit", "-qm", "first"]);
    git(&["push", "-q", "origin", "HEAD:main"]);
    put("notes/a.md", "one\nmine\n");
    put("new/b.md", "b\n");
    fs::remove_file(ledger.join("gone.md")).unwrap();
    symlink("/etc/passwd", ledger.join("trick")).unwrap();
    git(&["add", "-A"]);
    let tree = git(&["write-tree"]);
    let commit = git(&["commit-tree", "-p", "HEAD", "-m", "dirty files put aside", &tree]);
    git(&["update-ref", &format!("refs/ox/rescue/{THEN}"), &commit]);
    git(&["reset", "-q", "--hard"]);
    put(&format!("notes/a.md.conflict-box-{THEN}"), "one\nmine\n");
    let backup = PathBuf::from(format!("{}.bak.{THEN}", ledger.display()));
    fs::create_dir_all(backup.join(".git")).unwrap();
    fs::write(backup.join(".git/config"), "x").unwrap();
    fs::write(backup.join("only.md"), "only here\n").unwrap();
    fs::write(backup.join("gone.md"), "x\n").unwrap();
    Bench { env, repo, ledger }
}

impl Bench {
    fn json(&self, args: &[&str], code: i32) -> Value {
        let ran = self.env.ox_in(&self.repo, ["rescue"].iter().chain(args).chain(&["--json"]));
        assert_eq!(ran.code, Some(code), "{ran:?}");
        json(&ran)
    }

    fn text(&self, args: &[&str]) -> String {
        self.env.ox_in(&self.repo, ["rescue"].iter().chain(args)).ok().stdout
    }

    /// The id of the item of this kind.
    fn id(&self, kind: &str) -> String {
        let list = self.json(&["list"], 0);
        let item = list["items"].as_array().unwrap().iter().find(|i| i["kind"] == kind);
        item.unwrap_or_else(|| panic!("{list}"))["id"].as_str().unwrap().to_owned()
    }

    fn read(&self, path: &Path) -> String {
        fs::read_to_string(self.ledger.join(path)).unwrap()
    }
}

#[test]
fn everything_that_was_kept_is_listed() {
    let b = bench();
    let list = b.json(&["list"], 0);
    let items = list["items"].as_array().unwrap();
    let brief: Vec<(&str, u64)> =
        items.iter().map(|i| (i["kind"].as_str().unwrap(), i["file_count"].as_u64().unwrap())).collect();
    let mut sorted = brief.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [("backup", 1), ("copy", 1), ("ref", 4)]);
    let of = |kind: &str| items.iter().find(|i| i["kind"] == kind).unwrap();
    assert_eq!(of("ref")["unmerged"], serde_json::json!(["notes/a.md"]));
    assert_eq!(of("ref")["until"], "2026-10-21T14:13:20Z");
    assert_eq!(of("copy")["path"], "notes/a.md");
    assert!(of("backup")["until"].is_null());
    // The same from everywhere, and what a machine lists is what its only project lists.
    let all = b.env.ox_in(b.env.work(), ["rescue", "list", "--all", "--json"]).ok();
    assert_eq!(json(&all), list);
    let text = b.text(&["list"]);
    assert!(text.contains("uncommitted work") && text.contains("conflict copy"), "{text}");
    assert!(text.contains("replaced clone"), "{text}");
    let outside = b.env.ox_in(b.env.work(), ["rescue", "list"]).fails(2);
    assert!(outside.stderr.contains("ox rescue list --all"), "{outside:?}");
}

#[test]
fn what_differs_is_shown() {
    let b = bench();
    let id = b.id("ref");
    let text = b.text(&["show", &id]);
    for line in ["M notes/a.md  +1 -1  (did not merge", "A new/b.md  +1 -0", "D gone.md  +0 -1"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("@@"), "{text}");
    let text = b.text(&["show", &id[..5], "-v"]);
    assert!(text.contains("-two\n+mine\n"), "{text}");
    let shown = b.json(&["show", &b.id("backup")], 0);
    assert_eq!(shown["files"].as_array().unwrap().len(), 1);
    assert_eq!(shown["files"][0]["path"], "only.md");
    let refused = b.json(&["show", "zzzz"], 2);
    assert_eq!(refused["hint"], "ox rescue list --all");
}

#[test]
fn a_restore_overwrites_nothing_and_follows_no_link() {
    let b = bench();
    let id = b.id("ref");
    let done = b.json(&["restore", &id], 1);
    let result = |done: &Value, path: &str| {
        let files = done["files"].as_array().unwrap();
        files.iter().find(|f| f["path"] == path).unwrap_or_else(|| panic!("{done}"))["result"].clone()
    };
    assert_eq!(done["success"], false, "the trick is refused, the rest is restored");
    assert_eq!(result(&done, "trick"), "refused");
    assert_eq!(result(&done, "gone.md"), "deleted");
    assert_eq!(result(&done, "new/b.md"), "written");
    assert_eq!(b.read(Path::new("new/b.md")), "b\n");
    assert_eq!(b.read(Path::new("notes/a.md")), "one\ntwo\n", "the present file stays");
    let to = done["files"].as_array().unwrap().iter().find(|f| f["path"] == "notes/a.md").unwrap();
    let to = PathBuf::from(to["to"].as_str().unwrap());
    assert!(to.to_str().unwrap().ends_with(&format!("-{THEN}")), "{to:?}");
    assert_eq!(fs::read_to_string(&to).unwrap(), "one\nmine\n");
    assert!(!b.ledger.join("trick").exists() && b.ledger.join("gone.md").exists());
    // Again: nothing new.
    let again = b.json(&["restore", &id, "notes"], 0);
    assert_eq!(again["files"].as_array().unwrap().len(), 1);
    assert_eq!(result(&again, "notes/a.md"), "present");
    b.json(&["restore", &id, "not/there"], 2);
}

#[test]
fn a_restore_into_a_directory_leaves_the_clone_alone() {
    let b = bench();
    let before = b.env.git(&b.ledger, ["status", "--porcelain", "-uall"]);
    for (kind, path) in [("ref", "new/b.md"), ("copy", "notes/a.md"), ("backup", "only.md")] {
        let done = b.json(&["restore", &b.id(kind), path, "--to", "out"], 0);
        assert_eq!(done["files"][0]["to"], b.repo.join("out").join(path).to_str().unwrap());
        assert!(b.repo.join("out").join(path).is_file(), "{kind}");
    }
    assert_eq!(b.env.git(&b.ledger, ["status", "--porcelain", "-uall"]), before);
    // A copy lies beside its file already.
    let done = b.json(&["restore", &b.id("copy")], 0);
    assert_eq!(done["files"][0]["result"], "present");
    // Of a clone that is gone there is still the backup, but no place for it.
    let id = b.id("backup");
    fs::remove_dir_all(&b.ledger).unwrap();
    b.json(&["restore", &id], 2);
    assert!(!b.ledger.exists());
    b.json(&["restore", &id, "--to", "other"], 0);
}

#[test]
fn a_clone_that_cannot_be_read_does_not_hide_the_others() {
    let b = bench();
    let broken = b.ledger.with_file_name("broken");
    fs::create_dir_all(broken.join(".git")).unwrap();
    let ran = b.env.ox_in(&b.repo, ["rescue", "list", "--all", "--json"]).fails(1);
    let list = json(&ran);
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    assert!(list["problems"][0].as_str().unwrap().contains("broken"), "{list}");
    b.json(&["show", &b.id("ref")], 0);
}
