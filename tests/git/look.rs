//! Looks at remotes over HTTP: the same answers as `git ls-remote`, without a process, on one connection.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ox::git::{Git, GitError, Login, Profile, Remote, create_bare, discover};
use ox::http::Client;
use ox::kit::Class;
use ox::kit::cancel::Cancel;
use ox::kit::clock::SystemClock;
use ox::kit::secret::Secret;

use crate::support::git::{Sandbox, write};
use crate::support::http_git::{Fault, GitServer};
use crate::support::http_script::{Act, Server, answer};
use crate::support::{TestEnv, until};

const BOTH: [Profile; 2] = [Profile::SelfHosted, Profile::Vendor];

/// A repository `r.git` with `main` and `side`, and an empty one, behind a server; every git that `ox` starts is counted.
struct World {
    server: GitServer,
    s: Sandbox,
    log: PathBuf,
    bare: PathBuf,
    // The server's machine; it looks for leftovers at the end.
    _env: TestEnv,
}

impl World {
    fn new() -> World {
        let mut s = Sandbox::new();
        let bare = s.remote("r", &[("a", "1\n")]);
        s.push_elsewhere(&bare, |w| write(&w.join("b"), "2\n"));
        s.sh(&bare, &["branch", "side", "main~1"]);
        create_bare(&s.git(), &s.at("empty.git"), &Cancel::new()).unwrap();
        let log = s.count_git();
        let env = TestEnv::new();
        let server = GitServer::start(&env, &s.at(""));
        World { server, s, log, bare, _env: env }
    }

    fn url(&self) -> String {
        self.server.url("r.git")
    }

    /// Git with the HTTP client, and more variables.
    fn git_with(&self, profile: Profile, more: &[(&str, &str)]) -> Git {
        let more = [&[("GIT_CONFIG_NOSYSTEM", "1")], more].concat();
        let clock = Arc::new(SystemClock);
        Git::new(profile, self.s.env_with(&more), clock.clone(), "box").with_http(Client::new(clock))
    }

    fn git(&self, profile: Profile) -> Git {
        self.git_with(profile, &[])
    }

    fn tip(&self) -> String {
        self.s.sh(&self.bare, &["rev-parse", "main"])
    }

    /// Sub-commands of git that `ox` has run since the last call.
    fn processes(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        fs::write(&self.log, "").unwrap();
        let known = ["ls-remote", "credential", "config"];
        text.lines().map(|l| known.iter().find(|k| l.contains(**k)).unwrap_or(&l).to_string()).collect()
    }
}

fn look(git: &Git, url: &str) -> Result<Remote, GitError> {
    discover(git, url, Some("main"), &Cancel::new())
}

// ---- answers ----

#[test]
fn the_answers_are_those_of_git_ls_remote() {
    let w = World::new();
    w.s.sh(&w.bare, &["branch", "main2", "side"]);
    let no_client = w.s.git();
    let check = |w: &World, name: &str| {
        for branch in [None, Some("main"), Some("side"), Some("main2"), Some("nope"), Some("ma")] {
            let asked = discover(&no_client, &w.server.url(name), branch, &Cancel::new()).unwrap();
            w.processes();
            for profile in BOTH {
                let seen = discover(&w.git(profile), &w.server.url(name), branch, &Cancel::new()).unwrap();
                assert_eq!(seen, asked, "{name} {branch:?} {profile:?}");
            }
            assert_eq!(w.processes(), Vec::<String>::new());
        }
    };
    check(&w, "r.git");
    assert_eq!(look(&w.git(Profile::Vendor), &w.url()).unwrap().tip.unwrap().to_string(), w.tip());
    // A HEAD that points to no branch, and one that points to a branch that is not there.
    w.s.sh(&w.bare, &["update-ref", "--no-deref", "HEAD", "side"]);
    check(&w, "r.git");
    w.s.sh(&w.bare, &["symbolic-ref", "HEAD", "refs/heads/main"]);
    w.server.speak_only_v0();
    check(&w, "r.git");
    check(&w, "empty.git");
}

#[test]
fn an_empty_repository_names_the_branch_its_head_points_to() {
    let w = World::new();
    for profile in BOTH {
        let url = w.server.url("empty.git");
        for branch in [None, Some("main")] {
            let seen = discover(&w.git(profile), &url, branch, &Cancel::new()).unwrap();
            assert_eq!(seen, Remote { head_branch: Some("main".into()), tip: None });
        }
    }
    assert_eq!(w.processes(), Vec::<String>::new());
}

#[test]
fn fifty_looks_take_one_connection_and_a_request_each() {
    for old in [false, true] {
        let w = World::new();
        if old {
            w.server.speak_only_v0();
        }
        let git = w.git(Profile::SelfHosted);
        for _ in 0..50 {
            assert_eq!(look(&git, &w.url()).unwrap().tip.unwrap().to_string(), w.tip());
        }
        // A server of protocol 2 first says what it can do.
        assert_eq!(w.server.requests(), if old { 50 } else { 51 });
        assert_eq!(w.server.connections(), 1);
        assert_eq!(w.processes(), Vec::<String>::new());
        let log = w.server.log();
        assert!(log.iter().all(|r| r.protocol.as_deref() == Some("version=2")));
        assert!(log.iter().all(|r| r.agent.as_deref().unwrap().starts_with("git/2.30 ox/")));
    }
}

#[test]
fn an_answer_does_not_grow_with_the_number_of_refs() {
    let w = World::new();
    let git = w.git(Profile::SelfHosted);
    let bytes = || {
        look(&git, &w.url()).unwrap();
        w.server.log().last().unwrap().bytes
    };
    let before = bytes();
    let tip = w.tip();
    let refs: String = (0..2000).map(|n| format!("{tip} refs/heads/x{n}\n{tip} refs/tags/t{n}\n")).collect();
    let head = "# pack-refs with: peeled fully-peeled sorted \n";
    let mut lines: Vec<&str> = refs.lines().collect();
    lines.sort_by_key(|l| l.split_once(' ').unwrap().1);
    let packed = fs::read_to_string(w.bare.join("packed-refs")).unwrap_or_default();
    assert_eq!(packed, "", "the refs so far are loose");
    fs::write(w.bare.join("packed-refs"), format!("{head}{}\n", lines.join("\n"))).unwrap();
    assert_eq!(w.s.sh(&w.bare, &["for-each-ref"]).lines().count(), 4002);
    assert_eq!(bytes(), before);
}

#[test]
fn a_server_that_becomes_another_is_learnt_anew() {
    let w = World::new();
    let git = w.git(Profile::Vendor);
    look(&git, &w.url()).unwrap();
    // What an older server makes of a command it does not know.
    w.server.speak_only_v0();
    assert_eq!(look(&git, &w.url()).unwrap().tip.unwrap().to_string(), w.tip());
}

// ---- errors ----

#[test]
fn a_status_has_its_class_and_says_how_long_to_wait() {
    let w = World::new();
    let check = |fault, class, wait: Option<u64>| {
        for profile in BOTH {
            let git = w.git(profile);
            for known in [false, true] {
                if known {
                    w.server.fault(None);
                    look(&git, &w.url()).unwrap();
                }
                w.server.fault(Some(fault));
                let before = w.server.requests();
                let e = look(&git, &w.url()).unwrap_err();
                assert_eq!(e.class(), class, "{fault:?} {profile:?}: {e}");
                assert_eq!(e.retry_after(), wait.map(Duration::from_secs), "{fault:?}");
                // Only a repository that is gone may have moved, which is worth asking.
                let most = if known && class == Class::Usage { 2 } else { 1 };
                assert_eq!(w.server.requests() - before, most, "{fault:?}");
            }
        }
        w.server.fault(None);
        look(&w.git(Profile::Vendor), &w.url()).unwrap();
    };
    check(Fault::Status(401), Class::Auth, None);
    check(Fault::Status(403), Class::Auth, None);
    check(Fault::Status(404), Class::Usage, None);
    check(Fault::Status(410), Class::Usage, None);
    check(Fault::Status(429), Class::Network, None);
    check(Fault::RetryAfter(7), Class::Network, Some(7));
    check(Fault::RetryAfter(1_000_000), Class::Network, Some(3600));
    check(Fault::Status(500), Class::Network, None);
    check(Fault::Status(503), Class::Network, None);
    assert!(!w.processes().contains(&"ls-remote".to_owned()));
    fs::create_dir(w.s.at("nothing.git")).unwrap();
    let e = look(&w.git(Profile::Vendor), &w.server.url("nothing.git")).unwrap_err();
    assert_eq!(e.class(), Class::Usage, "{e}");
    assert!(e.to_string().contains("repository not found"), "{e}");
}

#[test]
fn an_answer_that_breaks_off_is_an_error_and_the_next_look_works() {
    let w = World::new();
    let git = w.git(Profile::SelfHosted);
    for fault in [Fault::Drop, Fault::Cut, Fault::Reset] {
        for known in [false, true] {
            let git = if known { git.clone() } else { w.git(Profile::SelfHosted) };
            if known {
                look(&git, &w.url()).unwrap();
            }
            w.server.fault(Some(fault));
            let e = look(&git, &w.url()).unwrap_err();
            assert_eq!(e.class(), Class::Network, "{fault:?}: {e}");
            w.server.fault(None);
            assert_eq!(look(&git, &w.url()).unwrap().tip.unwrap().to_string(), w.tip(), "{fault:?}");
        }
    }
    assert_eq!(w.processes(), Vec::<String>::new());
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    std::thread::scope(|scope| {
        for fault in [Fault::Stall, Fault::StallHalfway] {
            scope.spawn(move || {
                let w = World::new();
                w.server.fault(Some(fault));
                let e = look(&w.git(Profile::Vendor), &w.url()).unwrap_err();
                assert_eq!(e.class(), Class::Network, "{fault:?}: {e}");
                w.server.fault(None);
            });
        }
    });
}

#[test]
fn a_cancelled_look_ends_by_that() {
    let w = World::new();
    w.server.fault(Some(Fault::Stall));
    let (git, url, cancel) = (w.git(Profile::Vendor), w.url(), Cancel::new());
    let e = std::thread::scope(|s| {
        let look = s.spawn(|| discover(&git, &url, Some("main"), &cancel).unwrap_err());
        until(|| w.server.requests() == 1);
        cancel.cancel();
        look.join().unwrap()
    });
    assert_eq!(e.class(), Class::Busy, "{e}");
    w.server.fault(None);
}

#[test]
fn what_is_no_git_server_is_never_one_without_refs() {
    let w = World::new();
    let check = |kind: &'static str, body: &'static [u8], class| {
        let head = format!("Content-Type: {kind}\r\n");
        let server = Server::start(move |_, _| vec![answer(200, &head, body)]);
        for profile in BOTH {
            let e = look(&w.git(profile), &server.url("/r.git")).unwrap_err();
            assert_eq!(e.class(), class, "{e}");
        }
    };
    let refs = "application/x-git-upload-pack-advertisement";
    check("text/html", b"<html>log in to this network</html>", Class::Usage);
    check(
        "text/plain; charset=utf-8",
        b"1111111111111111111111111111111111111111\trefs/heads/x\n",
        Class::Usage,
    );
    check(refs, b"<html>", Class::Usage);
    check(refs, b"", Class::Network);
    check(refs, b"001e# service=git-upload-pack\n0000", Class::Network);
    check(refs, b"001e# service=git-upload-pack\n0000000eversion 2\n", Class::Network);
    check(refs, b"0015ERR access denied", Class::Auth);
    assert_eq!(w.processes(), Vec::<String>::new());
}

// ---- logins ----

fn logins(user: &'static str, password: &'static str) -> ox::git::Logins {
    Arc::new(move |_: &str| Some(Login { user: user.into(), password: Secret::new(password) }))
}

#[test]
fn syn_08_the_vendor_profile_uses_the_login_it_is_given_and_asks_nobody() {
    let w = World::new();
    let asked = w.s.at("asked");
    let helper = w.s.script("helper", &format!("echo asked >> {}", asked.display()));
    w.s.configure(&format!("[credential]\n\thelper = {}\n", helper.display()));
    w.server.require_login("oauth2", "glpat-CANARY");
    let right = w.git(Profile::Vendor).with_logins(logins("oauth2", "glpat-CANARY"));
    for _ in 0..3 {
        assert_eq!(look(&right, &w.url()).unwrap().tip.unwrap().to_string(), w.tip());
    }
    assert_eq!(w.server.requests(), 4, "the login comes with every request, unasked");
    let wrong = w.git(Profile::Vendor).with_logins(logins("oauth2", "CANARY-old"));
    for git in [wrong, w.git(Profile::Vendor)] {
        let e = look(&git, &w.url()).unwrap_err();
        assert_eq!(e.class(), Class::Auth);
        assert!(!format!("{e} {e:?}").contains("CANARY"), "{e:?}");
    }
    assert!(!asked.exists());
    assert_eq!(w.processes(), Vec::<String>::new());
}

#[test]
fn the_users_own_credential_helper_is_asked_once() {
    let w = World::new();
    let asked = w.s.at("asked");
    let password = w.s.at("password");
    let body = format!(
        "echo \"helper $1\" >> {0}; grep path= >> {0}; echo username=me; echo password=$(cat {1})",
        asked.display(),
        password.display()
    );
    let helper = w.s.script("helper", &body);
    w.s.configure(&format!("[credential]\n\thelper = {}\n\tuseHttpPath = true\n", helper.display()));
    let asks = || {
        let text = fs::read_to_string(&asked).unwrap_or_default();
        let _ = fs::remove_file(&asked);
        text
    };
    w.server.require_login("me", "one");
    let git = w.git(Profile::SelfHosted);
    fs::write(&password, "CANARY").unwrap();
    let e = look(&git, &w.url()).unwrap_err();
    assert_eq!(e.class(), Class::Auth);
    assert!(!format!("{e} {e:?}").contains("CANARY"), "{e:?}");
    assert_eq!(asks(), "helper get\npath=r.git\n");
    fs::write(&password, "one").unwrap();
    for _ in 0..5 {
        assert_eq!(look(&git, &w.url()).unwrap().tip.unwrap().to_string(), w.tip());
    }
    assert_eq!(asks(), "helper get\npath=r.git\n", "asked once, and told nothing");
    // The password has changed: what was kept is dropped and the helper asked once more.
    w.server.require_login("me", "two");
    assert_eq!(look(&git, &w.url()).unwrap_err().class(), Class::Auth);
    assert_eq!(asks(), "helper get\npath=r.git\n");
    fs::write(&password, "two").unwrap();
    look(&git, &w.url()).unwrap();
    look(&git, &w.url()).unwrap();
    assert_eq!(asks(), "helper get\npath=r.git\n");
    assert!(w.processes().iter().all(|p| p == "credential"));
}

#[test]
fn without_a_helper_a_refusal_is_final() {
    let w = World::new();
    w.server.require_login("me", "one");
    let e = look(&w.git(Profile::SelfHosted), &w.url()).unwrap_err();
    assert_eq!(e.class(), Class::Auth, "{e}");
    assert_eq!(w.server.requests(), 1);
}

// ---- what only the git program follows ----

#[test]
fn settings_of_the_user_about_http_leave_it_to_git() {
    let w = World::new();
    let home = w.s.at("home");
    let plain = fs::read_to_string(home.join(".gitconfig")).unwrap();
    let check = |config: &str, vars: &[(&str, &str)], file: Option<&str>, ours: bool| {
        fs::write(home.join(".gitconfig"), format!("{plain}{config}")).unwrap();
        file.iter().for_each(|f| write(&home.join(f), ""));
        let seen = look(&w.git_with(Profile::SelfHosted, vars), &w.url()).unwrap();
        assert_eq!(seen.tip.unwrap().to_string(), w.tip());
        let expected = if ours { vec![] } else { vec!["ls-remote".to_owned()] };
        assert_eq!(w.processes(), expected, "{config} {vars:?} {file:?}");
        // The vendor profile has no user configuration, but the variables that reach it count.
        look(&w.git_with(Profile::Vendor, vars), &w.url()).unwrap();
        assert_eq!(w.processes().is_empty(), vars.is_empty(), "{config} {vars:?}");
        file.iter().for_each(|f| fs::remove_file(home.join(f)).unwrap());
    };
    check("", &[], None, true);
    check(
        "[http]\n\tpostBuffer = 1\n\tlowSpeedTime = 5\n\tversion = HTTP/1.1\n\tuserAgent = x\n",
        &[],
        None,
        true,
    );
    check("[protocol]\n\tversion = 2\n[credential]\n\thelper = x\n", &[], None, true);
    check("[http]\n\tsslVerify = true\n", &[], None, false);
    check("[http \"https://elsewhere.example\"]\n\tproxy = http://127.0.0.1:1\n", &[], None, false);
    check("[http]\n\textraHeader = X: y\n", &[], None, false);
    check("[url \"https://a.example/\"]\n\tinsteadOf = a:\n", &[], None, false);
    check("[url \"https://a.example/\"]\n\tpushInsteadOf = a:\n", &[], None, false);
    check("[include]\n\tpath = more\n", &[], Some("more"), true);
    check("", &[("GIT_SSL_NO_VERIFY", "1")], None, false);
    check("", &[("CURL_CA_BUNDLE", "/etc/ssl/x.pem")], None, false);
    check("", &[], Some(".netrc"), false);
}

#[test]
fn an_included_file_and_another_global_one_count() {
    let w = World::new();
    write(&w.s.at("home/more"), "[http]\n\temptyAuth = true\n");
    w.s.configure("[include]\n\tpath = more\n");
    look(&w.git(Profile::SelfHosted), &w.url()).unwrap();
    assert_eq!(w.processes(), ["ls-remote"]);
    write(&w.s.at("own"), "");
    look(
        &w.git_with(Profile::SelfHosted, &[("GIT_CONFIG_GLOBAL", w.s.at("own").to_str().unwrap())]),
        &w.url(),
    )
    .unwrap();
    assert_eq!(w.processes(), Vec::<String>::new());
    write(&w.s.at("own"), "[http]\n\tproxy =\n");
    look(
        &w.git_with(Profile::SelfHosted, &[("GIT_CONFIG_GLOBAL", w.s.at("own").to_str().unwrap())]),
        &w.url(),
    )
    .unwrap();
    assert_eq!(w.processes(), ["ls-remote"]);
}

#[test]
fn a_redirect_on_the_same_server_is_followed() {
    let w = World::new();
    let (git, body) = (w.git(Profile::Vendor), "0000");
    let server = Server::start(move |_, request| {
        let of = |kind: &str, body: &[u8]| {
            vec![answer(200, &format!("Content-Type: application/x-git-upload-pack-{kind}\r\n"), body)]
        };
        match request.split(' ').nth(1).unwrap() {
            "/old/info/refs?service=git-upload-pack" => {
                let to = "Location: /new/info/refs?service=git-upload-pack\r\n";
                vec![answer(302, to, b"")]
            }
            "/new/info/refs?service=git-upload-pack" => {
                of("advertisement", b"000eversion 2\n000cls-refs\n0000")
            }
            "/new/git-upload-pack" => of("result", body.as_bytes()),
            other => vec![answer(500, "", other.as_bytes()), Act::Close],
        }
    });
    for _ in 0..3 {
        assert_eq!(look(&git, &server.url("/old")).unwrap().tip, None);
    }
    assert_eq!(server.requests().len(), 3 + 2);
}
