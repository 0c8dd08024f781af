//! What a server may do wrong, and what comes of it.

use std::fs;
use std::time::Duration;

use ox::git::{Bounds, GitError};
use ox::kit::Class;

use crate::lfs::bench::{Bench, bounds, bytes, part};
use crate::support::http_script::{self, ok};
use crate::support::lfs::{Step, Trick};

/// What passes by itself is tried again until it is over.
#[test]
fn what_passes_is_tried_again() {
    let passing = [
        (Step::Batch, Trick::Status(500)),
        (Step::Batch, Trick::Status(503)),
        (Step::Batch, Trick::RetryAfter(0)),
        (Step::Batch, Trick::Refuse(503)),
        (Step::Batch, Trick::Drop),
        (Step::Batch, Trick::Cut),
        (Step::Batch, Trick::Page),
        (Step::Batch, Trick::Expired),
        (Step::Put, Trick::Status(500)),
        (Step::Put, Trick::Status(502)),
        (Step::Put, Trick::RetryAfter(0)),
        (Step::Put, Trick::Drop),
        (Step::Put, Trick::Status(403)),
        (Step::Verify, Trick::Status(503)),
        (Step::Verify, Trick::Drop),
    ];
    for (step, trick) in passing {
        let b = Bench::new();
        b.lfs.verifies();
        assert!(b.client().is_there().unwrap());
        b.lfs.tricks(step, &trick, 2);
        let file = b.file("f", b"hello");
        b.upload(std::slice::from_ref(&file)).unwrap_or_else(|e| panic!("{step:?} {trick:?}: {e}"));
        assert_eq!(b.lfs.get(&file.object.oid).unwrap(), b"hello", "{step:?} {trick:?}");
    }
    let passing = [
        Trick::Status(500),
        Trick::RetryAfter(0),
        Trick::Drop,
        Trick::Cut,
        Trick::Status(404),
        Trick::Status(403),
    ];
    for trick in passing {
        let b = Bench::new();
        let content = bytes(100_000);
        let wanted = b.wanted("f", &content);
        b.lfs.tricks(Step::Get, &trick, 2);
        b.download(std::slice::from_ref(&wanted)).unwrap_or_else(|e| panic!("{trick:?}: {e}"));
        assert_eq!(fs::read(&wanted.to).unwrap(), content, "{trick:?}");
    }
}

#[test]
fn what_does_not_pass_is_given_up_after_a_few_attempts() {
    for (step, trick, attempts) in [
        (Step::Put, Trick::Status(500), 4),
        (Step::Put, Trick::Status(403), 3),
        (Step::Batch, Trick::Status(503), 4),
    ] {
        let b = Bench::new();
        assert!(b.client().is_there().unwrap());
        let before = b.lfs.count(step);
        b.lfs.tricks(step, &trick, 50);
        let e = b.upload(&[b.file("f", b"hello")]).unwrap_err();
        assert_eq!(b.lfs.count(step) - before, attempts, "{trick:?}: {e}");
        let class = if trick == Trick::Status(403) { Class::Auth } else { Class::Network };
        assert_eq!(e.class(), class, "{e}");
    }
}

#[test]
fn a_server_that_wants_to_be_left_alone_for_long_is() {
    let b = Bench::new();
    assert!(b.client().is_there().unwrap());
    b.lfs.tricks(Step::Put, &Trick::RetryAfter(600), 9);
    let e = b.upload(&[b.file("f", b"hello")]).unwrap_err();
    assert_eq!(b.lfs.count(Step::Put), 1);
    assert_eq!((e.class(), e.retry_after()), (Class::Network, Some(Duration::from_secs(600))));
}

#[test]
fn what_is_refused_is_told_by_name_and_everything_else_arrives() {
    let b = Bench::new();
    let uploads: Vec<_> =
        (0..5).map(|n| b.file(&format!("f{n}"), format!("content {n}").as_bytes())).collect();
    assert!(b.client().is_there().unwrap());
    b.lfs.trick(Step::Put, Trick::Status(413));
    let e = b.upload(&uploads).unwrap_err();
    let GitError::LfsObjects { failed, .. } = &e else { panic!("{e}") };
    assert_eq!((failed.len(), failed[0].why.as_str()), (1, "it is too large for the server"));
    assert!(failed[0].name.starts_with('f'));
    assert_eq!(e.class(), Class::Usage);
    assert_eq!(uploads.iter().filter(|u| b.lfs.get(&u.object.oid).is_some()).count(), 4);

    b.lfs.trick(Step::Batch, Trick::Refuse(422));
    let e = b.upload(&uploads).unwrap_err().to_string();
    assert!(e.contains("f0: status 422: told to; f1: "), "{e}");
    let wanted = b.wanted("gone", b"gone");
    b.lfs.lose(&wanted.object.oid);
    let e = b.download(&[wanted]).unwrap_err();
    assert!(e.to_string().ends_with("failed: gone: the server does not have it"), "{e}");
    b.lfs.trick(Step::Batch, Trick::OtherSize(7));
    let e = b.download(&[b.wanted("f", b"hello")]).unwrap_err();
    assert!(e.to_string().ends_with("f: the server has one of 7 bytes"), "{e}");
}

#[test]
fn wrong_bytes_get_no_name() {
    for trick in [Trick::OtherBytes, Trick::More] {
        let b = Bench::new();
        let wanted = b.wanted("f", &bytes(1000));
        b.lfs.tricks(Step::Get, &trick, 9);
        let e = b.download(std::slice::from_ref(&wanted)).unwrap_err();
        assert_eq!(e.class(), Class::Damage, "{e}");
        assert!(!wanted.to.exists(), "{trick:?}");
        assert!(fs::metadata(part(&wanted.to)).is_ok_and(|m| m.len() == 0) || !part(&wanted.to).exists());
    }
}

#[test]
fn a_transfer_that_stands_still_is_left_and_goes_on_later() {
    let b = Bench::new();
    let content = bytes(3 << 20);
    let wanted = b.wanted("f", &content);
    let short = Bounds { transfer_stall: Duration::from_millis(300), ..bounds() };
    let git = b.git.clone().with_bounds(short);
    b.lfs.tricks(Step::Get, &Trick::Stall, 1);
    b.client_of(&git).download(std::slice::from_ref(&wanted), &mut |_, _| ()).unwrap();
    assert_eq!(fs::read(&wanted.to).unwrap(), content);
    let gets: Vec<_> = b.lfs.seen().into_iter().filter(|seen| seen.step == Step::Get).collect();
    assert_eq!(gets.len(), 2);
    assert!(gets[1].headers.contains_key("range"), "it goes on");
}

#[test]
fn addresses_elsewhere_are_not_used_without_tls() {
    let b = Bench::new();
    let elsewhere = http_script::Server::start(|_, _| ok(b""));
    let port = elsewhere.address.port();
    for place in [
        format!("http://localhost:{port}"),
        "http://storage.example".to_owned(),
        "ftp://storage.example".to_owned(),
        format!("http://me:CANARY@127.0.0.1:{port}"),
        "http://169.254.169.254".to_owned(),
    ] {
        assert!(b.client().is_there().unwrap());
        b.lfs.trick(Step::Batch, Trick::At(place.clone()));
        let e = b.upload(&[b.file("f", b"hello")]).unwrap_err();
        assert_eq!(e.class(), Class::Usage, "{place}: {e}");
        assert!(e.to_string().contains("nothing was sent there") && !e.to_string().contains("CANARY"), "{e}");
        b.lfs.trick(Step::Batch, Trick::At(place));
        assert!(b.download(&[b.wanted("g", b"hello")]).is_err());
        b.lfs.lose(&crate::support::lfs::oid(b"hello"));
    }
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
}

#[test]
fn an_upload_follows_no_redirect_and_a_download_none_without_tls() {
    let b = Bench::new();
    let elsewhere = http_script::Server::start(|_, _| ok(b"hello"));
    let to = format!("http://localhost:{}/x", elsewhere.address.port());
    b.lfs.trick(Step::Put, Trick::Redirect(to));
    let e = b.upload(&[b.file("f", b"hello")]).unwrap_err();
    assert!(e.to_string().contains("which is not followed"), "{e}");
    b.lfs.trick(Step::Get, Trick::Redirect("http://storage.example/x".to_owned()));
    assert!(b.download(&[b.wanted("g", b"hello g")]).is_err());
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
}

#[test]
fn no_error_has_an_address_or_a_header_in_it() {
    let b = Bench::new();
    assert!(b.client().is_there().unwrap());
    for (step, trick) in [
        (Step::Put, Trick::Status(400)),
        (Step::Put, Trick::Status(404)),
        (Step::Put, Trick::Drop),
        (Step::Put, Trick::Redirect("https://h/?sig=CANARY".to_owned())),
        (Step::Batch, Trick::Refuse(400)),
        (Step::Batch, Trick::Status(400)),
    ] {
        let b = Bench::new();
        b.lfs.tricks(step, &trick, 9);
        // A look that is refused tells of the server; that it is there is known here.
        if let Err(e) = b.upload(&[b.file("f", b"hello")]) {
            let text = format!("{e} {e:?}");
            assert!(!text.contains("CANARY") && !text.contains("/-/lfs"), "{text}");
        }
    }
}

#[test]
fn a_file_that_changes_meanwhile_is_not_taken_for_what_it_was() {
    let b = Bench::new();
    let file = b.file("f", b"hello");
    fs::write(&file.path, "hello and more").unwrap();
    let e = b.upload(std::slice::from_ref(&file)).unwrap_err();
    assert!(e.to_string().ends_with("f: it has changed meanwhile"), "{e}");
    fs::write(&file.path, "jello").unwrap();
    assert!(b.upload(std::slice::from_ref(&file)).is_err(), "of the same size");
    fs::remove_file(&file.path).unwrap();
    assert!(b.upload(&[file]).is_err());
}

#[test]
fn two_that_fetch_the_same_do_not_write_over_each_other() {
    let b = Bench::new();
    let wanted = b.wanted("f", &bytes(1000));
    let held = fs::File::create(part(&wanted.to)).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let e = b.download(std::slice::from_ref(&wanted)).unwrap_err();
    assert_eq!(e.class(), Class::Busy, "{e}");
    drop(held);
    b.download(&[wanted]).unwrap();
}

#[test]
fn a_cancel_ends_it() {
    let b = Bench::new();
    let wanted = b.wanted("f", &bytes(100_000));
    assert!(b.client().is_there().unwrap());
    b.lfs.trick(Step::Get, Trick::Stall);
    let mut rounds = 0;
    let e = b.client().download(&[wanted], &mut |done, _| {
        rounds += 1;
        if done > 0 || rounds > 50 {
            b.cancel.cancel();
        }
    });
    assert!(matches!(e, Err(GitError::Cancelled(_))), "{e:?}");
}
