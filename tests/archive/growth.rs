//! What becomes of a file that grows, moves, is compressed or written anew: every byte is kept once.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use ox::sessions::archive::limits::{FILE_MAX, LINE_MAX};
use ox::sessions::archive::{Error, How, Which};

use super::{CLAUDE, CODEX, PROJECT, Scene, claude, codex, token};

fn only(name: &str, how: How) -> BTreeMap<String, How> {
    BTreeMap::from([(name.to_owned(), how)])
}

fn s1() -> String {
    format!("{CLAUDE}/s1.jsonl")
}

#[test]
fn growth_is_a_further_frame_and_what_is_unchanged_costs_no_read() {
    let scene = Scene::new();
    scene.put(&s1(), &claude("s1", 0..100), 20);
    assert_eq!(scene.ran(), only("s1", How::New));
    let before = scene.archive.find("s1").unwrap().unwrap();
    let bytes = fs::read(scene.archive.dir().join("00000001.zst")).unwrap();
    for _ in 0..3 {
        let done = scene.run();
        assert_eq!((done.opened, done.read, done.copied), (0, 0, vec![]));
    }
    scene.append(&s1(), &claude("s1", 100..103), 10);
    let done = scene.run();
    assert_eq!((done.copied[0].how, done.copied.len()), (How::Grown, 1));
    assert_eq!(done.added, claude("s1", 100..103).len() as u64);
    assert!(done.read < 3 * 4096 + 2 * done.added, "{done:?}");
    let after = scene.archive.find("s1").unwrap().unwrap();
    assert_eq!((after.id, after.title.as_str()), (before.id, "prompt 0"));
    let longer = fs::read(scene.archive.dir().join("00000001.zst")).unwrap();
    assert!(longer.starts_with(&bytes) && longer.len() as u64 == after.length);
    assert!(scene.bytes_of("s1") == claude("s1", 0..103));
    // Touched, and nothing else: it is looked through once.
    scene.append(&s1(), b"", 9);
    assert_eq!(scene.ran(), only("s1", How::Known));
    assert_eq!(scene.run().opened, 0);
    assert_eq!(scene.files(), 1);
}

#[test]
fn what_is_written_anew_is_another_version_beside_the_old_one() {
    let scene = Scene::new();
    let first = claude("s1", 0..50);
    scene.put(&s1(), &first, 20);
    scene.run();
    // Cut off.
    let second = claude("s1", 0..20);
    scene.put(&s1(), &second, 19);
    assert_eq!(scene.ran(), only("s1", How::Rewritten));
    // Written anew, and longer; also with the same beginning, in another file of the same name.
    let third = claude("s1", 60..200);
    scene.put(&s1(), &third, 18);
    assert_eq!(scene.ran(), only("s1", How::Rewritten));
    let fourth = [claude("s1", 60..150), claude("s1", 300..400)].concat();
    scene.remove(&s1());
    scene.put(&s1(), &fourth, 17);
    assert_eq!(scene.ran(), only("s1", How::Rewritten));
    for (word, bytes) in
        [("s1@1", &first), ("s1@2", &second), ("s1@3", &third), ("s1@4", &fourth), ("s1", &fourth)]
    {
        assert!(scene.bytes_of(word) == *bytes, "{word}");
    }
    // As it was before: that is there.
    scene.put(&s1(), &second, 16);
    assert_eq!(scene.ran(), only("s1", How::Known));
    assert_eq!(scene.files(), 4);
    assert!(scene.archive.find("s1@5").unwrap().is_err());
    let done = scene.run();
    assert_eq!((done.opened, scene.archive.sums().unwrap().sessions), (0, 1));
}

#[test]
fn the_same_content_elsewhere_is_known_again() {
    let scene = Scene::new();
    let (name, text) = ("rollout-2026-11-30T09-00-00-a", codex("a", PROJECT, 9));
    let (day, moved) = (format!("{CODEX}/{name}.jsonl"), format!(".codex/archived_sessions/{name}.jsonl"));
    scene.put(&day, &text, 20);
    assert_eq!(scene.ran(), only(name, How::New));
    // Compressed, moved, and both.
    scene.remove(&day);
    scene.put(&format!("{day}.zst"), &zstd::encode_all(&text[..], 3).unwrap(), 20);
    assert_eq!(scene.ran(), only(name, How::Known));
    scene.remove(&format!("{day}.zst"));
    scene.put(&moved, &text, 20);
    assert_eq!(scene.ran(), only(name, How::Known));
    // It goes on there.
    scene.append(&moved, &text.repeat(3), 5);
    assert_eq!(scene.ran(), only(name, How::Grown));
    scene.remove(&moved);
    let long = text.repeat(10);
    scene.put(&day, &long, 4);
    assert_eq!(scene.ran(), only(name, How::Grown));
    // And under another name, if it is long enough to be told from others.
    scene.put(".codex/archived_sessions/rollout-other.jsonl", &long, 4);
    assert_eq!(scene.ran(), only(name, How::Known));
    assert_eq!(scene.files(), 1);
    assert!(scene.bytes_of(name) == long);
    assert_eq!(scene.run().opened, 0);
    // First seen compressed, it comes back as what it is.
    let packed = zstd::encode_all(&codex("b", PROJECT, 5)[..], 3).unwrap();
    scene.put(&format!("{CODEX}/rollout-1-b.jsonl.zst"), &packed, 20);
    assert_eq!(scene.ran(), only("rollout-1-b", How::New));
    assert!(
        scene.bytes_of("b@1") == codex("b", PROJECT, 5)
            && scene.bytes_of("rollout-1-b") == codex("b", PROJECT, 5)
    );
}

#[test]
fn a_last_line_that_is_still_being_written_waits() {
    let mut scene = Scene::new();
    let whole = claude("s1", 0..3);
    let cut = whole.len() - 30;
    scene.now = "2026-12-01T00:00:00Z".parse().unwrap();
    scene.put(&s1(), &whole[..cut], 0);
    scene.run();
    assert!(scene.bytes_of("s1") == claude("s1", 0..2));
    scene.append(&s1(), &whole[cut..], 0);
    assert_eq!(scene.ran(), only("s1", How::Grown));
    assert!(scene.bytes_of("s1") == whole);
    // One without its newline that is JSON is one.
    let no_newline = &claude("s1", 3..4)[..claude("s1", 3..4).len() - 1];
    scene.append(&s1(), no_newline, 0);
    scene.run();
    assert!(scene.bytes_of("s1") == [&whole[..], no_newline].concat());
    assert_eq!(scene.run().opened, 0);
    scene.append(&s1(), b"\n", 0);
    scene.append(&s1(), &claude("s1", 4..5), 0);
    assert_eq!(scene.ran(), only("s1", How::Grown));
    assert!(scene.bytes_of("s1") == claude("s1", 0..5));
    // What nobody will end is kept as it is.
    scene.append(&s1(), b"{\"type\":\"us", 1);
    scene.run();
    assert!(scene.bytes_of("s1") == [claude("s1", 0..5), b"{\"type\":\"us".to_vec()].concat());
    assert_eq!((scene.files(), scene.run().opened), (1, 0));
}

#[test]
fn a_text_that_grows_is_redacted_as_a_whole() {
    let scene = Scene::new();
    let text = format!("{CLAUDE}/s1/tool-results/r.txt");
    scene.put(&s1(), &claude("s1", 0..1), 20);
    let kind = "RSA PRIVATE KEY";
    let body = "MIIEowIBAAKCAQEAx4UbaDzY5xjW6hc9jwN0mX33XpTDVW7aDzY5xjW6hc9jwN0m\n".repeat(4);
    scene.put(&text, format!("-----BEGIN {kind}-----\n{body}").as_bytes(), 20);
    scene.run();
    scene.append(&text, format!("{body}-----END {kind}-----\nend\n").as_bytes(), 19);
    scene.run();
    let kept = String::from_utf8(scene.bytes_of("s1/tool-results/r.txt")).unwrap();
    assert!(!kept.contains("MIIE") && kept.ends_with("end\n"), "{kept}");
}

#[test]
fn limits_end_a_run_and_the_next_one_goes_on() {
    let mut scene = Scene::new();
    let all = claude("s1", 0..100);
    scene.put(&s1(), &all, 20);
    scene.put(&format!("{CLAUDE}/s2.jsonl"), &claude("s2", 0..100), 19);
    scene.bytes = 5000;
    let mut runs = 0;
    loop {
        let done = scene.run();
        runs += 1;
        assert!(done.added < 5000 + 500, "the last line is whole: {done:?}");
        if !done.more {
            break;
        }
    }
    let size = all.len() + claude("s2", 0..100).len();
    assert!(runs >= size / 5500 && runs < size / 5000 + 4, "{runs}");
    assert!(scene.bytes_of("s1") == all && scene.bytes_of("s2") == claude("s2", 0..100));
    assert_eq!(scene.files(), 2);
}

#[test]
fn what_is_too_large_or_damaged_is_named_and_hides_nothing_else() {
    let scene = Scene::new();
    scene.put(&s1(), &claude("s1", 0..1), 20);
    let large = format!("{CLAUDE}/large.jsonl");
    scene.put(&large, &claude("large", 0..1), 20);
    fs::OpenOptions::new()
        .write(true)
        .open(scene.home().join(&large))
        .unwrap()
        .set_len(FILE_MAX + 1)
        .unwrap();
    scene.touch(&scene.home().join(&large), 20);
    let mut packed = zstd::encode_all(&codex("b", PROJECT, 5).repeat(1000)[..], 3).unwrap();
    packed.truncate(packed.len() - 3);
    scene.put(&format!("{CODEX}/rollout-1-b.jsonl.zst"), &packed, 20);
    let done = scene.run();
    assert_eq!(done.copied.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["s1"]);
    let told: Vec<String> = done.left.iter().map(|left| left.why.clone()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|why| why.contains("larger than")), "{told:?}");
    assert_eq!(scene.files(), 1);
    let again = scene.run();
    assert_eq!((again.left_count, again.copied.len()), (2, 0));
    assert!(again.opened <= 4, "only what is cut off is tried again: {again:?}");
    // A line that is too long for memory passes as text.
    let filler = "x".repeat(usize::try_from(LINE_MAX).unwrap() + 100);
    let long =
        String::from_utf8(claude("s3", 0..2)).unwrap().replace("prompt 1", &format!("{} {filler}", token()));
    scene.put(
        &format!("{CLAUDE}/s3.jsonl"),
        (long.clone() + &String::from_utf8(claude("s3", 2..3)).unwrap()).as_bytes(),
        20,
    );
    scene.run();
    let kept = String::from_utf8(scene.bytes_of("s3")).unwrap();
    assert!(kept.contains(&filler) && !kept.contains(&token()) && kept.lines().count() == 3);
}

#[test]
fn a_damaged_archive_is_named_and_a_lost_file_is_copied_anew() {
    let scene = Scene::new();
    scene.put(&s1(), &claude("s1", 0..50), 20);
    scene.run();
    let file = scene.archive.dir().join("00000001.zst");
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(10).unwrap();
    let version = scene.archive.find("s1").unwrap().unwrap();
    let read = io::copy(&mut scene.archive.text(&version).unwrap(), &mut io::sink());
    assert!(read.is_err());
    scene.append(&s1(), &claude("s1", 50..51), 10);
    assert_eq!(scene.ran(), only("s1", How::Rewritten));
    assert!(scene.bytes_of("s1") == claude("s1", 0..51));
    let index = scene.archive.dir().join("index.db");
    fs::write(
        &index,
        b"no database, whatever it is called; it is long enough to be looked at, or so it seems to be",
    )
    .unwrap();
    for name in ["index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(scene.archive.dir().join(name));
    }
    let error = scene.try_run(Which::All).unwrap_err();
    assert!(matches!(error, Error::Index { .. }) && error.to_string().contains("index.db"), "{error}");
    assert!(file.exists());
}
