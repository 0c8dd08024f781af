//! A port on loopback that stays this test's, also while nobody listens on it: whatever runs beside cannot get it.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;

use rustix::net::sockopt::set_socket_reuseport;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};

/// A port. Connecting is refused until [`Port::listen`].
pub struct Port {
    /// Bound and never listening: it only keeps the number.
    _held: OwnedFd,
    address: SocketAddr,
}

impl Port {
    /// A free one, on which nobody listens.
    pub fn refusing() -> Port {
        let held = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = SocketAddrV4::try_from(getsockname(&held).unwrap()).unwrap();
        Port { _held: held, address: address.into() }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens. Dropping the listener has connections refused again.
    pub fn listen(&self) -> TcpListener {
        let socket = bound(self.address);
        listen(&socket, 128).unwrap();
        TcpListener::from(socket)
    }
}

/// Both sockets of a port agree to share it, which only sockets of one user can.
fn bound(address: SocketAddr) -> OwnedFd {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    set_socket_reuseport(&socket, true).unwrap();
    bind(&socket, &address).unwrap();
    socket
}
