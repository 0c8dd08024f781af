//! What of a session others get.

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::local::complete;
use super::notes::{ATTEMPTS, BEFORE, DISPOSITION, Notes, OF, mark};
use super::paused::Paused;
use super::{FinishError, SHARE, TO_SHARE, artifacts, own, size_of};
use crate::kit::file;
use crate::kit::hex::hex;
use crate::kit::pointer::{Storage, Stored};
use crate::redact::{Findings, Redactor};
use crate::sessions::raw::{self, Line};
use crate::sessions::{PLAN, meta, name_of, usage};

/// Files that are kept apart from the repository where that can be done (agentwork and sessions, 4.3). Nothing else is shared.
pub(super) const CONTENT: [&str; 6] =
    [raw::FILE, "events.jsonl", artifacts::SUMMARY, artifacts::SESSION, "session.html", PLAN];
/// Files that stand in the repository as they are; large ones among the last two do not.
pub(super) const PLAIN: [&str; 4] = [artifacts::JSON, meta::FILE, usage::FILE, EDITS];
/// The hunks of the session.
const EDITS: &str = "edits.json";
/// A larger file does not stand in the repository as it is, in bytes.
const PLAIN_MAX: u64 = 256 << 10;
/// A file of a session that is none of text, or a single line larger than this, is not looked at: it is not shared.
const LINE_MAX: u64 = 64 << 20;
/// What is only ours to know.
const OURS: [&str; 3] = [DISPOSITION, BEFORE, "lifecycle"];

/// A session as it is shared.
#[derive(Clone, Debug)]
pub struct Pack {
    /// Its name.
    pub name: String,
    /// Its content: files that are kept apart from the repository where that can be done, each by its name.
    pub content: Vec<PathBuf>,
    /// The others, as they are.
    plain: Vec<(String, Vec<u8>)>,
    /// What is known of it, without where its content is.
    meta: Map<String, Value>,
    /// Those files of [`PLAIN`] as they lay here: digest and size, none where there was none.
    pub(super) seen: Vec<(&'static str, Option<(String, u64)>)>,
}

/// Makes the session in `dir` ready to be shared: what is not there yet of its artifacts is made without an agent, all of it is looked at for
/// secrets once more and written anew without them, and what was said in a pause is left out. `there` is its directory in the ledger, of
/// whose `meta.json` what others have added stays; `root` is the project's directory.
///
/// # Errors
/// See [`FinishError`].
pub fn pack(dir: &Path, there: Option<&Path>, root: &Path, redactor: &Redactor) -> Result<Pack, FinishError> {
    own(dir)?;
    size_of(dir)?;
    if !Notes::read(dir)?.may_share() {
        return Err(FinishError::NotShared);
    }
    if !raw::is_substantive(&dir.join(raw::FILE))? {
        return Err(FinishError::Empty);
    }
    // From here on it is owed to the others until they have it.
    mark(dir, TO_SHARE)?;
    complete(dir, root, u64::MAX, redactor)?;
    let paused = Paused::of_dir(dir).map_err(FinishError::Meta)?;
    let mut content = Vec::new();
    for name in CONTENT {
        let path = dir.join(name);
        let is_content = file::look(&path)?.is_some_and(|meta| meta.is_file()) && !raw::is_pointer(&path)?;
        // What a page or a list of events tells of a pause cannot be told apart.
        let is_told_apart = paused.is_empty() || !matches!(name, "events.jsonl" | "session.html");
        if is_content && is_told_apart {
            if clean(dir, name, redactor)? && name == raw::FILE {
                same(dir, redactor)?;
            }
            content.push(if name == raw::FILE { to_share(dir, &paused)? } else { path });
        }
    }
    let is_told = |name: &&str| *name != EDITS || paused.is_empty();
    let mut large = Vec::new();
    for name in [usage::FILE, EDITS].into_iter().filter(is_told) {
        let path = dir.join(name);
        if file::look(&path)?.is_some_and(|meta| meta.is_file() && meta.len() > PLAIN_MAX) {
            clean(dir, name, redactor)?;
            content.push(path);
            large.push(name);
        }
    }
    // All of one summary, or of the other: whoever writes another one has this lock while it does.
    let _locked = meta::lock(dir)?;
    let mut seen = Vec::new();
    for name in PLAIN {
        seen.push((name, seen_of(&dir.join(name))?));
    }
    let mut plain = Vec::new();
    let is_plain = |name: &&str| is_told(name) && !large.contains(name);
    for name in [artifacts::JSON, usage::FILE, EDITS].into_iter().filter(is_plain) {
        let path = dir.join(name);
        if !file::look(&path)?.is_some_and(|meta| meta.is_file()) {
            continue;
        }
        let bytes = file::read_capped(&path, usize::MAX - 1)?;
        plain.push((
            name.to_owned(),
            redactor.redact_file(name, &bytes, &mut Findings::default()).into_owned(),
        ));
    }
    let mut meta = Value::Object(known(dir, there).map_err(FinishError::Meta)?);
    redactor.redact_json(&mut meta);
    let Value::Object(meta) = meta else { return Err(io::Error::other("meta.json is no object").into()) };
    Ok(Pack { name: name_of(dir).to_owned(), content, plain, meta, seen })
}

/// How a file lies here.
pub(super) fn seen_of(path: &Path) -> io::Result<Option<(String, u64)>> {
    if file::look(path)?.is_some_and(|meta| meta.is_file()) { digest(path).map(Some) } else { Ok(None) }
}

/// The digest and the size of a file, whatever its size.
pub(super) fn digest(path: &Path) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let size = io::copy(&mut raw::open(path)?, &mut hash)?;
    Ok((hex(&hash.finalize()), size))
}

/// What is known of the session here, over what others know of it.
fn known(dir: &Path, there: Option<&Path>) -> io::Result<Map<String, Value>> {
    let mut all = there.map(meta::read).transpose()?.unwrap_or_default();
    let theirs = |all: &Map<String, Value>| all.get(ATTEMPTS).and_then(Value::as_u64).unwrap_or(0);
    let attempts = theirs(&all);
    for (key, value) in meta::read(dir)? {
        match (all.get_mut(&key), value) {
            // Where its files are is known better by who has put them there.
            (Some(Value::Object(theirs)), Value::Object(ours)) if key == "files" => {
                for (name, file) in ours {
                    theirs.entry(name).or_insert(file);
                }
            }
            (_, value) => drop(all.insert(key, value)),
        }
    }
    let is_ok = all.get(super::notes::STATUS).and_then(Value::as_str) == Some("ok");
    if !is_ok && attempts > theirs(&all) {
        all.insert(ATTEMPTS.into(), attempts.into());
    }
    OURS.iter().for_each(|key| drop(all.remove(*key)));
    all.remove("draft");
    if let Some(name) = all.get("username").and_then(Value::as_str).and_then(|name| name.split_once('@')) {
        let name = name.0.to_owned();
        all.insert("username".into(), name.into());
    }
    Ok(all)
}

/// Where the files of a shared session are, as the `meta.json` in its directory in the ledger says; none where there is no such file.
///
/// # Errors
/// It cannot be read.
pub fn stored(there: &Path) -> io::Result<Option<Vec<Stored>>> {
    if file::look(&there.join(meta::FILE))?.is_none() {
        return Ok(None);
    }
    let all = meta::read(there)?;
    let row = |(name, file): (&String, &Value)| {
        let oid = file["oid"].as_str()?;
        let storage = file["storage"].as_str().map_or(Some(Storage::Lfs), Storage::named)?;
        let oid = oid.strip_prefix("sha256:").unwrap_or(oid).to_owned();
        Some(Stored { name: name.clone(), oid, size: file["size"].as_u64()?, storage })
    };
    Ok(Some(all.get("files").and_then(Value::as_object).into_iter().flatten().filter_map(row).collect()))
}

impl Pack {
    /// The files that stand in the repository as they are, by name: `meta.json`, which is the last, says where the content is.
    ///
    /// # Errors
    /// None of them can be written as JSON.
    pub fn plain(&self, stored: &[Stored]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut meta = self.meta.clone();
        let files = meta.entry("files").or_insert_with(|| Map::new().into());
        if !files.is_object() {
            *files = Map::new().into();
        }
        if let Value::Object(files) = files {
            for one in stored.iter().filter(|one| one.storage != Storage::Here) {
                let is_in_git =
                    files.get(&one.name).is_some_and(|file| file["storage"] == Storage::Git.name());
                // What git keeps stays there: a pointer in its place would stand for what nobody has.
                if is_in_git && one.storage == Storage::Lfs {
                    continue;
                }
                files.insert(
                    one.name.clone(),
                    json!({ "oid": format!("sha256:{}", one.oid), "size": one.size, "storage": one.storage.name() }),
                );
            }
        }
        let mut all = self.plain.clone();
        all.push((meta::FILE.to_owned(), serde_json::to_vec_pretty(&meta)?));
        Ok(all)
    }
}

/// Writes a file anew without what counts as a secret by these rules, if anything does. Line by line: it may be large.
/// Answers whether anything did.
fn clean(dir: &Path, name: &str, redactor: &Redactor) -> io::Result<bool> {
    let _lock = (name == raw::FILE).then(|| raw::lock(dir)).transpose()?;
    let path = dir.join(name);
    let mut found = Findings::default();
    redacted(&path, redactor, &mut found, &mut io::sink())?;
    if !found.is_empty() {
        let fill = &mut |out: &mut dyn io::Write| redacted(&path, redactor, &mut Findings::default(), out);
        file::write_filled(&path, 0o600, fill)?;
    }
    if name == raw::FILE {
        raw::unlock(dir);
    }
    Ok(!found.is_empty())
}

/// The transcript is the same one without its secrets: what was decided is of it still.
fn same(dir: &Path, redactor: &Redactor) -> Result<(), FinishError> {
    let bytes = size_of(dir)?;
    let is_of = |all: &mut Map<String, Value>| {
        if let Some(of) = all.get_mut(OF) {
            *of = bytes.into();
        }
    };
    meta::change(&meta::lock(dir)?, redactor, is_of).map_err(FinishError::Meta)
}

fn redacted(
    path: &Path,
    redactor: &Redactor,
    found: &mut Findings,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.ends_with(".json") {
        // As JSON: its texts are looked at, and not the row of letters that hashes make.
        let bytes = file::read_capped(path, LINE_MAX as usize)?;
        return out.write_all(&redactor.redact_file(name, &bytes, found));
    }
    let mut file = BufReader::with_capacity(256 << 10, raw::open(path)?);
    if name.ends_with(".jsonl") {
        let mut line = Vec::new();
        loop {
            line.clear();
            if io::Read::take(&mut file, LINE_MAX).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            out.write_all(&redactor.redact_file(name, &line, found))?;
        }
    }
    let (mut stream, mut clean) = (redactor.stream(), Vec::new());
    loop {
        let piece = file.fill_buf()?;
        let n = piece.len();
        if n == 0 {
            found.merge(&stream.finish(&mut clean));
            return out.write_all(&clean);
        }
        stream.push(piece, &mut clean);
        file.consume(n);
        out.write_all(&clean)?;
        clean.clear();
    }
}

/// The transcript as it is shared: itself, or where there were pauses a copy without what was said in them.
pub(super) fn to_share(dir: &Path, paused: &Paused) -> io::Result<PathBuf> {
    let (from, copy) = (dir.join(raw::FILE), dir.join(SHARE).join(raw::FILE));
    if paused.is_empty() {
        return Ok(from);
    }
    file::make_dirs(&dir.join(SHARE), 0o700)?;
    file::write_filled(&copy, 0o600, &mut |out| {
        let (mut file, mut line, mut next) = (BufReader::new(raw::open(&from)?), Vec::new(), 0);
        loop {
            line.clear();
            if io::Read::take(&mut file, LINE_MAX).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let is_shared = match Line::parse(&line) {
                Line::Entry(entry) => {
                    let seq = entry.seq.unwrap_or(next);
                    next = seq.saturating_add(1);
                    !paused.covers(seq, &entry)
                }
                Line::Header(_) | Line::Footer(_) => true,
                // What cannot be read may be of a pause.
                Line::Damaged => false,
            };
            if is_shared {
                out.write_all(&line)?;
            }
        }
    })?;
    Ok(copy)
}
