//! Who waits for the relay, and when they are answered.

use super::event::{Effect, Timer};
use super::{Relay, Waiter};
use crate::daemon::cx::Cx;
use crate::ipc::wire::{RelayFlushed, Response};

impl Relay {
    /// Answers those who wait until all is sent, with how far that is.
    pub(super) fn flushed(&mut self, cx: &mut Cx) {
        let status = self.status();
        for waiter in self.take(|one| matches!(one, Waiter::Flush(..))) {
            let Waiter::Flush(conn, before) = waiter else { continue };
            let error = if self.account.is_none() { status.why.clone() } else { status.last_error.clone() };
            let left = status.queue_events;
            let done = RelayFlushed {
                sent: (status.acked_total - before).max(0),
                left,
                error: if left > 0 || self.account.is_none() { error } else { String::new() },
            };
            cx.reply(conn, Response::data(&done));
        }
        cx.set(Timer::Flush, None);
    }

    pub(super) fn answer_ended(&mut self, cx: &mut Cx) {
        if self.link.is_some() || self.feeding {
            return;
        }
        let waiting = self.take(|who| matches!(who, Waiter::End(_)));
        if !waiting.is_empty() {
            cx.push(Effect::LetGo);
        }
        for who in waiting {
            if let Waiter::End(conn) = who {
                cx.reply(conn, Response::ok());
            }
        }
    }

    pub(super) fn take(&mut self, who: impl Fn(&Waiter) -> bool) -> Vec<Waiter> {
        let (taken, left) = std::mem::take(&mut self.waiting).into_iter().partition(|one| who(one));
        self.waiting = left;
        taken
    }
}
