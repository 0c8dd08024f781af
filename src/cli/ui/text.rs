//! Text for people: durations, relative times, paths, tables. Pure.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

pub use crate::kit::human::{bytes, compact, count, grouped, short, took};
use crate::kit::text::plain;

use super::{Paint, Tone};

/// A time as seen from `now`: `42s ago`, `in 5m`, `just now`.
pub fn relative(then: Timestamp, now: Timestamp) -> String {
    let nanos = now.as_nanosecond() - then.as_nanosecond();
    let span = Duration::from_nanos(u64::try_from(nanos.unsigned_abs()).unwrap_or(u64::MAX));
    if span < Duration::from_secs(1) {
        "just now".into()
    } else if nanos > 0 {
        format!("{} ago", short(span))
    } else {
        format!("in {}", short(span))
    }
}

/// How long ago `then` was; zero for the future.
pub fn age(then: Timestamp, now: Timestamp) -> Duration {
    let nanos = now.as_nanosecond() - then.as_nanosecond();
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

/// The path with the home directory written as `~`.
pub fn tilde(path: &str, home: &Path) -> String {
    match Path::new(path).strip_prefix(home) {
        Ok(rest) if rest.as_os_str().is_empty() => "~".into(),
        Ok(rest) if home.components().count() > 1 => format!("~/{}", rest.display()),
        _ => path.into(),
    }
}

/// A line of a page about the state of things: a name, and what is to be said of it.
pub fn row(name: &str, value: &str) -> String {
    format!("  {name:<8} {value}")
}

/// A line of somebody else's text: what nobody sees goes, line breaks become spaces, and so do the numbers of the system's errors, which
/// say nothing beside their words.
pub fn clean(text: &str) -> String {
    const NUMBER: &str = " (os error ";
    let mut text = plain(text.trim(), false).into_owned();
    let mut from = 0;
    while let Some(at) = text[from..].find(NUMBER).map(|at| from + at) {
        let digits = at + NUMBER.len();
        let end = text[digits..].find(|c: char| !c.is_ascii_digit()).map(|n| digits + n);
        match end.filter(|end| *end > digits && text[*end..].starts_with(')')) {
            Some(end) => text.replace_range(at..=end, ""),
            None => from = digits,
        }
    }
    text
}

/// The last column of a table is not wrapped into fewer columns than this.
const WRAPPED_MIN: usize = 16;

/// A table: left aligned, two spaces between columns, no trailing blanks. The heading is dim.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Cells that are painted, by row and column.
    tones: Vec<(usize, usize, Tone)>,
}

impl Table {
    /// A table with these headings.
    pub fn new(heads: &[&str]) -> Table {
        let tones = (0..heads.len()).map(|column| (0, column, Tone::Dim)).collect();
        Table { rows: vec![heads.iter().map(|h| (*h).to_owned()).collect()], tones }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|c| clean(&c)).collect());
    }

    /// Paints a cell of the last row.
    pub fn tone(&mut self, column: usize, tone: Tone) {
        self.tones.push((self.rows.len() - 1, column, tone));
    }

    /// The lines, heading first. With a `width` the last column goes on below itself, at least in 16 columns, and what
    /// is wider still is cut; without one nothing is ever cut.
    pub fn lines(&self, width: Option<usize>, paint: Paint) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |c: usize| self.rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|c| widest(c).unwrap_or(0)).collect();
        let before: usize = widths.iter().take(columns.saturating_sub(1)).map(|w| w + 2).sum();
        let last = width.map_or(usize::MAX, |width| width.saturating_sub(before).max(WRAPPED_MIN));
        let tone_of = |row, column| {
            self.tones.iter().find(|(r, c, _)| (*r, *c) == (row, column)).map(|(.., tone)| *tone)
        };
        let line = |n: usize, cells: &[&str]| {
            let mut text = String::new();
            for (cell, width) in cells.iter().zip(&widths) {
                text.push_str(cell);
                text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
            }
            // Cut first: what paints takes no column.
            let text = cut(text.trim_end(), width);
            let mut left = text.as_str();
            let mut painted = String::new();
            for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                let (inside, behind) = split(left, cell.chars().count());
                let (gap, next) = split(behind, width + 2 - cell.chars().count());
                let tone = tone_of(n, column).filter(|_| !inside.is_empty());
                painted += &tone.map_or_else(|| inside.to_owned(), |tone| paint.text(tone, inside));
                painted += gap;
                left = next;
            }
            painted
        };
        let mut lines = Vec::new();
        for (n, row) in self.rows.iter().enumerate() {
            let mut cells: Vec<&str> = row.iter().map(String::as_str).collect();
            let is_whole = row.len() == columns;
            let parts = cells.last().filter(|_| is_whole).map_or_else(Vec::new, |text| wrap(text, last));
            let mut parts = parts.into_iter();
            if let (Some(cell), Some(first)) = (cells.last_mut(), parts.next()) {
                *cell = first;
            }
            lines.push(line(n, &cells));
            for part in parts {
                let mut cells = vec![""; columns];
                cells[columns - 1] = part;
                lines.push(line(n, &cells));
            }
        }
        lines
    }
}

/// `text` in pieces of at most `width` characters, parted at blanks where there are any.
fn wrap(text: &str, width: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while rest.chars().count() > width {
        let (head, tail) = split(rest, width);
        let at = if tail.starts_with(' ') { head.len() } else { head.rfind(' ').unwrap_or(head.len()) };
        let at = if at == 0 { head.len() } else { at };
        parts.push(rest[..at].trim_end());
        rest = rest[at..].trim_start();
    }
    parts.push(rest);
    parts
}

/// The first `n` characters, and the rest.
fn split(text: &str, n: usize) -> (&str, &str) {
    let at = text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    text.split_at(at)
}

/// `text` in at most `width` columns, with `…` for what is missing.
pub fn cut(text: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if text.chars().count() > width.max(1) => {
            text.chars().take(width.max(1) - 1).chain(['…']).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_09_times_past_future_and_zero_read_well() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let check = |delta: i64, expected: &str| {
            let then = Timestamp::from_second(1_000_000 + delta).unwrap();
            assert_eq!(relative(then, now), expected, "{delta}");
        };
        check(0, "just now");
        check(-1, "1s ago");
        check(-59, "59s ago");
        check(-60, "1m ago");
        check(-3_599, "59m ago");
        check(-3_600, "1h ago");
        check(-90_000, "1d ago");
        check(-200_000, "2d ago");
        check(1, "in 1s");
        check(90_000, "in 1d");
        assert_eq!(age(Timestamp::from_second(2_000_000).unwrap(), now), Duration::ZERO);
    }

    #[test]
    fn home_is_a_tilde() {
        let home = Path::new("/home/ann");
        assert_eq!(tilde("/home/ann/x", home), "~/x");
        assert_eq!(tilde("/home/ann", home), "~");
        assert_eq!(tilde("/home/annabel", home), "/home/annabel");
        assert_eq!(tilde("/x", Path::new("/")), "/x");
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{7}\n"), "ab c");
        let system = "x: Permission denied (os error 13), y: gone (os error 2); (os error ) (os error 2x)";
        assert_eq!(clean(system), "x: Permission denied, y: gone; (os error ) (os error 2x)");
    }

    #[test]
    fn tables_are_left_aligned_and_uncut_without_a_width() {
        let mut table = Table::new(&["NAME", "PID"]);
        table.row(["a".into(), "12345".into()]);
        table.row(["long-name".into(), "1".into()]);
        assert_eq!(table.lines(None, Paint::PLAIN), ["NAME       PID", "a          12345", "long-name  1"]);
        assert_eq!(table.lines(Some(8), Paint::PLAIN), ["NAME   …", "a      …", "long-na…"]);
    }

    #[test]
    fn the_last_column_goes_on_below_itself() {
        let mut table = Table::new(&["NAME", "TEXT"]);
        table.row(["a".into(), "one and two and three and four".into()]);
        table.row(["b".into(), "x".repeat(20)]);
        table.tone(1, Tone::Bad);
        let expected = [
            "NAME  TEXT",
            "a     one and two and",
            "      three and four",
            &format!("b     {}", "x".repeat(18)),
        ];
        assert_eq!(table.lines(Some(24), Paint::PLAIN)[..4], expected);
        assert_eq!(
            table.lines(Some(24), Paint::COLOUR)[4],
            format!("      {}", Paint::COLOUR.text(Tone::Bad, "xx"))
        );
        assert_eq!(table.lines(None, Paint::PLAIN).len(), 3);
    }

    #[test]
    fn wrapping_loses_nothing() {
        proptest::proptest!(|(text in "[a-zé ]{0,60}", width in 1_usize..20)| {
            let parts = wrap(&text, width);
            proptest::prop_assert!(parts.iter().all(|part| part.chars().count() <= width));
            let letters = |text: &str| text.replace(' ', "");
            proptest::prop_assert_eq!(letters(&parts.concat()), letters(&text));
        });
    }

    #[test]
    fn headings_are_dim_bad_cells_red_and_columns_where_they_are_without_colour() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(["a".into(), "error".into()]);
        table.tone(1, Tone::Bad);
        let dim = |text| Paint::COLOUR.text(Tone::Dim, text);
        let bad = |text| Paint::COLOUR.text(Tone::Bad, text);
        let expected = [format!("{}  {}", dim("NAME"), dim("STATE")), format!("a     {}", bad("error"))];
        assert_eq!(table.lines(None, Paint::COLOUR), expected);
        let cut = [format!("{}  {}", dim("NAME"), dim("S…")), format!("a     {}", bad("e…"))];
        assert_eq!(table.lines(Some(8), Paint::COLOUR), cut);
    }
}
