//! Whom this program can contact, read off its configuration: of the project here, and of all that the daemon serves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::cli::context::Cx;
use crate::daemon::attached_roots;
use crate::kit::contact::{Peer, Purpose};
use crate::project::settings::Settings;
use crate::project::{AgentWorker, Dirs, Endpoint, Logins, Project, Relay, RelayLogins, RelaySink};
use crate::sync::{self, Site, Workspace};

/// Whether a way is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// It is.
    On,
    /// It is not, as the setting says.
    Off,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            State::On => "on",
            State::Off => "off",
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bool(*self == State::On)
    }
}

/// One way to somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Way {
    /// What is there.
    pub(super) what: &'static str,
    /// What its receipts are for.
    #[serde(serialize_with = "words")]
    pub(super) purposes: &'static [Purpose],
    /// `host:port`, or the agent program that reaches its own servers; empty where none is configured.
    pub(super) to: String,
    /// `https`, `ssh`, …; empty for a program, and where none is configured.
    pub(super) scheme: String,
    /// Whether it is used.
    #[serde(rename = "on")]
    pub(super) state: State,
    /// Why it is not used though it is there; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) note: String,
    /// What changes it.
    pub(super) setting: &'static str,
}

const GIT: &[Purpose] = &[Purpose::Sync, Purpose::Clone, Purpose::Push];

fn words<S: Serializer>(purposes: &[Purpose], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(purposes.iter().map(|purpose| purpose.word()))
}

impl Way {
    /// Whether it leads to somebody, used or not.
    pub(super) fn is_known(&self) -> bool {
        !self.to.is_empty()
    }

    fn new(what: &'static str, purposes: &'static [Purpose], setting: &'static str) -> Way {
        let (to, scheme, note) = Default::default();
        Way { what, purposes, to, scheme, state: State::Off, note, setting }
    }

    /// To the server of a URL; as it is where the URL names none.
    fn to(self, url: &str) -> Way {
        let Some(Peer::Server { scheme, host, port }) = Peer::of_url(url) else { return self };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let to = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        Way { to, scheme: scheme.into_owned(), ..self }
    }

    /// Used, if it leads to somebody and that is so.
    fn used_if(self, is_used: bool) -> Way {
        let state = if is_used && self.is_known() { State::On } else { State::Off };
        Way { state, ..self }
    }

    fn noting(self, note: Option<String>) -> Way {
        Way { note: note.unwrap_or_default(), ..self }
    }
}

/// All there are, each once, and what of the configuration could not be read.
pub(super) fn all(cx: &Cx) -> (Vec<Way>, Vec<String>) {
    let (mut ways, mut problems) = (BTreeSet::new(), BTreeSet::new());
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    for root in roots(cx) {
        match Project::load(&root, &cx.env) {
            Ok(project) => of_project(cx, &site, &project, &mut ways, &mut problems),
            Err(e) => drop(problems.insert(e.to_string())),
        }
    }
    of_logins(&cx.dirs, &mut ways, &mut problems);
    let (settings, trouble) = Settings::load(&cx.env, &cx.dirs, None);
    let (relay, wrong) = settings.relay();
    let (worker, more) = settings.agent_worker();
    problems.extend(trouble.iter().chain(&wrong).chain(&more).map(ToString::to_string));
    ways.extend(of_relay(&relay));
    ways.extend(of_worker(&worker));
    (ways.into_iter().collect(), problems.into_iter().collect())
}

/// The project here, and those that are served.
fn roots(cx: &Cx) -> BTreeSet<PathBuf> {
    let here = crate::project::find_root(&cx.env);
    here.into_iter().chain(attached_roots(&cx.dirs).into_iter().filter(|root| is_project(root))).collect()
}

fn is_project(root: &Path) -> bool {
    root.join(crate::project::PROJECT_DIR).is_dir()
}

fn of_project(
    cx: &Cx,
    site: &Site,
    project: &Project,
    ways: &mut BTreeSet<Way>,
    problems: &mut BTreeSet<String>,
) {
    let is_served = !project.endpoint.is_local();
    if is_served {
        let logins = Logins::load(&cx.dirs, &project.endpoint);
        let is_in = match &logins {
            Ok(logins) => logins.get(&project.endpoint).is_some_and(|login| login.is_valid(cx.now())),
            Err(e) => {
                problems.insert(e.to_string());
                false
            }
        };
        let way = Way::new("server", &[Purpose::VendorApi], "endpoint in .sageox/config.json");
        let way = way.to(&project.endpoint.base_url()).used_if(is_in);
        ways.insert(way.noting((!is_in).then(|| "not logged in".to_owned())));
    }
    let (ledger, loaded) = sync::load_with_ledger(site, project);
    if let Ok(at) = &ledger {
        let setting = if is_served { "endpoint in .sageox/config.json" } else { "ox ledger set-remote" };
        let way = Way::new("ledger", GIT, setting);
        let way = to_remote(way, at);
        if way.is_known() {
            let files = Way::new("large files", &[Purpose::Lfs], "ox session share; session_publishing");
            ways.insert(to_remote(files, at));
            ways.insert(way);
        }
    }
    for team in loaded.registry().teams() {
        let at = sync::team_of(&cx.dirs, &loaded.slug, loaded.endpoint.as_deref(), &team);
        let way = at.ok().map(|at| to_remote(Way::new("team context", GIT, "ox team remove"), &at));
        ways.extend(way.filter(Way::is_known));
    }
}

/// The servers of logins that are kept: they are asked for new tokens, and told of a logout.
fn of_logins(dirs: &Dirs, ways: &mut BTreeSet<Way>, problems: &mut BTreeSet<String>) {
    let login = |url: &str| Way::new("login", &[Purpose::Login], "ox logout").to(url).used_if(true);
    // Which of several spellings of one endpoint counts is nothing to us here.
    match Logins::load(dirs, &Endpoint::local()) {
        Ok(logins) => ways.extend(logins.endpoints().iter().map(|endpoint| login(&endpoint.base_url()))),
        Err(e) => drop(problems.insert(e.to_string())),
    }
    match RelayLogins::load(dirs) {
        Ok(logins) => ways.extend(logins.all().iter().map(|one| {
            let why = one.needs_login.then(|| "its login was refused; ox login --relay".to_owned());
            login(&one.server_url).used_if(why.is_none()).noting(why)
        })),
        Err(e) => drop(problems.insert(e.to_string())),
    }
}

fn to_remote(way: Way, at: &Workspace) -> Way {
    let note = at.untrusted_host.as_ref().map(|_| "not trusted yet; ox up asks".to_owned());
    way.to(at.remote.as_str()).used_if(note.is_none()).noting(note)
}

fn of_relay(relay: &Relay) -> [Way; 2] {
    let is = |sink| relay.enabled && relay.sink == sink;
    let login = &[Purpose::Relay, Purpose::Login];
    [
        Way::new("relay", login, "relay.enabled, relay.url").to(&relay.url).used_if(is(RelaySink::Relay)),
        Way::new("collector", &[Purpose::Otlp], "relay.enabled, relay.otlp_url")
            .to(&relay.otlp_url)
            .used_if(is(RelaySink::Otlp)),
    ]
}

fn of_worker(worker: &AgentWorker) -> [Way; 2] {
    let chat = Way::new("chat server", &[Purpose::Chat], "agent_worker.agent, agent_worker.chat_url");
    let chat = chat.to(&worker.chat_url).used_if(worker.agent == "chat" && worker.is_wanted());
    let program = match worker.agent.as_str() {
        "" if worker.auto_detect => "claude or codex",
        "" | "none" | "chat" => "",
        named => named,
    };
    let agent = Way::new("agent program", &[Purpose::Agent], "agent_worker.agent");
    let agent = Way { to: program.to_owned(), ..agent }.used_if(worker.is_wanted());
    let its_own = agent.is_known().then(|| "reaches its own vendor".to_owned());
    [chat, agent.noting(its_own)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Env;

    #[test]
    fn what_is_not_configured_is_off_and_leads_nowhere() {
        let temp = tempfile::tempdir().unwrap();
        let look = |vars: &[(&str, &str)], file: &str| {
            let home = [("HOME", temp.path().to_str().unwrap())];
            let env = Env::of(home.iter().chain(vars).copied(), temp.path());
            let dirs = Dirs::from_env(&env).unwrap();
            std::fs::create_dir_all(dirs.config()).unwrap();
            std::fs::write(dirs.user_config(), file).unwrap();
            let (settings, _) = Settings::load(&env, &dirs, None);
            let ways = of_relay(&settings.relay().0).into_iter().chain(of_worker(&settings.agent_worker().0));
            ways.map(|way| (way.what, way.to, way.state == State::On)).collect::<Vec<_>>()
        };
        let one = |what, to: &str, on| (what, to.to_owned(), on);
        assert_eq!(
            look(&[], ""),
            [
                one("relay", "", false),
                one("collector", "", false),
                one("chat server", "", false),
                one("agent program", "", false),
            ]
        );
        let relay = [("OX_RELAY", "1"), ("OX_RELAY_URL", "https://relay.example/x")];
        assert_eq!(look(&relay, "")[0], one("relay", "relay.example:443", true));
        assert_eq!(look(&relay[1..], "")[0], one("relay", "relay.example:443", false), "not opted in");
        let otlp = "relay:\n  enabled: true\n  sink: otlp\n  otlp_url: http://127.0.0.1:4318\n";
        assert_eq!(look(&[], otlp)[1], one("collector", "127.0.0.1:4318", true));
        let chat = "agent_worker:\n  agent: chat\n  chat_url: http://127.0.0.1:8080/v1\n";
        assert_eq!(look(&[], chat)[2], one("chat server", "127.0.0.1:8080", true));
        assert_eq!(look(&[], "agent_worker:\n  agent: codex\n")[3], one("agent program", "codex", true));
    }
}
