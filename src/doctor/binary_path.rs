//! Would the shell run this program, or another one of the same name?

use std::env::split_paths;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};

pub(super) const CHECK: Check = Check {
    slug: "binary-path",
    name: "ox on PATH",
    category: Category::Machine,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let Some(exe) = cx.exe.as_deref() else {
        return Outcome::skipped("the system does not say which program this is");
    };
    let first =
        cx.env.get_os("PATH").and_then(|path| split_paths(path).map(|d| d.join("ox")).find(|p| runs(p)));
    match first {
        None => Outcome::skipped(format!("not on PATH; this is {}", exe.display())),
        Some(first) if real(&first) == real(exe) => Outcome::passed(first.display().to_string()),
        Some(first) => {
            Outcome::warning(format!("{} comes first, this is {}", first.display(), exe.display())).remedy(
                Remedy::Person(format!("put {} before it on PATH", exe.parent().unwrap_or(exe).display())),
            )
        }
    }
}

fn runs(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
