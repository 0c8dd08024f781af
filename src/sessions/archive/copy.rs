//! Copies one file: finds out what of it is kept already, and appends the rest.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::clean::Clean;
use super::frames::{Frame, Writer};
use super::index::{Index, Known, State, Version};
use super::limits::{BEGINNING_MAX, DOCUMENT_MAX, FILE_MAX, HEAD, LINE_MAX, QUIET};
use super::look::known;
use super::{Archive, Error};
use crate::harness::transcript::kept::{Source, Stat};
use crate::harness::transcript::places::{self, is_packed};
use crate::harness::transcript::{Fact, Reader, Role, Thread, What};
use crate::kit::hex::hex;
use crate::redact::{Findings, Redactor};
use crate::sessions::{info, raw};

/// Read at once, in bytes.
const PIECE: usize = 64 << 10;

/// What came of copying a file.
#[derive(Debug)]
pub(super) struct Came {
    /// What is known of it now.
    pub(super) known: Known,
    /// The version that has it, and how.
    pub(super) kept: Option<(Version, How)>,
    /// Bytes that were added, as they were.
    pub(super) added: u64,
    /// What was replaced in them.
    pub(super) found: Findings,
    /// The run's limit was reached within it.
    pub(super) is_cut: bool,
}

/// How a file got into the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is new.
    New,
    /// What it has got was appended.
    Grown,
    /// It was written anew; what was kept of it stays beside.
    Rewritten,
    /// It was kept already, under another name or as it was before.
    Known,
}

impl How {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            How::New => "new",
            How::Grown => "grown",
            How::Rewritten => "rewritten",
            How::Known => "known",
        }
    }
}

/// Why a file was not copied.
#[derive(Debug)]
pub(super) enum NotCopied {
    /// It cannot be read; others can.
    Source(io::Error),
    /// The archive cannot be written.
    Archive(Error),
}

impl From<Error> for NotCopied {
    fn from(error: Error) -> NotCopied {
        NotCopied::Archive(error)
    }
}

/// What copying needs.
pub(super) struct Copy<'a> {
    pub(super) archive: &'a Archive,
    pub(super) index: &'a mut Index,
    pub(super) redactor: &'a Redactor,
    pub(super) now: Timestamp,
    /// Bytes that may still be copied.
    pub(super) left: u64,
    pub(super) stop: &'a dyn Fn() -> bool,
    /// Files that were opened, and bytes that were read of them.
    pub(super) opened: u64,
    pub(super) read: u64,
}

/// What is kept of a file, with its frames.
type Base = (Version, Vec<Frame>);

/// What reading a version along with a file found.
enum Same {
    /// The file is what is kept.
    Whole,
    /// The file begins with what is kept.
    Begins,
    /// It is another.
    Other,
}

impl Copy<'_> {
    /// Copies what is new of a file in the directory `cwd`, of which `before` is known.
    pub(super) fn file(
        &mut self,
        source: &Source,
        cwd: &str,
        before: Option<&Known>,
    ) -> Result<Came, NotCopied> {
        let file = places::open(&source.root, &source.path).map_err(NotCopied::Source)?;
        self.opened += 1;
        let stat = Stat::of(&file.metadata().map_err(NotCopied::Source)?);
        let source = &Source { stat, ..source.clone() };
        if stat.size > FILE_MAX {
            let why = format!("larger than {}", crate::kit::human::bytes(FILE_MAX));
            let known = Known { why, ..known(source, State::Refused, cwd) };
            return Ok(Came { known, kept: None, added: 0, found: Findings::default(), is_cut: false });
        }
        let own = match before.and_then(|before| before.version) {
            Some(id) => self.index.version(id)?,
            None => None,
        };
        let is_same_file = before.is_some_and(|b| (b.stat.device, b.stat.inode) == (stat.device, stat.inode));
        if let Some(own) = &own
            && is_same_file
            && self.has_grown(&file, source, own)?
        {
            let frames = self.index.frames(own.id)?;
            return self.append(source, cwd, &file, Some((own.clone(), frames)), How::Grown, None);
        }
        let head = self.head(source)?;
        let mut candidates: Vec<Version> = own.iter().cloned().collect();
        for other in self.index.candidates(source.program, &source.name, &head.0)? {
            if !candidates.contains(&other) {
                candidates.push(other);
            }
        }
        for version in candidates {
            let frames = self.index.frames(version.id)?;
            match self.compare(source, &frames)? {
                Same::Whole => {
                    let known = Known {
                        version: Some(version.id),
                        is_whole: true,
                        ..known(source, State::Kept, cwd)
                    };
                    let (kept, found) = (Some((version, How::Known)), Findings::default());
                    return Ok(Came { known, kept, added: 0, found, is_cut: false });
                }
                // A fork may begin as what it was made of, which goes on in its own file.
                Same::Begins if !version.is_closed && version.name == source.name => {
                    let base = Some((version, frames));
                    return self.append(source, cwd, &file, base, How::Grown, Some(head));
                }
                Same::Begins | Same::Other => {}
            }
        }
        let how = if own.is_some() { How::Rewritten } else { How::New };
        self.append(source, cwd, &file, None, how, Some(head))
    }

    /// Whether a file that only gets longer has done that: by its beginning and by what is before the place where copying stood. Of a file
    /// that has not got longer, or is no file of lines, all has to be read to say so.
    fn has_grown(&mut self, file: &File, source: &Source, version: &Version) -> Result<bool, NotCopied> {
        let may_be = source.is_lines() && !is_packed(&source.path) && !version.is_closed;
        if !may_be || source.stat.size <= version.raw {
            return Ok(false);
        }
        let parts = [
            (0, version.head_length, &version.head),
            (version.settled - version.edge_length.min(version.settled), version.edge_length, &version.edge),
        ];
        for (at, length, hash) in parts {
            let mut part = vec![0; usize::try_from(length).unwrap_or(0).min(HEAD)];
            file.read_exact_at(&mut part, at).map_err(NotCopied::Source)?;
            self.read += part.len() as u64;
            if hex(&Sha256::digest(&part)) != *hash {
                return Ok(false);
            }
        }
        // A last line without its end that is kept has to be there still.
        let frames = self.index.frames(version.id)?;
        let Some(tail) =
            frames.last().filter(|frame| frame.from >= version.settled && version.raw > version.settled)
        else {
            return Ok(true);
        };
        let mut part = Vec::new();
        let mut at = file;
        at.seek(SeekFrom::Start(tail.from)).map_err(NotCopied::Source)?;
        at.take(tail.to - tail.from).read_to_end(&mut part).map_err(NotCopied::Source)?;
        self.read += part.len() as u64;
        Ok(hex(&Sha256::digest(&part)) == tail.hash)
    }

    fn text(&mut self, source: &Source) -> Result<places::Text, NotCopied> {
        self.opened += 1;
        source.text().map_err(NotCopied::Source)
    }

    /// The hash of a file's beginning, and how long that is.
    fn head(&mut self, source: &Source) -> Result<(String, u64), NotCopied> {
        let mut head = Vec::new();
        self.text(source)?.take(HEAD as u64).read_to_end(&mut head).map_err(NotCopied::Source)?;
        self.read += head.len() as u64;
        Ok((hex(&Sha256::digest(&head)), head.len() as u64))
    }

    /// Reads a file along with what is kept in `frames`.
    fn compare(&mut self, source: &Source, frames: &[Frame]) -> Result<Same, NotCopied> {
        let mut text = self.text(source)?;
        let mut piece = vec![0; PIECE];
        for frame in frames {
            let (mut hash, mut left) = (Sha256::new(), frame.to - frame.from);
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                let n = text.read(&mut piece[..most]).map_err(NotCopied::Source)?;
                if n == 0 {
                    return Ok(Same::Other);
                }
                hash.update(&piece[..n]);
                self.read += n as u64;
                left -= n as u64;
            }
            if hex(&hash.finalize()) != frame.hash {
                return Ok(Same::Other);
            }
        }
        let n = text.read(&mut piece[..1]).map_err(NotCopied::Source)?;
        Ok(if n == 0 { Same::Whole } else { Same::Begins })
    }

    /// Appends what a file has behind its `base`, or all of it to a new version.
    fn append(
        &mut self,
        source: &Source,
        cwd: &str,
        file: &File,
        base: Option<Base>,
        how: How,
        head: Option<(String, u64)>,
    ) -> Result<Came, NotCopied> {
        let (mut version, mut frames) = match base {
            Some(base) => base,
            None => (new_version(self.index.next_id()?, source, cwd), Vec::new()),
        };
        if version.head_length < HEAD as u64 {
            (version.head, version.head_length) = match head {
                Some(head) => head,
                None => self.head(source)?,
            };
        }
        frames.retain(|frame| frame.to <= version.settled);
        let path = self.archive.file(version.id);
        let length = version.length;
        let io = |error: io::Error| Error::Io { path: path.clone(), source: error };
        let mut writer = match Writer::open(&path, length) {
            // What is left of it stays; the source has all of it still.
            Err(e) if e.kind() == io::ErrorKind::InvalidData && length > 0 => {
                return self.append(source, cwd, file, None, How::Rewritten, None);
            }
            opened => opened.map_err(io)?,
        };
        let mut taken = Taken::new(&version, self.redactor);
        let done = if source.is_lines() {
            self.lines(source, file, &mut version, &mut writer, &mut frames, &mut taken)
        } else {
            self.document(source, &mut version, &mut writer, &mut frames, &mut taken)
        };
        let end = match done.and_then(|end| writer.sync().map(|()| end).map_err(Failed::Write)) {
            Ok(end) => end,
            Err(failed) => {
                writer.undo(&path, length);
                return Err(match failed {
                    Failed::Read(error) => NotCopied::Source(error),
                    Failed::Write(error) => NotCopied::Archive(io(error)),
                });
            }
        };
        taken.put(&mut version);
        let before = version.raw;
        version.raw = frames.last().map_or(0, |frame| frame.to);
        version.length = frames.last().map_or(0, |frame| frame.at + frame.length).max(length);
        version.redacted += taken.found.total();
        version.modified = source.stat.modified();
        version.archived = self.now;
        let is_whole = end == End::Whole;
        let known = Known { version: Some(version.id), is_whole, ..known(source, State::Kept, cwd) };
        let added = version.raw.saturating_sub(before);
        self.left = self.left.saturating_sub(added);
        self.index.keep(&known, &version, &frames)?;
        Ok(Came { known, kept: Some((version, how)), added, found: taken.found, is_cut: end == End::Cut })
    }

    /// Appends the lines behind what is settled; and, as a frame of its own that goes when there is more, what stands behind the last line's
    /// end.
    fn lines(
        &mut self,
        source: &Source,
        file: &File,
        version: &mut Version,
        writer: &mut Writer,
        frames: &mut Vec<Frame>,
        taken: &mut Taken<'_>,
    ) -> Result<End, Failed> {
        let packed = is_packed(&source.path);
        let from = version.settled;
        let end = if packed { u64::MAX } else { raw::whole_lines(file).map_err(Failed::Read)? };
        let mut file = file;
        let mut text: Box<dyn BufRead + '_> = if packed {
            let mut text = source.text().map_err(Failed::Read)?;
            self.opened += 1;
            io::copy(&mut Read::by_ref(&mut text).take(from), &mut io::sink()).map_err(Failed::Read)?;
            Box::new(BufReader::with_capacity(PIECE, text))
        } else {
            file.seek(SeekFrom::Start(from)).map_err(Failed::Read)?;
            Box::new(BufReader::with_capacity(PIECE, file.take(end.saturating_sub(from))))
        };
        let mut frame = None;
        let (mut line, mut at, mut is_in_long, mut ended) = (Vec::new(), from, false, true);
        loop {
            if at - from >= self.left || (self.stop)() {
                ended = is_at_end(&mut text).map_err(Failed::Read)?;
                break;
            }
            line.clear();
            Read::by_ref(&mut text).take(LINE_MAX).read_until(b'\n', &mut line).map_err(Failed::Read)?;
            if line.is_empty() {
                break;
            }
            let mut has_end = line.ends_with(b"\n");
            let frame = match &mut frame {
                Some(frame) => frame,
                none => none.insert(Open::begin(writer, self.redactor)?),
            };
            if is_in_long || (!has_end && line.len() as u64 == LINE_MAX) {
                is_in_long = !has_end;
                frame.text(&line)?;
                // Only between lines may a copy end.
                while is_in_long {
                    at += line.len() as u64;
                    taken.edge(&line);
                    line.clear();
                    Read::by_ref(&mut text)
                        .take(LINE_MAX)
                        .read_until(b'\n', &mut line)
                        .map_err(Failed::Read)?;
                    has_end = line.is_empty() || line.ends_with(b"\n");
                    is_in_long = !has_end;
                    frame.text(&line)?;
                }
            } else {
                taken.line(&line);
                frame.whole(&line)?;
            }
            at += line.len() as u64;
            taken.edge(&line);
        }
        self.read += at - from;
        if let Some(frame) = frame {
            frames.push(frame.end(writer, from, at, &mut taken.found)?);
            version.settled = at;
            version.is_closed = packed && !taken.ends_line;
        }
        if packed || !ended {
            return Ok(if ended { End::Whole } else { End::Cut });
        }
        drop(text);
        self.tail(source, file, end, writer, frames, taken)
    }

    /// Appends a last line without its end, if it is one already or nobody will end it.
    fn tail(
        &mut self,
        source: &Source,
        mut file: &File,
        from: u64,
        writer: &mut Writer,
        frames: &mut Vec<Frame>,
        taken: &mut Taken<'_>,
    ) -> Result<End, Failed> {
        let mut rest = Vec::new();
        file.seek(SeekFrom::Start(from)).map_err(Failed::Read)?;
        let length = source.stat.size.saturating_sub(from);
        file.take(length.min(LINE_MAX)).read_to_end(&mut rest).map_err(Failed::Read)?;
        self.read += rest.len() as u64;
        if rest.is_empty() {
            return Ok(End::Whole);
        }
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&rest).is_ok();
        let is_quiet = self.now.duration_since(source.stat.modified()).unsigned_abs() >= QUIET
            && source.stat.modified() < self.now;
        if !is_json && !is_quiet {
            return Ok(End::Waits);
        }
        let mut frame = Open::begin(writer, self.redactor)?;
        let mut at = from;
        let is_long = length > LINE_MAX;
        if !is_long {
            taken.line(&rest);
            frame.whole(&rest)?;
        }
        while is_long && !rest.is_empty() {
            frame.text(&rest)?;
            at += rest.len() as u64;
            rest.clear();
            file.take(source.stat.size.saturating_sub(at).min(LINE_MAX))
                .read_to_end(&mut rest)
                .map_err(Failed::Read)?;
            self.read += rest.len() as u64;
        }
        frames.push(frame.end(writer, from, at + rest.len() as u64, &mut taken.found)?);
        Ok(End::Whole)
    }

    /// A document, or a text, whole.
    fn document(
        &mut self,
        source: &Source,
        version: &mut Version,
        writer: &mut Writer,
        frames: &mut Vec<Frame>,
        taken: &mut Taken<'_>,
    ) -> Result<End, Failed> {
        // What is at fault in one part may show in the next only.
        frames.clear();
        version.settled = 0;
        let mut text = source.text().map_err(Failed::Read)?;
        self.opened += 1;
        let mut part = Vec::new();
        let mut frame = Open::begin(writer, self.redactor)?;
        let mut at = 0;
        loop {
            part.clear();
            Read::by_ref(&mut text).take(DOCUMENT_MAX).read_to_end(&mut part).map_err(Failed::Read)?;
            self.read += part.len() as u64;
            let is_all = at == 0 && (part.len() as u64) < DOCUMENT_MAX;
            if is_all {
                taken.line(&part);
                frame.whole(&part)?;
            } else {
                frame.text(&part)?;
            }
            at += part.len() as u64;
            if is_all || part.is_empty() {
                break;
            }
        }
        frames.push(frame.end(writer, 0, at, &mut taken.found)?);
        Ok(End::Whole)
    }
}

/// How much of a file is kept then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// All of it.
    Whole,
    /// All but a last line that is still being written.
    Waits,
    /// What the run's limit allowed.
    Cut,
}

/// Why a frame was not written.
enum Failed {
    Read(io::Error),
    Write(io::Error),
}

/// A frame that is being written.
struct Open<'r> {
    frame: zstd::Encoder<'static, File>,
    clean: Clean<'r>,
    hash: Sha256,
    out: Vec<u8>,
}

impl<'r> Open<'r> {
    fn begin(writer: &Writer, redactor: &'r Redactor) -> Result<Open<'r>, Failed> {
        let frame = writer.begin().map_err(Failed::Write)?;
        Ok(Open { frame, clean: Clean::new(redactor), hash: Sha256::new(), out: Vec::new() })
    }

    fn whole(&mut self, line: &[u8]) -> Result<(), Failed> {
        self.hash.update(line);
        self.clean.whole(line, &mut self.out);
        self.write()
    }

    fn text(&mut self, part: &[u8]) -> Result<(), Failed> {
        self.hash.update(part);
        self.clean.text(part, &mut self.out);
        self.write()
    }

    fn write(&mut self) -> Result<(), Failed> {
        self.frame.write_all(&self.out).map_err(Failed::Write)?;
        self.out.clear();
        Ok(())
    }

    fn end(self, writer: &mut Writer, from: u64, to: u64, found: &mut Findings) -> Result<Frame, Failed> {
        let Open { mut frame, clean, hash, mut out } = self;
        found.merge(&clean.finish(&mut out));
        frame.write_all(&out).map_err(Failed::Write)?;
        let (at, length) = writer.end(frame).map_err(Failed::Write)?;
        Ok(Frame { at, length, from, to, hash: hex(&hash.finalize()) })
    }
}

/// What is learnt of a transcript on the way through it.
struct Taken<'r> {
    redactor: &'r Redactor,
    reader: Option<Reader>,
    /// Bytes in which it is still looked for.
    left: u64,
    facts: Vec<Fact>,
    thread: Thread,
    title: String,
    began: Option<Timestamp>,
    /// The last bytes.
    edge: Vec<u8>,
    ends_line: bool,
    found: Findings,
}

impl<'r> Taken<'r> {
    fn new(version: &Version, redactor: &'r Redactor) -> Taken<'r> {
        Taken {
            redactor,
            reader: Reader::of(&version.program).filter(|_| version.title.is_empty()),
            left: BEGINNING_MAX,
            facts: Vec::new(),
            thread: Thread::default(),
            title: String::new(),
            began: None,
            edge: Vec::new(),
            ends_line: true,
            found: Findings::default(),
        }
    }

    fn line(&mut self, line: &[u8]) {
        let Some(reader) = &mut self.reader else { return };
        reader.line(line.trim_ascii_end(), &mut self.facts);
        for fact in self.facts.drain(..) {
            self.began = self.began.or(fact.time);
            match fact.what {
                What::Thread(thread) => self.thread = thread,
                What::Said { role: Role::User, text } if self.title.is_empty() => {
                    self.title = info::headline(&self.redactor.redact(&text));
                }
                _ => {}
            }
        }
        self.left = self.left.saturating_sub(line.len() as u64);
        if self.left == 0 || (!self.title.is_empty() && !self.thread.id.is_empty()) {
            self.reader = None;
        }
    }

    fn edge(&mut self, line: &[u8]) {
        self.ends_line = line.ends_with(b"\n");
        let last = &line[line.len().saturating_sub(HEAD)..];
        self.edge.extend_from_slice(last);
        let over = self.edge.len().saturating_sub(HEAD);
        self.edge.drain(..over);
    }

    fn put(&self, version: &mut Version) {
        let fill = |text: &mut String, found: &str| {
            if text.is_empty() {
                found.clone_into(text);
            }
        };
        fill(&mut version.title, &self.title);
        fill(&mut version.thread, &self.thread.id);
        fill(&mut version.session, &self.thread.session);
        version.began = version.began.or(self.began);
        if !self.edge.is_empty() {
            version.edge = hex(&Sha256::digest(&self.edge));
            version.edge_length = self.edge.len() as u64;
        }
    }
}

fn new_version(id: i64, source: &Source, cwd: &str) -> Version {
    // What lies beside a transcript has its session's id before its own name.
    let session = source.name.split_once('/').map_or("", |(session, _)| session);
    Version {
        id,
        program: source.program.to_owned(),
        name: source.name.clone(),
        part: source.part,
        thread: String::new(),
        session: session.to_owned(),
        cwd: cwd.to_owned(),
        title: String::new(),
        began: None,
        modified: Timestamp::UNIX_EPOCH,
        archived: Timestamp::UNIX_EPOCH,
        is_lines: source.is_lines(),
        raw: 0,
        length: 0,
        redacted: 0,
        head: String::new(),
        head_length: 0,
        edge: hex(&Sha256::digest(b"")),
        edge_length: 0,
        settled: 0,
        is_closed: false,
    }
}

fn is_at_end(text: &mut dyn BufRead) -> io::Result<bool> {
    Ok(text.fill_buf()?.is_empty())
}
