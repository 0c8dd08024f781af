//! `relay-auth.json`: the user's logins at relay servers, one for each server (relay and hooks, A.3 and C.3).

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::relay_server::{RelayPaths, RelayServer};
use super::{Dirs, Error, limits, private};
use crate::kit::cancel::Cancel;
use crate::kit::clock::{Clock as _, SystemClock, pause};
use crate::kit::lock::FileLock;
use crate::kit::secret::Secret;

/// The version of the file.
const VERSION: u64 = 1;
/// Between two tries to take the lock.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// One login at a relay server.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayLogin {
    /// What a request is made with.
    pub access_token: Secret,
    /// What new tokens are asked for with; empty where the server gave none.
    pub refresh_token: Secret,
    /// When the access token ends, in seconds since 1970.
    pub expires_at: i64,
    /// The user's address.
    pub user_email: String,
    /// The server's id of the user.
    pub user_id: String,
    /// Where the server is, as it was given at the login.
    pub server_url: String,
    /// When it was logged in, in milliseconds since 1970: nothing that was before that is this user's to send.
    pub since_ms: i64,
    /// The server has refused the login; nothing but a new one helps.
    pub needs_login: bool,
    /// The paths that the server named at the login; null where it named none.
    pub well_known: Value,
}

impl RelayLogin {
    /// When the access token ends.
    pub fn ends(&self) -> Timestamp {
        Timestamp::from_second(self.expires_at).unwrap_or(Timestamp::MAX)
    }

    /// How much longer the access token is good at `now`; zero if it has ended.
    pub fn left(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.ends().duration_since(now)).unwrap_or_default()
    }

    /// Where the server's calls go. What is kept of a document that cannot be used (any more) is as none.
    pub fn paths(&self, server: &RelayServer) -> RelayPaths {
        RelayPaths::named(server, &self.well_known).unwrap_or_else(|_| RelayPaths::of(server))
    }

    /// Every field is checked: of a login that is not whole nothing is used.
    fn read(url: &str, value: &Value) -> Option<RelayLogin> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let login = RelayLogin {
            access_token: Secret::new(text("access_token").filter(|token| is_token(token))?),
            refresh_token: Secret::new(text("refresh_token").filter(|t| t.is_empty() || is_token(t))?),
            expires_at: value.get("expires_at").and_then(Value::as_i64).filter(|at| *at >= 0)?,
            user_email: text("user_email")?.to_owned(),
            user_id: text("user_id").filter(|id| !id.is_empty())?.to_owned(),
            server_url: text("server_url")?.to_owned(),
            since_ms: value.get("logged_in_at_ms").and_then(Value::as_i64).unwrap_or_default(),
            needs_login: value.get("needs_login").and_then(Value::as_bool).unwrap_or_default(),
            well_known: value.get("well_known").cloned().unwrap_or_default(),
        };
        // Whoever moves an entry to another key would send its tokens to another server.
        RelayServer::parse(&login.server_url, true).ok().filter(|server| server.is(url)).map(|_| login)
    }

    /// Writes it over what stands there; keys that are not known here stay.
    fn put(&self, into: &mut Map<String, Value>) {
        let mut set = |key: &str, value: Value| into.insert(key.to_owned(), value);
        set("access_token", self.access_token.expose().into());
        set("refresh_token", self.refresh_token.expose().into());
        set("expires_at", self.expires_at.into());
        set("user_email", self.user_email.as_str().into());
        set("user_id", self.user_id.as_str().into());
        set("server_url", self.server_url.as_str().into());
        set("logged_in_at_ms", self.since_ms.into());
        for (key, value) in [
            ("needs_login", if self.needs_login { Value::Bool(true) } else { Value::Null }),
            ("well_known", self.well_known.clone()),
        ] {
            match value.is_null() {
                true => drop(into.remove(key)),
                false => drop(into.insert(key.to_owned(), value)),
            }
        }
    }
}

impl fmt::Debug for RelayLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RelayLogin");
        shown.field("server_url", &self.server_url).field("user_id", &self.user_id);
        shown.field("expires_at", &self.expires_at).field("needs_login", &self.needs_login);
        shown.finish_non_exhaustive()
    }
}

/// Whether a text can be a token: one visible word, as a header takes it.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= limits::TOKEN_MAX && text.bytes().all(|b| b.is_ascii_graphic())
}

/// All logins at relay servers.
#[derive(Clone)]
pub struct RelayLogins {
    /// The accounts by server, in the order of the file, also those that are not whole.
    accounts: Map<String, Value>,
    /// The rest of the file, so that what is not known here stays.
    document: Map<String, Value>,
}

impl Default for RelayLogins {
    fn default() -> RelayLogins {
        let keys = [("version", VERSION.into()), ("current", "".into()), ("accounts", Value::Null)];
        let document = keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        RelayLogins { accounts: Map::new(), document }
    }
}

impl fmt::Debug for RelayLogins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

impl RelayLogins {
    /// Reads the file; a missing one holds no logins.
    ///
    /// # Errors
    /// `Read`, `Newer`, or `DamagedSecret` if it says nothing sensible: nobody is logged in then, and nothing overwrites it unasked.
    pub fn load(dirs: &Dirs) -> Result<RelayLogins, Error> {
        let path = dirs.relay_auth();
        let Some(bytes) = private::read(&path)? else { return Ok(RelayLogins::default()) };
        let mut document: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|e| Error::damaged_secret(&path, None, private::reason(&e)))?;
        let damaged = |reason: &str| Err(Error::damaged_secret(&path, None, reason.to_owned()));
        match document.get("version").map(Value::as_u64) {
            Some(Some(VERSION)) => {}
            Some(Some(version)) if version > VERSION => {
                return Err(Error::Newer { path, version: version.to_string() });
            }
            _ => return damaged("it has no version"),
        }
        // Null keeps their place.
        let accounts = match document.get_mut("accounts").map(Value::take) {
            Some(Value::Object(accounts)) => accounts,
            None | Some(Value::Null) => Map::new(),
            Some(_) => return damaged("its accounts are no object"),
        };
        if accounts.len() > limits::LOGINS_MAX {
            return damaged("it has too many accounts");
        }
        Ok(RelayLogins { accounts, document })
    }

    /// The login at a server; `None` also for one that is not whole.
    pub fn get(&self, server: &RelayServer) -> Option<RelayLogin> {
        self.accounts
            .iter()
            .find(|(url, _)| server.is(url))
            .and_then(|(url, value)| RelayLogin::read(url, value))
    }

    /// The login that was made last.
    pub fn current(&self) -> Option<RelayLogin> {
        let url = self.document.get("current")?.as_str()?;
        self.get(&RelayServer::parse(url, true).ok()?)
    }

    /// All logins that are whole, in the order of the file.
    pub fn all(&self) -> Vec<RelayLogin> {
        self.accounts.iter().filter_map(|(url, value)| RelayLogin::read(url, value)).collect()
    }

    /// Takes the lock that everybody holds who changes the file, over the whole change: one who asks the server for new tokens from before
    /// reading the old ones until the new ones are written.
    ///
    /// # Errors
    /// `Busy` if somebody else keeps it for `wait` or until cancelled, `Write` if it cannot be taken at all.
    pub fn lock(dirs: &Dirs, wait: Duration, cancel: &Cancel) -> Result<RelayLoginsLock, Error> {
        let file = dirs.relay_auth();
        let path = file.with_extension("json.lock");
        let end = SystemClock.now().mono + wait;
        loop {
            match FileLock::try_acquire(&path).map_err(|e| Error::write(&path, e))? {
                Some(lock) => return Ok(RelayLoginsLock { _lock: lock, dirs: dirs.clone(), file }),
                None if cancel.is_cancelled() || SystemClock.now().mono >= end => {
                    return Err(Error::Busy { path: file });
                }
                None => pause(LOCK_POLL),
            }
        }
    }
}

/// The right to change the file, until dropped.
#[derive(Debug)]
pub struct RelayLoginsLock {
    _lock: FileLock,
    dirs: Dirs,
    file: PathBuf,
}

impl RelayLoginsLock {
    /// The logins as they are now.
    ///
    /// # Errors
    /// As [`RelayLogins::load`].
    pub fn load(&self) -> Result<RelayLogins, Error> {
        RelayLogins::load(&self.dirs)
    }

    /// Keeps a login, and makes it the current one if `current`. Of another user at the same server nothing is left.
    ///
    /// # Errors
    /// Those of reading: a file that cannot be understood is left alone. `Write`.
    pub fn put(&self, login: &RelayLogin, current: bool) -> Result<(), Error> {
        let server = RelayServer::parse(&login.server_url, true)?;
        let mut logins = self.load()?;
        let known = logins.accounts.iter().find(|(url, _)| server.is(url)).map(|(url, _)| url.clone());
        let key = known.unwrap_or_else(|| login.server_url.clone());
        let accounts = &mut logins.accounts;
        if accounts.len() >= limits::LOGINS_MAX && !accounts.contains_key(&key) {
            let reason = format!("cannot be logged in to: there are {} logins already", limits::LOGINS_MAX);
            return Err(Error::BadValue { key: login.server_url.clone(), reason });
        }
        let mut entry = match accounts.get(&key) {
            Some(Value::Object(old))
                if old.get("user_id").and_then(Value::as_str) == Some(&login.user_id) =>
            {
                old.clone()
            }
            _ => Map::new(),
        };
        login.put(&mut entry);
        accounts.insert(key, Value::Object(entry));
        if current {
            logins.document.insert("current".to_owned(), login.server_url.as_str().into());
        }
        self.write(logins)
    }

    /// Forgets the login at a server, whole or not. True if there was one.
    ///
    /// # Errors
    /// As [`RelayLoginsLock::put`].
    pub fn remove(&self, server: &RelayServer) -> Result<bool, Error> {
        let mut logins = self.load()?;
        let accounts = &mut logins.accounts;
        let before = accounts.len();
        accounts.retain(|url, _| !server.is(url));
        let (left, next) = (accounts.len(), accounts.keys().next().cloned());
        if left == before {
            return Ok(false);
        }
        if logins.document.get("current").and_then(Value::as_str).is_some_and(|url| server.is(url)) {
            logins.document.insert("current".to_owned(), next.unwrap_or_default().into());
        }
        self.write(logins).map(|()| true)
    }

    /// Takes the whole file away, whatever is in it: for somebody who said so. True if there was one.
    ///
    /// # Errors
    /// `Write`.
    pub fn remove_all(&self) -> Result<bool, Error> {
        crate::kit::file::found(std::fs::remove_file(&self.file))
            .map(|done| done.is_some())
            .map_err(|e| Error::write(&self.file, e))
    }

    /// The file itself, for messages.
    pub fn path(&self) -> &Path {
        &self.file
    }

    fn write(&self, logins: RelayLogins) -> Result<(), Error> {
        let RelayLogins { accounts, mut document } = logins;
        document.insert("accounts".to_owned(), accounts.into());
        let mut text =
            serde_json::to_vec_pretty(&document).map_err(|e| Error::write(&self.file, e.into()))?;
        text.push(b'\n');
        private::write(&self.file, &text, true)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use serde_json::json;

    use super::*;
    use crate::project::Env;

    const SERVER: &str = "https://api.relay.example/";

    struct Fixture {
        _tmp: tempfile::TempDir,
        dirs: Dirs,
    }

    impl Fixture {
        fn new() -> Fixture {
            let tmp = tempfile::tempdir().unwrap();
            let dirs = Dirs::from_env(&Env::of([("HOME", tmp.path().as_os_str())], tmp.path())).unwrap();
            Fixture { _tmp: tmp, dirs }
        }

        fn put(&self, text: &str) {
            std::fs::create_dir_all(self.dirs.config()).unwrap();
            std::fs::write(self.dirs.relay_auth(), text).unwrap();
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.dirs.relay_auth()).unwrap()
        }

        fn lock(&self) -> RelayLoginsLock {
            RelayLogins::lock(&self.dirs, Duration::from_secs(60), &Cancel::new()).unwrap()
        }

        fn load(&self) -> RelayLogins {
            RelayLogins::load(&self.dirs).unwrap()
        }
    }

    fn server(url: &str) -> RelayServer {
        RelayServer::parse(url, false).unwrap()
    }

    fn login(url: &str, user: &str) -> RelayLogin {
        RelayLogin {
            access_token: Secret::new(format!("access-{user}")),
            refresh_token: Secret::new(format!("refresh-{user}")),
            expires_at: 1_800_000_000,
            user_email: format!("{user}@example.org"),
            user_id: user.to_owned(),
            server_url: url.to_owned(),
            since_ms: 1_700_000_000_000,
            needs_login: false,
            well_known: Value::Null,
        }
    }

    #[test]
    fn the_file_has_the_form_that_others_read() {
        let f = Fixture::new();
        f.lock().put(&login(SERVER, "u1"), true).unwrap();
        let expected = r#"{
  "version": 1,
  "current": "https://api.relay.example/",
  "accounts": {
    "https://api.relay.example/": {
      "access_token": "access-u1",
      "refresh_token": "refresh-u1",
      "expires_at": 1800000000,
      "user_email": "u1@example.org",
      "user_id": "u1",
      "server_url": "https://api.relay.example/",
      "logged_in_at_ms": 1700000000000
    }
  }
}
"#;
        assert_eq!(f.text(), expected);
        assert_eq!(f.load().current(), Some(login(SERVER, "u1")));
        assert_eq!(f.dirs.relay_auth().metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(f.dirs.config().metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn logins_at_several_servers_stand_side_by_side_and_slashes_make_none() {
        let f = Fixture::new();
        f.lock().put(&login(SERVER, "u1"), true).unwrap();
        f.lock().put(&login("https://other.example", "u2"), true).unwrap();
        f.lock().put(&login("https://api.relay.example", "u1"), false).unwrap();
        assert_eq!(f.load().all().len(), 2);
        assert_eq!(f.load().current().unwrap().user_id, "u2");
        assert!(f.lock().remove(&server("https://other.example/")).unwrap());
        assert!(!f.lock().remove(&server("https://other.example/")).unwrap());
        assert_eq!(f.load().current().unwrap().user_id, "u1");
        assert!(f.lock().remove(&server(SERVER)).unwrap());
        assert_eq!((f.load().current(), f.load().all().len()), (None, 0));
    }

    #[test]
    fn keys_that_are_not_known_stay_but_not_those_of_another_user() {
        let f = Fixture::new();
        f.put(
            &json!({ "note": [1], "version": 1, "accounts": { SERVER: {
                "label": "mine", "access_token": "a", "refresh_token": "r", "expires_at": 5,
                "user_email": "e", "user_id": "u1", "server_url": SERVER, "needs_login": true,
            }, "https://broken.example": "x" } })
            .to_string(),
        );
        assert!(f.load().get(&server(SERVER)).unwrap().needs_login);
        f.lock().put(&login(SERVER, "u1"), true).unwrap();
        let value: Value = serde_json::from_str(&f.text()).unwrap();
        assert_eq!((&value["note"], &value["accounts"][SERVER]["label"]), (&json!([1]), &json!("mine")));
        assert_eq!(value["accounts"]["https://broken.example"], "x");
        assert!(value["accounts"][SERVER].get("needs_login").is_none());
        f.lock().put(&login(SERVER, "u2"), true).unwrap();
        let value: Value = serde_json::from_str(&f.text()).unwrap();
        assert!(value["accounts"][SERVER].get("label").is_none());
        assert!(!f.text().contains("u1"), "{}", f.text());
    }

    #[test]
    fn of_a_login_that_is_not_whole_nothing_is_used() {
        let f = Fixture::new();
        let good = json!({
            "access_token": "a", "refresh_token": "", "expires_at": 5, "user_email": "", "user_id": "u1", "server_url": SERVER,
        });
        let check = |key: &str, value: Value, whole: bool| {
            let mut entry = good.clone();
            entry[key] = value.clone();
            f.put(&json!({ "version": 1, "current": SERVER, "accounts": { SERVER: entry } }).to_string());
            assert_eq!(f.load().get(&server(SERVER)).is_some(), whole, "{key} {value}");
            assert_eq!(f.load().current().is_some(), whole, "{key} {value}");
        };
        check("expires_at", json!(6), true);
        for (key, value) in [
            ("access_token", json!("")),
            ("access_token", json!("a b")),
            ("access_token", json!("a\r\nX: y")),
            ("access_token", Value::Null),
            ("access_token", json!(7)),
            ("refresh_token", Value::Null),
            ("expires_at", json!("5")),
            ("expires_at", json!(-5)),
            ("expires_at", json!(5.5)),
            ("user_email", Value::Null),
            ("user_id", json!("")),
            ("server_url", json!("https://evil.example")),
            ("server_url", json!("nonsense")),
        ] {
            check(key, value, false);
        }
    }

    #[test]
    fn sec_09_a_damaged_file_is_an_error_that_quotes_nothing_and_is_never_overwritten() {
        let f = Fixture::new();
        for text in [
            "",
            "{",
            "[]",
            "canary",
            "{}",
            r#"{"version":"canary"}"#,
            r#"{"version":1,"accounts":["canary"]}"#,
            r#"{"version":2,"accounts":{}}"#,
        ] {
            f.put(text);
            let error = RelayLogins::load(&f.dirs).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
            assert!(f.lock().put(&login(SERVER, "u1"), true).is_err(), "{text}");
            assert!(f.lock().remove(&server(SERVER)).is_err(), "{text}");
            assert_eq!(f.text(), text);
        }
        assert!(f.lock().remove_all().unwrap() && !f.lock().remove_all().unwrap());
    }

    #[test]
    fn sec_08_writers_at_the_same_time_do_not_lose_each_other() {
        let f = Fixture::new();
        std::thread::scope(|s| {
            for n in 0..8 {
                let f = &f;
                s.spawn(move || f.lock().put(&login(&format!("https://h{n}.example"), "u"), true).unwrap());
            }
        });
        assert_eq!(f.load().all().len(), 8);
    }

    #[test]
    fn who_waits_for_the_lock_can_be_cancelled() {
        let f = Fixture::new();
        let held = f.lock();
        let cancel = Cancel::new();
        cancel.cancel();
        let waited = RelayLogins::lock(&f.dirs, Duration::MAX, &cancel);
        assert!(matches!(waited, Err(Error::Busy { .. })));
        drop(held);
    }

    #[test]
    fn a_login_shows_no_token() {
        assert!(!format!("{:?}", login(SERVER, "u1")).contains("access-"));
    }
}
