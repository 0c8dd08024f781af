//! What the process does about itself: it removes what earlier ones left, and makes way for a newer program.

pub mod event;
mod restart;
pub(super) mod work;

use self::restart::Restart;
use super::cx::Cx;
use super::fact::Fact;
use event::{Effect, Timer};
pub use restart::{GRACE, SPACING, is_newer};

/// The state of that.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    restart: Restart,
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Upkeep(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Upkeep(timer)
    }
}

impl Upkeep {
    pub(super) fn start(&mut self, cx: &mut Cx) {
        self.tidy_up(cx);
    }

    /// `busy`: anything is being worked on.
    pub(super) fn due(&mut self, cx: &mut Cx, timer: Timer, busy: bool) {
        match timer {
            Timer::TidyUp => self.tidy_up(cx),
            Timer::Restart => self.restart.due(cx, busy),
        }
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        if let Fact::Heard { version, .. } = fact {
            self.restart.heard(cx, version);
        }
    }

    fn tidy_up(&self, cx: &mut Cx) {
        cx.set_in(Timer::TidyUp, cx.identity.periods.gc);
        cx.push(Effect::TidyUp);
    }
}
