//! The registry of daemons that the Go program keeps too: which workspace is served by which process, at which socket.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::kit::file;
use crate::kit::gotime::GoTime;
use crate::kit::lock::FileLock;

/// A larger file is not a registry.
const FILE_MAX: usize = 4 << 20;
/// How long another writer is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// One daemon's entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Workspace it serves.
    pub workspace_id: String,
    /// Directory of the project.
    pub workspace_path: String,
    /// Empty if the project has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repo_id: String,
    /// Where it answers.
    pub socket_path: String,
    /// Its process.
    pub pid: u32,
    /// Full version.
    pub version: String,
    /// When it began to serve the workspace.
    pub started_at: GoTime,
}

/// The registry file.
#[derive(Clone, Debug)]
pub struct Registry {
    path: PathBuf,
}

impl Registry {
    /// The registry at `path`.
    pub fn at(path: PathBuf) -> Registry {
        Registry { path }
    }

    /// All entries. A missing or broken file is an empty registry: it can always be made anew.
    ///
    /// # Errors
    /// The file could not be read; then nothing is known.
    pub fn entries(&self) -> io::Result<BTreeMap<String, Entry>> {
        let (daemons, _) = self.load()?;
        let entry = |(id, value): (String, Value)| Some((id, serde_json::from_value(value).ok()?));
        Ok(daemons.into_iter().filter_map(entry).collect())
    }

    /// The entries as they stand, also those this version does not understand, and what else the file says.
    fn load(&self) -> io::Result<(Map<String, Value>, Map<String, Value>)> {
        let bytes = match file::read_capped(&self.path, FILE_MAX) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((Map::new(), Map::new())),
            Err(e) => return Err(e),
        };
        let mut whole = match serde_json::from_slice::<Value>(&bytes) {
            Ok(Value::Object(whole)) => whole,
            _ => {
                log::warn!("{} is damaged and is made anew", self.path.display());
                Map::new()
            }
        };
        match whole.remove("daemons") {
            Some(Value::Object(daemons)) => Ok((daemons, whole)),
            _ => Ok((Map::new(), whole)),
        }
    }

    /// Adds or replaces an entry. What another program has added to one that is ours already stays.
    ///
    /// # Errors
    /// Reading or writing failed, or another writer holds the file.
    pub fn register(&self, entry: &Entry) -> io::Result<()> {
        self.change(|daemons| {
            let mut value = serde_json::to_value(entry).unwrap_or(Value::Null);
            let there = daemons.remove(&entry.workspace_id).filter(|there| is_same(entry, there));
            if let (Some(Value::Object(mut there)), Value::Object(fields)) = (there, &mut value) {
                there.append(fields);
                value = there.into();
            }
            daemons.insert(entry.workspace_id.clone(), value);
            true
        })
    }

    /// Adds an entry that was lost, unless another has come in its place or `still` says, under the file's lock, that it is not wanted any
    /// more.
    ///
    /// # Errors
    /// As [`Registry::register`].
    pub fn restore(&self, entry: &Entry, still: impl FnOnce() -> bool) -> io::Result<()> {
        self.change(|daemons| {
            let missing = !daemons.contains_key(&entry.workspace_id);
            if still() && missing {
                daemons
                    .insert(entry.workspace_id.clone(), serde_json::to_value(entry).unwrap_or(Value::Null));
                return true;
            }
            false
        })
    }

    /// Makes an entry that still stands as it was registered say what `entry` says: the directory of who called last, and what another
    /// program left out. What that has added stays.
    ///
    /// # Errors
    /// As [`Registry::register`].
    pub fn correct(&self, entry: &Entry) -> io::Result<()> {
        let Ok(Value::Object(fields)) = serde_json::to_value(entry) else { return Ok(()) };
        self.change(|daemons| {
            let there = daemons.get_mut(&entry.workspace_id).filter(|there| is_same(entry, there));
            let there = there.and_then(Value::as_object_mut);
            there.map(|there| there.extend(fields)).is_some()
        })
    }

    /// Removes an entry if it still stands as it was registered. True if it did.
    ///
    /// # Errors
    /// As [`Registry::register`].
    pub fn unregister(&self, entry: &Entry) -> io::Result<bool> {
        let mut stood = false;
        self.change(|daemons| {
            stood = daemons.get(&entry.workspace_id).is_some_and(|there| is_same(entry, there));
            stood && daemons.remove(&entry.workspace_id).is_some()
        })?;
        Ok(stood)
    }

    fn change(&self, change: impl FnOnce(&mut Map<String, Value>) -> bool) -> io::Result<()> {
        let mut lock = self.path.clone().into_os_string();
        lock.push(".lock");
        let Some(_lock) = FileLock::acquire(Path::new(&lock), LOCK_WAIT)? else {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "the registry is being written by another process",
            ));
        };
        let (mut daemons, mut whole) = self.load()?;
        if !change(&mut daemons) {
            return Ok(());
        }
        // The Go program writes its keys sorted.
        daemons.sort_keys();
        whole.insert("daemons".into(), daemons.into());
        file::write_atomic(&self.path, &serde_json::to_vec_pretty(&whole)?, 0o600)
    }
}

/// Whether what stands there was registered as `entry`, by the same process at the same time.
fn is_same(entry: &Entry, there: &Value) -> bool {
    let there = serde_json::from_value::<Entry>(there.clone());
    there.is_ok_and(|there| there.pid == entry.pid && there.started_at == entry.started_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, pid: u32) -> Entry {
        Entry {
            workspace_id: id.into(),
            workspace_path: "/p".into(),
            socket_path: "/s".into(),
            pid,
            ..Entry::default()
        }
    }

    fn registry() -> (tempfile::TempDir, Registry) {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::at(dir.path().join("registry.json"));
        (dir, registry)
    }

    #[test]
    fn the_directory_that_called_last_is_named_in_our_own_entry_alone() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::at(dir.path().join("registry.json"));
        let mine = entry("a", 7);
        registry.register(&mine).unwrap();
        registry.correct(&Entry { workspace_path: "/tree".into(), ..mine.clone() }).unwrap();
        let named = Entry { workspace_path: "/tree".into(), ..mine.clone() };
        assert_eq!(registry.entries().unwrap()["a"], named);
        assert!(registry.unregister(&mine).unwrap(), "it is still the same entry");
        registry.correct(&Entry { workspace_path: "/tree".into(), ..mine.clone() }).unwrap();
        assert!(registry.entries().unwrap().is_empty());
        registry.register(&entry("a", 8)).unwrap();
        registry.correct(&Entry { workspace_path: "/tree".into(), ..mine.clone() }).unwrap();
        assert_eq!(registry.entries().unwrap()["a"], entry("a", 8));
    }

    #[test]
    fn entries_of_others_and_their_unknown_keys_stay() {
        let (dir, r) = registry();
        let other = r#"{"daemons":{"aa":{"pid":1,"added":8},"zz":{"workspace_id":"zz","pid":7,"later":true}},"format":3}"#;
        std::fs::write(dir.path().join("registry.json"), other).unwrap();
        r.register(&entry("aa", 1)).unwrap();
        assert!(!r.unregister(&entry("zz", 1)).unwrap());
        let text = std::fs::read_to_string(dir.path().join("registry.json")).unwrap();
        for stays in ["\"later\": true", "\"added\": 8", "\"format\": 3"] {
            assert!(text.contains(stays), "{text}");
        }
        assert_eq!(r.entries().unwrap().keys().collect::<Vec<_>>(), ["aa", "zz"]);
        assert!(r.unregister(&entry("aa", 1)).unwrap());
        assert_eq!(r.entries().unwrap().keys().collect::<Vec<_>>(), ["zz"]);
    }

    #[test]
    fn a_damaged_file_is_empty_and_an_unreadable_one_is_an_error() {
        let (dir, r) = registry();
        assert!(r.entries().unwrap().is_empty());
        std::fs::write(dir.path().join("registry.json"), "{\"daemons\": tru").unwrap();
        assert!(r.entries().unwrap().is_empty());
        r.register(&entry("aa", 1)).unwrap();
        assert_eq!(r.entries().unwrap().len(), 1);
        std::fs::remove_file(dir.path().join("registry.json")).unwrap();
        std::fs::create_dir(dir.path().join("registry.json")).unwrap();
        assert!(r.entries().is_err());
    }

    #[test]
    fn a_lost_entry_comes_back_unless_it_is_replaced_or_unwanted() {
        let (_dir, r) = registry();
        let pid = |r: &Registry| r.entries().unwrap().get("aa").map(|e| e.pid);
        r.restore(&entry("aa", 1), || false).unwrap();
        assert_eq!(pid(&r), None);
        r.restore(&entry("aa", 1), || true).unwrap();
        assert_eq!(pid(&r), Some(1));
        r.register(&entry("aa", 2)).unwrap();
        r.restore(&entry("aa", 1), || true).unwrap();
        assert_eq!(pid(&r), Some(2));
    }

    #[test]
    fn many_writers_lose_nothing() {
        let (_dir, r) = registry();
        let write = |n: u32| {
            let r = r.clone();
            crate::kit::thread::spawn("w", crate::kit::thread::STACK_SMALL, move || {
                for k in 0..10 {
                    // On a slow machine the others may take longer than a writer waits; then it is told so, and asks again.
                    loop {
                        match r.register(&entry(&format!("{n}-{k}"), n)) {
                            Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {}
                            done => break done.unwrap(),
                        }
                    }
                }
            })
            .unwrap()
        };
        let threads: Vec<_> = (0..8).map(write).collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(r.entries().unwrap().len(), 80);
    }
}
