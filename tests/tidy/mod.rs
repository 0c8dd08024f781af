//! The building's rules, as far as a program can read them off the source.

mod daemon;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which rooms a room may import. `daemon`, `doctor` and `cli` stand above all others; nothing below knows of them.
const ARROWS: &[(&str, &[&str])] = &[
    ("kit", &[]),
    ("redact", &["kit"]),
    ("project", &["kit", "redact"]),
    ("http", &["kit"]),
    ("git", &["kit", "http"]),
    ("watch", &["kit", "git"]),
    ("health", &["kit", "project"]),
    ("harness", &["kit"]),
    ("tail", &["kit"]),
    ("sessions", &["kit", "redact", "project", "harness", "tail"]),
    ("hooks", &["kit", "redact", "project", "harness", "tail"]),
    ("agents", &["kit", "project", "http", "harness"]),
    ("relay", &["kit", "redact", "project", "http"]),
    ("cloud", &["kit", "project", "http"]),
    ("ipc", &["kit"]),
    ("sync", &["kit", "redact", "project", "http", "git", "health"]),
    ("whispers", &["kit", "redact", "project", "git"]),
    (
        "daemon",
        &[
            "kit", "redact", "project", "http", "git", "watch", "harness", "health", "ipc", "sync",
            "whispers", "sessions", "hooks", "agents", "relay", "cloud",
        ],
    ),
    (
        "doctor",
        &["kit", "project", "http", "git", "health", "ipc", "sync", "whispers", "hooks", "agents", "daemon"],
    ),
    (
        "cli",
        &[
            "kit", "redact", "project", "http", "git", "harness", "health", "ipc", "sync", "whispers",
            "sessions", "hooks", "agents", "relay", "cloud", "daemon", "doctor",
        ],
    ),
];

/// Longer files are two files.
const FILE_LINES_MAX: usize = 1000;
/// Packages in the Linux release build, ourselves included.
const PACKAGES_MAX: usize = 180;
/// What brings an asynchronous runtime, or hides one.
const RUNTIMES: &[&str] = &[
    "actix-rt",
    "async-executor",
    "async-global-executor",
    "async-io",
    "async-std",
    "futures-executor",
    "glommio",
    "h2",
    "hyper",
    "monoio",
    "pollster",
    "reqwest",
    "smol",
    "tokio",
];

fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
}

/// Every file below `dir`, by its path below the crate.
fn files(dir: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![root().join(dir)];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(root()).unwrap().to_str().unwrap().to_string());
            }
        }
    }
    found.retain(|f| f.ends_with(".rs"));
    found.sort();
    found
}

fn text(file: &str) -> String {
    String::from_utf8_lossy(&fs::read(root().join(file)).unwrap()).into_owned()
}

/// Fails with all findings at once.
fn none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

fn rooms() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("src")).unwrap().map(Result::unwrap);
    entries
        .filter(|e| e.file_type().unwrap().is_dir())
        .map(|e| e.file_name().into_string().unwrap())
        .collect()
}

#[test]
fn no_asynchronous_runtime_is_locked() {
    let lock = text("Cargo.lock");
    let names = lock.lines().filter_map(|l| l.strip_prefix("name = \"")?.strip_suffix('"'));
    let found: Vec<String> = names.filter(|n| RUNTIMES.contains(n)).map(str::to_string).collect();
    none("packages with an asynchronous runtime", &found);
}

#[test]
fn the_release_build_has_few_packages() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let out = Command::new(cargo)
        .args(["tree", "--offline", "--locked", "-e", "normal,build", "--prefix", "none", "--format", "{p}"])
        .args(["--target", &target])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let list = String::from_utf8(out.stdout).unwrap();
    let packages: BTreeSet<&str> =
        list.lines().map(|l| l.trim_end_matches(" (*)").trim_end_matches(" (proc-macro)")).collect();
    println!("{} packages", packages.len());
    assert!(packages.len() > 10, "{packages:?}");
    assert!(packages.len() <= PACKAGES_MAX, "{} packages: {packages:#?}", packages.len());
}

#[test]
fn every_room_says_what_it_is() {
    let mut found = Vec::new();
    for room in rooms() {
        let file = format!("src/{room}/mod.rs");
        let source = text(&file);
        let header: Vec<&str> = source.lines().map_while(|l| l.strip_prefix("//!")).map(str::trim).collect();
        if header.first().is_none_or(|first| first.is_empty()) {
            found.push(format!("{file}: does not open with what the room is"));
        }
        for part in ["Threads:", "Files:", "Locks:", "Promises:"] {
            if !header.iter().any(|l| l.starts_with(part)) {
                found.push(format!("{file}: no line `//! {part}`"));
            }
        }
    }
    none("rooms without their header", &found);
}

#[test]
fn files_stay_short() {
    let sized = files("src").into_iter().map(|f| (text(&f).lines().count(), f));
    let found: Vec<String> = sized
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .map(|(lines, f)| format!("{f}: {lines} lines"))
        .collect();
    none("files to be split", &found);
}

#[test]
fn arrows_between_rooms_go_one_way() {
    let rooms = rooms();
    let mut found = Vec::new();
    for file in files("src") {
        let Some(room) = file.split('/').nth(1).filter(|room| rooms.contains(*room)) else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            found.push(format!("{room}: has no row in the table of arrows"));
            continue;
        };
        for (line, used) in imports(&text(&file), depth(&file)) {
            if used != room && rooms.contains(&used) && !allowed.contains(&used.as_str()) {
                found.push(format!("{file}:{line}: {room} must not know of {used}"));
            }
        }
    }
    none("arrows the wrong way", &found);
}

/// How many `super` lead from the items of a file to the crate's root.
fn depth(file: &str) -> usize {
    let parts = file.trim_start_matches("src/").split('/').count();
    if file.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// The names directly below the crate's root that a source uses, with their lines. Comments and texts do not count.
fn imports(source: &str, depth: usize) -> Vec<(usize, String)> {
    let code: String =
        source
            .lines()
            .map(|l| {
                if l.trim_start().starts_with("//") { "" } else { l.split(" // ").next().unwrap_or_default() }
            })
            .collect::<Vec<_>>()
            .join("\n");
    let mut found = Vec::new();
    for path in ["crate::".to_string(), "super::".repeat(depth)] {
        for (at, _) in code.match_indices(&path) {
            // The middle of a longer path or word, like `$crate::` or one `super::` more.
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            found.extend(heads(&code[at + path.len()..]).into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// The first names of what follows `crate::`: one, or those of a group in braces.
fn heads(rest: &str) -> Vec<String> {
    let word = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut found, mut nested, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => nested += 1,
            '}' if nested == 0 => {
                found.push(word(group[start..at].trim_start()));
                break;
            }
            '}' => nested -= 1,
            ',' if nested == 0 => {
                found.push(word(group[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn imports_are_found_in_every_form() {
    let check = |source: &str, depth: usize, expected: &[&str]| {
        let found: Vec<String> = imports(source, depth).into_iter().map(|(_, name)| name).collect();
        assert_eq!(found, expected, "{source}");
    };
    check("use crate::git::x;", 1, &["git"]);
    check("use crate::{kit::{a, b}, git, ipc::c};", 1, &["kit", "git", "ipc"]);
    check("use crate::{\n    kit::lock,\n    sync,\n};", 1, &["kit", "sync", ""]);
    check("fn f() -> crate::ipc::A { super::super::git::b() }", 2, &["ipc", "git"]);
    check("super::git::b()", 2, &[]);
    check("super::git::b()", 1, &["git"]);
    check("// crate::git\n/// [`crate::git`]\nlet x = 1; // crate::git", 1, &[]);
    assert_eq!((depth("src/git/mod.rs"), depth("src/git/a.rs"), depth("src/git/a/b.rs")), (1, 2, 3));
}

/// Where repositories are opened; tests may make their own.
#[test]
fn repositories_are_opened_in_the_git_room_alone() {
    let mut found = Vec::new();
    for file in files("src").into_iter().filter(|f| !f.starts_with("src/git/") && !f.ends_with("tests.rs")) {
        let source = text(&file);
        let product = source.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = product.lines().enumerate().filter(|(_, l)| l.contains("git2::Repository"));
        found.extend(lines.map(|(n, _)| format!("{file}:{}", n + 1)));
    }
    none("repositories opened past the git room", &found);
}

#[test]
fn no_test_sleeps() {
    let sleep = ["thread", "::", "sleep"].concat();
    let mut found = Vec::new();
    for file in [files("tests"), files("src"), files("benches")].concat() {
        // The clock's own, which all waiting goes through.
        if file == "src/kit/clock.rs" {
            continue;
        }
        let source = text(&file);
        let lines = source.lines().enumerate().filter(|(_, l)| l.contains(&sleep));
        found.extend(lines.map(|(n, _)| format!("{file}:{}", n + 1)));
    }
    none("sleeps; use crate::support::until, and kit::clock outside of tests", &found);
}

/// Words by which a test gives a machine only so much time, or measures how much it took.
const CLOCKS: &[&str] = &["Instant", ".elapsed()", "wait_until("];
/// Where they may stand: what all waits go through, the time a daemon has for its end, and moments of kills that are hit by chance.
const CLOCKS_ALLOWED: &[&str] =
    &["tests/support/mod.rs", "tests/support/wait.rs", "tests/machines/torture.rs", "tests/tidy/mod.rs"];

/// A limit on the time that something takes is red on a machine that is busy, and green when that machine is not.
#[test]
fn no_test_is_red_because_a_machine_is_slow() {
    let mut found = Vec::new();
    for file in files("tests").into_iter().filter(|f| !CLOCKS_ALLOWED.contains(&f.as_str())) {
        for (n, line) in text(&file).lines().enumerate() {
            if CLOCKS.iter().any(|word| line.contains(word)) {
                found.push(format!("{file}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    none("times that a busy machine may miss; use crate::support::until, or measure in benches/", &found);
}

/// Directories every machine has; below them only somebody's own ones tell where this was written.
const COMMON: &[&str] = &[
    "",
    "/",
    "/home",
    "/mnt",
    "/opt",
    "/private",
    "/private/tmp",
    "/root",
    "/srv",
    "/tmp",
    "/usr",
    "/usr/src",
    "/var",
];

#[test]
fn no_tracked_file_names_this_machine() {
    let out = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    if !out.status.success() {
        println!("not a repository: nothing is tracked here");
        return;
    }
    let mut places: BTreeSet<PathBuf> = root().ancestors().map(Path::to_path_buf).collect();
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = set("HOME").unwrap_or_default();
    places.extend(["CARGO_HOME", "CARGO_TARGET_DIR", "RUSTUP_HOME"].into_iter().filter_map(set));
    places.extend([home.join(".cargo"), home.join(".rustup"), home]);
    places.retain(|p| p.is_absolute() && !COMMON.contains(&p.to_str().unwrap()));
    let needles: Vec<String> = places.iter().map(|p| p.to_str().unwrap().to_string()).collect();
    let mut found = Vec::new();
    for file in String::from_utf8(out.stdout).unwrap().split_terminator('\0') {
        // A file removed but not yet recorded as such has nothing to say.
        let Ok(bytes) = fs::read(root().join(file)) else { continue };
        let source = String::from_utf8_lossy(&bytes);
        for (n, line) in source.lines().enumerate() {
            if needles.iter().any(|needle| names(line, needle)) {
                found.push(format!("{file}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    none("paths of this machine", &found);
}

/// Whether `line` has `place` as a whole path or the start of one.
fn names(line: &str, place: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || "_-.~$}>".contains(c);
    line.match_indices(place).any(|(at, _)| {
        !line[..at].ends_with(word) && !line[at + place.len()..].starts_with(|c| word(c) && c != '.')
    })
}
