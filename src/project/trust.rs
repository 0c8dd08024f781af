//! The git hosts the user agreed to, so that a URL in somebody else's commit is not followed unasked.

use std::io::ErrorKind;
use std::path::Path;

use super::json::Object;
use super::{Dirs, Error, RemoteUrl, limits, lock};
use crate::kit::file;

/// The hosts that were agreed to, in lower case.
#[derive(Clone, Debug, Default)]
pub struct TrustedHosts {
    object: Object,
    hosts: Vec<String>,
}

impl TrustedHosts {
    /// Reads the list. A missing file is an empty list; a damaged one too, with the error to show.
    pub fn load(dirs: &Dirs) -> (TrustedHosts, Option<Error>) {
        match read(&dirs.trusted_hosts()) {
            Ok(hosts) => (hosts, None),
            Err(e) => (TrustedHosts::default(), Some(e)),
        }
    }

    /// Whether the remote may be used without asking: it stays on this machine, or its host was agreed to.
    pub fn is_trusted(&self, remote: &RemoteUrl) -> bool {
        remote.is_local() || remote.host().is_some_and(|host| self.hosts.iter().any(|h| h == host))
    }

    /// The hosts.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Notes that the user agreed to the remote's host. What needs no agreement is not noted.
    ///
    /// # Errors
    /// `Damaged` if the file is there and cannot be understood: it is then left alone. `Busy` or `Write`.
    pub fn trust(dirs: &Dirs, remote: &RemoteUrl) -> Result<(), Error> {
        let path = dirs.trusted_hosts();
        if remote.is_local() {
            return Ok(());
        }
        let Some(host) = remote.host() else { return Ok(()) };
        let _lock = lock::hold(&dirs.file_lock(&path), &path)?;
        let mut list = read(&path)?;
        if list.hosts.iter().any(|h| h == host) {
            return Ok(());
        }
        if list.hosts.len() >= limits::TRUSTED_MAX {
            let reason =
                format!("cannot be trusted: {} lists {} hosts already", path.display(), limits::TRUSTED_MAX);
            return Err(Error::BadValue { key: host.to_owned(), reason });
        }
        list.hosts.push(host.to_owned());
        list.hosts.sort();
        let mut write = || {
            list.object.set("hosts", &list.hosts)?;
            let text = list.object.to_text()?;
            file::make_dirs(dirs.config(), 0o700)?;
            file::write_linked(&path, &text, 0o600)
        };
        write().map_err(|e| Error::write(&path, e))
    }
}

fn read(path: &Path) -> Result<TrustedHosts, Error> {
    let bytes = match file::read_capped(path, limits::TRUST_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(TrustedHosts::default()),
        Err(e) => return Err(Error::read(path, e)),
    };
    let object = Object::parse(&bytes).map_err(|e| Error::damaged(path, e))?;
    let hosts = object.get("hosts").map_err(|e| Error::damaged(path, e))?;
    Ok(TrustedHosts { object, hosts })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::project::Env;

    fn dirs(tmp: &tempfile::TempDir) -> Dirs {
        Dirs::from_env(&Env::of([("HOME", tmp.path().as_os_str())], tmp.path())).unwrap()
    }

    fn url(raw: &str) -> RemoteUrl {
        RemoteUrl::parse(raw).unwrap()
    }

    #[test]
    fn one_yes_covers_the_host_in_all_forms_and_no_other() {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = dirs(&tmp);
        TrustedHosts::trust(&dirs, &url("git@Git.example.org:a")).unwrap();
        TrustedHosts::trust(&dirs, &url("https://git.example.org/b")).unwrap();
        let (list, error) = TrustedHosts::load(&dirs);
        assert!(error.is_none());
        assert_eq!(list.hosts(), ["git.example.org"]);
        let check = |raw: &str, expected: bool| assert_eq!(list.is_trusted(&url(raw)), expected, "{raw}");
        check("https://git.example.org:8443/x", true);
        check("https://example.org/x", false);
        check("https://git.example.org.evil.example/x", false);
        check("evil@other:git.example.org", false);
        check("/srv/a", true);
        check("file:///srv/a", true);
        check("http://127.0.0.1:9/a", true);
        check("https://localhost/a", false);
        let mode = dirs.trusted_hosts().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_list_that_is_kept_elsewhere_stays_there() {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = dirs(&tmp);
        std::fs::create_dir_all(dirs.config()).unwrap();
        let real = tmp.path().join("hosts.json");
        std::os::unix::fs::symlink(&real, dirs.trusted_hosts()).unwrap();
        // Not there yet, and there.
        for url_of in ["git@a.example.org:a", "git@b.example.org:a"] {
            TrustedHosts::trust(&dirs, &url(url_of)).unwrap();
            assert!(dirs.trusted_hosts().is_symlink() && real.is_file());
        }
        assert_eq!(TrustedHosts::load(&dirs).0.hosts(), ["a.example.org", "b.example.org"]);
    }

    #[test]
    fn what_needs_no_yes_is_not_written_down() {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = dirs(&tmp);
        TrustedHosts::trust(&dirs, &url("/srv/a")).unwrap();
        TrustedHosts::trust(&dirs, &url("http://localhost/a")).unwrap();
        assert!(!dirs.trusted_hosts().exists());
    }

    #[test]
    fn a_damaged_list_trusts_nothing_says_so_and_is_left_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = dirs(&tmp);
        std::fs::create_dir_all(dirs.config()).unwrap();
        for text in ["", "{", "[\"a.example\"]", "{\"hosts\":\"a.example\"}", "{\"hosts\":[1]}"] {
            std::fs::write(dirs.trusted_hosts(), text).unwrap();
            let (list, error) = TrustedHosts::load(&dirs);
            assert!(matches!(error, Some(Error::Damaged { .. })), "{text:?}");
            assert!(!list.is_trusted(&url("https://a.example/x")));
            assert!(TrustedHosts::trust(&dirs, &url("https://a.example/x")).is_err());
            assert_eq!(std::fs::read_to_string(dirs.trusted_hosts()).unwrap(), text);
        }
    }

    #[test]
    fn the_list_is_bounded() {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = dirs(&tmp);
        std::fs::create_dir_all(dirs.config()).unwrap();
        let full: Vec<String> = (0..limits::TRUSTED_MAX).map(|n| format!("h{n}.example")).collect();
        std::fs::write(dirs.trusted_hosts(), serde_json::json!({ "hosts": full }).to_string()).unwrap();
        assert!(TrustedHosts::trust(&dirs, &url("https://h1.example/x")).is_ok());
        let done = TrustedHosts::trust(&dirs, &url("https://more.example/x"));
        assert!(matches!(done, Err(Error::BadValue { .. })));
    }

    #[test]
    fn unknown_keys_survive() {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = dirs(&tmp);
        std::fs::create_dir_all(dirs.config()).unwrap();
        std::fs::write(dirs.trusted_hosts(), r#"{"note": {"a":1},"hosts":["b.example"]}"#).unwrap();
        TrustedHosts::trust(&dirs, &url("https://a.example/x")).unwrap();
        let text = std::fs::read_to_string(dirs.trusted_hosts()).unwrap();
        assert_eq!(text, "{\n  \"note\": {\"a\":1},\n  \"hosts\": [\"a.example\",\"b.example\"]\n}\n");
    }
}
