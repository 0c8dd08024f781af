//! Directories that cannot be written, and disks that are full.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::machine::Machine;
use crate::support::{OX, Ran, run};

/// Starting must fail in the words of the daemon itself, with the path and why, and leave no process. A command that has waited for
/// its start in vain would say that it does not answer.
#[track_caller]
fn check(m: &Machine, path: &Path, why: &str, ox: impl Fn(&[&str]) -> Ran) {
    let shown = path.to_str().unwrap().replace(m.home().to_str().unwrap(), "~");
    for args in [&["daemon", "start"][..], &["up"], &["sync"]] {
        let ran = ox(args);
        assert!(ran.code.is_some_and(|c| c > 0), "{ran:?}");
        assert!(ran.stderr.contains(why), "{why}: {ran:?}");
        assert!(ran.stderr.contains(&shown), "{shown}: {ran:?}");
        assert!(ran.stderr.contains("hint: "), "{ran:?}");
        assert_eq!(m.daemons(), 0);
    }
}

/// Runs `ox` in the project without the power to write everywhere, which root has.
fn mortal(m: &Machine, args: &[&str]) -> Ran {
    if !rustix::process::geteuid().is_root() {
        return m.here(args.iter().copied());
    }
    let cmd = m.cmd("setpriv").args(["--bounding-set", "-all", OX]).args(args).dir(&m.repo);
    run(cmd, format!("ox {args:?}"))
}

/// Whether this machine lets a test do what it needs; says why not.
fn can(m: &Machine, program: &str, args: &[&str]) -> bool {
    match ox::kit::child::run(m.cmd(program).args(args), &ox::kit::cancel::Cancel::new()) {
        Ok(out) if out.status.success() => true,
        Ok(out) => {
            println!("skipped: {program}: {}", String::from_utf8_lossy(&out.stderr).trim());
            false
        }
        Err(e) => {
            println!("skipped: {e}");
            false
        }
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn ins_09_ipc_16_an_unwritable_data_directory_is_named() {
    let m = Machine::new();
    if rustix::process::geteuid().is_root() && !can(&m, "setpriv", &["--bounding-set", "-all", "true"]) {
        return;
    }
    // The directory itself would be given its mode back; nothing can be made beside it.
    fs::remove_dir_all(m.dirs().data()).unwrap();
    mode(&m.data(), 0o500);
    check(&m, m.dirs().data(), "Permission denied", |args| mortal(&m, args));
    mode(&m.data(), 0o700);
    m.here(["up"]).ok();
}

#[test]
fn ins_09_ipc_16_a_state_directory_that_is_a_file_is_named() {
    let m = Machine::new();
    let state = m.dirs().state().to_owned();
    let _ = fs::remove_dir_all(&state);
    fs::write(&state, "in the way").unwrap();
    check(&m, &state, "is not a directory", |args| m.here(args.iter().copied()));
    assert_eq!(fs::read_to_string(&state).unwrap(), "in the way");
    fs::remove_file(&state).unwrap();
    m.here(["up"]).ok();
}

#[test]
fn ins_09_ipc_16_a_file_where_the_data_directory_or_the_log_belongs_is_named() {
    let m = Machine::new();
    let log = (m.dirs().log().parent().unwrap().to_owned(), "is not a directory");
    for (path, why) in [log, (m.dirs().data().to_owned(), "Not a directory")] {
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "in the way").unwrap();
        check(&m, &path, why, |args| m.here(args.iter().copied()));
        fs::remove_file(&path).unwrap();
    }
    m.here(["up"]).ok();
}

/// A private disk of 4 MiB at `$DISK`; the rest of a script runs on it.
fn on_small_disk(m: &mut Machine, disk: &Path, script: &str) -> Option<Ran> {
    if !can(m, "unshare", &["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]) {
        return None;
    }
    fs::create_dir_all(disk).unwrap();
    m.set("DISK", disk);
    m.set("OX", OX);
    let script = format!(
        "set -u\nfail() {{ echo \"FAILED: $*\"; \"$OX\" daemon kill --all; exit 1; }}\n\
         fill() {{ cat /dev/zero > \"$DISK/fill\" 2>/dev/null; cat /dev/zero >> \"$DISK/fill\" 2>/dev/null; }}\n\
         mount -t tmpfs -o size=4m,mode=700 none \"$DISK\" || exit 1\n{script}"
    );
    let cmd = m.cmd("unshare").args(["--user", "--map-root-user", "--mount", "bash", "-c", &script]);
    Some(run(cmd, "a script on a small disk".into()))
}

#[test]
fn ins_09_ipc_16_a_full_disk_is_named() {
    let mut m = Machine::new();
    let data = m.dirs().data().to_owned();
    fs::remove_dir_all(&data).unwrap();
    let script = "fill; cd p\nfor c in 'daemon start' up sync; do\n  \"$OX\" $c && fail \"$c works\"\ndone\n\
                  rm \"$DISK/fill\"; \"$OX\" up || fail 'works again'\n\"$OX\" daemon stop --all; exit 0";
    let Some(ran) = on_small_disk(&mut m, &data, script) else { return };
    let ran = ran.ok();
    assert_eq!(ran.stderr.matches("error: ").count(), 3, "{ran:?}");
    assert_eq!(ran.stderr.matches("No space left on device").count(), 3, "{ran:?}");
    assert!(ran.stderr.matches("~/.local/share/sageox").count() >= 3, "{ran:?}");
}

#[test]
fn res_07_a_full_disk_costs_no_state_and_all_works_again_once_there_is_room() {
    let mut m = Machine::new();
    let home = m.root().join("disk");
    for (var, below) in [
        ("HOME", ""),
        ("XDG_CONFIG_HOME", "c"),
        ("XDG_DATA_HOME", "d"),
        ("XDG_CACHE_HOME", "k"),
        ("XDG_RUNTIME_DIR", "r"),
    ] {
        m.set(var, home.join(below));
    }
    let script = r#"
cd "$DISK" && export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
mkdir empty && git init -q -b main --template="$DISK/empty" p && cd p && "$OX" up || fail up
pid=$("$OX" daemon start --json | grep -o '"pid": *[0-9]*' | grep -o '[0-9]*')
ledger=$(ls -d "$DISK"/d/sageox/local/ledgers/*); remote=$(ls -d "$DISK"/d/sageox/local/remotes/*)
push() { git clone -q --template="$DISK/empty" "$remote" "$DISK/other" && (cd "$DISK/other" && git checkout -q main &&
  seq 9999 > "new$1" && git add . && git commit -qm "new $1" && git push -q origin HEAD:main); rm -rf "$DISK/other"; }
states() { find "$DISK" -path "$ledger" -prune -o -path "$remote" -prune -o -type f \( -name '*.json' -o -name '*.toml' -o -name '*.yaml' \) -print | sort; }
save() { mkdir -p "$KEEP/$1"; for f in $(states); do cp "$f" "$KEEP/$1/$(echo "$f" | tr / +)" || fail "copy of $f"; done; }
push 1 || fail push
save before
before=$(git -C "$ledger" rev-parse HEAD)
fill
[ "$(df --output=avail "$DISK" | tail -1)" -eq 0 ] || fail "not full"
"$OX" sync && fail "a sync without room"
"$OX" config set daemon.sync_interval_read 7m && fail "a setting without room"
"$OX" status > /dev/null || fail "status"
"$OX" daemon status > /dev/null || fail "daemon status"
save during
git -C "$ledger" rev-parse -q --verify HEAD^{commit} > /dev/null || fail "ledger without HEAD"
kill -0 "$pid" || fail "the daemon died"
# The same for one that is killed and started while there is no room.
kill -9 "$pid"; flock -w 120 "$DISK/d/sageox/daemon.lock" true; "$OX" daemon start
save killed
rm "$DISK/fill"
"$OX" sync || fail "works again"
[ "$(git -C "$ledger" rev-parse HEAD)" = "$(git -C "$remote" rev-parse main)" ] || fail "the ledger is behind"
[ "$(git -C "$ledger" rev-parse HEAD)" != "$before" ] || fail "nothing came"
git -C "$ledger" fsck --no-progress || fail "damaged"
[ -z "$(git -C "$ledger" status --porcelain)" ] || fail "dirty: $(git -C "$ledger" status --porcelain)"
find "$DISK" -name '*.tmp' | grep . && fail "temporary files"
"$OX" daemon stop --all || fail stop
echo all is well
"#;
    let keep = m.work().join("keep");
    m.set("KEEP", &keep);
    let Some(ran) = on_small_disk(&mut m, &home, script) else { return };
    assert!(ran.stdout.contains("all is well"), "{ran:?}");
    let before = states(&keep.join("before"));
    assert!(before.len() >= 5, "{:?}", before.keys());
    for moment in ["during", "killed"] {
        let then = states(&keep.join(moment));
        for (name, text) in &before {
            let now = then.get(name).unwrap_or_else(|| panic!("{moment}: {name} is gone"));
            let json = || serde_json::from_str::<serde_json::Value>(now).is_ok();
            assert!(name.ends_with(".toml") || json(), "{moment}: {name}: {now:?}");
            let may_change = ["daemon-restarts.json", "registry.json", "sync-state.json"];
            assert!(now == text || may_change.iter().any(|n| name.ends_with(n)), "{moment}: {name}: {now:?}");
        }
    }
}

/// The files of a directory and what they hold.
fn states(dir: &Path) -> BTreeMap<String, String> {
    let file = |e: std::io::Result<fs::DirEntry>| {
        let path = e.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
    };
    fs::read_dir(dir).unwrap().map(file).collect()
}

#[test]
fn a_full_disk_ends_a_run_of_the_archive_and_what_is_kept_stays_whole() {
    let mut m = Machine::new();
    let data = m.dirs().data().to_owned();
    fs::remove_dir_all(&data).unwrap();
    let slug = m.repo.to_str().unwrap().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let dir = m.home().join(".claude/projects").join(slug);
    fs::create_dir_all(&dir).unwrap();
    // What has no pattern takes its room also when it is compressed.
    let mut rng = ox::kit::rng::Rng::new(7);
    let mut session = |name: &str, lines: usize| {
        let line = |n: usize, text: String| {
            format!(
                "{{\"type\":\"user\",\"uuid\":\"{name}-{n}\",\"sessionId\":\"{name}\",\"cwd\":\"{}\",\
                 \"message\":{{\"role\":\"user\",\"content\":\"{text}\"}}}}\n",
                m.repo.display()
            )
        };
        let text: String = (0..lines)
            .map(|n| line(n, (0..100).map(|_| format!("{:016x}", rng.next_u64())).collect()))
            .collect();
        fs::write(dir.join(format!("{name}.jsonl")), text).unwrap();
    };
    session("s1", 20);
    let first = fs::read(dir.join("s1.jsonl")).unwrap();
    session("s2", 400);
    session("s3", 400);
    fs::rename(dir.join("s2.jsonl"), dir.join("s2")).unwrap();
    fs::rename(dir.join("s3.jsonl"), dir.join("s3")).unwrap();
    let script = r#"
cd p; "$OX" up || fail up
"$OX" session archive run || fail first
for s in s2 s3; do mv "$DIR/$s" "$DIR/$s.jsonl"; done
fill
"$OX" session archive run && fail 'it is no success'
"$OX" session archive restore s1 -o - | cmp - "$DIR/s1.jsonl" || fail 's1 is whole'
rm "$DISK/fill"
"$OX" session archive run || fail 'works again'
for s in s1 s2 s3; do "$OX" session archive restore $s -o - | cmp - "$DIR/$s.jsonl" || fail "$s"; done
"$OX" daemon stop --all; exit 0"#;
    m.set("DIR", &dir);
    let Some(ran) = on_small_disk(&mut m, &data, script) else { return };
    let ran = ran.ok();
    assert!(ran.stderr.contains("transcripts cannot be copied"), "{ran:?}");
    assert!(ran.stderr.contains("No space left on device") || ran.stderr.contains("full"), "{ran:?}");
    assert!(ran.stderr.contains("hint: ox session archive run"), "{ran:?}");
    assert!(fs::read(dir.join("s1.jsonl")).unwrap() == first);
}
