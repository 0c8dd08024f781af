//! The link's hands: one thread with one socket that does what the machine says.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::discover::Endpoints;
use super::frames::{self, Said};
use super::limits::{CONNECT, SAID};
use super::machine::{Action, Failure, Input, Machine};
use super::socket::{self, Came, Socket};
use super::status::Shared;
use super::wake::Waker;
use super::{Access, Denied, Link, Sink, Want, post};
use crate::kit::cancel::Cancel;
use crate::kit::clock::{Clock, Mono};
use crate::kit::id::new_id;
use crate::kit::rng::Rng;
use crate::kit::secret::Secret;
use crate::relay::frame;
use crate::relay::queue::{AccountQueue, Batch};

/// So many messages are read before what they lead to is done.
const READ_AT_ONCE: usize = 64;
/// An end in order has so long to go out.
const FAREWELL: Duration = Duration::from_millis(500);

/// Sends what waits in `queue`, until `cancel` is set and what was on its way then is acknowledged or given up. `access` is asked for
/// tokens; it may take its time. The queue is locked only while it is read or written, never while the server is waited for.
pub fn run(
    link: &Link,
    queue: &Mutex<AccountQueue>,
    access: &mut dyn FnMut(Want) -> Result<Access, Denied>,
    waker: &Waker,
    shared: &Shared,
    clock: &dyn Clock,
    cancel: &Cancel,
) {
    // Its last bits are by chance.
    let seed = new_id().as_u64_pair().1;
    let mut driver = Driver {
        link,
        queue,
        access,
        waker,
        clock,
        cancel,
        socket: None,
        batch: None,
        token: Secret::default(),
        endpoints: None,
        inputs: VecDeque::from([Input::Start]),
        stopping: false,
        finished: false,
        said: None,
        under_way: None,
    };
    let mut machine = Machine::new(link, Rng::new(seed));
    loop {
        while let Some(input) = driver.inputs.pop_front() {
            for action in machine.handle(clock.now(), input) {
                driver.perform(action);
            }
            driver.tell(&machine);
            shared.set(machine.snapshot().clone());
            if driver.finished {
                return;
            }
        }
        driver.wait(machine.next_deadline());
    }
}

struct Driver<'a> {
    link: &'a Link,
    queue: &'a Mutex<AccountQueue>,
    access: &'a mut dyn FnMut(Want) -> Result<Access, Denied>,
    waker: &'a Waker,
    clock: &'a dyn Clock,
    cancel: &'a Cancel,
    socket: Option<Socket>,
    /// The records at hand.
    batch: Option<Batch>,
    token: Secret,
    endpoints: Option<Endpoints>,
    inputs: VecDeque<Input>,
    stopping: bool,
    finished: bool,
    /// What was logged last, and when.
    said: Option<(String, Mono)>,
    /// What the batch on its way is called on the wire, and by the machine.
    under_way: Option<(String, String)>,
}

impl Driver<'_> {
    fn perform(&mut self, action: Action) {
        match action {
            Action::Authorize(want) => self.authorize(want),
            Action::Connect => self.connect(),
            Action::Fetch { events, bytes } => {
                let next = self.queue.lock().next(events, bytes);
                let input = match next {
                    Ok(batch) => {
                        let count = batch.as_ref().map_or(0, |batch| batch.count);
                        self.batch = batch;
                        Input::Fetched(count)
                    }
                    Err(e) => Input::QueueFailed(e.to_string()),
                };
                self.inputs.push_back(input);
            }
            Action::Send { id, from, to } => {
                let records = self.records(from, to);
                // On the wire a batch is called by its records, so that what was shown before is what is sent.
                let called = frame::batch_id(&records);
                let frame = frame::batch_frame(&called, &records);
                self.under_way = Some((called, id));
                self.queue.lock().sent(to - from);
                self.on_socket(|socket| socket.say(frame));
            }
            Action::Post { from, to } => self.post(from, to),
            Action::Settle(upto) => {
                let last = upto.checked_sub(1).and_then(|n| self.batch.as_ref()?.records.get(n));
                let done = last.map(|record| self.queue.lock().ack(record.upto).map(drop));
                self.settled(done);
            }
            Action::Reject { at, code } => {
                let ms = self.clock.now().wall.as_millisecond();
                let record = self.batch.as_ref().and_then(|batch| batch.records.get(at));
                let done = record.map(|record| self.queue.lock().reject(record, &code, ms));
                self.settled(done);
            }
            Action::Release => {
                self.batch = None;
                self.queue.lock().release();
            }
            Action::SendAuth => {
                let text = frames::auth(self.token.expose()).into_bytes();
                self.on_socket(|socket| socket.say(text));
            }
            Action::Ping => self.on_socket(Socket::ping),
            Action::Close => {
                if let Some(socket) = self.socket.take() {
                    socket.close(self.clock.now().mono + FAREWELL);
                }
            }
            Action::Drop => self.socket = None,
            Action::Finish => self.finished = true,
        }
    }

    fn settled(&mut self, done: Option<Result<(), crate::relay::queue::Error>>) {
        if let Some(Err(e)) = done {
            self.inputs.push_back(Input::QueueFailed(e.to_string()));
        }
    }

    fn records(&self, from: usize, to: usize) -> Vec<&[u8]> {
        let all = self.batch.as_ref().map(Batch::raw).unwrap_or_default();
        all.get(from..to).map(<[_]>::to_vec).unwrap_or_default()
    }

    fn authorize(&mut self, want: Want) {
        let access = match self.link.sink {
            // What it needs is in a header of its own.
            Sink::Otlp { .. } => Ok(Access { token: Secret::default(), expires_at: None }),
            Sink::Relay => (self.access)(want),
        };
        self.inputs.push_back(match access {
            Ok(access) => {
                let mut mark = DefaultHasher::new();
                access.token.expose().hash(&mut mark);
                self.token = access.token;
                Input::Access { mark: mark.finish(), expires_at: access.expires_at }
            }
            Err(why) => Input::Denied(why),
        });
    }

    /// Where the server takes events. It is asked once.
    fn endpoints(&mut self) -> Result<Endpoints, String> {
        if let Some(known) = &self.endpoints {
            return Ok(known.clone());
        }
        let found = post::discover(self.link, self.cancel).map_err(|e| e.to_string())?;
        self.inputs.push_back(Input::Hello { events: found.batch_events, bytes: found.batch_bytes });
        self.endpoints = Some(found.clone());
        Ok(found)
    }

    fn connect(&mut self) {
        self.socket = None;
        let start = self.clock.now();
        let opened = self.endpoints().map_err(Failure::Other).and_then(|found| {
            let left = CONNECT.saturating_sub(self.clock.now().mono - start.mono);
            socket::connect(&self.link.client, &found.socket, &self.token, start.wall, left, self.cancel)
        });
        self.inputs.push_back(match opened {
            Ok((socket, dialect)) => {
                self.socket = Some(socket);
                Input::Connected(dialect)
            }
            Err(failure) => Input::NotConnected(failure),
        });
    }

    fn post(&mut self, from: usize, to: usize) {
        use super::machine::Answer;
        let answer = match self.endpoints() {
            Ok(found) => {
                self.queue.lock().sent(to - from);
                let now = self.clock.now().wall;
                let records = self.records(from, to);
                post::post(self.link, &found, &self.token, &records, now, self.cancel)
            }
            Err(why) => Some(Answer::Failed { why, reached: false }),
        };
        let cancelled = || Answer::Failed { why: "it was ended".to_owned(), reached: false };
        self.inputs.push_back(Input::Answered(answer.unwrap_or_else(cancelled)));
    }

    fn on_socket(&mut self, call: impl FnOnce(&mut Socket) -> Result<(), String>) {
        let Some(socket) = &mut self.socket else { return };
        if let Err(reason) = call(socket) {
            self.inputs.push_back(Input::Closed { code: None, reason });
        }
    }

    /// Waits until something happens or the deadline is there.
    fn wait(&mut self, deadline: Option<Mono>) {
        let now = self.clock.now().mono;
        let left = deadline.map(|at| at.since(now));
        let wait = left.and_then(|left| Timespec::try_from(left).ok());
        let mut woken = false;
        {
            let mut fds = vec![PollFd::from_borrowed_fd(self.waker.fd(), PollFlags::IN)];
            if let Some(socket) = &self.socket {
                let flags = if socket.is_full() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
                fds.push(PollFd::new(socket, flags));
            }
            if !self.stopping
                && let Some(fd) = self.cancel.fd()
            {
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            }
            if poll(&mut fds, wait.as_ref()).is_ok() {
                woken = !fds[0].revents().is_empty();
            }
        }
        if self.cancel.is_cancelled() && !self.stopping {
            self.stopping = true;
            self.inputs.push_back(Input::Stop);
        }
        if woken {
            let told = self.waker.hear();
            self.inputs.extend(told.login.then_some(Input::Login));
            self.inputs.extend(told.data.then_some(Input::Data));
        }
        self.read();
        if deadline.is_some_and(|at| at <= self.clock.now().mono) {
            self.inputs.push_back(Input::Tick);
        }
    }

    fn read(&mut self) {
        let under_way = self.under_way.clone();
        let Some(socket) = &mut self.socket else { return };
        for _ in 0..READ_AT_ONCE {
            let Some(came) = socket.read() else { return };
            let said = match came {
                Came::End { code, reason } => {
                    return self.inputs.push_back(Input::Closed { code, reason });
                }
                Came::Sign => {
                    self.inputs.push_back(Input::Heard);
                    continue;
                }
                Came::Said(said) => said,
            };
            self.inputs.push_back(Input::Heard);
            self.inputs.push_back(match said {
                Said::Ack(id) => Input::Ack(named(under_way.as_ref(), id)),
                Said::Hello { events, bytes } => Input::Hello { events, bytes },
                Said::Error { code, batch_id, retryable, message, retry_after } => {
                    let code = crate::kit::text::plain(&code, false).into_owned();
                    if !message.is_empty() {
                        log::warn!(
                            "relay: the server says {code}: {}",
                            crate::kit::text::plain(&message, false)
                        );
                    }
                    let batch_id = batch_id.map(|id| named(under_way.as_ref(), id));
                    Input::Error { code, batch_id, retryable, retry_after }
                }
                Said::Other => Input::Noise,
            });
        }
        // There may be more, of which the kernel knows nothing any more.
        self.inputs.push_back(Input::Heard);
    }

    /// Logs what went wrong, the same thing not again and again.
    fn tell(&mut self, machine: &Machine) {
        let Some(error) = &machine.snapshot().last_error else { return };
        let now = self.clock.now().mono;
        if self.said.as_ref().is_some_and(|(said, at)| said == error && now.since(*at) < SAID) {
            return;
        }
        log::warn!("relay: {error}");
        self.said = Some((error.clone(), now));
    }
}

/// What the machine calls the batch of that name, where it is the one on its way.
fn named(under_way: Option<&(String, String)>, called: String) -> String {
    match under_way {
        Some((wire, id)) if *wire == called => id.clone(),
        _ => called,
    }
}
