//! `.sageox/config.json`: what a project's members share. Committed, so whatever stands in it may be somebody else's.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::json::Object;
use super::{Dirs, Endpoint, Error, REPO_PREFIX, limits, lock, safe_component};
use crate::kit::file;

/// The directory of a project that holds everything of ours.
pub const PROJECT_DIR: &str = ".sageox";

/// The current `config_version`.
pub const CONFIG_VERSION: &str = "2";

/// Default of `update_frequency_hours`; also taken for zero and negative values.
const UPDATE_HOURS: i64 = 24;

/// The keys that hold a string.
const STRINGS: [&str; 20] = [
    "config_version",
    "org",
    "team",
    "project",
    "project_id",
    "workspace_id",
    "repo_id",
    "team_id",
    "team_name",
    "endpoint",
    "api_base_url",
    "web_base_url",
    "badge_status",
    "session_recording",
    "session_publishing",
    "murmuring",
    "murmur_send",
    "murmur_receive",
    "last_update_check_utc",
    "ledger_url",
];

/// One of the teams whose context a project uses without a server naming it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Team {
    /// The team's id.
    pub team_id: String,
    /// Its name for people.
    pub name: String,
    /// The git remote of its context.
    pub url: String,
}

/// The content of a project's `config.json`. Unknown keys, their bytes and the order of all keys survive a rewrite.
#[derive(Clone, Debug)]
pub struct Config {
    object: Object,
}

impl Default for Config {
    /// What a missing file means.
    fn default() -> Config {
        let mut config = Config { object: Object::default() };
        config.put("config_version", &CONFIG_VERSION);
        config.put("update_frequency_hours", &UPDATE_HOURS);
        config
    }
}

impl Config {
    /// Where a project's configuration lies.
    pub fn path(root: &Path) -> PathBuf {
        root.join(PROJECT_DIR).join("config.json")
    }

    /// Whether the project has been initialised: its configuration file exists, whatever is in it.
    pub fn exists(root: &Path) -> bool {
        Config::path(root).is_file()
    }

    /// Reads a project's configuration; a missing file means defaults.
    ///
    /// # Errors
    /// `Read` if it cannot be read, `Damaged` if it is empty, no JSON object or has a known key of a wrong type.
    pub fn load(root: &Path) -> Result<Config, Error> {
        let path = Config::path(root);
        let bytes = match file::read_capped(&path, limits::CONFIG_MAX) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Config::default()),
            Err(e) => return Err(Error::read(&path, e)),
        };
        Config::parse(&bytes).map_err(|reason| Error::damaged(&path, reason))
    }

    /// The line (from 1) of a key in a project's file, if that is laid out as this program and the Go one do.
    pub fn line_of(root: &Path, key: &str) -> Option<u32> {
        let bytes = file::read_capped(&Config::path(root), limits::CONFIG_MAX).ok()?;
        let start = format!("  \"{key}\":");
        let at = String::from_utf8_lossy(&bytes).lines().position(|line| line.starts_with(&start))?;
        u32::try_from(at + 1).ok()
    }

    /// Reads the text of a configuration file and brings older keys to their present form, in memory only.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Config, String> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        if bytes.trim_ascii().is_empty() {
            return Err("the file is empty".to_owned());
        }
        let object = Object::parse(bytes).map_err(|e| e.to_string())?;
        let mut config = Config { object };
        config.check_types()?;
        config.migrate();
        Ok(config)
    }

    fn check_types(&self) -> Result<(), String> {
        for key in STRINGS {
            self.object.get::<String>(key)?;
        }
        self.object.get::<i64>("update_frequency_hours")?;
        self.object.get::<Vec<String>>("repo_remote_hashes")?;
        if self.object.get::<Vec<Team>>("teams")?.len() > limits::TEAMS_MAX {
            return Err(format!("teams: more than {} entries", limits::TEAMS_MAX));
        }
        Ok(())
    }

    fn migrate(&mut self) {
        // The endpoint once stood under another name.
        let old = self.text("api_base_url");
        if self.text("endpoint").is_empty() && !old.is_empty() {
            if let Some(endpoint) = Endpoint::parse(&old) {
                self.put("endpoint", &endpoint.as_str());
            }
            self.object.remove("api_base_url");
            self.object.remove("web_base_url");
        }
        if let Some(endpoint) = self.endpoint() {
            // Nothing to change if it is in its normal form already, so that its bytes stay.
            if endpoint.as_str() != self.text("endpoint") {
                self.put("endpoint", &endpoint.as_str());
            }
        }
        if self.get::<i64>("update_frequency_hours") <= 0 {
            self.put("update_frequency_hours", &UPDATE_HOURS);
        }
    }

    /// Replaces the file in one step, 0600, whatever is in it now: for a new project. Others [`Config::update`].
    ///
    /// # Errors
    /// `NotInitialized` if there is no `.sageox/`, `Linked` if that is a symbolic link, else `Write`.
    pub fn save(&self, root: &Path) -> Result<(), Error> {
        check_project_dir(root)?;
        self.write(root, &self.text_of(root)?)
    }

    /// Reads the file, lets `change` change it and replaces it, all under the project's lock. If nothing changed, nothing is
    /// written.
    ///
    /// # Errors
    /// `NotInitialized` if there is no file yet, `Linked`, `Busy`, `Write`, or as [`Config::load`].
    pub fn update(root: &Path, dirs: &Dirs, change: impl FnOnce(&mut Config)) -> Result<(), Error> {
        check_project_dir(root)?;
        if !Config::exists(root) {
            return Err(Error::NotInitialized { root: root.to_owned() });
        }
        let _lock = lock::hold(&dirs.project_lock(root), &Config::path(root))?;
        let mut config = Config::load(root)?;
        let before = config.text_of(root)?;
        change(&mut config);
        let after = config.text_of(root)?;
        if after == before { Ok(()) } else { config.write(root, &after) }
    }

    fn text_of(&self, root: &Path) -> Result<Vec<u8>, Error> {
        self.object.to_text().map_err(|e| Error::write(&Config::path(root), e.into()))
    }

    fn write(&self, root: &Path, text: &[u8]) -> Result<(), Error> {
        let path = Config::path(root);
        file::write_durable(&path, text, 0o600).map_err(|e| Error::write(&path, e))
    }

    /// Nothing if this program understands the file: what a newer one wrote may mean something else.
    ///
    /// # Errors
    /// `Newer`, or `BadValue` for an id that names no repository.
    pub fn check(&self, path: &Path) -> Result<(), Error> {
        let number = |text: &str| text.parse::<u32>().ok();
        if number(&self.text("config_version")) > number(CONFIG_VERSION) {
            return Err(Error::Newer { path: path.to_owned(), version: self.text("config_version") });
        }
        let id = self.repo_id();
        if !id.is_empty() && (!id.starts_with(REPO_PREFIX) || safe_component(&id) != id) {
            let reason = format!("must be a repository id, not {id:?}, in {}", path.display());
            return Err(Error::BadValue { key: "repo_id".to_owned(), reason });
        }
        Ok(())
    }

    /// The repository id; empty if none was given.
    pub fn repo_id(&self) -> String {
        self.text("repo_id")
    }

    /// Sets the repository id.
    pub fn set_repo_id(&mut self, repo_id: &str) {
        self.put("repo_id", &repo_id);
    }

    /// The endpoint, if one is named.
    pub fn endpoint(&self) -> Option<Endpoint> {
        Endpoint::parse(&self.text("endpoint"))
    }

    /// Sets the endpoint.
    pub fn set_endpoint(&mut self, endpoint: &Endpoint) {
        self.put("endpoint", &endpoint.as_str());
    }

    /// The git remote of the ledger as somebody wrote it: to be judged by [`super::RemoteUrl::parse`] before use.
    pub fn ledger_url(&self) -> Option<String> {
        Some(self.text("ledger_url")).filter(|url| !url.is_empty())
    }

    /// Sets the git remote of the ledger, or takes it out: then it is the bare repository beside our data.
    pub fn set_ledger_url(&mut self, url: Option<&str>) {
        match url {
            Some(url) => self.put("ledger_url", &url),
            None => self.object.remove("ledger_url"),
        }
    }

    /// Whether the file has this key, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.object.has(key)
    }

    /// A plain word of the top level; `None` if it is missing or empty.
    pub fn word(&self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|word| !word.is_empty())
    }

    /// The team that the project belongs to; empty if none.
    pub fn team_id(&self) -> String {
        self.text("team_id")
    }

    /// Its name for people; empty if none.
    pub fn team_name(&self) -> String {
        self.text("team_name")
    }

    /// Sets the team that the project belongs to, or takes it out.
    pub fn set_team(&mut self, team_id: &str, team_name: &str) {
        for (key, value) in [("team_id", team_id), ("team_name", team_name)] {
            match value {
                "" => self.object.remove(key),
                value => self.put(key, &value),
            }
        }
    }

    /// The teams named by the project itself.
    pub fn teams(&self) -> Vec<Team> {
        self.get("teams")
    }

    /// Names exactly these teams. What else an entry of the same id holds stays.
    pub fn set_teams(&mut self, teams: &[Team]) {
        let old = self.team_entries();
        let entry = |team: &Team| {
            let known = old.iter().find(|entry| is_entry_of(entry, &team.team_id)).cloned();
            filled(known.unwrap_or_default(), team)
        };
        self.put_teams(&teams.iter().map(entry).collect::<Vec<_>>());
    }

    /// Names a team, in the place of one with its id or last.
    pub fn add_team(&mut self, team: &Team) {
        let mut entries = self.team_entries();
        match entries.iter_mut().find(|entry| is_entry_of(entry, &team.team_id)) {
            Some(entry) => *entry = filled(std::mem::take(entry), team),
            None => entries.push(filled(Map::new(), team)),
        }
        self.put_teams(&entries);
    }

    /// Names a team no more. True if it was named.
    pub fn remove_team(&mut self, team_id: &str) -> bool {
        let mut entries = self.team_entries();
        let before = entries.len();
        entries.retain(|entry| !is_entry_of(entry, team_id));
        let removed = entries.len() < before;
        if removed {
            self.put_teams(&entries);
        }
        removed
    }

    fn team_entries(&self) -> Vec<Map<String, Value>> {
        self.get("teams")
    }

    fn put_teams(&mut self, entries: &[Map<String, Value>]) {
        // An empty list says that there are none; no list, that whoever wrote the file knows nothing of teams.
        if !entries.is_empty() || self.has("teams") {
            self.put("teams", &entries);
        }
    }

    fn text(&self, key: &str) -> String {
        self.get(key)
    }

    /// A value whose type was checked on reading.
    fn get<T: DeserializeOwned + Default>(&self, key: &str) -> T {
        self.object.get(key).unwrap_or_default()
    }

    fn put(&mut self, key: &str, value: &impl Serialize) {
        // Strings, numbers and plain structs always serialise.
        let done = self.object.set(key, value);
        debug_assert!(done.is_ok());
    }
}

fn is_entry_of(entry: &Map<String, Value>, team_id: &str) -> bool {
    entry.get("team_id").and_then(Value::as_str) == Some(team_id)
}

/// The entry with a team's values in it.
fn filled(mut entry: Map<String, Value>, team: &Team) -> Map<String, Value> {
    for (key, value) in [("team_id", &team.team_id), ("name", &team.name), ("url", &team.url)] {
        entry.insert(key.to_owned(), value.as_str().into());
    }
    entry
}

/// Whether something may be written into a project's `.sageox/`: it is there, and is a directory and no link.
///
/// # Errors
/// `NotInitialized`, `Linked`, or `Read` if it cannot be looked at.
pub(super) fn check_project_dir(root: &Path) -> Result<(), Error> {
    let dir = root.join(PROJECT_DIR);
    match std::fs::symlink_metadata(&dir) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(meta) if meta.file_type().is_symlink() => Err(Error::Linked { path: dir }),
        Ok(_) => Err(Error::NotInitialized { root: root.to_owned() }),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(Error::NotInitialized { root: root.to_owned() }),
        Err(e) => Err(Error::read(&dir, e)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn project() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(PROJECT_DIR)).unwrap();
        dir
    }

    fn check_rewrite(before: &str, change: impl FnOnce(&mut Config), after: &str) {
        let dir = project();
        std::fs::write(Config::path(dir.path()), before).unwrap();
        let mut config = Config::load(dir.path()).unwrap();
        change(&mut config);
        config.save(dir.path()).unwrap();
        assert_eq!(std::fs::read_to_string(Config::path(dir.path())).unwrap(), after);
    }

    #[test]
    fn unknown_keys_their_bytes_and_the_order_survive_a_rewrite() {
        check_rewrite(
            "{\n  \"zeta\": {\"b\":1,  \"a\": [1.50, 12345678901234567890123]},\n  \"repo_id\": \"repo_x\",\n  \"update_frequency_hours\": 12,\n  \"alpha\": \"\\u003c\"\n}",
            |c| c.set_repo_id("repo_y"),
            "{\n  \"zeta\": {\"b\":1,  \"a\": [1.50, 12345678901234567890123]},\n  \"repo_id\": \"repo_y\",\n  \"update_frequency_hours\": 12,\n  \"alpha\": \"\\u003c\"\n}\n",
        );
    }

    #[test]
    fn new_keys_go_to_the_end_and_removed_ones_leave_the_order() {
        check_rewrite(
            r#"{"a":1,"ledger_url":"x","b":2,"update_frequency_hours":24,"c":3}"#,
            |c| {
                c.set_ledger_url(None);
                c.set_endpoint(&Endpoint::local());
            },
            "{\n  \"a\": 1,\n  \"b\": 2,\n  \"update_frequency_hours\": 24,\n  \"c\": 3,\n  \"endpoint\": \"local\"\n}\n",
        );
    }

    fn team(id: &str, name: &str) -> Team {
        Team { team_id: id.into(), name: name.into(), url: format!("/srv/{id}.git") }
    }

    #[test]
    fn teams_are_named_and_unnamed_and_what_else_they_hold_stays() {
        let before = r#"{"a":1,"teams":[{"x":7,"team_id":"t1","name":"One","url":"/srv/t1.git"},{"team_id":"t2","name":"Two","url":"/srv/t2.git"}],"update_frequency_hours":24}"#;
        let after = |teams: &str| {
            format!("{{\n  \"a\": 1,\n  \"teams\": [{teams}],\n  \"update_frequency_hours\": 24\n}}\n")
        };
        let one = r#"{"x":7,"team_id":"t1","name":"New","url":"/srv/t1.git"}"#;
        let two = r#"{"team_id":"t2","name":"Two","url":"/srv/t2.git"}"#;
        let three = r#"{"team_id":"t3","name":"","url":"/srv/t3.git"}"#;
        check_rewrite(before, |c| c.add_team(&team("t1", "New")), &after(&format!("{one},{two}")));
        let add = |c: &mut Config| {
            c.add_team(&team("t3", ""));
            assert!(c.remove_team("t1") && !c.remove_team("t1"));
            assert_eq!(c.teams(), [team("t2", "Two"), team("t3", "")]);
        };
        check_rewrite(before, add, &after(&format!("{two},{three}")));
        let set = |c: &mut Config| c.set_teams(&[team("t3", ""), team("t1", "New")]);
        check_rewrite(before, set, &after(&format!("{three},{one}")));
        check_rewrite(before, |c| c.set_teams(&[]), &after(""));
        let none = "{\n  \"a\": 1,\n  \"update_frequency_hours\": 24\n}\n";
        check_rewrite(none, |c| c.set_teams(&[]), none);
        let long = |n: usize| format!(r#"{{"teams":[{}]}}"#, vec!["{}"; n].join(","));
        assert!(Config::parse(long(limits::TEAMS_MAX).as_bytes()).is_ok());
        assert!(Config::parse(long(limits::TEAMS_MAX + 1).as_bytes()).is_err());
    }

    #[test]
    fn the_projects_own_team_is_set_and_taken_out() {
        let set = |c: &mut Config| {
            c.set_team("t1", "One");
            assert_eq!((c.team_id(), c.team_name()), ("t1".into(), "One".into()));
        };
        let after =
            "{\n  \"update_frequency_hours\": 24,\n  \"team_id\": \"t1\",\n  \"team_name\": \"One\"\n}\n";
        check_rewrite(r#"{"update_frequency_hours":24}"#, set, after);
        check_rewrite(after, |c| c.set_team("", ""), "{\n  \"update_frequency_hours\": 24\n}\n");
    }

    #[test]
    fn older_keys_are_brought_to_their_present_form() {
        check_rewrite(
            r#"{"api_base_url":"https://api.example.org/","web_base_url":"https://w","update_frequency_hours":0}"#,
            |_| {},
            "{\n  \"update_frequency_hours\": 24,\n  \"endpoint\": \"https://example.org\"\n}\n",
        );
    }

    #[test]
    fn a_missing_file_means_defaults() {
        let dir = project();
        let config = Config::load(dir.path()).unwrap();
        assert!(!Config::exists(dir.path()));
        assert_eq!((config.repo_id().as_str(), config.endpoint(), config.ledger_url()), ("", None, None));
        config.save(dir.path()).unwrap();
        let path = Config::path(dir.path());
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\n  \"config_version\": \"2\",\n  \"update_frequency_hours\": 24\n}\n"
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn res_07_an_empty_or_broken_file_is_an_error_and_never_defaults() {
        let dir = project();
        let broken = ["", "\n", "{", "[]", "null", "{\"repo_id\":5}", "{\"teams\":{}}", "{} x", "\0\0\0"];
        for text in broken {
            std::fs::write(Config::path(dir.path()), text).unwrap();
            let error = Config::load(dir.path()).unwrap_err();
            assert_eq!(error.class(), crate::kit::Class::Damage, "{text:?}: {error}");
        }
        let big = " ".repeat(limits::CONFIG_MAX) + "{}";
        std::fs::write(Config::path(dir.path()), big).unwrap();
        assert!(matches!(Config::load(dir.path()), Err(Error::Read { .. })));
    }

    #[test]
    fn an_update_writes_only_what_changed_and_only_into_a_project() {
        let dir = project();
        let env = crate::project::Env::of([("HOME", dir.path().as_os_str())], dir.path());
        let dirs = Dirs::from_env(&env).unwrap();
        let path = Config::path(dir.path());
        let set = |c: &mut Config| c.set_ledger_url(Some("/x"));
        assert!(matches!(Config::update(dir.path(), &dirs, set), Err(Error::NotInitialized { .. })));
        std::fs::write(&path, r#"{"repo_id":"repo_1","update_frequency_hours":24}"#).unwrap();
        Config::update(dir.path(), &dirs, |_| {}).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains('\n'));
        Config::update(dir.path(), &dirs, set).unwrap();
        assert_eq!(Config::load(dir.path()).unwrap().ledger_url().as_deref(), Some("/x"));
    }

    #[test]
    fn a_file_with_too_many_keys_is_damaged() {
        let text = |n: usize| {
            let keys: Vec<String> = (0..n).map(|i| format!("\"k{i}\":0")).collect();
            format!("{{{}}}", keys.join(","))
        };
        assert!(Config::parse(text(limits::CONFIG_KEYS_MAX).as_bytes()).is_ok());
        assert!(Config::parse(text(limits::CONFIG_KEYS_MAX + 1).as_bytes()).is_err());
    }

    #[test]
    fn teams_and_nulls_are_read() {
        let text = br#"{"teams":[{"team_id":"t1","url":"/x","more":1}],"ledger_url":null,"last_update_check_utc":null}"#;
        let config = Config::parse(text).unwrap();
        let team = Team { team_id: "t1".into(), name: String::new(), url: "/x".into() };
        assert_eq!((config.teams(), config.ledger_url()), (vec![team], None));
    }

    #[test]
    fn sec_03_nothing_is_written_through_a_linked_directory_or_without_one() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert!(matches!(Config::default().save(dir.path()), Err(Error::NotInitialized { .. })));
        std::os::unix::fs::symlink(other.path(), dir.path().join(PROJECT_DIR)).unwrap();
        assert!(matches!(Config::default().save(dir.path()), Err(Error::Linked { .. })));
        assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
    }
}
