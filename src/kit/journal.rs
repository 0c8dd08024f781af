//! A log of lines that several processes append to, which never grows beyond its bound: what was written last stays.
//!
//! The file and one predecessor, `<name>.1`, each for their owner alone. Each line is one write at the file's end. A process that finds the file
//! full makes it the predecessor. Nothing waits for a disk to be sure of a line: this is for what may be lost.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::file::{NOFOLLOW, found, private_dir, read_open, with_suffix};

/// A log at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    path: PathBuf,
    size: u64,
}

impl Journal {
    /// The log at `path`, whose two files have at most `size` bytes each. Nothing is made before the first line. The directory is made
    /// too, and closed to others.
    pub fn new(path: PathBuf, size: u64) -> Journal {
        Journal { path, size }
    }

    /// Where the newest lines are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line; a line end in it would make two.
    ///
    /// # Errors
    /// The disk's; the line is then not there or not whole.
    pub fn append(&self, line: &str) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(line.len() + 2);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        let mut file = self.open()?;
        let mut size = file.metadata()?.size();
        if size + bytes.len() as u64 > self.size && size > 0 {
            self.make_room(&file)?;
            drop(file);
            file = self.open()?;
            size = file.metadata()?.size();
        }
        // What a full disk cut off stays a line of its own.
        let mut last = [b'\n'];
        if size > 0 && file.read_exact_at(&mut last, size - 1).is_ok() && last != [b'\n'] {
            bytes.insert(0, b'\n');
        }
        match file.write(&bytes)? {
            written if written < bytes.len() => Err(ErrorKind::WriteZero.into()),
            _ => Ok(()),
        }
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600).custom_flags(flags());
        let file = match (options.open(&self.path), self.path.parent()) {
            (Err(e), Some(dir)) if e.kind() == ErrorKind::NotFound => {
                private_dir(dir)?;
                options.open(&self.path)
            }
            (opened, _) => opened,
        }?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// Makes the full file the predecessor, unless another process does or did.
    fn make_room(&self, file: &File) -> io::Result<()> {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
        let (mine, now) = (file.metadata()?, fs::symlink_metadata(&self.path));
        if !now.is_ok_and(|now| (now.dev(), now.ino()) == (mine.dev(), mine.ino())) {
            return Ok(());
        }
        match fs::rename(&self.path, self.predecessor()) {
            Ok(()) => Ok(()),
            // Something is in the way: what matters is that it does not grow on.
            Err(_) => file.set_len(0),
        }
    }

    fn predecessor(&self) -> PathBuf {
        with_suffix(&self.path, ".1")
    }

    /// Hands out all lines, oldest first, without their ends.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub fn read(&self, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            found(options.read(true).custom_flags(flags()).open(path))
        };
        let newer = open(&self.path)?;
        let older = open(&self.predecessor())?;
        let id = |file: &File| file.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
        // It was made the predecessor just now.
        let older = older.filter(|older| newer.as_ref().and_then(id) != id(older));
        let most = usize::try_from(self.size.saturating_mul(2)).unwrap_or(usize::MAX);
        for file in older.into_iter().chain(newer) {
            let bytes = read_open(file, most)?;
            bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).for_each(&mut *take);
        }
        Ok(())
    }
}

/// No link is followed, and no FIFO in the file's place blocks for ever.
fn flags() -> i32 {
    NOFOLLOW | i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::thread;

    fn lines(journal: &Journal) -> Vec<String> {
        let mut all = Vec::new();
        journal.read(&mut |line| all.push(String::from_utf8_lossy(line).into_owned())).unwrap();
        all
    }

    #[test]
    fn the_last_lines_stay_and_both_files_are_private_and_bounded() {
        let temp = tempfile::tempdir().unwrap();
        let journal = Journal::new(temp.path().join("net/x.jsonl"), 100);
        assert!(lines(&journal).is_empty());
        for n in 0..1000 {
            journal.append(&format!("line {n}")).unwrap();
        }
        let all = lines(&journal);
        assert!(all.len() > 9, "{all:?}");
        let expected: Vec<String> = (1000 - all.len()..1000).map(|n| format!("line {n}")).collect();
        assert_eq!(all, expected);
        let dir = journal.path().parent().unwrap();
        assert_eq!(fs::metadata(dir).unwrap().mode() & 0o777, 0o700);
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let meta = entry.metadata().unwrap();
            assert!(meta.size() <= 100 && meta.mode() & 0o777 == 0o600, "{entry:?} {meta:?}");
        }
        assert_eq!(fs::read_dir(dir).unwrap().count(), 2);
    }

    #[test]
    fn a_torn_line_spoils_no_other_and_what_is_in_the_way_is_no_file_of_ours() {
        let temp = tempfile::tempdir().unwrap();
        let journal = Journal::new(temp.path().join("x.jsonl"), 30);
        fs::write(journal.path(), "one\ntw").unwrap();
        journal.append("three").unwrap();
        assert_eq!(lines(&journal), ["one", "tw", "three"]);
        // Nothing can be made the predecessor: it stays in its bounds all the same.
        fs::create_dir_all(temp.path().join("x.jsonl.1/x")).unwrap();
        (0..50).for_each(|n| journal.append(&format!("again {n}")).unwrap());
        assert!(fs::metadata(journal.path()).unwrap().size() <= 30);
        fs::remove_file(journal.path()).unwrap();
        std::os::unix::fs::symlink(temp.path().join("else"), journal.path()).unwrap();
        assert!(journal.append("x").is_err());
        assert!(!temp.path().join("else").exists());
    }

    #[test]
    fn several_writers_lose_no_line_and_cut_none() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.jsonl");
        let write = |who: usize| {
            let journal = Journal::new(path.clone(), 1 << 20);
            move || (0..500).for_each(|n| journal.append(&format!("{who} {n}")).unwrap())
        };
        let threads: Vec<_> =
            (0..4).map(|who| thread::spawn("writer", thread::STACK_SMALL, write(who)).unwrap()).collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        let all = lines(&Journal::new(path, 1 << 20));
        for who in 0..4 {
            let mine: Vec<&String> = all.iter().filter(|l| l.starts_with(&format!("{who} "))).collect();
            let expected: Vec<String> = (0..500).map(|n| format!("{who} {n}")).collect();
            assert_eq!(mine, expected.iter().collect::<Vec<_>>());
        }
    }
}
