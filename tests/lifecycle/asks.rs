//! How often a command asks the daemon.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::machine::Machine;

/// Counts the connections to a socket.
struct Counted {
    path: PathBuf,
    count: Arc<AtomicUsize>,
}

impl Drop for Counted {
    /// The daemon has its socket again, and takes it along when it ends.
    fn drop(&mut self) {
        std::fs::rename(self.path.with_extension("behind"), &self.path).unwrap();
    }
}

/// Counts the connections to the socket at `path` from now on, and hands them on to whoever listened there.
fn counted(path: &Path) -> Counted {
    let behind = path.with_extension("behind");
    std::fs::rename(path, &behind).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counting = count.clone();
    std::thread::spawn(move || {
        for front in listener.incoming().map_while(Result::ok) {
            counting.fetch_add(1, Ordering::SeqCst);
            let Ok(back) = UnixStream::connect(&behind) else { return };
            let (mut from, mut to) = (front.try_clone().unwrap(), back.try_clone().unwrap());
            std::thread::spawn(move || {
                drop(std::io::copy(&mut from, &mut to));
                drop(to.shutdown(std::net::Shutdown::Write));
            });
            let (mut from, mut to) = (back, front);
            std::thread::spawn(move || {
                drop(std::io::copy(&mut from, &mut to));
                drop(to.shutdown(std::net::Shutdown::Both));
            });
        }
    });
    Counted { path: path.to_path_buf(), count }
}

#[test]
fn status_asks_the_daemon_twice_at_most() {
    let m = Machine::up();
    let sockets = [m.dirs().host_socket(), m.dirs().project_socket(&m.id())];
    let counts = sockets.each_ref().map(|path| counted(path));
    let page = m.here(["status"]).ok();
    assert!(page.stdout.contains("Healthy"), "{page:?}");
    let counts = counts.each_ref().map(|c| c.count.load(Ordering::SeqCst));
    assert_eq!(counts, [0, 2], "connections to the host and to the project");
}
