//! How an agent program is run once, with its user's settings in force and a model server of ours in the place of its model: by its flags and
//! variables alone. It writes no transcript where it can be told so.
//!
//! What the rows say was seen when the programs were run (agents-observed, "Running one for an answer").

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::PROGRAMS;

/// What a program is asked.
pub const PROMPT: &str = "This is `ox hooks test`: run the command true, then say ok.";
/// The model that it is told to ask for.
const MODEL: &str = "ox-probe";
/// A settings file of a program is no longer, in bytes.
const SETTINGS_MAX: usize = 4 << 20;

/// How a program is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Once {
    /// The words behind its name.
    pub args: Vec<String>,
    /// Variables that it is given.
    pub set: Vec<(&'static str, String)>,
}

/// Variables by which a program asks another model than the one that it is told to, or believes that it runs within another agent.
pub fn unset() -> Vec<&'static str> {
    const KEYS: [&str; 14] = [
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_MODEL",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CODE_USE_BEDROCK",
        "CLAUDE_CODE_USE_FOUNDRY",
        "CLAUDE_CODE_USE_VERTEX",
        "CLAUDE_PID",
        "CODEX_API_KEY",
        "GEMINI_MODEL",
        "GOOGLE_API_KEY",
        "GOOGLE_GENAI_USE_GCA",
        "GOOGLE_GENAI_USE_VERTEXAI",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
    ];
    let marks = PROGRAMS.iter().flat_map(|program| program.marks.iter().chain(program.session));
    KEYS.into_iter().chain(marks.copied()).collect()
}

/// How the program that `word` names is run with the model server at `url`; `private` is a directory for what it would keep elsewhere. None of
/// one that cannot be told.
pub fn once(word: &str, url: &str, private: &Path) -> Option<Once> {
    let words = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).collect::<Vec<String>>();
    let mut once = match word {
        "claude" => {
            let own = [
                ("ANTHROPIC_BASE_URL", url),
                ("ANTHROPIC_API_KEY", MODEL),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
                ("DISABLE_AUTOUPDATER", "1"),
                ("DISABLE_TELEMETRY", "1"),
            ];
            let others = [
                ("ANTHROPIC_AUTH_TOKEN", ""),
                ("ANTHROPIC_MODEL", ""),
                ("CLAUDE_CODE_USE_BEDROCK", "0"),
                ("CLAUDE_CODE_USE_FOUNDRY", "0"),
                ("CLAUDE_CODE_USE_VERTEX", "0"),
            ];
            let env: BTreeMap<&str, &str> = own.into_iter().chain(others).collect();
            // What stands in the user's settings beats a variable, and what is said here beats both.
            let settings = json!({ "env": env }).to_string();
            let flags = words(&[
                "-p",
                PROMPT,
                "--output-format",
                "stream-json",
                "--verbose",
                "--no-session-persistence",
                "--strict-mcp-config",
                "--allowedTools",
                "Bash(true)",
                "--settings",
            ]);
            Once {
                set: own.map(|(name, value)| (name, value.to_owned())).into(),
                args: [flags, vec![settings]].concat(),
            }
        }
        "codex" => {
            let provider = format!(
                "model_providers.ox_probe={{name=\"ox\",base_url=\"{url}/v1\",env_key=\"OX_PROBE_KEY\",wire_api=\"responses\",\
                 request_max_retries=0,stream_max_retries=0}}"
            );
            let flags = words(&[
                "exec",
                "--json",
                "--ephemeral",
                "--skip-git-repo-check",
                "-s",
                "read-only",
                "-c",
                "model=\"ox-probe\"",
                "-c",
                "model_provider=\"ox_probe\"",
                "-c",
            ]);
            Once {
                set: vec![("OX_PROBE_KEY", MODEL.to_owned())],
                args: [flags, vec![provider, PROMPT.to_owned()]].concat(),
            }
        }
        "gemini" => Once {
            set: vec![
                ("GOOGLE_GEMINI_BASE_URL", url.to_owned()),
                ("CODE_ASSIST_ENDPOINT", url.to_owned()),
                ("GEMINI_API_KEY", MODEL.to_owned()),
            ],
            args: words(&[
                "-p",
                PROMPT,
                "--approval-mode",
                "yolo",
                "--skip-trust",
                "--output-format",
                "stream-json",
            ]),
        },
        "opencode" => {
            let model = format!("ox_probe/{MODEL}");
            let provider = json!({
                "npm": "@ai-sdk/openai-compatible", "name": "ox",
                "options": { "baseURL": format!("{url}/v1"), "apiKey": MODEL }, "models": { MODEL: { "name": MODEL } },
            });
            let config = json!({
                "model": model, "small_model": model, "autoupdate": false, "share": "disabled",
                "provider": { "ox_probe": provider },
            });
            return Some(Once {
                set: vec![
                    ("OPENCODE_CONFIG_CONTENT", config.to_string()),
                    ("OPENCODE_DB", private.join("opencode.db").to_string_lossy().into_owned()),
                    ("OPENCODE_DISABLE_AUTOUPDATE", "1".to_owned()),
                    ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1".to_owned()),
                    ("OPENCODE_DISABLE_MODELS_FETCH", "1".to_owned()),
                ],
                args: words(&["run", "--format", "json", "--auto", "--model", &model, PROMPT]),
            });
        }
        _ => return None,
    };
    // The model server refuses to hand on what goes elsewhere all the same. opencode fetches what its plug-ins need.
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        once.set.push((name, url.to_owned()));
    }
    for name in ["NO_PROXY", "no_proxy"] {
        once.set.push((name, "127.0.0.1,localhost".to_owned()));
    }
    Some(once)
}

/// Why the program would ask another model whatever it is told; `dir` has its settings, `managed` what an administrator says of it.
pub fn asks_elsewhere(word: &str, dir: &Path, managed: &Path) -> Option<String> {
    match word {
        "claude" => {
            let text = text(managed)?;
            let names = ["ANTHROPIC_BASE_URL", "CLAUDE_CODE_USE_"];
            let name = names.into_iter().find(|name| text.contains(name))?;
            Some(format!("{} says which model it asks ({name})", managed.display()))
        }
        "codex" => {
            let text = text(&dir.join("config.toml"))?;
            let doc: toml_edit::DocumentMut = text.parse().ok()?;
            let profile = doc.get("profile")?.as_str()?;
            Some(format!("its profile {profile} says which model it asks"))
        }
        "gemini" => {
            let text = text(&dir.join("settings.json")).unwrap_or_default();
            let settings: Value = serde_json::from_str(&text).unwrap_or_default();
            let new = &settings["security"]["auth"]["selectedType"];
            let way = new.as_str().or_else(|| settings["selectedAuthType"].as_str());
            match way {
                Some("gemini-api-key") => None,
                Some(way) => Some(format!("it is signed in by {way}, and then asks no other model")),
                None => {
                    Some("it is not set up to be signed in by a key, and then asks no other model".to_owned())
                }
            }
        }
        _ => None,
    }
}

/// Where an administrator's settings of Claude Code stand.
pub fn managed_settings() -> &'static Path {
    Path::new(match cfg!(target_os = "macos") {
        true => "/Library/Application Support/ClaudeCode/managed-settings.json",
        false => "/etc/claude-code/managed-settings.json",
    })
}

pub(super) fn text(path: &Path) -> Option<String> {
    let meta = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    (meta.len() <= SETTINGS_MAX as u64).then(|| fs::read_to_string(path).ok()).flatten()
}

/// What the program keeps of the project in a directory, transcripts included, where it cannot be told to keep nothing; `dir` is the
/// program's own.
pub fn kept(word: &str, dir: &Path, project: &Path) -> Vec<PathBuf> {
    if word != "gemini" {
        return Vec::new();
    }
    let all = ["tmp", "history"].into_iter().filter_map(|name| fs::read_dir(dir.join(name)).ok());
    let all = all.flatten().flatten().map(|entry| entry.path());
    let is_of = |kept: &PathBuf| {
        let root = text(&kept.join(".project_root"));
        root.is_some_and(|root| Path::new(root.trim()) == project)
    };
    all.filter(is_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_with_hooks_can_be_told_which_model_to_ask() {
        for hooks in PROGRAMS.iter().filter_map(|program| program.hooks) {
            let once = once(hooks.word, "http://127.0.0.1:9", Path::new("/private")).unwrap();
            let all = once.args.iter().chain(once.set.iter().map(|(_, value)| value));
            assert!(all.clone().any(|text| text.contains("http://127.0.0.1:9")), "{once:?}");
            assert!(once.args.contains(&PROMPT.to_owned()), "{once:?}");
            // What is unset is not what is set.
            assert!(once.set.iter().all(|(name, _)| !unset().contains(name)), "{once:?}");
        }
        assert_eq!(once("vim", "", Path::new("/")), None);
    }

    #[test]
    fn one_that_would_ask_another_model_is_told() {
        let tmp = tempfile::tempdir().unwrap();
        let (dir, managed) = (tmp.path(), tmp.path().join("managed.json"));
        let ask = |word: &str| asks_elsewhere(word, dir, &managed);
        assert_eq!((ask("claude"), ask("codex"), ask("opencode")), (None, None, None));
        assert!(ask("gemini").unwrap().contains("not set up"));
        fs::write(&managed, r#"{"env":{"ANTHROPIC_BASE_URL":"https://x"}}"#).unwrap();
        assert!(ask("claude").unwrap().contains("ANTHROPIC_BASE_URL"));
        fs::write(dir.join("config.toml"), "model = \"x\"\n[profiles.a]\n").unwrap();
        assert_eq!(ask("codex"), None);
        fs::write(dir.join("config.toml"), "profile = \"a\"\n").unwrap();
        assert!(ask("codex").unwrap().contains("profile a"));
        let auth = |way: &str| format!(r#"{{"security":{{"auth":{{"selectedType":"{way}"}}}}}}"#);
        fs::write(dir.join("settings.json"), auth("oauth-personal")).unwrap();
        assert!(ask("gemini").unwrap().contains("oauth-personal"));
        fs::write(dir.join("settings.json"), auth("gemini-api-key")).unwrap();
        assert_eq!(ask("gemini"), None);
    }

    #[test]
    fn what_is_kept_of_a_project_is_told_by_the_project_s_path() {
        let tmp = tempfile::tempdir().unwrap();
        let make = |kept: &str, root: &str| {
            let kept = tmp.path().join(kept);
            fs::create_dir_all(&kept).unwrap();
            fs::write(kept.join(".project_root"), root).unwrap();
            kept
        };
        let ours = [make("tmp/a", "/p"), make("history/a-1", "/p\n")];
        make("tmp/b", "/p/q");
        fs::create_dir_all(tmp.path().join("tmp/c")).unwrap();
        assert_eq!(kept("gemini", tmp.path(), Path::new("/p")), ours);
        assert!(kept("claude", tmp.path(), Path::new("/p")).is_empty());
    }
}
