//! Where an agent program's file of hooks lies, and whether this machine is one whose settings are its own.

use std::path::{Path, PathBuf};

use crate::harness::hooks::Hooks;
use crate::project::Env;

/// The program's directory; `None` without a home directory.
pub(super) fn dir(hooks: &Hooks, env: &Env) -> Option<PathBuf> {
    if let Some(moved) = hooks.moved_by.and_then(|name| env.get_os(name)) {
        let moved = Path::new(moved);
        // codex takes the whole value; others that read it take a list.
        let first = moved.to_str().and_then(|text| text.split_once(',')).map(|(first, _)| Path::new(first));
        return Some(env.absolute(first.filter(|_| !moved.exists()).unwrap_or(moved)));
    }
    let home = hooks.home_by.and_then(|name| env.dir(name)).or_else(|| env.home())?;
    match (hooks.dir.strip_prefix(".config/"), env.dir("XDG_CONFIG_HOME")) {
        (Some(below), Some(config)) => Some(config.join(below)),
        _ => Some(home.join(hooks.dir)),
    }
}

/// Its file.
pub(super) fn file(hooks: &Hooks, env: &Env) -> Option<PathBuf> {
    dir(hooks, env).map(|dir| dir.join(hooks.file))
}

/// The sign by which this is a container, in which a home directory may be that of the machine around it.
pub(super) fn container(env: &Env) -> Option<&'static str> {
    let signs = ["/.dockerenv", "/run/.containerenv"];
    if let Some(sign) = signs.into_iter().find(|path| Path::new(path).exists()) {
        return Some(sign);
    }
    if env.get("container").is_some() {
        return Some("the variable container");
    }
    let groups = std::fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    is_container_group(&groups).then_some("/proc/1/cgroup")
}

fn is_container_group(groups: &str) -> bool {
    ["docker", "kubepods", "containerd", "libpod", "/lxc/"].iter().any(|name| groups.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::hooks::{CLAUDE, CODEX, GEMINI, OPENCODE};

    #[test]
    fn a_file_lies_where_its_program_looks() {
        let check = |hooks: &Hooks, vars: &[(&str, &str)], expected: &str| {
            let vars = vars.iter().copied().chain([("HOME", "/h")]);
            let env = Env::of(vars.collect::<Vec<_>>(), "/w");
            assert_eq!(file(hooks, &env).unwrap(), Path::new(expected));
        };
        check(&CLAUDE, &[], "/h/.claude/settings.json");
        check(&CLAUDE, &[("CLAUDE_CONFIG_DIR", "/c")], "/c/settings.json");
        check(&CODEX, &[], "/h/.codex/hooks.json");
        check(&CODEX, &[("CODEX_HOME", "rel")], "/w/rel/hooks.json");
        check(&CODEX, &[("CODEX_HOME", "/no/a,/no/b")], "/no/a/hooks.json");
        check(&CODEX, &[("CODEX_HOME", "")], "/h/.codex/hooks.json");
        check(&GEMINI, &[("GEMINI_CLI_HOME", "/g")], "/g/.gemini/settings.json");
        check(&OPENCODE, &[], "/h/.config/opencode/plugin/ox.js");
        check(&OPENCODE, &[("XDG_CONFIG_HOME", "/x")], "/x/opencode/plugin/ox.js");
        check(&OPENCODE, &[("OPENCODE_CONFIG_DIR", "/o")], "/o/plugin/ox.js");
        assert_eq!(file(&CODEX, &Env::of([("A", "b")], "/w")), None);
    }

    #[test]
    fn a_container_is_told_by_its_signs() {
        assert!(is_container_group("12:cpu:/docker/0a1b\n"));
        assert!(is_container_group("0::/kubepods.slice/x\n"));
        assert!(!is_container_group("0::/init.scope\n"));
    }
}
