//! Where a remote's branch is now, without touching a clone.

use std::path::{Path, PathBuf};

use git2::{ErrorCode, Oid};

use super::own_http;
use super::pkt::RefScan;
use crate::git::command::Git;
use crate::git::entry::{parse_oid, path_of};
use crate::git::error::GitError;
use crate::git::read::{found, open};
use crate::kit::cancel::Cancel;
use crate::kit::file::with_suffix;

/// What a remote shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The branch its HEAD points to, without `refs/heads/`, also when yet unborn; `None` if it does not say.
    pub head_branch: Option<String>,
    /// The commit of the branch asked for; `None` if it has no such branch.
    pub tip: Option<Oid>,
}

/// Asks `url` where `branch` is (its own default branch if `None`). Paths and `file://` are read in process, `https://` and
/// loopback `http://` by one request where git has a client and the user's settings leave it at that, everything else by
/// `git ls-remote`.
///
/// # Errors
/// That the remote could not be looked at, with the class of why; never taken for "the branch is absent".
pub fn discover(git: &Git, url: &str, branch: Option<&str>, cancel: &Cancel) -> Result<Remote, GitError> {
    if let Some(path) = local_path(url)
        && let Some(remote) = read_path(&path, branch)?
    {
        return Ok(remote);
    }
    if let Some(smart) = git.smart()
        && smart.accepts(url)
        && !own_http::is_special(git)
        && let Some(remote) = smart.ls_remote(git, url, branch, cancel)?
    {
        return Ok(remote);
    }
    ls_remote(git, url, branch, cancel)
}

/// The path that a URL means, if it is on this machine.
pub(in crate::git) fn local_path(url: &str) -> Option<PathBuf> {
    if let Some(rest) = url.strip_prefix("file://") {
        let path = rest.strip_prefix("localhost").unwrap_or(rest);
        return path.starts_with('/').then(|| decode_percent(path));
    }
    url.starts_with('/').then(|| PathBuf::from(url))
}

fn decode_percent(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(b) = bytes.get(i) {
        let hex = (*b == b'%').then(|| text.get(i + 1..i + 3)).flatten();
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                i += 3;
            }
            None => {
                out.push(*b);
                i += 1;
            }
        }
    }
    path_of(&out)
}

/// Reads a repository on this machine; `None` if only the git program understands it.
fn read_path(path: &Path, branch: Option<&str>) -> Result<Option<Remote>, GitError> {
    let repo = match open(path) {
        Err(e) if e.code() == ErrorCode::NotFound => open(&with_suffix(path, ".git")),
        other => other,
    };
    let repo = match repo {
        Ok(repo) => repo,
        Err(e) if e.code() == ErrorCode::NotFound => {
            return Err(GitError::NoRepository(path.display().to_string()));
        }
        Err(_) => return Ok(None),
    };
    let head = repo.find_reference("HEAD").map_err(GitError::git2("reading the remote's HEAD"))?;
    let target = head.symbolic_target().ok().flatten();
    let head_branch = target.and_then(|t| t.strip_prefix("refs/heads/")).map(str::to_owned);
    let wanted = branch.map(str::to_owned).or_else(|| head_branch.clone());
    let tip = wanted.map(|name| found(repo.refname_to_id(&format!("refs/heads/{name}")))).transpose();
    let tip = tip.map_err(GitError::git2("reading the remote's branch"))?.flatten();
    Ok(Some(Remote { head_branch, tip }))
}

fn ls_remote(git: &Git, url: &str, branch: Option<&str>, cancel: &Cancel) -> Result<Remote, GitError> {
    let ask = git.network_outside("ls-remote", Path::new("/"), url).args(["--symref", "--", url, "HEAD"]);
    let out = ask.args(branch.map(|name| format!("refs/heads/{name}"))).run(cancel)?;
    parse_ls_remote(&String::from_utf8_lossy(&out.stdout), branch)
}

fn parse_ls_remote(text: &str, branch: Option<&str>) -> Result<Remote, GitError> {
    let mut scan = RefScan::for_branch(branch);
    for (left, name) in text.lines().filter_map(|line| line.split_once('\t')) {
        match left.strip_prefix("ref: ") {
            Some(target) if name == "HEAD" => scan.points_to(target),
            Some(_) => {}
            // A commit that is not understood is still no absent branch.
            None => scan.sees(parse_oid(left)?, name.as_bytes()),
        }
    }
    Ok(scan.found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "2222222222222222222222222222222222222222";

    #[test]
    fn the_answer_of_ls_remote_is_read() {
        let text = format!("ref: refs/heads/main\tHEAD\n{A}\tHEAD\n{B}\trefs/heads/x\n");
        let read = |branch| parse_ls_remote(&text, branch).unwrap();
        assert_eq!(read(None).head_branch.as_deref(), Some("main"));
        assert_eq!(read(None).tip.unwrap().to_string(), A);
        assert_eq!(read(Some("x")).tip.unwrap().to_string(), B);
        assert_eq!(read(Some("y")).tip, None);
        let nothing = Remote { head_branch: None, tip: None };
        assert_eq!(parse_ls_remote("", None).unwrap(), nothing);
        assert!(parse_ls_remote(&format!("{A}{A}\tHEAD\n"), None).is_err(), "an id of another format");
    }

    #[test]
    fn urls_on_this_machine_are_told() {
        assert_eq!(local_path("/a b"), Some("/a b".into()));
        assert_eq!(local_path("file:///a%20b%"), Some("/a b%".into()));
        assert_eq!(local_path("file://localhost/a"), Some("/a".into()));
        assert_eq!(local_path("https://h/a"), None);
        assert_eq!(local_path("h:/a"), None);
    }
}
