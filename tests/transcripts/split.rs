//! parse(any split of the bytes) = parse(whole), through `tail`, for the reader of each program, also when whoever reads is ended in between.
//! `tests/fuzz` tries the same for longer.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use ox::harness::transcript::Reader;
use ox::tail::{Cursor, Tail};
use proptest::prelude::*;

use super::{Fact, fixtures, lines};

/// What the lines of the whole tell, and what is remembered then.
fn whole(kind: &str, bytes: &[u8]) -> (Vec<Fact>, String) {
    let (mut reader, mut facts) = (Reader::of(kind).unwrap(), Vec::new());
    let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    lines(&bytes[..end]).into_iter().for_each(|line| reader.line(line, &mut facts));
    (facts, serde_json::to_string(&reader).unwrap())
}

/// The same of a file that grows up to each place, where all that is remembered may be saved and taken up by another.
fn in_pieces(kind: &str, bytes: &[u8], cuts: &[(usize, bool)], path: &Path) -> (Vec<Fact>, String) {
    let (mut reader, mut facts) = (Reader::of(kind).unwrap(), Vec::new());
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    let (mut tail, mut from) = (Tail::new(path, Cursor::default()), 0);
    for (to, again) in cuts.iter().copied().chain([(bytes.len(), false)]) {
        file.write_all(&bytes[from..to]).unwrap();
        from = to;
        while tail.step(&mut |_, line| reader.line(line, &mut facts)).unwrap().more {}
        if again {
            let cursor = serde_json::to_string(&tail.cursor()).unwrap();
            tail = Tail::new(path, serde_json::from_str(&cursor).unwrap());
            reader = serde_json::from_str(&serde_json::to_string(&reader).unwrap()).unwrap();
        }
    }
    (facts, serde_json::to_string(&reader).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agt_11_it_does_not_matter_how_a_transcript_arrives(
        n in any::<usize>(),
        length in any::<u32>(),
        places in prop::collection::vec((any::<u32>(), any::<bool>()), 0..12),
    ) {
        for (kind, program) in [("claude-code", "claude-"), ("codex", "codex-"), ("gemini", "gemini-")] {
            let files = fixtures(program);
            let file = &files[n % files.len()];
            let at = |place: u32, within: usize| {
                usize::try_from(u64::from(place) * within as u64 / u64::from(u32::MAX)).unwrap()
            };
            let bytes = &file[..at(length, file.len())];
            let mut cuts: Vec<(usize, bool)> =
                places.iter().map(|(place, again)| (at(*place, bytes.len()), *again)).collect();
            cuts.sort_unstable();
            let dir = tempfile::tempdir().unwrap();
            let got = in_pieces(kind, bytes, &cuts, &dir.path().join("t.jsonl"));
            prop_assert_eq!(got, whole(kind, bytes));
        }
    }
}
