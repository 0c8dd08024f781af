//! What the user agreed to send to which server. Nothing else is sent, whatever the settings say.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::json::Object;
use super::{Dirs, Error, limits, lock, private};
use crate::kit::file;

/// The form of the file.
const VERSION: u32 = 1;

/// What can be agreed to, each on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataKind {
    /// That there was an event; the others come with events only.
    Events,
    /// Which model.
    Models,
    /// Which project.
    Projects,
}

impl DataKind {
    /// All of them.
    pub const ALL: [DataKind; 3] = [DataKind::Events, DataKind::Models, DataKind::Projects];

    /// In one word, as the file and commands have it.
    pub fn name(self) -> &'static str {
        match self {
            DataKind::Events => "events",
            DataKind::Models => "models",
            DataKind::Projects => "projects",
        }
    }

    /// That of a word.
    pub fn parse(word: &str) -> Option<DataKind> {
        DataKind::ALL.into_iter().find(|kind| kind.name() == word)
    }

    /// What it has in it, for people.
    pub fn about(self) -> &'static str {
        match self {
            DataKind::Events => {
                "that an agent did something, and when: the event's name, the agent program, the tool's name, the ids of session, turn and \
                 call, the permission mode, why a session began or ended, and a random id of this installation. Never what was said, read, \
                 written or run"
            }
            DataKind::Models => "the name of the model that answered",
            DataKind::Projects => {
                "the id of the project, and a digest of the working directory as relay.cwd_hash says. Never a path"
            }
        }
    }
}

/// What was agreed to for one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConsent {
    /// What may be sent.
    pub kinds: Vec<DataKind>,
    /// When that was said.
    pub at: Timestamp,
    /// Nothing that was before this is sent: when it was said, or when events were last switched on again.
    pub since: Timestamp,
}

impl RelayConsent {
    /// Whether that may be sent. Without events nothing may.
    pub fn allows(&self, kind: DataKind) -> bool {
        self.kinds.contains(&kind) && self.kinds.contains(&DataKind::Events)
    }
}

/// One server of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    kinds: Vec<String>,
    at: Timestamp,
    since: Timestamp,
}

/// All that was agreed to.
#[derive(Clone, Debug, Default)]
pub struct RelayConsents {
    object: Object,
    servers: BTreeMap<String, Stored>,
}

impl RelayConsents {
    /// Reads the file. A missing one agrees to nothing.
    ///
    /// # Errors
    /// It cannot be read or understood; then nobody has agreed to anything.
    pub fn load(dirs: &Dirs) -> Result<RelayConsents, Error> {
        read(&dirs.relay_consent())
    }

    /// What was agreed to for the server at an address; none where nobody was asked about this very one.
    pub fn of(&self, server_url: &str) -> Option<RelayConsent> {
        let stored = self.servers.get(server(server_url))?;
        // What is not known here cannot be sent either.
        let kinds = stored.kinds.iter().filter_map(|word| DataKind::parse(word)).collect();
        Some(RelayConsent { kinds, at: stored.at, since: stored.since })
    }

    /// Notes that the user agreed to send these kinds, and no other, to a server from now on.
    ///
    /// # Errors
    /// `Damaged` if the file is there and cannot be understood: it is then left alone. `Busy` or `Write`.
    pub fn grant(dirs: &Dirs, server_url: &str, kinds: &[DataKind], now: Timestamp) -> Result<(), Error> {
        change(dirs, |servers| {
            let mut kinds: Vec<_> = kinds.to_vec();
            kinds.sort_unstable();
            kinds.dedup();
            let kinds = kinds.into_iter().map(|kind| kind.name().to_owned()).collect();
            servers.insert(server(server_url).to_owned(), Stored { kinds, at: now, since: now });
            true
        })
        .map(drop)
    }

    /// Notes that events are switched on again: what was in between is not sent. Whether the server was agreed to.
    ///
    /// # Errors
    /// As [`RelayConsents::grant`].
    pub fn resume(dirs: &Dirs, server_url: &str, now: Timestamp) -> Result<bool, Error> {
        change(dirs, |servers| {
            let stored = servers.get_mut(server(server_url));
            stored.map(|stored| stored.since = now.max(stored.at)).is_some()
        })
    }

    /// Takes back what was agreed to for a server. Whether anything was.
    ///
    /// # Errors
    /// As [`RelayConsents::grant`].
    pub fn withdraw(dirs: &Dirs, server_url: &str) -> Result<bool, Error> {
        change(dirs, |servers| servers.remove(server(server_url)).is_some())
    }
}

/// Changes the servers of the file; what `edit` says is not to be written is not.
fn change(dirs: &Dirs, edit: impl FnOnce(&mut BTreeMap<String, Stored>) -> bool) -> Result<bool, Error> {
    let path = dirs.relay_consent();
    let _lock = lock::hold(&dirs.file_lock(&path), &path)?;
    let mut all = read(&path)?;
    if !edit(&mut all.servers) {
        return Ok(false);
    }
    let mut text = || {
        all.object.set("version", &VERSION)?;
        all.object.set("servers", &all.servers)?;
        all.object.to_text()
    };
    let text = text().map_err(|e| Error::write(&path, e.into()))?;
    private::write(&path, &text, true)?;
    Ok(true)
}

/// An address as the file has it: slashes at its end make no other server.
fn server(url: &str) -> &str {
    url.trim_end_matches('/')
}

fn read(path: &Path) -> Result<RelayConsents, Error> {
    let bytes = match file::read_capped(path, limits::TRUST_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(RelayConsents::default()),
        Err(e) => return Err(Error::read(path, e)),
    };
    let object = Object::parse(&bytes).map_err(|e| Error::damaged(path, e))?;
    let version: u32 = object.get("version").map_err(|e| Error::damaged(path, e))?;
    if version > VERSION {
        return Err(Error::damaged(path, format!("version {version} is newer than this program")));
    }
    let servers = object.get("servers").map_err(|e| Error::damaged(path, e))?;
    Ok(RelayConsents { object, servers })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::project::Env;

    fn dirs(tmp: &tempfile::TempDir) -> Dirs {
        Dirs::from_env(&Env::of([("HOME", tmp.path().as_os_str())], tmp.path())).unwrap()
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(1_796_000_000 + second).unwrap()
    }

    #[test]
    fn nothing_is_agreed_to_but_what_was_and_for_that_server_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = dirs(&tmp);
        let of = |url: &str| RelayConsents::load(&dirs).unwrap().of(url);
        assert_eq!(of("https://a.example"), None);
        assert!(!RelayConsents::resume(&dirs, "https://a.example", time(0)).unwrap());
        assert!(!dirs.relay_consent().exists(), "asking writes nothing");
        let kinds = [DataKind::Models, DataKind::Events, DataKind::Events];
        RelayConsents::grant(&dirs, "https://a.example/", &kinds, time(1)).unwrap();
        let given = of("https://a.example").unwrap();
        assert_eq!((given.at, given.since), (time(1), time(1)));
        assert_eq!(given.kinds, [DataKind::Events, DataKind::Models]);
        assert!(given.allows(DataKind::Models) && !given.allows(DataKind::Projects));
        for other in
            ["https://b.example", "http://a.example", "https://a.example:8443", "https://a.example/x", ""]
        {
            assert_eq!(of(other), None, "{other} is another server");
        }
        assert!(RelayConsents::resume(&dirs, "https://a.example", time(5)).unwrap());
        assert_eq!(of("https://a.example").map(|c| (c.at, c.since)), Some((time(1), time(5))));
        // Saying it anew replaces what was said.
        RelayConsents::grant(&dirs, "https://a.example", &[DataKind::Models], time(6)).unwrap();
        let given = of("https://a.example").unwrap();
        assert!(!given.allows(DataKind::Events) && !given.allows(DataKind::Models), "a model of no event");
        assert!(RelayConsents::withdraw(&dirs, "https://a.example//").unwrap());
        assert!(!RelayConsents::withdraw(&dirs, "https://a.example").unwrap());
        assert_eq!(of("https://a.example"), None);
        let mode = dirs.relay_consent().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_cannot_be_understood_agrees_to_nothing_and_stays() {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = dirs(&tmp);
        std::fs::create_dir_all(dirs.config()).unwrap();
        for text in
            ["", "{", "[]", r#"{"version":2,"servers":{}}"#, r#"{"servers":{"https://a.example":true}}"#]
        {
            std::fs::write(dirs.relay_consent(), text).unwrap();
            assert!(RelayConsents::load(&dirs).is_err(), "{text}");
            assert!(RelayConsents::grant(&dirs, "https://a.example", &DataKind::ALL, time(0)).is_err());
            assert_eq!(std::fs::read_to_string(dirs.relay_consent()).unwrap(), text);
        }
        let newer = r#"{"note":1,"servers":{"https://a.example":{"kinds":["events","thoughts"],"at":"2026-11-30T00:00:00Z","since":"2026-11-30T00:00:00Z"}}}"#;
        std::fs::write(dirs.relay_consent(), newer).unwrap();
        let all = RelayConsents::load(&dirs).unwrap();
        assert_eq!(all.of("https://a.example").unwrap().kinds, [DataKind::Events]);
        RelayConsents::resume(&dirs, "https://a.example", time(9)).unwrap();
        let text = std::fs::read_to_string(dirs.relay_consent()).unwrap();
        assert!(text.contains("thoughts") && text.contains("\"note\": 1"), "{text}");
    }

    #[test]
    fn each_kind_has_a_word_and_says_what_it_is() {
        for kind in DataKind::ALL {
            assert_eq!(DataKind::parse(kind.name()), Some(kind));
            assert!(kind.about().len() > 20 && !kind.about().ends_with('.'));
        }
        assert_eq!(DataKind::parse("all"), None);
    }
}
