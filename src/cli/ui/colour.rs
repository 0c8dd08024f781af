//! Whether a stream gets colour, and the few styles there are. Colour only repeats what a word says.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};

use crate::kit::text::{escape_len, plain};

/// What the command line says about colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// Colour on a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    /// Colour whatever the output is and the environment says.
    Always,
    /// No colour.
    Never,
}

/// What the environment and the command line say about colour; the same for both streams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// `--color=never`, `--json`, or a non-empty `NO_COLOR`.
    pub never: bool,
    /// `--color=always`; `CLICOLOR_FORCE` or `FORCE_COLOR`, neither empty nor `0`.
    pub force: bool,
    /// `TERM=dumb`.
    pub dumb: bool,
}

impl Wish {
    /// Reads the environment through `get`; the command line counts before it.
    pub fn read(when: When, get: impl Fn(&str) -> Option<String>) -> Wish {
        let set = |name| get(name).is_some_and(|v| !v.is_empty());
        let forced = |name| get(name).is_some_and(|v| !v.is_empty() && v != "0");
        Wish {
            never: when == When::Never || (when == When::Auto && set("NO_COLOR")),
            force: when == When::Always || forced("CLICOLOR_FORCE") || forced("FORCE_COLOR"),
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
pub enum Tone {
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
    pub fn text(self, mean: Tone, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let style = mean.style();
        format!("{}{text}{}", style.render(), style.render_reset())
    }

    /// A whole page as it may go to the stream: what a terminal would obey and is not one of the styles here is gone, whoever wrote it.
    pub fn harmless(self, page: &str) -> Cow<'_, str> {
        if !self.on {
            return plain(page, true);
        }
        let ours = Tone::ALL.map(|mean| mean.style().render().to_string());
        let reset = Style::new().bold().render_reset().to_string();
        let mut out = String::with_capacity(page.len());
        let mut rest = page;
        while let Some(at) = rest.find('\u{1b}') {
            out.push_str(&plain(&rest[..at], true));
            rest = &rest[at..];
            let style = ours.iter().chain([&reset]).find(|style| rest.starts_with(style.as_str()));
            out.push_str(style.map_or("", String::as_str));
            rest = &rest[style.map_or_else(|| escape_len(rest).max(1), String::len)..];
        }
        out.push_str(&plain(rest, true));
        Cow::Owned(out)
    }
}

impl Tone {
    const ALL: [Tone; 5] = [Tone::Good, Tone::Warn, Tone::Bad, Tone::Dim, Tone::Head];

    fn style(self) -> Style {
        match self {
            Tone::Good => Style::new().bold().fg_color(Some(AnsiColor::Green.into())),
            Tone::Warn => Style::new().bold().fg_color(Some(AnsiColor::Yellow.into())),
            Tone::Bad => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
            Tone::Dim => Style::new().dimmed(),
            Tone::Head => Style::new().bold(),
        }
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
                        let got = Wish::read(When::Auto, get).paint(tty);
                        assert_eq!(got.is_on(), expected, "{no_color:?} {force:?} {term:?} {tty}");
                        assert!(!Wish::read(When::Never, get).paint(tty).is_on(), "the flag wins");
                        assert!(Wish::read(When::Always, get).paint(tty).is_on(), "the flag wins");
                        rows += 1;
                    }
                }
            }
        }
        assert!(rows >= 24);
    }

    #[test]
    fn only_our_own_styles_reach_a_terminal() {
        let page =
            format!("{} \u{1b}]0;x\u{7}a\u{1b}[2Jb\u{202e}\nc\u{7}", Paint::COLOUR.text(Tone::Good, "fine"));
        let shown = Paint::COLOUR.harmless(&page);
        assert_eq!(shown, format!("{} ab\nc", Paint::COLOUR.text(Tone::Good, "fine")));
        assert_eq!(Paint::PLAIN.harmless(&page), "fine ab\nc");
    }

    #[test]
    fn clicolor_force_counts_too() {
        let wish = Wish::read(When::Auto, |n| (n == "CLICOLOR_FORCE").then(|| "1".into()));
        assert!(wish.paint(false).is_on());
    }

    #[test]
    fn plain_paint_adds_nothing() {
        assert_eq!(Paint::PLAIN.text(Tone::Bad, "x"), "x");
        assert_eq!(Paint::COLOUR.text(Tone::Bad, "x"), "\u{1b}[1m\u{1b}[31mx\u{1b}[0m");
    }
}
