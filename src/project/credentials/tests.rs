//! The credential file as others write it, and what is never lost from it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::kit::Class;
use crate::project::Env;

const SLUG: &str = "sageox.ai";

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

    fn path(&self) -> PathBuf {
        self.dirs.git_credentials(SLUG)
    }

    fn put(&self, text: &str) {
        std::fs::create_dir_all(self.path().parent().unwrap()).unwrap();
        std::fs::write(self.path(), text).unwrap();
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    fn load(&self) -> Result<Option<GitCredentials>, Error> {
        GitCredentials::load(&self.dirs, SLUG)
    }

    fn save(&self, fresh: FreshCredentials) -> Result<bool, Error> {
        GitCredentials::save_fresh(&self.dirs, SLUG, fresh)
    }
}

fn at(text: &str) -> GoTime {
    GoTime::parse(text).unwrap()
}

fn fresh(token: &str, expires: &str) -> FreshCredentials {
    FreshCredentials {
        token: Secret::new(token),
        server_url: "https://git.sageox.ai".into(),
        username: "u".into(),
        expires_at: at(expires),
        repos: Some(vec![
            CredentialRepo::team_context("team_b", "Beta", "", "https://git.sageox.ai/t/b.git"),
            CredentialRepo::team_context("team_a1", "Acme", "acme", "https://git.sageox.ai/t/a1.git"),
        ]),
    }
}

#[test]
fn the_file_is_written_as_others_read_it() {
    let f = Fixture::new();
    assert!(f.save(fresh("glpat-1", "2026-04-01T00:00:00Z")).unwrap());
    let expected = r#"{
  "token": "glpat-1",
  "server_url": "https://git.sageox.ai",
  "username": "u",
  "expires_at": "2026-04-01T00:00:00Z",
  "repos": {
    "team_a1": {
      "name": "Acme",
      "type": "team-context",
      "url": "https://git.sageox.ai/t/a1.git",
      "team_id": "team_a1",
      "slug": "acme"
    },
    "team_b": {
      "name": "Beta",
      "type": "team-context",
      "url": "https://git.sageox.ai/t/b.git",
      "team_id": "team_b"
    }
  }
}
"#;
    assert_eq!(f.text(), expected);
    let inode = f.path().metadata().unwrap().ino();
    assert!(!f.save(fresh("glpat-1", "2026-04-01T00:00:00Z")).unwrap());
    assert_eq!(f.path().metadata().unwrap().ino(), inode, "nothing new is not written");
    let bare = FreshCredentials { repos: None, ..fresh("t", "") };
    let other = Fixture::new();
    other.save(bare).unwrap();
    assert!(!other.text().contains("repos") && other.text().contains("0001-01-01T00:00:00Z"));
}

#[test]
fn map_keys_mean_nothing_and_unknown_keys_stay() {
    let f = Fixture::new();
    f.put(
        r#"{"bearer_fp":"x","token":"old","server_url":"https://git.sageox.ai","username":null,"expires_at":null,
        "repos":{"Acme":{"name":"Acme","type":"team-context","url":"https://g/a","team_id":"team_a1","since":7},
                 "Zed":{"name":"Zed","type":"ledger","url":"https://g/z"}}}"#,
    );
    let read = f.load().unwrap().unwrap();
    let names: Vec<_> = read.repos.iter().map(|r| (r.name.as_str(), r.is_team_context())).collect();
    assert_eq!(names, [("Zed", false), ("Acme", true)]);
    assert_eq!((read.git_user(), read.expires_at.is_zero()), ("oauth2", true));
    f.save(FreshCredentials { token: Secret::new("new"), ..FreshCredentials::default() }).unwrap();
    let value: Value = serde_json::from_str(&f.text()).unwrap();
    assert_eq!((&value["token"], &value["bearer_fp"]), (&"new".into(), &"x".into()));
    assert_eq!(value["repos"]["team_a1"]["since"], 7);
    assert_eq!(value["repos"]["Zed"]["type"], "ledger");
}

#[test]
fn sec_08_nothing_empty_replaces_a_value() {
    let f = Fixture::new();
    f.save(fresh("glpat-1", "2026-04-01T00:00:00Z")).unwrap();
    let before = f.text();
    assert!(!f.save(FreshCredentials::default()).unwrap());
    let same = FreshCredentials { token: Secret::new("glpat-1"), ..FreshCredentials::default() };
    assert!(!f.save(same).unwrap());
    let ended = FreshCredentials { expires_at: at("2026-05-01T00:00:00Z"), ..FreshCredentials::default() };
    assert!(!f.save(ended).unwrap(), "an end without its token says nothing");
    assert_eq!(f.text(), before);
    // Another token brings its own end with it, even if that is never.
    f.save(FreshCredentials { token: Secret::new("glpat-2"), ..FreshCredentials::default() }).unwrap();
    let read = f.load().unwrap().unwrap();
    assert!(read.expires_at.is_zero());
    assert_eq!((read.token.expose(), read.username.as_str(), read.repos.len()), ("glpat-2", "u", 2));
    // Being in no team any more is an answer, too.
    f.save(FreshCredentials { repos: Some(Vec::new()), ..FreshCredentials::default() }).unwrap();
    assert_eq!(f.load().unwrap().unwrap().repos, []);
}

#[test]
fn sec_08_writers_at_the_same_time_do_not_lose_each_other() {
    let f = Fixture::new();
    std::thread::scope(|s| {
        for n in 0..8 {
            let f = &f;
            s.spawn(move || {
                let change = if n % 2 == 0 {
                    FreshCredentials { token: Secret::new("glpat"), ..FreshCredentials::default() }
                } else {
                    FreshCredentials { server_url: "https://g".into(), ..FreshCredentials::default() }
                };
                f.save(change).unwrap();
            });
        }
    });
    let read = f.load().unwrap().unwrap();
    assert_eq!((read.token.expose(), read.server_url.as_str()), ("glpat", "https://g"));
}

#[test]
fn sec_09_a_damaged_file_is_an_error_that_quotes_nothing_and_is_never_overwritten() {
    let f = Fixture::new();
    for text in [
        "",
        "{",
        "[]",
        "canary",
        r#"{"token":7}"#,
        r#"{"token":"canary","expires_at":"canary"}"#,
        r#"{"token":"t","repos":"canary"}"#,
        r#"{"token":"t","repos":{"a":"canary"}}"#,
        r#"{"token":"t","server_url":["canary"]}"#,
    ] {
        f.put(text);
        let error = f.load().unwrap_err();
        assert!(matches!(error, Error::DamagedSecret { .. }), "{text}: {error}");
        assert_eq!(error.class(), Class::Auth);
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        assert!(f.save(fresh("new", "")).is_err(), "{text}");
        assert_eq!(f.text(), text);
        let status = CredentialStatus::of(&f.load(), Timestamp::UNIX_EPOCH).to_string();
        assert!(status.starts_with("load error: "), "{status}");
    }
    assert!(GitCredentials::load_all(&f.dirs).is_empty());
    assert!(GitCredentials::remove(&f.dirs, SLUG).unwrap());
    assert!(!GitCredentials::remove(&f.dirs, SLUG).unwrap());
    assert!(f.load().unwrap().is_none());
    std::fs::create_dir(f.path()).unwrap();
    assert!(f.load().is_err(), "what cannot be read is not missing");
}

#[test]
fn the_number_of_repositories_is_bounded() {
    let f = Fixture::new();
    let repos = |n: usize| (0..n).map(|i| (format!("k{i}"), serde_json::json!({}))).collect::<Map<_, _>>();
    f.put(&serde_json::json!({ "token": "t", "repos": repos(limits::REPOS_MAX) }).to_string());
    assert_eq!(f.load().unwrap().unwrap().repos.len(), limits::REPOS_MAX);
    f.put(&serde_json::json!({ "token": "t", "repos": repos(limits::REPOS_MAX + 1) }).to_string());
    assert!(f.load().is_err());
}

#[test]
fn the_status_follows_the_end_of_the_token() {
    let now = "2026-03-01T10:00:00Z".parse().unwrap();
    let check = |token: &str, expires: &str, expected: &str| {
        let read =
            GitCredentials { token: Secret::new(token), expires_at: at(expires), ..Default::default() };
        assert_eq!(CredentialStatus::of(&Ok(Some(read)), now).to_string(), expected, "{expires}");
    };
    check("t", "2026-03-01T10:00:00Z", "expired");
    check("t", "2020-01-01T00:00:00Z", "expired");
    check("t", "2026-03-01T10:00:00.1Z", "expiring soon");
    check("t", "2026-03-01T10:59:59Z", "expiring soon");
    check("t", "2026-03-01T11:00:00Z", "valid");
    check("t", "", "valid");
    check("", "2027-01-01T00:00:00Z", "missing");
    assert_eq!(CredentialStatus::of(&Ok(None), now), CredentialStatus::Missing);
}

#[test]
fn a_variable_names_one_file_for_all_endpoints() {
    let tmp = tempfile::tempdir().unwrap();
    let shared = tmp.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o755)).unwrap();
    let named = shared.join("c.json");
    let vars = [("HOME", tmp.path().as_os_str()), (GIT_CREDENTIALS_VAR, named.as_os_str())];
    let dirs = Dirs::from_env(&Env::of(vars, tmp.path())).unwrap();
    GitCredentials::save_fresh(&dirs, "a.example", fresh("glpat-1", "")).unwrap();
    assert!(GitCredentials::load(&dirs, "b.example").unwrap().is_some());
    assert_eq!(GitCredentials::load_all(&dirs).len(), 1);
    assert_eq!(named.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(shared.metadata().unwrap().mode() & 0o777, 0o755, "a directory of the user's keeps its mode");
    std::fs::write(&named, "{").unwrap();
    let text = GitCredentials::load(&dirs, "b.example").unwrap_err().to_string();
    assert!(text.contains(GIT_CREDENTIALS_VAR), "{text}");
}

#[test]
fn all_endpoints_files_are_found() {
    let f = Fixture::new();
    f.save(fresh("one", "")).unwrap();
    GitCredentials::save_fresh(&f.dirs, "other.example", fresh("two", "")).unwrap();
    std::fs::write(f.dirs.config().join("git-credentials.json"), r#"{"token":"three"}"#).unwrap();
    std::fs::write(f.dirs.config().join("auth.json"), r#"{"token":"four"}"#).unwrap();
    let all = GitCredentials::load_all(&f.dirs);
    let mut tokens: Vec<&str> = all.iter().map(|c| c.token.expose()).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, ["one", "three", "two"]);
}

#[test]
fn no_debug_output_shows_a_secret() {
    let f = Fixture::new();
    f.put(r#"{"token":"canary","refresh":"canary","repos":{"a":{"name":"n"}}}"#);
    assert!(!format!("{:?}", f.load()).contains("canary"));
    assert!(!format!("{:?}", fresh("canary", "")).contains("canary"));
}

/// Runs with an open umask in a process of its own, since the umask belongs to the whole process.
#[test]
fn sec_07_nobody_else_can_read_the_file_at_any_moment() {
    const CHILD: &str = "OX_TEST_OPEN_UMASK";
    let here = "project::credentials::tests::sec_07_nobody_else_can_read_the_file_at_any_moment";
    if std::env::var_os(CHILD).is_none() {
        let test = crate::kit::child::Cmd::new(std::env::current_exe().unwrap())
            .args(["--exact", here, "--test-threads=1"])
            .env(CHILD, "1")
            .deadline(Duration::from_secs(60));
        let out = crate::kit::child::run(test, &crate::kit::cancel::Cancel::new()).unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    rustix::process::umask(rustix::fs::Mode::empty());
    let f = Fixture::new();
    let (done, seen) = (AtomicBool::new(false), parking_lot::Mutex::new(Vec::new()));
    let looks = std::thread::scope(|s| {
        let reader = s.spawn(|| {
            let mut looks = 0u32;
            while !done.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir(f.dirs.config()).into_iter().flatten().flatten() {
                    // Between listing and looking a file may have been renamed.
                    let Ok(meta) = entry.metadata() else { continue };
                    looks += 1;
                    if meta.mode() & 0o077 != 0 {
                        seen.lock().push((entry.path(), meta.mode()));
                    }
                }
            }
            looks
        });
        for n in 0..300 {
            f.save(fresh(&format!("glpat-{n}"), "")).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(looks > 0);
    assert_eq!(*seen.lock(), []);
    assert_eq!(f.dirs.config().metadata().unwrap().mode() & 0o777, 0o700);
    // A directory that was open before is closed.
    std::fs::set_permissions(f.dirs.config(), std::fs::Permissions::from_mode(0o755)).unwrap();
    f.save(fresh("glpat-last", "")).unwrap();
    assert_eq!(f.dirs.config().metadata().unwrap().mode() & 0o777, 0o700);
}

#[test]
fn servers_are_the_same_by_scheme_host_and_port() {
    let check = |a: &str, b: &str, same: bool| {
        let (a, b) = (authority(a), authority(b));
        assert_eq!(a.is_some() && a == b, same, "{a:?} {b:?}");
    };
    check("https://git.sageox.ai", "https://GIT.sageox.ai:443/x/", true);
    check("git.sageox.ai", "https://git.sageox.ai", true);
    check("http://127.0.0.1:3000", "http://127.0.0.1:3000", true);
    check("http://[::1]:3000", "http://[::1]:3000/", true);
    check("https://git.sageox.ai", "https://sageox.ai", false);
    check("https://git.sageox.ai", "https://git.sageox.ai:8443", false);
    check("https://git.sageox.ai", "https://git.sageox.ai.evil.example", false);
    check("https://localhost", "http://localhost", false);
    check("http://localhost", "http://127.0.0.1", false);
    check("http://git.sageox.ai", "http://git.sageox.ai", false);
    check("ssh://git.sageox.ai/a", "ssh://git.sageox.ai/a", false);
    check("https://u@git.sageox.ai", "https://u@git.sageox.ai", false);
    check("", "", false);
}

proptest::proptest! {
    #[test]
    fn no_url_makes_it_panic(url in "\\PC{0,30}") {
        let _ = authority(&url);
    }
}
