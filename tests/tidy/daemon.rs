//! How the daemon is laid out: a part is a folder, knows no other, and writes its own table alone.

use super::{files, none, text};

/// No file of the daemon is longer.
const FILE_MAX: usize = 450;
/// The list of all events and effects.
const EVENT_MAX: usize = 100;
/// The shell of the core, all files together.
const HOST_MAX: usize = 600;

/// The files of the daemon by what they stand on: each imports only from layers before its own, from its own part, and, within the layer,
/// from what is named with it. `part/` is every part.
const LAYERS: &[&[&str]] = &[
    &["names", "log_file", "throttle"],
    &["part/event", "shared"],
    &["event", "fact"],
    &["cx"],
    &["host/lanes", "host/latest", "host/watchers"],
    &["part/"],
    &["requests", "wiring", "status"],
    &["core"],
    &["host"],
    &["run"],
    &["client/"],
    &[""],
];

/// Which part may write which table of `shared.rs`.
const WRITERS: &[(&str, &str)] =
    &[("projects_mut", "projects"), ("clones_mut", "clones"), ("agents_mut", "presence")];

/// The folders with an `event.rs`.
fn parts() -> Vec<String> {
    let events = files("src/daemon").into_iter();
    let names =
        events.filter_map(|f| Some(f.strip_prefix("src/daemon/")?.strip_suffix("/event.rs")?.to_string()));
    names.collect()
}

/// The module of a file below `daemon`: `["clones", "gc"]`, or `["clones"]` for its `mod.rs`.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/daemon/").trim_end_matches(".rs");
    let mut module: Vec<String> = path.split('/').map(str::to_string).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

/// What a file of the daemon imports from the daemon, each as the names below `daemon`, with its line.
fn imported(file: &str) -> Vec<(usize, Vec<String>)> {
    let module = module(file);
    let mut found = Vec::new();
    for (n, line) in joined(&text(file)) {
        let line = line.as_str();
        for (at, _) in line.match_indices("crate::daemon::") {
            found.extend(targets(&line[at + "crate::daemon::".len()..]).into_iter().map(|t| (n, t)));
        }
        for (at, _) in line.match_indices("super::") {
            if line[..at].ends_with("super::") {
                continue;
            }
            let rest = line[at..].trim_start_matches("super::");
            let ups = (line.len() - at - rest.len()) / "super::".len();
            // Inside of a `mod tests` the first `super` is the file itself; that is its own business.
            let Some(base) = module.len().checked_sub(ups).map(|left| &module[..left]) else { continue };
            found.extend(targets(rest).into_iter().map(|t| (n, [base.to_vec(), t].concat())));
        }
    }
    found
}

/// The code lines of a source, a `use` with its group on one, without comments.
fn joined(source: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (n, line) in source.lines().enumerate() {
        let code = if line.trim_start().starts_with("//") { "" } else { line };
        if code.starts_with("#[cfg(test)]") {
            break;
        }
        match lines.last_mut().filter(|_| open) {
            Some((_, last)) => last.push_str(code.trim()),
            None => lines.push((n + 1, code.to_string())),
        }
        let is_use = lines.last().is_some_and(|(_, l)| {
            let l = l.trim_start();
            l.starts_with("use ") || l.starts_with("pub use ") || l.starts_with("pub(super) use ")
        });
        open = is_use && !code.trim_end().ends_with(';');
    }
    lines
}

/// The first two names of what follows a prefix: one path, or those of a group in braces.
fn targets(rest: &str) -> Vec<Vec<String>> {
    let names = |path: &str| -> Vec<String> {
        let word = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        path.split("::").take(2).map(|s| word(s.trim())).take_while(|s| !s.is_empty()).collect()
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![names(rest)] };
    let group = group.split('}').next().unwrap_or_default();
    group.split(',').map(names).filter(|names| !names.is_empty()).collect()
}

/// The layer of a module; a part's `event` has its own.
fn layer(module: &[String], parts: &[String]) -> usize {
    let is_part = module.first().is_some_and(|first| parts.contains(first));
    let name = match module {
        [_, second, ..] if is_part && second == "event" => "part/event".to_string(),
        _ if is_part => "part/".to_string(),
        [first, second, ..]
            if first == "host" && ["lanes", "latest", "watchers"].contains(&second.as_str()) =>
        {
            format!("{first}/{second}")
        }
        [first, ..] if first == "client" => "client/".to_string(),
        [first, ..] => first.clone(),
        [] => String::new(),
    };
    LAYERS.iter().position(|layer| layer.contains(&name.as_str())).unwrap_or(LAYERS.len() - 1)
}

#[test]
fn no_part_of_the_daemon_knows_another() {
    let parts = parts();
    assert!(parts.len() >= 8, "{parts:?}");
    let mut found = Vec::new();
    for file in files("src/daemon") {
        let module = module(&file);
        let Some(own) = module.first().filter(|first| parts.contains(first)) else { continue };
        for (line, target) in imported(&file) {
            if target.first().is_some_and(|first| first != own && parts.contains(first)) {
                // What all parts are told of: who is at work for whom is no neighbour's state.
                if target.get(1).is_some_and(|second| second == "event") && module == ["shared"] {
                    continue;
                }
                found.push(format!("{file}:{line}: {}", target.join("::")));
            }
        }
    }
    none("a part that knows another", &found);
}

#[test]
fn imports_inside_of_the_daemon_point_down() {
    let parts = parts();
    let mut found = Vec::new();
    for file in files("src/daemon").into_iter().filter(|f| f != "src/daemon/mod.rs") {
        let own = module(&file);
        let mine = layer(&own, &parts);
        for (line, target) in imported(&file) {
            let theirs = layer(&target, &parts);
            let same_part = own.first() == target.first();
            if theirs > mine && !same_part {
                found.push(format!("{file}:{line}: {}", target.join("::")));
            }
        }
    }
    println!("{} upward imports", found.len());
    none("imports that point up", &found);
}

#[test]
fn each_shared_table_has_one_writer() {
    let mut found = Vec::new();
    for file in files("src/daemon").into_iter().filter(|f| f != "src/daemon/shared.rs") {
        for (n, line) in text(&file).lines().enumerate() {
            for (table, writer) in WRITERS {
                if line.contains(&format!(".{table}(")) && module(&file).first().is_none_or(|m| m != writer) {
                    found.push(format!("{file}:{}: {table} is for {writer}", n + 1));
                }
            }
        }
    }
    none("a table written by another part", &found);
}

#[test]
fn files_of_the_daemon_stay_short() {
    let lines = |file: &str| text(file).lines().count();
    let mut found = Vec::new();
    for file in files("src/daemon") {
        let most = if file == "src/daemon/event.rs" { EVENT_MAX } else { FILE_MAX };
        if lines(&file) > most {
            found.push(format!("{file}: {} lines", lines(&file)));
        }
    }
    let host: usize = files("src/daemon/host").iter().map(|file| lines(file)).sum();
    if host > HOST_MAX {
        found.push(format!("src/daemon/host: {host} lines"));
    }
    none("files to be split", &found);
}

#[test]
fn imports_of_the_daemon_are_found_in_every_form() {
    let check = |line: &str, expected: &[&str]| {
        let found: Vec<String> = targets(line).iter().map(|names| names.join("::")).collect();
        assert_eq!(found, expected, "{line}");
    };
    check("cx::Cx;", &["cx::Cx"]);
    check("host::lanes::{Lane, Lanes};", &["host::lanes"]);
    check("{accounts, clones::event, x as y};", &["accounts", "clones::event", "x"]);
    assert_eq!(joined("use a::{\n    b,\n    c,\n};\nx"), [(1, "use a::{b,c,};".into()), (5, "x".into())]);
    assert_eq!(module("src/daemon/clones/mod.rs"), ["clones"]);
    assert_eq!(module("src/daemon/core.rs"), ["core"]);
}
