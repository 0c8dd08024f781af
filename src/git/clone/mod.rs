//! Making clones and local remotes: filled beside their place, verified, then renamed, so a target is whole or absent.

pub(super) mod carry;
pub(super) mod partial;
pub(super) mod partial_clone;
pub(super) mod seed;
pub(super) mod sparse;
pub(super) mod staging;

use std::path::{Path, PathBuf};

use super::bounds::Lines;
use super::change::exclude::ensure_attributes;
use super::command::{Git, Invocation};
use super::error::GitError;
use super::limits::CHILD_MAX;
use super::read::{Reader, Verdict, verify};
use super::remote::discover::discover;
use crate::kit::cancel::Cancel;
use crate::kit::child::Output;
use staging::Staging;

/// What a clone is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloneStage {
    /// Talking to the remote, which prepares what it sends.
    Connecting,
    /// Objects come in.
    Receiving,
    /// Objects are put together.
    Resolving,
    /// Files are written.
    CheckingOut,
    /// The result is looked at.
    Verifying,
}

/// How far a clone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub stage: CloneStage,
    /// How much of that is done, 0 to 100; `None` where it cannot be said.
    pub percent: Option<u8>,
}

/// Clones `url` to `target`, all of it. It may take half an hour, but not 60 s without a byte of progress.
///
/// # Errors
/// [`GitError::AlreadyExists`] if there is anything but an empty directory at `target`; else why the clone failed, and then nothing is at `target`.
pub fn clone_plain(
    git: &Git,
    url: &str,
    target: &Path,
    progress: &mut dyn FnMut(Progress),
    cancel: &Cancel,
) -> Result<(), GitError> {
    let (mut making, staging) = Making::begin(git, url, target, progress, cancel)?;
    making.fetch_all()?;
    making.finish(staging)
}

/// A clone under way, beside its place.
struct Making<'r> {
    git: &'r Git,
    url: &'r str,
    dir: PathBuf,
    cancel: &'r Cancel,
    parser: ProgressParser,
    progress: &'r mut dyn FnMut(Progress),
}

impl<'r> Making<'r> {
    fn begin(
        git: &'r Git,
        url: &'r str,
        target: &Path,
        progress: &'r mut dyn FnMut(Progress),
        cancel: &'r Cancel,
    ) -> Result<(Making<'r>, Staging), GitError> {
        git.version(cancel)?;
        let staging = Staging::new(target)?;
        let (dir, parser) = (staging.dir.clone(), ProgressParser::default());
        let mut making = Making { git, url, dir, cancel, parser, progress };
        making.tell(CloneStage::Connecting);
        Ok((making, staging))
    }

    fn tell(&mut self, stage: CloneStage) {
        (self.progress)(Progress { stage, percent: None });
    }

    fn run(&mut self, command: Invocation<'_>) -> Result<Output, GitError> {
        command.run_with(self.cancel, &mut |bytes| self.parser.feed(bytes, self.progress))
    }

    /// Runs `git clone` with `more` and what every clone of ours has; answers what it printed to stderr.
    fn clone(&mut self, more: &[&str]) -> Result<Vec<u8>, GitError> {
        let parent = self.dir.parent().unwrap_or(Path::new("/"));
        let clone = self
            .git
            .network_outside("clone", parent, self.url)
            .args(["--progress", "--no-local", "--no-tags", "--no-recurse-submodules", "--template="])
            .args(["--origin", "origin"])
            // The Go program sets this too; it keeps a `git pull` by hand from making merge commits.
            .args(["--config", "pull.rebase=true"])
            .while_payload_flows();
        let clone = clone.args(more).args(["--", self.url]).arg(&self.dir);
        self.run(clone).map(|out| out.stderr)
    }

    /// All of the remote, which may have no commit yet.
    fn fetch_all(&mut self) -> Result<(), GitError> {
        // No file before it is settled that none of them chooses a program.
        self.clone(&["--no-checkout"])?;
        ensure_attributes(&self.dir)?;
        match Reader::open(&self.dir)?.head()?.commit {
            Some(_) => self.check_out_head(),
            None => Ok(()),
        }
    }

    fn check_out_head(&mut self) -> Result<(), GitError> {
        let checkout = self.git.network("checkout", &self.dir, self.url).in_tree().deadline(CHILD_MAX);
        self.run(checkout.args(["-q", "--progress", "HEAD", "--"])).map(drop)
    }

    /// Puts the clone in its place, if it is whole: HEAD and its commit are readable; without a commit the remote must have none either.
    fn finish(mut self, staging: Staging) -> Result<(), GitError> {
        self.tell(CloneStage::Verifying);
        let reader = match verify(&self.dir) {
            Verdict::Sound(reader) => reader,
            Verdict::Damaged(proof) => return Err(damaged(proof)),
            Verdict::Unknown(e) => return Err(e),
        };
        let head = reader.head()?;
        if head.commit.is_some() {
            return staging.finish();
        }
        let branches = reader.refs("refs/remotes/origin/")?;
        if let Some(name) = pick_branch(branches.iter().map(|(name, _)| name.as_str())) {
            // The remote's HEAD points to a branch it does not have; ours goes to one that is there.
            let checkout = self.git.local("checkout", &self.dir).args(["-q", "-b", name, "--track"]);
            checkout.args([&format!("origin/{name}"), "--"]).run(self.cancel)?;
        } else if let Some(tip) = discover(self.git, self.url, head.name(), self.cancel)?.tip {
            return Err(damaged(format!("it lacks commit {tip}")));
        }
        staging.finish()
    }
}

fn damaged(proof: String) -> GitError {
    GitError::Damaged { what: "the new clone", proof }
}

/// `main`, `master`, or the only branch there is.
fn pick_branch<'a>(refs: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let names: Vec<&str> =
        refs.filter_map(|r| r.strip_prefix("refs/remotes/origin/")).filter(|n| *n != "HEAD").collect();
    ["main", "master"].into_iter().find(|n| names.contains(n)).or(match names.as_slice() {
        [only] => Some(only),
        _ => None,
    })
}

/// Makes an empty bare repository with branch `main` at `path`.
///
/// # Errors
/// [`GitError::AlreadyExists`] if there is anything but an empty directory; else why it failed, and then nothing is there.
pub fn create_bare(git: &Git, path: &Path, cancel: &Cancel) -> Result<(), GitError> {
    let staging = Staging::new(path)?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    let init = git
        .outside("init", parent)
        .args(["--bare", "-q", "-b", "main", "--template=", "--"])
        .arg(&staging.dir);
    init.run(cancel)?;
    Reader::open(&staging.dir)?.head()?;
    staging.finish()
}

/// Reads what `git clone --progress` prints, in pieces of any size.
#[derive(Default)]
struct ProgressParser {
    lines: Lines,
    last: Option<Progress>,
}

impl ProgressParser {
    fn feed(&mut self, bytes: &[u8], progress: &mut dyn FnMut(Progress)) {
        let last = &mut self.last;
        self.lines.feed(bytes, &mut |line| {
            let found = parse_progress(line);
            if found.is_some() && found != *last {
                *last = found;
                found.into_iter().for_each(&mut *progress);
            }
        });
    }
}

/// `Receiving objects:  42% (42/100), 1.2 MiB | 3 MiB/s`
fn parse_progress(line: &str) -> Option<Progress> {
    const STAGES: [(&str, CloneStage); 6] = [
        ("remote: Counting objects:", CloneStage::Connecting),
        ("remote: Compressing objects:", CloneStage::Connecting),
        ("Receiving objects:", CloneStage::Receiving),
        ("Resolving deltas:", CloneStage::Resolving),
        ("Updating files:", CloneStage::CheckingOut),
        ("Filtering content:", CloneStage::CheckingOut),
    ];
    let (rest, stage) = STAGES.iter().find_map(|(text, stage)| Some((line.strip_prefix(text)?, *stage)))?;
    let percent = rest.trim_start().split('%').next()?.parse().ok()?;
    (percent <= 100).then_some(Progress { stage, percent: Some(percent) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_pieces() {
        let text = b"Cloning into 'x'...\nremote: Counting objects: 100% (3/3), done.\nReceiving objects:  33% (1/3)\rReceiving objects:  33% (1/3)\rReceiving objects: 100% (3/3), 1.00 KiB | 1.00 MiB/s\nResolving deltas: abc\n";
        for size in [1, 7, text.len()] {
            let mut seen = Vec::new();
            let mut parser = ProgressParser::default();
            for piece in text.chunks(size) {
                parser.feed(piece, &mut |p| seen.push((p.stage, p.percent.unwrap())));
            }
            use CloneStage::*;
            assert_eq!(seen, [(Connecting, 100), (Receiving, 33), (Receiving, 100)]);
        }
    }

    #[test]
    fn a_branch_is_picked_only_when_it_is_clear() {
        let pick = |names: &[&'static str]| pick_branch(names.iter().copied());
        assert_eq!(pick(&["refs/remotes/origin/x", "refs/remotes/origin/main"]), Some("main"));
        assert_eq!(pick(&["refs/remotes/origin/x"]), Some("x"));
        assert_eq!(pick(&["refs/remotes/origin/x", "refs/remotes/origin/y"]), None);
        assert_eq!(pick(&[]), None);
    }
}
