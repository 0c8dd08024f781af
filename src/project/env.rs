//! The environment and the current directory as they were at one moment, handed in so that tests choose them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A snapshot of the environment variables, the current directory and the home directory.
#[derive(Clone, Debug, Default)]
pub struct Env {
    vars: BTreeMap<OsString, OsString>,
    cwd: Option<PathBuf>,
    home: Option<PathBuf>,
}

impl Env {
    /// This process's own. The home directory is `HOME`, else the one of the user database.
    pub fn process() -> Env {
        Env {
            vars: std::env::vars_os().collect(),
            cwd: std::env::current_dir().ok(),
            home: std::env::home_dir(),
        }
    }

    /// Exactly these variables, standing in `cwd`. The home directory is `HOME` if given, else unknown.
    pub fn of<K: Into<OsString>, V: Into<OsString>>(
        vars: impl IntoIterator<Item = (K, V)>,
        cwd: impl Into<PathBuf>,
    ) -> Env {
        let vars: BTreeMap<OsString, OsString> =
            vars.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        let home = vars.get(OsStr::new("HOME")).filter(|v| !v.is_empty()).map(PathBuf::from);
        Env { vars, cwd: Some(cwd.into()), home }
    }

    /// The value of a variable. `None` if it is unset, empty or not UTF-8: no variable of ours means anything when empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_os(name)?.to_str()
    }

    /// As [`Env::get`], for values that are paths.
    pub fn get_os(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(OsStr::new(name)).filter(|v| !v.is_empty()).map(OsString::as_os_str)
    }

    /// A variable that holds an absolute path. A relative one is ignored, as the base directory rules ask.
    pub fn dir(&self, name: &str) -> Option<&Path> {
        self.get_os(name).map(Path::new).filter(|p| p.is_absolute())
    }

    /// All variables that are set, also empty ones.
    pub fn vars(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.vars.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Where a program lies that `PATH` leads to.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.get_os("PATH").map(OsString::from).unwrap_or_default();
        std::env::split_paths(&path).map(|dir| self.absolute(&dir.join(name))).find(|path| is_program(path))
    }

    /// The current directory; `None` if it could not be read, as when it was deleted.
    pub fn cwd(&self) -> Option<&Path> {
        self.cwd.as_deref()
    }

    /// The user's home directory, if it is known and absolute.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref().filter(|p| p.is_absolute())
    }

    /// The directory for temporary files: `TMPDIR`, else `/tmp`.
    pub fn temp(&self) -> &Path {
        self.dir("TMPDIR").unwrap_or(Path::new("/tmp"))
    }

    /// `path` made absolute against the current directory; unchanged if that is unknown.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        match &self.cwd {
            Some(cwd) => cwd.join(path),
            None => path.to_owned(),
        }
    }

    /// Replaces `$NAME` and `${NAME}` by the variables' values, unset ones by nothing.
    pub fn expand(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let braced = after.strip_prefix('{').and_then(|s| s.split_once('}'));
            let (name, tail) = match braced {
                Some((name, tail)) => (name, tail),
                None => {
                    let end =
                        after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
                    after.split_at(end)
                }
            };
            if name.is_empty() {
                out.push('$');
            }
            out.push_str(self.get(name).unwrap_or_default());
            rest = tail;
        }
        out.push_str(rest);
        out
    }
}

/// Whether a file is there that may be run.
pub fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_path_leads() {
        let tmp = tempfile::tempdir().unwrap();
        let env = Env::of([("PATH", tmp.path())], "/");
        let program = tmp.path().join("claude");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        assert_eq!(env.program("claude"), None);
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(env.program("claude"), Some(program));
        assert_eq!(env.program("codex"), None);
    }

    #[test]
    fn empty_variables_are_unset_and_relative_directories_are_ignored() {
        let env = Env::of([("A", ""), ("B", "x"), ("C", "/y")], "/w");
        assert_eq!((env.get("A"), env.get("B"), env.get("Z")), (None, Some("x"), None));
        assert_eq!((env.dir("B"), env.dir("C")), (None, Some(Path::new("/y"))));
        assert_eq!(env.home(), None);
        assert_eq!(env.absolute(Path::new("p")), Path::new("/w/p"));
        assert_eq!(env.temp(), Path::new("/tmp"));
    }

    #[test]
    fn variables_are_expanded_in_both_forms() {
        let env = Env::of([("A", "1"), ("LONG_NAME", "2")], "/");
        let check = |input: &str, expected: &str| assert_eq!(env.expand(input), expected, "{input}");
        check("$A/x", "1/x");
        check("${A}b$LONG_NAME", "1b2");
        check("$NONE-$", "-$");
        check("${A", "${A");
        check("ü$A", "ü1");
    }
}
