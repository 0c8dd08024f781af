//! One rule: what it matches and what stands for it.

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use super::limits;
use super::rules::BuiltIn;
use super::value::{self, Named, is_ordinary};
use super::words;

/// Between a name and its value (as `Gate::Assigned` allows it): an operator, or a type and `=` as in `password: String = `.
const ASSIGN: &str = r"[ \t]{0,8}(?::[ \t]?&?[A-Za-z]{2,12}[ \t]?=|:=|=>|={1,2}|:)[ \t]{0,8}";
/// After a name in quotes: the closing quote, perhaps escaped, and a bracket as in `config['name']`.
const NAME_END: &str = r#"\\*["'`]\]?"#;

/// How a built-in rule is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A private key block, which [`pem`](super::pem) finds.
    Block,
    /// A pattern. If it has a group, only that is replaced; if the group is `bare`, all is, unless it is an ordinary word.
    Plain(&'static str),
    /// A pattern with no letter or digit before it.
    Word(&'static str),
    /// A name and a value. After a name in quotes only the value is replaced, so JSON stays JSON; else both are. A value without
    /// quotes that is an ordinary word (`api_key = default_api_key_of_tests`) is none.
    Assigned {
        /// Pattern of the name, in any case.
        key: &'static str,
        /// Pattern of the value, in any case.
        value: &'static str,
    },
    /// A pattern whose groups are values; one that is a secret is replaced. Followed by a group `more` it is an expression, and none.
    Judged(&'static str, Named),
    /// As `Assigned`, with a value of at least 8 characters in quotes.
    Quoted {
        /// Pattern of the name, in any case.
        key: &'static str,
        /// The same of a name that may also mean a directory; its value must not begin like a path.
        path_key: &'static str,
        /// Pattern of a name in upper case that also takes a value without quotes, as environment files have it.
        env_key: &'static str,
    },
}

/// A rule: a built-in one or a line of a `REDACT.md`.
pub struct Rule {
    name: String,
    token: String,
    matcher: Matcher,
}

enum Matcher {
    BuiltIn(&'static BuiltIn, OnceLock<Option<Regex>>),
    Literal(String),
    Regex(Regex),
}

/// A match of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// All of it. The search goes on behind it.
    pub whole: Range<usize>,
    /// What is replaced; `None` if it is no secret after all.
    pub replace: Option<Range<usize>>,
}

impl Match {
    fn all(whole: Range<usize>) -> Match {
        Match { replace: Some(whole.clone()), whole }
    }

    /// The same if what it replaces is a secret.
    fn judged(self, text: &[u8], named: Named) -> Match {
        let replace = self.replace.filter(|value| value::is_secret(&text[value.clone()], named));
        // What is none may hold the next name.
        let whole = if replace.is_some() { self.whole } else { self.whole.start..self.whole.start + 1 };
        Match { whole, replace }
    }
}

impl fmt::Debug for Rule {
    /// Without what it looks for: that may be a secret itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.name, self.token)
    }
}

impl Rule {
    /// A rule of the table.
    pub(super) fn built_in(rule: &'static BuiltIn) -> Rule {
        let matcher = Matcher::BuiltIn(rule, OnceLock::new());
        Rule { name: rule.name.to_owned(), token: rule.token.to_owned(), matcher }
    }

    /// A rule that replaces `text`.
    pub(super) fn literal(name: String, token: String, text: String) -> Rule {
        Rule { name, token, matcher: Matcher::Literal(text) }
    }

    /// A rule that replaces what `regex` matches.
    pub(super) fn regex(name: String, token: String, regex: Regex) -> Rule {
        Rule { name, token, matcher: Matcher::Regex(regex) }
    }

    /// What findings call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands for a secret, with its brackets.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What it is for, in words: of a built-in rule what it matches, of another whether it is a text or a pattern, which may be a secret itself.
    pub fn about(&self) -> &'static str {
        match &self.matcher {
            Matcher::BuiltIn(row, _) => words::about(row.name),
            Matcher::Literal(_) => "a text of its own",
            Matcher::Regex(_) => "a pattern of its own",
        }
    }

    /// Whether it is one of this program's own.
    pub fn is_built_in(&self) -> bool {
        self.row().is_some()
    }

    /// What it looks for, as it is written down.
    pub(super) fn pattern(&self) -> String {
        match &self.matcher {
            Matcher::BuiltIn(row, _) => format!("{:?}", row.form),
            Matcher::Literal(text) => text.clone(),
            Matcher::Regex(regex) => regex.as_str().to_owned(),
        }
    }

    /// The row of the table, if it is a built-in rule.
    pub(super) fn row(&self) -> Option<&'static BuiltIn> {
        match &self.matcher {
            Matcher::BuiltIn(row, _) => Some(row),
            _ => None,
        }
    }

    /// The literal that is the whole rule.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.matcher {
            Matcher::Literal(text) => Some(text),
            _ => None,
        }
    }

    /// Whether no literal tells where it could match.
    pub(super) fn is_unannounced(&self) -> bool {
        matches!(self.matcher, Matcher::Regex(_))
    }

    /// Whether only whole words match.
    pub(super) fn wants_word(&self) -> bool {
        self.row().is_some_and(|row| matches!(row.form, Form::Word(_)))
    }

    /// Whether a match may hold blanks.
    pub(super) fn may_hold_blanks(&self) -> bool {
        self.row().is_none_or(|row| matches!(row.form, Form::Quoted { .. }) || row.name == "export_secret")
    }

    /// Of a rule whose matches are not decided after a few bytes: which bytes can stand between its beginning and that.
    pub(super) fn undecided_run(&self) -> Option<fn(u8) -> bool> {
        match self.row()?.name {
            "jwt_token" => Some(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')),
            "connection_string" | "url_password" => {
                Some(|b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\'))
            }
            _ => None,
        }
    }

    /// The first match in `text` that begins at or after `at`.
    pub(super) fn find(&self, text: &[u8], at: usize) -> Option<Match> {
        match &self.matcher {
            Matcher::Literal(literal) => {
                let start = at + memchr::memmem::find(&text[at..], literal.as_bytes())?;
                Some(Match::all(start..start + literal.len()))
            }
            // An empty match hides nothing, and the search would not get past it.
            Matcher::Regex(regex) => {
                let mut from = at;
                while from <= text.len() {
                    let found = regex.find_at(text, from)?;
                    if !found.is_empty() {
                        return Some(Match::all(found.range()));
                    }
                    from = found.end() + 1;
                }
                None
            }
            Matcher::BuiltIn(row, regex) => match regex.get_or_init(|| compile(row)) {
                Some(regex) => {
                    let found = find_groups(regex, text, at)?;
                    Some(match row.form {
                        Form::Judged(_, named) => found.judged(text, named),
                        _ => found,
                    })
                }
                // Cannot be: a test compiles every row. If it were so, better too little is shown than too much.
                None => (at < text.len()).then(|| Match::all(at..text.len())),
            },
        }
    }
}

/// The first match, with what its groups say is replaced.
fn find_groups(regex: &Regex, text: &[u8], at: usize) -> Option<Match> {
    if regex.captures_len() == 1 {
        return Some(Match::all(regex.find_at(text, at)?.range()));
    }
    let groups = regex.captures_at(text, at)?;
    let whole = groups.get(0)?.range();
    if groups.name("more").is_some() || groups.name("bare").is_some_and(|bare| is_ordinary(bare.as_bytes())) {
        return Some(Match { whole, replace: None });
    }
    let only = (1..groups.len()).filter_map(|n| groups.get(n)).find(|g| Some(*g) != groups.name("bare"));
    Some(Match { replace: Some(only.map_or(whole.clone(), |g| g.range())), whole })
}

fn compile(row: &BuiltIn) -> Option<Regex> {
    let pattern = match row.form {
        // `pem` has it; nothing matches here.
        Form::Block => r"[^\x00-\xFF]".to_owned(),
        Form::Plain(pattern) | Form::Word(pattern) | Form::Judged(pattern, _) => pattern.to_owned(),
        Form::Assigned { key, value } => named(key, value),
        Form::Quoted { key, path_key, env_key } => quoted(key, path_key, env_key),
    };
    RegexBuilder::new(&pattern).unicode(false).dfa_size_limit(limits::SEARCH_CACHE).build().ok()
}

/// See [`Form::Assigned`].
fn named(key: &str, value: &str) -> String {
    let quote = r#"\\*["'`]"#;
    format!(
        "(?i){key}(?:{NAME_END}{ASSIGN}(?:{quote})?({value})|{ASSIGN}(?:{quote}{value}(?:{quote})?|(?<bare>{value})))"
    )
}

/// See [`Form::Quoted`].
fn quoted(key: &str, path_key: &str, env_key: &str) -> String {
    let both = |first: &str| [value_in('"', first), value_in('\'', first)].join("|");
    let (any, no_path) = (both(""), both("/~$"));
    let inner = |values: &str| values.replace("<<", "(").replace(">>", ")");
    let outer = |values: &str| values.replace("<<", "(?:").replace(">>", ")");
    format!(
        "(?i:{key})(?:{NAME_END}{ASSIGN}(?:{})|{ASSIGN}(?:{}))\
         |(?i:{path_key})(?:{NAME_END}{ASSIGN}(?:{})|{ASSIGN}(?:{}))\
         |{env_key}=[A-Za-z0-9!@#%^*_+.,:?~=-]{{8,}}",
        inner(&any),
        outer(&any),
        inner(&no_path),
        outer(&no_path)
    )
}

/// A value of at least 8 characters in quotes of kind `q`, with `<<` and `>>` around what is inside of them. If the opening quote is
/// escaped, the text stands in a string itself and the next quote ends it; else escaped quotes belong to it.
fn value_in(q: char, not_first: &str) -> String {
    let escaped = format!(r#"\\{{1,7}}{q}<<[^{q}\\\n{not_first}](?:\\*[^{q}\\\n]){{7,}}>>(?:\\{{1,7}}{q})?"#);
    let open = format!(r#"{q}<<(?:[^{q}\\\n{not_first}]|\\[^\n])(?:[^{q}\\\n]|\\[^\n]){{7,}}>>{q}?"#);
    format!("{escaped}|{open}")
}
