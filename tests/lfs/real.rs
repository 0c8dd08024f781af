//! The program of Git LFS and a real server: what either of us has brought there, the other gets.
//!
//! They are looked for in the directory that `OX_TEST_LFS` names; `.ci/run` installs them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ox::git::lfs::{Download, Lfs};
use ox::kit::pointer::Pointer;

use crate::lfs::bench::{Bench, bytes};
use crate::support::{Background, until_or};

/// The directory with both.
const TOOLS: &str = "OX_TEST_LFS";

/// Runs giftless on a port of its choice and writes that down.
const SERVE: &str = "
import os, sys
from werkzeug.serving import make_server
from giftless.app import init_app
server = make_server('127.0.0.1', 0, init_app(), threaded=True)
with open('port.new', 'w') as file:
    file.write(str(server.server_port))
os.rename('port.new', 'port')
server.serve_forever()
";

struct Real {
    // Ended before what looks for leftovers.
    _server: Background,
    b: Bench,
    url: String,
}

impl Real {
    /// None where something is not installed.
    fn new() -> Option<Real> {
        let Some(tools) = std::env::var_os(TOOLS).map(PathBuf::from) else {
            println!("skipped: {TOOLS} names no directory with Git LFS and a server of it");
            return None;
        };
        if let Some(missing) = ["python", "program/git-lfs"].iter().find(|name| !tools.join(name).exists()) {
            println!("skipped: there is no {missing} in {}", tools.display());
            return None;
        }
        let mut b = Bench::new();
        let dir = b.env.work().join("giftless");
        fs::create_dir_all(&dir).unwrap();
        let config = dir.join("giftless.yaml");
        let store = dir.join("store");
        fs::write(
            &config,
            format!(
                "AUTH_PROVIDERS:\n  - giftless.auth.allow_anon:read_write\nTRANSFER_ADAPTERS:\n  basic:\n    \
                 factory: giftless.transfer.basic_streaming:factory\n    options:\n      \
                 storage_class: giftless.storage.local_storage:LocalStorage\n      storage_options:\n        path: {}\n",
                store.display()
            ),
        )
        .unwrap();
        let path = std::env::join_paths(
            [tools.join("program")]
                .into_iter()
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        b.env.set("PATH", path.unwrap());
        b.env.set("PYTHONPATH", tools.join("python"));
        b.env.set("PYTHONDONTWRITEBYTECODE", "1");
        b.env.set("GIFTLESS_CONFIG_FILE", &config);
        let mut server = b.env.start("python3", &dir, ["-c", SERVE]);
        let port = dir.join("port");
        until_or(|| port.exists() || server.has_ended(), || "giftless does not begin");
        assert!(port.exists(), "giftless has ended");
        let port: u16 = fs::read_to_string(port).unwrap().parse().unwrap();
        b.server.with_behind(SocketAddr::from(([127, 0, 0, 1], port)));
        b.env.bare("org/repo.git");
        let url = b.server.url("org/repo.git");
        Some(Real { _server: server, b, url })
    }

    fn client(&self) -> Lfs<'_> {
        Lfs::new(&self.b.git, &self.url, &self.b.kept(), &self.b.cancel).unwrap()
    }

    /// A clone in which Git LFS works on sessions.
    fn clone(&self, name: &str) -> PathBuf {
        let env = &self.b.env;
        env.git(env.work(), ["clone", "-q", &self.url, name]);
        let clone = env.work().join(name);
        env.git(&clone, ["lfs", "install", "--local"]);
        // The server knows no locks.
        env.git(&clone, ["config", "lfs.locksverify", "false"]);
        env.git(&clone, ["config", &format!("lfs.{}/info/lfs.locksverify", self.url), "false"]);
        fs::write(clone.join(".git/info/attributes"), "*.jsonl filter=lfs diff=lfs merge=lfs -text\n")
            .unwrap();
        clone
    }

    fn commit(&self, clone: &Path) {
        let env = &self.b.env;
        env.git(clone, ["add", "-A"]);
        env.git(clone, ["commit", "-qm", "a session"]);
        env.git(clone, ["push", "-q", "origin", "HEAD:main"]);
    }
}

#[test]
fn what_we_upload_git_lfs_pulls() {
    let Some(real) = Real::new() else { return };
    assert!(real.client().is_there().unwrap());
    let files = [("a.jsonl", bytes(5 << 20)), ("b.jsonl", b"{}\n".to_vec())];
    let uploads: Vec<_> = files.iter().map(|(name, content)| real.b.file(name, content)).collect();
    real.client().upload(&uploads, &mut |_, _| ()).unwrap();
    let objects: Vec<_> = uploads.iter().map(|u| (u.object.oid.clone(), u.object.clone())).collect();
    assert_eq!(real.client().missing(&objects).unwrap(), Vec::<String>::new());
    // Pointers as they are come into git by a clone that knows nothing of Git LFS.
    let env = &real.b.env;
    env.git(env.work(), ["clone", "-q", &real.url, "plain"]);
    let plain = env.work().join("plain");
    for ((name, _), upload) in files.iter().zip(&uploads) {
        fs::write(plain.join(name), upload.object.to_text()).unwrap();
    }
    real.commit(&plain);
    let clone = real.clone("theirs");
    env.git(&clone, ["pull", "-q", "origin", "main"]);
    env.git(&clone, ["lfs", "pull"]);
    for (name, content) in &files {
        assert_eq!(&fs::read(clone.join(name)).unwrap(), content, "{name}");
    }
    // It takes our pointers for its own: nothing has changed.
    assert_eq!(env.git(&clone, ["status", "--porcelain"]), "");
    env.git(&clone, ["lfs", "fsck"]);
}

#[test]
fn what_git_lfs_pushes_we_download() {
    let Some(real) = Real::new() else { return };
    let clone = real.clone("theirs");
    let files = [("a.jsonl", bytes(5 << 20)), ("b.jsonl", b"{}\n".to_vec())];
    for (name, content) in &files {
        fs::write(clone.join(name), content).unwrap();
    }
    real.commit(&clone);
    let env = &real.b.env;
    let mut downloads = Vec::new();
    for (name, _) in &files {
        let text = env.git(env.work().join("org/repo.git"), ["show", &format!("main:{name}")]) + "\n";
        let object = Pointer::parse_exact(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
        downloads.push(Download { object, to: env.work().join(format!("got-{name}")) });
    }
    real.client().download(&downloads, &mut |_, _| ()).unwrap();
    for ((name, content), download) in files.iter().zip(&downloads) {
        assert_eq!(&fs::read(&download.to).unwrap(), content, "{name}");
    }
    // What it has we do not send again, and what it has not it says.
    let uploads: Vec<_> = files.iter().map(|(name, content)| real.b.file(name, content)).collect();
    real.client().upload(&uploads, &mut |_, _| ()).unwrap();
    let nobodys = crate::lfs::bench::object(b"nobody's");
    let missing = real.client().missing(&[("x".to_owned(), nobodys)]).unwrap();
    assert_eq!(missing, ["x (the server does not have it)"]);
}
