//! Where a rule could match: one pass over the text for the literals that every match holds.

use aho_corasick::AhoCorasick;

use super::pattern::Rule;
use super::pem;
use super::rules::{Gate, PRIVATE_KEY};
use super::view;

/// How every token of this program and its relatives begins.
const TOKEN_START: &str = "[REDACTED";
/// Quotes, backslashes and brackets between a name and `=`; blanks there.
const QUOTES_MAX: usize = 12;
const BLANKS_MAX: usize = 8;

/// The literals of all rules.
pub(super) struct Anchors {
    /// `None` if it could not be built, which the limits on rules exclude.
    searcher: Option<AhoCorasick>,
    what: Vec<Anchor>,
}

struct Anchor {
    text: Vec<u8>,
    means: Means,
}

#[derive(Clone, Copy)]
enum Means {
    Rule(u16, Gate),
    Literal(u16),
    Token,
    Veil,
}

/// What was seen somewhere in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// This rule could match. `at` is where its anchor begins.
    Rule { rule: u16, at: usize },
    /// A private key block begins.
    Begin { at: usize },
    /// A token stands here; nothing in it is text any more.
    Token { start: usize, end: usize },
    /// What a reader gets of this line is something else, see [`view`](super::view).
    Veil,
}

impl Anchors {
    /// Those of `rules`, and their tokens.
    pub(super) fn of(rules: &[Rule]) -> Anchors {
        let mut what = vec![Anchor { text: TOKEN_START.into(), means: Means::Token }];
        what.extend(view::veils().map(|text| Anchor { text, means: Means::Veil }));
        for (n, rule) in (0u16..).zip(rules) {
            if let Some(row) = rule.row() {
                let of_row = row.anchors.iter();
                what.extend(
                    of_row.map(|(text, gate)| Anchor { text: (*text).into(), means: Means::Rule(n, *gate) }),
                );
                continue;
            }
            if let Some(text) = rule.text() {
                what.push(Anchor { text: text.into(), means: Means::Literal(n) });
            }
            if !rule.token().starts_with(TOKEN_START) {
                what.push(Anchor { text: rule.token().into(), means: Means::Token });
            }
        }
        let texts = what.iter().map(|a| &a.text);
        let searcher = AhoCorasick::builder().ascii_case_insensitive(true).build(texts).ok();
        Anchors { searcher, what }
    }

    /// Whether the literals can be searched for at all; without that no text may be shown.
    pub(super) fn can_search(&self) -> bool {
        self.searcher.is_some()
    }

    /// The places of all literals in `text`, whatever is around them, in the order of their ends.
    pub(super) fn places<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Place> + 'a {
        let found = self.searcher.as_ref().and_then(|s| s.try_find_overlapping_iter(text).ok());
        found.into_iter().flatten().map(|m| Place {
            anchor: m.pattern().as_usize(),
            start: m.start(),
            end: m.end(),
        })
    }

    /// Whether `name` ends like one whose value is a secret.
    pub(super) fn is_name(&self, name: &str) -> bool {
        let seen = view::View::of(name.as_bytes()).text;
        self.places(&seen).any(|place| {
            let means = self.what[place.anchor].means;
            place.end == seen.len() && matches!(means, Means::Rule(_, Gate::Assigned))
        })
    }

    /// What the literal at `place` means, if what is around it in `line` fits.
    pub(super) fn judge(&self, line: &[u8], place: Place) -> Option<Seen> {
        let anchor = &self.what[place.anchor];
        let (start, end) = (place.start, place.end);
        let exact = || line[start..end] == *anchor.text;
        match anchor.means {
            Means::Rule(PRIVATE_KEY, _) => {
                (exact() && pem::is_begin(&line[start..])).then_some(Seen::Begin { at: start })
            }
            Means::Rule(rule, gate) => {
                let fits = match gate {
                    Gate::Run(_) | Gate::Dotted(..) | Gate::AfterHex => {
                        exact() && gate.fits(line, start, end)
                    }
                    _ => gate.fits(line, start, end),
                };
                fits.then_some(Seen::Rule { rule, at: start })
            }
            Means::Literal(rule) => exact().then_some(Seen::Rule { rule, at: start }),
            Means::Veil => view::is_veil(line, start).then_some(Seen::Veil),
            Means::Token if !exact() => None,
            Means::Token if anchor.text != TOKEN_START.as_bytes() => Some(Seen::Token { start, end }),
            Means::Token => {
                let rest = &line[end..];
                let name = rest.iter().take_while(|b| is_token_byte(**b)).count();
                (rest.get(name) == Some(&b']')).then_some(Seen::Token { start, end: end + name + 1 })
            }
        }
    }
}

/// A literal in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    anchor: usize,
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
}

impl Place {
    /// The same place counted from `base`.
    pub(super) fn from(self, base: usize) -> Place {
        Place { start: self.start - base, end: self.end - base, ..self }
    }
}

fn is_token_byte(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-')
}

impl Gate {
    /// Whether what is around `line[start..end]` leaves a match possible.
    fn fits(self, line: &[u8], start: usize, end: usize) -> bool {
        let rest = &line[end..];
        match self {
            Gate::Run(n) => rest.len() >= n && rest[..n].iter().all(is_run_byte),
            Gate::Dotted(least, most) => {
                let run = rest.iter().take(most + 1).take_while(|b| is_run_byte(b)).count();
                (least..=most).contains(&run) && rest.get(run) == Some(&b'.')
            }
            Gate::AfterHex => {
                rest.first().is_some_and(u8::is_ascii_digit)
                    && start >= 32
                    && line[start - 32..start].iter().all(u8::is_ascii_hexdigit)
            }
            Gate::Assigned => is_assigned(rest),
            Gate::Export => {
                let blanks = rest.iter().take_while(|b| is_blank(**b)).count();
                let name = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'_';
                let word = rest[blanks..].iter().take_while(name).count();
                blanks > 0 && rest.get(blanks + word) == Some(&b'=')
            }
            Gate::Scheme => {
                let more = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'+' | b'.');
                let tail = rest.iter().take(16).take_while(more).count();
                rest[tail..].starts_with(b"://")
            }
            Gate::UserInfo => {
                let end = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'/' | b'@' | b'"' | b'\'');
                let stop = rest.iter().position(end).unwrap_or(rest.len());
                // A run that ends nowhere counts: it may go on behind a cut.
                rest.get(stop).is_none_or(|b| *b == b'@') && rest[..stop].contains(&b':')
            }
            Gate::Argument => matches!(rest.first(), Some(b' ' | b'\t' | b'=')),
            Gate::UserToken => {
                let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
                // A run that ends nowhere counts: it may go on behind a cut.
                rest.iter().find(|b| !word(b)).is_none_or(|b| *b == b'@')
            }
            Gate::Word | Gate::Begin => true,
        }
    }
}

/// What keys are made of.
fn is_run_byte(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'/' | b'=')
}

/// Whether a name that ends before `rest` gets a value.
fn is_assigned(rest: &[u8]) -> bool {
    let quote = |b: &&u8| matches!(**b, b'"' | b'\'' | b'`' | b'\\' | b']');
    let quotes = rest.iter().take(QUOTES_MAX).take_while(quote).count();
    let blanks = rest[quotes..].iter().take(BLANKS_MAX).take_while(|b| is_blank(**b)).count();
    matches!(rest.get(quotes + blanks), Some(b'=' | b':'))
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}
