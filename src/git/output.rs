//! What an ended git child's output tells of.

use super::error::GitError;
use crate::kit::Class;
use crate::kit::child::Output;
use crate::kit::mask::sanitise;

/// Exit code of git for an option it does not know.
pub(super) const UNKNOWN_OPTION: i32 = 129;

impl GitError {
    /// The error that an ended child's output tells of.
    pub(super) fn of_output(sub: &'static str, out: &Output) -> GitError {
        let mut text = String::from_utf8_lossy(&out.stderr).into_owned();
        // `push --porcelain` and `merge` tell of refusals on stdout.
        if matches!(sub, "push" | "rebase" | "merge") {
            text.push('\n');
            text.push_str(&String::from_utf8_lossy(&out.stdout));
        }
        GitError::failed(sub, out.status.code(), &text)
    }

    /// The error that a failed git child's output tells of.
    pub(super) fn failed(sub: &'static str, code: Option<i32>, output: &str) -> GitError {
        let message = match (unasked_host(output), useful(output), code) {
            (Some(host), ..) => format!("git has no password for {host}"),
            (None, m, _) if !m.is_empty() => m,
            (None, _, Some(code)) => format!("exit status {code}"),
            (None, _, None) => "ended by a signal".to_owned(),
        };
        let class = match code {
            Some(UNKNOWN_OPTION) => Class::Usage,
            _ => classify(output),
        };
        GitError::Failed { sub, class, message, code }
    }
}

/// The host that git would have asked a password for, had there been somebody to ask: no helper of the user's knows one.
fn unasked_host(output: &str) -> Option<String> {
    let begin = "could not read Username for '";
    let url = output.lines().find_map(|line| line.split_once(begin))?.1.split('\'').next()?;
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next()?;
    Some(sanitise(host.rsplit('@').next().unwrap_or_default()))
}

/// Lower-case markers in git's output (`LC_ALL=C`), most specific class first: the first table that matches wins.
const MARKERS: &[(Class, &[&str])] = &[
    (
        Class::Disk,
        &["no space left on device", "disk quota exceeded", "read-only file system", "input/output error"],
    ),
    (
        Class::Conflict,
        &[
            "(non-fast-forward)",
            "(fetch first)",
            "not possible to fast-forward",
            "would be overwritten by",
            "conflict (",
            "could not apply",
            "you have unmerged",
            "needs merge",
            "would lose untracked files",
        ],
    ),
    (
        Class::Auth,
        &[
            "authentication failed",
            "permission denied (",
            "permission denied, please",
            "could not read username",
            "could not read password",
            "invalid credentials",
            "invalid username or",
            "host key verification failed",
            "http 401",
            "http 403",
            "returned error: 401",
            "returned error: 403",
            "access denied",
            "too many authentication failures",
        ],
    ),
    (
        Class::Network,
        &[
            "could not resolve host",
            "no such host",
            "name or service not known",
            "operation too slow",
            "timed out",
            "connection refused",
            "connection reset",
            "connection closed",
            "network is unreachable",
            "network is down",
            "no route to host",
            "temporary failure in name resolution",
            "ssl connect error",
            "ssl_error_syscall",
            "gnutls_handshake() failed",
            "empty reply from server",
            "failed to connect to",
            "couldn't connect to server",
            "unexpected disconnect",
            "the remote end hung up",
            "early eof",
            "deadline exceeded",
            "i/o timeout",
            "from promisor remote",
            "transfer closed with",
            "expected flush after",
            "too large response headers",
            "bad gateway",
            "service unavailable",
            "gateway timeout",
            "gateway time-out",
            "returned error: 429",
            "returned error: 5",
        ],
    ),
    (
        Class::Busy,
        &[
            ".lock': file exists",
            "another git process",
            "gc is already running",
            "cannot lock ref",
            "could not lock config file",
            "resource temporarily unavailable",
            "text file busy",
        ],
    ),
    (
        Class::Usage,
        &[
            "repository not found",
            "does not appear to be a git repository",
            "' does not exist",
            "returned error: 404",
            "http 404",
            "couldn't find remote ref",
            "dubious ownership",
            "unknown option",
            "not allowed",
            "not supported",
            "unable to find remote helper",
            "does not support",
            "does not allow request",
            "invalid refspec",
            "did not match any file",
        ],
    ),
    (
        Class::Disk,
        &["permission denied", "operation not permitted", "too many open files", "file name too long"],
    ),
    (
        Class::Damage,
        &[
            "not a git repository",
            "bad object",
            "bad tree object",
            "is corrupt",
            "object file",
            "index file",
            "bad signature",
            "inflate: data stream error",
            "unable to read tree",
            "unable to read sha1 file",
            "could not read",
            "missing blob",
            "broken ref",
            "invalid head",
            "bad revision 'head'",
            "your current branch appears to be broken",
        ],
    ),
];

/// The class that a failed child's output tells of; [`Class::Bug`] if it tells nothing.
fn classify(output: &str) -> Class {
    let text = output.to_ascii_lowercase();
    // The remote-end line follows every failed ssh or path remote and says nothing by itself.
    let text = text.replace("could not read from remote repository", "");
    let told = MARKERS.iter().find(|(_, markers)| markers.iter().any(|m| text.contains(m)));
    told.map_or(Class::Bug, |(class, _)| *class)
}

/// The first lines that say what failed, sanitised and bounded.
fn useful(output: &str) -> String {
    let noise = |l: &str| {
        l.is_empty() || l.starts_with("hint:") || l.starts_with("warning:") || l.starts_with("Done")
    };
    let lines: Vec<&str> = output.split(['\n', '\r']).map(str::trim).filter(|l| !noise(l)).collect();
    let telling = |l: &&&str| {
        ["fatal:", "error:", "ssh:", "! [", "!\t", "CONFLICT", "remote: error", "remote: fatal"]
            .iter()
            .any(|p| l.starts_with(p))
            || classify(l) != Class::Bug
    };
    // Who refuses a push says why in words of its own; progress is none.
    let is_refused = lines.iter().any(|l| l.contains("[remote rejected]"));
    let said = |l: &&&str| is_refused && l.starts_with("remote: ") && !l.contains('%');
    let mut picked: Vec<&str> = lines.iter().filter(said).take(2).copied().collect();
    let more: Vec<&str> =
        lines.iter().filter(telling).filter(|l| !picked.contains(*l)).take(3).copied().collect();
    picked.extend(more);
    if picked.is_empty() {
        picked = lines.iter().take(2).copied().collect();
    }
    sanitise(&picked.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_classified() {
        let told: [(Class, &[&str]); 8] = [
            (
                Class::Network,
                &[
                    "fatal: unable to access 'https://x/': Could not resolve host: x",
                    "ssh: Could not resolve hostname x: Name or service not known\nfatal: Could not read from remote repository.",
                    "fatal: unable to access 'https://x/': Failed to connect to x port 443: Connection refused",
                    "error: RPC failed; curl 56 GnuTLS recv error\nfetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF",
                    "fatal: unable to access 'http://x/': The requested URL returned error: 503",
                ],
            ),
            (
                Class::Auth,
                &[
                    "fatal: Authentication failed for 'https://x/'",
                    "fatal: could not read Username for 'https://x': terminal prompts disabled",
                    "git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                    "fatal: unable to access 'http://x/': The requested URL returned error: 403",
                    "Host key verification failed.\nfatal: Could not read from remote repository.",
                ],
            ),
            (
                Class::Usage,
                &[
                    "remote: Repository not found.\nfatal: repository 'https://x/' not found",
                    "fatal: '/r.git' does not appear to be a git repository\nfatal: Could not read from remote repository.",
                    "fatal: couldn't find remote ref refs/heads/main",
                    "fatal: detected dubious ownership in repository at '/r'",
                ],
            ),
            (
                Class::Conflict,
                &[
                    " ! [rejected]        main -> main (fetch first)",
                    "error: Your local changes to the following files would be overwritten by merge:\n\ta",
                ],
            ),
            (
                Class::Busy,
                &[
                    "fatal: Unable to create '/c/.git/index.lock': File exists.\n\nAnother git process seems to be running",
                    "error: cannot lock ref 'refs/heads/main': is at 1 but expected 2",
                ],
            ),
            (
                Class::Disk,
                &["fatal: write error: No space left on device", "error: open(\"a\"): Permission denied"],
            ),
            (
                Class::Damage,
                &[
                    "fatal: loose object 12 (stored in .git/objects/1) is corrupt",
                    "fatal: not a git repository (or any of the parent directories): .git",
                ],
            ),
            (Class::Bug, &["fatal: something nobody has seen"]),
        ];
        for (class, output) in told.iter().flat_map(|(class, all)| all.iter().map(move |one| (class, one))) {
            assert_eq!(GitError::failed("fetch", Some(128), output).class(), *class, "{output}");
        }
        assert_eq!(GitError::failed("x", Some(129), "error: unknown switch").class(), Class::Usage);
    }

    #[test]
    fn a_message_names_the_command_and_the_useful_lines() {
        let e = GitError::failed(
            "push",
            Some(1),
            "hint: no\nwarning: w\nTo x\n! [rejected] main -> main (fetch first)\nhint: b",
        );
        assert_eq!(e.to_string(), "git push failed: ! [rejected] main -> main (fetch first)");
        assert!(e.lost_a_race());
        assert_eq!(GitError::failed("gc", Some(3), "").to_string(), "git gc failed: exit status 3");
    }
}
