//! The texts that a new project's `.sageox/` begins with.

/// `README.md`: what the directory is, for whoever finds it in a repository.
pub const README: &str = "\
# .sageox

This directory belongs to `ox`, which keeps a shared ledger for this repository: a separate git repository in which the work
of people and coding agents on this project is recorded.

- `config.json` and `.repo_*` name the project and where its ledger is. Commit them, so that everybody who clones this
  repository finds the same ledger.
- Everything that only matters on one machine is listed in `.gitignore`.

Run `ox up` in this repository to join, `ox status` to show the status. Deleting this directory takes the repository out of
`ox`; the ledger itself stays where it is.
";

/// The lines that `.gitignore` must have: machine-local files out, shared ones in.
const IGNORE: [&str; 14] = [
    "logs/",
    "cache/",
    "session.jsonl",
    "sessions/",
    ".needs-doctor",
    ".needs-doctor-agent",
    "agent_instances/",
    "config.local.toml",
    "ledger",
    "teams/",
    "!README.md",
    "!config.json",
    "!discovered.jsonl",
    "!offline/",
];

/// What lies on one machine only, as patterns of a repository's `info/exclude`.
pub fn local_paths() -> Vec<String> {
    IGNORE.iter().filter(|line| !line.starts_with('!')).map(|line| format!("/.sageox/{line}")).collect()
}

/// The content of `.gitignore`: what is there stays byte for byte, missing lines are added at its end. `None` if none is missing.
pub fn gitignore(existing: Option<&str>) -> Option<String> {
    let text = existing.unwrap_or_default();
    let missing: Vec<&str> =
        IGNORE.into_iter().filter(|line| !text.lines().any(|have| have.trim() == *line)).collect();
    if missing.is_empty() {
        return None;
    }
    let mut out = match existing {
        Some(text) => text.to_owned(),
        None => "# What ox keeps on one machine only.\n".to_owned(),
    };
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    for line in missing {
        out.push_str(line);
        out.push('\n');
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_lines_are_added_and_the_rest_stays() {
        let new = gitignore(None).unwrap();
        assert_eq!(new.lines().count(), IGNORE.len() + 1);
        assert_eq!(gitignore(Some(&new)), None);
        let mine = "# mine\r\n*.tmp\n  cache/  \n!config.json";
        let merged = gitignore(Some(mine)).unwrap();
        assert!(merged.starts_with("# mine\r\n*.tmp\n  cache/  \n!config.json\nlogs/\n"));
        assert_eq!(merged.matches("cache/").count(), 1);
        assert_eq!(gitignore(Some(&merged)), None);
    }

    #[test]
    fn an_emptied_file_is_filled_again() {
        assert_eq!(gitignore(Some("")).unwrap().lines().count(), IGNORE.len());
    }
}
