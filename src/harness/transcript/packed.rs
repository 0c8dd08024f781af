//! The text of a transcript that may lie there compressed: codex replaces rollouts older than a week by `<name>.jsonl.zst`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// A compressed transcript that unpacks to more is an error where that shows, in bytes: a few of them could fill any disk.
pub const UNPACKED_MAX: u64 = 4 << 30;
/// A compressed transcript may refer back by so many bytes, as a power of two: what unpacking costs in memory. All levels of zstd but the
/// two highest stay below it.
const WINDOW_LOG_MAX: u32 = 25;
/// How the name of a compressed transcript ends.
const PACKED: &str = ".jsonl.zst";

/// Whether a transcript is compressed, by its name.
pub fn is_packed(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(PACKED))
}

/// What a transcript is called, compressed or not: its name without what says how it is written.
pub(super) fn stem(name: &str) -> Option<&str> {
    name.strip_suffix(PACKED).or_else(|| name.strip_suffix(".jsonl"))
}

/// The text of a transcript, from its beginning, unpacked on the way if it is compressed.
pub struct Text(Inner);

enum Inner {
    Plain(File),
    Packed { unpack: Box<zstd::Decoder<'static, BufReader<File>>>, left: u64 },
}

impl Text {
    /// That of `file`, which lies at `path`.
    ///
    /// # Errors
    /// There is no memory to unpack it.
    pub fn new(path: &Path, file: File) -> io::Result<Text> {
        Text::limited(path, file, UNPACKED_MAX)
    }

    fn limited(path: &Path, file: File, most: u64) -> io::Result<Text> {
        if !is_packed(path) {
            return Ok(Text(Inner::Plain(file)));
        }
        let mut unpack = zstd::Decoder::new(file)?;
        unpack.window_log_max(WINDOW_LOG_MAX)?;
        Ok(Text(Inner::Packed { unpack: Box::new(unpack), left: most }))
    }
}

impl Read for Text {
    /// # Errors
    /// `FileTooLarge` beyond [`UNPACKED_MAX`]; `InvalidData` or `UnexpectedEof` for what is damaged or cut off.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Plain(file) => file.read(buffer),
            Inner::Packed { unpack, left } => {
                let n = unpack.read(buffer)?;
                *left = left.checked_sub(n as u64).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::FileTooLarge, "the transcript unpacks to too much")
                })?;
                Ok(n)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(dir: &Path, name: &str, bytes: &[u8], most: u64) -> io::Result<Vec<u8>> {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        let mut all = Vec::new();
        Text::limited(&path, File::open(&path).unwrap(), most)?.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn a_transcript_reads_the_same_compressed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let lines = b"{\"a\":1}\n".repeat(100_000);
        let packed = zstd::encode_all(&lines[..], 3).unwrap();
        let check = |name: &str, bytes: &[u8]| {
            assert!(text(dir.path(), name, bytes, UNPACKED_MAX).unwrap() == lines, "{name}");
        };
        check("a.jsonl", &lines);
        check("a.jsonl.zst", &packed);
        // What was appended later is a frame of its own.
        let (one, two) = lines.split_at(4000);
        let frames = [zstd::encode_all(one, 3).unwrap(), zstd::encode_all(two, 19).unwrap()].concat();
        check("a.jsonl.zst", &frames);
    }

    #[test]
    fn a_compressed_transcript_that_unpacks_to_too_much_or_is_damaged_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let bomb = zstd::encode_all(io::repeat(b' ').take(64 << 20), 19).unwrap();
        assert!(bomb.len() < 10_000);
        let kind = |bytes: &[u8], most| text(dir.path(), "a.jsonl.zst", bytes, most).unwrap_err().kind();
        assert_eq!(kind(&bomb, 1 << 20), io::ErrorKind::FileTooLarge);
        assert_eq!(text(dir.path(), "a.jsonl.zst", &bomb, 64 << 20).unwrap().len(), 64 << 20);
        assert_eq!(kind(&bomb[..bomb.len() - 1], UNPACKED_MAX), io::ErrorKind::UnexpectedEof);
        assert!(text(dir.path(), "a.jsonl.zst", b"no frame", UNPACKED_MAX).is_err());
        // One that would have a gigabyte kept in memory.
        let mut wide = zstd::Encoder::new(Vec::new(), 1).unwrap();
        wide.window_log(30).unwrap();
        wide.set_pledged_src_size(None).unwrap();
        io::copy(&mut &b"x\n".repeat(10_000)[..], &mut wide).unwrap();
        let wide = wide.finish().unwrap();
        assert!(text(dir.path(), "a.jsonl.zst", &wide, UNPACKED_MAX).is_err());
    }

    #[test]
    fn a_name_says_whether_it_is_compressed() {
        let check = |name: &str, packed, expected| {
            assert_eq!((is_packed(Path::new(name)), stem(name)), (packed, expected), "{name}");
        };
        check("rollout-a.jsonl", false, Some("rollout-a"));
        check("rollout-a.jsonl.zst", true, Some("rollout-a"));
        check("rollout-a.zst", false, None);
        check("rollout-a.json", false, None);
    }
}
