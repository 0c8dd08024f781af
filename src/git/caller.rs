//! What of the environment of whoever asked last counts for git children: a login session ends and its agent's socket with it, while the
//! daemon that it started goes on.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use parking_lot::RwLock;

/// Names of which the newest caller's value counts, where it has one: how git reaches remotes, and what it finds on the way.
const FROM_CALLER: [&str; 19] = [
    "PATH",
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_PROXY_COMMAND",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];
/// Bytes of one value; a longer one is left out.
const VALUE_MAX: usize = 16 * 1024;

/// What of an environment leads git to remotes, by name.
pub fn way_to_remotes(get: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    FROM_CALLER.iter().filter_map(|name| Some(((*name).to_owned(), get(name)?))).collect()
}

/// Variables of callers, by name.
type Vars = Vec<(OsString, OsString)>;

/// What the callers of each project last had. Clones share it.
#[derive(Default)]
struct Known {
    newest: Vars,
    of: BTreeMap<Arc<str>, Vars>,
}

/// The newest caller's variables: those of one project, or of any. Clones share them.
#[derive(Clone, Default)]
pub struct Caller {
    known: Arc<RwLock<Known>>,
    project: Option<Arc<str>>,
}

impl Caller {
    /// That of the project called `id`; while nobody has called for it, the newest of any.
    pub fn of(&self, id: &str) -> Caller {
        Caller { known: Arc::clone(&self.known), project: Some(id.into()) }
    }

    /// Takes over what counts of an environment; all else is left out. Who has no ssh agent takes nobody's away.
    pub fn set(&self, vars: impl IntoIterator<Item = (OsString, OsString)>) {
        let counts = |(name, value): &(OsString, OsString)| {
            FROM_CALLER.iter().any(|known| name == known) && value.len() <= VALUE_MAX
        };
        let mut vars: Vars = vars.into_iter().filter(counts).collect();
        let mut known = self.known.write();
        let is_agent = |(name, _): &(OsString, OsString)| name == "SSH_AUTH_SOCK";
        if !vars.iter().any(is_agent) {
            vars.extend(self.vars(&known).iter().find(|var| is_agent(var)).cloned());
        }
        if let Some(project) = &self.project {
            known.of.insert(Arc::clone(project), vars.clone());
        }
        known.newest = vars;
    }

    /// The project is served no longer.
    pub fn forget(&self) {
        if let Some(project) = &self.project {
            self.known.write().of.remove(project);
        }
    }

    /// A variable of the newest caller.
    pub(super) fn get(&self, name: &OsStr) -> Option<OsString> {
        let known = self.known.read();
        self.vars(&known).iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<(OsString, OsString)> {
        self.vars(&self.known.read()).clone()
    }

    fn vars<'a>(&self, known: &'a Known) -> &'a Vars {
        self.project.as_ref().and_then(|project| known.of.get(project)).unwrap_or(&known.newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os((name, value): (&str, &str)) -> (OsString, OsString) {
        (name.into(), value.into())
    }

    #[test]
    fn only_what_leads_to_remotes_is_taken_over() {
        let caller = Caller::default();
        let vars =
            [("SSH_AUTH_SOCK", "/a"), ("HOME", "/else"), ("GIT_CONFIG_GLOBAL", "/x"), ("LD_PRELOAD", "/l")];
        caller.set(vars.map(os).into_iter().chain([os(("no_proxy", &"x".repeat(VALUE_MAX + 1)))]));
        assert_eq!(caller.all(), [os(("SSH_AUTH_SOCK", "/a"))]);
        caller.set([os(("SSH_AUTH_SOCK", "/b")), os(("no_proxy", "h"))]);
        assert_eq!(caller.clone().get("SSH_AUTH_SOCK".as_ref()), Some("/b".into()));
        caller.set([os(("PATH", "/bin"))]);
        assert_eq!(caller.all(), [os(("PATH", "/bin")), os(("SSH_AUTH_SOCK", "/b"))]);
    }

    #[test]
    fn a_project_has_what_its_own_newest_caller_has() {
        let any = Caller::default();
        let (one, two) = (any.of("one"), any.of("two"));
        one.set([os(("SSH_AUTH_SOCK", "/1"))]);
        assert_eq!(two.all(), [os(("SSH_AUTH_SOCK", "/1"))], "nobody has called for it yet");
        two.set([os(("https_proxy", "p"))]);
        assert_eq!(two.all(), [os(("https_proxy", "p")), os(("SSH_AUTH_SOCK", "/1"))]);
        two.set([os(("SSH_AUTH_SOCK", "/2"))]);
        assert_eq!(one.all(), [os(("SSH_AUTH_SOCK", "/1"))]);
        assert_eq!(any.all(), [os(("SSH_AUTH_SOCK", "/2"))]);
        one.forget();
        assert_eq!(one.all(), any.all());
    }
}
