//! Text for people: durations, relative times, paths, tables. Pure.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::kit::text::plain;

/// A span of time, two units at most: `<1s`, `42s`, `3m`, `3m 5s`, `2h`, `2h 30m`. Rounded to seconds.
pub fn compact(span: Duration) -> String {
    let secs = span.as_secs() + u64::from(span.subsec_nanos() >= 500_000_000);
    let (hours, minutes, seconds) = (secs / 3600, secs / 60 % 60, secs % 60);
    match (hours, minutes, seconds) {
        (0, 0, 0) => "<1s".into(),
        (0, 0, s) => format!("{s}s"),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m {s}s"),
        (h, 0, _) => format!("{h}h"),
        (h, m, _) => format!("{h}h {m}m"),
    }
}

/// A span of time in its largest whole unit: `42s`, `5m`, `3h`, `2d`. Truncated.
pub fn short(span: Duration) -> String {
    match span.as_secs() {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

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

/// How long something took: `12 ms`, `1.4 s`, `3m 5s`.
pub fn took(span: Duration) -> String {
    match span.as_millis() {
        ms @ 0..1000 => format!("{ms} ms"),
        ms @ 1000..60_000 => format!("{}.{} s", ms / 1000, ms / 100 % 10),
        _ => compact(span),
    }
}

/// A number of bytes in units of a thousand: `0 B`, `999 B`, `1.5 kB`, `20 MB`, `3.1 GB`. Truncated.
pub fn bytes(n: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.iter().find(|(size, _)| n >= *size) {
        None => format!("{n} B"),
        Some((size, unit)) if n / size >= 10 => format!("{} {unit}", n / size),
        Some((size, unit)) => format!("{}.{} {unit}", n / size, n % size * 10 / size),
    }
}

/// `n` things: `1 commit`, `2 commits`.
pub fn count(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// The path with the home directory written as `~`.
pub fn tilde(path: &str, home: &Path) -> String {
    match Path::new(path).strip_prefix(home) {
        Ok(rest) if rest.as_os_str().is_empty() => "~".into(),
        Ok(rest) if home.components().count() > 1 => format!("~/{}", rest.display()),
        _ => path.into(),
    }
}

/// A line of somebody else's text: what nobody sees goes, line breaks become spaces.
pub fn clean(text: &str) -> String {
    plain(text.trim(), false).into_owned()
}

/// A table: left aligned, two spaces between columns, no trailing blanks.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(heads: &[&str]) -> Table {
        Table { rows: vec![heads.iter().map(|h| (*h).to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|c| clean(&c)).collect());
    }

    /// The lines, heading first. With a `width` a line is cut there; without one nothing is ever cut.
    pub fn lines(&self, width: Option<usize>) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |c: usize| self.rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|c| widest(c).unwrap_or(0)).collect();
        let line = |row: &Vec<String>| {
            let mut text = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                text.push_str(cell);
                text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
            }
            cut(text.trim_end(), width)
        };
        self.rows.iter().map(line).collect()
    }
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

/// A wire version without its build part: what the other programs compare.
pub fn bare(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}

/// What a person calls a version from the wire: our own number if it is one of ours, else without its build part.
pub fn for_people(version: &str) -> &str {
    version.split_once("+rs.").map_or_else(|| bare(version), |(_, ours)| ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |n, expected: &str| assert_eq!(bytes(n), expected, "{n}");
        check(0, "0 B");
        check(999, "999 B");
        check(1_000, "1.0 kB");
        check(1_590, "1.5 kB");
        check(20_999_999, "20 MB");
        check(3_100_000_000, "3.1 GB");
        check(u64::MAX, "18446744 TB");
    }

    #[test]
    fn compact_spans() {
        let check = |ms, expected: &str| assert_eq!(compact(Duration::from_millis(ms)), expected, "{ms}");
        check(0, "<1s");
        check(499, "<1s");
        check(500, "1s");
        check(42_000, "42s");
        check(59_600, "1m");
        check(180_000, "3m");
        check(185_000, "3m 5s");
        check(7_200_000, "2h");
        check(7_230_000, "2h");
        check(9_000_000, "2h 30m");
        check(97 * 3_600_000, "97h");
    }

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
    fn spans_of_work() {
        assert_eq!(took(Duration::from_millis(12)), "12 ms");
        assert_eq!(took(Duration::from_millis(1_460)), "1.4 s");
        assert_eq!(took(Duration::from_secs(185)), "3m 5s");
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
    }

    #[test]
    fn tables_are_left_aligned_and_uncut_without_a_width() {
        let mut table = Table::new(&["NAME", "PID"]);
        table.row(["a".into(), "12345".into()]);
        table.row(["long-name".into(), "1".into()]);
        assert_eq!(table.lines(None), ["NAME       PID", "a          12345", "long-name  1"]);
        assert_eq!(table.lines(Some(8)), ["NAME   …", "a      …", "long-na…"]);
    }

    #[test]
    fn versions_from_the_wire_read_well() {
        assert_eq!(
            (bare(crate::daemon::VERSION), for_people(crate::daemon::VERSION)),
            ("0.6.1", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(for_people("0.6.1+2026-04-02T10:00:00Z"), "0.6.1");
        assert_eq!(for_people("0.3.0"), "0.3.0");
    }
}
