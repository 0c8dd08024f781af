//! Progress of a long command, on stderr. Silent at first; on a terminal one line that is redrawn and erased at
//! the end, elsewhere a line now and then.

use std::io::Write as _;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text::clean;
use crate::kit::clock::{Clock, Mono, SystemClock};

/// Nothing is shown before.
pub const SILENT: Duration = Duration::from_millis(250);
/// Redraws a second on a terminal, at most.
pub const HERTZ: u8 = 30;
/// Distance of the lines where there is no terminal.
pub const LINE_EVERY: Duration = Duration::from_secs(10);
/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);
/// Phases on their way to the display; further ones are dropped, the next one catches up.
const QUEUE: usize = 64;
/// Stack of the display's thread, in bytes.
const STACK: usize = 256 * 1024;

/// Where progress goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Display {
    /// Nowhere.
    None,
    /// A line that is redrawn.
    Terminal,
    /// Plain lines.
    Lines,
}

/// The progress of one command; gone when dropped.
#[derive(Debug)]
pub struct Progress {
    to: Option<Sender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins with a first phase. Without a thread to draw it there is simply no display.
    pub fn start(display: Display, phase: &str) -> Progress {
        if display == Display::None {
            return Progress { to: None, thread: None };
        }
        let (to, from) = bounded(QUEUE);
        let first = clean(phase);
        let thread = crate::kit::thread::spawn("progress", STACK, move || match display {
            Display::Terminal => draw(&from, first),
            Display::Lines | Display::None => lines(&from, first),
        });
        Progress { to: Some(to), thread: thread.ok() }
    }

    /// What is being done now, with how far it is in percent if that is known.
    pub fn phase(&self, text: &str, percent: Option<u8>) {
        if let Some(to) = &self.to {
            let text = match percent {
                Some(percent) => format!("{} ({}%)", clean(text), percent.min(100)),
                None => clean(text),
            };
            let _ = to.try_send(text); // the display is behind: the next phase says more
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.to = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::debug!("the progress display ended early");
        }
    }
}

/// Waits for the end or a new phase, `turn` at most. False at the end.
fn next(from: &Receiver<String>, phase: &mut String, turn: Duration) -> bool {
    match from.recv_timeout(turn) {
        Ok(text) => {
            *phase = from.try_iter().last().unwrap_or(text);
            true
        }
        Err(RecvTimeoutError::Timeout) => true,
        Err(RecvTimeoutError::Disconnected) => false,
    }
}

fn draw(from: &Receiver<String>, mut phase: String) {
    let start = SystemClock.now().mono;
    let mut bar: Option<ProgressBar> = None;
    while next(from, &mut phase, TURN) {
        if SystemClock.now().mono.since(start) < SILENT {
            continue;
        }
        let bar = bar.get_or_insert_with(spinner);
        bar.set_message(phase.clone());
        bar.tick();
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(HERTZ));
    bar.set_style(ProgressStyle::default_spinner());
    bar
}

fn lines(from: &Receiver<String>, mut phase: String) {
    let mut gate = Gate::new(SystemClock.now().mono);
    while next(from, &mut phase, TURN) {
        if gate.is_due(SystemClock.now().mono) {
            let mut err = std::io::stderr().lock();
            let _ = writeln!(err, "{phase} …"); // nobody reads it: nothing to do about it
        }
    }
}

/// When a plain line is due: after the silence, then every [`LINE_EVERY`].
#[derive(Debug)]
struct Gate {
    next: Mono,
}

impl Gate {
    fn new(start: Mono) -> Gate {
        Gate { next: start + SILENT }
    }

    fn is_due(&mut self, now: Mono) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + LINE_EVERY;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_08_silent_at_first_then_a_line_every_ten_seconds() {
        let at = |ms| Mono::ZERO + Duration::from_millis(ms);
        let mut gate = Gate::new(at(0));
        let due: Vec<u64> = (0..250).map(|i| i * 100).filter(|ms| gate.is_due(at(*ms))).collect();
        assert_eq!(due, [300, 10_300, 20_300]);
    }

    #[test]
    fn a_display_that_is_behind_never_blocks_the_work() {
        let progress = Progress::start(Display::Lines, "first");
        for i in 0..100_000 {
            progress.phase("again", Some(u8::try_from(i % 200).unwrap()));
        }
    }

    #[test]
    fn no_display_no_thread() {
        let progress = Progress::start(Display::None, "first");
        progress.phase("second", None);
        assert!(progress.thread.is_none());
    }
}
