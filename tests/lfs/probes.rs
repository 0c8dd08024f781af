//! Whether there is a server: found out once, and never guessed.

use std::fs;

use ox::git::{GitError, Profile};
use ox::kit::Class;

use crate::lfs::bench::{Bench, bounds};
use crate::support::http_git::Fault;
use crate::support::lfs::{Step, Trick};

#[test]
fn it_is_asked_once_and_kept() {
    let b = Bench::new();
    for _ in 0..3 {
        assert!(b.client().is_there().unwrap());
    }
    assert_eq!(b.lfs.count(Step::Batch), 1);
    let kept = fs::read_to_string(b.kept()).unwrap();
    assert!(!kept.contains("canary"), "{kept}");
}

#[test]
fn a_server_that_says_no_of_an_object_is_there_all_the_same() {
    let b = Bench::new();
    b.lfs.curt();
    assert!(b.client().is_there().unwrap());
    let gone = crate::lfs::bench::object(b"gone");
    let missing = b.client().missing(&[("gone".to_owned(), gone)]).unwrap();
    assert_eq!(missing, ["gone (the server does not have it)"]);
    b.upload(&[b.file("f", b"hello")]).unwrap();
}

#[test]
fn servers_that_say_no_have_none() {
    for status in [404, 405, 410, 501] {
        let b = Bench::new();
        b.lfs.absent(Some(status));
        assert!(!b.client().is_there().unwrap(), "{status}");
        let asked = b.server.requests();
        assert!(!b.client().is_there().unwrap());
        assert_eq!(b.server.requests(), asked, "it is kept");
        assert!(matches!(b.upload(&[b.file("f", b"x")]), Err(GitError::NoLfs(_))));
    }
}

#[test]
fn a_page_for_people_is_no_server() {
    let b = Bench::new();
    b.lfs.trick(Step::Batch, Trick::Page);
    assert!(!b.client().is_there().unwrap());
}

#[test]
fn a_plain_git_server_has_none() {
    let b = Bench::new();
    let server = crate::support::http_git::GitServer::start(&b.env, &b.env.work());
    let lfs = ox::git::lfs::Lfs::new(&b.git, &server.url("r.git"), &b.kept(), &b.cancel).unwrap();
    assert!(!lfs.is_there().unwrap());
}

#[test]
fn a_repository_on_the_disk_has_none() {
    let b = Bench::new();
    let path = b.env.work().join("r.git");
    for url in [path.display().to_string(), format!("file://{}", path.display())] {
        let lfs = ox::git::lfs::Lfs::new(&b.git, &url, &b.kept(), &b.cancel).unwrap();
        assert!(!lfs.is_there().unwrap());
    }
}

#[test]
fn a_server_that_does_not_answer_is_unknown() {
    let mut b = Bench::new();
    for fault in [Fault::Status(500), Fault::Status(503), Fault::RetryAfter(9), Fault::Drop, Fault::Cut] {
        b.server.fault(Some(fault));
        let e = b.client().is_there().unwrap_err();
        assert_eq!(e.class(), Class::Network, "{fault:?}: {e}");
        assert!(!b.kept().exists(), "{fault:?}");
    }
    b.server.fault(None);
    b.server.down();
    assert_eq!(b.client().is_there().unwrap_err().class(), Class::Network);
    b.server.up();
    assert!(b.client().is_there().unwrap());
}

/// A server that hides what it does not want to show says 404 too.
#[test]
fn a_repository_that_is_not_there_says_nothing_about_its_server() {
    let b = Bench::new();
    let url = b.url.replace("r.git", "gone.git");
    let lfs = ox::git::lfs::Lfs::new(&b.git, &url, &b.kept(), &b.cancel).unwrap();
    b.lfs.absent(Some(404));
    let e = lfs.is_there().unwrap_err();
    assert!(e.to_string().contains("not found"), "{e}");
    assert!(!b.kept().exists());
}

#[test]
fn an_answer_that_has_turned_out_to_be_wrong_is_found_out_anew() {
    let b = Bench::new();
    assert!(b.client().is_there().unwrap());
    b.lfs.absent(Some(404));
    assert!(matches!(b.upload(&[b.file("f", b"x")]), Err(GitError::NoLfs(_))));
    assert!(!b.client().is_there().unwrap());
    // What is old is asked again.
    let kept = fs::read_to_string(b.kept()).unwrap();
    let at = kept.split_once("\"at\": \"").unwrap().1.split('"').next().unwrap().to_owned();
    fs::write(b.kept(), kept.replace(&at, "2020-01-01T00:00:00Z")).unwrap();
    b.lfs.absent(None);
    assert!(b.client().is_there().unwrap());
}

#[test]
fn a_login_is_that_of_git() {
    let b = Bench::new();
    b.server.require_login("me", "CANARY");
    let e = b.client().is_there().unwrap_err();
    assert_eq!(e.class(), Class::Auth, "{e}");
    let helper = b.s.script("helper", "printf 'username=me\\npassword=CANARY\\n'");
    b.s.configure(&format!("[credential]\n\thelper = {}\n", helper.display()));
    b.upload(&[b.file("f", b"hello")]).unwrap();
    let seen = b.lfs.seen();
    let batch = seen.iter().find(|seen| seen.step == Step::Batch).unwrap();
    assert!(batch.headers["authorization"].starts_with("Basic "));
    let put = seen.iter().find(|seen| seen.step == Step::Put).unwrap();
    assert!(!put.headers.contains_key("authorization"), "the answer said that nothing else is needed");
}

/// A token that was renewed while we worked is taken, once.
#[test]
fn a_renewed_login_is_tried_once() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ox::git::Login;
    use ox::http::Client;
    use ox::kit::clock::SystemClock;
    use ox::kit::secret::Secret;

    let b = Bench::new();
    b.server.require_login("me", "new");
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let git = b.s.git_as(Profile::Vendor).with_bounds(bounds()).with_http(Client::new(Arc::new(SystemClock)));
    let git = git.with_logins(Arc::new(move |_| {
        let password = if counted.fetch_add(1, Ordering::SeqCst) == 0 { "old" } else { "new" };
        Some(Login { user: "me".into(), password: Secret::new(password) })
    }));
    assert!(b.client_of(&git).is_there().unwrap());
    let git = git.with_logins(Arc::new(|_| Some(Login { user: "me".into(), password: Secret::new("old") })));
    let before = b.server.requests();
    let e = b.client_of(&git).upload(&[b.file("f", b"x")], &mut |_, _| ()).unwrap_err();
    assert_eq!((e.class(), b.server.requests() - before), (Class::Auth, 1), "{e}");
}

#[test]
fn ssh_is_asked_for_a_server_and_who_we_are() {
    let b = Bench::new();
    let log = b.s.at("ssh.log");
    let grant = format!(
        "{{\"href\":\"{}/info/lfs\",\"header\":{{\"Authorization\":\"RemoteAuth CANARY\"}},\"expires_in\":600}}",
        b.url
    );
    let ssh = b.s.script("ssh", &format!("echo \"$@\" >> '{}'\nprintf '%s' '{grant}'", log.display()));
    b.s.configure(&format!("[core]\n\tsshCommand = {}\n", ssh.display()));
    let lfs = ox::git::lfs::Lfs::new(&b.git, "ssh://git@h:2222/a/r.git", &b.kept(), &b.cancel).unwrap();
    assert!(lfs.is_there().unwrap());
    let uploads = [b.file("f", b"hello"), b.file("g", b"hello g")];
    lfs.upload(&uploads, &mut |_, _| ()).unwrap();
    lfs.upload(&uploads, &mut |_, _| ()).unwrap();
    let log = fs::read_to_string(log).unwrap();
    let options = "-o BatchMode=yes -o ConnectTimeout=10 -p 2222 git@h git-lfs-authenticate /a/r.git";
    assert_eq!(log, format!("{options} download\n{options} upload\n"), "asked once for each");
    let batch = b.lfs.seen().into_iter().find(|seen| seen.step == Step::Batch).unwrap();
    assert_eq!(batch.headers["authorization"], "RemoteAuth CANARY");
    assert!(b.lfs.get(&uploads[0].object.oid).is_some());
}

#[test]
fn ssh_without_the_program_has_none_and_without_an_answer_is_unknown() {
    let cases = [
        ("echo \"fatal: unrecognized command 'git-lfs-authenticate'\" >&2; exit 128", Ok(false)),
        ("echo 'sh: git-lfs-authenticate: not found' >&2; exit 127", Ok(false)),
        ("echo 'ssh: connect to host h port 22: Connection refused' >&2; exit 255", Err(Class::Network)),
        ("echo 'git@h: Permission denied (publickey).' >&2; exit 255", Err(Class::Auth)),
    ];
    for (does, expected) in cases {
        let b = Bench::new();
        let ssh = b.s.script("ssh", does);
        b.s.configure(&format!("[core]\n\tsshCommand = {}\n", ssh.display()));
        let lfs = ox::git::lfs::Lfs::new(&b.git, "git@h:a/r.git", &b.kept(), &b.cancel).unwrap();
        assert_eq!(lfs.is_there().map_err(|e| e.class()), expected, "{does}");
    }
}
