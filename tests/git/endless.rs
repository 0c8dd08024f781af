//! Servers that never stop talking, in each phase: every git child ends within its bounds, with an error that says why.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ox::git::{
    Bounds, Git, GitError, PartialClone, Profile, Sparse, clone_partial, clone_plain, create_bare, discover,
};
use ox::http::Client;
use ox::kit::Class;
use ox::kit::cancel::Cancel;
use ox::kit::clock::{SystemClock, pause};

use crate::support::census::processes_of;
use crate::support::git::{Cloned, Sandbox, with_clone, write};
use crate::support::http_git::GitServer;
use crate::support::http_script::{Act, Server, answer, say};
use crate::support::seed::rounds;
use crate::support::{HANG, TestEnv, until};

/// What all children together may hold at any moment, in KiB.
const MEMORY_OF_ALL: u64 = 256 << 10;

/// Runs `work`; the sum of the peaks of all children that lived at one time, in KiB. When it has ended none lives.
fn measured<T: Send>(s: &Sandbox, work: impl FnOnce() -> T + Send) -> (T, u64) {
    let (base, ended) = (s.at(""), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peak = 0;
            while !ended.load(Ordering::Acquire) {
                peak = processes_of(&base).iter().map(|p| peak_of(p.pid)).sum::<u64>().max(peak);
                pause(Duration::from_millis(5));
            }
            peak
        });
        // Also when it panics: the scope waits for the sampler.
        let result = catch_unwind(AssertUnwindSafe(work));
        ended.store(true, Ordering::Release);
        let result = result.unwrap_or_else(|panic| resume_unwind(panic));
        until(|| processes_of(&base).is_empty());
        (result, sampler.join().unwrap())
    })
}

fn peak_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Runs `work`, whose children stay within their memory.
#[track_caller]
fn within_memory<T: Send>(s: &Sandbox, what: &str, work: impl FnOnce() -> T + Send) -> T {
    let (result, peak) = measured(s, work);
    println!("{what}: peak of all children {} MiB", peak >> 10);
    assert!(peak <= MEMORY_OF_ALL, "{what}: {peak} KiB");
    result
}

// ---- the server ----

fn pkt(line: impl AsRef<[u8]>) -> Vec<u8> {
    let line = line.as_ref();
    [format!("{:04x}", line.len() + 4).as_bytes(), line].concat()
}

fn band(n: u8, bytes: &[u8]) -> Vec<u8> {
    pkt([&[n], bytes].concat())
}

/// The head of an answer that has no end.
fn head(kind: &str) -> Act {
    say(&format!("HTTP/1.1 200 OK\r\nContent-Type: application/x-git-{kind}\r\nConnection: close\r\n\r\n"))
}

const TIP: &str = "1111111111111111111111111111111111111111";

/// A server of protocol 2 with one branch that answers `git fetch` with `acts`.
fn sends(acts: Vec<Act>) -> Server {
    Server::start(move |_, request| {
        if request.starts_with("GET ") {
            let can =
                [pkt("version 2\n"), pkt("ls-refs\n"), pkt("fetch=shallow\n"), b"0000".to_vec()].concat();
            return vec![answer(200, "Content-Type: application/x-git-upload-pack-advertisement\r\n", &can)];
        }
        if request.contains("command=ls-refs") {
            let refs = [
                pkt(format!("{TIP} HEAD symref-target:refs/heads/main\n")),
                pkt(format!("{TIP} refs/heads/main\n")),
                b"0000".to_vec(),
            ];
            return vec![answer(
                200,
                "Content-Type: application/x-git-upload-pack-result\r\n",
                &refs.concat(),
            )];
        }
        let ready = [pkt("acknowledgments\n"), pkt("ready\n"), b"0001".to_vec()].concat();
        let start = if request.contains("have ") { ready } else { Vec::new() };
        let start = [start, pkt("packfile\n")].concat();
        [vec![head("upload-pack-result"), Act::Say(start)], acts.clone()].concat()
    })
}

/// The beginning of a pack of nine objects whose first, of a type (1 commit, 3 blob), claims a size.
fn pack_of(kind: u8, size: u64) -> Vec<u8> {
    let mut pack = b"PACK\0\0\0\x02\0\0\0\x09".to_vec();
    let (mut byte, mut rest) = (kind << 4 | (size & 15) as u8, size >> 4);
    while rest > 0 {
        pack.push(byte | 0x80);
        byte = (rest & 0x7f) as u8;
        rest >>= 7;
    }
    pack.push(byte);
    // The head of a zlib stream.
    [pack, vec![0x78, 0x01]].concat()
}

/// A block of a zlib stream that is not the last one, in a packet.
fn stored_block() -> Vec<u8> {
    // Of what does not get smaller: git packs again what it writes down.
    let mut rng = ox::kit::rng::Rng::new(9);
    let noise: Vec<u8> = (0..0x8000 / 8).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
    band(1, &[&[0, 0, 0x80, 0xff, 0x7f], &noise[..]].concat())
}

fn no_bound() -> Bounds {
    Bounds { deadline: HANG, stall: HANG, server_work: HANG, output: u64::MAX, ..Bounds::default() }
}

/// Git that nothing ends but its memory and what `bounds` says.
fn git(s: &Sandbox, bounds: Bounds) -> Git {
    s.git().with_bounds(bounds)
}

fn with_http(s: &Sandbox, profile: Profile) -> Git {
    s.git_as(profile).with_http(Client::new(Arc::new(SystemClock)))
}

fn clone(git: &Git, url: &str, to: &Path) -> Result<(), GitError> {
    clone_plain(git, url, to, &mut |_| (), &Cancel::new())
}

/// A clone whose remote is from now on `url`.
fn moved_to<'s>(s: &'s Sandbox, url: &str) -> Cloned<'s> {
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    c.sh(&["remote", "set-url", "origin", url]);
    c
}

fn fetch(c: &Cloned<'_>, git: &Git) -> GitError {
    with_clone(git, &c.lock, &c.path, |m| m.fetch("main").unwrap_err())
}

#[track_caller]
fn too_large(e: &GitError, of: &str) {
    assert!(matches!(e, GitError::TooLarge { what, .. } if *what == of), "{e:?}");
    assert_eq!(e.class(), Class::Usage, "what is too large once is not asked for again at once");
    assert!(e.to_string().contains("127.0.0.1:"), "{e}");
}

// ---- refs ----

#[test]
fn refs_without_end_fill_no_memory() {
    let line = pkt(format!("{TIP} refs/heads/{}\n", "x".repeat(60_000)));
    let first =
        [pkt("# service=git-upload-pack\n"), b"0000".to_vec(), pkt(format!("{TIP} HEAD\0 \n"))].concat();
    let old = Server::start({
        let line = line.clone();
        move |_, _| {
            vec![head("upload-pack-advertisement"), Act::Say(first.clone()), Act::Repeat(line.clone())]
        }
    });
    let new = Server::start(move |_, request| match request.starts_with("GET ") {
        true => {
            let can = [pkt("version 2\n"), pkt("ls-refs\n"), pkt("fetch\n"), b"0000".to_vec()].concat();
            vec![answer(200, "Content-Type: application/x-git-upload-pack-advertisement\r\n", &can)]
        }
        false => vec![head("upload-pack-result"), Act::Repeat(line.clone())],
    });
    for server in [&old, &new] {
        let s = Sandbox::new();
        let (git, url) = (git(&s, no_bound()), server.url("/r.git"));
        let e = within_memory(&s, "refs", || discover(&git, &url, None, &Cancel::new()).unwrap_err());
        too_large(&e, "memory");
        let e = within_memory(&s, "refs of a clone", || clone(&git, &url, &s.at("c")).unwrap_err());
        too_large(&e, "memory");
        let c = moved_to(&s, &url);
        too_large(&within_memory(&s, "refs of a fetch", || fetch(&c, &git)), "memory");
        // In process there is a cap, and behind it no second try by the git program.
        let (mut s, url) = (Sandbox::new(), &url);
        let log = s.count_git();
        let e = discover(&with_http(&s, Profile::SelfHosted), url, None, &Cancel::new()).unwrap_err();
        assert_eq!(e.class(), Class::Usage, "{e}");
        assert!(!log.exists(), "{}", std::fs::read_to_string(log).unwrap_or_default());
    }
}

#[test]
fn refs_that_come_slowly_have_their_time() {
    let server = Server::start(|_, _| vec![head("upload-pack-advertisement"), Act::Wait]);
    let s = Sandbox::new();
    let short =
        Bounds { deadline: Duration::from_millis(300), stall: Duration::from_millis(300), ..no_bound() };
    let (git, url) = (git(&s, short), server.url("/r.git"));
    let e = within_memory(&s, "slow", || discover(&git, &url, None, &Cancel::new()).unwrap_err());
    assert!(matches!(e, GitError::Timeout { network: true, .. }), "{e:?}");
    let e = within_memory(&s, "slow clone", || clone(&git, &url, &s.at("c")).unwrap_err());
    assert!(matches!(e, GitError::Stalled { .. }), "{e:?}");
}

#[test]
fn a_hundred_times_continue_is_no_answer() {
    let again = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
    let slow = Act::Every(Duration::from_millis(20), again.clone());
    let slow = Server::start(move |_, _| vec![slow.clone()]);
    let server = Server::start(move |_, _| vec![Act::Repeat(again.clone())]);
    let s = Sandbox::new();
    let short = Bounds { stall: Duration::from_secs(rounds(1, 60)), ..no_bound() };
    let e = within_memory(&s, "100", || clone(&git(&s, short), &slow.url("/r.git"), &s.at("c")).unwrap_err());
    assert_eq!(e.class(), Class::Network, "{e:?}");
    let e =
        within_memory(&s, "100", || clone(&git(&s, short), &server.url("/r.git"), &s.at("c")).unwrap_err());
    assert_eq!(e.class(), Class::Network, "{e:?}");
    let look = discover(&with_http(&s, Profile::Vendor), &server.url("/r.git"), None, &Cancel::new());
    assert_eq!(look.unwrap_err().class(), Class::Network);
}

// ---- redirects ----

/// Answers every request with a redirect to another path of its own.
fn circle() -> Server {
    Server::start(|n, request| {
        let path = request.split(' ').nth(1).unwrap();
        vec![answer(302, &format!("Location: /{n}{path}\r\n"), b"")]
    })
}

#[test]
fn a_circle_of_redirects_is_left_at_once_and_not_gone_round_again() {
    for profile in [Profile::SelfHosted, Profile::Vendor] {
        let (server, mut s) = (circle(), Sandbox::new());
        let log = s.count_git();
        let e = discover(&with_http(&s, profile), &server.url("/r.git"), None, &Cancel::new()).unwrap_err();
        assert!(matches!(e, GitError::Refused { status: 302, .. }), "{e:?}");
        assert_eq!((e.class(), server.requests().len()), (Class::Usage, 4));
        assert!(!log.exists(), "the git program is not sent the same way");
    }
    // The git program alone goes nowhere.
    let (server, s) = (circle(), Sandbox::new());
    let url = server.url("/r.git");
    let git = git(&s, no_bound());
    for e in [
        discover(&git, &url, None, &Cancel::new()).map(drop).unwrap_err(),
        clone(&git, &url, &s.at("c")).unwrap_err(),
        fetch(&moved_to(&s, &url), &git),
    ] {
        assert!(matches!(e, GitError::Refused { status: 302, .. }), "{e:?}");
    }
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_redirect_to_another_host_reaches_nobody() {
    let other = Server::start(|_, _| vec![answer(500, "", b"")]);
    let to = other.url("");
    let server = Server::start(move |_, request| {
        let path = request.split(' ').nth(1).unwrap();
        vec![answer(301, &format!("Location: {to}{path}\r\n"), b"")]
    });
    let s = Sandbox::new();
    let url = server.url("/r.git");
    for profile in [Profile::SelfHosted, Profile::Vendor] {
        let e = discover(&with_http(&s, profile), &url, None, &Cancel::new()).unwrap_err();
        let GitError::Redirected { from, to } = &e else { panic!("{e:?}") };
        assert_eq!((from, to), (&server.address.to_string(), &other.address.to_string()));
        assert_eq!(e.class(), Class::Usage);
        let git = with_http(&s, profile);
        assert!(clone(&git, &url, &s.at("c")).is_err());
        assert!(clone(&git.with_bounds(no_bound()), &url, &s.at("c")).is_err());
    }
    assert!(discover(&s.git(), &url, None, &Cancel::new()).is_err());
    fetch(&moved_to(&s, &url), &s.git());
    assert_eq!(other.connections(), 0);
}

#[test]
fn a_repository_that_moved_on_its_server_is_reached_by_git_too() {
    let mut s = Sandbox::new();
    let bare = s.remote("r", &[("a", "1\n")]);
    let env = TestEnv::new();
    let server = GitServer::start(&env, &s.at(""));
    for old in [false, true] {
        if old {
            server.speak_only_v0();
        }
        server.moved("old.git", "r.git");
        let url = format!("http://{}/old.git", server.address());
        // Without a look nobody has said where it is.
        assert!(clone(&s.git(), &url, &s.at("no")).is_err());
        let log = s.count_git();
        let _ = std::fs::remove_file(&log);
        let git = with_http(&s, Profile::SelfHosted);
        discover(&git, &url, None, &Cancel::new()).unwrap();
        assert!(!log.exists());
        let (path, lock) = (s.at(&format!("c{old}")), s.at("locks/c.lock"));
        clone(&git, &url, &path).unwrap();
        assert_eq!(s.sh(&path, &["remote", "get-url", "origin"]), url, "it keeps the name it was given");
        let tip = s.push_elsewhere(&bare, |w| write(&w.join("b"), &format!("{old}\n")));
        with_clone(&git, &lock, &path, |c| {
            c.fetch("main").unwrap();
            c.integrate("main", &crate::support::git::rules()).unwrap();
        });
        assert_eq!(s.sh(&path, &["rev-parse", "HEAD"]), tip);
    }
}

// ---- sideband ----

#[test]
fn a_server_that_chats_is_left_although_it_never_falls_silent() {
    // Fast enough not to count as too slow for 15 s, which would end it before.
    let slowly = |bytes: Vec<u8>| Act::Every(Duration::from_millis(20), bytes.repeat(20));
    let check = |name: &str, act: Act| {
        let server = sends(vec![act]);
        let s = Sandbox::new();
        let short = Bounds { stall: Duration::from_secs(rounds(2, 60)), ..no_bound() };
        let url = server.url("/r.git");
        let e = within_memory(&s, name, || clone(&git(&s, short), &url, &s.at("c")).unwrap_err());
        assert!(matches!(e, GitError::Stalled { .. }), "{name}: {e:?}");
        assert_eq!(e.class(), Class::Network);
        assert!(e.to_string().contains("sent nothing of use"), "{e}");
        assert!(!s.at("c").exists());
        let c = moved_to(&s, &url);
        let e = within_memory(&s, name, || fetch(&c, &git(&s, short)));
        assert!(matches!(e, GitError::Stalled { .. }), "{name}: {e:?}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| check("words", slowly(band(2, b"please wait\n"))));
        scope.spawn(|| check("forged progress", slowly(band(2, b"Receiving objects:  50% (1/2)\r"))));
        scope.spawn(|| check("progress that stands", slowly(band(2, b"Counting objects:  50% (1/2)\r"))));
        scope.spawn(|| check("keep-alives", slowly(b"0005\x01".to_vec())));
    });
}

#[test]
fn a_server_that_chats_without_end_is_cut_off() {
    let server = sends(vec![Act::Repeat(band(2, &[&[b'x'; 60_000][..], b"\n"].concat()))]);
    let s = Sandbox::new();
    let short = Bounds { output: rounds(1 << 20, Bounds::default().output), ..no_bound() };
    let e =
        within_memory(&s, "chat", || clone(&git(&s, short), &server.url("/r.git"), &s.at("c")).unwrap_err());
    too_large(&e, "output");
}

#[test]
fn a_push_whose_server_only_chats_ends() {
    let server = Server::start(|_, request| {
        if request.starts_with("GET ") {
            let zero = "0".repeat(40);
            let refs = [
                pkt("# service=git-receive-pack\n"),
                b"0000".to_vec(),
                pkt(format!("{zero} capabilities^{{}}\0report-status side-band-64k\n")),
                b"0000".to_vec(),
            ];
            let kind = "Content-Type: application/x-git-receive-pack-advertisement\r\n";
            return vec![answer(200, kind, &refs.concat())];
        }
        let chat = band(2, b"running the hooks\n");
        vec![head("receive-pack-result"), Act::Every(Duration::from_millis(20), chat)]
    });
    let s = Sandbox::new();
    let c = moved_to(&s, &server.url("/r.git"));
    s.commit(&c.path, &[("b", "2\n")], "ours");
    let head = c.sh(&["rev-parse", "HEAD"]);
    let short = Bounds { stall: Duration::from_secs(rounds(2, 60)), ..no_bound() };
    let git = git(&s, short);
    let e = within_memory(&s, "push", || {
        with_clone(&git, &c.lock, &c.path, |m| {
            m.push_retry("main", &crate::support::git::rules()).unwrap_err()
        })
    });
    assert!(matches!(e, GitError::Stalled { sub: "push", .. }), "{e:?}");
    assert_eq!((c.sh(&["rev-parse", "HEAD"]), c.status()), (head, String::new()));
}

// ---- pack ----

#[test]
fn a_pack_without_end_fills_neither_disk_nor_memory() {
    let check = |name: &str, start: Vec<u8>, bounds: Bounds, what: &str| {
        let server = sends(vec![Act::Say(band(1, &start)), Act::Repeat(stored_block())]);
        let s = Sandbox::new();
        let (git, url) = (git(&s, bounds), server.url("/r.git"));
        let e = within_memory(&s, name, || clone(&git, &url, &s.at("c")).unwrap_err());
        too_large(&e, what);
        assert!(!s.at("c").exists());
        let slim = || PartialClone {
            filter: true,
            first: Sparse::Everything,
            then: Box::new(|_| Sparse::Everything),
        };
        let before = server.requests().len();
        let e = within_memory(&s, name, || {
            clone_partial(&git, &url, &s.at("c"), slim(), &mut |_| (), &Cancel::new()).unwrap_err()
        });
        too_large(&e, what);
        // A look, which takes two requests, and one clone of three: no second one with more in it.
        assert_eq!(server.requests().len() - before, 5);
        let c = moved_to(&s, &url);
        too_large(&within_memory(&s, name, || fetch(&c, &git)), what);
        let packs = std::fs::read_dir(c.path.join(".git/objects/pack")).unwrap().flatten();
        let left: Vec<_> =
            packs.map(|e| e.file_name()).filter(|n| n.to_string_lossy().starts_with("tmp_")).collect();
        assert!(left.is_empty(), "{left:?}");
    };
    let small = Bounds { file: 8 << 20, ..no_bound() };
    check("a blob of a terabyte", pack_of(3, 1 << 40), small, "disk for one file");
    check("a commit of a gigabyte", pack_of(1, 1 << 30), no_bound(), "memory");
}

/// The most that a server can get: refs that nearly fill the memory of who reads them, and then an object that nearly does.
#[test]
fn refs_and_a_pack_together_stay_within_the_memory_of_all() {
    let refs = 30 << 20;
    let line = |n: usize| pkt(format!("{TIP} refs/heads/{n}{}\n", "x".repeat(60_000)));
    let mut all = [pkt("# service=git-upload-pack\n"), b"0000".to_vec()].concat();
    all.extend(pkt(format!("{TIP} HEAD\0multi_ack_detailed side-band-64k no-done\n")));
    (0..refs / 60_000).for_each(|n| all.extend(line(n)));
    all.extend(b"0000");
    let server = Server::start(move |_, request| match request.starts_with("GET ") {
        true => vec![answer(200, "Content-Type: application/x-git-upload-pack-advertisement\r\n", &all)],
        false => vec![
            head("upload-pack-result"),
            Act::Say(pkt("NAK\n")),
            Act::Say(band(1, &pack_of(1, 80 << 20))),
            Act::Repeat(stored_block()),
        ],
    });
    let s = Sandbox::new();
    let (git, url) = (git(&s, no_bound()), server.url("/r.git"));
    let e = within_memory(&s, "refs and a pack", || clone(&git, &url, &s.at("c")).unwrap_err());
    println!("{e}");
}

// ---- logins ----

#[test]
fn a_server_that_never_accepts_a_login_is_asked_a_few_times() {
    let server = Server::start(|_, _| vec![answer(401, "WWW-Authenticate: Basic realm=\"x\"\r\n", b"")]);
    let s = Sandbox::new();
    let helper = s.script("helper", "echo username=me; echo password=CANARY");
    s.configure(&format!("[credential]\n\thelper = {}\n", helper.display()));
    let url = server.url("/r.git");
    let asked = |most: usize, look: &dyn Fn() -> GitError| {
        let before = server.requests().len();
        let e = look();
        assert_eq!(e.class(), Class::Auth, "{e}");
        assert!(!format!("{e} {e:?}").contains("CANARY"));
        let times = server.requests().len() - before;
        assert!(times <= most, "{times} requests");
    };
    let git = git(&s, no_bound());
    asked(2, &|| discover(&with_http(&s, Profile::SelfHosted), &url, None, &Cancel::new()).unwrap_err());
    asked(3, &|| discover(&git, &url, None, &Cancel::new()).unwrap_err());
    asked(3, &|| clone(&git, &url, &s.at("c")).unwrap_err());
    let c = moved_to(&s, &url);
    asked(3, &|| fetch(&c, &git));
}

// ---- honest ones ----

/// Large and honest: files that are sent whole, and many objects.
#[test]
fn a_large_repository_comes_and_goes_within_the_bounds() {
    // The server's own children are another machine's.
    let (s, theirs, env) = (Sandbox::new(), Sandbox::new(), TestEnv::new());
    let bare = theirs.at("r.git");
    create_bare(&s.git(), &bare, &Cancel::new()).unwrap();
    let server = GitServer::start(&env, &theirs.at(""));
    let url = server.url("r.git");
    let work = theirs.at("w");
    s.sh(&theirs.at(""), &["clone", "-q", bare.to_str().unwrap(), work.to_str().unwrap()]);
    let mut rng = ox::kit::rng::Rng::new(7);
    let mut noise =
        |bytes: usize| (0..bytes / 8).flat_map(|_| rng.next_u64().to_le_bytes()).collect::<Vec<u8>>();
    std::fs::write(work.join("big"), noise(rounds(20, 60) << 20)).unwrap();
    for n in 0..rounds(500, 100_000) {
        write(&work.join(format!("d{}/{n}", n % 100)), &format!("{n}\n").repeat(20));
    }
    s.commit(&work, &[], "large");
    let (git, path) = (s.git(), s.at("c"));
    s.sh(&work, &["push", "-q", "origin", "HEAD:main"]);
    let c = Cloned { sandbox: &s, path: path.clone(), lock: s.at("locks/c.lock") };
    within_memory(&s, "large clone", || clone(&git, &url, &path).unwrap());
    std::fs::write(path.join("big2"), noise(rounds(20, 60) << 20)).unwrap();
    let head = s.commit(&path, &[], "larger");
    within_memory(&s, "large push", || {
        c.with(|m| m.push_retry("main", &crate::support::git::rules()).map(drop).unwrap())
    });
    assert_eq!(s.sh(&bare, &["rev-parse", "main"]), head);
}
