//! The connection below TLS, which notices that a call was cancelled and tells a new connection from a kept one.

use std::cell::RefCell;
use std::fmt;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::limits::CANCEL_SLICE;
use crate::kit::cancel::Cancel;

/// The call that the current thread makes. The library runs a call on the caller's thread from end to end, and has no other
/// way to tell a connection, which outlives calls, which one it serves.
struct Call {
    cancel: Option<Cancel>,
    connected: bool,
}

thread_local! {
    static CALL: RefCell<Option<Call>> = const { RefCell::new(None) };
}

/// Runs one call on this thread. The second answer is whether it made a new connection.
pub(super) fn watch<T>(cancel: Option<&Cancel>, run: impl FnOnce() -> T) -> (T, bool) {
    CALL.set(Some(Call { cancel: cancel.cloned(), connected: false }));
    let result = run();
    let call = CALL.take();
    (result, call.is_some_and(|c| c.connected))
}

fn cancel() -> Option<Cancel> {
    CALL.with_borrow(|call| call.as_ref().and_then(|c| c.cancel.clone()))
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

/// Wraps the connection that comes out of the connectors before it.
#[derive(Debug, Default)]
pub(super) struct WatchConnector;

impl<In: Transport> Connector<In> for WatchConnector {
    type Out = Watched<In>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<Watched<In>>, Error> {
        CALL.with_borrow_mut(|call| call.iter_mut().for_each(|c| c.connected = true));
        Ok(chained.map(Watched))
    }
}

#[derive(Debug)]
pub(super) struct Watched<T>(T);

impl<T: Transport> Transport for Watched<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let Some(cancel) = cancel() else { return self.0.await_input(timeout) };
        let mut left = *timeout.after;
        loop {
            if cancel.is_cancelled() {
                return Err(Error::Other(Box::new(Cancelled)));
            }
            let slice = left.min(CANCEL_SLICE);
            match self.0.await_input(NextTimeout { after: slice.into(), ..timeout }) {
                Err(Error::Timeout(_)) if left > slice => left -= slice,
                other => return other,
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
