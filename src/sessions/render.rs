//! A session for people: Markdown, and one page of HTML that needs nothing else. Pure.

use std::fmt::{self, Write};

use jiff::Timestamp;

use super::raw::{Entry, Header, Kind};

/// What stands at the head of a rendering.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// What the session is about; empty for its name.
    pub title: String,
    /// Its name.
    pub name: String,
    /// What its first line says.
    pub header: Header,
}

impl About {
    fn heading(&self) -> &str {
        if self.title.is_empty() { &self.name } else { &self.title }
    }

    /// Writes the heading and what is known, which more rows may follow.
    pub(super) fn put_head(&self, out: &mut impl Write) -> fmt::Result {
        writeln!(out, "# {}\n", line(self.heading()))?;
        writeln!(out, "| | |\n| --- | --- |")?;
        self.facts().into_iter().try_for_each(|(name, value)| writeln!(out, "| {name} | {} |", cell(&value)))
    }

    /// Names and values of what is known.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let h = &self.header;
        let agent = if h.agent_version.is_empty() {
            h.agent_type.clone()
        } else {
            format!("{} {}", h.agent_type, h.agent_version)
        };
        let began = h.created_at.map(|t| t.strftime("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
        let all = [
            ("Session", self.name.clone()),
            ("Began", began),
            ("Agent", agent),
            ("Model", h.model.clone()),
            ("User", h.username.clone()),
            ("Id", h.session_id.clone()),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// The headline of an entry: who, or which tool.
fn who(entry: &Entry) -> String {
    match entry.kind {
        Kind::User => "User".to_owned(),
        Kind::Assistant => "Assistant".to_owned(),
        Kind::System => "System".to_owned(),
        Kind::Info => "Note".to_owned(),
        Kind::Tool if entry.tool_name.is_empty() => "Tool result".to_owned(),
        Kind::Tool => format!("Tool: {}", entry.tool_name),
    }
}

/// The texts of an entry, each with what it is; what the tool was given is no text of anybody.
fn texts(entry: &Entry) -> Vec<(bool, &str)> {
    let all = [(false, &entry.content), (true, &entry.tool_input), (true, &entry.tool_output)];
    all.into_iter().filter(|(_, text)| !text.is_empty()).map(|(code, text)| (code, text.as_str())).collect()
}

fn clock(time: Option<Timestamp>) -> String {
    time.map(|t| t.strftime("%H:%M:%S").to_string()).unwrap_or_default()
}

/// Writes Markdown, entry by entry.
#[derive(Debug)]
pub struct Markdown<W>(W);

impl<W: Write> Markdown<W> {
    /// Writes the head.
    ///
    /// # Errors
    /// The sink refuses.
    pub fn new(mut out: W, about: &About) -> Result<Markdown<W>, fmt::Error> {
        about.put_head(&mut out)?;
        Ok(Markdown(out))
    }

    /// Writes a list under a heading of its own; nothing where it is empty.
    pub(super) fn list(&mut self, heading: &str, all: &[String]) -> fmt::Result {
        list(&mut self.0, heading, all)
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// The sink refuses.
    pub fn entry(&mut self, entry: &Entry) -> fmt::Result {
        let out = &mut self.0;
        let seq = entry.seq.unwrap_or_default();
        let failed = if entry.is_error { " (failed)" } else { "" };
        writeln!(
            out,
            "\n## <a id=\"msg-{seq}\"></a>{}{failed} · {}\n",
            line(&who(entry)),
            clock(entry.timestamp)
        )?;
        for (is_code, text) in texts(entry) {
            // Whatever the text holds, it cannot end what it stands in.
            match is_code {
                true if text.len() > FOLDED => {
                    let lines = text.lines().count();
                    let text = fenced("", text);
                    writeln!(out, "<details><summary>{lines} lines</summary>\n\n{text}\n\n</details>\n")?;
                }
                true => writeln!(out, "{}\n", fenced("", text))?,
                false => writeln!(out, "{}", prose(text))?,
            }
        }
        Ok(())
    }
}

/// Text as one line.
pub(super) fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text as a cell of a table.
pub(super) fn cell(text: &str) -> String {
    line(text).replace('|', "\\|")
}

/// A list under a heading of its own; nothing where it is empty.
pub(super) fn list(out: &mut impl Write, heading: &str, all: &[String]) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## {heading}\n")?;
    all.iter().try_for_each(|text| writeln!(out, "- {}", line(text)))
}

/// Text in a fence that nothing in it ends; `kind` is what it is.
pub(super) fn fenced(kind: &str, text: &str) -> String {
    let fence = "`".repeat(longest_run(text, '`').max(2) + 1);
    format!("{fence}{kind}\n{}\n{fence}", text.trim_end_matches('\n'))
}

/// Prose of others as a paragraph that ends where it ends: a fence that was left open is closed, and a line that begins with a tag is text.
fn prose(text: &str) -> String {
    let (mut out, mut open) = (String::new(), None);
    for line in text.trim_end().lines() {
        let inside = line.trim_start();
        let indent = line.len() - inside.len();
        let mark = inside.chars().next().filter(|c| matches!(c, '`' | '~') && indent < 4);
        let run = mark.map_or(0, |mark| inside.chars().take_while(|c| *c == mark).count());
        match (open, mark) {
            (None, Some(mark)) if run >= 3 => open = Some((mark, run)),
            (Some((of, n)), Some(mark)) if mark == of && run >= n && inside.trim_end().len() == run => {
                open = None
            }
            (None, _) if inside.starts_with('<') => {
                out.push_str(&line[..indent]);
                out.push('\\');
                out.push_str(inside);
                out.push('\n');
                continue;
            }
            _ => {}
        }
        out.push_str(line);
        out.push('\n');
    }
    if let Some((mark, n)) = open {
        out.extend(std::iter::repeat_n(mark, n));
        out.push('\n');
    }
    out
}

fn longest_run(text: &str, of: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// How the page looks; light or dark as its reader has it.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;margin:1rem 0}td{padding:.1rem 1rem .1rem 0;vertical-align:top}\
article{border-left:4px solid #8888;margin:1rem 0;padding:.2rem 0 .2rem 1rem}\
article.user{border-color:#2a7ae2}article.assistant{border-color:#2a9d5c}article.failed{border-color:#d1383d}\
article>h2{font-size:.85rem;margin:0;opacity:.8}time{font-weight:normal;opacity:.7}\
.text{white-space:pre-wrap;overflow-wrap:anywhere}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem;background:#8881;padding:.5rem;margin:.3rem 0}\
summary{cursor:pointer;font-size:.85rem}";

/// Writes one page of HTML, entry by entry. It loads nothing and runs nothing; all text of others is escaped.
#[derive(Debug)]
pub struct Html<W>(W);

impl<W: Write> Html<W> {
    /// Writes the head.
    ///
    /// # Errors
    /// The sink refuses.
    pub fn new(mut out: W, about: &About) -> Result<Html<W>, fmt::Error> {
        let title = Escaped(about.heading());
        write!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<table>\n"
        )?;
        for (name, value) in about.facts() {
            writeln!(out, "<tr><td>{name}</td><td>{}</td></tr>", Escaped(&value))?;
        }
        out.write_str("</table>\n<main>\n")?;
        Ok(Html(out))
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// The sink refuses.
    pub fn entry(&mut self, entry: &Entry) -> fmt::Result {
        let out = &mut self.0;
        let failed = if entry.is_error { " failed" } else { "" };
        writeln!(
            out,
            "<article class=\"{}{failed}\" id=\"msg-{}\">\n<h2>{} <time>{}</time></h2>",
            entry.kind.name(),
            entry.seq.unwrap_or_default(),
            Escaped(&who(entry)),
            clock(entry.timestamp)
        )?;
        for (is_code, text) in texts(entry) {
            if !is_code {
                writeln!(out, "<div class=\"text\">{}</div>", Escaped(text))?;
            } else if text.len() > FOLDED {
                let lines = text.lines().count();
                writeln!(
                    out,
                    "<details><summary>{lines} lines</summary><pre>{}</pre></details>",
                    Escaped(text)
                )?;
            } else {
                writeln!(out, "<pre>{}</pre>", Escaped(text))?;
            }
        }
        out.write_str("</article>\n")
    }

    /// Writes the end.
    ///
    /// # Errors
    /// The sink refuses.
    pub fn finish(mut self) -> fmt::Result {
        self.0.write_str("</main>\n</body>\n</html>\n")
    }
}

/// Longer texts of tools are folded, in bytes.
const FOLDED: usize = 600;

/// Text in a page: nothing in it is a tag, an entity or the end of an attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // What no page may hold; line breaks and tabs stay.
                c if c.is_control() && !matches!(c, '\n' | '\t') => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        let header = Header {
            agent_type: "codex".into(),
            agent_version: "0.171.0".into(),
            created_at: Some("2026-03-12T09:09:00Z".parse().unwrap()),
            ..Header::default()
        };
        About { title: "Parser | <b>".into(), name: "2026-03-12T11-09-dana-OxTndR".into(), header }
    }

    fn entries() -> Vec<Entry> {
        let time = Some("2026-03-12T09:10:00Z".parse().unwrap());
        vec![
            Entry {
                kind: Kind::User,
                content: "fix <script>alert(1)</script>\n\n```\nx\n```".into(),
                timestamp: time,
                seq: Some(0),
                ..Entry::default()
            },
            Entry {
                kind: Kind::Tool,
                tool_name: "Bash".into(),
                tool_input: "{\"command\":\"echo ````\"}".into(),
                tool_output: "no\n".into(),
                is_error: true,
                timestamp: time,
                seq: Some(1),
                ..Entry::default()
            },
        ]
    }

    #[test]
    fn markdown_cannot_be_broken_out_of() {
        let mut text = String::new();
        let mut markdown = Markdown::new(&mut text, &about()).unwrap();
        entries().iter().for_each(|entry| markdown.entry(entry).unwrap());
        insta::assert_snapshot!(text, @r##"
        # Parser | <b>

        | | |
        | --- | --- |
        | Session | 2026-03-12T11-09-dana-OxTndR |
        | Began | 2026-03-12 09:09 UTC |
        | Agent | codex 0.171.0 |

        ## <a id="msg-0"></a>User · 09:10:00

        fix <script>alert(1)</script>

        ```
        x
        ```


        ## <a id="msg-1"></a>Tool: Bash (failed) · 09:10:00

        `````
        {"command":"echo ````"}
        `````

        ```
        no
        ```
        "##);
    }

    #[test]
    fn a_page_holds_no_tag_of_anybody_and_is_whole() {
        let mut text = String::new();
        let mut html = Html::new(&mut text, &about()).unwrap();
        entries().iter().for_each(|entry| html.entry(entry).unwrap());
        html.finish().unwrap();
        assert!(
            text.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !text.contains("<script"),
            "{text}"
        );
        assert!(text.contains("<title>Parser | &lt;b&gt;</title>") && text.ends_with("</html>\n"));
        assert!(text.contains("<article class=\"tool failed\" id=\"msg-1\">"));
        let evil =
            Entry { tool_name: "x\" onload=\"y".into(), content: "\u{1b}[2J\0".into(), ..Entry::default() };
        let mut text = String::new();
        Html::new(&mut text, &about()).unwrap().entry(&Entry { kind: Kind::Tool, ..evil }).unwrap();
        assert!(!text.contains('\u{1b}') && !text.contains("\" onload"), "{text}");
    }
}
