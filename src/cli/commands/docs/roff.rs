//! Writing a manual page in roff, with the macros of man(7).

use super::Page;
use crate::cli::commands::version::OURS;

/// No word is broken and no line stretched: what is to be typed stays as it is.
const LAYOUT: &str = ".nh\n.ad l\n";

/// A page that is being written.
#[derive(Debug)]
pub struct Roff {
    name: String,
    section: u8,
    text: String,
}

impl Roff {
    /// The head of a page, and its section NAME.
    pub fn new(name: &str, section: u8, about: &str) -> Roff {
        let text = format!(".TH {} {section} \"\" \"ox {OURS}\" \"ox manual\"\n{LAYOUT}", plain(name));
        let mut page = Roff { name: name.to_owned(), section, text };
        page.heading("NAME");
        page.text.push_str(&format!("{} \\- {}\n", plain(name), rich(about)));
        page
    }

    /// The page.
    pub fn page(self) -> Page {
        Page { name: self.name, section: self.section, text: self.text }
    }

    /// Begins a section.
    pub fn heading(&mut self, name: &str) {
        self.text.push_str(&format!(".SH {}\n", quoted(&name.to_uppercase())));
    }

    /// Begins a part of a section.
    pub fn subheading(&mut self, name: &str) {
        self.text.push_str(&format!(".SS {}\n", quoted(name)));
    }

    /// Paragraphs, with an empty line between two of them.
    pub fn paragraphs(&mut self, text: &str) {
        let filled = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        for (n, paragraph) in text.split("\n\n").map(filled).filter(|p| !p.is_empty()).enumerate() {
            if n > 0 {
                self.text.push_str(".PP\n");
            }
            self.line(&rich(&paragraph));
        }
    }

    /// A term and what it means.
    pub fn entry(&mut self, term: &str, meaning: &str) {
        self.text.push_str(&format!(".TP\n{}\n", usage(term)));
        self.line(&rich(meaning));
    }

    /// A term that stands as it is, and what it means.
    pub fn definition(&mut self, term: &str, meaning: &str) {
        self.text.push_str(&format!(".TP\n\\fB{}\\fR\n", plain(term)));
        self.line(&rich(meaning));
    }

    /// Lines that say how a command is called, each as a line.
    pub fn usages(&mut self, lines: &[String]) {
        for (n, line) in lines.iter().enumerate() {
            if n > 0 {
                self.text.push_str(".br\n");
            }
            self.line(&usage(line));
        }
    }

    /// Lines that are typed as they stand.
    pub fn code(&mut self, lines: &[&str]) {
        self.text.push_str(".nf\n.RS 4\n");
        for line in lines {
            self.line(&plain(line));
        }
        self.text.push_str(".RE\n.fi\n");
    }

    /// A line of text; one that looks like a request is none.
    fn line(&mut self, text: &str) {
        let guard = if text.starts_with(['.', '\'']) { "\\&" } else { "" };
        self.text.push_str(&format!("{guard}{text}\n"));
    }
}

/// Text as it stands: no escape, a hyphen that is a minus, nothing that a typesetter makes nicer.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '~' => out.push_str("\\(ti"),
            '^' => out.push_str("\\(ha"),
            c if c.is_ascii() => out.push(c),
            c => out.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    out
}

/// Text in which what stands between backquotes is to be typed: that is bold.
fn rich(text: &str) -> String {
    let part = |(n, part): (usize, &str)| match n % 2 {
        0 => plain(part),
        _ => format!("\\fB{}\\fR", plain(part)),
    };
    text.split('`').enumerate().map(part).collect()
}

/// How something is called: words to be typed are bold, names of values and what stands in capitals are italic.
fn usage(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let is_word = |c: char| c.is_alphanumeric() || "-_=/".contains(c);
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if end == 0 {
            let mark = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&plain(&rest[..mark]));
            rest = &rest[mark..];
            continue;
        }
        let (word, behind) = rest.split_at(end);
        let is_name = !word.starts_with('-') && word.chars().any(char::is_uppercase);
        out.push_str(&format!("\\f{}{}\\fR", if is_name { 'I' } else { 'B' }, plain(word)));
        rest = behind;
    }
    out
}

/// An argument of a macro.
fn quoted(text: &str) -> String {
    let text = plain(text);
    if text.contains(' ') { format!("\"{text}\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_for_a_request_or_an_escape() {
        let mut page = Roff::new("ox-x", 1, "x");
        page.paragraphs(".sageox is a\ndirectory\n\n'tis `ox -v`\\n");
        let (_, text) = page.text.split_once("ox\\-x \\- x\n").unwrap();
        assert_eq!(text, "\\&.sageox is a directory\n.PP\n\\(aqtis \\fBox \\-v\\fR\\en\n");
    }

    #[test]
    fn what_is_typed_is_bold_and_what_is_meant_is_italic() {
        assert_eq!(
            usage("ox [OPTIONS] [--name <NAME>] <ID=URL>"),
            "\\fBox\\fR [\\fIOPTIONS\\fR] [\\fB\\-\\-name\\fR <\\fINAME\\fR>] <\\fIID=URL\\fR>"
        );
    }
}
