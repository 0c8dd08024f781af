//! Rules of a team, a repository or a user: the text of a `REDACT.md`.
//!
//! Only blocks fenced as `redact` count. A line there is `literal "text" -> [TOKEN]` or `regex "pattern" -> [TOKEN]`, empty, or a
//! comment with `#`. They come after the built-in rules and cannot turn one off.

use regex::bytes::RegexBuilder;

use super::limits;
use super::pattern::Rule;

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `<team context>/docs/REDACT.md`.
    Team,
    /// `<project>/.sageox/REDACT.md`.
    Repo,
    /// `REDACT.md` in the user's configuration directory.
    User,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Team => "team",
            Level::Repo => "repo",
            Level::User => "user",
        }
    }
}

/// A line that is no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1; 0 for the whole file.
    pub line: usize,
    /// Why; it never repeats what the line says.
    pub reason: &'static str,
}

/// Reads the text of a `REDACT.md`: its rules, named `custom_<team|repo|user>_L<line>`, and the lines that are none. A bad line does
/// not keep the others from applying.
pub fn parse(level: Level, text: &str) -> (Vec<Rule>, Vec<BadLine>) {
    let (mut rules, mut bad) = (Vec::new(), Vec::new());
    let mut note = |line, reason| {
        if bad.len() < limits::CUSTOM_BAD_MAX {
            bad.push(BadLine { line, reason });
        }
    };
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let text = match text.get(..text.floor_char_boundary(limits::CUSTOM_TEXT_MAX)) {
        Some(head) if head.len() < text.len() => {
            note(0, "the file is too large; its end is not read");
            // Half a line would be another rule than the one meant.
            &head[..head.rfind('\n').map_or(0, |n| n + 1)]
        }
        _ => text,
    };
    let mut fence: Option<Fence> = None;
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        match &fence {
            None => fence = Fence::open(line),
            Some(open) if open.is_closed_by(line) => fence = None,
            Some(open) if !open.is_ours || line.is_empty() || line.starts_with('#') => {}
            Some(_) if rules.len() >= limits::CUSTOM_RULES_MAX => {
                note(n + 1, "the file has too many rules");
                break;
            }
            Some(_) => match rule(format!("custom_{}_L{}", level.name(), n + 1), line) {
                Ok(rule) => rules.push(rule),
                Err(reason) => note(n + 1, reason),
            },
        }
    }
    (rules, bad)
}

/// The opening line of a fenced block.
struct Fence {
    mark: char,
    length: usize,
    is_ours: bool,
}

impl Fence {
    fn open(line: &str) -> Option<Fence> {
        let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let info = line.trim_start_matches(mark);
        let length = line.len() - info.len();
        // A line like ```` ```code``` ```` is no fence.
        if length < 3 || mark == '`' && info.contains('`') {
            return None;
        }
        Some(Fence { mark, length, is_ours: info.split_whitespace().next() == Some("redact") })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        line.len() >= self.length && line.chars().all(|c| c == self.mark)
    }
}

fn rule(name: String, line: &str) -> Result<Rule, &'static str> {
    let (left, token) = line.rsplit_once("->").ok_or("there is no `->`")?;
    let token = token.trim();
    check_token(token)?;
    let (kind, body) = left.trim().split_once(char::is_whitespace).ok_or("there is nothing to look for")?;
    let body = body.trim();
    let body = body.strip_prefix('"').and_then(|b| b.strip_suffix('"')).ok_or("the text is not in quotes")?;
    if body.is_empty() {
        return Err("the text is empty");
    }
    if body.len() > limits::CUSTOM_PATTERN_MAX {
        return Err("the text is too long");
    }
    match kind {
        "literal" => Ok(Rule::literal(name, token.to_owned(), unquote(body))),
        "regex" => regex(name, token, body),
        _ => Err("a rule begins with literal or regex"),
    }
}

fn check_token(token: &str) -> Result<(), &'static str> {
    let inner =
        token.strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or("the token is not in brackets")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if inner.is_empty() || inner.len() > limits::CUSTOM_TOKEN_MAX || !inner.chars().all(fits) {
        return Err("a token has up to 64 letters, digits, `_` and `-`");
    }
    Ok(())
}

/// In a literal `\"` stands for a quote and `\\` for a backslash.
fn unquote(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    let mut rest = body.chars().peekable();
    while let Some(c) = rest.next() {
        let escaped = rest.next_if(|next| c == '\\' && matches!(next, '"' | '\\'));
        text.push(escaped.unwrap_or(c));
    }
    text
}

/// A pattern sees one line at a time, so it cannot reach over a newline whatever it says.
fn regex(name: String, token: &str, pattern: &str) -> Result<Rule, &'static str> {
    let regex = RegexBuilder::new(pattern)
        .size_limit(limits::CUSTOM_PROGRAM_MAX)
        .dfa_size_limit(limits::SEARCH_CACHE)
        .build()
        .map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => "the pattern needs too much memory",
            _ => "the pattern is no valid expression",
        })?;
    let matches_nothing = |text: &str| regex.find_iter(text.as_bytes()).any(|m| m.is_empty());
    if ["", "a", " ", "0 a-"].into_iter().any(matches_nothing) {
        return Err("the pattern matches empty text");
    }
    Ok(Rule::regex(name, token.to_owned(), regex))
}
