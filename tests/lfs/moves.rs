//! What goes and comes as it should.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::lfs::bench::{Bench, bytes, object, part};
use crate::support::lfs::{Step, Trick};
use serde_json::Value;

#[test]
fn what_is_uploaded_comes_back_byte_for_byte() {
    let b = Bench::new();
    b.lfs.verifies();
    let files: Vec<_> = (0..9).map(|n| bytes(n * 70_000 + 1)).collect();
    let uploads: Vec<_> = files.iter().enumerate().map(|(n, f)| b.file(&n.to_string(), f)).collect();
    let mut heard = Vec::new();
    b.client().upload(&uploads, &mut |done, total| heard.push((done, total))).unwrap();
    let total: u64 = files.iter().map(|f| f.len() as u64).sum();
    assert!(heard.iter().all(|(done, of)| *of == total && done <= of));
    assert_eq!(heard.last(), Some(&(total, total)));
    assert_eq!((b.lfs.count(Step::Put), b.lfs.count(Step::Verify)), (9, 9));
    let downloads: Vec<_> = files.iter().enumerate().map(|(n, f)| b.wanted(&n.to_string(), f)).collect();
    b.download(&downloads).unwrap();
    for (download, file) in downloads.iter().zip(&files) {
        assert_eq!(&fs::read(&download.to).unwrap(), file);
        assert_eq!(fs::metadata(&download.to).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!part(&download.to).exists());
    }
    // Again there is nothing to move.
    let before = (b.lfs.count(Step::Put), b.lfs.count(Step::Get));
    b.upload(&uploads).unwrap();
    b.download(&downloads).unwrap();
    assert_eq!((b.lfs.count(Step::Put), b.lfs.count(Step::Get)), before);
}

#[test]
fn a_hundred_are_asked_about_at_once() {
    let b = Bench::new();
    let uploads: Vec<_> =
        (0..230).map(|n| b.file(&n.to_string(), format!("content {n}").as_bytes())).collect();
    b.upload(&uploads).unwrap();
    let asked: Vec<usize> = b
        .lfs
        .seen()
        .iter()
        .filter(|seen| seen.step == Step::Batch)
        .map(|seen| serde_json::from_slice::<Value>(&seen.body).unwrap()["objects"].as_array().unwrap().len())
        .collect();
    // The first is the look whether there is a server.
    assert_eq!(asked, [1, 100, 100, 30]);
    assert_eq!(b.lfs.count(Step::Put), 230);
}

#[test]
fn a_request_says_what_the_protocol_wants() {
    let b = Bench::new();
    let upload = b.file("f", b"hello");
    b.upload(std::slice::from_ref(&upload)).unwrap();
    let seen = b.lfs.seen();
    let batch = seen.iter().rfind(|seen| seen.step == Step::Batch).unwrap();
    assert_eq!(batch.path, "/r.git/info/lfs/objects/batch");
    for name in ["accept", "content-type"] {
        assert_eq!(batch.headers[name], "application/vnd.git-lfs+json");
    }
    let question: Value = serde_json::from_slice(&batch.body).unwrap();
    assert_eq!(question["operation"], "upload");
    assert_eq!(question["transfers"], serde_json::json!(["basic"]));
    assert_eq!(question["objects"][0]["oid"], upload.object.oid.as_str());
    let put = seen.iter().find(|seen| seen.step == Step::Put).unwrap();
    assert_eq!((put.headers["content-length"].as_str(), put.body.as_slice()), ("5", &b"hello"[..]));
    assert_eq!(put.headers["content-type"], "application/octet-stream");
    assert!(!put.headers.contains_key("transfer-encoding"));
}

#[test]
fn a_download_goes_on_where_it_ended() {
    let b = Bench::new();
    let content = bytes(3 << 20);
    let wanted = b.wanted("f", &content);
    fs::write(part(&wanted.to), &content[..1 << 20]).unwrap();
    b.download(std::slice::from_ref(&wanted)).unwrap();
    assert_eq!(fs::read(&wanted.to).unwrap(), content);
    let get = b.lfs.seen().into_iter().find(|seen| seen.step == Step::Get).unwrap();
    assert_eq!(get.headers["range"], "bytes=1048576-");
    assert_eq!(get.headers["accept-encoding"], "identity");
}

#[test]
fn a_server_that_knows_no_parts_sends_it_all() {
    let b = Bench::new();
    let content = bytes(100_000);
    let wanted = b.wanted("f", &content);
    fs::write(part(&wanted.to), &content[..50_000]).unwrap();
    b.lfs.trick(Step::Get, Trick::Whole);
    b.download(std::slice::from_ref(&wanted)).unwrap();
    assert_eq!(fs::read(&wanted.to).unwrap(), content);
    assert_eq!(b.lfs.count(Step::Get), 1);
}

#[test]
fn what_came_before_and_is_no_part_of_it_is_thrown_away() {
    let b = Bench::new();
    let content = bytes(100_000);
    for before in [vec![7; 50_000], vec![7; 100_000], vec![7; 100_001]] {
        let wanted = b.wanted("f", &content);
        fs::write(part(&wanted.to), &before).unwrap();
        b.download(std::slice::from_ref(&wanted)).unwrap();
        assert_eq!(fs::read(&wanted.to).unwrap(), content, "{}", before.len());
        fs::remove_file(&wanted.to).unwrap();
    }
}

#[test]
fn a_file_that_has_the_name_already_is_replaced_if_it_is_another() {
    let b = Bench::new();
    let wanted = b.wanted("f", b"right");
    fs::write(&wanted.to, "wrong").unwrap();
    b.download(std::slice::from_ref(&wanted)).unwrap();
    assert_eq!(fs::read(&wanted.to).unwrap(), b"right");
}

#[test]
fn what_the_server_has_is_told_by_its_size_too() {
    let b = Bench::new();
    let there = b.wanted("f", b"hello").object;
    let small = ox::kit::pointer::Pointer { size: 4, ..there.clone() };
    let gone = object(b"gone");
    let name = |o: &ox::kit::pointer::Pointer, name: &str| (name.to_owned(), o.clone());
    let objects = [name(&there, "there"), name(&gone, "gone"), name(&small, "small")];
    assert_eq!(b.client().missing(&objects[..1]).unwrap(), Vec::<String>::new());
    let missing = b.client().missing(&objects[1..]).unwrap();
    assert_eq!(missing, ["gone (the server does not have it)", "small (the server has 5 of 4 bytes)"]);
    // One byte is asked for, not all of it.
    let get = b.lfs.seen().into_iter().find(|seen| seen.step == Step::Get).unwrap();
    assert_eq!(get.headers["range"], "bytes=0-0");
    b.lfs.tricks(Step::Batch, &Trick::Status(503), 9);
    assert!(b.client().missing(&objects[..1]).is_err(), "unknown is not missing");
}

#[test]
fn a_redirect_takes_no_header_along() {
    let b = Bench::new();
    let wanted = b.wanted("f", b"hello");
    let to = format!("http://{}/-/lfs/{}/bare", b.server.address(), wanted.object.oid);
    b.lfs.trick(Step::Get, Trick::Redirect(to));
    b.download(std::slice::from_ref(&wanted)).unwrap();
    let gets: Vec<_> = b.lfs.seen().into_iter().filter(|seen| seen.step == Step::Get).collect();
    assert!(gets[0].headers.contains_key("x-ticket"));
    assert!(!gets[1].headers.contains_key("x-ticket"), "{:?}", gets[1]);
}
