//! `auth.json`: the user's logins, one for each endpoint. Other programs read and write it too.

use std::fmt;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::private::or_default;
use super::{Dirs, Endpoint, Error, limits, lock, private};
use crate::kit::gotime::GoTime;
use crate::kit::lock::FileLock;
use crate::kit::secret::Secret;

/// One login.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Login {
    /// What a request is made with.
    #[serde(deserialize_with = "or_default")]
    pub access_token: Secret,
    /// What a new access token is asked for with.
    #[serde(deserialize_with = "or_default")]
    pub refresh_token: Secret,
    /// As the refresh token, of servers that have none; empty if there is none.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Secret::is_empty")]
    pub session_token: Secret,
    /// When the access token ends.
    pub expires_at: GoTime,
    /// `Bearer`.
    #[serde(deserialize_with = "or_default")]
    pub token_type: String,
    /// What it may be used for.
    #[serde(deserialize_with = "or_default")]
    pub scope: String,
    /// Who logged in.
    #[serde(deserialize_with = "or_default")]
    pub user_info: UserInfo,
    /// Keys of other programs, kept as they are.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Who logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserInfo {
    /// The server's id of the user.
    #[serde(deserialize_with = "or_default")]
    pub user_id: String,
    /// The e-mail address.
    #[serde(deserialize_with = "or_default")]
    pub email: String,
    /// The name for people.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
}

impl Login {
    /// Whether requests can be made with it at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        !self.access_token.is_empty() && self.expires_at.0.is_some_and(|end| end > now)
    }

    /// Whether a new access token can be asked for.
    pub fn can_be_renewed(&self) -> bool {
        !self.refresh_token.is_empty() || !self.session_token.is_empty()
    }

    /// Takes `newer`'s values; nothing empty replaces a value.
    fn take(&mut self, newer: Login) {
        if !newer.access_token.is_empty() {
            self.expires_at = newer.expires_at;
        }
        let tokens = [
            (&mut self.access_token, newer.access_token),
            (&mut self.refresh_token, newer.refresh_token),
            (&mut self.session_token, newer.session_token),
        ];
        tokens.into_iter().filter(|(_, new)| !new.is_empty()).for_each(|(old, new)| *old = new);
        let user = (&mut self.user_info, newer.user_info);
        let texts = [
            (&mut self.token_type, newer.token_type),
            (&mut self.scope, newer.scope),
            (&mut user.0.user_id, user.1.user_id),
            (&mut user.0.email, user.1.email),
            (&mut user.0.name, user.1.name),
        ];
        texts.into_iter().filter(|(_, new)| !new.is_empty()).for_each(|(old, new)| *old = new);
        self.other.extend(newer.other);
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is not known may be a secret too.
        let mut shown = f.debug_struct("Login");
        shown.field("access_token", &self.access_token).field("refresh_token", &self.refresh_token);
        shown.field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// All logins of the user.
#[derive(Clone, Default)]
pub struct Logins {
    /// By endpoint in its normal form, in the order of the file.
    tokens: Vec<(String, Login)>,
    other: Map<String, Value>,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.tokens.iter().map(|(endpoint, login)| (endpoint, login))).finish()
    }
}

/// The file as it may be met.
#[derive(Default, Deserialize)]
struct File {
    /// Absent in the oldest form, which is one login at the top; null is the present form without logins.
    #[serde(default, deserialize_with = "present")]
    tokens: Option<Tokens>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// The entries in the order of the file; serde's maps would sort them.
#[derive(Default)]
struct Tokens(Vec<(String, Option<Login>)>);

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Tokens, D::Error> {
        struct V;
        impl<'de> serde::de::Visitor<'de> for V {
            type Value = Tokens;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("logins by endpoint")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Tokens, A::Error> {
                let mut tokens = Tokens::default();
                while let Some(entry) = map.next_entry()? {
                    if tokens.0.len() >= limits::LOGINS_MAX {
                        return Err(A::Error::custom("too many logins"));
                    }
                    tokens.0.push(entry);
                }
                Ok(tokens)
            }
        }
        d.deserialize_map(V)
    }
}

/// A key that is there, if only as null.
fn present<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Tokens>, D::Error> {
    or_default(d).map(Some)
}

impl Logins {
    /// Reads the file; a missing one holds no logins. A file of the oldest form holds the login of `current`.
    ///
    /// # Errors
    /// `Read`, or `DamagedSecret` if it says nothing sensible: that is never the same as no login.
    pub fn load(dirs: &Dirs, current: &Endpoint) -> Result<Logins, Error> {
        let path = dirs.auth_file();
        let Some(bytes) = private::read(&path)? else { return Ok(Logins::default()) };
        let damaged = |e: serde_json::Error| Error::damaged_secret(&path, None, private::reason(&e));
        let file: File = serde_json::from_slice(&bytes).map_err(damaged)?;
        let Some(tokens) = file.tokens else {
            let login = serde_json::from_value(Value::Object(file.other)).map_err(damaged)?;
            return Ok(Logins { tokens: vec![(current.as_str().to_owned(), login)], other: Map::new() });
        };
        let mut logins = Logins { tokens: Vec::new(), other: file.other };
        for (key, login) in tokens.0 {
            // Null in a login's place is no login.
            let Some(login) = login else { continue };
            let endpoint = Endpoint::parse(&key).map_or(key, |e| e.as_str().to_owned());
            match logins.tokens.iter_mut().find(|(known, _)| *known == endpoint) {
                Some((_, old)) if old.expires_at < login.expires_at => *old = login,
                Some(_) => {}
                None => logins.tokens.push((endpoint, login)),
            }
        }
        Ok(logins)
    }

    /// The login at an endpoint.
    pub fn get(&self, endpoint: &Endpoint) -> Option<&Login> {
        self.tokens.iter().find(|(known, _)| known == endpoint.as_str()).map(|(_, login)| login)
    }

    /// The endpoints that a login is known for, ended ones too.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.tokens.iter().filter_map(|(known, _)| Endpoint::parse(known)).collect()
    }

    /// Puts a login into the file, under its lock. What the new one leaves empty keeps its old value.
    ///
    /// # Errors
    /// `DamagedSecret` if the file is there and cannot be understood: it is left alone. `Busy`, `Read` or `Write`.
    pub fn set(dirs: &Dirs, endpoint: &Endpoint, login: Login) -> Result<(), Error> {
        Logins::lock(dirs)?.set(endpoint, login)
    }

    /// Takes an endpoint's login out of the file, under its lock. True if there was one.
    ///
    /// # Errors
    /// As [`Logins::set`].
    pub fn remove(dirs: &Dirs, endpoint: &Endpoint) -> Result<bool, Error> {
        Logins::change(dirs, endpoint, |logins| {
            let before = logins.tokens.len();
            logins.tokens.retain(|(known, _)| known != endpoint.as_str());
            logins.tokens.len() < before
        })
    }

    /// Keeps a login that was just made, under the lock of the file. Of the one before nothing is left but, of the same user, keys that are not
    /// known here.
    ///
    /// # Errors
    /// As [`Logins::set`].
    pub fn replace(dirs: &Dirs, endpoint: &Endpoint, mut login: Login) -> Result<(), Error> {
        Logins::change(dirs, endpoint, |logins| {
            match logins.tokens.iter_mut().find(|(known, _)| known == endpoint.as_str()) {
                Some((_, old)) => {
                    if old.user_info.user_id == login.user_info.user_id {
                        let fresh = std::mem::replace(&mut login.other, std::mem::take(&mut old.other));
                        login.other.extend(fresh);
                    }
                    *old = login;
                }
                None => logins.tokens.push((endpoint.as_str().to_owned(), login)),
            }
            true
        })
        .map(drop)
    }

    /// Takes the lock of the file, where other programs take it too: for who asks a server for new tokens, from before the old ones are read
    /// until the new ones are written.
    ///
    /// # Errors
    /// `Busy` or `Write`.
    pub fn lock(dirs: &Dirs) -> Result<LoginsLock, Error> {
        let path = dirs.auth_file();
        let held = lock::hold(&path.with_extension("json.lock"), &path)?;
        Ok(LoginsLock { _held: held, dirs: dirs.clone() })
    }

    /// Reads the file, lets `change` change it and replaces it if that says so.
    fn change(
        dirs: &Dirs,
        current: &Endpoint,
        change: impl FnOnce(&mut Logins) -> bool,
    ) -> Result<bool, Error> {
        Logins::lock(dirs)?.change(current, change)
    }
}

/// The right to change the file, until dropped.
#[derive(Debug)]
pub struct LoginsLock {
    _held: FileLock,
    dirs: Dirs,
}

impl LoginsLock {
    /// The logins as they are now.
    ///
    /// # Errors
    /// As [`Logins::load`].
    pub fn load(&self, current: &Endpoint) -> Result<Logins, Error> {
        Logins::load(&self.dirs, current)
    }

    /// As [`Logins::set`].
    ///
    /// # Errors
    /// As there, but for `Busy`.
    pub fn set(&self, endpoint: &Endpoint, login: Login) -> Result<(), Error> {
        self.change(endpoint, |logins| {
            match logins.tokens.iter_mut().find(|(known, _)| known == endpoint.as_str()) {
                Some((_, old)) => old.take(login),
                None => logins.tokens.push((endpoint.as_str().to_owned(), login)),
            }
            true
        })
        .map(drop)
    }

    fn change(&self, current: &Endpoint, change: impl FnOnce(&mut Logins) -> bool) -> Result<bool, Error> {
        let path = self.dirs.auth_file();
        let mut logins = self.load(current)?;
        if !change(&mut logins) {
            return Ok(false);
        }
        let mut text = serde_json::to_vec_pretty(&logins).map_err(|e| Error::write(&path, e.into()))?;
        text.push(b'\n');
        private::write(&path, &text, true)?;
        Ok(true)
    }
}

impl Serialize for Logins {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Out<'a> {
            #[serde(serialize_with = "as_map")]
            tokens: &'a [(String, Login)],
            #[serde(flatten)]
            other: &'a Map<String, Value>,
        }
        fn as_map<S: Serializer>(tokens: &&[(String, Login)], s: S) -> Result<S::Ok, S::Error> {
            s.collect_map(tokens.iter().map(|(endpoint, login)| (endpoint, login)))
        }
        Out { tokens: &self.tokens, other: &self.other }.serialize(s)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::project::Env;

    struct Fixture {
        _tmp: tempfile::TempDir,
        dirs: Dirs,
        here: Endpoint,
    }

    impl Fixture {
        fn new() -> Fixture {
            let tmp = tempfile::tempdir().unwrap();
            let dirs = Dirs::from_env(&Env::of([("HOME", tmp.path().as_os_str())], tmp.path())).unwrap();
            Fixture { _tmp: tmp, dirs, here: endpoint("https://ox.example.org") }
        }

        fn put(&self, text: &str) {
            std::fs::create_dir_all(self.dirs.config()).unwrap();
            std::fs::write(self.dirs.auth_file(), text).unwrap();
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.dirs.auth_file()).unwrap()
        }

        fn load(&self) -> Result<Logins, Error> {
            Logins::load(&self.dirs, &self.here)
        }

        /// The access token of the endpoint at hand; empty if there is no login.
        fn token(&self) -> String {
            let logins = self.load().unwrap();
            logins.get(&self.here).map(|l| l.access_token.expose().to_owned()).unwrap_or_default()
        }
    }

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::parse(text).unwrap()
    }

    fn login(token: &str, expires: &str) -> Login {
        Login {
            access_token: Secret::new(token),
            refresh_token: Secret::new("r-1"),
            expires_at: GoTime::parse(expires).unwrap(),
            token_type: "Bearer".into(),
            user_info: UserInfo { user_id: "u1".into(), email: "a@example.org".into(), name: "A".into() },
            ..Login::default()
        }
    }

    #[test]
    fn the_file_is_written_as_others_read_it() {
        let f = Fixture::new();
        Logins::set(&f.dirs, &f.here, login("eyJ", "2026-04-10T09:00:00Z")).unwrap();
        let expected = r#"{
  "tokens": {
    "https://ox.example.org": {
      "access_token": "eyJ",
      "refresh_token": "r-1",
      "expires_at": "2026-04-10T09:00:00Z",
      "token_type": "Bearer",
      "scope": "",
      "user_info": {
        "user_id": "u1",
        "email": "a@example.org",
        "name": "A"
      }
    }
  }
}
"#;
        assert_eq!(f.text(), expected);
        assert_eq!(f.dirs.auth_file().metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(f.dirs.config().metadata().unwrap().mode() & 0o777, 0o700);
        assert!(f.dirs.config().join("auth.json.lock").exists());
    }

    #[test]
    fn a_login_that_is_kept_elsewhere_stays_there() {
        let f = Fixture::new();
        let real = f.dirs.config().with_file_name("secrets.json");
        std::fs::create_dir_all(f.dirs.config()).unwrap();
        std::os::unix::fs::symlink("../secrets.json", f.dirs.auth_file()).unwrap();
        for token in ["eyJ", "eyK"] {
            Logins::set(&f.dirs, &f.here, login(token, "2026-04-10T09:00:00Z")).unwrap();
            assert!(f.dirs.auth_file().is_symlink());
            assert_eq!((f.token(), real.metadata().unwrap().mode() & 0o777), (token.to_owned(), 0o600));
        }
    }

    #[test]
    fn logins_of_several_endpoints_stand_side_by_side() {
        let f = Fixture::new();
        let other = endpoint("https://api.other.example/");
        Logins::set(&f.dirs, &f.here, login("one", "2026-04-10T09:00:00Z")).unwrap();
        Logins::set(&f.dirs, &other, login("two", "2026-04-10T09:00:00Z")).unwrap();
        assert_eq!(f.load().unwrap().endpoints(), [f.here.clone(), endpoint("https://other.example")]);
        assert!(Logins::remove(&f.dirs, &f.here).unwrap());
        assert!(!Logins::remove(&f.dirs, &f.here).unwrap());
        assert_eq!(f.token(), "");
        assert_eq!(f.load().unwrap().get(&other).unwrap().access_token.expose(), "two");
    }

    #[test]
    fn keys_are_brought_to_their_normal_form_and_the_later_end_wins() {
        let f = Fixture::new();
        let check = |keys: &[(&str, &str, &str)], expected: &str| {
            let entry = |(key, token, end): &(&str, &str, &str)| {
                format!(r#""{key}":{{"access_token":"{token}","expires_at":"{end}"}}"#)
            };
            let entries: Vec<String> = keys.iter().map(entry).collect();
            f.put(&format!(r#"{{"tokens":{{{}}}}}"#, entries.join(",")));
            assert_eq!(f.token(), expected, "{keys:?}");
            assert_eq!(f.load().unwrap().endpoints().len(), 1);
        };
        let (early, late, plain, api) = (
            "2026-01-01T00:00:00Z",
            "2026-02-01T00:00:00Z",
            "https://ox.example.org",
            "https://api.ox.example.org/",
        );
        check(&[(api, "a", early)], "a");
        check(&[(api, "a", early), (plain, "b", late)], "b");
        check(&[(api, "a", late), (plain, "b", early)], "a");
        check(&[(plain, "a", ""), (api, "b", early)], "b");
        check(&[(plain, "a", early), (api, "b", early)], "a");
        Logins::set(&f.dirs, &f.here, login("c", late)).unwrap();
        assert!(!f.text().contains("api."), "{}", f.text());
    }

    #[test]
    fn the_oldest_form_is_the_login_of_the_endpoint_at_hand() {
        let f = Fixture::new();
        let old =
            r#"{"access_token":"old","refresh_token":"r","expires_at":"2026-04-10T09:00:00Z","extra":1}"#;
        f.put(old);
        assert_eq!(f.token(), "old");
        assert_eq!(f.text(), old, "reading writes nothing");
        let other = endpoint("https://other.example");
        Logins::set(&f.dirs, &f.here, Login { access_token: Secret::new("new"), ..Login::default() })
            .unwrap();
        assert_eq!(f.token(), "new");
        assert!(f.load().unwrap().get(&other).is_none());
        let value: Value = serde_json::from_str(&f.text()).unwrap();
        assert_eq!(value["tokens"][f.here.as_str()]["extra"], 1);
        assert!(value.get("access_token").is_none());
    }

    #[test]
    fn null_is_the_present_form_without_logins() {
        let f = Fixture::new();
        for text in [
            r#"{"tokens":null,"note":2}"#,
            r#"{"tokens":{"https://ox.example.org":null}}"#,
            "{\"tokens\":{}}",
        ] {
            f.put(text);
            assert!(f.load().unwrap().endpoints().is_empty(), "{text}");
        }
        f.put(r#"{"tokens":null,"note":2}"#);
        Logins::set(&f.dirs, &f.here, login("t", "")).unwrap();
        assert!(f.text().contains("\"note\": 2"));
    }

    #[test]
    fn sec_08_nothing_empty_replaces_a_value() {
        let f = Fixture::new();
        let end = "2026-04-10T09:00:00Z";
        Logins::set(&f.dirs, &f.here, login("one", end)).unwrap();
        let before = f.text();
        Logins::set(&f.dirs, &f.here, Login::default()).unwrap();
        assert_eq!(f.text(), before);
        let newer = Login { expires_at: GoTime::parse("2026-05-01T00:00:00Z").unwrap(), ..Login::default() };
        Logins::set(&f.dirs, &f.here, newer).unwrap();
        assert_eq!(f.text(), before, "an end without its token says nothing");
        let rotated = Login { access_token: Secret::new("two"), ..Login::default() };
        Logins::set(&f.dirs, &f.here, rotated).unwrap();
        let read = f.load().unwrap().get(&f.here).cloned().unwrap();
        assert_eq!((read.access_token.expose(), read.refresh_token.expose()), ("two", "r-1"));
        assert_eq!(read.user_info.email, "a@example.org");
    }

    #[test]
    fn sec_08_a_new_login_leaves_nothing_of_another_users() {
        let f = Fixture::new();
        let end = "2026-04-10T09:00:00Z";
        let mut first = login("one", end);
        first.other.insert("label".into(), 1.into());
        Logins::set(&f.dirs, &f.here, first).unwrap();
        let again = Login { refresh_token: Secret::default(), ..login("two", end) };
        Logins::replace(&f.dirs, &f.here, again).unwrap();
        let read = f.load().unwrap().get(&f.here).cloned().unwrap();
        assert_eq!((read.refresh_token.is_empty(), read.other.contains_key("label")), (true, true));
        let mut other = login("three", end);
        other.user_info.user_id = "u2".into();
        Logins::replace(&f.dirs, &f.here, other).unwrap();
        assert!(!f.text().contains("label") && f.token() == "three", "{}", f.text());
    }

    #[test]
    fn sec_08_writers_at_the_same_time_do_not_lose_each_other() {
        let f = Fixture::new();
        std::thread::scope(|s| {
            for n in 0..8 {
                let dirs = &f.dirs;
                s.spawn(move || {
                    Logins::set(dirs, &endpoint(&format!("https://h{n}.example")), login("t", "")).unwrap();
                });
            }
        });
        assert_eq!(f.load().unwrap().endpoints().len(), 8);
    }

    #[test]
    fn sec_09_a_damaged_file_is_an_error_that_quotes_nothing_and_is_never_overwritten() {
        let f = Fixture::new();
        for text in [
            "",
            "{",
            "[]",
            "canary",
            r#"{"tokens":["canary"]}"#,
            r#"{"tokens":{"https://ox.example.org":"canary"}}"#,
            r#"{"tokens":{"https://ox.example.org":{"access_token":["canary"]}}}"#,
            r#"{"tokens":{"https://ox.example.org":{"access_token":"t","expires_at":"canary"}}}"#,
            r#"{"access_token":1}"#,
        ] {
            f.put(text);
            let error = f.load().unwrap_err();
            assert_eq!(error.class(), crate::kit::Class::Auth, "{text}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
            assert!(Logins::set(&f.dirs, &f.here, login("new", "")).is_err(), "{text}");
            assert!(Logins::remove(&f.dirs, &f.here).is_err(), "{text}");
            assert_eq!(f.text(), text);
        }
    }

    #[test]
    fn the_number_of_logins_is_bounded() {
        let f = Fixture::new();
        let tokens = |n: usize| {
            (0..n).map(|i| (format!("https://h{i}"), serde_json::json!({}))).collect::<Map<_, _>>()
        };
        f.put(&serde_json::json!({ "tokens": tokens(limits::LOGINS_MAX) }).to_string());
        assert_eq!(f.load().unwrap().endpoints().len(), limits::LOGINS_MAX);
        f.put(&serde_json::json!({ "tokens": tokens(limits::LOGINS_MAX + 1) }).to_string());
        assert!(f.load().is_err());
    }

    #[test]
    fn a_login_is_valid_until_its_end() {
        let now = "2026-04-10T09:00:00Z".parse().unwrap();
        let check = |token: &str, end: &str, expected: bool| {
            assert_eq!(login(token, end).is_valid(now), expected, "{token} {end}");
        };
        check("t", "2026-04-10T09:00:01Z", true);
        check("t", "2026-04-10T09:00:00Z", false);
        check("t", "", false);
        check("", "2027-01-01T00:00:00Z", false);
        assert!(!format!("{:?}", login("canary", "")).contains("canary"));
    }
}
