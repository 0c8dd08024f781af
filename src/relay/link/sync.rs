//! What waits, sent once and by HTTP alone.

use std::time::Duration;

use parking_lot::Mutex;

use super::limits::{ATTEMPTS, BACKOFF, BATCH_BYTES, BATCH_EVENTS, JITTER, SYNC_WAIT};
use super::machine::Answer;
use super::{Access, Denied, Endpoints, Link, Sink, Want, post};
use crate::kit::cancel::Cancel;
use crate::kit::clock::{Clock, pause};
use crate::kit::id::new_id;
use crate::kit::rng::Rng;
use crate::kit::secret::Secret;
use crate::relay::queue::{AccountQueue, Batch, Error};

/// A wait looks this often whether it was cancelled.
const SLICE: Duration = Duration::from_millis(50);

/// Why not all of it was sent. What was not stays.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Nobody is logged in.
    #[error("not logged in: {0}")]
    NoLogin(String),
    /// The server wants to be left alone.
    #[error("the server has too much to do; {sent} events are sent, try again in {after_s} s")]
    Busy {
        /// How many it took before.
        sent: usize,
        /// When it may be asked again, in seconds.
        after_s: u64,
    },
    /// It did not take them.
    #[error("{why}; {sent} events are sent, the others stay queued")]
    Failed {
        /// How many it took before.
        sent: usize,
        /// What it said.
        why: String,
    },
    /// The queue.
    #[error(transparent)]
    Queue(#[from] Error),
    /// It was cancelled.
    #[error("cancelled after {sent} events")]
    Cancelled {
        /// How many the server took before.
        sent: usize,
    },
}

/// Sends all that waits and returns how many records the server took. Records that it will never take are put aside.
///
/// # Errors
/// See [`SyncError`]. The server has what was acknowledged until then.
pub fn sync(
    link: &Link,
    queue: &Mutex<AccountQueue>,
    access: &mut dyn FnMut(Want) -> Result<Access, Denied>,
    clock: &dyn Clock,
    cancel: &Cancel,
) -> Result<usize, SyncError> {
    let mut rng = Rng::new(new_id().as_u64_pair().1);
    let mut run =
        Run { link, queue, access, clock, cancel, sent: 0, token: Secret::default(), renewed: false };
    run.authorize(Want::Current)?;
    let endpoints = run.endpoints(&mut rng)?;
    let events = link.batch_events.clamp(1, BATCH_EVENTS).min(endpoints.batch_events.unwrap_or(BATCH_EVENTS));
    let bytes = BATCH_BYTES.min(endpoints.batch_bytes.unwrap_or(BATCH_BYTES));
    let done = run.all(&endpoints, events.max(1), bytes, &mut rng);
    queue.lock().release();
    done?;
    Ok(run.sent)
}

struct Run<'a> {
    link: &'a Link,
    queue: &'a Mutex<AccountQueue>,
    access: &'a mut dyn FnMut(Want) -> Result<Access, Denied>,
    clock: &'a dyn Clock,
    cancel: &'a Cancel,
    sent: usize,
    token: Secret,
    /// The server refused a token and there is another one.
    renewed: bool,
}

impl Run<'_> {
    fn all(
        &mut self,
        endpoints: &Endpoints,
        events: usize,
        bytes: usize,
        rng: &mut Rng,
    ) -> Result<(), SyncError> {
        loop {
            let next = self.queue.lock().next(events, bytes)?;
            let Some(batch) = next else { return Ok(()) };
            self.part(endpoints, &batch, 0, batch.count, rng)?;
        }
    }

    /// Sends the records `from..to` of a batch, of which those before are dealt with.
    fn part(
        &mut self,
        endpoints: &Endpoints,
        batch: &Batch,
        from: usize,
        to: usize,
        rng: &mut Rng,
    ) -> Result<(), SyncError> {
        let Some(records) = batch.records.get(from..to) else { return Ok(()) };
        let Some(last) = records.last() else { return Ok(()) };
        let code = match self.send(endpoints, &batch.raw()[from..to], rng)? {
            None => {
                self.sent += self.queue.lock().ack(last.upto)?;
                return Ok(());
            }
            Some(code) => code,
        };
        if records.len() == 1 {
            let ms = self.clock.now().wall.as_millisecond();
            self.queue.lock().reject(last, &code, ms)?;
            return Ok(());
        }
        let middle = from + (to - from) / 2;
        self.part(endpoints, batch, from, middle, rng)?;
        self.part(endpoints, batch, middle, to, rng)
    }

    /// Sends records until the server has them (`None`) or says that it will never take them as they are (why).
    fn send(
        &mut self,
        endpoints: &Endpoints,
        records: &[&[u8]],
        rng: &mut Rng,
    ) -> Result<Option<String>, SyncError> {
        let mut attempts = 0;
        loop {
            self.queue.lock().sent(records.len());
            let now = self.clock.now().wall;
            let answer = post::post(self.link, endpoints, &self.token, records, now, self.cancel)
                .ok_or(SyncError::Cancelled { sent: self.sent })?;
            match answer {
                Answer::Taken => return Ok(None),
                Answer::TooLarge => return Ok(Some("too_large".to_owned())),
                Answer::Bad(code) => return Ok(Some(code)),
                Answer::Refused(status) if self.renewed => {
                    return Err(SyncError::NoLogin(format!("the server refuses the login (HTTP {status})")));
                }
                Answer::Refused(_) => {
                    self.renewed = true;
                    self.authorize(Want::Renewed)?;
                }
                Answer::Busy { retry_after, .. } => {
                    let wait = retry_after.unwrap_or(BACKOFF.base);
                    attempts += 1;
                    if wait > SYNC_WAIT || attempts == ATTEMPTS {
                        return Err(SyncError::Busy { sent: self.sent, after_s: wait.as_secs().max(1) });
                    }
                    self.pause(wait)?;
                }
                Answer::Failed { why, .. } => {
                    attempts += 1;
                    if attempts == ATTEMPTS {
                        return Err(SyncError::Failed { sent: self.sent, why });
                    }
                    self.pause(rng.jitter(BACKOFF.delay(attempts), JITTER))?;
                }
            }
        }
    }

    fn endpoints(&self, rng: &mut Rng) -> Result<Endpoints, SyncError> {
        let mut attempts = 0;
        loop {
            match post::discover(self.link, self.cancel) {
                Ok(found) => return Ok(found),
                Err(_) if self.cancel.is_cancelled() => return Err(SyncError::Cancelled { sent: 0 }),
                Err(e) => {
                    attempts += 1;
                    if attempts == ATTEMPTS {
                        return Err(SyncError::Failed { sent: 0, why: e.to_string() });
                    }
                }
            }
            self.pause(rng.jitter(BACKOFF.delay(attempts), JITTER))?;
        }
    }

    fn authorize(&mut self, want: Want) -> Result<(), SyncError> {
        if let Sink::Otlp { .. } = self.link.sink {
            return Ok(());
        }
        match (self.access)(want) {
            Ok(access) => {
                self.token = access.token;
                Ok(())
            }
            Err(Denied::NoLogin(why)) => Err(SyncError::NoLogin(why)),
            Err(Denied::Later(why)) => Err(SyncError::Failed { sent: self.sent, why }),
        }
    }

    fn pause(&self, wait: Duration) -> Result<(), SyncError> {
        let end = self.clock.now().mono + wait;
        loop {
            let left = end.since(self.clock.now().mono);
            if self.cancel.is_cancelled() {
                return Err(SyncError::Cancelled { sent: self.sent });
            }
            if left.is_zero() {
                return Ok(());
            }
            pause(left.min(SLICE));
        }
    }
}
