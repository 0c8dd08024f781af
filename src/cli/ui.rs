//! The only place that prints: results on stdout, everything else on stderr.
//!
//! With `--json` stdout gets exactly one document and nothing else. A reader that goes away ends the command
//! quietly. Colour is decided for each stream by itself.

pub mod colour;
mod pieces;
pub mod progress;
pub mod sparkline;
pub mod text;

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::Value;

pub use colour::{Paint, Tone};
pub use progress::Progress;

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use crate::kit::child::page;
use crate::redact::hide_home;
use colour::{When, Wish};
use pieces::Pieces;
use progress::Display;

/// Longest answer to a question that is read.
const ANSWER_MAX: u64 = 1024;

/// How this run prints.
#[derive(Debug)]
pub struct Ui {
    json: bool,
    quiet: bool,
    verbose: bool,
    ask: bool,
    out: Paint,
    err: Paint,
    err_terminal: bool,
    width: Option<usize>,
    home: String,
    printed: Cell<usize>,
}

/// What the command line says about printing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// One JSON document on stdout.
    pub json: bool,
    /// Only results and errors.
    pub quiet: bool,
    /// More detail.
    pub verbose: bool,
    /// When to colour.
    pub colour: When,
    /// Never ask.
    pub no_interactive: bool,
}

impl Ui {
    /// Looks at the streams and the environment once.
    pub fn new(options: Options) -> Ui {
        let when = if options.json { When::Never } else { options.colour };
        let wish = Wish::read(when, |name| std::env::var(name).ok());
        let (out_terminal, err_terminal) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Ui {
            json: options.json,
            quiet: options.quiet,
            verbose: options.verbose,
            ask: !options.json && !options.no_interactive && err_terminal && io::stdin().is_terminal(),
            out: wish.paint(out_terminal),
            err: wish.paint(err_terminal),
            err_terminal,
            width: out_terminal.then(terminal_width).flatten(),
            home: std::env::home_dir().map(|home| home.to_string_lossy().into_owned()).unwrap_or_default(),
            printed: Cell::new(0),
        }
    }

    /// Results are one JSON document.
    pub fn json(&self) -> bool {
        self.json
    }

    /// More detail is wanted.
    pub fn verbose(&self) -> bool {
        self.verbose
    }

    /// Somebody sits before a terminal, and wants more than results.
    pub fn is_read_by_a_person(&self) -> bool {
        self.err_terminal && !self.quiet && !self.json
    }

    /// Bytes of results so far.
    pub fn printed(&self) -> usize {
        self.printed.get()
    }

    /// Colour of stdout.
    pub fn paint(&self) -> Paint {
        self.out
    }

    /// Columns of the terminal on stdout; none elsewhere: nothing is ever cut there.
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// A sentence with `~` for the home directory in its paths. What is to be pasted keeps them whole: a shell leaves `~` alone in quotes.
    pub fn with_tilde<'t>(&self, text: &'t str) -> Cow<'t, str> {
        hide_home(text, &self.home)
    }

    /// Prints a result, as lines.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn print(&self, text: &str) -> Outcome {
        debug_assert!(!self.json, "with --json stdout holds one document");
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        self.raw(format!("{}{end}", self.out.harmless(text)).as_bytes())
    }

    /// Prints a long result: on a terminal in the pager of `PAGER` (`less` if that is not set), elsewhere as [`print`](Ui::print).
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn page(&self, text: &str) -> Outcome {
        let pager = std::env::var("PAGER").unwrap_or_else(|_| "less".to_owned());
        let is_wanted = self.width.is_some() && self.err_terminal && !matches!(pager.trim(), "" | "cat");
        // What fits on the screen ends at once, colour is shown, and the text stays when it ends; as git has it.
        if is_wanted && page(&pager, &[("LESS", "FRX")], self.out.harmless(text).as_bytes()) {
            return Ok(());
        }
        self.print(text)
    }

    /// Prints what an action did, as lines; nothing with `--quiet`.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn done(&self, text: &str) -> Outcome {
        if self.quiet { Ok(()) } else { self.print(text) }
    }

    /// Prints a result that replaces the one before: in its place on a terminal, else below it after an empty line.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn show(&self, text: &str, first: bool) -> Outcome {
        const HOME_AND_CLEAR: &str = "\x1b[H\x1b[2J";
        let before = match (self.width.is_some(), first) {
            (true, _) => HOME_AND_CLEAR,
            (false, true) => "",
            (false, false) => "\n",
        };
        self.raw(before.as_bytes())?;
        self.print(text)
    }

    /// Writes bytes as they are: files for other programs, log lines.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn raw(&self, bytes: &[u8]) -> Outcome {
        self.printed.set(self.printed.get().saturating_add(bytes.len()));
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| not_written(&e))
    }

    /// Prints the one document of `--json`, indented by two. A long one is written while it is made.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn document(&self, value: &impl Serialize) -> Outcome {
        let mut out = Pieces::new(io::stdout().lock());
        let made = serde_json::to_writer_pretty(&mut out, value);
        let done = made.map_err(|e| {
            if e.is_io() {
                not_written(&e.into())
            } else {
                Failure::new(Exit::Internal, "cannot encode the result").because(&e)
            }
        });
        let done = done.and_then(|()| out.end().map_err(|e| not_written(&e)));
        self.printed.set(self.printed.get().saturating_add(out.written));
        done
    }

    /// Tells on stderr what was done or decided; not with `--quiet` or `--json`.
    pub fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            self.stderr(&self.with_tilde(text));
        }
    }

    /// A warning on stderr, also with `--json`; not with `--quiet`.
    pub fn warn(&self, text: &str) {
        if !self.quiet {
            let text = text::clean(&self.with_tilde(text));
            self.stderr(&format!("{}: {text}", self.err.text(Tone::Warn, "warning")));
        }
    }

    /// Lines on stderr beside the result, for whoever reads both, also with `--json`; not with `--quiet`.
    pub fn aside(&self, text: &str) {
        if !self.quiet {
            self.stderr(&self.with_tilde(text));
        }
    }

    /// Lines on stderr without which whoever runs the command cannot go on: always.
    pub fn must_see(&self, text: &str) {
        self.stderr(text);
    }

    /// The next step after a command that is used once; at most one.
    pub fn next_step(&self, command: &str) {
        if !self.quiet && !self.json {
            self.stderr(&format!("next: {command}"));
        }
    }

    /// Shows what is going on while something long runs.
    pub fn progress(&self, phase: &str) -> Progress {
        let display = match (self.quiet, self.err_terminal && !self.json) {
            (true, _) => Display::None,
            (false, true) => Display::Terminal,
            (false, false) => Display::Lines,
        };
        Progress::start(display, phase)
    }

    /// Asks a question that needs a yes. With `yes` nobody is asked.
    ///
    /// # Errors
    /// Nobody can be asked: exit code 2, naming `--yes`. The answer was not yes.
    pub fn confirm(&self, question: &str, yes: bool) -> Outcome {
        match self.answer(question, yes) {
            Some(true) => Ok(()),
            Some(false) => Err(Failure::new(Exit::Failed, "not confirmed, nothing was changed")),
            None => Err(Failure::new(
                Exit::Usage,
                "this needs a confirmation, and there is no terminal to ask on",
            )
            .because_of(text::clean(question))
            .hint("the same command with --yes")),
        }
    }

    /// Asks a question that needs a yes and returns whether it was one; `None` if nobody can be asked. With `yes` nobody is.
    pub fn answer(&self, question: &str, yes: bool) -> Option<bool> {
        if yes {
            return Some(true);
        }
        if !self.ask {
            return None;
        }
        let question = text::clean(&self.with_tilde(question));
        let mut err = io::stderr().lock();
        let _ = write!(err, "{question} [y/N] ").and_then(|()| err.flush()); // the answer decides, not the prompt
        let mut answer = String::new();
        let read = io::Read::take(io::stdin().lock(), ANSWER_MAX).read_line(&mut answer);
        Some(read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Asks which of several; `None` if nobody can be asked, the number of one that is not there for none of them.
    pub fn choose(&self, question: &str, options: &[String]) -> Option<usize> {
        if !self.ask {
            return None;
        }
        let mut err = io::stderr().lock();
        let lines =
            options.iter().enumerate().map(|(n, option)| format!("  {}  {}", n + 1, text::clean(option)));
        let lines = lines.collect::<Vec<String>>().join("\n");
        let asked = format!("{}\n{lines}\nNumber, or nothing for none: ", text::clean(question));
        let _ = write!(err, "{asked}").and_then(|()| err.flush()); // the answer decides, not the prompt
        let mut answer = String::new();
        let read = io::Read::take(io::stdin().lock(), ANSWER_MAX).read_line(&mut answer);
        let number =
            answer.trim().parse::<usize>().ok().filter(|n| read.is_ok() && (1..=options.len()).contains(n));
        Some(number.map_or(options.len(), |n| n - 1))
    }

    /// Prints a failure and returns its exit code.
    pub fn fail(&self, failure: &Failure) -> Exit {
        if failure.quiet {
            return failure.exit;
        }
        if self.json {
            match self.document(&failure.to_json()) {
                Err(pipe) if pipe.quiet => return Exit::Done,
                _ => return failure.exit,
            }
        }
        self.stderr(&self.error_block(failure));
        failure.exit
    }

    /// `error: <what>: <object>`, a `cause:` line for each cause, `hint: <command>`.
    fn error_block(&self, failure: &Failure) -> String {
        let line = |tone, name, text: &str| format!("{}: {}", self.err.text(tone, name), text::clean(text));
        let mut lines = vec![line(Tone::Bad, "error", &self.with_tilde(&failure.headline()))];
        lines.extend(failure.causes.iter().map(|cause| line(Tone::Dim, "cause", &self.with_tilde(cause))));
        lines.extend(failure.hint.iter().map(|hint| line(Tone::Head, "hint", hint)));
        lines.join("\n")
    }

    fn stderr(&self, text: &str) {
        let mut err = io::stderr().lock();
        let _ = writeln!(err, "{}", self.err.harmless(text.trim_end())); // nobody reads it: nothing to do about it
    }
}

/// Prints a failure of which no [`Ui`] exists yet, such as wrong arguments.
pub fn fail_early(failure: &Failure, json: bool) -> Exit {
    Ui::new(Options { json, ..Options::default() }).fail(failure)
}

/// One line on stderr, for the panic hook.
pub fn last_words(line: &str, json: bool) {
    if json {
        let mut all = serde_json::Map::new();
        all.insert("success".into(), false.into());
        all.insert("error".into(), line.into());
        all.insert("exit_code".into(), Exit::Internal.code().into());
        let _ = writeln!(io::stdout().lock(), "{}", Value::Object(all));
    } else {
        let _ = writeln!(io::stderr().lock(), "error: {line}");
    }
}

/// Bytes on stdout for a program that asked, where no failure may be told: it has ended or it waits for nothing more.
pub fn answer(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

fn not_written(e: &io::Error) -> Failure {
    match e.kind() {
        io::ErrorKind::BrokenPipe => Failure::broken_pipe(),
        _ => Failure::new(Exit::Failed, "cannot write the output").because(e),
    }
}

fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_what_on_what_why_and_the_next_command() {
        let failure = Failure::new(Exit::Failed, "cannot read the configuration")
            .on("/home/ann/config.json")
            .because_of("/home/ann/x: permission denied (os error 13)")
            .hint("ls -ld '/home/ann/a b'");
        insta::assert_snapshot!(plain().error_block(&failure), @r"
        error: cannot read the configuration: ~/config.json
        cause: ~/x: permission denied
        hint: ls -ld '/home/ann/a b'
        ");
    }

    #[test]
    fn cli_02_without_a_terminal_a_question_is_a_usage_error() {
        let ui = Ui { ask: false, ..plain() };
        let failure = ui.confirm("Trust host.example?", false).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.as_ref().unwrap().contains("--yes"));
        assert!(ui.confirm("Trust host.example?", true).is_ok());
    }

    fn plain() -> Ui {
        Ui {
            json: false,
            quiet: false,
            verbose: false,
            ask: false,
            out: Paint::PLAIN,
            err: Paint::PLAIN,
            err_terminal: false,
            width: None,
            home: "/home/ann".to_owned(),
            printed: Cell::new(0),
        }
    }
}
