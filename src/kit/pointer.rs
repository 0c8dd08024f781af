//! Files that stand for a content kept elsewhere: the pointers of Git LFS (its `docs/spec.md`). Pure.

use sha2::{Digest as _, Sha256};

use super::hex::hex;

/// How the first line begins.
const VERSION: &str = "version https://git-lfs.github.com/spec/";
/// Bytes that a pointer has at most; a longer file is content.
pub const MAX: usize = 1024;
/// Bytes that a whole pointer has at most.
const WHOLE_MAX: usize = 200;
/// Digits of an id.
const OID_LEN: usize = 64;

/// What a pointer tells of the content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer {
    /// SHA-256 of the content, 64 digits in lower case.
    pub oid: String,
    /// Bytes of the content; never 0, for an empty file stands for itself.
    pub size: u64,
}

impl Pointer {
    /// Reads a whole pointer: the version, an id and a size; other lines are ignored. `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Pointer> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= WHOLE_MAX)?;
        let mut lines = text.lines();
        lines.next().filter(|first| first.starts_with(VERSION))?;
        let find = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let oid = find("oid sha256:").filter(|oid| is_hex(oid))?.to_ascii_lowercase();
        let size = find("size ")?.parse().ok().filter(|size| *size > 0)?;
        Some(Pointer { oid, size })
    }

    /// As a file has it.
    pub fn to_text(&self) -> String {
        format!("{VERSION}v1\noid sha256:{}\nsize {}\n", self.oid, self.size)
    }

    /// The pointer that is these very bytes, with nothing in it beside.
    pub fn parse_exact(bytes: &[u8]) -> Option<Pointer> {
        Pointer::parse(bytes).filter(|pointer| pointer.to_text().as_bytes() == bytes)
    }
}

/// Whether these bytes are no content but stand for one, whole or damaged.
pub fn is_pointer(bytes: &[u8]) -> bool {
    bytes.len() <= MAX && bytes.starts_with(VERSION.as_bytes())
}

/// Whether this is an id: 64 digits in lower case.
pub fn is_oid(text: &str) -> bool {
    is_hex(text) && !text.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_hex(text: &str) -> bool {
    text.len() == OID_LEN && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Works out an id, piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Hasher(Sha256, u64);

impl Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
        self.1 += bytes.len() as u64;
    }

    /// Id and size of all that was taken.
    pub fn finish(self) -> (String, u64) {
        (hex(&self.0.finalize()), self.1)
    }
}

/// Where a content is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// By the remote's Git LFS, with a pointer in git.
    Lfs,
    /// In git itself.
    Git,
    /// On this machine alone: it is too large for git, and the remote has no Git LFS.
    Here,
}

impl Storage {
    /// Its name in `meta.json`.
    pub fn name(self) -> &'static str {
        match self {
            Storage::Lfs => "lfs",
            Storage::Git => "git",
            Storage::Here => "local",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Storage> {
        [Storage::Lfs, Storage::Git, Storage::Here].into_iter().find(|s| s.name() == name)
    }
}

/// A content and where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The file's name in the session's directory.
    pub name: String,
    /// SHA-256 of what is kept, 64 digits.
    pub oid: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where.
    pub storage: Storage,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "version https://git-lfs.github.com/spec/v1\n";

    #[test]
    fn pointers_are_told_from_what_looks_like_one() {
        let oid = format!("oid sha256:{}\n", "a".repeat(64));
        let check = |text: String, expected| {
            assert_eq!(Pointer::parse(text.as_bytes()).is_some(), expected, "{text}");
        };
        check(format!("{HEAD}{oid}size 12\n"), true);
        check(format!("{HEAD}ext-0-x sha256:1\n{oid}size 12\n"), true);
        check(format!("{HEAD}{oid}size 0\n"), false);
        check(format!("{HEAD}{oid}"), false);
        check(format!("{HEAD}oid sha256:abc\nsize 1\n"), false);
        check(format!("{HEAD}{oid}size 12\n{}", " ".repeat(200)), false);
        check(format!("<<<<<<< HEAD\n{HEAD}{oid}size 12\n"), false);
    }

    #[test]
    fn damaged_pointers_are_no_content_either() {
        let check = |text: &str, expected| assert_eq!(is_pointer(text.as_bytes()), expected, "{text}");
        check(&format!("{HEAD}oid sha256:0\nsize 1\n"), true);
        check(HEAD, true);
        check("version 1", false);
        check("", false);
        check(&format!("{HEAD}{}", " ".repeat(MAX)), false);
    }

    #[test]
    fn only_what_has_nothing_beside_is_the_very_pointer() {
        let pointer = Pointer { oid: "0b".repeat(32), size: 7 };
        let text = pointer.to_text();
        assert_eq!(text, format!("{HEAD}oid sha256:{}\nsize 7\n", "0b".repeat(32)));
        assert_eq!(Pointer::parse_exact(text.as_bytes()), Some(pointer));
        assert_eq!(Pointer::parse_exact(format!("{text}token x\n").as_bytes()), None);
    }

    #[test]
    fn an_id_is_that_of_the_bytes_however_they_come() {
        let mut hasher = Hasher::default();
        hasher.update(b"he");
        hasher.update(b"llo");
        let oid = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(hasher.finish(), (oid.to_owned(), 5));
        assert!(is_oid(oid) && !is_oid(&oid.to_uppercase()) && !is_oid("2c"));
    }
}
