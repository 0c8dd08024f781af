//! Pieces of what an edit wrote: hashes of each line and of each two neighbours, with the lines around where these are known.

use serde::{Serialize, Serializer};

use super::hash::{Hash, WIDTH, alone, pair};
use crate::kit::hex::{hex, unhex};

/// Lines that an edit wrote one below the other, with the line above and the one below where the edit shows them.
///
/// Written as hexadecimal digits, which no rule for secrets takes for one, of a byte that tells whether there is a line above (1) and below (2),
/// a hash of each line that was written (0 if it has
/// none of its own), and a hash of each two neighbours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    pub(super) above: bool,
    pub(super) below: bool,
    /// Of each line that was written.
    pub(super) alone: Vec<Hash>,
    /// Of each two neighbours, those around included.
    pub(super) pairs: Vec<Hash>,
}

/// A line as an edit left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Without white space; `None` where there is a secret in it.
    pub text: Option<String>,
    /// The edit wrote it; else it stood there.
    pub written: bool,
}

impl Run {
    /// The pieces of lines that stand one below the other.
    pub(super) fn all(lines: &[Piece]) -> Vec<Run> {
        let (mut runs, mut from) = (Vec::new(), 0);
        while from < lines.len() {
            if !lines[from].written {
                from += 1;
                continue;
            }
            let to = lines[from..].iter().position(|line| !line.written).map_or(lines.len(), |n| from + n);
            runs.push(Run::of(lines, from, to));
            from = to;
        }
        runs
    }

    fn of(lines: &[Piece], from: usize, to: usize) -> Run {
        let (above, below) = (from > 0, to < lines.len());
        let around = &lines[from - usize::from(above)..to + usize::from(below)];
        let both = |two: &[Piece]| match (&two[0].text, &two[1].text) {
            (Some(one), Some(other)) => pair(one, other),
            _ => 0,
        };
        Run {
            above,
            below,
            alone: lines[from..to].iter().map(|line| line.text.as_deref().map_or(0, alone)).collect(),
            pairs: around.windows(2).map(both).collect(),
        }
    }

    /// Reads what was written; `None` of anything else.
    pub(super) fn read(text: &str) -> Option<Run> {
        let bytes = unhex(text)?;
        let (flags, hashes) = bytes.split_first()?;
        let hash = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        let all: Vec<Hash> = hashes.chunks(WIDTH).map(hash).collect();
        let (above, below) = (flags & 1 != 0, flags & 2 != 0);
        let around = usize::from(above) + usize::from(below);
        // n lines have n - 1 + around pairs.
        let lines = (all.len() + 1).checked_sub(around).filter(|n| n % 2 == 0)? / 2;
        if hashes.len() % WIDTH != 0 || lines == 0 {
            return None;
        }
        Some(Run { above, below, alone: all[..lines].to_vec(), pairs: all[lines..].to_vec() })
    }

    /// How many lines were written.
    pub fn lines(&self) -> usize {
        self.alone.len()
    }

    /// How many lines it knows of, those around included.
    pub(super) fn known(&self) -> usize {
        self.alone.len() + usize::from(self.above) + usize::from(self.below)
    }

    /// Whether the line at `at` of those it knows of was written.
    pub(super) fn is_written(&self, at: usize) -> bool {
        at >= usize::from(self.above) && at - usize::from(self.above) < self.alone.len()
    }
}

impl Serialize for Run {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut bytes = vec![u8::from(self.above) | u8::from(self.below) << 1];
        for hash in self.alone.iter().chain(&self.pairs) {
            bytes.extend_from_slice(&hash.to_be_bytes()[8 - WIDTH..]);
        }
        to.serialize_str(&hex(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, written: bool) -> Piece {
        Piece { text: Some(text.to_owned()), written }
    }

    #[test]
    fn a_run_is_read_as_it_was_written_and_anything_else_is_refused() {
        for (above, below, n) in
            [(false, false, 1), (true, false, 1), (false, true, 2), (true, true, 3), (false, false, 4)]
        {
            let mut lines: Vec<Piece> = (0..n).map(|i| piece(&format!("line{i}"), true)).collect();
            lines.splice(0..0, above.then(|| piece("above", false)));
            lines.extend(below.then(|| piece("below", false)));
            let [run] = &Run::all(&lines)[..] else { panic!("{lines:?}") };
            assert_eq!((run.lines(), run.known(), run.pairs.len()), (n, lines.len(), lines.len() - 1));
            let text: String = serde_json::from_value(serde_json::to_value(run).unwrap()).unwrap();
            assert_eq!(Run::read(&text).unwrap(), *run);
            assert_eq!((run.is_written(0), run.is_written(lines.len() - 1)), (!above, !below));
        }
        for bad in ["", "AA", "AAAA", "!", "AwAAAAAAAA"] {
            assert_eq!(Run::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_line_with_a_secret_is_hashed_neither_alone_nor_with_its_neighbour() {
        let secret = Piece { text: None, written: true };
        let lines = [piece("one", true), secret, piece("three", true), piece("four", true)];
        let [run] = &Run::all(&lines)[..] else { panic!() };
        assert_eq!((run.pairs[0], run.pairs[1], run.alone[1]), (0, 0, 0));
        assert_ne!(run.pairs[2], 0);
    }

    #[test]
    fn what_stood_there_already_parts_two_runs() {
        let lines = ["a", "b", "c", "d", "e"].map(|text| piece(text, matches!(text, "b" | "d")));
        let runs = Run::all(&lines);
        let told: Vec<_> = runs.iter().map(|run| (run.lines(), run.above, run.below)).collect();
        assert_eq!(told, [(1, true, true), (1, true, true)]);
        assert!(Run::all(&[piece("a", false)]).is_empty());
    }
}
