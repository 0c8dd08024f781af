//! Addresses of hosts: known for a minute, looked up on a thread that may be given up.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use parking_lot::Mutex;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::limits::{CANCEL_SLICE, CONNECT, LOOKUPS, NAMES_CAP, NAMES_KEPT};
use super::transport::Cancelled;
use crate::kit::cancel::Cancel;
use crate::kit::clock::{Clock, Mono};
use crate::kit::semaphore::Semaphore;
use crate::kit::thread::{STACK_SMALL, spawn};

/// More addresses of one name than this are left out; the library keeps no more.
const ADDRESSES: usize = 16;

/// The addresses looked up so far. Clones share them.
#[derive(Clone)]
pub(super) struct Names(Arc<Inner>);

/// Addresses, and since when they are known.
type Found = (Mono, Vec<SocketAddr>);

struct Inner {
    clock: Arc<dyn Clock>,
    /// By host and port.
    kept: Mutex<HashMap<(String, u16), Found>>,
    lookups: Semaphore,
}

impl Names {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Names {
        Names(Arc::new(Inner { clock, kept: Mutex::default(), lookups: Semaphore::new(LOOKUPS) }))
    }

    /// Forgets a host's addresses: it may have moved, or the machine to another network.
    pub(super) fn forget(&self, host: &str) {
        self.0.kept.lock().retain(|(name, _), _| name != host);
    }

    /// The addresses of a host, looked up for at most `wait`, and no longer once `cancel` is set.
    pub(super) fn find(
        &self,
        host: &str,
        port: u16,
        wait: Duration,
        cancel: Option<&Cancel>,
    ) -> Result<Vec<SocketAddr>, ureq::Error> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        if host.eq_ignore_ascii_case("localhost") {
            // By definition this machine (RFC 6761, 6.3), whatever a name server says.
            let both = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
            return Ok(both.map(|ip| SocketAddr::new(ip, port)).to_vec());
        }
        let key = (host.to_owned(), port);
        let now = self.0.clock.now().mono;
        if let Some((since, found)) = self.0.kept.lock().get(&key)
            && now.since(*since) < NAMES_KEPT
        {
            return Ok(found.clone());
        }
        let found = self.look_up(host, port, wait, cancel)?;
        let mut kept = self.0.kept.lock();
        if kept.len() >= NAMES_CAP {
            kept.clear();
        }
        kept.insert(key, (now, found.clone()));
        Ok(found)
    }

    /// The system's lookup cannot be ended, so it has a thread that is left to itself after `wait`.
    fn look_up(
        &self,
        host: &str,
        port: u16,
        wait: Duration,
        cancel: Option<&Cancel>,
    ) -> Result<Vec<SocketAddr>, ureq::Error> {
        let Some(slot) = self.0.lookups.acquire(wait) else {
            return Err(ureq::Error::Timeout(ureq::Timeout::Resolve));
        };
        let (tell, told) = crossbeam_channel::bounded(1);
        let name = host.to_owned();
        let look = move || {
            let found = (name.as_str(), port).to_socket_addrs();
            drop(slot);
            // Nobody hears it when the caller has given up.
            drop(tell.send(found.map(|all| all.take(ADDRESSES).collect::<Vec<_>>())));
        };
        spawn("resolve", STACK_SMALL, look)?;
        let mut left = wait;
        loop {
            let slice = if cancel.is_some() { left.min(CANCEL_SLICE) } else { left };
            match told.recv_timeout(slice) {
                Ok(Ok(found)) if found.is_empty() => return Err(ureq::Error::HostNotFound),
                // What the system says is the name's fault as far as can be told, and no error of a file of ours.
                Ok(found) => return found.map_err(|_| ureq::Error::HostNotFound),
                Err(_) if cancel.is_some_and(Cancel::is_cancelled) => {
                    return Err(ureq::Error::Other(Box::new(Cancelled)));
                }
                Err(RecvTimeoutError::Timeout) if left > slice => left -= slice,
                Err(_) => return Err(ureq::Error::Timeout(ureq::Timeout::Resolve)),
            }
        }
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let found = self.find(&host.to_ascii_lowercase(), port, CONNECT.min(*timeout.after), None)?;
        let mut result = self.empty();
        for address in config.ip_family().keep_wanted(found.into_iter()).take(ADDRESSES) {
            result.push(address);
        }
        if result.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(result) }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::clock::SystemClock;

    #[test]
    fn this_machine_and_addresses_need_no_name_server() {
        let names = Names::new(Arc::new(SystemClock));
        let find = |host| names.find(host, 7, Duration::ZERO, None).unwrap();
        assert_eq!(find("127.0.0.1"), ["127.0.0.1:7".parse().unwrap()]);
        assert_eq!(find("[::1]"), ["[::1]:7".parse().unwrap()]);
        assert_eq!(find("localhost"), ["127.0.0.1:7".parse().unwrap(), "[::1]:7".parse().unwrap()]);
        assert!(names.0.kept.lock().is_empty());
    }

    #[test]
    fn addresses_are_known_for_a_minute_or_until_they_fail() {
        let clock = crate::kit::clock::SimClock::new(jiff::Timestamp::UNIX_EPOCH);
        let names = Names::new(Arc::new(clock.clone()));
        let keep = |name: &str| {
            let there = vec!["192.0.2.1:7".parse().unwrap()];
            names.0.kept.lock().insert((name.into(), 7), (clock.now().mono, there));
        };
        // Names below .invalid are never found, so only what is kept can answer.
        let known = |name: &str| names.find(name, 7, Duration::from_secs(10), None).is_ok();
        keep("a.invalid");
        assert!(known("a.invalid"));
        clock.advance(NAMES_KEPT);
        assert!(!known("a.invalid"));
        keep("a.invalid");
        names.forget("a.invalid");
        assert!(!known("a.invalid"));
    }
}
