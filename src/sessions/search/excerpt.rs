//! Where in a session the words stand.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::super::raw::{Entry, Kind, Line};
use crate::kit::file::NOFOLLOW;
use crate::kit::text::plain;

/// A transcript is looked through so far for places to show, in bytes.
const READ_MAX: u64 = 64 << 20;
/// Characters before and behind a word.
const AROUND: usize = 60;

/// A place in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The entry's number.
    pub seq: Option<i64>,
    /// Who said it.
    pub kind: Kind,
    /// A word with what stands around it, on one line.
    pub text: String,
}

/// Collects the first entries that have one of some words, in capitals or not. Those that have more of them than others are not preferred.
#[derive(Debug)]
pub struct Excerpts {
    words: Vec<String>,
    most: usize,
    found: Vec<Excerpt>,
}

impl Excerpts {
    /// At most `most` that have one of these words.
    pub fn new(words: &[String], most: usize) -> Excerpts {
        let words = words.iter().map(|word| word.trim_end_matches('*').to_lowercase()).collect();
        Excerpts { words, most, found: Vec::new() }
    }

    /// Looks at the next entry.
    pub fn take(&mut self, entry: &Entry) {
        if self.found.len() < self.most {
            let parts = [&entry.content, &entry.tool_input, &entry.tool_output, &entry.tool_name];
            let place = parts.into_iter().find_map(|part| around(&plain(part, true), &self.words));
            self.found.extend(place.map(|text| Excerpt { seq: entry.seq, kind: entry.kind, text }));
        }
    }

    /// What was found.
    pub fn found(self) -> Vec<Excerpt> {
        self.found
    }
}

/// The first `most` entries of the transcript at `path` that have one of these words.
///
/// # Errors
/// It cannot be read.
pub fn excerpts(path: &Path, words: &[String], most: usize) -> io::Result<Vec<Excerpt>> {
    let file = OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(path)?;
    let mut lines = BufReader::new(file.take(READ_MAX));
    let (mut line, mut excerpts) = (Vec::new(), Excerpts::new(words, most));
    while excerpts.found.len() < most {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if let Line::Entry(entry) = Line::parse(&line) {
            excerpts.take(&entry);
        }
    }
    Ok(excerpts.found)
}

/// The first of the words in `text` with what stands around it.
fn around(text: &str, words: &[String]) -> Option<String> {
    // Lower case may have other lengths, so places are counted in characters of both.
    let lower: Vec<char> = text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect();
    let of = |word: &String| {
        let word: Vec<char> = word.chars().collect();
        lower.windows(word.len().max(1)).position(|window| window == word).map(|at| (at, word.len()))
    };
    let (at, len) = words.iter().filter_map(of).min()?;
    let (start, end) = (at.saturating_sub(AROUND), (at + len + AROUND).min(lower.len()));
    let part: String = text.chars().skip(start).take(end - start).collect();
    let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
    let (before, behind) = (if start > 0 { "…" } else { "" }, if end < lower.len() { "…" } else { "" });
    Some(format!("{before}{part}{behind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_shown_with_what_stands_around_it() {
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(around("Fix the\n  PARSER now", &words(&["parser"])).unwrap(), "Fix the PARSER now");
        assert_eq!(around("nothing", &words(&["parser"])), None);
        let long = format!("{}İ Straße {}", "a".repeat(100), "b".repeat(100));
        let told = around(&long, &words(&["straße"])).unwrap();
        assert!(told.starts_with("…a") && told.contains(" Straße b") && told.ends_with("b…"), "{told}");
        assert_eq!(around("", &words(&[""])), None);
    }
}
