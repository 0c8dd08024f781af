//! Follows files that others append to: where reading stands, lines that are not whole yet, files that were cut off or replaced.
//!
//! Threads: none; each step runs on the caller's thread and is bounded.
//! Files: reads what it is given, never writes, follows no link in the last name.
//! Locks: none.
//! Promises: each whole line once, in order, however it was cut into writes and steps; the cursor stands behind what was handed out and
//! nothing else, so that it can be saved and taken up by another process; a step costs at most [`STEP_BYTES`] and [`STEP_LINES`], and memory
//! at most one line of the limit; what is longer is passed over and counted.
//! It does not know what lines mean.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::kit::file::NOFOLLOW;

/// A step reads about so many bytes, so that no file keeps others waiting.
pub const STEP_BYTES: usize = 4 << 20;
/// A step hands out so many lines.
pub const STEP_LINES: usize = 5_000;
/// A longer line is passed over unless another limit is set, in bytes without its newline.
pub const LINE_MAX: usize = 10 << 20;
/// By so many bytes of its beginning a file is known again.
const HEAD: u8 = 200;
/// Read at once, in bytes.
const PIECE: usize = 256 << 10;

/// Where reading stands. Of a file it knows again by its device and number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cursor {
    /// Bytes of whole lines that were handed out or passed over.
    pub offset: u64,
    /// The file that was read; zero while there was none.
    pub inode: u64,
    /// Its device.
    pub device: u64,
    /// It stands in a line that is being passed over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_long: bool,
    /// A hash of the file's first bytes that were read, at most 200: numbers are given again to new files.
    pub head: u64,
    /// How many these are.
    pub head_length: u8,
}

/// Why reading began anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The file is shorter than what was read of it.
    Truncated,
    /// Another file lies in its place.
    Replaced,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Lines that were handed out.
    pub lines: usize,
    /// Lines that were too long.
    pub too_long: usize,
    /// There is more to read now.
    pub more: bool,
    /// Reading began anew before the first of these lines.
    pub reset: Option<Reset>,
}

/// A file that is followed.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    cursor: Cursor,
    line_max: usize,
    file: Option<File>,
    /// What was read and not handed out: the beginning of a line, from the cursor on.
    held: Vec<u8>,
}

impl Tail {
    /// Follows `path` from `cursor` on. Opens nothing yet.
    pub fn new(path: &Path, cursor: Cursor) -> Tail {
        Tail { path: path.to_owned(), cursor, line_max: LINE_MAX, file: None, held: Vec::new() }
    }

    /// The same with another limit of a line, in bytes.
    pub fn with_line_max(self, line_max: usize) -> Tail {
        Tail { line_max, ..self }
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where reading stands: behind the last line that was handed out.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Hands out the next whole lines, without their newline, each with the offset at which it begins. A file that is moved away is read to
    /// its end before the one in its place is.
    ///
    /// # Errors
    /// The file is not there, is none, or cannot be read. Nothing is lost; the next step goes on from the same place.
    pub fn step(&mut self, on_line: &mut dyn FnMut(u64, &[u8])) -> io::Result<Step> {
        let mut step = Step::default();
        if self.file.is_none() {
            self.open(&mut step)?;
        }
        self.read(&mut step, on_line)?;
        if step.more {
            return Ok(step);
        }
        // Only behind its end: what was written to it before it was moved away belongs to it.
        if self.is_replaced()? {
            self.file = None;
            self.open(&mut step)?;
            self.read(&mut step, on_line)?;
        }
        Ok(step)
    }

    /// The rest behind the last newline, which nobody may ever finish; the cursor does not move over it.
    pub fn rest(&self) -> &[u8] {
        &self.held
    }

    /// Takes the rest for a whole line.
    pub fn take_rest(&mut self) {
        self.cursor.offset += self.held.len() as u64;
        self.held.clear();
    }

    /// Lets go of the file between steps, so that many that are idle cost no descriptor. What was held is read again.
    pub fn close(&mut self) {
        self.file = None;
        self.held = Vec::new();
    }

    fn open(&mut self, step: &mut Step) -> io::Result<()> {
        let file = OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(&self.path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let is_known = self.cursor.inode != 0;
        if is_known && (meta.ino(), meta.dev()) != (self.cursor.inode, self.cursor.device) {
            self.begin_anew(Reset::Replaced, step);
        }
        (self.cursor.inode, self.cursor.device) = (meta.ino(), meta.dev());
        self.held.clear();
        self.file = Some(file);
        Ok(())
    }

    /// Reading stands before the first line of the file that is open.
    fn begin_anew(&mut self, why: Reset, step: &mut Step) {
        let Cursor { inode, device, .. } = self.cursor;
        self.cursor = Cursor { inode, device, ..Cursor::default() };
        self.held.clear();
        step.reset = Some(why);
    }

    /// Whether another file lies in the place of the one that is open. None is no other one: it is being written anew, or gone.
    fn is_replaced(&self) -> io::Result<bool> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(meta) => Ok((meta.ino(), meta.dev()) != (self.cursor.inode, self.cursor.device)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn read(&mut self, step: &mut Step, on_line: &mut dyn FnMut(u64, &[u8])) -> io::Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let done = self.read_from(&mut file, step, on_line).and_then(|()| self.remember_head(&file));
        // After an error it is opened anew: it may be another one by then.
        self.file = done.is_ok().then_some(file);
        done
    }

    fn read_from(
        &mut self,
        file: &mut File,
        step: &mut Step,
        on_line: &mut dyn FnMut(u64, &[u8]),
    ) -> io::Result<()> {
        let size = file.metadata()?.len();
        let behind = self.cursor.offset + self.held.len() as u64;
        let is_shorter = size < behind;
        let has_grown = size > behind;
        if is_shorter || (has_grown && !self.knows_head(file)?) {
            self.begin_anew(Reset::Truncated, step);
        }
        if !is_shorter && !has_grown {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.cursor.offset + self.held.len() as u64))?;
        let mut piece = vec![0; PIECE];
        let mut read = 0;
        loop {
            if read >= STEP_BYTES || step.lines >= STEP_LINES {
                step.more = true;
                return Ok(());
            }
            let n = match file.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            read += n;
            self.take(&piece[..n], step, on_line);
        }
    }

    /// Whether the file begins as it did.
    fn knows_head(&self, file: &File) -> io::Result<bool> {
        let length = self.cursor.head_length;
        Ok(length == 0 || head_of(file, length)?.is_some_and(|head| head == self.cursor.head))
    }

    /// Remembers how the file begins, once enough of it was read.
    fn remember_head(&mut self, file: &File) -> io::Result<()> {
        let length = u8::try_from(self.cursor.offset).map_or(HEAD, |offset| offset.min(HEAD));
        if length > self.cursor.head_length
            && let Some(head) = head_of(file, length)?
        {
            (self.cursor.head, self.cursor.head_length) = (head, length);
        }
        Ok(())
    }

    /// Takes in bytes that follow what is held.
    fn take(&mut self, mut bytes: &[u8], step: &mut Step, on_line: &mut dyn FnMut(u64, &[u8])) {
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            let (head, tail) = (&bytes[..at], &bytes[at + 1..]);
            bytes = tail;
            let length = self.held.len() + head.len();
            if self.cursor.in_long || length > self.line_max {
                step.too_long += 1;
            } else if self.held.is_empty() {
                step.lines += 1;
                on_line(self.cursor.offset, head);
            } else {
                self.held.extend_from_slice(head);
                step.lines += 1;
                on_line(self.cursor.offset, &self.held);
            }
            self.cursor.offset += length as u64 + 1;
            self.cursor.in_long = false;
            self.held.clear();
        }
        if self.cursor.in_long || self.held.len() + bytes.len() > self.line_max {
            self.cursor.in_long = true;
            self.cursor.offset += (self.held.len() + bytes.len()) as u64;
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(bytes);
        }
    }
}

/// A hash of the first bytes of a file; none where there are not so many.
fn head_of(file: &File, length: u8) -> io::Result<Option<u64>> {
    let mut head = [0; HEAD as usize];
    let head = &mut head[..usize::from(length.min(HEAD))];
    match file.read_exact_at(head, 0) {
        Ok(()) => Ok(Some(hash(head))),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e),
    }
}

/// The 64-bit hash of Fowler, Noll and Vo (FNV-1a); it guards against mistakes, not against an adversary.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    struct Bench {
        _dir: tempfile::TempDir,
        path: PathBuf,
        tail: Tail,
    }

    impl Bench {
        fn new() -> Bench {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("t.jsonl");
            Bench { tail: Tail::new(&path, Cursor::default()), path, _dir: dir }
        }

        fn write(&self, bytes: &[u8]) {
            let mut file = OpenOptions::new().append(true).create(true).open(&self.path).unwrap();
            file.write_all(bytes).unwrap();
        }

        fn step(&mut self) -> (Vec<String>, Step) {
            let mut lines = Vec::new();
            let mut take = |_: u64, line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
            let step = self.tail.step(&mut take).unwrap();
            (lines, step)
        }

        /// The same place in another process.
        fn again(&mut self) {
            self.tail = Tail::new(&self.path, self.tail.cursor());
        }
    }

    #[test]
    fn agt_11_a_line_is_handed_out_when_it_is_whole() {
        let mut b = Bench::new();
        assert_eq!(b.tail.step(&mut |_, _| ()).unwrap_err().kind(), io::ErrorKind::NotFound);
        b.write(b"one\ntw");
        assert_eq!(b.step().0, ["one"]);
        assert_eq!((b.tail.cursor().offset, b.tail.rest()), (4, &b"tw"[..]));
        b.again();
        b.write(b"o\r\n\nthree");
        assert_eq!(b.step().0, ["two\r", ""]);
        assert!(b.step().0.is_empty());
        b.tail.take_rest();
        b.write(b"\nfour\n");
        assert_eq!(b.step().0, ["", "four"], "the rest was taken, its newline is an empty line");
    }

    #[test]
    fn agt_11_a_file_that_was_cut_off_or_replaced_is_read_from_its_beginning() {
        let mut b = Bench::new();
        b.write(b"one\ntwo\n");
        b.step();
        fs::write(&b.path, "new\n").unwrap();
        let (lines, step) = b.step();
        assert_eq!((lines, step.reset), (vec!["new".to_owned()], Some(Reset::Truncated)));
        // Moved away, what was still written to it, and another in its place.
        b.write(b"last\nof it\n");
        fs::rename(&b.path, b.path.with_extension("1")).unwrap();
        b.write(b"other\n");
        let (lines, step) = b.step();
        assert_eq!((lines.join(" "), step.reset), ("last of it other".to_owned(), Some(Reset::Replaced)));
        b.again();
        assert_eq!(b.step().1, Step::default());
        fs::remove_file(&b.path).unwrap();
        assert_eq!(b.step().1, Step::default(), "its end was read; nothing else is known");
        b.again();
        // It may well have the number of the one before.
        b.write(b"third one\n");
        assert_eq!(b.step().0, ["third one"]);
        // Cut off and written anew beyond where reading stood.
        fs::write(&b.path, "something else\nand more\n").unwrap();
        let (lines, step) = b.step();
        assert_eq!((lines.len(), step.reset), (2, Some(Reset::Truncated)));
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let mut b = Bench::new();
        fs::write(b.path.with_extension("else"), "x\n").unwrap();
        std::os::unix::fs::symlink(b.path.with_extension("else"), &b.path).unwrap();
        assert!(b.tail.step(&mut |_, _| ()).is_err());
        fs::remove_file(&b.path).unwrap();
        fs::create_dir(&b.path).unwrap();
        assert!(b.tail.step(&mut |_, _| ()).is_err());
    }

    #[test]
    fn a_step_is_bounded_and_a_line_too_long_is_passed_over() {
        let mut b = Bench::new();
        b.write(&b"x\n".repeat(STEP_LINES * 30));
        let (lines, step) = b.step();
        assert!(step.more && lines.len() >= STEP_LINES && lines.len() < STEP_LINES * 30, "{}", lines.len());
        while b.step().1.more {}
        b.write(&vec![b'y'; LINE_MAX - 1]);
        while b.step().1.more {}
        assert_eq!(b.tail.rest().len(), LINE_MAX - 1);
        b.write(b"yy");
        b.step();
        assert!(b.tail.cursor().in_long && b.tail.rest().is_empty());
        b.again();
        b.write(b"y\nnext\n");
        let (lines, step) = b.step();
        assert_eq!((lines, step.too_long), (vec!["next".to_owned()], 1));
    }

    proptest! {
        #[test]
        fn agt_11_lines_are_the_same_however_they_were_cut(
            text in "[ab\n]{0,60}",
            cuts in prop::collection::vec((0_usize..60, any::<bool>()), 0..8),
        ) {
            let mut b = Bench::new();
            let mut cuts = cuts;
            cuts.sort_unstable();
            b.write(b"");
            let (mut from, mut lines) = (0, Vec::new());
            for (at, again) in cuts {
                let at = at.min(text.len()).max(from);
                b.write(&text.as_bytes()[from..at]);
                from = at;
                lines.extend(b.step().0);
                if again {
                    b.again();
                }
            }
            b.write(&text.as_bytes()[from..]);
            lines.extend(b.step().0);
            let whole: Vec<&str> = text.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n')).collect();
            prop_assert_eq!(lines, whole);
        }
    }
}
