//! What the kernel said, kept small: one entry a path, however often it was named, and a bound. Hints are never facts: what is
//! on disk is looked at before anybody is told.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::change::RootId;
use super::limits::{HINT_BYTES_MAX, HINTS_MAX};
use crate::kit::clock::{Clock, Mono};

/// What was said about a path, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touch {
    /// The last move away from it led to another place in the same tree.
    pub renamed: bool,
    /// Something was made there, moved there, moved away or removed: if it is a directory, it may be another one.
    pub entry: bool,
}

/// Why hints do not tell everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The kernel's queue ran over.
    Kernel,
    /// Too many paths for us.
    Full,
    /// The root's directory itself moved or went.
    Root,
    /// The queue could not be read.
    Reader,
}

/// A root's hints, taken at once.
#[derive(Debug)]
pub struct Taken {
    /// Paths relative to the root; the root itself is the empty one.
    pub paths: HashMap<Box<[u8]>, Touch>,
    /// Something happened in the git directory that may mean another index or HEAD.
    pub git: bool,
    /// When the first and the last came.
    pub span: (Mono, Mono),
}

/// A look at a root's hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// When the first and the last came.
    pub span: (Mono, Mono),
    /// A loss that was not told before.
    pub lost: Option<Loss>,
}

/// The hints of all roots, and those lost.
pub struct Hints {
    clock: Arc<dyn Clock>,
    wake: Box<dyn Fn() + Send + Sync>,
    max: usize,
    roots: Mutex<HashMap<RootId, Held>>,
}

#[derive(Debug)]
struct Held {
    paths: HashMap<Box<[u8]>, Touch>,
    bytes: usize,
    git: bool,
    span: (Mono, Mono),
    lost: Option<Loss>,
    /// Too much: nothing is collected until all is taken.
    full: bool,
}

impl Hints {
    /// `wake` is called when a root that had no hints gets one, and at each loss. It must not block: the kernel's queue is not
    /// read meanwhile.
    pub fn new(clock: Arc<dyn Clock>, wake: impl Fn() + Send + Sync + 'static) -> Hints {
        Hints::bounded(clock, HINTS_MAX, wake)
    }

    /// The same with room for `max` paths of each root.
    pub fn bounded(clock: Arc<dyn Clock>, max: usize, wake: impl Fn() + Send + Sync + 'static) -> Hints {
        Hints { clock, wake: Box::new(wake), max, roots: Mutex::default() }
    }

    /// Something happened at `dir/name`; `name` is empty for the directory itself.
    pub(super) fn path(&self, root: RootId, dir: &[u8], name: &[u8], touch: Touch) {
        self.note(root, |held, max| {
            if held.full {
                return false;
            }
            let path = join(dir, name);
            if let Some(known) = held.paths.get_mut(&path) {
                // A later removal within the tree is no rename any more.
                known.renamed = if touch.entry { touch.renamed } else { known.renamed };
                known.entry |= touch.entry;
                return false;
            }
            held.bytes += path.len();
            if held.paths.len() >= max || held.bytes > HINT_BYTES_MAX {
                held.lose(Loss::Full);
                return true;
            }
            held.paths.insert(path, touch);
            false
        });
    }

    /// Something happened to a root's index or HEAD.
    pub(super) fn git(&self, root: RootId) {
        self.note(root, |held, _| {
            held.git = true;
            false
        });
    }

    /// Hints of a root were lost.
    pub fn lost(&self, root: RootId, loss: Loss) {
        self.note(root, |held, _| {
            let news = held.lost.is_none();
            held.lose(loss);
            news
        });
    }

    fn note(&self, root: RootId, change: impl FnOnce(&mut Held, usize) -> bool) {
        let now = self.clock.now().mono;
        let wake = {
            let mut roots = self.roots.lock();
            let news = !roots.contains_key(&root);
            let held = roots.entry(root).or_insert_with(|| Held::new(now));
            held.span.1 = now;
            change(held, self.max) || news
        };
        if wake {
            (self.wake)();
        }
    }

    /// A look at every root that has hints. A loss is told once.
    pub fn pulses(&self) -> Vec<(RootId, Pulse)> {
        let mut roots = self.roots.lock();
        let pulse =
            |(root, held): (&RootId, &mut Held)| (*root, Pulse { span: held.span, lost: held.lost.take() });
        roots.iter_mut().map(pulse).collect()
    }

    /// Takes a root's hints; the next one wakes again.
    pub fn take(&self, root: RootId) -> Option<Taken> {
        let held = self.roots.lock().remove(&root)?;
        if held.lost.is_some() {
            // Nobody has been told yet.
            self.lost(root, Loss::Full);
        }
        Some(Taken { paths: held.paths, git: held.git, span: held.span })
    }

    /// Throws a root's hints away, and what was lost of them.
    pub(super) fn forget(&self, root: RootId) {
        self.roots.lock().remove(&root);
    }

    /// How many paths of a root wait.
    pub fn waiting(&self, root: RootId) -> usize {
        self.roots.lock().get(&root).map_or(0, |held| held.paths.len())
    }
}

impl Held {
    fn new(now: Mono) -> Held {
        Held { paths: HashMap::new(), bytes: 0, git: false, span: (now, now), lost: None, full: false }
    }

    fn lose(&mut self, loss: Loss) {
        self.paths = HashMap::new();
        self.bytes = 0;
        self.full = true;
        self.lost = Some(loss);
    }
}

/// The path of `name` in `dir`.
pub(super) fn join(dir: &[u8], name: &[u8]) -> Box<[u8]> {
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    if !dir.is_empty() && !name.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::kit::clock::SimClock;

    const ROOT: RootId = RootId(1);
    const DATA: Touch = Touch { renamed: false, entry: false };

    fn hints(max: usize) -> (Hints, SimClock, Arc<AtomicUsize>) {
        let clock = SimClock::new(jiff::Timestamp::UNIX_EPOCH);
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let wake = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        (Hints::bounded(Arc::new(clock.clone()), max, wake), clock, woken)
    }

    #[test]
    fn a_storm_is_one_wake_up_and_one_entry_a_path() {
        let (hints, clock, woken) = hints(100);
        for n in 0..10_000 {
            hints.path(ROOT, b"src", if n % 2 == 0 { b"a" } else { b"b" }, DATA);
        }
        clock.advance(Duration::from_secs(1));
        hints.git(ROOT);
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        let (_, pulse) = hints.pulses().remove(0);
        assert_eq!(pulse, Pulse { span: (Mono::ZERO, Mono::ZERO + Duration::from_secs(1)), lost: None });
        let taken = hints.take(ROOT).unwrap();
        assert!(taken.git && taken.paths.len() == 2 && taken.paths.contains_key(&b"src/a"[..]));
        assert!(hints.take(ROOT).is_none() && hints.pulses().is_empty());
        hints.path(ROOT, b"", b"a", DATA);
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn more_than_fit_are_a_loss_that_is_told_once() {
        let (hints, _, woken) = hints(3);
        for n in 0..100 {
            hints.path(ROOT, b"", format!("{n}").as_bytes(), DATA);
        }
        assert_eq!((hints.waiting(ROOT), woken.load(Ordering::Relaxed)), (0, 2));
        assert_eq!(hints.pulses()[0].1.lost, Some(Loss::Full));
        assert_eq!(hints.pulses()[0].1.lost, None);
        assert!(hints.take(ROOT).unwrap().paths.is_empty());
        hints.path(ROOT, b"", b"a", DATA);
        assert_eq!(hints.waiting(ROOT), 1);
    }

    #[test]
    fn a_loss_that_nobody_has_heard_of_outlives_taking() {
        let (hints, _, _) = hints(3);
        hints.lost(ROOT, Loss::Kernel);
        hints.take(ROOT).unwrap();
        assert!(hints.pulses()[0].1.lost.is_some());
    }

    #[test]
    fn a_path_that_was_moved_away_and_then_removed_again_was_removed() {
        let (hints, _, _) = hints(3);
        for (renamed, expected) in [(true, true), (false, false)] {
            hints.path(ROOT, b"d", b"f", Touch { renamed, entry: true });
            hints.path(ROOT, b"d", b"f", DATA);
            assert_eq!(hints.roots.lock()[&ROOT].paths[&b"d/f"[..]].renamed, expected);
        }
    }
}
