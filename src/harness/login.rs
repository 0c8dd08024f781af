//! Whether an agent program can ask its model, by what lies about: variables, and files of its own. No value of a key is read on.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file of a program is no longer, in bytes.
const FILE_MAX: u64 = 16 << 20;

/// What is known of a program's login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// There is one, and of which kind.
    Yes(String),
    /// There is none, and why.
    No(String),
    /// Only the program itself can tell: the words that ask it; and what to say where it does not.
    Ask(&'static [&'static str], String),
}

/// What is known of the login of the program that `word` names; `get` gives variables.
pub fn login(word: &str, home: &Path, get: impl Fn(&str) -> Option<String>) -> Login {
    let first = |names: &[&str]| names.iter().any(|name| get(name).is_some_and(|value| !value.is_empty()));
    let dir = |variable: &str, usual: &str| {
        let named = get(variable).map(PathBuf::from).filter(|dir| dir.is_absolute());
        named.unwrap_or_else(|| home.join(usual))
    };
    let yes = |what: &str| Login::Yes(what.to_owned());
    let no = |why: &str| Login::No(why.to_owned());
    match word {
        "claude" => {
            if first(&["ANTHROPIC_API_KEY"]) {
                return yes("API key");
            }
            if first(&["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_AUTH_TOKEN"]) {
                return yes("token");
            }
            for (variable, what) in
                [("CLAUDE_CODE_USE_BEDROCK", "Bedrock"), ("CLAUDE_CODE_USE_VERTEX", "Vertex AI")]
            {
                if get(variable).is_some_and(|value| is_on(&value)) {
                    return yes(what);
                }
            }
            // A directory of its own has both files.
            let config = dir("CLAUDE_CONFIG_DIR", "").join(".claude.json");
            let credentials = dir("CLAUDE_CONFIG_DIR", ".claude").join(".credentials.json");
            match (object(&config), object(&credentials)) {
                (Found::Object(config), _) if is_filled(&config["oauthAccount"]) => yes("OAuth"),
                (_, Found::Object(credentials)) if is_filled(&credentials["claudeAiOauth"]) => yes("OAuth"),
                (Found::Unreadable, _) => no("config unreadable"),
                _ => no("not logged in"),
            }
        }
        "codex" => {
            if first(&["OPENAI_API_KEY", "CODEX_API_KEY"]) {
                return yes("API key");
            }
            let dir = dir("CODEX_HOME", ".codex");
            if let Found::Object(auth) = object(&dir.join("auth.json")) {
                if is_filled(&auth["tokens"]) {
                    return yes("logged in");
                }
                if auth["OPENAI_API_KEY"].as_str().is_some_and(|key| !key.is_empty()) {
                    return yes("API key");
                }
            }
            if let Some(own) = provider(&dir) {
                return match own.env_key.filter(|key| !first(&[key])) {
                    Some(key) => no(&format!("its provider {} wants {key}, which is not set", own.name)),
                    None => yes(&format!("its provider {}", own.name)),
                };
            }
            Login::Ask(&["login", "status"], "not logged in".to_owned())
        }
        "gemini" => {
            if first(&["GEMINI_API_KEY", "GOOGLE_API_KEY"]) {
                return yes("API key");
            }
            if get("GOOGLE_GENAI_USE_VERTEXAI").is_some_and(|value| is_on(&value)) {
                return yes("Vertex AI");
            }
            if first(&["GOOGLE_APPLICATION_CREDENTIALS"]) {
                return yes("application credentials");
            }
            let oauth = dir("GEMINI_CLI_HOME", "").join(".gemini/oauth_creds.json");
            if matches!(object(&oauth), Found::Object(found) if is_filled(&found)) {
                return yes("OAuth");
            }
            no("no API key")
        }
        _ => no("unknown agent"),
    }
}

/// Whether what a program said of its login, with that exit code, is that there is one.
pub fn is_logged_in(exit_code: Option<i32>, said: &str) -> bool {
    let lower = said.to_ascii_lowercase();
    exit_code == Some(0) && lower.contains("logged in") && !lower.contains("not logged in")
}

fn is_on(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "false" | "no" | "off")
}

fn is_filled(value: &Value) -> bool {
    value.as_object().is_some_and(|object| !object.is_empty())
}

enum Found {
    Object(Value),
    Nothing,
    Unreadable,
}

fn object(path: &Path) -> Found {
    let Some(text) = text(path) else {
        return if path.exists() { Found::Unreadable } else { Found::Nothing };
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(value) if value.is_object() => Found::Object(value),
        _ => Found::Unreadable,
    }
}

fn text(path: &Path) -> Option<String> {
    let meta = fs::metadata(path).ok().filter(|meta| meta.is_file() && meta.len() <= FILE_MAX);
    meta.and_then(|_| fs::read_to_string(path).ok())
}

/// A provider of codex that is not OpenAI's and knows of no login.
struct Provider {
    name: String,
    env_key: Option<String>,
}

fn provider(dir: &Path) -> Option<Provider> {
    let doc: toml_edit::DocumentMut = text(&dir.join("config.toml"))?.parse().ok()?;
    let name = doc.get("model_provider")?.as_str()?.to_owned();
    let own = doc.get("model_providers")?.get(&name)?;
    let wants_login = own.get("requires_openai_auth").and_then(toml_edit::Item::as_bool).unwrap_or(false);
    let env_key = own.get("env_key").and_then(|key| key.as_str()).map(str::to_owned);
    (!wants_login).then_some(Provider { name, env_key })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn with(files: &[(&str, &str)]) -> Home {
            let home = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = home.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Home(home)
        }

        fn login(&self, word: &str, vars: &[(&str, &str)]) -> Login {
            login(word, self.0.path(), |name| {
                vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        }
    }

    fn yes(what: &str) -> Login {
        Login::Yes(what.into())
    }

    fn no(why: &str) -> Login {
        Login::No(why.into())
    }

    #[test]
    fn claude_is_logged_in_by_a_variable_or_by_one_of_its_files() {
        let none = Home::with(&[]);
        let check = |vars: &[(&str, &str)], expected: Login| assert_eq!(none.login("claude", vars), expected);
        check(&[], no("not logged in"));
        check(&[("ANTHROPIC_API_KEY", "k")], yes("API key"));
        check(&[("ANTHROPIC_API_KEY", "")], no("not logged in"));
        check(&[("ANTHROPIC_AUTH_TOKEN", "k")], yes("token"));
        check(&[("CLAUDE_CODE_OAUTH_TOKEN", "k")], yes("token"));
        check(&[("CLAUDE_CODE_USE_BEDROCK", "1")], yes("Bedrock"));
        check(&[("CLAUDE_CODE_USE_VERTEX", "true")], yes("Vertex AI"));
        check(&[("CLAUDE_CODE_USE_VERTEX", "0")], no("not logged in"));
        let of = |path: &str, text: &str| Home::with(&[(path, text)]).login("claude", &[]);
        assert_eq!(of(".claude.json", r#"{"oauthAccount":{"a":1}}"#), yes("OAuth"));
        assert_eq!(of(".claude.json", r#"{"oauthAccount":{}}"#), no("not logged in"));
        assert_eq!(of(".claude.json", r#"{"oauthAccount":"#), no("config unreadable"));
        assert_eq!(of(".claude/.credentials.json", r#"{"claudeAiOauth":{"t":1}}"#), yes("OAuth"));
        let moved = Home::with(&[
            ("c/.claude.json", r#"{"oauthAccount":{"a":1}}"#),
            ("d/.credentials.json", r#"{"claudeAiOauth":{"a":1}}"#),
        ]);
        assert_eq!(moved.login("claude", &[]), no("not logged in"));
        for name in ["c", "d"] {
            let dir = moved.0.path().join(name);
            let vars = [("CLAUDE_CONFIG_DIR", dir.to_str().unwrap())];
            assert_eq!(moved.login("claude", &vars), yes("OAuth"), "{name}");
        }
    }

    #[test]
    fn codex_is_asked_where_neither_a_variable_nor_a_file_tells() {
        let none = Home::with(&[]);
        let asked = Login::Ask(&["login", "status"], "not logged in".into());
        assert_eq!(none.login("codex", &[]), asked);
        assert_eq!(none.login("codex", &[("OPENAI_API_KEY", "k")]), yes("API key"));
        assert_eq!(none.login("codex", &[("CODEX_API_KEY", "k")]), yes("API key"));
        let of = |path: &str, text: &str, vars: &[_]| Home::with(&[(path, text)]).login("codex", vars);
        assert_eq!(
            of(".codex/auth.json", r#"{"OPENAI_API_KEY":null,"tokens":{"a":1}}"#, &[]),
            yes("logged in")
        );
        assert_eq!(of(".codex/auth.json", r#"{"OPENAI_API_KEY":"k","tokens":null}"#, &[]), yes("API key"));
        assert_eq!(of(".codex/auth.json", r#"{"OPENAI_API_KEY":null}"#, &[]), asked);
        let moved = Home::with(&[("c/auth.json", r#"{"tokens":{"a":1}}"#)]);
        let dir = moved.0.path().join("c");
        assert_eq!(moved.login("codex", &[("CODEX_HOME", dir.to_str().unwrap())]), yes("logged in"));
        let own =
            "model_provider = \"house\"\n[model_providers.house]\nbase_url = \"x\"\nenv_key = \"KEY\"\n";
        let path = ".codex/config.toml";
        assert_eq!(of(path, own, &[("KEY", "x")]), yes("its provider house"));
        assert_eq!(of(path, own, &[]), no("its provider house wants KEY, which is not set"));
        assert_eq!(of(path, "model_provider = \"openai\"\n", &[]), asked);
        assert!(is_logged_in(Some(0), "Logged in using ChatGPT"));
        assert!(!is_logged_in(Some(0), "Not logged in") && !is_logged_in(Some(1), "Logged in"));
        assert!(!is_logged_in(Some(0), "") && !is_logged_in(None, "logged in"));
    }

    #[test]
    fn gemini_is_logged_in_by_a_variable_or_by_its_file() {
        let none = Home::with(&[]);
        assert_eq!(none.login("gemini", &[]), no("no API key"));
        for (name, what) in [
            ("GEMINI_API_KEY", "API key"),
            ("GOOGLE_API_KEY", "API key"),
            ("GOOGLE_GENAI_USE_VERTEXAI", "Vertex AI"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "application credentials"),
        ] {
            assert_eq!(none.login("gemini", &[(name, "x")]), yes(what));
        }
        let home = Home::with(&[(".gemini/oauth_creds.json", r#"{"refresh_token":"x"}"#)]);
        assert_eq!(home.login("gemini", &[]), yes("OAuth"));
        assert_eq!(home.login("vim", &[]), no("unknown agent"));
    }
}
