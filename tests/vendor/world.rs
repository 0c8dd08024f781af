//! A user's machine, the server that its project comes from, and that server's git host.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ox::kit::clock::{Clock, SystemClock};
use ox::kit::gotime::GoTime;
use ox::kit::secret::Secret;
use ox::project::{CredentialRepo, Dirs, Endpoint, Env, FreshCredentials, GitCredentials, Login, Logins};
use serde_json::{Value, json};

use crate::support::api::{Answer, ApiServer, REPOS, detail_path};
use crate::support::http_git::GitServer;
use crate::support::{HANG, TestEnv, until, until_or};

/// The project's id at its server.
pub const REPO: &str = "repo_0190c8a4-0000-7000-8000-000000000001";
const HOUR: Duration = Duration::from_secs(3600);

/// The whole world of a test.
pub struct World {
    pub env: TestEnv,
    pub api: ApiServer,
    pub git: GitServer,
    pub repo: PathBuf,
    pub dirs: Dirs,
    pub endpoint: Endpoint,
    /// What the server takes for a login.
    pub bearer: String,
    /// What git's host takes for a password.
    pub pat: String,
}

impl World {
    /// Somebody who is logged in, with a project whose ledger and team contexts exist at the server, which names nothing yet.
    pub fn new() -> World {
        let mut env = TestEnv::new();
        spy_on_git(&mut env);
        let vars: Vec<_> = env.vars().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let dirs = Dirs::from_env(&Env::of(vars, env.work())).unwrap();
        // Told apart from those of the tests beside this one.
        let unique = env.root().file_name().unwrap().to_string_lossy().replace('-', "");
        let (bearer, pat) = (format!("CANARYbearer{unique}"), format!("glpat-CANARYpat{unique}"));
        let api = ApiServer::start(&bearer);
        let served = env.work().join("served");
        fs::create_dir(&served).unwrap();
        let git = GitServer::start(&env, &served);
        git.require_login("oauth2", &pat);
        let endpoint = Endpoint::parse(&api.url()).unwrap();
        let repo = env.repo("p");
        let world = World { env, api, git, repo, dirs, endpoint, bearer, pat };
        world.remote(
            "ledger.git",
            &[("AGENTS.md", "ledger"), (".sageox/README.md", "x"), ("sessions/a.md", "a")],
        );
        for team in ["own", "seen", "told"] {
            let manifest = "version 1\ninclude SOUL.md\ninclude docs/\n";
            let files = [
                (".sageox/sync.manifest", manifest),
                ("SOUL.md", team),
                ("docs/d.md", "d"),
                ("large/l.bin", "l"),
            ];
            world.remote(&format!("{team}.git"), &files);
        }
        world.project(&world.repo, "own");
        world.env.git(&world.repo, ["add", ".sageox/config.json"]);
        world.env.git(&world.repo, ["commit", "-qm", "ox"]);
        world.login(&world.bearer);
        world
    }

    /// A project of the server at `root`, which belongs to a team.
    pub fn project(&self, root: &Path, team: &str) {
        fs::create_dir_all(root.join(".sageox")).unwrap();
        let config = json!({ "config_version": "2", "endpoint": self.api.url(), "repo_id": REPO, "team_id": id(team) });
        fs::write(root.join(".sageox/config.json"), serde_json::to_string_pretty(&config).unwrap()).unwrap();
    }

    /// A bare repository at git's host with one commit of these files.
    pub fn remote(&self, name: &str, files: &[(&str, &str)]) {
        let bare = self.bare(name);
        fs::create_dir(&bare).unwrap();
        self.env.git(&bare, ["init", "-q", "--bare", "-b", "main"]);
        self.env.git(&bare, ["config", "uploadpack.allowFilter", "true"]);
        self.elsewhere(name, &|work| {
            for (file, text) in files {
                put(work, file, text);
            }
        });
    }

    /// Where a repository of git's host lies.
    pub fn bare(&self, name: &str) -> PathBuf {
        self.env.work().join("served").join(name)
    }

    /// Somebody on another machine commits and pushes.
    pub fn elsewhere(&self, name: &str, change: &dyn Fn(&Path)) {
        let other = tempfile::Builder::new().prefix("other").tempdir_in(self.env.work()).unwrap();
        let work = other.path();
        self.env.git(work, ["init", "-q", "-b", "main"]);
        let bare = self.bare(name);
        let bare = bare.to_str().unwrap();
        if self.env.try_git(work, ["fetch", "-q", bare, "main"]).code == Some(0) {
            self.env.git(work, ["reset", "-q", "--hard", "FETCH_HEAD"]);
        }
        change(work);
        self.env.git(work, ["add", "-A", "-f"]);
        self.env.git(work, ["commit", "-q", "-m", "elsewhere"]);
        self.env.git(work, ["push", "-q", bare, "HEAD:main"]);
    }

    /// Logs in with this token.
    pub fn login(&self, token: &str) {
        let expires_at = GoTime(Some(SystemClock.now().wall + HOUR));
        let login = Login { access_token: Secret::new(token), expires_at, ..Login::default() };
        Logins::set(&self.dirs, &self.endpoint, login).unwrap();
    }

    /// Git's credentials lie on this machine, with these teams.
    pub fn store(&self, token: &str, teams: &[&str]) {
        let team = |t: &&str| CredentialRepo::team_context(&id(t), t, t, &self.git.url(&format!("{t}.git")));
        let fresh = FreshCredentials {
            token: Secret::new(token),
            server_url: format!("http://{}", self.git.address()),
            username: "oauth2".into(),
            expires_at: GoTime(Some(SystemClock.now().wall + 10 * HOUR)),
            repos: Some(teams.iter().map(team).collect()),
        };
        GitCredentials::save_fresh(&self.dirs, &self.endpoint.slug(), fresh).unwrap();
    }

    /// The server gives out this password for git, and with it these teams.
    pub fn gives(&self, token: &str, teams: &[&str]) {
        self.api.answer(REPOS, self.repos(token, teams));
    }

    pub fn repos(&self, token: &str, teams: &[&str]) -> Answer {
        let repo = |t: &&str| {
            let url = self.git.url(&format!("{t}.git"));
            let entry = json!({ "name": t, "type": "team-context", "url": url, "team_id": id(t), "slug": t });
            ((*t).to_string(), entry)
        };
        let repos: serde_json::Map<String, Value> = teams.iter().map(repo).collect();
        let server = format!("http://{}", self.git.address());
        let end = SystemClock.now().wall + 10 * HOUR;
        Answer::json(json!({
            "token": token, "server_url": server, "username": "oauth2", "expires_at": end.to_string(),
            "repos": repos, "teams": [],
        }))
    }

    /// The server names the ledger (`ready` or else) and these teams.
    pub fn names(&self, status: &str, access: &str, teams: &[&str]) {
        let team = |t: &&str| {
            let url = self.git.url(&format!("{t}.git"));
            json!({ "team_id": id(t), "name": t, "slug": t, "access_level": "member", "repo_url": url })
        };
        let teams: Vec<Value> = teams.iter().map(team).collect();
        let ledger = json!({ "status": status, "repo_url": self.git.url("ledger.git") });
        let detail = json!({ "access_level": access, "ledger": ledger, "team_contexts": teams });
        self.api.answer(&detail_path(REPO), Answer::json(detail));
    }

    /// Everything as it should be: the ledger, two teams by the credentials, one that only the server names.
    pub fn all_well(&self) {
        self.gives(&self.pat, &["own", "seen"]);
        self.names("ready", "member", &["told"]);
    }

    /// The daemon serves the project.
    pub fn start(&self) {
        self.env.ox_in(&self.repo, ["daemon", "start"]).ok();
    }

    /// The daemon ends, and nothing of what it asked the server is remembered.
    pub fn forget(&self) {
        self.env.ox(["daemon", "stop", "--all"]);
        until(|| self.env.daemon_pid().is_none());
        let _ = fs::remove_file(self.dirs.account(&self.endpoint));
        let _ = fs::remove_file(self.dirs.refresh_lock(&self.endpoint.slug()));
    }

    /// What it says of one clone.
    pub fn clone_of(&self, what: &str) -> Value {
        let said = ask(&self.socket(), r#"{"type":"status"}"#);
        let all = said.last().map(|v| v["data"]["workspaces"].clone()).unwrap_or_default();
        let list = all.as_object().into_iter().flat_map(|m| m.values()).filter_map(Value::as_array).flatten();
        list.into_iter().find(|w| w["id"] == what).cloned().unwrap_or_default()
    }

    /// The kinds of its issues.
    pub fn issues(&self) -> Vec<String> {
        let said = ask(&self.socket(), r#"{"type":"status"}"#);
        let issues = said.last().and_then(|v| v["data"]["issues"].as_array().cloned()).unwrap_or_default();
        issues.iter().filter_map(|i| i["type"].as_str().map(str::to_owned)).collect()
    }

    /// The project's socket.
    pub fn socket(&self) -> PathBuf {
        let ours = |s: &PathBuf| s.file_name().is_some_and(|n| n.to_string_lossy().starts_with("daemon-"));
        self.env.sockets().into_iter().find(ours).expect("a project's socket")
    }

    pub fn ledger(&self) -> PathBuf {
        self.dirs.ledger(&self.endpoint.slug(), REPO)
    }

    pub fn team(&self, name: &str) -> PathBuf {
        self.dirs.team(&self.endpoint.slug(), &id(name))
    }

    /// Waits until something is so; says what the daemon logged if it does not become so.
    #[track_caller]
    pub fn until(&self, what: &str, so: impl Fn() -> bool) {
        until_or(so, || format!("not so: {what}\n{}", self.log()));
    }

    /// Waits until a clone is there and level.
    #[track_caller]
    pub fn until_level(&self, what: &str) {
        let level = || {
            let w = self.clone_of(what);
            w["exists"] == true
                && w["head"].is_string()
                && w["syncing"].is_null()
                && w["last_error"].is_null()
        };
        self.until(&format!("{what} is level"), level);
    }

    /// Waits until all that is named in a world where all is well is there.
    #[track_caller]
    pub fn until_all_level(&self) {
        for what in ["ledger", "team_own", "team_seen", "team_told"] {
            self.until_level(what);
        }
    }

    /// What the daemon logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.env.cache().join("sageox/logs/daemon.log")).unwrap_or_default()
    }

    /// A commit of our own in a clone.
    pub fn commit(&self, clone: &Path, file: &str, text: &str) {
        put(clone, file, text);
        self.env.git(clone, ["add", "--sparse", file]);
        self.env.git(clone, ["commit", "-q", "-m", file]);
    }

    /// The files of a repository at git's host.
    pub fn listed(&self, name: &str) -> String {
        self.env.git(self.bare(name), ["ls-tree", "-r", "--name-only", "main"])
    }

    /// Every git that the daemon, or a command, has started so far: its command line and environment.
    pub fn git_calls(&self) -> String {
        fs::read_to_string(self.env.root().join("git-calls")).unwrap_or_default()
    }
}

/// The id of a team.
pub fn id(team: &str) -> String {
    format!("team_{team}")
}

pub fn put(dir: &Path, file: &str, text: &str) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A program of a line or more of shell.
pub fn script(path: &Path, lines: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// From now on whoever is started writes down with what every `git` was started.
fn spy_on_git(env: &mut TestEnv) {
    let path = std::env::var("PATH").unwrap();
    let real = path.split(':').map(|dir| Path::new(dir).join("git")).find(|git| git.exists()).unwrap();
    let (bin, log) = (env.root().join("bin"), env.root().join("git-calls"));
    // One write, so that those of two do not mix.
    let lines = format!(
        "said=$(echo \"CALL $*\"; env)\nprintf '%s\\n' \"$said\" >> '{}'\nexec '{}' \"$@\"",
        log.display(),
        real.display()
    );
    script(&bin.join("git"), &lines);
    env.set("PATH", format!("{}:{path}", bin.display()));
}

/// What the daemon answers to a line, line by line; nothing if it is gone.
pub fn ask(socket: &Path, line: &str) -> Vec<Value> {
    let Ok(mut stream) = UnixStream::connect(socket) else { return Vec::new() };
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.map(|l| serde_json::from_str(&l).unwrap()).collect()
}
