//! Secrets out of what is told to a server: the patterns that its older clients have (relay and hooks, A.4), which ask less of a secret than
//! [`redact`](crate::redact) does. Texts are short here, and a word too many that goes costs little.

use std::borrow::Cow;

use regex::Regex;

/// What is looked for and what is put in its place, in this order.
const PATTERNS: &[(&str, &str)] = &[
    ("(?:AKIA|ASIA)[0-9A-Z]{16}", "[REDACTED-AWS-KEY]"),
    (r"eyJ[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+", "[REDACTED-JWT]"),
    ("gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}", "[REDACTED-GH-TOKEN]"),
    (
        "sk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}|[sr]k_live_[A-Za-z0-9]{16,}|AIza[A-Za-z0-9_-]{35}",
        "[REDACTED-API-KEY]",
    ),
    ("xox[abprse]-[A-Za-z0-9-]{10,}", "[REDACTED-SLACK-TOKEN]"),
    ("glpat-[A-Za-z0-9_-]{20,}|npm_[A-Za-z0-9]{36,}", "[REDACTED-TOKEN]"),
    (
        "(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
        "[REDACTED-PRIVATE-KEY]",
    ),
    (r"(?i)bearer\s+[A-Za-z0-9_.=+-]+", "Bearer [REDACTED]"),
    (r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/:@]*:[^\s/@]+@", "${1}[REDACTED]@"),
    (
        r#"(?i)((?:password|passwd|secret|token|api_?key|authorization)[A-Za-z0-9_.-]*["']?\s*[=:]\s*)(?:basic\s+|["'])?[^\s,;"'&\[]+"#,
        "${1}[REDACTED]",
    ),
];

/// The patterns, ready for use.
#[derive(Debug)]
pub(super) struct Scrub(Vec<(Regex, &'static str)>);

impl Scrub {
    /// Compiles them; one that cannot be is none, which a test excludes.
    pub(super) fn new() -> Scrub {
        Scrub(PATTERNS.iter().filter_map(|(pattern, put)| Some((Regex::new(pattern).ok()?, *put))).collect())
    }

    /// The text without what they find.
    pub(super) fn scrub(&self, text: String) -> String {
        self.0.iter().fold(text, |text, (pattern, put)| match pattern.replace_all(&text, *put) {
            Cow::Borrowed(_) => text,
            Cow::Owned(text) => text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pattern_finds_what_it_is_for_and_leaves_what_is_around_it() {
        let scrub = Scrub::new();
        assert_eq!(scrub.0.len(), PATTERNS.len());
        let (x20, x36) = ("a1".repeat(10), "a1".repeat(18));
        let check = |secret: String, put: &str| {
            assert_eq!(scrub.scrub(format!("see {secret} there")), format!("see {put} there"), "{secret}");
            assert_eq!(scrub.scrub(put.to_owned()), put, "twice");
        };
        check("AKIAIOSFODNN7EXAMPLE".into(), "[REDACTED-AWS-KEY]");
        check("ASIAIOSFODNN7EXAMPLE".into(), "[REDACTED-AWS-KEY]");
        check(format!("eyJ{x20}.{x20}.{x20}"), "[REDACTED-JWT]");
        for begin in ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"] {
            check(format!("{begin}{x36}"), "[REDACTED-GH-TOKEN]");
        }
        for begin in ["sk-", "sk-ant-", "sk-proj-", "sk_live_", "rk_live_"] {
            check(format!("{begin}{x20}"), "[REDACTED-API-KEY]");
        }
        check(format!("AIza{}", &x36[1..]), "[REDACTED-API-KEY]");
        check(format!("xoxb-{x20}"), "[REDACTED-SLACK-TOKEN]");
        check(format!("glpat-{x20}"), "[REDACTED-TOKEN]");
        check(format!("npm_{x36}"), "[REDACTED-TOKEN]");
        check("bearer  x".into(), "Bearer [REDACTED]");
        check("https://anna:pw@h.example".into(), "https://[REDACTED]@h.example");
        for name in ["password", "PASSWD", "client_secret", "api_key", "apikey", "authorization", "token_2"] {
            check(format!("{name}=x"), &format!("{name}=[REDACTED]"));
            check(format!("{name}: 'x'"), &format!("{name}: [REDACTED]'"));
        }
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----";
        check(key.into(), "[REDACTED-PRIVATE-KEY]");
        for clean in
            ["mcp__github__create_issue", "startup", "the token is 5", "https://h.example/a:b@c", "sk-1"]
        {
            assert_eq!(scrub.scrub(clean.to_owned()), clean);
        }
    }
}
