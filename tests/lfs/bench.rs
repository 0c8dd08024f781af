//! A repository behind HTTP with a server of large files beside it, and a client of ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ox::git::lfs::{Download, Lfs, Upload};
use ox::git::{Bounds, Git, GitError};
use ox::http::Client;
use ox::kit::backoff::Backoff;
use ox::kit::cancel::Cancel;
use ox::kit::clock::SystemClock;
use ox::kit::pointer::Pointer;

use crate::support::HANG;
use crate::support::TestEnv;
use crate::support::git::Sandbox;
use crate::support::http_git::GitServer;
use crate::support::lfs;

pub struct Bench {
    pub env: TestEnv,
    pub s: Sandbox,
    pub server: GitServer,
    pub lfs: Arc<lfs::Lfs>,
    pub url: String,
    pub git: Git,
    pub cancel: Cancel,
}

/// No time is lost between attempts, and nothing counts as stalled.
pub fn bounds() -> Bounds {
    let soon = Duration::from_millis(1);
    Bounds { transfer_stall: HANG, retry: Backoff { base: soon, cap: soon }, ..Bounds::default() }
}

impl Bench {
    pub fn new() -> Bench {
        let (env, s) = (TestEnv::new(), Sandbox::new());
        env.bare("r.git");
        let server = GitServer::start(&env, &env.work());
        let lfs = server.with_lfs();
        let url = server.url("r.git");
        let git = s.git().with_http(Client::new(Arc::new(SystemClock))).with_bounds(bounds());
        Bench { env, s, server, lfs, url, git, cancel: Cancel::new() }
    }

    pub fn client(&self) -> Lfs<'_> {
        self.client_of(&self.git)
    }

    pub fn client_of<'b>(&'b self, git: &'b Git) -> Lfs<'b> {
        Lfs::new(git, &self.url, &self.kept(), &self.cancel).unwrap()
    }

    /// Where it is kept whether there is a server.
    pub fn kept(&self) -> PathBuf {
        self.s.at("state/lfs.json")
    }

    /// A file with content, to be uploaded.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Upload {
        let path = self.s.at("out").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        Upload { object: object(bytes), path }
    }

    /// A content of the server's, to be downloaded.
    pub fn wanted(&self, name: &str, bytes: &[u8]) -> Download {
        self.lfs.put(bytes);
        let to = self.s.at("in").join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        Download { object: object(bytes), to }
    }

    pub fn upload(&self, uploads: &[Upload]) -> Result<(), GitError> {
        self.client().upload(uploads, &mut |_, _| ())
    }

    pub fn download(&self, downloads: &[Download]) -> Result<(), GitError> {
        self.client().download(downloads, &mut |_, _| ())
    }
}

pub fn object(bytes: &[u8]) -> Pointer {
    Pointer { oid: lfs::oid(bytes), size: bytes.len() as u64 }
}

/// Bytes that are not all alike.
pub fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n * n % 251) as u8).collect()
}

/// What lies beside a download that is not whole.
pub fn part(to: &Path) -> PathBuf {
    ox::kit::file::with_suffix(to, ".part")
}
