//! One connection in the loop: reading, serving, answering, closing.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Token};

use super::{Conn, Listener, NO_HISTORY, NO_STATUS, PONG, Step, Turn};
use crate::ipc::conn::{Fill, Next};
use crate::ipc::limits::{
    FINAL_WRITE, IDLE_CLOSE, LINE_MAX, LINES_PER_TURN, LINGER, ONE_WAY_BATCH, ONE_WAY_WAIT, READ_DEADLINE,
    READ_FIRST, READ_KEEP, SPARE_BUFFERS, UNFINISHED_BYTES_TOTAL,
};
use crate::ipc::published::Snapshot;
use crate::ipc::server::{ConnId, Counters, Inbound, ListenerId};
use crate::ipc::wire::{
    Kind, Message, PROTOCOL_VERSION, Request, RequestLine, Response, parse_request, text,
};
use crate::ipc::workers::Job;

impl Turn {
    /// Reads and serves until the connection has to wait for something.
    pub(super) fn drive(&mut self, slot: usize) {
        for _ in 0..LINES_PER_TURN {
            match self.step(slot) {
                Step::On => {}
                Step::Rest => return self.settle(slot),
                Step::Close => return self.close(slot),
            }
        }
        self.again.push(Token(slot * 2));
        self.settle(slot);
    }

    fn step(&mut self, slot: usize) -> Step {
        let Some(conn) = self.conn(slot) else { return Step::Rest };
        if conn.is_occupied() {
            return Step::Rest;
        }
        if conn.last {
            return Step::Close;
        }
        match conn.input.next_line() {
            Next::Line(at) => {
                (conn.kept, conn.heard) = (conn.heard, true);
                let buffer = conn.input.lend();
                let step = self.serve(slot, &buffer[at]);
                if let Some(conn) = self.conn(slot) {
                    conn.input.give_back(buffer);
                    if !conn.is_occupied() {
                        self.await_request(slot);
                    }
                }
                step
            }
            Next::TooLong => {
                (conn.last, conn.heard) = (true, true);
                self.answer(slot, &Response::error(format!("message too long: at most {LINE_MAX} bytes")))
            }
            Next::More if conn.eof => Step::Close,
            Next::More if !conn.readable => Step::Rest,
            Next::More => self.fill(slot),
        }
    }

    fn fill(&mut self, slot: usize) -> Step {
        if self.would_hold_too_much(slot) {
            return self.refuse(slot, "memory for requests");
        }
        let now = self.now;
        let Some(conn) = self.conn(slot) else { return Step::Rest };
        match conn.input.fill(&conn.stream) {
            Ok(Fill::Eof) => conn.eof = true,
            Ok(Fill::Nothing) => conn.readable = false,
            // The end of the stream brings no event of its own when it came together with the bytes.
            Ok(Fill::Bytes { drained }) => conn.readable = !drained || conn.read_closed,
            Err(e) => {
                log::debug!("ipc: reading a request failed: {e}");
                return Step::Close;
            }
        }
        if conn.idle && conn.input.has_bytes() {
            conn.idle = false;
            conn.deadline = Some(now + READ_DEADLINE);
        }
        Step::On
    }

    /// Whether reading on would need more memory than all connections together may hold.
    fn would_hold_too_much(&self, slot: usize) -> bool {
        let Some(conn) = self.conns.get(slot).and_then(Option::as_ref) else { return false };
        conn.input.is_full()
            && conn.input.held() >= READ_KEEP
            && self.conns.iter().flatten().map(|c| c.input.held()).sum::<usize>() + conn.input.held()
                > UNFINISHED_BYTES_TOTAL
    }

    /// Serves one request line.
    fn serve(&mut self, slot: usize, line: &[u8]) -> Step {
        Counters::add(&self.counters.requests);
        let Some((id, listener)) = self.listener_at(slot) else { return Step::Close };
        let request = match parse_request(line) {
            Ok(request) => request,
            Err(e) => {
                log::debug!("ipc: not a request: {e}");
                if let Some(conn) = self.conn(slot) {
                    conn.last = true;
                }
                return self.answer(slot, &Response::error(text::INVALID_FORMAT));
            }
        };
        if !request.workspace_id.is_empty()
            && !listener.workspace_id.is_empty()
            && request.workspace_id != listener.workspace_id.as_str()
        {
            log::warn!(
                "ipc: {} for workspace {} came to {}",
                request.kind,
                request.workspace_id,
                listener.workspace_id
            );
        }
        listener.published.touch(self.now);
        let served = listener.served;
        match Message::from_name(&request.kind) {
            Some(Message::Ping) => self.send_final(slot, PONG, None),
            Some(Message::Version) => self.answer(slot, &Response::data(&PROTOCOL_VERSION)),
            Some(message) if served.has(message) => self.serve_known(slot, id, message, &request),
            // Whoever sends a message without an answer does not look for one, not even for an error.
            Some(message) if message.kind() == Kind::OneWay => Step::Close,
            _ => self.answer(slot, &Response::error(text::UNKNOWN_TYPE)),
        }
    }

    fn serve_known(
        &mut self,
        slot: usize,
        id: ListenerId,
        message: Message,
        request: &RequestLine<'_>,
    ) -> Step {
        match message {
            Message::Status | Message::SyncHistory => self.serve_published(slot, message),
            _ => {
                let payload = request.payload.map(|payload| payload.get().as_bytes());
                let asked = Request::read(message, payload);
                let one_way = message.kind() == Kind::OneWay;
                match asked {
                    Ok(Some(asked)) if one_way => {
                        self.tell_core(slot, id, request, asked);
                        Step::Close
                    }
                    Ok(Some(asked)) => match self.ask_core(slot, id, request, asked) {
                        true => Step::Rest,
                        false => self.refuse(slot, "daemon"),
                    },
                    _ if one_way => Step::Close,
                    Ok(None) => self.answer(slot, &Response::error(text::UNKNOWN_TYPE)),
                    Err(response) => self.answer(slot, &response),
                }
            }
        }
    }

    /// Has a message without an answer handed to the core, in a moment and with those that come until then.
    fn tell_core(&mut self, slot: usize, listener: ListenerId, line: &RequestLine<'_>, request: Request) {
        let conn = self.open_request(slot);
        let caller_id = line.caller_id.clone().into_owned();
        self.one_way.push(Inbound { conn, listener, caller_id, request });
        if self.one_way.len() >= ONE_WAY_BATCH {
            self.hand_over_one_way();
        } else {
            self.one_way_until.get_or_insert(self.now + ONE_WAY_WAIT);
        }
    }

    /// Hands over what waits. What finds the core's inbox full is lost: nobody waits for an answer.
    pub(super) fn hand_over_one_way(&mut self) {
        self.one_way_until = None;
        for inbound in self.one_way.drain(..) {
            if !(self.hand_over)(inbound) {
                Counters::add(&self.counters.busy);
            }
        }
    }

    /// Hands a request to the core, after what came before it; false if its inbox is full.
    fn ask_core(
        &mut self,
        slot: usize,
        listener: ListenerId,
        line: &RequestLine<'_>,
        request: Request,
    ) -> bool {
        self.hand_over_one_way();
        let conn = self.open_request(slot);
        let caller_id = line.caller_id.clone().into_owned();
        let taken = (self.hand_over)(Inbound { conn, listener, caller_id, request });
        if !taken && let Some(conn) = self.conn(slot) {
            conn.asked = None;
        }
        taken
    }

    /// Answers from the published snapshot, at once if it has been encoded before, else by way of a worker.
    fn serve_published(&mut self, slot: usize, what: Message) -> Step {
        let Some((_, listener)) = self.listener_at(slot) else { return Step::Close };
        let snapshot = listener.published.snapshot();
        if self.is_ready(&snapshot, what) {
            return self.send_published(slot, &snapshot, what);
        }
        let conn = self.open_request(slot);
        match self.jobs.try_send(Job::Encode { conn, snapshot, what }) {
            Ok(()) => Step::Rest,
            Err(_) => self.refuse(slot, "request workers"),
        }
    }

    /// Nothing is left to encode.
    fn is_ready(&self, snapshot: &Snapshot, what: Message) -> bool {
        match what {
            Message::Status => snapshot.status.is_none() || snapshot.ready_status().is_some(),
            _ => snapshot.history.is_empty() || snapshot.ready_history().is_some(),
        }
    }

    pub(super) fn send_published(&mut self, slot: usize, snapshot: &Snapshot, what: Message) -> Step {
        if what == Message::SyncHistory {
            return match snapshot.ready_history() {
                Some(line) => self.send_final(slot, &[], Some(line.clone())),
                None => self.send_final(slot, NO_HISTORY, None),
            };
        }
        let encoded = match snapshot.ready_status() {
            None => return self.send_final(slot, NO_STATUS, None),
            Some(Err(e)) => return self.answer(slot, &Response::error(format!("{}{e}", text::MARSHAL))),
            Some(Ok(encoded)) => encoded,
        };
        let now = self.clock.now().mono;
        let Some((_, listener)) = self.listener_at(slot) else { return Step::Close };
        let uptime = now.since(listener.published.started());
        // The request itself is activity; zero would leave the key out.
        let idle = now.since(listener.published.last_activity()).max(Duration::from_nanos(1));
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let tail = encoded.write_line(uptime, idle, &mut line);
        let step = self.send_final(slot, &line, Some(tail));
        self.line = line;
        step
    }

    /// Marks the connection as waiting for an answer, without a deadline.
    fn open_request(&mut self, slot: usize) -> ConnId {
        self.serial += 1;
        let serial = self.serial;
        if let Some(conn) = self.conn(slot) {
            conn.asked = Some(serial);
            conn.deadline = None;
        }
        ConnId { slot: u32::try_from(slot).unwrap_or(u32::MAX), serial }
    }

    fn refuse(&mut self, slot: usize, what: &str) -> Step {
        Counters::add(&self.counters.busy);
        self.answer(slot, &Response::busy(what))
    }

    pub(super) fn answer(&mut self, slot: usize, response: &Response) -> Step {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        response.write_line(&mut line);
        if line.len() > LINE_MAX {
            log::error!("ipc: bug: an answer of {} bytes, at most {LINE_MAX} fit", line.len());
            line = Vec::new();
            Response::error("the answer is longer than a line may be").write_line(&mut line);
        }
        let step = self.send_final(slot, &line, None);
        line.clear();
        line.shrink_to(READ_KEEP);
        self.line = line;
        step
    }

    /// Sends the last line of an answer, or as much as the peer takes now.
    fn send_final(&mut self, slot: usize, line: &[u8], tail: Option<Arc<[u8]>>) -> Step {
        let deadline = self.now + FINAL_WRITE;
        let Some(conn) = self.conn(slot) else { return Step::Rest };
        conn.asked = None;
        conn.finishing = true;
        conn.deadline = Some(deadline);
        match conn.output.finish(&conn.stream, line, tail) {
            Ok(true) => self.written(slot),
            Ok(false) => Step::Rest,
            Err(e) => {
                log::debug!("ipc: the peer is gone: {e}");
                Step::Close
            }
        }
    }

    /// The kernel has taken the whole answer.
    fn written(&mut self, slot: usize) -> Step {
        let Some(conn) = self.conn(slot) else { return Step::Rest };
        conn.finishing = false;
        let told = conn.on_written.take();
        self.await_request(slot);
        if let Some(told) = told {
            told(true);
        }
        Step::On
    }

    /// Starts the time for the next request of a kept connection.
    fn await_request(&mut self, slot: usize) {
        let now = self.now;
        let Some(conn) = self.conn(slot) else { return };
        conn.idle = !conn.input.has_bytes();
        let within = match (conn.idle, conn.kept) {
            (false, _) => READ_DEADLINE,
            (true, false) => LINGER,
            (true, true) => IDLE_CLOSE,
        };
        conn.deadline = Some(now + within);
        self.arm(now + within);
    }

    /// Sends what is queued; false if the connection had to be closed.
    pub(super) fn flush(&mut self, slot: usize) -> bool {
        let now = self.now;
        let Some(conn) = self.conn(slot) else { return false };
        match conn.output.flush(now, &conn.stream) {
            Ok(true) if conn.finishing => drop(self.written(slot)),
            Ok(_) => {}
            Err(e) => {
                log::debug!("ipc: the peer is gone: {e}");
                self.close(slot);
                return false;
            }
        }
        true
    }

    /// Tells the kernel what the connection waits for, and remembers its deadline.
    pub(super) fn settle(&mut self, slot: usize) {
        let Some(conn) = self.conns.get_mut(slot).and_then(Option::as_mut) else { return };
        let wanted = match conn.output.is_empty() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        if conn.interest != Some(wanted) {
            let raw = conn.stream.as_raw_fd();
            let registry = self.poll.registry();
            let told = match conn.interest {
                None => registry.register(&mut SourceFd(&raw), Token(slot * 2), wanted),
                Some(_) => registry.reregister(&mut SourceFd(&raw), Token(slot * 2), wanted),
            };
            conn.interest = Some(wanted);
            if let Err(e) = told {
                log::error!("ipc: a connection cannot be waited for: {e}");
                return self.close(slot);
            }
        }
        if let Some(at) = conn.deadline {
            self.arm(at);
        }
    }

    pub(super) fn close(&mut self, slot: usize) {
        let Some(mut conn) = self.conns.get_mut(slot).and_then(Option::take) else { return };
        self.free.push(slot);
        self.open -= 1;
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(listener) = self.listeners.get_mut(&conn.listener) {
            listener.open -= 1;
        }
        let buffer = conn.input.into_buffer();
        if self.spare.len() < SPARE_BUFFERS && (READ_FIRST..=READ_KEEP).contains(&buffer.capacity()) {
            self.spare.push(buffer);
        }
        if let Some(told) = conn.on_written.take() {
            told(false);
        }
    }

    pub(super) fn conn(&mut self, slot: usize) -> Option<&mut Conn> {
        self.conns.get_mut(slot).and_then(Option::as_mut)
    }

    fn listener_at(&self, slot: usize) -> Option<(ListenerId, &Listener)> {
        let id = self.conns.get(slot)?.as_ref()?.listener;
        Some((id, self.listeners.get(&id)?))
    }
}
