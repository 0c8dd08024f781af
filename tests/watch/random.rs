//! Random work in a tree, against what git and the disk say of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use ox::kit::rng::Rng;

use super::driver::{Driver, Setup, apply};
use super::model::Repo;
use crate::support::comes;

const DIRS: [&str; 8] = ["", "src", "src/a", "src/a/deep", "src-b", "docs", "new/x/y", "target/obj"];

/// A repository with ignored files and a second branch.
pub fn repo() -> Repo {
    let repo = Repo::new(&["a", "src/one", "src/a/two", "src/a/deep/three", "src-b/four", "docs/five"]);
    repo.write(".gitignore", "target/\n*.o\n");
    repo.commit();
    repo.git(&["checkout", "-q", "-b", "other"]);
    for name in ["src/one", "lib/six", "src/a/seven"] {
        repo.write(name, "other");
    }
    fs::remove_dir_all(repo.at("docs")).unwrap();
    repo.commit();
    repo.git(&["checkout", "-q", "main"]);
    repo
}

/// Does something. Much of it fails where things are not as needed; that is part of it.
pub fn operate(repo: &Repo, rng: &mut Rng, rules: bool) -> String {
    let pick = |rng: &mut Rng| -> PathBuf {
        let dir = DIRS[usize::try_from(rng.below(DIRS.len() as u64)).unwrap()];
        let name = ["f1", "f2", "f3", "x.o", "one", "two"][usize::try_from(rng.below(6)).unwrap()];
        repo.at(dir).join(name)
    };
    let dir = |rng: &mut Rng| repo.at(DIRS[usize::try_from(1 + rng.below(DIRS.len() as u64 - 1)).unwrap()]);
    let (one, two) = (pick(rng), pick(rng));
    let (from, to) = (dir(rng), dir(rng));
    let text = format!("{}", rng.next_u64());
    match rng.below(if rules { 17 } else { 16 }) {
        0..=2 => format!("write {one:?}: {:?}", fs::write(&one, text)),
        3 => format!("append {one:?}: {:?}", append(&one, &text)),
        4 => format!("remove {one:?}: {:?}", fs::remove_file(&one)),
        5 => format!("rename {one:?} {two:?}: {:?}", fs::rename(&one, &two)),
        6 => {
            // A directory and its content in one go.
            let deep = from.join(format!("n{}/m/o", rng.below(4)));
            format!(
                "tree {deep:?}: {:?}",
                fs::create_dir_all(&deep).and_then(|()| fs::write(deep.join("f"), text))
            )
        }
        7 => format!("remove all {from:?}: {:?}", fs::remove_dir_all(&from)),
        8 => format!("rename dir {from:?} {to:?}: {:?}", fs::rename(&from, &to)),
        9 => format!("make {from:?}: {:?}", fs::create_dir_all(&from)),
        10 => format!(
            "switch: {}",
            repo.try_git(&["checkout", "-qf", if rng.chance(50) { "main" } else { "other" }])
        ),
        11 => format!("commit: {}", repo.try_git(&["add", "-A"]) && repo.try_git(&["commit", "-qm", "Work"])),
        12 => format!("link {one:?}: {:?}", symlink("..", &one)),
        13 => {
            let mode = if rng.chance(50) { 0o755 } else { 0o644 };
            format!("mode {one:?}: {:?}", fs::set_permissions(&one, fs::Permissions::from_mode(mode)))
        }
        14 => {
            // As editors save.
            let temporary = one.with_extension("tmp");
            format!(
                "save {one:?}: {:?}",
                fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &one))
            )
        }
        15 => format!("untrack: {}", repo.try_git(&["rm", "-rq", "--cached", "--ignore-unmatch", "src-b"])),
        _ => {
            let rule = ["target/\n*.o\n", "target/\n", "*.o\ndocs/\n", "target/\n*.o\nf1\n"]
                [usize::try_from(rng.below(4)).unwrap()];
            format!("rules: {:?}", fs::write(repo.at(".gitignore"), rule))
        }
    }
}

fn append(path: &PathBuf, text: &str) -> std::io::Result<()> {
    std::io::Write::write_all(&mut fs::OpenOptions::new().append(true).open(path)?, text.as_bytes())
}

/// Runs cases of random work; each must be seen, and told without a word too much if rules stay as they are.
pub fn work(seed: u64, count: usize, rules: bool, setup: Setup) -> Driver {
    let repo = repo();
    let driver = Driver::with(&repo.root, setup);
    let mut told: BTreeSet<Box<[u8]>> = driver.view().into_keys().collect();
    let mut rng = Rng::new(seed);
    for case in 0..count {
        let operations: Vec<String> =
            (0..1 + rng.below(30)).map(|_| operate(&repo, &mut rng, rules)).collect();
        let tree = repo.tree();
        let seen = comes(|| driver.runner.files(super::driver::ROOT).is_some_and(|view| view == tree));
        let view = driver.view();
        let wrong: Vec<String> = tree
            .iter()
            .filter(|(path, stat)| view.get(*path) != Some(stat))
            .map(|(path, stat)| format!("{} is {stat:?}, seen {:?}", path.escape_ascii(), view.get(path)))
            .chain(
                view.keys()
                    .filter(|p| !tree.contains_key(*p))
                    .map(|p| format!("{} is not", p.escape_ascii())),
            )
            .collect();
        assert!(seen, "case {case}: {wrong:#?}\nafter {operations:#?}\n{:?}", driver.told.lock().counters);
        if !rules {
            let now: BTreeSet<_> = view.into_keys().collect();
            // The job that saw it has yet to be told of.
            comes(|| {
                apply(&mut told, &std::mem::take(&mut driver.told.lock().early));
                told == now
            });
            assert!(
                told == now,
                "case {case}: told {:?}",
                told.symmetric_difference(&now).collect::<Vec<_>>()
            );
        }
    }
    driver
}
