//! The server's answers against a server that may misbehave: real sockets, real files, the real credential helper and git.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use crate::support::api::{Answer, ApiServer, REPOS, detail_path, ledger_path};
use crate::support::http_git::GitServer;
use crate::support::{OX, TestEnv, run, until};
use jiff::Timestamp;
use ox::http::Client;
use ox::kit::Class;
use ox::kit::cancel::Cancel;
use ox::kit::clock::{Clock, SystemClock};
use ox::kit::gotime::GoTime;
use ox::kit::secret::Secret;
use ox::project::{
    CredentialRepo, Dirs, Endpoint, Env, FreshCredentials, GitCredentials, Login, Logins, Manifest,
};
use ox::sync::account::{Account, CallOutcome, Effect, Event};
use ox::sync::api::{Access, Api, ApiError, LedgerState};
use ox::sync::cloud::{Cloud, CloudError, LedgerLookup, fingerprint, lookup_ledger, refresh_credentials};
use serde_json::{Value, json};

const BEARER: &str = "canary-bearer";
const REPO: &str = "repo_0190";

/// A user's machine and a server.
struct World {
    _tmp: tempfile::TempDir,
    dirs: Dirs,
    api: ApiServer,
    endpoint: Endpoint,
    http: Client,
    cancel: Cancel,
}

impl World {
    /// Somebody who is logged in.
    fn new() -> World {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = Dirs::from_env(&Env::of([("HOME", tmp.path().as_os_str())], tmp.path())).unwrap();
        let api = ApiServer::start(BEARER);
        let endpoint = Endpoint::parse(&api.url()).unwrap();
        let http = Client::new(Arc::new(SystemClock)).for_daemon();
        let world = World { _tmp: tmp, dirs, api, endpoint, http, cancel: Cancel::new() };
        world.login(BEARER, Duration::from_secs(3600));
        world
    }

    fn login(&self, token: &str, left: Duration) {
        let expires_at = GoTime(Some(now() + left));
        let login = Login { access_token: Secret::new(token), expires_at, ..Login::default() };
        Logins::set(&self.dirs, &self.endpoint, login).unwrap();
    }

    fn cloud(&self) -> Cloud<'_> {
        let (http, dirs, endpoint, cancel) = (&self.http, &self.dirs, &self.endpoint, &self.cancel);
        Cloud { http, dirs, endpoint, cancel, now: now() }
    }

    fn stored(&self) -> Option<GitCredentials> {
        GitCredentials::load(&self.dirs, &self.endpoint.slug()).unwrap()
    }

    fn paths(&self) -> Vec<String> {
        self.api.requests().into_iter().map(|r| r.path).collect()
    }
}

fn now() -> Timestamp {
    SystemClock.now().wall
}

fn repos(token: &str) -> Value {
    json!({
        "token": token, "server_url": "http://127.0.0.1:1", "username": "oauth2", "expires_at": null,
        "repos": { "Acme": { "name": "Acme", "type": "team-context", "url": "http://127.0.0.1:1/a.git", "team_id": "team_a" } },
        "teams": [{ "id": "team_a", "name": "Acme", "role": "member" }],
    })
}

fn ready(url: &str) -> Value {
    json!({ "status": "ready", "repo_url": url })
}

fn with_api<T>(world: &World, call: impl FnOnce(&Api<'_>) -> T) -> T {
    let bearer = Secret::new(BEARER);
    call(&Api::new(&world.http, &world.endpoint, &bearer, &world.cancel, now()).unwrap())
}

#[test]
fn the_four_calls_are_made_as_the_server_expects_them() {
    let world = World::new();
    world.api.answer(
        REPOS,
        Answer::json(repos("pat"))
            .with("X-SageOx-Deprecated", "old")
            .with("X-SageOx-Merge", r#"{"repo":{"from":"repo_a","to":"repo_b"}}"#),
    );
    world.api.answer(&detail_path(REPO), Answer::json(json!({ "access_level": "viewer", "ledger": null })));
    world.api.answer(&ledger_path(REPO), Answer::json(ready("u")));
    with_api(&world, |api| {
        let answer = api.repos().unwrap();
        assert_eq!(answer.value.token.expose(), "pat");
        assert_eq!(answer.notes.deprecated.as_deref(), Some("old"));
        assert_eq!(answer.notes.merge.unwrap().repo.unwrap().to, "repo_b");
        assert_eq!(api.repo(REPO).unwrap().value.access_level, Access::Viewer);
        assert_eq!(api.ledger_status(REPO).unwrap().value.status, LedgerState::Ready);
        assert!(matches!(api.repo("../repo_a"), Err(ApiError::BadId)));
    });
    let requests = world.api.requests();
    assert_eq!(world.paths(), [REPOS.into(), detail_path(REPO), ledger_path(REPO)]);
    for request in &requests {
        assert!(
            request.method == "GET" && request.authorized && request.agent.starts_with("ox-daemon/"),
            "{request:?}"
        );
        assert_eq!(request.connection, 0, "the connection is kept");
    }
}

#[test]
fn every_failure_has_its_kind_and_class_and_shows_no_secret() {
    let world = World::new();
    let path = ledger_path(REPO);
    let check = |answer: Answer, kind: fn(&ApiError) -> bool, class: Class| {
        world.api.answer_once(&path, answer);
        let error = with_api(&world, |api| api.ledger_status(REPO)).unwrap_err();
        assert!(kind(&error), "{error:?}");
        assert_eq!(error.class(), class, "{error}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("canary"), "{text}");
    };
    check(Answer::status(401), |e| matches!(e, ApiError::Unauthorized(_)), Class::Auth);
    check(Answer::status(403), |e| matches!(e, ApiError::Forbidden(_)), Class::Auth);
    check(Answer::status(404), |e| matches!(e, ApiError::NotFound(_)), Class::Usage);
    check(Answer::status(418), |e| matches!(e, ApiError::Refused { status: 418, .. }), Class::Usage);
    let old = Answer::status(426).with("X-SageOx-Min-Version", "0.9.0");
    let is_old =
        |e: &ApiError| matches!(e, ApiError::VersionUnsupported { minimum: Some(v), .. } if v == "0.9.0");
    check(old, is_old, Class::Usage);
    check(
        Answer::status(426),
        |e| matches!(e, ApiError::VersionUnsupported { minimum: None, .. }),
        Class::Usage,
    );
    let patient = |e: &ApiError| match e {
        ApiError::TooMany { retry_after, .. } | ApiError::Server { retry_after, .. } => {
            *retry_after == Some(Duration::from_secs(60))
        }
        _ => false,
    };
    check(Answer::status(429).with("Retry-After", "60"), patient, Class::Busy);
    check(Answer::status(503).with("Retry-After", "60"), patient, Class::Network);
    check(Answer::status(500), |e| matches!(e, ApiError::Server { retry_after: None, .. }), Class::Network);
    let bad = |e: &ApiError| matches!(e, ApiError::BadAnswer { .. });
    check(Answer::bytes("<html>canary</html>"), bad, Class::Network);
    check(Answer::json(json!({ "status": ["canary"] })), bad, Class::Network);
    check(Answer::json(json!([])), bad, Class::Network);
    let http = |e: &ApiError| matches!(e, ApiError::Http(_));
    check(Answer::json(ready("u")).cut(), http, Class::Network);
    check(Answer::bytes(vec![b' '; ox::sync::api::BODY_MAX + 1]), http, Class::Usage);
}

#[test]
fn a_call_to_a_silent_server_ends_when_it_is_cancelled() {
    let world = World::new();
    world.api.answer(REPOS, Answer::json(repos("pat")).stalled());
    std::thread::scope(|s| {
        let call = s.spawn(|| refresh_credentials(&world.cloud()).map(drop));
        until(|| world.api.requests().len() == 1);
        world.cancel.cancel();
        assert!(matches!(call.join().unwrap(), Err(CloudError::Api(ApiError::Http(_)))));
    });
    assert!(world.stored().is_none());
}

#[test]
fn credentials_are_stored_whole_and_a_failure_leaves_them() {
    let world = World::new();
    world.api.answer(REPOS, Answer::json(repos("pat-1")));
    let refreshed = refresh_credentials(&world.cloud()).unwrap();
    assert!(refreshed.changed);
    assert_eq!(refreshed.credentials.repos.len(), 1);
    let stored = world.stored().unwrap();
    assert_eq!(stored.token.expose(), "pat-1");
    // With another login it is asked again at once.
    world.login("second", Duration::from_secs(3600));
    world.api.require("second");
    for answer in [
        Answer::status(500),
        Answer::status(401),
        Answer::json(json!({})),
        Answer::json(json!({ "token": "", "server_url": "" })),
        Answer::json(repos("pat-2")).cut(),
    ] {
        world.api.answer(REPOS, answer);
        assert!(refresh_credentials(&world.cloud()).is_err());
        assert_eq!(world.stored().unwrap(), stored);
    }
    world.api.answer(REPOS, Answer::json(repos("pat-2")));
    assert!(refresh_credentials(&world.cloud()).unwrap().changed);
    assert_eq!(world.stored().unwrap().token.expose(), "pat-2");
}

#[test]
fn sec_08_of_twenty_that_want_fresh_credentials_one_asks_and_all_get_them() {
    let world = World::new();
    world.api.answer(REPOS, Answer::json(repos("pat")).stalled());
    let start = Barrier::new(20);
    std::thread::scope(|s| {
        let call = || {
            start.wait();
            refresh_credentials(&world.cloud())
        };
        let calls: Vec<_> = (0..20).map(|_| s.spawn(call)).collect();
        until(|| world.api.requests().len() == 1);
        world.api.release();
        for call in calls {
            assert_eq!(call.join().unwrap().unwrap().credentials.token.expose(), "pat");
        }
    });
    assert_eq!(world.api.requests().len(), 1);
}

#[test]
fn sec_09_without_a_good_login_nothing_is_sent() {
    let world = World::new();
    let check = |expected: fn(&CloudError) -> bool| {
        for error in [
            refresh_credentials(&world.cloud()).unwrap_err(),
            lookup_ledger(&world.cloud(), REPO).unwrap_err(),
        ] {
            assert!(expected(&error), "{error:?}");
            assert_eq!(error.class(), Class::Auth);
        }
    };
    world.login("ended", Duration::ZERO);
    check(|e| e.called() == CallOutcome::Unauthorized);
    Logins::remove(&world.dirs, &world.endpoint).unwrap();
    check(|e| e.called() == CallOutcome::Unauthorized);
    fs::write(world.dirs.auth_file(), "{\"tokens\":[").unwrap();
    check(|e| matches!(e, CloudError::Project(_)));
    let local = Endpoint::local();
    let nowhere = Cloud { endpoint: &local, ..world.cloud() };
    assert!(matches!(refresh_credentials(&nowhere), Err(CloudError::Api(ApiError::NoServer))));
    assert_eq!(world.api.requests().len(), 0);
}

#[test]
fn damaged_credentials_are_not_replaced() {
    let world = World::new();
    world.api.answer(REPOS, Answer::json(repos("pat")));
    let path = world.dirs.git_credentials(&world.endpoint.slug());
    fs::write(&path, "damaged").unwrap();
    assert!(refresh_credentials(&world.cloud()).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "damaged");
}

#[test]
fn a_ledger_is_found_by_the_newer_call_or_else_by_the_older() {
    let world = World::new();
    let (detail, status) = (detail_path(REPO), ledger_path(REPO));
    let look = || lookup_ledger(&world.cloud(), REPO);
    let url = |found: LedgerLookup| found.ledger.map(|l| l.as_str().to_owned());
    // Nothing is known of it: an answer, but none that helps.
    assert_eq!(look().unwrap_err().called(), CallOutcome::Failed);
    assert_eq!(world.paths(), [detail.clone(), status.clone()]);
    world.api.answer(&status, Answer::json(json!({ "status": "pending" })));
    assert_eq!(look().unwrap().called(), CallOutcome::Pending);
    world.api.answer(&status, Answer::json(ready("http://localhost:9/l.git")));
    assert_eq!(url(look().unwrap()).as_deref(), Some("http://localhost:9/l.git"));
    for broken in [Answer::status(500), Answer::bytes("<html>")] {
        world.api.answer(&detail, broken);
        assert_eq!(look().unwrap().called(), CallOutcome::Fine);
    }
    let whole = json!({
        "access_level": "viewer", "ledger": ready("http://oauth2:canary@127.0.0.1:9/new.git"),
        "team_contexts": [{ "team_id": "team_a", "name": "Acme", "repo_url": "http://127.0.0.1:9/a.git" }],
    });
    world.api.answer(&detail, Answer::json(whole));
    let before = world.paths().len();
    let found = look().unwrap();
    assert_eq!((found.access, found.teams.as_ref().map(Vec::len)), (Access::Viewer, Some(1)));
    assert_eq!(url(found).as_deref(), Some("http://127.0.0.1:9/new.git"), "a token in a URL is left out");
    assert_eq!(world.paths().len(), before + 1);
    world.api.answer(&detail, Answer::json(json!({ "ledger": null })));
    assert_eq!(look().unwrap().called(), CallOutcome::Pending);
}

#[test]
fn what_ends_a_search_is_told_apart() {
    let world = World::new();
    let detail = detail_path(REPO);
    let check = |answer: Answer, called: CallOutcome| {
        world.api.answer_once(&detail, answer);
        let before = world.paths().len();
        let error = lookup_ledger(&world.cloud(), REPO).unwrap_err();
        assert_eq!(error.called(), called, "{error}");
        assert_eq!(world.paths().len(), before + 1, "the other call would say no more");
        assert!(!format!("{error} {error:?}").contains("canary"));
    };
    check(Answer::status(401), CallOutcome::Unauthorized);
    check(Answer::status(403), CallOutcome::Failed);
    check(Answer::status(426), CallOutcome::Unsupported);
    check(Answer::status(429).with("Retry-After", "7"), CallOutcome::Wait(Duration::from_secs(7)));
    check(Answer::status(503).with("Retry-After", "7"), CallOutcome::Wait(Duration::from_secs(7)));
    check(Answer::json(json!({})).cut(), CallOutcome::Network);
    let failed = json!({ "ledger": { "status": "error", "message": "no\u{1b}space" } });
    check(Answer::json(failed), CallOutcome::Failed);
    for planted in
        ["https://evil.example/l.git", "ext::sh -c id", "file:///etc", "https://u:canary@127.0.0.1/l"]
    {
        check(Answer::json(json!({ "ledger": ready(planted) })), CallOutcome::Failed);
    }
}

#[test]
fn logins_are_told_apart_without_being_told() {
    let (a, b) = (fingerprint(&Secret::new("canary-a")), fingerprint(&Secret::new("canary-b")));
    assert!(a != b && a.len() == 16 && !a.contains("canary"));
}

#[test]
fn what_a_restart_must_not_forget_is_on_disk() {
    let world = World::new();
    let clock = SystemClock;
    let login = || Event::Login(Some("one".into()));
    let mut account = Account::load(&world.dirs, &world.endpoint);
    assert_eq!(account.handle(clock.now(), login()), [Effect::Repos]);
    assert_eq!(account.handle(clock.now(), Event::ReposDone(CallOutcome::Unsupported)), []);
    account.save(&world.dirs, &world.endpoint).unwrap();
    let mut again = Account::load(&world.dirs, &world.endpoint);
    assert_eq!(again.handle(clock.now(), login()), [], "the server is left alone for an hour");
    fs::write(world.dirs.account(&world.endpoint), "damaged").unwrap();
    assert_eq!(Account::load(&world.dirs, &world.endpoint), Account::default());
}

/// Puts git's credentials for a server into the machine's files.
fn store(env: &TestEnv, server_url: &str, token: &str, expires_at: GoTime) {
    let vars: Vec<_> = env.vars().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let dirs = Dirs::from_env(&Env::of(vars, env.work())).unwrap();
    GitCredentials::remove(&dirs, "s").unwrap();
    let team = CredentialRepo::team_context("team_a", "Acme", "", &format!("{server_url}/a.git"));
    let (token, server_url, repos) = (Secret::new(token), server_url.to_owned(), Some(vec![team]));
    let fresh = FreshCredentials { token, server_url, username: "tester".into(), expires_at, repos };
    GitCredentials::save_fresh(&dirs, "s", fresh).unwrap();
}

fn helper() -> String {
    format!("!'{OX}' git-credential-helper")
}

/// What the helper says to a question.
fn ask(env: &TestEnv, operation: &str, question: &str) -> String {
    let cmd = env
        .cmd(OX)
        .args(["git-credential-helper", operation])
        .dir(env.work())
        .stdin_bytes(question.as_bytes().to_vec());
    let ran = run(cmd, format!("git-credential-helper {operation}")).ok();
    assert_eq!(ran.stderr, "");
    ran.stdout
}

#[test]
fn the_helper_answers_for_its_own_server_and_for_no_other() {
    let env = TestEnv::new();
    assert_eq!(ask(&env, "get", "protocol=https\nhost=git.sageox.ai\n\n"), "", "there are none yet");
    store(&env, "https://git.sageox.ai", "canary-pat", GoTime(None));
    let check = |operation: &str, question: &str, expected: bool| {
        let answer = if expected { "username=tester\npassword=canary-pat\n\n" } else { "" };
        assert_eq!(ask(&env, operation, question), answer, "{operation} {question:?}");
    };
    check("get", "protocol=https\nhost=git.sageox.ai\n\n", true);
    check("get", "protocol=https\nhost=git.sageox.ai:443\npath=a.git\n", true);
    check("get", "protocol=https\nhost=git.sageox.ai\nusername=tester\n\n", true);
    check("get", "protocol=https\nhost=git.sageox.ai\nusername=other\n\n", false);
    check("get", "protocol=http\nhost=git.sageox.ai\n\n", false);
    check("get", "protocol=https\nhost=sageox.ai\n\n", false);
    check("get", "protocol=https\nhost=git.sageox.ai.evil.example\n\n", false);
    check("get", "protocol=https\nhost=git.sageox.ai:8443\n\n", false);
    check("get", "protocol=https\nhost=git.sageox.ai/../evil\n\n", false);
    check("get", "host=git.sageox.ai\n\n", false);
    check("get", "protocol=https\n\n", false);
    check("get", "nonsense\nprotocol=https\nhost=git.sageox.ai\n\n", false);
    check("get", "", false);
    for operation in ["store", "erase", "capability", "nonsense"] {
        check(operation, "protocol=https\nhost=git.sageox.ai\nusername=u\npassword=p\n\n", false);
    }
    store(&env, "https://git.sageox.ai", "canary-pat", GoTime(Some(now() - Duration::from_secs(1))));
    check("get", "protocol=https\nhost=git.sageox.ai\n\n", false);
    fs::write(env.config().join("sageox/git-credentials-s.json"), "{").unwrap();
    check("get", "protocol=https\nhost=git.sageox.ai\n\n", false);
}

#[test]
fn git_gets_its_credentials_from_the_helper() {
    let env = TestEnv::new();
    store(&env, "https://git.sageox.ai", "canary-pat", GoTime(None));
    let config = format!("credential.helper={}", helper());
    let fill = |url: &str| {
        let args = ["-c", "credential.helper=", "-c", &config, "credential", "fill"];
        let question = format!("url={url}\n\n").into_bytes();
        run(
            env.cmd("git").args(args).env("GIT_ASKPASS", "false").dir(env.work()).stdin_bytes(question),
            url.into(),
        )
    };
    let filled = fill("https://git.sageox.ai/a.git").ok().stdout;
    assert!(filled.contains("username=tester\n") && filled.contains("password=canary-pat\n"), "{filled}");
    for url in ["https://evil.example/a.git", "https://git.sageox.ai:8443/a.git"] {
        let ran = fill(url);
        assert!(ran.code != Some(0) && !ran.stdout.contains("canary"), "{ran:?}");
    }
}

#[test]
fn syn_09_a_clone_with_the_helper_works_and_keeps_no_token() {
    let env = TestEnv::new();
    let served = env.work().join("served");
    fs::create_dir(&served).unwrap();
    let seed = env.repo("seed");
    fs::write(seed.join("a.txt"), "a").unwrap();
    env.git(&seed, ["add", "a.txt"]);
    env.git(&seed, ["commit", "-qm", "a"]);
    env.git(&served, ["clone", "-q", "--bare", seed.to_str().unwrap(), "l.git"]);
    let server = GitServer::start(&env, &served);
    server.require_login("tester", "canary-pat");
    store(&env, &format!("http://{}", server.address()), "canary-pat", GoTime(None));
    let config = format!("credential.helper={}", helper());
    let clone = |into: &str| {
        let args = ["-c", "credential.helper=", "-c", &config, "clone", "-q", &server.url("l.git"), into];
        env.try_git(env.work(), args)
    };
    clone("good").ok();
    let good = env.work().join("good");
    assert!(good.join("a.txt").exists());
    let kept = fs::read_to_string(good.join(".git/config")).unwrap();
    assert!(!kept.contains("canary"), "{kept}");
    store(&env, &format!("http://{}", server.address()), "wrong-pat", GoTime(None));
    let ran = clone("bad");
    assert!(ran.code != Some(0) && !format!("{ran:?}").contains("wrong-pat"), "{ran:?}");
}

/// The files of a clone that are checked out with the patterns of a manifest.
fn checked_out(env: &TestEnv, clone: &Path, manifest: &str) -> Vec<String> {
    let patterns = Manifest::parse(manifest.as_bytes()).patterns();
    let args = ["sparse-checkout", "set", "--no-cone"].into_iter().map(str::to_owned).chain(patterns);
    env.git(clone, args);
    let listed = env.git(clone, ["ls-files", "-t"]);
    let mut files: Vec<String> =
        listed.lines().filter_map(|l| l.strip_prefix("H ")).map(str::to_owned).collect();
    files.sort();
    for file in &files {
        assert!(clone.join(file).exists(), "{file}");
    }
    files
}

#[test]
fn git_holds_what_a_manifest_includes_and_nothing_it_denies() {
    let env = TestEnv::new();
    let repo = env.repo("team");
    for file in [
        ".sageox/sync.manifest",
        "AGENTS.md",
        "secret.md",
        "agents/a.md",
        "agents/private/p.md",
        "deep/AGENTS.md",
        "docs/open.md",
        "docs/private/p.md",
        "memory/m.md",
        "my notes/n.md",
        "other/o.md",
    ] {
        let path = repo.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    env.git(&repo, ["add", "-f", "."]);
    env.git(&repo, ["commit", "-qm", "all"]);
    let check = |lines: &str, expected: &[&str]| {
        let always = [".sageox/sync.manifest", "AGENTS.md", "README.md", "agents/a.md"];
        let mut expected: Vec<&str> = expected.iter().copied().chain(always).collect();
        expected.sort_unstable();
        assert_eq!(checked_out(&env, &repo, &format!("version 1\n{lines}")), expected, "{lines}");
    };
    let private = "agents/private/p.md";
    check("include AGENTS.md\ninclude memory/", &["memory/m.md", private, "secret.md"]);
    check("include docs/\ndeny docs/private/", &["docs/open.md", private, "secret.md"]);
    check("include my notes/\ndeny secret.md", &["my notes/n.md", private]);
    check(
        "include docs/\ndeny docs/\ninclude memory/\ndeny .sageox/\ndeny agents/private/",
        &["memory/m.md", "secret.md"],
    );
    check(
        "include */\ndeny docs/private/\ndeny other/",
        &["deep/AGENTS.md", "docs/open.md", "memory/m.md", "my notes/n.md", private, "secret.md"],
    );
}
