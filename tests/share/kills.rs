//! A kill at each step: every content can still be had, here or there, and the next call brings it to its end.

use std::fs;

use ox::kit::clock::{Clock as _, SystemClock, pause};
use ox::kit::rng::Rng;
use serde_json::json;

use crate::share::bench::{Bench, NAME, transcript};
use crate::support::lfs::oid;
use crate::support::seed::{self, rounds};

const STAGES: [&str; 6] = ["checking", "uploading", "verifying", "writing", "committing", "pushing"];

#[test]
fn syn_14_a_kill_at_each_step_loses_no_content_and_the_next_call_ends_it() {
    for with_lfs in [true, false] {
        let b = if with_lfs { Bench::new() } else { Bench::without_lfs() };
        for (n, stage) in STAGES.into_iter().enumerate() {
            // Without LFS nothing is uploaded, so that a kill there does not come.
            let comes = with_lfs || !matches!(stage, "uploading" | "verifying");
            let (raw, md) = (transcript(1000 + n), format!("# {stage}\n").into_bytes());
            let content = b.m.session(&[("raw.jsonl", &raw), ("session.md", &md)]);
            let plain = json!({ "summary.json": json!({ "title": stage }).to_string() });
            let args =
                |die_at: &str| json!({ "op": "share", "content": content, "plain": plain, "die_at": die_at });
            let ended = b.m.run(args(stage));
            assert_eq!(ended.was_killed(), comes, "{stage}: {ended:?}");
            for (path, bytes) in content.iter().zip([&raw, &md]) {
                assert_eq!(&fs::read(path).unwrap(), bytes, "{stage}: the caller's own copy");
            }
            // What the remote has refers to nothing that is not there.
            if let (true, Some(_)) = (with_lfs, b.listing().iter().find(|f| f.ends_with("raw.jsonl"))) {
                let pointer = ox::kit::pointer::Pointer::parse(b.shared("raw.jsonl").as_bytes()).unwrap();
                assert!(b.lfs.get(&pointer.oid).is_some(), "{stage}");
            }
            let done = b.m.run(args("never")).ok();
            assert_eq!(done["commit"], b.tip().as_str(), "{stage}");
            assert_eq!(b.m.status(), "", "{stage}");
            let there = |file: &str, bytes: &[u8]| match with_lfs {
                true => assert_eq!(b.lfs.get(&oid(bytes)).unwrap(), bytes, "{stage} {file}"),
                false => assert_eq!(b.shared(file).as_bytes(), bytes.trim_ascii_end(), "{stage} {file}"),
            };
            there("raw.jsonl", &raw);
            there("session.md", &md);
            assert!(b.shared("summary.json").contains(stage));
        }
    }
}

#[test]
fn syn_14_a_kill_at_any_moment_loses_no_content() {
    seed::with("share::kills::syn_14_a_kill_at_any", seed::fresh(), kills);
}

fn kills(seed: u64) {
    let count: u32 = rounds(8, 200);
    let b = Bench::new();
    let args = |n: u32| {
        let content = b.m.session(&[("raw.jsonl", &transcript(2000 + n as usize))]);
        json!({ "op": "share", "content": content, "plain": { "summary.json": json!({ "title": n }).to_string() } })
    };
    let start = SystemClock.now().mono;
    b.m.run(args(count)).ok();
    let whole = SystemClock.now().mono - start;
    let mut rng = Rng::new(seed);
    for n in 0..count {
        let mut child = b.m.start(args(n));
        pause(whole * n / count + rng.up_to(whole / count));
        child.kill().unwrap();
        child.wait().unwrap();
        let raw = transcript(2000 + n as usize);
        let own = b.m.ledger.join(".sageox/cache/sessions").join(NAME).join("raw.jsonl");
        assert_eq!(fs::read(own).unwrap(), raw, "moment {n}");
        if !b.listing().is_empty() {
            let pointer = ox::kit::pointer::Pointer::parse(b.shared("raw.jsonl").as_bytes()).unwrap();
            assert!(b.lfs.get(&pointer.oid).is_some(), "moment {n}");
        }
        // Every second one is finished at once, others by the next that comes.
        if n % 2 == 0 {
            assert_eq!(b.m.run(args(n)).ok()["commit"], b.tip().as_str(), "moment {n}");
            assert_eq!(b.lfs.get(&oid(&raw)).unwrap(), raw, "moment {n}");
            assert_eq!(b.m.status(), "", "moment {n}");
        }
    }
    b.m.run(args(count + 1)).ok();
    assert!(b.shared("summary.json").contains(&(count + 1).to_string()));
}
