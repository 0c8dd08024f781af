//! Files that hold secrets: for their owner alone from their first byte on.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::{Error, limits};
use crate::kit::file;

/// Reads a whole file with secrets; `None` if there is none.
///
/// # Errors
/// `Read`, also for one that is too large: a file that cannot be read is never a missing one.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match file::read_capped(path, limits::SECRETS_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::read(path, e)),
    }
}

/// Replaces a file with secrets, 0600, durably; a link to where the user keeps it stays. With `own_dir` its directory is ours and is closed to others; else it is one that
/// the user named and keeps its mode.
///
/// # Errors
/// `Write`; the old content stands.
pub(super) fn write(path: &Path, text: &[u8], own_dir: bool) -> Result<(), Error> {
    let write = || {
        if own_dir && let Some(dir) = path.parent() {
            close_dir(dir)?;
        }
        file::write_linked(path, text, 0o600)
    };
    write().map_err(|e| Error::write(path, e))
}

/// Makes the directory, or takes others' rights away. A link to a directory is how some people keep their settings and is followed.
fn close_dir(dir: &Path) -> io::Result<()> {
    file::make_dirs(dir, 0o700)?;
    let meta = std::fs::metadata(dir)?;
    if meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 != 0 {
        rustix::fs::chmod(dir, rustix::fs::Mode::from_raw_mode(0o700))?;
    }
    Ok(())
}

/// What is wrong with a file, without a word out of it: the parser's own text may quote a secret.
pub(super) fn reason(e: &serde_json::Error) -> String {
    let what = match e.classify() {
        serde_json::error::Category::Syntax => "it is no JSON",
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Data | serde_json::error::Category::Io => {
            "a value has the wrong type or cannot be"
        }
    };
    format!("{what} (line {}, column {})", e.line(), e.column())
}

/// Reads null as the default, as the absent value is.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(d).map(Option::unwrap_or_default)
}
