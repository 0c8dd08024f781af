//! The rows of the format, one by one.

use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A manifest that can be used, with `lines` in it.
fn manifest(lines: &str) -> Manifest {
    let manifest = Manifest::parse(format!("version 1\ninclude memory/\n{lines}\n").as_bytes());
    assert!(!manifest.is_fallback, "{lines:?}");
    manifest
}

fn reasons(manifest: &Manifest) -> Vec<(usize, &str)> {
    manifest.warnings.iter().map(|w| (w.line, w.reason)).collect()
}

#[test]
fn a_whole_manifest_is_read() {
    let text = "# comment\nversion 1\ninclude memory/\ninclude AGENTS.md\ndeny data/raw/\n\
        sync_interval_minutes 10\ngc_interval_days 30\nresolve auto data/\nresolve none data/proprietary/\n";
    let read = Manifest::parse(text.as_bytes());
    let expected = Manifest {
        includes: vec!["memory/".into(), "AGENTS.md".into()],
        denies: vec!["data/raw/".into()],
        sync_interval: 10 * MINUTE,
        names_sync_interval: true,
        gc_interval: 30 * DAY,
        resolve: Resolve { auto: vec!["data/".into()], none: vec!["data/proprietary/".into()] },
        is_fallback: false,
        warnings: Vec::new(),
    };
    assert_eq!(read, expected);
    assert_eq!(Manifest::parse(text.replace('\n', "\r\n").as_bytes()), expected);
    assert_eq!(Manifest::parse(format!("\u{feff}{text}").as_bytes()), expected);
    assert_eq!(Manifest::parse(text.trim_end().as_bytes()), expected);
}

#[test]
fn lines_are_trimmed_and_their_words_joined_by_one_space() {
    let check = |line: &str, include: &[&str]| {
        let read = manifest(line);
        assert_eq!(read.includes[1..], include.map_str(), "{line:?}");
        assert_eq!(reasons(&read), [], "{line:?}");
    };
    check("  \t include   docs/  ", &["docs/"]);
    check("include my  notes/", &["my notes/"]);
    check("include a # b", &["a # b"]);
    check("#include docs/", &[]);
    check("   # include docs/", &[]);
    check("   ", &[]);
    check("include docs/\ninclude docs/", &["docs/"]);
}

trait MapStr {
    fn map_str(&self) -> Vec<String>;
}

impl MapStr for &[&str] {
    fn map_str(&self) -> Vec<String> {
        self.iter().map(|s| (*s).to_owned()).collect()
    }
}

#[test]
fn what_is_not_understood_is_left_out_and_told() {
    let check = |line: &str, reason: &str| {
        let read = manifest(line);
        assert_eq!(reasons(&read), [(3, reason)], "{line:?}");
        assert_eq!((read.includes.len(), read.denies.len()), (1, 0), "{line:?}");
        assert_eq!((read.sync_interval, read.gc_interval), (5 * MINUTE, 7 * DAY));
        assert_eq!(read.resolve, Resolve::default(), "{line:?}");
    };
    check("include", "a directive needs a value");
    check("Include docs/", "the directive is unknown");
    check("future thing", "the directive is unknown");
    check("sync_interval_minutes soon", "the value is no whole number");
    check("sync_interval_minutes 5 6", "the value is no whole number");
    check("sync_interval_minutes 99999999999999999999", "the value is no whole number");
    check("gc_interval_days 1.5", "the value is no whole number");
    check("resolve auto", "resolve needs a mode and a path");
    check("resolve maybe data/", "the mode is neither auto nor none");
    check("resolve auto data/../docs/", "a path must not hold `..`");
    check("include ../x", "a path must not hold `..`");
    check("deny a..b", "a path must not hold `..`");
    check("include /etc", "a path must not begin with a slash");
    check("include !docs/", "a path must not begin with `!` or `-`");
    check("deny --stdin", "a path must not begin with `!` or `-`");
    check("include a\u{1}b", "a path must not hold control characters");
    check("include a\u{7f}", "a path must not hold control characters");
    let broken = Manifest::parse(b"version 1\ninclude memory/\ninclude \xff\n");
    assert_eq!(reasons(&broken), [(3, "the line is no UTF-8")]);
}

#[test]
fn numbers_are_clamped() {
    let check = |line: &str, sync: Duration, gc: Duration| {
        let read = manifest(line);
        assert_eq!((read.sync_interval, read.gc_interval), (sync, gc), "{line}");
        assert_eq!(reasons(&read), []);
    };
    check("", 5 * MINUTE, 7 * DAY);
    check("sync_interval_minutes 0", MINUTE, 7 * DAY);
    check("sync_interval_minutes -9223372036854775808", MINUTE, 7 * DAY);
    check("sync_interval_minutes 100000", 100_000 * MINUTE, 7 * DAY);
    // Far below what could overflow in any sum of times.
    check("sync_interval_minutes 9223372036854775807", 366 * DAY, 7 * DAY);
    check("gc_interval_days 0", 5 * MINUTE, DAY);
    check("gc_interval_days -3", 5 * MINUTE, DAY);
    check("gc_interval_days 90", 5 * MINUTE, 90 * DAY);
    check("gc_interval_days 9223372036854775807", 5 * MINUTE, 90 * DAY);
    check("sync_interval_minutes 3\nsync_interval_minutes 4", 4 * MINUTE, 7 * DAY);
}

#[test]
fn the_last_word_on_a_path_counts_and_its_first_place_stays() {
    let check = |lines: &str, includes: &[&str], denies: &[&str]| {
        let read = Manifest::parse(format!("version 1\n{lines}").as_bytes());
        assert_eq!((read.includes, read.denies), (includes.map_str(), denies.map_str()), "{lines}");
    };
    check("include a/\ninclude b/\ndeny a/", &["b/"], &["a/"]);
    check("include a/\ninclude b/\ndeny a/\ninclude a/", &["a/", "b/"], &[]);
    check("deny a/\ninclude z/\ninclude a/", &["a/", "z/"], &[]);
    check("include a\ninclude a/", &["a", "a/"], &[]);
}

#[test]
fn what_cannot_be_used_as_a_whole_is_replaced() {
    let check = |text: &str, reason: &'static str| {
        let read = Manifest::parse(text.as_bytes());
        assert_eq!(read, Manifest::fallback(reason), "{text:.60}");
        assert_eq!(read.includes.len(), 9);
        assert_eq!((read.sync_interval, read.gc_interval), (5 * MINUTE, 7 * DAY));
        assert!(read.is_fallback);
    };
    check("", "it names no version");
    check("include docs/\nsync_interval_minutes 9", "it names no version");
    check("version\ninclude docs/", "it names no version");
    check("version 2\ninclude docs/", "its version is unknown");
    check("version one\ninclude docs/", "its version is unknown");
    check("version 1 beta\ninclude docs/", "its version is unknown");
    check("version 1\nversion 2\ninclude docs/", "its version is unknown");
    check("version 1\nsync_interval_minutes 9\nresolve none x", "it includes nothing");
    check("version 1\ninclude docs/\ndeny docs/", "it includes nothing");
    check("version 1\ninclude ../x", "it includes nothing");
    let line = |length: usize| format!("version 1\ninclude docs/\n#{}\n", "x".repeat(length - 1));
    assert!(!Manifest::parse(line(limits::MANIFEST_LINE_MAX - 1).as_bytes()).is_fallback);
    check(&line(limits::MANIFEST_LINE_MAX), "a line is too long");
    let rules = |n: usize| (0..n).map(|i| format!("include d{i}/\n")).collect::<String>();
    let most = limits::MANIFEST_RULES_MAX;
    assert_eq!(Manifest::parse(format!("version 1\n{}", rules(most)).as_bytes()).includes.len(), most);
    check(&format!("version 1\n{}", rules(most + 1)), "it has too many rules");
    let noise = "nonsense x\n".repeat(limits::MANIFEST_WARNINGS_MAX + 5);
    assert_eq!(manifest(&noise).warnings.len(), limits::MANIFEST_WARNINGS_MAX);
}

#[test]
fn a_version_counts_wherever_it_stands() {
    let read = Manifest::parse(b"include docs/\nversion   01\nversion +1");
    assert!(!read.is_fallback);
    assert_eq!(read.includes, ["docs/"]);
}

#[test]
fn resolve_rules_are_the_files_own_after_the_forbidden_ones_went() {
    let check = |lines: &str, auto: &[&str], none: &[&str], warned: usize| {
        let read = manifest(lines);
        let expected = Resolve { auto: auto.map_str(), none: none.map_str() };
        assert_eq!(read.resolve, expected, "{lines}");
        assert_eq!(read.warnings.len(), warned, "{lines}");
    };
    check("", &["data/"], &[], 0);
    check("resolve auto logs/ and more", &["logs/"], &[], 0);
    check("resolve none x", &[], &["x"], 0);
    check("resolve auto a/\nresolve auto a/\nresolve none a/", &["a/"], &["a/"], 0);
    // Dropping all of them leaves none, not the default.
    check("resolve auto docs/", &[], &[], 1);
    for path in NEVER_AUTO {
        check(&format!("resolve auto {path}"), &[], &[], 1);
        check(&format!("resolve none {path}"), &[], &[path], 0);
    }
    check("resolve auto docs/deep/er.md", &[], &[], 1);
    check("resolve auto memory/2026/", &[], &[], 1);
    check("resolve auto SOUL.md.bak", &["SOUL.md.bak"], &[], 0);
    check("resolve auto docs-old/", &["docs-old/"], &[], 0);
    // A rule without a slash at its end reaches what only begins like it.
    check("resolve auto docs", &["docs"], &["docs/"], 0);
    check("resolve auto s", &["s"], &["sessions/"], 0);
    check("resolve auto SOUL.m", &["SOUL.m"], &["SOUL.md"], 0);
    // One that only looked like a rule leaves the default.
    check("resolve auto ../x", &["data/"], &[], 1);
}

fn check_patterns(lines: &str, between: &[&str]) {
    let patterns = Manifest::parse(format!("version 1\n{lines}").as_bytes()).patterns();
    let expected: Vec<&str> =
        ["/*", "!/*/"].into_iter().chain(between.iter().copied()).chain(["/.sageox/"]).collect();
    assert_eq!(patterns, expected, "{lines}");
}

#[test]
fn patterns_are_anchored_and_end_with_what_is_always_held() {
    check_patterns("include memory/\ninclude AGENTS.md", &["/memory/", "/AGENTS.md", "/agents/"]);
    check_patterns("include .sageox/\ninclude agents/\ninclude b/", &["/b/", "/agents/"]);
    check_patterns(
        "",
        &[
            "/SOUL.md",
            "/TEAM.md",
            "/MEMORY.md",
            "/AGENTS.md",
            "/memory/",
            "/docs/",
            "/coworkers/",
            "/agents/",
        ],
    );
}

#[test]
fn a_denied_path_goes_and_what_is_around_it_stays() {
    check_patterns("include docs/\ndeny docs/private/", &["/docs/", "!/docs/private/", "/agents/"]);
    check_patterns("deny docs/private/\ninclude docs/", &["/docs/", "!/docs/private/", "/agents/"]);
    check_patterns("include docs/open/\ninclude m/\ndeny docs/", &["/m/", "!/docs/", "/agents/"]);
    // A deny comes after every include that could bring it back.
    check_patterns(
        "include d/\ndeny d/a/b/\ninclude d/a/\ndeny d/a/c",
        &["/d/", "/d/a/", "!/d/a/b/", "!/d/a/c", "/agents/"],
    );
    check_patterns("include m/\ndeny other/place/", &["/m/", "/agents/"]);
    // All files at the top are held, so one that is denied there has to be taken out.
    check_patterns("include m/\ndeny secret.md", &["/m/", "!/secret.md", "/agents/"]);
    check_patterns("include m/*\ndeny m/private/", &["/m/*", "!/m/private/", "/agents/"]);
    check_patterns("include m/\ndeny m/*.key", &["/m/", "!/m/*.key", "/agents/"]);
}

#[test]
fn what_is_always_held_cannot_be_denied() {
    check_patterns(
        "include m/\ndeny agents/\ndeny .sageox/",
        &["/m/", "!/agents/", "!/.sageox/", "/agents/"],
    );
    check_patterns("include m/\ndeny agents/private/", &["/m/", "/agents/", "!/agents/private/"]);
    assert_eq!(reasons(&manifest("deny agents/")), [(0, "agents/ and .sageox/ are always held")]);
}

#[test]
fn sec_03_a_manifest_is_read_from_its_own_clone_only() {
    let (clone, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let check = |reason: &'static str| {
        assert_eq!(Manifest::load(clone.path()), Manifest::fallback(reason));
    };
    check("there is no sync.manifest");
    std::fs::write(outside.path().join(NAME), "version 1\ninclude leak/\n").unwrap();
    symlink(outside.path(), clone.path().join(DIR)).unwrap();
    check("the file cannot be read");
    std::fs::remove_file(clone.path().join(DIR)).unwrap();
    std::fs::create_dir(clone.path().join(DIR)).unwrap();
    symlink(outside.path().join(NAME), clone.path().join(DIR).join(NAME)).unwrap();
    check("the file cannot be read");
    std::fs::remove_file(clone.path().join(DIR).join(NAME)).unwrap();
    std::fs::write(clone.path().join(DIR).join(NAME), "x".repeat(limits::MANIFEST_MAX + 1)).unwrap();
    check("the file is too large");
    std::fs::write(clone.path().join(DIR).join(NAME), "version 1\ninclude m/\n").unwrap();
    assert_eq!(Manifest::load(clone.path()).includes, ["m/"]);
}

/// Lines that come close to being a manifest.
fn lines() -> impl Strategy<Value = String> {
    let line = r"(version 1|include|deny|resolve auto|resolve none|gc_interval_days|[a-z]{0,4}) ?[-!/.*a-d\\ \x01é]{0,9}";
    prop::collection::vec(line, 0..12).prop_map(|lines| format!("version 1\n{}", lines.join("\n")))
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in any::<Vec<u8>>()) {
        Manifest::parse(&bytes).patterns();
    }

    #[test]
    fn sec_02_no_pattern_leaves_the_clone(text in lines()) {
        let read = Manifest::parse(text.as_bytes());
        let patterns = read.patterns();
        for pattern in &patterns {
            let path = pattern.strip_prefix('!').unwrap_or(pattern);
            prop_assert!(path.starts_with('/') && !path.starts_with("//"), "{}", pattern);
            prop_assert!(!path.contains("..") && !path.contains(char::is_control), "{}", pattern);
        }
        prop_assert_eq!(&patterns[..2], ["/*", "!/*/"]);
        prop_assert_eq!(patterns.last().map(String::as_str), Some("/.sageox/"));
        let agents = patterns.iter().rposition(|p| p == "/agents/").unwrap();
        prop_assert!(!patterns[agents..].contains(&"!/agents/".to_owned()));
        for path in NEVER_AUTO {
            let longest = |rules: &[String]| {
                rules.iter().filter(|r| path.starts_with(r.as_str())).map(String::len).max()
            };
            let (auto, none) = (longest(&read.resolve.auto), longest(&read.resolve.none));
            prop_assert!(auto.is_none() || none >= auto, "{} {:?}", path, read.resolve);
        }
    }

    #[test]
    fn saying_it_twice_changes_nothing(text in lines()) {
        let (once, mut twice) = (Manifest::parse(text.as_bytes()), Manifest::parse(format!("{text}\n{text}").as_bytes()));
        twice.warnings = once.warnings.clone();
        prop_assert_eq!(once, twice);
    }
}
