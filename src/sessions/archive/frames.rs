//! The file in which a transcript is kept: zstd frames, one behind the other. What stands behind the last frame that the index knows was
//! cut off by a crash, and goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::kit::file::{self, NOFOLLOW};

/// As zstd has it by default: twice as good as the fastest, at half its speed.
const LEVEL: i32 = 3;

/// A frame, where it lies and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its first byte in the file.
    pub(super) at: u64,
    /// Its bytes.
    pub(super) length: u64,
    /// The first byte of the transcript that it holds.
    pub(super) from: u64,
    /// The one behind the last.
    pub(super) to: u64,
    /// SHA-256 of these bytes as they were before redaction, in hexadecimal digits.
    pub(super) hash: String,
}

/// Appends frames.
pub(super) struct Writer {
    file: File,
    at: u64,
}

impl Writer {
    /// Opens the file, of which `length` bytes count, or makes it, 0600.
    ///
    /// # Errors
    /// `InvalidData` if it is shorter; else the system's.
    pub(super) fn open(path: &Path, length: u64) -> io::Result<Writer> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(NOFOLLOW);
        let mut file = options.open(path)?;
        let size = file.metadata()?.len();
        if size < length {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is shorter than it was"));
        }
        if length == 0 {
            file::sync_dir(path)?;
        }
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        Ok(Writer { file, at: length })
    }

    /// Begins a frame; it ends with [`Writer::end`].
    pub(super) fn begin(&self) -> io::Result<zstd::Encoder<'static, File>> {
        let mut frame = zstd::Encoder::new(self.file.try_clone()?, LEVEL)?;
        frame.include_checksum(true)?;
        Ok(frame)
    }

    /// Ends a frame. Where it lies, and its length.
    pub(super) fn end(&mut self, frame: zstd::Encoder<'static, File>) -> io::Result<(u64, u64)> {
        let mut file = frame.finish()?;
        file.flush()?;
        let (at, behind) = (self.at, file.stream_position()?);
        self.at = behind;
        Ok((at, behind - at))
    }

    /// Has all of it on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Takes back what was written behind the first `length` bytes, as far as that can be done.
    pub(super) fn undo(self, path: &Path, length: u64) {
        if length == 0 {
            drop(fs::remove_file(path));
        } else {
            drop(self.file.set_len(length));
        }
    }
}

/// The text in frames, in their order.
pub(super) struct Reader {
    file: File,
    left: std::vec::IntoIter<Frame>,
    open: Option<zstd::Decoder<'static, io::BufReader<io::Take<File>>>>,
}

impl Reader {
    pub(super) fn open(path: &Path, frames: Vec<Frame>) -> io::Result<Reader> {
        let file = OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(path)?;
        Ok(Reader { file, left: frames.into_iter(), open: None })
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(open) = &mut self.open {
                let n = open.read(buffer)?;
                if n > 0 || buffer.is_empty() {
                    return Ok(n);
                }
                self.open = None;
            }
            let Some(frame) = self.left.next() else { return Ok(0) };
            // One at a time is read, so that they may share where the file stands.
            let mut file = self.file.try_clone()?;
            file.seek(SeekFrom::Start(frame.at))?;
            self.open = Some(zstd::Decoder::new(file.take(frame.length))?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(path: &Path, length: u64, text: &[u8]) -> Frame {
        let mut writer = Writer::open(path, length).unwrap();
        let mut frame = writer.begin().unwrap();
        frame.write_all(text).unwrap();
        let (at, length) = writer.end(frame).unwrap();
        writer.sync().unwrap();
        Frame { at, length, from: 0, to: text.len() as u64, hash: String::new() }
    }

    fn read(path: &Path, frames: &[&Frame]) -> io::Result<String> {
        let mut text = String::new();
        let frames = frames.iter().map(|frame| (*frame).clone()).collect();
        Reader::open(path, frames)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn frames_are_appended_and_what_the_index_does_not_know_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.zst");
        let one = append(&path, 0, b"one\n");
        let two = append(&path, one.at + one.length, b"");
        let three = append(&path, two.at + two.length, b"three\n");
        assert_eq!(read(&path, &[&one, &two, &three]).unwrap(), "one\nthree\n");
        assert_eq!(read(&path, &[&three]).unwrap(), "three\n");
        assert_eq!(read(&path, &[]).unwrap(), "");
        // The last one was not known yet.
        let again = append(&path, one.length, b"two\n");
        assert_eq!((again.at, read(&path, &[&one, &again]).unwrap()), (one.length, "one\ntwo\n".to_owned()));
        assert_eq!(fs::metadata(&path).unwrap().len(), again.at + again.length);
        // Another program reads it too.
        assert_eq!(zstd::decode_all(File::open(&path).unwrap()).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_file_that_is_shorter_or_damaged_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.zst");
        let one = append(&path, 0, &b"one\n".repeat(1000));
        let error = Writer::open(&path, one.length + 1).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(read(&path, &[&one]).is_err(), "each frame has a checksum");
        fs::write(&path, &bytes[..last]).unwrap();
        assert!(read(&path, &[&one]).is_err());
    }
}
