//! The one builder of git commands: environment, flags, deadlines.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::bounds::{Bounds, Payload, SERVER_SAYS};
use super::caller::Caller;
use super::error::GitError;
use super::limits::{CHILD_MAX, CLONE_MAX, LOCAL_DEADLINE, STDERR_CAP, STDOUT_CAP};
use super::output::UNKNOWN_OPTION;
use super::remote::discover::local_path;
use super::remote::login::{Login, Logins};
use super::remote::smart::Smart;
use super::told::Contacting;
use crate::http::Client;
use crate::kit::cancel::Cancel;
use crate::kit::child::{self, Cmd, Output};
use crate::kit::clock::{Clock, Now};
use crate::kit::mask::sanitise;
use crate::kit::shell;

/// Whose configuration git sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// A remote of the user's own choice: their git configuration, credential helpers, proxy, ssh settings and CA stay.
    SelfHosted,
    /// A remote the vendor hands out: no configuration but our own, only `https` (and `http`, for a loopback test server).
    Vendor,
}

/// Names of the environment that every git child may see.
const KEPT: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_DIRS",
    "XDG_DATA_DIRS",
    "SSH_AUTH_SOCK",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
];

/// Names that our credential helper needs to find its file; only children that talk to a remote with it see them.
const KEPT_HELPER: &[&str] = &["OX_GIT_CREDENTIALS_FILE", "OX_XDG_DISABLE", "SAGEOX_ENDPOINT"];

/// Names that only a self-hosted remote's child may see besides.
const KEPT_SELF_HOSTED: &[&str] = &[
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_NO_VERIFY",
    "GIT_PROXY_COMMAND",
];

/// The part of an environment that git children may see. Taken once; a test brings its own.
#[derive(Clone, Debug, Default)]
pub struct Env(Vec<(OsString, OsString)>);

impl Env {
    /// The allowed variables of this process.
    pub fn of_process() -> Env {
        Env::of(std::env::vars_os())
    }

    /// The allowed ones among `vars`.
    pub fn of(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Env {
        let allowed = |name: &OsStr| {
            KEPT.iter().chain(KEPT_SELF_HOSTED).chain(KEPT_HELPER).any(|k| OsStr::new(k) == name)
        };
        Env(vars.into_iter().filter(|(name, _)| allowed(name)).collect())
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_os_str())
    }
}

/// A version of the git program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The oldest git that works (`fetch --no-write-fetch-head` and `--no-auto-maintenance` came with 2.29).
pub const MINIMUM: Version = Version(2, 30);

/// How git is run on this machine for one kind of remote. Cheap to clone; clones share what was learnt about the program.
#[derive(Clone)]
pub struct Git {
    profile: Profile,
    env: Env,
    caller: Caller,
    clock: Arc<dyn Clock>,
    machine: Arc<str>,
    helper: Option<Arc<Path>>,
    version: Arc<OnceLock<Version>>,
    smart: Option<Smart>,
    logins: Option<Logins>,
    bounds: Bounds,
}

impl Git {
    /// `machine` is this machine's name as it appears in names of conflict copies; what a file name cannot hold is replaced.
    pub fn new(profile: Profile, env: Env, clock: Arc<dyn Clock>, machine: &str) -> Git {
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
        let machine: String = machine.chars().map(safe).take(40).collect();
        let machine = if machine.is_empty() { "machine".to_owned() } else { machine };
        let (machine, version) = (machine.into(), Arc::default());
        let bounds = Bounds::default();
        let caller = Caller::default();
        Git { profile, env, caller, clock, machine, helper: None, version, smart: None, logins: None, bounds }
    }

    /// The same, with what a newest caller of the daemon has in its environment.
    pub fn with_caller(self, caller: Caller) -> Git {
        Git { caller, ..self }
    }

    /// The same with our credential helper, the `ox` program at `program`, for remotes of the vendor profile.
    pub fn with_helper(self, program: &Path) -> Git {
        Git { helper: Some(program.into()), ..self }
    }

    /// What git is told to ask for credentials; nothing unless the profile is the vendor's and there is a helper.
    pub(super) fn helper_command(&self) -> Option<String> {
        let program = self.helper.as_deref().filter(|_| self.profile == Profile::Vendor)?;
        Some(format!("!{} git-credential-helper", shell::word(&program.to_string_lossy())))
    }

    /// The same, looking at remotes over HTTP in process by `client`. What is learnt about servers is shared by clones.
    pub fn with_http(self, client: Client) -> Git {
        Git { smart: Some(Smart::new(client)), ..self }
    }

    /// The same, with logins for remotes over HTTP.
    pub fn with_logins(self, logins: Logins) -> Git {
        Git { logins: Some(logins), ..self }
    }

    /// The same with other bounds for what talks to a remote.
    pub fn with_bounds(self, bounds: Bounds) -> Git {
        Git { bounds, ..self }
    }

    /// Whose configuration these commands see.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The same with another configuration.
    pub(super) fn with_profile(&self, profile: Profile) -> Git {
        Git { profile, ..self.clone() }
    }

    pub(super) fn smart(&self) -> Option<&Smart> {
        self.smart.as_ref()
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The login handed in for a URL.
    pub(super) fn login(&self, url: &str) -> Option<Login> {
        self.logins.as_ref().and_then(|f| f(url))
    }

    /// A variable that children may see.
    pub(super) fn variable(&self, name: &str) -> Option<OsString> {
        self.caller.get(name.as_ref()).or_else(|| self.env.get(name).map(OsStr::to_owned))
    }

    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    /// This machine's name as it appears in names of conflict copies.
    pub fn machine(&self) -> &str {
        &self.machine
    }

    /// The program's version, asked for once.
    ///
    /// # Errors
    /// [`GitError::NotInstalled`], [`GitError::TooOld`] below 2.30, or that its answer was not understood.
    pub fn version(&self, cancel: &Cancel) -> Result<Version, GitError> {
        if let Some(v) = self.version.get() {
            return Ok(*v);
        }
        let out = self.outside("version", Path::new("/")).run(cancel)?;
        let text = String::from_utf8_lossy(&out.stdout);
        let Some(version) = parse_version(&text) else {
            return Err(GitError::failed("version", None, &text));
        };
        if version < MINIMUM {
            return Err(GitError::TooOld(version));
        }
        Ok(*self.version.get_or_init(|| version))
    }

    /// A command on the repository at `dir` that touches only the disk, also where contents are missing.
    pub(super) fn local(&self, sub: &'static str, dir: &Path) -> Invocation<'_> {
        let i = self.start(sub, dir.parent().unwrap_or(Path::new("/")), Some(dir), None);
        i.env("GIT_NO_LAZY_FETCH", "1")
    }

    /// A command on the repository at `dir` that talks to the remote `url`.
    pub(super) fn network(&self, sub: &'static str, dir: &Path, url: &str) -> Invocation<'_> {
        self.start(sub, dir.parent().unwrap_or(Path::new("/")), Some(dir), Some(url))
    }

    /// `git fetch` from `origin`, whose URL is `url`, into the repository at `dir`, with what every fetch of ours has.
    pub(super) fn fetch(&self, dir: &Path, url: &str) -> Invocation<'_> {
        self.network("fetch", dir, url)
            .config("fetch.prune=false")
            .config("fetch.writeCommitGraph=false")
            .args(["--no-write-fetch-head", "--no-tags", "--no-auto-maintenance", "--no-recurse-submodules"])
            .args(["--progress", "origin"])
            .while_payload_flows()
    }

    /// A command in directory `cwd` without a repository that talks to the remote `url`.
    pub(super) fn network_outside(&self, sub: &'static str, cwd: &Path, url: &str) -> Invocation<'_> {
        self.start(sub, cwd, None, Some(url))
    }

    /// A command in directory `cwd` without a repository.
    pub(super) fn outside(&self, sub: &'static str, cwd: &Path) -> Invocation<'_> {
        self.start(sub, cwd, None, None)
    }

    /// `url` is that of the remote, if the command talks to one.
    fn start(&self, sub: &'static str, cwd: &Path, dir: Option<&Path>, url: Option<&str>) -> Invocation<'_> {
        let deadline = if url.is_some() { self.bounds.deadline } else { LOCAL_DEADLINE };
        let helper = url.and_then(|_| self.helper_command());
        let cmd = Cmd::new("git").dir(cwd).stdout_cap(STDOUT_CAP).stderr_cap(STDERR_CAP);
        let mut cmd = self.with_env(cmd, helper.is_some());
        if self.profile == Profile::Vendor {
            cmd = cmd.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        }
        // A repository above the directory given must never be found instead of it.
        cmd = cmd.env("GIT_CEILING_DIRECTORIES", cwd);
        let mut config: Vec<String> = FIXED_CONFIG.iter().map(|c| (*c).to_owned()).collect();
        if let Some(url) = url {
            cmd = cmd.env("GIT_SSH_COMMAND", self.ssh_command(url));
            config.extend(NETWORK_CONFIG.iter().map(|c| (*c).to_owned()));
            config.extend(self.smart.as_ref().and_then(|s| s.moved(url)));
        }
        if self.profile == Profile::Vendor {
            config.extend(VENDOR_CONFIG.iter().map(|c| (*c).to_owned()));
        }
        config.extend(helper.map(|command| format!("credential.helper={command}")));
        let (dir, args, host) = (dir.map(Path::to_path_buf), Vec::new(), url.map(host_of));
        // For a remote on this machine git starts the sending side itself, as a child of its own.
        let is_bounded = url.is_some_and(|url| local_path(url).is_none());
        let memory = is_bounded.then_some(self.bounds.memory);
        let contact = url.and_then(|url| Contacting::of(sub, url));
        Invocation { git: self, sub, host, contact, cmd, dir, config, args, deadline, memory, stall: false }
    }

    /// The environment that every child has.
    fn with_env(&self, mut cmd: Cmd, with_helper: bool) -> Cmd {
        // What comes later counts.
        let newer = self.caller.all();
        for (name, value) in self.env.0.iter().chain(&newer) {
            let is_in = |list: &[&str]| list.iter().any(|k| OsStr::new(k) == name);
            let own = self.profile == Profile::SelfHosted && is_in(KEPT_SELF_HOSTED);
            if is_in(KEPT) || own || (with_helper && is_in(KEPT_HELPER)) {
                cmd = cmd.env(name, value);
            }
        }
        FIXED_ENV.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value))
    }

    /// The user's ssh with these arguments, as git would run it for `url`; any exit code is an answer.
    pub(super) fn ssh(&self, url: &str, args: &[String], cancel: &Cancel) -> Result<Output, GitError> {
        // As git does, for the command may be several words.
        let mut line = self.ssh_command(url);
        line.push(" \"$@\"");
        let cmd = Cmd::new("sh").arg("-c").arg(line).arg("ssh").args(args);
        let cmd = self.with_env(cmd, false).deadline(self.bounds.deadline);
        let ran = child::run(cmd, cancel).map_err(|e| GitError::child("lfs", Some(&host_of(url)), e));
        if let Some(contact) = Contacting::of("lfs", url) {
            contact.tell("lfs", &ran);
        }
        ran
    }

    /// What ended a child that talked to a remote, if it was one of its bounds or a redirect.
    fn refusal(
        &self,
        sub: &'static str,
        host: String,
        memory: Option<u64>,
        out: &Output,
    ) -> Option<GitError> {
        let text = String::from_utf8_lossy(&out.stderr);
        // What the server says of itself is not about us.
        let own: Vec<&str> = text.split(['\n', '\r']).filter(|line| !line.starts_with(SERVER_SAYS)).collect();
        if let Some((what, most)) = memory.and_then(|memory| self.bounds.reached(memory, &own)) {
            return Some(GitError::TooLarge { sub, host, what, most });
        }
        let redirect = |line: &&str| line.split_once("returned error: 3")?.1.get(..2)?.parse::<u16>().ok();
        let status = 300 + own.iter().find_map(redirect)?;
        Some(GitError::Refused { host, status, retry_after: None })
    }

    /// The user's ssh command with what makes it fail instead of asking.
    fn ssh_command(&self, url: &str) -> OsString {
        let mut command = OsString::from("ssh");
        if self.profile == Profile::SelfHosted {
            if let Some(own) = self.variable("GIT_SSH_COMMAND") {
                command = own;
            } else if let Some(own) = self.configured_ssh(url) {
                command = own.into();
            } else if let Some(own) = self.variable("GIT_SSH") {
                // GIT_SSH names a program, GIT_SSH_COMMAND is read by a shell.
                command = shell::word(&own.to_string_lossy()).into();
            }
        }
        command.push(" -o BatchMode=yes -o ConnectTimeout=10");
        command
    }

    /// `core.sshCommand` of the user's configuration, asked for only when ssh is what the URL means.
    fn configured_ssh(&self, url: &str) -> Option<String> {
        if !is_ssh(url) {
            return None;
        }
        let ask = self.outside("config", Path::new("/")).args(["--get", "core.sshCommand"]);
        let out = ask.run_any(&Cancel::new()).ok()?;
        let text = String::from_utf8(out.stdout).ok()?;
        let text = text.trim();
        (out.status.success() && !text.is_empty()).then(|| text.to_owned())
    }
}

/// Environment of every git child.
const FIXED_ENV: &[(&str, &str)] = &[
    ("LC_ALL", "C"),
    ("LANG", "C"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", "false"),
    ("SSH_ASKPASS", "false"),
    ("SSH_ASKPASS_REQUIRE", "never"),
    ("GCM_INTERACTIVE", "never"),
    ("GIT_LFS_SKIP_SMUDGE", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_ADVICE", "0"),
    ("GIT_EDITOR", "true"),
    ("GIT_SEQUENCE_EDITOR", "true"),
    ("GIT_PAGER", "cat"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_LITERAL_PATHSPECS", "1"),
    ("GIT_MERGE_AUTOEDIT", "no"),
];

/// Configuration of every git child.
const FIXED_CONFIG: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.askPass=false",
    "core.editor=true",
    "core.pager=cat",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.autocrlf=false",
    "core.safecrlf=false",
    "core.quotePath=false",
    "core.attributesFile=/dev/null",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "push.gpgSign=false",
    "merge.verifySignatures=false",
    "filter.lfs.smudge=cat",
    "filter.lfs.clean=cat",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "rebase.autoStash=false",
    "merge.autoStash=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "push.recurseSubmodules=no",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "advice.detachedHead=false",
    "color.ui=false",
    "init.defaultRefFormat=files",
    "init.defaultObjectFormat=sha1",
];

/// Configuration of children that talk to a remote. No redirect is followed: where one on the same server leads is found out in
/// process ([`Smart::moved`]). Threads count by their stacks, and large files are passed on in pieces, so that [`NETWORK_MEMORY`] is enough.
///
/// [`NETWORK_MEMORY`]: super::limits::NETWORK_MEMORY
const NETWORK_CONFIG: &[&str] = &[
    // Seconds, bytes per second, seconds.
    "http.connectTimeout=10",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=15",
    "http.followRedirects=false",
    "pack.threads=1",
    "pack.windowMemory=16m",
    "pack.deltaCacheSize=16m",
    "core.deltaBaseCacheLimit=16m",
    "core.bigFileThreshold=16m",
    "core.packedGitWindowSize=16m",
    "core.packedGitLimit=32m",
];

/// Configuration of the vendor profile: nobody's credential helper (ours follows where it is needed), one protocol.
const VENDOR_CONFIG: &[&str] = &[
    "credential.helper=",
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.http.allow=always",
];

/// One git command about to run.
#[must_use]
pub(super) struct Invocation<'g> {
    git: &'g Git,
    sub: &'static str,
    /// Host and port of the remote, if it talks to one.
    host: Option<String>,
    contact: Option<Contacting>,
    cmd: Cmd,
    dir: Option<PathBuf>,
    config: Vec<String>,
    args: Vec<OsString>,
    deadline: Duration,
    /// Bytes of memory of each process, where there is a bound.
    memory: Option<u64>,
    stall: bool,
}

impl Invocation<'_> {
    /// One more argument.
    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub(super) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// One more setting, `key=value`, for this command only.
    pub(super) fn config(mut self, setting: &str) -> Self {
        self.config.push(setting.to_owned());
        self
    }

    /// What this command writes is on disk before it ends.
    pub(super) fn durable(self, cancel: &Cancel) -> Result<Self, GitError> {
        let old = self.git.version(cancel)? < Version(2, 36);
        Ok(self.config(if old {
            "core.fsyncObjectFiles=true"
        } else {
            "core.fsync=committed,loose-object,reference"
        }))
    }

    /// One more variable.
    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.cmd = self.cmd.env(name, value);
        self
    }

    /// What the child reads.
    pub(super) fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.cmd = self.cmd.stdin_bytes(bytes);
        self
    }

    /// Another deadline than the usual 30 s (60 s with a remote); at most 10 minutes.
    pub(super) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(CHILD_MAX);
        self
    }

    /// For a command that works in the clone's files, and only may have to talk to the remote.
    pub(super) fn in_tree(mut self) -> Self {
        self.memory = self.memory.map(|_| self.git.bounds.tree_memory);
        if let (Some(contact), Some(dir)) = (self.contact.take(), &self.dir) {
            self.contact = Some(contact.only_if_needed(dir));
        }
        self
    }

    /// No deadline but 30 minutes, as long as payload comes or goes: for what may be large.
    pub(super) fn while_payload_flows(mut self) -> Self {
        self.stall = true;
        self.deadline = CLONE_MAX;
        self
    }

    /// Runs to the end; an exit code other than 0 is an error.
    ///
    /// # Errors
    /// What the output tells of, or why the child did not run or end.
    pub(super) fn run(self, cancel: &Cancel) -> Result<Output, GitError> {
        self.run_with(cancel, &mut |_| ())
    }

    /// As [`Invocation::run`], handing on what the child prints to stderr as it comes.
    pub(super) fn run_with(
        self,
        cancel: &Cancel,
        on_stderr: &mut dyn FnMut(&[u8]),
    ) -> Result<Output, GitError> {
        let (sub, git) = (self.sub, self.git);
        let out = self.output(cancel, on_stderr)?;
        if out.status.code() == Some(UNKNOWN_OPTION) && sub != "version" {
            // An option it does not know may just mean that it is too old.
            git.version(cancel)?;
        }
        match out.status.success() {
            true if out.stdout_truncated => Err(GitError::failed(sub, Some(0), "more output than is read")),
            true => Ok(out),
            false => Err(GitError::of_output(sub, &out)),
        }
    }

    /// Runs to the end; any exit code is an answer.
    ///
    /// # Errors
    /// Why the child did not run or end, or that it came to its bounds or met a redirect.
    pub(super) fn run_any(self, cancel: &Cancel) -> Result<Output, GitError> {
        self.output(cancel, &mut |_| ())
    }

    fn output(mut self, cancel: &Cancel, on_stderr: &mut dyn FnMut(&[u8])) -> Result<Output, GitError> {
        let (sub, git, host, memory) = (self.sub, self.git, self.host.clone(), self.memory);
        let contact = self.contact.take();
        let now = || git.now().mono;
        let mut payload = self.stall.then(|| Payload::new(git.bounds.server_work, now()));
        let mut is_alive = |bytes: &[u8]| {
            on_stderr(bytes);
            payload.as_mut().is_none_or(|p| p.feed(bytes, now()))
        };
        let ran = child::run_with(self.build(), cancel, &mut is_alive)
            .map_err(|e| GitError::child(sub, host.as_deref(), e));
        if let Some(contact) = contact {
            contact.tell(sub, &ran);
        }
        let out = ran?;
        let failed_at = host.filter(|_| !out.status.success());
        failed_at.and_then(|host| git.refusal(sub, host, memory, &out)).map_or(Ok(out), Err)
    }

    fn build(self) -> Cmd {
        let bounds = &self.git.bounds;
        let mut cmd = self.cmd.deadline(self.deadline);
        if let Some(memory) = self.memory {
            cmd = cmd.memory_max(memory).file_max(bounds.file).output_max(bounds.output);
        }
        if self.stall {
            cmd = cmd.stall(bounds.stall);
        }
        if let Some(dir) = &self.dir {
            cmd = cmd.arg("-C").arg(dir);
        }
        for setting in &self.config {
            cmd = cmd.arg("-c").arg(setting);
        }
        cmd.arg(self.sub).args(&self.args)
    }
}

/// Whether a remote is reached by ssh: `ssh://`, `git+ssh://` or `[user@]host:path`.
pub(super) fn is_ssh(url: &str) -> bool {
    match url.split_once("://") {
        Some((scheme, _)) => scheme.ends_with("ssh") || scheme.starts_with("ssh"),
        None => url.split_once(':').is_some_and(|(host, _)| !host.is_empty() && !host.contains('/')),
    }
}

/// Host and port in a URL or `[user@]host:path`; for a path the path.
pub(super) fn host_of(url: &str) -> String {
    let authority = match url.split_once("://") {
        Some((_, rest)) => rest.split(['/', '?', '#']).next().unwrap_or_default(),
        None if is_ssh(url) => url.split(':').next().unwrap_or_default(),
        None => url,
    };
    sanitise(authority.rsplit('@').next().unwrap_or_default())
}

/// `git version 2.47.3`, also with a vendor's suffix.
fn parse_version(text: &str) -> Option<Version> {
    let mut numbers = text.trim().strip_prefix("git version ")?.split(['.', ' ', '-']);
    Some(Version(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("git version 2.47.3\n"), Some(Version(2, 47)));
        assert_eq!(parse_version("git version 2.39.2 (Apple Git-143)"), Some(Version(2, 39)));
        assert_eq!(parse_version("git version 2.50.0-rc1"), Some(Version(2, 50)));
        assert_eq!(parse_version("hub version 1"), None);
        assert!(Version(2, 29) < MINIMUM && Version(3, 0) > MINIMUM);
    }

    #[test]
    fn ssh_remotes_are_told_from_others() {
        for url in ["git@h:p", "h:p/q", "ssh://h/p", "git+ssh://h/p"] {
            assert!(is_ssh(url), "{url}");
        }
        for url in ["/a/b", "/a:b/c", "file:///a", "https://h/p", "http://h:80/p", "./a:b"] {
            assert!(!is_ssh(url), "{url}");
        }
    }

    #[test]
    fn only_allowed_variables_pass() {
        let vars = ["PATH", "GIT_DIR", "GIT_SSH_COMMAND", "TOKEN", "GIT_TRACE", "SAGEOX_ENDPOINT"];
        let env = Env::of(vars.map(|n| (n.into(), "v".into())));
        let names: Vec<_> = env.0.iter().map(|(n, _)| n.to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["PATH", "GIT_SSH_COMMAND", "SAGEOX_ENDPOINT"]);
    }
}
