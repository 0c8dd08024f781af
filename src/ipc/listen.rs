//! Socket paths: binding, who owns a path, removal of what is ours and of nothing else.
//!
//! There is no moment at which a stranger could connect: the directory is ours and 0700, and the socket gets its
//! mode 0600 after `bind` but before `listen`, until when the kernel refuses every connection.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::limits::{BACKLOG, SOCKET_PATH_MAX};
use crate::kit::Class;
use crate::kit::file::private_dir;

/// Why a path cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Longer than every kernel takes.
    #[error("socket path {path} has {len} bytes, at most {SOCKET_PATH_MAX} work")]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        len: usize,
    },
    /// Somebody listens there.
    #[error("somebody else listens on {path}")]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// A dead socket lies there and the caller does not hold the lock that would allow its removal.
    #[error("a dead socket lies at {path} and the instance lock is not held")]
    Stale {
        /// The path.
        path: PathBuf,
    },
    /// Something lies there that is no socket; it is left alone.
    #[error("{path} is in the way and no socket")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot listen on {path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ListenError {
    /// What decides about trying again.
    pub fn class(&self) -> Class {
        match self {
            ListenError::PathTooLong { .. } | ListenError::NotASocket { .. } => Class::Usage,
            ListenError::InUse { .. } | ListenError::Stale { .. } => Class::Busy,
            ListenError::Io { source, .. } => Class::of_io(source),
        }
    }
}

/// Whether a listener's path still leads to it.
#[derive(Debug)]
pub enum SocketState {
    /// Yes.
    Ours,
    /// The path was gone; it has been bound again.
    Rebound,
    /// Another socket is there now: somebody has taken the path over. Nothing was done.
    Taken,
    /// It was gone and could not be bound again, or could not be looked at.
    Failed(ListenError),
    /// There is no such listener.
    Unknown,
}

/// A listening socket and what its path pointed to right after `bind`.
#[derive(Debug)]
pub struct Bound {
    pub(super) fd: OwnedFd,
    path: PathBuf,
    /// Device and inode. The open socket keeps the inode alive, so the pair cannot be given to another.
    identity: (u64, u64),
}

/// Listens on `path`, with its directory made 0700 and the socket 0600.
///
/// A dead socket at the path is removed only when connecting to it is refused by the kernel and `holds_lock` says
/// that the caller holds the lock that makes it the only one to bind here.
///
/// # Errors
/// See [`ListenError`]; what could not be looked at is never removed.
pub fn bind(path: &Path, holds_lock: bool) -> Result<Bound, ListenError> {
    let len = path.as_os_str().len();
    if len > SOCKET_PATH_MAX {
        return Err(ListenError::PathTooLong { path: path.to_path_buf(), len });
    }
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { path: path.to_path_buf() },
        _ => ListenError::Io { path: path.to_path_buf(), source },
    };
    if let Some(dir) = path.parent() {
        private_dir(dir).map_err(failed)?;
    }
    clear_way(path, holds_lock)?;
    open(path).map_err(failed)
}

/// Binds and listens. The caller has cleared the way.
fn open(path: &Path) -> io::Result<Bound> {
    let fd = socket()?;
    rustix::net::bind(&fd, &SocketAddrUnix::new(path)?)?;
    let identity = identity(path)?;
    // Nobody can connect before `listen`, so nobody can slip in before the mode is set.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    rustix::net::listen(&fd, BACKLOG)?;
    Ok(Bound { fd, path: path.to_path_buf(), identity })
}

/// A stream socket that children do not inherit and that never blocks.
pub(super) fn socket() -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    let fd = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    #[cfg(not(target_os = "linux"))]
    let fd = {
        let fd =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None)?;
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        fd
    };
    Ok(fd)
}

/// What a connection attempt says about a socket path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Somebody listens, perhaps too busy to answer.
    Alive,
    /// A socket file without a listener.
    Dead,
    /// Nothing there.
    Absent,
}

/// Tries to connect, without waiting. Says nothing about whether the listener answers.
///
/// # Errors
/// It could not be found out, for example for lack of permission.
pub fn probe(path: &Path) -> io::Result<Probe> {
    let fd = socket()?;
    match rustix::net::connect(&fd, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(Probe::Alive),
        Err(Errno::CONNREFUSED) => Ok(Probe::Dead),
        Err(Errno::NOENT) => Ok(Probe::Absent),
        Err(e) => Err(e.into()),
    }
}

/// Makes sure that nothing lies at `path`.
fn clear_way(path: &Path, holds_lock: bool) -> Result<(), ListenError> {
    let owned = || path.to_path_buf();
    let failed = |source| ListenError::Io { path: owned(), source };
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
        Ok(meta) if !meta.file_type().is_socket() => return Err(ListenError::NotASocket { path: owned() }),
        Ok(_) => {}
    }
    match probe(path).map_err(failed)? {
        Probe::Alive => Err(ListenError::InUse { path: owned() }),
        Probe::Absent => Ok(()),
        Probe::Dead if !holds_lock => Err(ListenError::Stale { path: owned() }),
        Probe::Dead => match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(e)),
            _ => Ok(()),
        },
    }
}

/// Device and inode of what lies at `path` itself.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

impl Bound {
    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads here. If it is gone, binds it again and replaces this socket by the new one.
    pub(super) fn check(&mut self) -> SocketState {
        match identity(&self.path) {
            Ok(found) if found == self.identity => SocketState::Ours,
            Ok(_) => SocketState::Taken,
            // Who listens here holds the lock, or could not have bound in the first place.
            Err(e) if e.kind() == io::ErrorKind::NotFound => match bind(&self.path, true) {
                Ok(fresh) => {
                    *self = fresh;
                    SocketState::Rebound
                }
                Err(e) => SocketState::Failed(e),
            },
            Err(source) => SocketState::Failed(ListenError::Io { path: self.path.clone(), source }),
        }
    }

    /// Removes the path if it still leads here, then closes. Says whether it was removed.
    ///
    /// The order matters: the path is looked at while the socket is open, so its inode cannot be a reused one.
    pub fn remove(self) -> bool {
        let ours = identity(&self.path).is_ok_and(|found| found == self.identity);
        ours && fs::remove_file(&self.path).is_ok()
    }
}

/// The user at the other end of a connection.
///
/// # Errors
/// The kernel's.
#[cfg(target_os = "linux")]
pub(super) fn peer_uid(stream: impl AsFd) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}

/// The user at the other end of a connection.
///
/// # Errors
/// The kernel's.
#[cfg(not(target_os = "linux"))]
#[allow(unsafe_code)]
pub(super) fn peer_uid(stream: impl AsFd) -> io::Result<u32> {
    use std::os::fd::AsRawFd;
    unsafe extern "C" {
        fn getpeereid(fd: i32, uid: *mut u32, gid: *mut u32) -> i32;
    }
    let (mut uid, mut gid) = (0, 0);
    // SAFETY: the descriptor is open for as long as `stream` is borrowed; both pointers lead to live, aligned
    // 32-bit variables, which is what uid_t and gid_t are on the BSDs and macOS; the call keeps neither.
    match unsafe { getpeereid(stream.as_fd().as_raw_fd(), &raw mut uid, &raw mut gid) } {
        0 => Ok(uid),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The process at the other end of a connection, where the kernel tells.
pub(super) fn peer_pid(stream: impl AsFd) -> Option<u32> {
    #[cfg(target_os = "linux")]
    {
        let pid = rustix::net::sockopt::socket_peercred(stream).ok()?.pid;
        u32::try_from(pid.as_raw_nonzero().get()).ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = stream;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::clock::{HANG, wait_until};

    fn dir() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("ox").tempdir().unwrap()
    }

    #[test]
    fn sec_01_a_socket_is_ours_alone() {
        let dir = dir();
        let path = dir.path().join("d/s.sock");
        let bound = bind(&path, false).unwrap();
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let peer = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert_eq!(peer_uid(&peer).unwrap(), rustix::process::geteuid().as_raw());
        assert!(bound.remove());
        assert!(!path.exists());
    }

    #[test]
    fn ipc_01_a_successors_socket_is_left_in_place() {
        let dir = dir();
        let path = dir.path().join("s.sock");
        let old = bind(&path, true).unwrap();
        fs::remove_file(&path).unwrap(); // as the Go program does before it binds
        let new = bind(&path, true).unwrap();
        assert!(!old.remove());
        assert_eq!(probe(&path).unwrap(), Probe::Alive);
        assert!(new.remove());
        assert_eq!(probe(&path).unwrap(), Probe::Absent);
    }

    #[test]
    fn ipc_02_only_a_refused_socket_is_removed_and_only_under_the_lock() {
        let dir = dir();
        let path = dir.path().join("s.sock");
        let live = bind(&path, true).unwrap();
        assert!(matches!(bind(&path, true), Err(ListenError::InUse { .. })));
        drop(live); // as after a kill: the file stays
        // A child that another test forks just now has a copy of what was open until its exec.
        assert!(wait_until(HANG, || matches!(bind(&path, false), Err(ListenError::Stale { .. }))));
        assert!(path.exists());
        drop(bind(&path, true).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "somebody's file").unwrap();
        assert!(matches!(bind(&path, true), Err(ListenError::NotASocket { .. })));
        assert!(path.exists());
    }

    #[test]
    fn ipc_04_a_lost_path_is_noticed_and_bound_again() {
        let dir = dir();
        let path = dir.path().join("s.sock");
        let mut bound = bind(&path, true).unwrap();
        assert!(matches!(bound.check(), SocketState::Ours));
        fs::remove_file(&path).unwrap();
        assert!(matches!(bound.check(), SocketState::Rebound));
        assert_eq!(probe(&path).unwrap(), Probe::Alive);
        fs::remove_file(&path).unwrap();
        let other = bind(&path, true).unwrap();
        assert!(matches!(bound.check(), SocketState::Taken));
        assert!(!bound.remove());
        assert!(other.remove());
    }

    #[test]
    fn ipc_14_a_path_is_refused_before_the_kernel_would() {
        let dir = dir();
        let fill = SOCKET_PATH_MAX - dir.path().as_os_str().len() - 1;
        let longest = dir.path().join("s".repeat(fill));
        assert!(bind(&longest, true).unwrap().remove());
        let error = bind(&dir.path().join("s".repeat(fill + 1)), true).unwrap_err();
        assert!(matches!(error, ListenError::PathTooLong { len: 101, .. }), "{error}");
        assert_eq!(error.class(), Class::Usage);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn ipc_07_children_do_not_inherit_a_socket() {
        let dir = dir();
        let bound = bind(&dir.path().join("s.sock"), true).unwrap();
        let flags = rustix::io::fcntl_getfd(&bound.fd).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}
