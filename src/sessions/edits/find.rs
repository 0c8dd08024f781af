//! Which lines of a text sessions wrote, by the hashes of their edits. Pure.
//!
//! Lines are followed in stretches: neighbours in the text that are neighbours in an edit, too. A stretch counts if there is enough of it to
//! be nobody else's. A line that an edit wrote once is in the text once: the place with the longest stretch has it. Where that leaves
//! several edits for a line, these decide, in this order:
//!
//! 1. who had not written it yet when the line was committed is out; if more of their edit stands around the line than of anybody else's,
//!    git has taken it for an older one that reads the same, and it is open which of the two it is;
//! 2. the longest stretch, and whatever is there from its first to its last line;
//! 3. the newest, for it put the line where there was none; but of one that wrote a file anew that it had read, it is not known which lines
//!    were there before: then who wrote the line before it, if the file was not committed in between without it, and else nobody.
//!
//! What is then still open is told as such, never guessed.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::hash::{Hash, alone, letters, normal, pair};
use super::limits::{LETTERS_MIN, MOVED_LINES_MIN, MOVED_PERCENT, PLACES_MAX};
use super::{Edit, Edited, Edits, Run};

/// Lines of a stretch that is not all of its run and yet speaks for itself: three in a row may be anybody's.
const SURE_LINES: usize = 4;
/// Lines that may be others between two stretches of one run.
const GAP_MAX: usize = 2;
/// Letters and digits of two neighbours by which stretches are looked for.
const SEED_LETTERS: usize = 2;

/// A session and what it wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// What it wrote.
    pub edits: Edits,
}

/// An edit of one of several sessions.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// The session, as the place in their list.
    pub session: usize,
    /// The edit.
    pub edit: &'a Edit,
}

/// Who wrote a line.
#[derive(Clone, Debug)]
pub enum Match<'a> {
    /// This edit; where `edit_is_known` is false another one of the session may have been it.
    Found {
        /// Who.
        author: Author<'a>,
        /// It was this edit of the session and no other.
        edit_is_known: bool,
        /// Where in what was written by one edit the line stands: which run, which line of it.
        at: (usize, usize),
    },
    /// One of these sessions, or nobody.
    Several(Vec<usize>),
    /// This session wrote the file anew, with the line in it.
    Rewritten(usize),
    /// No edit that is known.
    None,
}

/// A text to look into.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    letters: Vec<usize>,
    alone: Vec<Hash>,
    pairs: Vec<Hash>,
}

impl Text {
    pub(super) fn new(lines: &[String]) -> Text {
        let lines: Vec<String> = lines.iter().map(|line| normal(line)).collect();
        Text {
            letters: lines.iter().map(|line| letters(line)).collect(),
            alone: lines.iter().map(|line| alone(line)).collect(),
            pairs: lines.windows(2).map(|two| pair(&two[0], &two[1])).collect(),
        }
    }

    fn lines(&self) -> usize {
        self.letters.len()
    }
}

/// What has to be known beside a text and the edits.
pub(super) struct Around<'f> {
    /// The paths that the file has, or had.
    pub names: &'f [String],
    /// Whether a line may come from an edit that was made then.
    pub may_be: &'f dyn Fn(usize, Option<Timestamp>) -> May,
    /// Whether the file was committed between two times.
    pub committed_between: &'f dyn Fn(Option<Timestamp>, Option<Timestamp>) -> bool,
    /// Whether no file has this path: what was written there may be somewhere else.
    pub is_gone: &'f dyn Fn(&str) -> bool,
    /// Places in runs whose lines have been found elsewhere.
    pub taken: &'f HashSet<(usize, usize)>,
}

/// Whether an edit may have written a line, by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// It was made before the line was committed.
    Be,
    /// It was made before that commit was made anew, but behind the time that it has kept.
    BeSince,
    /// It was made later.
    NotBe,
}

/// A run of an edit in an index.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    author: Author<'a>,
    run: &'a Run,
}

/// Neighbours of a text that are neighbours in a run.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    run: usize,
    /// The first line, in the run and in the text.
    at: usize,
    from: usize,
    lines: usize,
    letters: usize,
    complete: bool,
}

impl Stretch {
    /// Whether it goes on in run and text where another one ends, but for what was changed in between.
    fn follows(&self, other: &Stretch) -> bool {
        let near = |end: usize, next: usize| next.checked_sub(end).is_some_and(|gap| gap <= GAP_MAX);
        near(other.at + other.lines, self.at) && near(other.from + other.lines, self.from)
    }
}

/// An edit that may have written a line.
#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    author: Author<'a>,
    place: (usize, usize),
    lines: usize,
    complete: bool,
    /// Only because the commit was made anew.
    since: bool,
}

impl Candidate<'_> {
    fn time(&self) -> (Option<Timestamp>, i64) {
        (self.author.edit.at.0, self.author.edit.seq)
    }
}

/// The edits of files, by the hashes of what they wrote.
#[derive(Debug, Default)]
pub(super) struct Index<'a> {
    runs: Vec<Piece<'a>>,
    pairs: HashMap<Hash, Vec<(usize, usize)>>,
    alone: HashMap<Hash, Vec<(usize, usize)>>,
}

impl<'a> Index<'a> {
    fn add(&mut self, session: usize, file: &'a Edited) {
        for edit in &file.edits {
            for run in &edit.runs {
                let n = self.runs.len();
                self.runs.push(Piece { author: Author { session, edit }, run });
                for (at, hash) in run.pairs.iter().enumerate().filter(|(_, hash)| **hash != 0) {
                    self.pairs.entry(*hash).or_default().push((n, at));
                }
                for (at, hash) in run.alone.iter().enumerate().filter(|(_, hash)| **hash != 0) {
                    self.alone.entry(*hash).or_default().push((n, at + usize::from(run.above)));
                }
            }
        }
    }

    /// The edits of all that `sessions` wrote into the file, and into one that has become it before it was ever committed.
    pub(super) fn of(sessions: &'a [Known], text: &Text, around: &Around<'_>) -> Index<'a> {
        let mut index = Index::default();
        let pairs: HashSet<Hash> = text.pairs.iter().copied().collect();
        for (n, session) in sessions.iter().enumerate() {
            for file in &session.edits.files {
                let is_it = around.names.contains(&file.path)
                    || has_become(file, &pairs) && (around.is_gone)(&file.path) && has_moved(n, file, text);
                if is_it {
                    index.add(n, file);
                }
            }
        }
        index
    }

    fn stretches(&self, text: &Text) -> Vec<Stretch> {
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        // What stands there over and over says nothing, and to follow each place of it would take all memory there is.
        let mut times: HashMap<Hash, usize> = HashMap::new();
        text.pairs.iter().for_each(|hash| *times.entry(*hash).or_default() += 1);
        for from in 0..text.pairs.len() {
            let places = self.pairs.get(&text.pairs[from]).map_or(&[][..], Vec::as_slice);
            let is_seed = text.letters[from] + text.letters[from + 1] >= SEED_LETTERS;
            if !is_seed || places.len() > PLACES_MAX || times[&text.pairs[from]] > PLACES_MAX {
                continue;
            }
            for (run, at) in places {
                if seen.contains(&(*run, *at, from)) {
                    continue;
                }
                let pairs = &self.runs[*run].run.pairs;
                let same = |at: usize, from: usize| pairs[at] != 0 && pairs[at] == text.pairs[from];
                let back = (1..=from.min(*at)).take_while(|n| same(at - n, from - n)).count();
                let most = (pairs.len() - at).min(text.pairs.len() - from);
                let forth = (1..most).take_while(|n| same(at + n, from + n)).count();
                let (at, from, lines) = (at - back, from - back, back + forth + 2);
                seen.extend((0..lines - 1).map(|n| (*run, at + n, from + n)));
                all.push(self.stretch(*run, at, from, lines, text));
            }
        }
        let mut count: HashMap<Hash, usize> = HashMap::new();
        text.alone.iter().for_each(|hash| *count.entry(*hash).or_default() += 1);
        for (from, hash) in text.alone.iter().enumerate().filter(|(_, hash)| **hash != 0) {
            let places = self.alone.get(hash).map_or(&[][..], Vec::as_slice);
            if places.len() > PLACES_MAX || count[hash] > 1 {
                continue;
            }
            for (run, at) in places {
                let is_in_one = seen.contains(&(*run, *at, from))
                    || at
                        .checked_sub(1)
                        .zip(from.checked_sub(1))
                        .is_some_and(|(at, from)| seen.contains(&(*run, at, from)));
                if !is_in_one {
                    all.push(self.stretch(*run, *at, from, 1, text));
                }
            }
        }
        self.trusted(all)
    }

    fn stretch(&self, run: usize, at: usize, from: usize, lines: usize, text: &Text) -> Stretch {
        let letters = text.letters[from..from + lines].iter().sum();
        let complete = lines == self.runs[run].run.known();
        Stretch { run, at, from, lines, letters, complete }
    }

    /// Those that speak for themselves, and what stands near one of these.
    fn trusted(&self, all: Vec<Stretch>) -> Vec<Stretch> {
        let is_sure = |s: &Stretch| s.letters >= LETTERS_MIN && (s.complete || s.lines >= SURE_LINES);
        let mut sure: HashMap<usize, Vec<Stretch>> = HashMap::new();
        all.iter()
            .filter(|s| s.lines > 1 && is_sure(s))
            .for_each(|s| sure.entry(s.run).or_default().push(*s));
        let is_near = |s: &Stretch| {
            sure.get(&s.run).is_some_and(|all| all.iter().any(|of| s.follows(of) || of.follows(s)))
        };
        all.into_iter().filter(|s| is_sure(s) || is_near(s)).collect()
    }

    /// Some edit of a session.
    pub(super) fn first_of(&self, session: usize) -> Option<Author<'a>> {
        self.runs.iter().map(|piece| piece.author).find(|author| author.session == session)
    }

    /// Who wrote each line of `text`.
    pub(super) fn matches(&self, text: &Text, around: &Around<'_>) -> Vec<Match<'a>> {
        let mut of_line: Vec<Vec<Candidate<'a>>> = vec![Vec::new(); text.lines()];
        // Of each line the longest stretch of an edit that is out, for it came later.
        let mut later: Vec<Option<(usize, usize)>> = vec![None; text.lines()];
        // Of each place in a run the longest stretch that it is in, and how many lines of the text have one as long.
        let mut best: HashMap<(usize, usize), (usize, usize)> = HashMap::new();
        for stretch in self.stretches(text) {
            let Piece { author, run } = self.runs[stretch.run];
            for n in 0..stretch.lines {
                let (line, place) = (stretch.from + n, (stretch.run, stretch.at + n));
                if !run.is_written(place.1) || around.taken.contains(&place) {
                    continue;
                }
                let may = (around.may_be)(line, author.edit.at.0);
                if may == May::NotBe {
                    // What was written anew as a whole has what stood there in it.
                    if !author.edit.whole {
                        later[line] = later[line].max(Some((stretch.lines, author.session)));
                    }
                    continue;
                }
                let since = may == May::BeSince;
                let Stretch { lines, complete, .. } = stretch;
                of_line[line].push(Candidate { author, place, lines, complete, since });
                let best = best.entry(place).or_default();
                match lines.cmp(&best.0) {
                    std::cmp::Ordering::Greater => *best = (lines, 1),
                    std::cmp::Ordering::Equal => best.1 += 1,
                    std::cmp::Ordering::Less => {}
                }
            }
        }
        let decided = of_line.into_iter().zip(later).map(|(mut all, later)| {
            all.retain(|candidate| best[&candidate.place].0 == candidate.lines);
            let longest = all.iter().map(|candidate| candidate.lines).max();
            let later = later.filter(|(lines, _)| longest.is_none_or(|longest| longest < *lines));
            match (decide(&all, &|candidate| best[&candidate.place].1, around), later) {
                (Match::Found { author, at, .. }, Some((_, session))) if author.session == session => {
                    Match::Found { author, edit_is_known: false, at }
                }
                (Match::Found { author, .. }, Some((_, session))) => {
                    let sessions = BTreeSet::from([author.session, session]);
                    Match::Several(sessions.into_iter().collect())
                }
                (Match::None, Some((_, session))) => Match::Several(vec![session]),
                (decided, _) => decided,
            }
        });
        decided.collect()
    }
}

/// Who of those that may have written a line did. `places` is how many lines of the text a candidate fits equally well.
fn decide<'a>(
    all: &[Candidate<'a>],
    places: &dyn Fn(&Candidate<'a>) -> usize,
    around: &Around<'_>,
) -> Match<'a> {
    let Some(longest) = all.iter().map(|c| c.lines).max() else { return Match::None };
    let kept: Vec<&Candidate<'a>> =
        all.iter().filter(|c| c.lines == longest || c.complete && c.lines > 1).collect();
    let sessions: BTreeSet<usize> = kept.iter().map(|c| c.author.session).collect();
    let several = |of: &[&Candidate<'a>]| {
        let sessions: BTreeSet<usize> = of.iter().map(|c| c.author.session).collect();
        Match::Several(sessions.into_iter().collect())
    };
    let wanted = kept.iter().map(|c| places(c)).max().unwrap_or_default();
    let Some(newest) = kept.iter().max_by_key(|c| c.time()) else { return Match::None };
    if wanted > 1 {
        let written: HashSet<(usize, usize)> = kept.iter().map(|c| c.place).collect();
        if sessions.len() > 1 || wanted > written.len() {
            return several(&kept);
        }
        let prompt = (newest.author.edit.prompt, &newest.author.edit.subagent);
        let edit_is_known = kept.iter().all(|c| (c.author.edit.prompt, &c.author.edit.subagent) == prompt);
        return Match::Found { author: newest.author, edit_is_known, at: newest.place };
    }
    if newest.author.edit.whole {
        let earlier = all.iter().filter(|c| c.place.0 != newest.place.0 && c.time() < newest.time());
        let earlier = earlier.filter(|c| !c.author.edit.whole).max_by_key(|c| (c.lines, c.time()));
        let Some(first) = earlier else { return Match::Rewritten(newest.author.session) };
        let is_sure = first.complete || first.lines >= SURE_LINES;
        // It was committed before the file was written anew.
        let is_older = newest.since && !first.since;
        if !is_older
            && (!is_sure || (around.committed_between)(first.author.edit.at.0, newest.author.edit.at.0))
        {
            return several(&[first, *newest]);
        }
        return Match::Found { author: first.author, edit_is_known: true, at: first.place };
    }
    Match::Found { author: newest.author, edit_is_known: true, at: newest.place }
}

/// Whether so much of what was written into `file` is in a text with these pairs that the one may have become the other.
fn has_become(file: &Edited, pairs: &HashSet<Hash>) -> bool {
    let all = file.edits.iter().flat_map(|edit| &edit.runs).flat_map(|run| &run.pairs);
    let (mut written, mut found) = (0, 0);
    all.for_each(|hash| {
        written += 1;
        found += usize::from(pairs.contains(hash));
    });
    found + 1 >= MOVED_LINES_MIN && found * 100 >= written * MOVED_PERCENT
}

/// Whether it has: by lines that are found in stretches.
fn has_moved(session: usize, file: &Edited, text: &Text) -> bool {
    let mut index = Index::default();
    index.add(session, file);
    let places = |s: Stretch| (s.at..s.at + s.lines).map(move |at| (s.run, at));
    let found: HashSet<(usize, usize)> = index.stretches(text).into_iter().flat_map(places).collect();
    let found = found.iter().filter(|(run, at)| index.runs[*run].run.is_written(*at)).count();
    let written: usize = index.runs.iter().map(|piece| piece.run.lines()).sum();
    found >= MOVED_LINES_MIN && found * 100 >= written * MOVED_PERCENT
}

#[cfg(test)]
mod tests {
    use super::super::hash::normal;
    use super::super::runs::Piece;
    use super::*;

    #[test]
    fn what_stands_in_a_text_over_and_over_is_not_followed_to_each_place() {
        let lines = |n: usize| vec!["return Err(none_of_it);".to_owned(); n];
        let pieces: Vec<Piece> =
            lines(60).iter().map(|line| Piece { text: Some(normal(line)), written: true }).collect();
        let edit = Edit { runs: Run::all(&pieces), ..Edit::default() };
        let file = Edited { path: "a".into(), edits: vec![edit] };
        let mut index = Index::default();
        index.add(0, &file);
        assert_eq!(index.stretches(&Text::new(&lines(60))).iter().filter(|s| s.lines == 60).count(), 1);
        assert!(index.stretches(&Text::new(&lines(20_000))).is_empty());
    }
}
