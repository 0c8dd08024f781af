//! What a transcript tells does not depend on how its bytes arrived, nor on how often whoever reads it was ended: each reader is given
//! the lines of the whole, and beside it what `tail` hands out of a file that grows piece by piece, with everything that is remembered
//! saved and taken up again in between.
//!
//! The last bytes of the input say where it is cut, so that a transcript as it is may be a seed.
#![no_main]

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ox::harness::transcript::{Fact, Reader};
use ox::tail::{Cursor, Tail};

/// Bytes at the end of the input that are no transcript.
const CONTROL: usize = 24;
const PROGRAMS: [&str; 3] = ["claude-code", "codex", "gemini"];

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("ox-fuzz-{}.jsonl", std::process::id())));

fn read(reader: &mut Reader, line: &[u8], facts: &mut Vec<Fact>) {
    reader.line(line, facts);
}

fn saved(reader: &Reader) -> String {
    serde_json::to_string(reader).expect("a reader can be saved")
}

/// All lines that are whole and not too long.
fn whole(program: &str, bytes: &[u8], line_max: usize) -> (Vec<Fact>, String) {
    let (mut reader, mut facts) = (Reader::of(program).expect("a program"), Vec::new());
    let Some(end) = bytes.iter().rposition(|b| *b == b'\n') else { return (facts, saved(&reader)) };
    for line in bytes[..end].split(|b| *b == b'\n').filter(|line| line.len() <= line_max) {
        read(&mut reader, line, &mut facts);
    }
    (facts, saved(&reader))
}

/// The same as it comes through a file that grows.
fn in_pieces(program: &str, bytes: &[u8], line_max: usize, control: &[u8]) -> (Vec<Fact>, String) {
    let (mut reader, mut facts) = (Reader::of(program).expect("a program"), Vec::new());
    drop(File::create(&*FILE).expect("a file"));
    let mut file = OpenOptions::new().append(true).open(&*FILE).expect("the file");
    let mut tail = Tail::new(&FILE, Cursor::default()).with_line_max(line_max);
    let mut from = 0;
    let cuts = control.chunks_exact(3).map(|c| {
        let at = usize::from(u16::from_le_bytes([c[0], c[1]])) * bytes.len() / usize::from(u16::MAX);
        (at.min(bytes.len()), c[2])
    });
    let mut cuts: Vec<(usize, u8)> = cuts.collect();
    cuts.sort_unstable();
    cuts.push((bytes.len(), 0));
    for (to, what) in cuts {
        file.write_all(&bytes[from..to]).expect("room");
        from = to;
        let again_within = what & 4 != 0;
        while tail
            .step(&mut |_, line| {
                if again_within {
                    reader = serde_json::from_str(&saved(&reader)).expect("what was saved");
                }
                read(&mut reader, line, &mut facts);
            })
            .expect("a file that can be read")
            .more
        {}
        if what & 1 != 0 {
            let cursor = serde_json::to_string(&tail.cursor()).expect("a cursor");
            tail = Tail::new(&FILE, serde_json::from_str(&cursor).expect("what was saved"))
                .with_line_max(line_max);
        } else if what & 2 != 0 {
            tail.close();
        }
        if what & 8 != 0 {
            reader = serde_json::from_str(&saved(&reader)).expect("what was saved");
        }
    }
    (facts, saved(&reader))
}

fuzz_target!(|data: &[u8]| {
    let (bytes, control) = data.split_at(data.len().saturating_sub(CONTROL));
    let line_max = match control.first() {
        Some(n) if n % 8 == 0 => 64 + usize::from(*n) * 4,
        _ => 10 << 20,
    };
    for program in PROGRAMS {
        let expected = whole(program, bytes, line_max);
        let got = in_pieces(program, bytes, line_max, control);
        assert_eq!(got.0, expected.0, "{program}: facts");
        assert_eq!(got.1, expected.1, "{program}: what is remembered");
    }
});
