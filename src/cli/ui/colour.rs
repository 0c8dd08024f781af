//! Whether a stream gets colour, and the few styles there are. Colour only repeats what a word says.

use anstyle::{AnsiColor, Style};

/// What the environment and the command line say about colour; the same for both streams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// `--no-color`, `--json`, or a non-empty `NO_COLOR`.
    pub never: bool,
    /// `CLICOLOR_FORCE` or `FORCE_COLOR`, neither empty nor `0`.
    pub force: bool,
    /// `TERM=dumb`.
    pub dumb: bool,
}

impl Wish {
    /// Reads the environment through `get`.
    pub fn read(never: bool, get: impl Fn(&str) -> Option<String>) -> Wish {
        let set = |name| get(name).is_some_and(|v| !v.is_empty());
        let forced = |name| get(name).is_some_and(|v| !v.is_empty() && v != "0");
        Wish {
            never: never || set("NO_COLOR"),
            force: forced("CLICOLOR_FORCE") || forced("FORCE_COLOR"),
            dumb: get("TERM").is_some_and(|v| v == "dumb"),
        }
    }

    /// The decision for one stream.
    pub fn paint(self, is_terminal: bool) -> Paint {
        let on = !self.never && (self.force || (is_terminal && !self.dumb));
        Paint { on }
    }
}

/// Paints text, or does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

/// What a style means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mean {
    /// Fine.
    Good,
    /// Needs attention.
    Warn,
    /// Broken.
    Bad,
    /// Secondary.
    Dim,
    /// A heading.
    Head,
}

impl Paint {
    /// Without colour.
    pub const PLAIN: Paint = Paint { on: false };

    /// With colour.
    pub const COLOUR: Paint = Paint { on: true };

    /// Colour is on.
    pub fn is_on(self) -> bool {
        self.on
    }

    /// `text` in the style of `mean`.
    pub fn text(self, mean: Mean, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let style = match mean {
            Mean::Good => Style::new().bold().fg_color(Some(AnsiColor::Green.into())),
            Mean::Warn => Style::new().bold().fg_color(Some(AnsiColor::Yellow.into())),
            Mean::Bad => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
            Mean::Dim => Style::new().dimmed(),
            Mean::Head => Style::new().bold(),
        };
        format!("{}{text}{}", style.render(), style.render_reset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of the four inputs of the environment with a terminal or a pipe, and the flag.
    #[test]
    fn cli_03_colour_is_decided_for_each_stream_by_one_rule() {
        let mut rows = 0;
        for no_color in [None, Some(""), Some("1"), Some("yes")] {
            for force in [None, Some("0"), Some("1")] {
                for term in [None, Some("dumb"), Some("xterm")] {
                    for tty in [false, true] {
                        let get = |name: &str| {
                            match name {
                                "NO_COLOR" => no_color,
                                "FORCE_COLOR" => force,
                                "TERM" => term,
                                _ => None,
                            }
                            .map(str::to_owned)
                        };
                        let off = matches!(no_color, Some("1" | "yes"));
                        let expected = !off && (force == Some("1") || (tty && term != Some("dumb")));
                        let got = Wish::read(false, get).paint(tty);
                        assert_eq!(got.is_on(), expected, "{no_color:?} {force:?} {term:?} {tty}");
                        assert!(!Wish::read(true, get).paint(tty).is_on(), "the flag wins");
                        rows += 1;
                    }
                }
            }
        }
        assert!(rows >= 24);
    }

    #[test]
    fn clicolor_force_counts_too() {
        let wish = Wish::read(false, |n| (n == "CLICOLOR_FORCE").then(|| "1".into()));
        assert!(wish.paint(false).is_on());
    }

    #[test]
    fn plain_paint_adds_nothing() {
        assert_eq!(Paint::PLAIN.text(Mean::Bad, "x"), "x");
        assert_eq!(Paint::COLOUR.text(Mean::Bad, "x"), "\u{1b}[1m\u{1b}[31mx\u{1b}[0m");
    }
}
