//! Finds what is to be replaced: text in, spans out.
//!
//! The unit is a line, without its newline. In it the rules apply in their order, each to what the ones before have left. A line of
//! [`LINE_MAX`] bytes or more is taken in parts, and a part ends where no secret of up to [`SECRET_MAX`] bytes is divided. Where
//! units begin and end depends on the text alone, never on the pieces in which it arrives.

use super::Redactor;
use super::anchors::Seen;
use super::limits::{BATCH, LINE_MAX, LOOK_BACK, PASSES_MAX, SECRET_MAX};
use super::pem::{Block, Step};
use super::rules::PRIVATE_KEY;
use super::view::View;

/// A part of a text that does not stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Where the match begins; it may begin with a name that stays.
    pub head: usize,
    /// First byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
    /// What comes in its place.
    pub put: Put,
}

/// What comes in place of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// The token of this rule.
    Token(u16),
    /// Nothing: its token was put before.
    Nothing,
    /// Itself: it is a token. Only within a line.
    Same,
}

/// What a scan must know of the text before.
#[derive(Debug, Default)]
pub(super) struct State {
    mode: Mode,
    /// Whether a word or token ends where the text goes on, so that none begins there.
    joined: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Mode {
    #[default]
    Text,
    /// In a private key block.
    Block(Block),
    /// In a secret longer than any limit; it ends before the next blank or quote, or with its line.
    Erase { to_line_end: bool },
}

impl State {
    /// Whether new text changes nothing before a newline is in it or much of it is there.
    pub(super) fn waits_for_newline(&self) -> bool {
        !matches!(self.mode, Mode::Erase { .. })
    }
}

impl Redactor {
    /// Adds to `spans` what does not stay of the start of `text`, and answers how long that start is. `end` says that no more text
    /// follows; else what is left must come again, with more.
    pub(super) fn scan(&self, state: &mut State, text: &[u8], end: bool, spans: &mut Vec<Span>) -> usize {
        if !self.anchors.can_search() {
            // What cannot be checked is not shown.
            spans.push(Span { head: 0, start: 0, end: text.len(), put: Put::Token(PRIVATE_KEY) });
            return text.len();
        }
        let line = Line::default();
        let mut scan =
            Scan { redactor: self, text, end, spans, line, newlines: Newlines::default(), sealed: 0 };
        let mut at = 0;
        while at < text.len() {
            let next = match state.mode {
                Mode::Text => scan.text(state, at),
                Mode::Block(block) => scan.block(state, block, at),
                Mode::Erase { to_line_end } => Some(scan.erase(state, to_line_end, at)),
            };
            let Some(next) = next else { break };
            at = next;
        }
        at
    }
}

/// One run over a text. Its methods begin at a place and answer where to go on; `None` if more text is needed for that.
struct Scan<'a> {
    redactor: &'a Redactor,
    text: &'a [u8],
    end: bool,
    spans: &'a mut Vec<Span>,
    line: Line,
    newlines: Newlines,
    /// Behind the last newline of the text that is examined in one go.
    sealed: usize,
}

/// The unit at hand and what was seen in it; offsets count from its start.
#[derive(Default)]
struct Line {
    start: usize,
    end: usize,
    joined: bool,
    /// Whether its reader gets something else.
    veiled: bool,
    /// By rule, where its first anchor is; `usize::MAX` for none. Empty until there is one, as most text has none.
    first: Vec<usize>,
    rules: Vec<u16>,
    taken: Vec<Span>,
}

impl Scan<'_> {
    /// Lines, until a block begins or a long line is met.
    fn text(&mut self, state: &mut State, at: usize) -> Option<usize> {
        let Some(first) = self.line_end(at) else {
            return (self.text.len() - at >= LINE_MAX).then(|| self.long_line(state, at));
        };
        if self.sealed <= at {
            let window = &self.text[at..self.text.len().min(at + BATCH)];
            self.sealed = memchr::memrchr(b'\n', window).map_or(self.text.len(), |n| at + n + 1);
        }
        let redactor = self.redactor;
        self.line.begin(at, first, state.joined);
        for place in redactor.anchors.places(&self.text[at..self.sealed]) {
            let (start, end) = (at + place.start, at + place.end);
            if end > self.line.end {
                if let Some(at) = self.close_line(state) {
                    return Some(at);
                }
                let after = (self.line.end + 1).min(start);
                let head = after + memchr::memrchr(b'\n', &self.text[after..start]).map_or(0, |n| n + 1);
                if let Some(long) = self.quiet_lines(state, after, head) {
                    return Some(self.leave(state, long));
                }
                let Some(tail) = self.line_end(head) else { return Some(self.leave(state, head)) };
                self.line.begin(head, tail, false);
            }
            let line = &self.text[self.line.start..self.line.end];
            match redactor.anchors.judge(line, place.from(self.line.start - at)) {
                Some(Seen::Begin { at }) => return Some(self.begin_block(state, at)),
                Some(seen) => self.note(seen),
                None => {}
            }
        }
        if let Some(at) = self.close_line(state) {
            return Some(at);
        }
        let long = self.quiet_lines(state, (self.line.end + 1).min(self.sealed), self.sealed);
        Some(self.leave(state, long.unwrap_or(self.sealed)))
    }

    /// Goes on at `next`, the start of a line.
    fn leave(&mut self, state: &mut State, next: usize) -> usize {
        state.joined = false;
        next
    }

    /// The lines of a stretch without any anchor. Answers where a long one begins.
    fn quiet_lines(&mut self, state: &mut State, mut at: usize, end: usize) -> Option<usize> {
        while !self.redactor.always.is_empty() && at < end {
            let Some(tail) = self.line_end(at) else { return Some(at) };
            self.line.begin(at, tail, false);
            self.close_line(state);
            at = tail + 1;
        }
        None
    }

    /// The first part of a line that has [`LINE_MAX`] bytes or more from here.
    fn long_line(&mut self, state: &mut State, at: usize) -> usize {
        let redactor = self.redactor;
        let part = &self.text[at..at + LINE_MAX];
        let safe = at + LINE_MAX - SECRET_MAX;
        let mut candidates = Vec::new();
        self.line.begin(at, at + LINE_MAX, state.joined);
        for place in redactor.anchors.places(part) {
            match redactor.anchors.judge(part, place) {
                Some(Seen::Begin { at }) => return self.begin_block(state, at),
                Some(Seen::Rule { rule, at: offset }) => {
                    if at + offset < safe && redactor.rules[usize::from(rule)].undecided_run().is_some() {
                        candidates.push((at + offset, rule));
                    }
                    self.note(Seen::Rule { rule, at: offset });
                }
                Some(token) => self.note(token),
                None => {}
            }
        }
        let before = self.spans.len();
        if let Some(at) = self.close_line(state) {
            return at;
        }
        let mut cut = safe.max(self.line.taken_until(safe));
        let endless = if cut == at + LINE_MAX {
            // The last one before the cut runs into it.
            self.spans.iter().rfind(|s| s.head < safe && s.end == cut).and_then(|s| token_of(s.put))
        } else {
            let found = undecided(redactor, part, at, self.line.taken_before(safe), &candidates);
            if let Some((start, rule)) = found {
                cut = at + LINE_MAX;
                self.spans.retain(|s| s.start < start);
                self.spans.push(Span { head: start, start, end: cut, put: Put::Token(rule) });
            }
            found.map(|(_, rule)| rule)
        };
        if let Some(rule) = endless {
            state.mode = Mode::Erase { to_line_end: redactor.rules[usize::from(rule)].may_hold_blanks() };
        }
        while self.spans.len() > before && self.spans.last().is_some_and(|s| s.start >= cut) {
            self.spans.pop();
        }
        state.joined = cut > safe || !is_word_start(part, cut - at);
        cut
    }

    /// Ends the unit at hand where a private key block begins.
    fn begin_block(&mut self, state: &mut State, offset: usize) -> usize {
        self.line.end = self.line.start + offset;
        let earlier = self.close_line(state);
        earlier.unwrap_or_else(|| self.open_block(state))
    }

    /// Goes on with a private key block behind the unit at hand.
    fn open_block(&mut self, state: &mut State) -> usize {
        let at = self.line.end;
        self.spans.push(Span { head: at, start: at, end: at, put: Put::Token(PRIVATE_KEY) });
        state.mode = Mode::Block(Block::default());
        at
    }

    fn block(&mut self, state: &mut State, block: Block, at: usize) -> Option<usize> {
        let (length, mode) = match block.step(&self.text[at..], self.end) {
            Step::Wait => return None,
            Step::More(length, block) => (length, Mode::Block(block)),
            Step::Over(length) => (length, Mode::Text),
        };
        self.spans.push(Span { head: at, start: at, end: at + length, put: Put::Nothing });
        *state = State { mode, joined: true };
        Some(at + length)
    }

    fn erase(&mut self, state: &mut State, to_line_end: bool, at: usize) -> usize {
        let rest = &self.text[at..];
        let stops = |b: &u8| {
            *b == b'\n' || !to_line_end && (b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'`'))
        };
        let length = rest.iter().position(stops);
        let end = at + length.unwrap_or(rest.len());
        self.spans.push(Span { head: at, start: at, end, put: Put::Nothing });
        if length.is_some() {
            *state = State { mode: Mode::Text, joined: true };
        }
        end
    }

    /// Where the line that goes on at `at` ends. `None` if that is not known, or it is a long line.
    fn line_end(&mut self, at: usize) -> Option<usize> {
        match self.newlines.next(self.text, at) {
            None if self.end && self.text.len() - at < LINE_MAX => Some(self.text.len()),
            found => found,
        }
    }

    fn note(&mut self, seen: Seen) {
        let line = &mut self.line;
        match seen {
            Seen::Rule { rule, at } => {
                line.first.resize(self.redactor.rules.len(), usize::MAX);
                let first = &mut line.first[usize::from(rule)];
                if *first == usize::MAX {
                    line.rules.push(rule);
                }
                *first = at.min(*first);
            }
            Seen::Token { start, end } => {
                if line.taken.last().is_none_or(|t| t.end <= start) {
                    line.taken.push(Span { head: start, start, end, put: Put::Same });
                }
            }
            Seen::Veil => line.veiled = true,
            Seen::Begin { .. } => {}
        }
    }

    /// Applies the rules to the unit at hand. Where a private key block begins that only its reader sees, the unit ends, and that
    /// place is answered.
    fn close_line(&mut self, state: &mut State) -> Option<usize> {
        let redactor = self.redactor;
        let line = &mut self.line;
        let mut text = &self.text[line.start..line.end];
        let mut view = std::mem::take(&mut line.veiled).then(|| View::of(text));
        let block = view
            .as_ref()
            .and_then(|view| Some(view.back(begin_in(redactor, &view.text)?..view.text.len()).start));
        if let Some(block) = block {
            text = &text[..block];
            line.end = line.start + block;
            view = Some(View::of(text));
        }
        line.rules.extend(&redactor.always);
        line.rules.sort_unstable();
        line.rules.dedup();
        line.taken.retain(|t| t.end <= text.len());
        // What one rule takes may part the text for one that looked before; what a second run would find goes with the first.
        for _ in 0..PASSES_MAX {
            let before = line.taken.len();
            if let Some(view) = &view {
                apply_to_view(redactor, view, line.joined, &mut line.taken);
            }
            for rule in &line.rules {
                let first = line.first.get(usize::from(*rule)).filter(|first| **first != usize::MAX);
                let from = first.map_or(0, |first| first.saturating_sub(LOOK_BACK));
                apply(redactor, *rule, text, from, line.joined, &mut line.taken);
            }
            if line.taken.len() == before {
                break;
            }
        }
        for rule in line.rules.drain(..) {
            if let Some(first) = line.first.get_mut(usize::from(rule)) {
                *first = usize::MAX;
            }
        }
        let gone = line.taken.iter().filter(|t| t.put != Put::Same);
        self.spans.extend(gone.map(|t| Span {
            head: t.head + line.start,
            start: t.start + line.start,
            end: t.end + line.start,
            put: t.put,
        }));
        block.map(|_| self.open_block(state))
    }
}

impl Line {
    fn begin(&mut self, start: usize, end: usize, joined: bool) {
        (self.start, self.end, self.joined, self.veiled) = (start, end, joined, false);
        self.taken.clear();
    }

    /// Behind what was taken or is a token and whose match begins before `place`, both counted from the start of the text.
    fn taken_before(&self, place: usize) -> usize {
        let last = self.taken.iter().rfind(|t| t.head + self.start < place);
        last.map_or(0, |t| t.end + self.start)
    }

    /// The same if it reaches beyond `place`.
    fn taken_until(&self, place: usize) -> usize {
        self.taken_before(place).max(place)
    }
}

/// Adds to `taken` what `rule` finds between what is taken already, from `from` on.
fn apply(redactor: &Redactor, rule: u16, text: &[u8], from: usize, joined: bool, taken: &mut Vec<Span>) {
    let definition = &redactor.rules[usize::from(rule)];
    let mut found = Vec::new();
    let mut gap = 0;
    for n in 0..=taken.len() {
        let gap_end = taken.get(n).map_or(text.len(), |t| t.start);
        let mut at = gap.max(from);
        while at < gap_end {
            let Some(m) = definition.find(&text[..gap_end], at) else { break };
            let start = m.whole.start;
            let glued = if start == gap { gap > 0 || joined } else { !is_word_start(text, start) };
            if definition.wants_word() && glued {
                at = start + 1;
                continue;
            }
            at = m.whole.end;
            found.extend(m.replace.map(|r| Span {
                head: start,
                start: r.start,
                end: r.end,
                put: Put::Token(rule),
            }));
        }
        gap = taken.get(n).map_or(gap_end, |t| t.end);
    }
    if !found.is_empty() {
        taken.append(&mut found);
        taken.sort_unstable_by_key(|t| t.start);
    }
}

/// Where in `text` a private key block begins.
fn begin_in(redactor: &Redactor, text: &[u8]) -> Option<usize> {
    redactor.anchors.places(text).find_map(|place| match redactor.anchors.judge(text, place) {
        Some(Seen::Begin { at }) => Some(at),
        _ => None,
    })
}

/// Adds to `taken` what the rules find in what a reader gets of a line.
fn apply_to_view(redactor: &Redactor, view: &View, joined: bool, taken: &mut Vec<Span>) {
    let mut rules: Vec<(u16, usize)> = redactor.always.iter().map(|rule| (*rule, 0)).collect();
    for place in redactor.anchors.places(&view.text) {
        if let Some(Seen::Rule { rule, at }) = redactor.anchors.judge(&view.text, place) {
            rules.push((rule, at.saturating_sub(LOOK_BACK)));
        }
    }
    rules.sort_unstable();
    rules.dedup_by_key(|(rule, _)| *rule);
    let mut seen: Vec<Span> = taken
        .iter()
        .map(|t| {
            let place = view.forth(t.start..t.end);
            Span { head: place.start, start: place.start, end: place.end, put: Put::Same }
        })
        .collect();
    for (rule, from) in rules {
        apply(redactor, rule, &view.text, from, joined, &mut seen);
    }
    let found = seen.iter().filter(|s| s.put != Put::Same && s.start < s.end).map(|s| {
        let place = view.back_whole(s.start..s.end);
        Span { head: view.back(s.head..s.end).start, start: place.start, end: place.end, put: s.put }
    });
    taken.extend(found);
    taken.sort_unstable_by_key(|t| t.start);
}

/// The first of `candidates` from `covered` on that may have begun a secret longer than `part`, which begins at `at`: all behind it
/// could belong to one.
fn undecided(
    redactor: &Redactor,
    part: &[u8],
    at: usize,
    covered: usize,
    candidates: &[(usize, u16)],
) -> Option<(usize, u16)> {
    let mut rules: Vec<u16> = candidates.iter().map(|(_, rule)| *rule).collect();
    rules.sort_unstable();
    rules.dedup();
    let first = rules.into_iter().filter_map(|rule| {
        let run = redactor.rules[usize::from(rule)].undecided_run()?;
        let tail = at + part.iter().rposition(|b| !run(*b)).map_or(0, |n| n + 1);
        candidates.iter().find(|(start, of)| *of == rule && *start >= tail.max(covered))
    });
    first.min().copied()
}

/// Whether no letter or digit is before `at`; the letter of an escape like `\n` is none.
fn is_word_start(text: &[u8], at: usize) -> bool {
    match &text[..at] {
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => true,
        [.., before] => !before.is_ascii_alphanumeric(),
        [] => true,
    }
}

fn token_of(put: Put) -> Option<u16> {
    match put {
        Put::Token(rule) => Some(rule),
        _ => None,
    }
}

/// Where the next newline is. Remembers what was searched, so that no byte is searched twice.
#[derive(Default)]
struct Newlines {
    from: usize,
    to: usize,
    /// The first newline from `from` on, if there is one before `to`.
    found: Option<usize>,
}

impl Newlines {
    /// The next newline from `at` on, if the line up to it is no long one.
    fn next(&mut self, text: &[u8], at: usize) -> Option<usize> {
        let limit = text.len().min(at + LINE_MAX);
        let is_known = self.from <= at && self.found.is_some_and(|n| at <= n);
        if !is_known {
            let searched = self.from <= at && self.found.is_none() && at < self.to;
            let start = if searched { self.to.min(limit) } else { at };
            let found = memchr::memchr(b'\n', &text[start..limit]).map(|n| start + n);
            *self = Newlines { from: at, to: limit.max(start), found };
        }
        self.found.filter(|n| *n < limit)
    }
}
