//! What no server can be faster than: accept, read, write, nothing between.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::epoll::{CreateFlags, Event, EventData, EventFlags, add, create, modify, wait};
use rustix::io::{Errno, read, write};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};

struct Peer {
    fd: OwnedFd,
    /// What is left of an answer that did not fit.
    rest: Vec<u8>,
}

/// Serves for the life of the process: echoes, or answers each line with `reply`.
pub fn start(path: &Path, reply: Option<Vec<u8>>) {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(PathBuf::from(path)).unwrap()).unwrap();
    listen(&listener, 128).unwrap();
    std::thread::spawn(move || serve(&listener, reply.as_deref()));
}

fn serve(listener: &OwnedFd, reply: Option<&[u8]>) {
    let epoll = create(CreateFlags::CLOEXEC).unwrap();
    let id = |fd: &OwnedFd| EventData::new_u64(fd.as_raw_fd() as u64);
    add(&epoll, listener, id(listener), EventFlags::IN).unwrap();
    let mut peers: HashMap<u64, Peer> = HashMap::new();
    let mut events = [MaybeUninit::<Event>::uninit(); 256];
    let mut buffer = vec![0; 4096];
    loop {
        let ready: Vec<Event> = match wait(&epoll, &mut events, None) {
            Ok((ready, _)) => ready.to_vec(),
            Err(Errno::INTR) => continue,
            Err(e) => panic!("{e}"),
        };
        for event in ready {
            let token = event.data.u64();
            if token == listener.as_raw_fd() as u64 {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                while let Ok(fd) = accept_with(listener, flags) {
                    add(&epoll, &fd, id(&fd), EventFlags::IN).unwrap();
                    peers.insert(fd.as_raw_fd() as u64, Peer { fd, rest: Vec::new() });
                }
                continue;
            }
            let Some(peer) = peers.get_mut(&token) else { continue };
            let done = if peer.rest.is_empty() {
                match read(&peer.fd, &mut buffer[..]) {
                    Ok(0) | Err(Errno::CONNRESET) => true,
                    Ok(n) => send(&epoll, peer, reply.unwrap_or(&buffer[..n])),
                    Err(_) => false,
                }
            } else {
                let rest = std::mem::take(&mut peer.rest);
                send(&epoll, peer, &rest)
            };
            if done {
                peers.remove(&token);
            }
        }
    }
}

/// Writes what fits and waits for room for the rest; true when the peer is gone.
fn send(epoll: &OwnedFd, peer: &mut Peer, bytes: &[u8]) -> bool {
    let sent = match write(&peer.fd, bytes) {
        Ok(n) => n,
        Err(Errno::AGAIN) => 0,
        Err(_) => return true,
    };
    peer.rest.extend_from_slice(&bytes[sent..]);
    let interest = if peer.rest.is_empty() { EventFlags::IN } else { EventFlags::OUT };
    if sent < bytes.len() || bytes.len() > 65536 {
        modify(epoll, &peer.fd, EventData::new_u64(peer.fd.as_raw_fd() as u64), interest).unwrap();
    }
    false
}
