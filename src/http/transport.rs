//! The connection below TLS, which notices that a call was cancelled and tells a new connection from a kept one.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::limits::CANCEL_SLICE;
use crate::kit::cancel::Cancel;

/// The call that the current thread makes. The library runs a call on the caller's thread from end to end, and has no other
/// way to tell a connection, which outlives calls, which one it serves.
struct Call {
    limits: Limits,
    traffic: Traffic,
}

/// What went over the network in a call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    /// A new connection was made.
    pub(super) connected: bool,
    /// Bytes that went out, as the network has them.
    pub(super) sent: u64,
    /// Bytes that came in, as the network has them.
    pub(super) received: u64,
}

impl Traffic {
    /// Both together.
    pub(super) fn and(self, other: Traffic) -> Traffic {
        Traffic {
            connected: self.connected || other.connected,
            sent: self.sent + other.sent,
            received: self.received + other.received,
        }
    }
}

/// What may end a call early.
#[derive(Clone, Default)]
pub(super) struct Limits {
    pub(super) cancel: Option<Cancel>,
    /// The longest time in which nothing goes out, and in which nothing comes in.
    pub(super) stall: Option<(Duration, Duration)>,
}

thread_local! {
    static CALL: RefCell<Option<Call>> = const { RefCell::new(None) };
}

/// Runs one call on this thread. The second answer is what of it went over the network.
pub(super) fn watch<T>(limits: &Limits, run: impl FnOnce() -> T) -> (T, Traffic) {
    CALL.set(Some(Call { limits: limits.clone(), traffic: Traffic::default() }));
    let result = run();
    (result, CALL.take().map(|call| call.traffic).unwrap_or_default())
}

fn count(add: impl FnOnce(&mut Traffic)) {
    CALL.with_borrow_mut(|call| {
        if let Some(call) = call {
            add(&mut call.traffic);
        }
    });
}

fn limits() -> Limits {
    CALL.with_borrow(|call| call.as_ref().map(|c| c.limits.clone()).unwrap_or_default())
}

/// The call was cancelled.
#[derive(Debug)]
pub(super) struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// Nothing came or went for so long.
#[derive(Debug)]
pub(super) struct Stalled(pub(super) Duration);

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stalled")
    }
}

impl std::error::Error for Stalled {}

fn stalled(after: Duration) -> Error {
    Error::Other(Box::new(Stalled(after)))
}

/// Wraps the connection that comes out of the connectors before it.
#[derive(Debug, Default)]
pub(super) struct WatchConnector;

impl<In: Transport> Connector<In> for WatchConnector {
    type Out = Watched<In>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<Watched<In>>, Error> {
        count(|traffic| traffic.connected = true);
        Ok(chained.map(Watched))
    }
}

#[derive(Debug)]
pub(super) struct Watched<T>(T);

impl<T: Transport> Watched<T> {
    /// Waits for bytes of the connection below, and counts what came.
    fn take_in(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let before = self.0.buffers().input().len();
        let result = self.0.await_input(timeout);
        let came = self.0.buffers().input().len().saturating_sub(before);
        count(|traffic| traffic.received += came as u64);
        result
    }
}

impl<T: Transport> Transport for Watched<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        count(|traffic| traffic.sent += amount as u64);
        let stall = limits().stall.map(|(out, _)| out).filter(|stall| *stall < *timeout.after);
        let Some(stall) = stall else { return self.0.transmit_output(amount, timeout) };
        match self.0.transmit_output(amount, NextTimeout { after: stall.into(), ..timeout }) {
            Err(Error::Timeout(_)) => Err(stalled(stall)),
            other => other,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let Limits { cancel, stall } = limits();
        let stall = stall.map(|(_, within)| within).filter(|stall| *stall < *timeout.after);
        let mut left = stall.unwrap_or(*timeout.after);
        let ended = |result| match (result, stall) {
            (Err(Error::Timeout(_)), Some(stall)) => Err(stalled(stall)),
            (result, _) => result,
        };
        let Some(cancel) = cancel else {
            return ended(self.take_in(NextTimeout { after: left.into(), ..timeout }));
        };
        loop {
            if cancel.is_cancelled() {
                return Err(Error::Other(Box::new(Cancelled)));
            }
            let slice = left.min(CANCEL_SLICE);
            match self.take_in(NextTimeout { after: slice.into(), ..timeout }) {
                Err(Error::Timeout(_)) if left > slice => left -= slice,
                other => return ended(other),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}
