//! Every directory and file of ours outside of projects and clones.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::ids::hash8;
use super::{Endpoint, Env, Error, limits, safe_component};
use crate::kit::file;

/// Non-empty: everything lies below `~/.sageox` instead of the XDG directories.
pub const LEGACY_VAR: &str = "OX_XDG_DISABLE";
/// Names another user configuration file.
pub const USER_CONFIG_VAR: &str = "OX_USER_CONFIG";

/// Names the file with git's credentials, whatever the endpoint.
pub const GIT_CREDENTIALS_VAR: &str = "OX_GIT_CREDENTIALS_FILE";

/// The base directories, and below them every path by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    config: PathBuf,
    data: PathBuf,
    cache: PathBuf,
    state: PathBuf,
    user_config: PathBuf,
    git_credentials: Option<PathBuf>,
    uid: u32,
}

impl Dirs {
    /// The directories that the environment asks for: XDG, or with `OX_XDG_DISABLE` the tree below `~/.sageox`.
    ///
    /// # Errors
    /// `NoHome` if a directory would have to lie in a home directory that is not known.
    pub fn from_env(env: &Env) -> Result<Dirs, Error> {
        Dirs::for_uid(env, rustix::process::geteuid().as_raw())
    }

    fn for_uid(env: &Env, uid: u32) -> Result<Dirs, Error> {
        let legacy = env.get_os(LEGACY_VAR).is_some();
        let home = |below: &str| env.home().map(|home| home.join(below)).ok_or(Error::NoHome);
        let base = |var: &str, default: &str, old: &str| match env.dir(var) {
            _ if legacy => home(".sageox").map(|dir| dir.join(old)),
            Some(dir) => Ok(dir.join("sageox")),
            None => home(default).map(|dir| dir.join("sageox")),
        };
        let config = base("XDG_CONFIG_HOME", ".config", "config")?;
        let user_config = match env.get_os(USER_CONFIG_VAR) {
            Some(path) => env.absolute(Path::new(path)),
            None => config.join("config.yaml"),
        };
        let state = match env.dir("XDG_RUNTIME_DIR") {
            _ if legacy => home(".sageox/state")?,
            Some(dir) => dir.join("sageox"),
            None => shared_state(env.temp(), uid),
        };
        Ok(Dirs {
            data: base("XDG_DATA_HOME", ".local/share", "data")?,
            cache: base("XDG_CACHE_HOME", ".cache", "cache")?,
            config,
            state,
            user_config,
            git_credentials: env.get_os(GIT_CREDENTIALS_VAR).map(|path| env.absolute(Path::new(path))),
            uid,
        })
    }

    /// Nothing if what we would write into belongs to the user who runs this. Looks only.
    ///
    /// # Errors
    /// `ForeignHome`.
    pub fn check_owner(&self) -> Result<(), Error> {
        let exists =
            |dir: &Path| std::fs::symlink_metadata(dir).ok().map(|meta| (dir.to_owned(), meta.uid()));
        for dir in [&self.data, &self.config, &self.cache, &self.state] {
            let Some((path, owner)) = dir.ancestors().find_map(exists) else { continue };
            // Who is not root cannot make it where that is not meant for them.
            let matters = path == *dir || self.uid == 0;
            if owner != self.uid && matters {
                return Err(Error::ForeignHome { path, owner, us: self.uid });
            }
        }
        Ok(())
    }

    /// The data directory however its path was written: links resolved, as far as it is there.
    pub fn real_data(&self) -> PathBuf {
        self.data.canonicalize().unwrap_or_else(|_| self.data.clone())
    }

    /// Settings of the user.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// What must not be lost: clones, databases, queues.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What can be made again.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Sockets, pid files and the registry; gone after a restart of the machine.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// `<state>/daemon`: pid files, registry, and sockets if their paths are short enough.
    pub fn daemon_dir(&self) -> PathBuf {
        self.state.join("daemon")
    }

    /// Where sockets lie: the daemon directory, or where that is too deep for the kernel's limit a short private one,
    /// `/tmp/ox-<uid>/<8 hex digits of the daemon directory's hash>`.
    pub fn socket_dir(&self) -> PathBuf {
        let dir = self.daemon_dir();
        let longest = dir.as_os_str().len() + "/daemon-01234567.sock".len();
        if longest <= limits::SOCKET_PATH_MAX {
            return dir;
        }
        self.short_base().join(hash8(dir.as_os_str().as_encoded_bytes()))
    }

    fn short_base(&self) -> PathBuf {
        PathBuf::from(format!("/tmp/ox-{}", self.uid))
    }

    /// Makes the directories of sockets, pid files and registry, or checks them: ours alone, 0700, no link.
    ///
    /// # Errors
    /// What `kit::file::private_dir` says.
    pub fn make_runtime_dirs(&self) -> io::Result<()> {
        file::private_dir(&self.state)?;
        file::private_dir(&self.daemon_dir())?;
        let sockets = self.socket_dir();
        if sockets.starts_with(self.short_base()) {
            // Whoever owned this one could put another directory in the place of the one below.
            file::private_dir(&self.short_base())?;
            file::private_dir(&sockets)?;
        }
        Ok(())
    }

    /// The socket of one project. At most 100 bytes long, whatever the home directory.
    pub fn project_socket(&self, workspace_id: &str) -> PathBuf {
        self.socket_dir().join(format!("daemon-{}.sock", safe_component(workspace_id)))
    }

    /// The pid file of one project.
    pub fn project_pid(&self, workspace_id: &str) -> PathBuf {
        self.daemon_dir().join(format!("daemon-{}.pid", safe_component(workspace_id)))
    }

    /// A heartbeat file of an endpoint, shared with the Go program; what is no part of a file name is replaced.
    pub fn heartbeat(&self, slug: &str, name: &str) -> PathBuf {
        self.cache.join(slug).join("heartbeats").join(format!("{}.jsonl", safe_component(name)))
    }

    /// The stored errors of one project, shared with the Go program.
    pub fn project_errors(&self, workspace_id: &str) -> PathBuf {
        self.daemon_dir().join(format!("errors-{}.json", safe_component(workspace_id)))
    }

    /// How the work tree at `root` was when its changes were last told. Several of them may be one project's.
    pub fn work_tree(&self, root: &Path) -> PathBuf {
        self.daemon_dir().join(format!("tree-{}.json", super::workspace_id_of_path(root)))
    }

    /// Its modification time is when a person was last told of the stored errors of one project.
    pub fn banner(&self, workspace_id: &str) -> PathBuf {
        self.cache.join(format!("errors-told-{}", safe_component(workspace_id)))
    }

    /// Where agents work in the background, each run in a directory of its own: below no home directory, of which they would read notes.
    pub fn agent_work(&self) -> PathBuf {
        self.daemon_dir().join("agents")
    }

    /// The list of running daemons, shared with the Go program.
    pub fn registry(&self) -> PathBuf {
        self.daemon_dir().join("registry.json")
    }

    /// The socket of the process itself. Its name tells whose data it serves: two homes may share a runtime directory.
    pub fn host_socket(&self) -> PathBuf {
        let data = hash8(self.data.as_os_str().as_encoded_bytes());
        self.socket_dir().join(format!("host-{data}.sock"))
    }

    /// The lock that makes the daemon the only one of its user. It lies with the data, which does not move with the session.
    pub fn daemon_lock(&self) -> PathBuf {
        self.data.join("daemon.lock")
    }

    /// What background work of agents has cost.
    pub fn agent_spend(&self) -> PathBuf {
        self.data.join("agent-work.json")
    }

    /// What was attached, so that the next start can attach it again.
    pub fn attached(&self) -> PathBuf {
        self.data.join("attached.json")
    }

    /// What the answers of models cost in tokens, of all projects.
    pub fn usage(&self) -> PathBuf {
        self.data.join("usage.db")
    }

    /// Events of agents, of all projects.
    pub fn events(&self) -> PathBuf {
        self.data.join("events/events.db")
    }

    /// A line for each contact over a network.
    pub fn receipts(&self) -> PathBuf {
        self.data.join("net/receipts.jsonl")
    }

    /// The user's own prices of tokens.
    pub fn prices(&self) -> PathBuf {
        self.config.join("prices.json")
    }

    /// When daemons were started, shared with the Go program.
    pub fn restarts(&self) -> PathBuf {
        self.config.join("daemon-restarts.json")
    }

    /// The log of the process.
    pub fn log(&self) -> PathBuf {
        self.cache.join("logs").join("daemon.log")
    }

    /// The user's configuration file, or the one that `OX_USER_CONFIG` names.
    pub fn user_config(&self) -> PathBuf {
        self.user_config.clone()
    }

    /// The file with git's credentials at an endpoint, or the one that `OX_GIT_CREDENTIALS_FILE` names.
    pub fn git_credentials(&self, slug: &str) -> PathBuf {
        let name = format!("git-credentials-{}.json", safe_component(slug));
        self.git_credentials.clone().unwrap_or_else(|| self.config.join(name))
    }

    /// The one file that `OX_GIT_CREDENTIALS_FILE` names for all endpoints.
    pub fn git_credentials_override(&self) -> Option<&Path> {
        self.git_credentials.as_deref()
    }

    /// The tokens of all endpoints.
    pub fn auth_file(&self) -> PathBuf {
        self.config.join("auth.json")
    }

    /// The logins at relay servers.
    pub fn relay_auth(&self) -> PathBuf {
        self.config.join("relay-auth.json")
    }

    /// Held while an endpoint is asked for new credentials, so that of many that want some one asks.
    pub fn refresh_lock(&self, slug: &str) -> PathBuf {
        self.of_slug(slug).join("locks").join("refresh.lock")
    }

    /// What is known about the user's account at an endpoint: waits that a restart must not forget. Two ports of one host are two.
    pub fn account(&self, endpoint: &Endpoint) -> PathBuf {
        let name = format!("account-{}.json", hash8(endpoint.as_str().as_bytes()));
        self.of_slug(&endpoint.slug()).join("state").join(name)
    }

    /// What the user agreed to send to which server.
    pub fn relay_consent(&self) -> PathBuf {
        self.config.join("relay-consent.json")
    }

    /// What the relay keeps: events that wait for a server, of all accounts.
    pub fn relay(&self) -> PathBuf {
        self.data.join("relay")
    }

    /// The git hosts the user said yes to.
    pub fn trusted_hosts(&self) -> PathBuf {
        self.config.join("trusted-hosts.json")
    }

    /// The clone of a project's ledger.
    pub fn ledger(&self, slug: &str, repo_id: &str) -> PathBuf {
        self.of_slug(slug).join("ledgers").join(safe_component(repo_id))
    }

    /// The clone of a team's context, shared by all projects. The id has passed [`super::check_team_id`].
    pub fn team(&self, slug: &str, team_id: &str) -> PathBuf {
        self.of_slug(slug).join("teams").join(safe_component(team_id))
    }

    /// The bare repository that is the ledger's remote when no other is named.
    pub fn local_remote(&self, repo_id: &str) -> PathBuf {
        self.data.join("local").join("remotes").join(format!("{}.git", safe_component(repo_id)))
    }

    /// The lock of one clone, outside of it so that it stays when the clone is replaced.
    pub fn clone_lock(&self, slug: &str, kind: &str, id: &str) -> PathBuf {
        let name = format!("{}-{}.lock", safe_component(kind), safe_component(id));
        self.of_slug(slug).join("locks").join(name)
    }

    /// Databases, queues and cursors that belong to one clone and never enter it.
    pub fn state_of(&self, slug: &str, id: &str) -> PathBuf {
        self.of_slug(slug).join("state").join(safe_component(id))
    }

    /// What is kept of the transcripts that agents wrote in a project, on this machine alone.
    pub fn archive(&self, slug: &str, repo_id: &str) -> PathBuf {
        self.of_slug(slug).join("archive").join(safe_component(repo_id))
    }

    /// The lock that whoever initialises a project holds from the first look to the last file.
    pub fn init_lock(&self, root: &Path) -> PathBuf {
        self.lock_of("init", root)
    }

    /// The lock around one change of a file in a project's `.sageox/`.
    pub(super) fn project_lock(&self, root: &Path) -> PathBuf {
        self.lock_of("project", root)
    }

    /// The lock around changes of a file of the user's.
    pub(super) fn file_lock(&self, path: &Path) -> PathBuf {
        self.lock_of("file", path)
    }

    fn lock_of(&self, kind: &str, path: &Path) -> PathBuf {
        self.data.join("locks").join(format!("{kind}-{}.lock", super::workspace_id_of_path(path)))
    }

    fn of_slug(&self, slug: &str) -> PathBuf {
        self.data.join(safe_component(slug))
    }
}

/// `<tmp>/sageox` as the Go program has it, or with our uid in its name if it is somebody else's.
fn shared_state(temp: &Path, uid: u32) -> PathBuf {
    let shared = temp.join("sageox");
    match std::fs::symlink_metadata(&shared) {
        Ok(meta) if meta.uid() != uid || !meta.is_dir() => temp.join(format!("sageox-{uid}")),
        _ => shared,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    fn dirs(vars: &[(&str, &str)]) -> Dirs {
        Dirs::from_env(&Env::of(vars.iter().copied(), "/w")).unwrap()
    }

    #[test]
    fn directories_follow_the_environment() {
        let check = |vars: &[(&str, &str)], expected: [&str; 4]| {
            let d = dirs(vars);
            let got = [d.config(), d.data(), d.cache(), d.state()];
            assert_eq!(got, expected.map(Path::new), "{vars:?}");
        };
        check(
            &[("HOME", "/h"), ("TMPDIR", "/none")],
            ["/h/.config/sageox", "/h/.local/share/sageox", "/h/.cache/sageox", "/none/sageox"],
        );
        let xdg = [
            ("XDG_CONFIG_HOME", "/c"),
            ("XDG_DATA_HOME", "/d"),
            ("XDG_CACHE_HOME", "/k"),
            ("XDG_RUNTIME_DIR", "/r"),
            ("XDG_STATE_HOME", "/unused"),
            ("OX_XDG_ENABLE", "1"),
        ];
        check(&xdg, ["/c/sageox", "/d/sageox", "/k/sageox", "/r/sageox"]);
        let mut legacy = xdg.to_vec();
        legacy.extend([("HOME", "/h"), (LEGACY_VAR, "0")]);
        check(&legacy, ["/h/.sageox/config", "/h/.sageox/data", "/h/.sageox/cache", "/h/.sageox/state"]);
        check(
            &[("HOME", "/h"), ("XDG_CONFIG_HOME", "rel"), ("XDG_DATA_HOME", ""), ("XDG_RUNTIME_DIR", "/r")],
            ["/h/.config/sageox", "/h/.local/share/sageox", "/h/.cache/sageox", "/r/sageox"],
        );
    }

    #[test]
    fn an_unknown_home_is_an_error_and_not_a_relative_path() {
        for vars in
            [&[("HOME", "")][..], &[("HOME", "rel")], &[("XDG_DATA_HOME", "/d")], &[(LEGACY_VAR, "1")]]
        {
            let env = Env::of(vars.iter().copied(), "/w");
            assert!(matches!(Dirs::from_env(&env), Err(Error::NoHome)), "{vars:?}");
        }
    }

    #[test]
    fn directories_of_another_user_are_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let us = rustix::process::geteuid().as_raw();
        let of = |home: &str, uid: u32| {
            let home = tmp.path().join(home);
            std::fs::create_dir_all(&home).unwrap();
            Dirs::for_uid(&Env::of([("HOME", home.as_os_str())], "/"), uid).unwrap()
        };
        let refused = |d: &Dirs| matches!(d.check_owner(), Err(Error::ForeignHome { .. }));
        assert!(!refused(&of("a", us)));
        std::fs::create_dir_all(of("a", us).data()).unwrap();
        assert!(!refused(&of("a", us)));
        assert!(refused(&of("a", us + 1)));
        // Root in the home of a user, before there is anything; another user could not make it.
        let theirs = of("b", us);
        if us == 0 {
            std::os::unix::fs::chown(tmp.path().join("b"), Some(12_345), None).unwrap();
        }
        assert!(refused(&of("b", 0)), "{theirs:?}");
        assert!(!refused(&of("b", 54_321)));
    }

    #[test]
    fn every_path_has_its_place() {
        let d = dirs(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")]);
        let check = |path: PathBuf, expected: &str| assert_eq!(path, Path::new(expected));
        check(d.project_socket("2adde374"), "/r/sageox/daemon/daemon-2adde374.sock");
        check(d.project_pid("2adde374"), "/r/sageox/daemon/daemon-2adde374.pid");
        check(d.registry(), "/r/sageox/daemon/registry.json");
        let data = hash8(b"/h/.local/share/sageox");
        check(d.host_socket(), &format!("/r/sageox/daemon/host-{data}.sock"));
        let other = dirs(&[("HOME", "/g"), ("XDG_RUNTIME_DIR", "/r")]);
        assert_ne!(d.host_socket(), other.host_socket());
        check(d.daemon_lock(), "/h/.local/share/sageox/daemon.lock");
        check(d.attached(), "/h/.local/share/sageox/attached.json");
        check(d.restarts(), "/h/.config/sageox/daemon-restarts.json");
        check(d.log(), "/h/.cache/sageox/logs/daemon.log");
        check(d.user_config(), "/h/.config/sageox/config.yaml");
        check(d.trusted_hosts(), "/h/.config/sageox/trusted-hosts.json");
        check(d.ledger("sageox.ai", "repo_1"), "/h/.local/share/sageox/sageox.ai/ledgers/repo_1");
        check(d.team("sageox.ai", "team_a1"), "/h/.local/share/sageox/sageox.ai/teams/team_a1");
        check(d.team("sageox.ai", "../../x"), "/h/.local/share/sageox/sageox.ai/teams/x");
        check(d.git_credentials("sageox.ai"), "/h/.config/sageox/git-credentials-sageox.ai.json");
        check(d.auth_file(), "/h/.config/sageox/auth.json");
        check(d.refresh_lock("sageox.ai"), "/h/.local/share/sageox/sageox.ai/locks/refresh.lock");
        let account = |text: &str| d.account(&Endpoint::parse(text).unwrap());
        check(
            account("https://api.sageox.ai"),
            "/h/.local/share/sageox/sageox.ai/state/account-ef2af787.json",
        );
        assert_ne!(account("http://localhost:1"), account("http://localhost:2"));
        let named = dirs(&[("HOME", "/h"), (GIT_CREDENTIALS_VAR, "c.json")]);
        check(named.git_credentials("sageox.ai"), "/w/c.json");
        check(named.git_credentials("other"), "/w/c.json");
        check(d.local_remote("repo_1"), "/h/.local/share/sageox/local/remotes/repo_1.git");
        check(
            d.clone_lock("local", "ledger", "repo_1"),
            "/h/.local/share/sageox/local/locks/ledger-repo_1.lock",
        );
        check(d.state_of("local", "repo_1"), "/h/.local/share/sageox/local/state/repo_1");
        check(d.ledger("..", "../../x"), "/h/.local/share/sageox/unknown/ledgers/x");
        check(dirs(&[("HOME", "/h"), (USER_CONFIG_VAR, "u.yaml")]).user_config(), "/w/u.yaml");
    }

    #[test]
    fn ins_04_a_shared_directory_of_somebody_else_is_left_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let (plain, mine) = (tmp.path().join("sageox"), tmp.path().join(format!("sageox-{uid}")));
        assert_eq!(shared_state(tmp.path(), uid), plain);
        std::fs::create_dir(&plain).unwrap();
        assert_eq!(shared_state(tmp.path(), uid), plain);
        assert_eq!(shared_state(tmp.path(), uid + 1), tmp.path().join(format!("sageox-{}", uid + 1)));
        std::fs::remove_dir(&plain).unwrap();
        std::os::unix::fs::symlink("/", &plain).unwrap();
        assert_eq!(shared_state(tmp.path(), uid), mine);
    }

    #[test]
    fn runtime_directories_are_ours_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let d = dirs(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", tmp.path().to_str().unwrap())]);
        d.make_runtime_dirs().unwrap();
        d.make_runtime_dirs().unwrap();
        assert_eq!(d.daemon_dir().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::remove_dir(d.daemon_dir()).unwrap();
        std::os::unix::fs::symlink(tmp.path(), d.daemon_dir()).unwrap();
        assert!(d.make_runtime_dirs().is_err());
    }

    proptest! {
        #[test]
        fn ipc_14_socket_paths_are_short_whatever_the_directories(
            depth in 0usize..40, name in "[a-zé]{1,30}", uid in any::<u32>(),
        ) {
            let deep = format!("/{}", vec![name.as_str(); depth].join("/"));
            for vars in [[("HOME", deep.as_str()), ("XDG_RUNTIME_DIR", &deep)], [("HOME", &deep), (LEGACY_VAR, "1")]] {
                let d = Dirs::for_uid(&Env::of(vars, "/"), uid).unwrap();
                for path in [d.project_socket("2adde374"), d.project_socket("default"), d.host_socket()] {
                    prop_assert!(path.as_os_str().len() <= limits::SOCKET_PATH_MAX, "{:?}", path);
                    prop_assert_eq!(path.parent().map(Path::to_owned), Some(d.socket_dir()));
                }
            }
        }
    }

    #[test]
    fn ipc_14_two_deep_homes_have_two_socket_directories() {
        let deep = |n: u32| format!("/{}/{n}", "x".repeat(120));
        let (a, b) =
            (dirs(&[("HOME", &deep(1)), (LEGACY_VAR, "1")]), dirs(&[("HOME", &deep(2)), (LEGACY_VAR, "1")]));
        assert_ne!(a.socket_dir(), b.socket_dir());
        assert!(a.socket_dir().starts_with(a.short_base()));
    }
}
