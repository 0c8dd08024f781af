//! Away from tokens in files: a clone asks our credential helper, and what older programs left in `.git` is taken out.

use std::fs;
use std::path::Path;

use crate::git::change::reapply::files_below;
use crate::git::error::GitError;
use crate::git::limits::CREDENTIALS_FILE_CAP;
use crate::git::managed::ManagedClone;
use crate::git::read::Reader;
use crate::kit::file::{found, read_capped, write_durable};

/// The user name that goes with a token of the vendor in a URL.
const TOKEN_USER: &str = "oauth2:";
/// How `oauth2:…` begins in base64, the form of an HTTP header.
const TOKEN_USER_BASE64: &str = "b2F1dGgyO";
/// How a personal token begins.
const TOKEN_START: &str = "glpat-";

/// A URL without the token that it may have had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bare {
    /// The URL as it should be.
    pub url: String,
    /// There was a token in it: the clone has to be moved to the helper.
    pub had_token: bool,
}

/// Takes `oauth2:…@` out of an HTTP URL; any other user information stays for whoever checks URLs.
fn without_token(url: &str) -> Bare {
    let stripped = ["https://", "http://"].iter().find_map(|scheme| {
        let rest = url.strip_prefix(scheme)?;
        let authority = rest.split('/').next().unwrap_or(rest);
        let host = authority.strip_prefix(TOKEN_USER)?.rsplit('@').next()?;
        let at = authority.len() - host.len();
        authority.contains('@').then(|| format!("{scheme}{}", rest.get(at..).unwrap_or_default()))
    });
    Bare { had_token: stripped.is_some(), url: stripped.unwrap_or_else(|| url.to_owned()) }
}

impl Reader {
    /// The URL of `origin` without a token, and whether it has one.
    pub fn origin_url_bare(&self) -> Option<Bare> {
        self.origin_url().map(|url| without_token(&url))
    }
}

impl ManagedClone<'_> {
    /// Takes tokens of the vendor out of the clone's files: URLs and headers in its configuration, `FETCH_HEAD`, the logs of
    /// its refs. Whether there were any.
    ///
    /// # Errors
    /// A file that cannot be read or written; those before it are clean already.
    pub fn strip_credentials(&mut self) -> Result<bool, GitError> {
        let git = self.git_dir();
        let mut had_any = false;
        let busy = git.join("config.lock");
        for name in ["config", "config.worktree"] {
            if busy.exists() {
                return Err(GitError::LockFiles(vec![busy]));
            }
            had_any |= rewrite(&git.join(name), clean_config)?;
        }
        let fetch_head = git.join("FETCH_HEAD");
        if read(&fetch_head)?.is_some_and(|text| text.windows(TOKEN_USER.len()).any(is_token_user)) {
            // Nobody needs what it says; the next fetch by somebody else writes it anew.
            fs::remove_file(&fetch_head).map_err(GitError::io("removing", &fetch_head))?;
            had_any = true;
        }
        let logs = git.join("logs");
        for log in files_below(&logs)? {
            had_any |= rewrite(&logs.join(log), clean_text)?;
        }
        Ok(had_any)
    }

    /// Makes git ask our credential helper also when a person runs it here, and stops it from asking for a signing key. Whether
    /// there is a helper, and a remote that needs one.
    ///
    /// # Errors
    /// What git's output tells of.
    pub fn set_helper(&mut self) -> Result<bool, GitError> {
        let (Some(command), Some(origin)) = (self.git.helper_command(), self.reader()?.origin_url()) else {
            return Ok(false);
        };
        let Some(site) = site_of(&without_token(&origin).url) else { return Ok(false) };
        let helper = format!("credential.{site}.helper");
        for (key, value) in [(&*helper, &*command), ("commit.gpgsign", "false"), ("tag.gpgsign", "false")] {
            if self.setting(key)?.as_deref() != Some(value) {
                self.within_refs(|c| {
                    c.local("config").args(["--replace-all", key, value]).run(&c.cancel).map(drop)
                })?;
            }
        }
        Ok(true)
    }

    /// A setting of the clone itself.
    fn setting(&self, key: &str) -> Result<Option<String>, GitError> {
        let out = self.local("config").args(["--local", "-z", "--get", key]).run_any(&self.cancel)?;
        let text = String::from_utf8_lossy(&out.stdout).trim_end_matches('\0').to_owned();
        Ok(out.status.success().then_some(text))
    }
}

fn is_token_user(bytes: &[u8]) -> bool {
    bytes == TOKEN_USER.as_bytes()
}

/// `https://host[:port]` of a URL.
fn site_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://").filter(|(s, _)| matches!(*s, "https" | "http"))?;
    let host = rest.split('/').next().filter(|h| !h.is_empty() && !h.contains('@'))?;
    Some(format!("{scheme}://{host}"))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, GitError> {
    found(read_capped(path, CREDENTIALS_FILE_CAP)).map_err(GitError::io("reading", path))
}

/// Writes the file anew if `clean` changes it.
fn rewrite(path: &Path, clean: fn(&str) -> String) -> Result<bool, GitError> {
    // Bytes that are no text have no token in a form that we know.
    let Some(text) = read(path)?.and_then(|bytes| String::from_utf8(bytes).ok()) else { return Ok(false) };
    let cleaned = clean(&text);
    if cleaned == text {
        return Ok(false);
    }
    write_durable(path, cleaned.as_bytes(), 0o644).map_err(GitError::io("writing", path))?;
    Ok(true)
}

/// Takes `oauth2:…@` out of every URL in a text.
fn clean_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(TOKEN_USER) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let end =
            from.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '/')).unwrap_or(from.len());
        let authority = from.get(..end).unwrap_or_default();
        let len = match authority.rfind('@') {
            Some(at) if before.ends_with("://") => at + 1,
            _ => {
                out.push_str(TOKEN_USER);
                TOKEN_USER.len()
            }
        };
        rest = from.get(len..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The same for a file of settings, where a rewriting rule with a token goes as a whole, and a header that carries one.
fn clean_config(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut dropping = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if bare.starts_with('[') {
            dropping = bare.to_ascii_lowercase().starts_with("[url ") && clean_text(bare) != bare;
        }
        if !dropping && !is_token_header(bare) {
            out.push_str(&clean_text(line));
        }
    }
    out
}

fn is_token_header(line: &str) -> bool {
    let Some((key, value)) = line.split_once('=') else { return false };
    key.trim().eq_ignore_ascii_case("extraheader")
        && [TOKEN_START, TOKEN_USER_BASE64].iter().any(|mark| value.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, bare: &str, had_token: bool) {
        assert_eq!(without_token(url), Bare { url: bare.to_owned(), had_token });
    }

    #[test]
    fn a_token_is_taken_out_of_a_url() {
        check("https://oauth2:CANARY@git.x/a/b.git", "https://git.x/a/b.git", true);
        check("http://oauth2:CANARY@127.0.0.1:80/a@b", "http://127.0.0.1:80/a@b", true);
        check("https://oauth2:CAN@ARY@h/a", "https://h/a", true);
        for url in ["https://me:CANARY@h/a", "https://h/oauth2:x@y", "git@h:a", "ssh://oauth2:x@h/a", "/a"] {
            check(url, url, false);
        }
    }

    #[test]
    fn a_configuration_loses_its_tokens_and_nothing_else() {
        let text = "[remote \"origin\"]\n\turl = https://oauth2:CANARY1@h/a\n\tpushurl = \"https://oauth2:CANARY2@h/a\"\n[url \"https://oauth2:CANARY3@h/\"]\n\tinsteadOf = https://h/\n[http \"https://h/\"]\n\textraHeader = Authorization: Basic b2F1dGgyOkNBTkFSWTQ=\n\textraheader = PRIVATE-TOKEN: glpat-CANARY5\n\textraheader = X-Mine: 1\n[user]\n\tname = oauth2: me\n";
        let clean = "[remote \"origin\"]\n\turl = https://h/a\n\tpushurl = \"https://h/a\"\n[http \"https://h/\"]\n\textraheader = X-Mine: 1\n[user]\n\tname = oauth2: me\n";
        assert_eq!(clean_config(text), clean);
        assert_eq!(clean_config(clean), clean);
    }

    #[test]
    fn a_log_loses_its_tokens() {
        let log =
            "0 1 T <t@e> 1 +0000\tfetch: https://oauth2:CANARY@h/a\n1 2 T <t@e> 2 +0000\tcommit: oauth2:b\n";
        let clean = "0 1 T <t@e> 1 +0000\tfetch: https://h/a\n1 2 T <t@e> 2 +0000\tcommit: oauth2:b\n";
        assert_eq!(clean_text(log), clean);
    }
}
