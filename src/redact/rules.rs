//! The built-in rules, in the order in which they apply.
//!
//! No pattern here looks at what is around its match and none crosses a newline. What a rule leaves behind is cut at tokens, so a
//! second run finds only what the first one would have found: nothing. Lengths and alphabets are those the issuers print.

use super::pattern::Form;

/// A rule as it is written down.
pub(super) struct BuiltIn {
    /// What findings call it.
    pub name: &'static str,
    /// What stands for the secret.
    pub token: &'static str,
    /// Every match holds one of these, at most [`LOOK_BACK`](super::limits::LOOK_BACK) bytes behind its start.
    pub anchors: &'static [(&'static str, Gate)],
    /// What matches.
    pub form: Form,
}

/// What must be around an anchor for its rule to be tried. It only saves work: whatever the pattern matches must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Exactly these letters, then so many of `A-Za-z0-9_-`.
    Run(usize),
    /// Exactly these letters, 32 hex digits before them and one digit after.
    AfterHex,
    /// A name in any case, then `=` or `:`, perhaps with quotes and blanks between.
    Assigned,
    /// A word in any case, then another one, then `=`.
    Export,
    /// The scheme of a URL in any case.
    Scheme,
    /// What follows is `user:password@`.
    UserInfo,
    /// A word in any case.
    Word,
    /// The first line of a private key.
    Begin,
}

use Gate::{AfterHex, Assigned, Begin, Export, Run, Scheme, UserInfo, Word};

/// A rule whose matches are all of `pattern`, or only its group if it has one. A group `bare` must not be ordinary words: names
/// like `weight_of_the_whole_…` end in the start of a token.
const fn plain(
    name: &'static str,
    token: &'static str,
    anchors: &'static [(&'static str, Gate)],
    pattern: &'static str,
) -> BuiltIn {
    BuiltIn { name, token, anchors, form: Form::Plain(pattern) }
}

/// A rule for `name = value`, see [`Form::Named`].
const fn named(
    name: &'static str,
    token: &'static str,
    anchors: &'static [(&'static str, Gate)],
    key: &'static str,
    value: &'static str,
) -> BuiltIn {
    BuiltIn { name, token, anchors, form: Form::Named { key, value } }
}

/// The rule that [`pem`](super::pem) applies; it goes before all others, because it holds many lines.
pub(super) const PRIVATE_KEY: u16 = 0;

/// All of them.
pub(super) const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "private_key",
        token: "[REDACTED_PRIVATE_KEY]",
        anchors: &[("-----BEGIN ", Begin)],
        form: Form::Block,
    },
    plain(
        "aws_access_key",
        "[REDACTED_AWS_KEY]",
        &[("AKIA", Run(16)), ("ASIA", Run(16))],
        "A(?:KI|SI)A[A-Z0-9]{16}",
    ),
    named(
        "aws_secret_key",
        "[REDACTED_AWS_SECRET]",
        &[
            ("secret_access_key", Assigned),
            ("secret-access-key", Assigned),
            ("secretaccesskey", Assigned),
            ("aws_secret_key", Assigned),
            ("aws-secret-key", Assigned),
            ("awssecretkey", Assigned),
        ],
        "(?:aws[_-]?secret[_-]?key|(?:aws[_-]?)?secret[_-]?access[_-]?key)",
        "[A-Za-z0-9/+]{40,}={0,2}",
    ),
    plain(
        "github_token",
        "[REDACTED_GITHUB_TOKEN]",
        &[
            ("ghp_", Run(36)),
            ("gho_", Run(36)),
            ("ghs_", Run(36)),
            ("ghr_", Run(36)),
            ("ght_", Run(36)),
            ("ghu_", Run(36)),
        ],
        "gh[psortu]_(?<bare>[A-Za-z0-9_]{36,})",
    ),
    plain(
        "github_fine_grained_pat",
        "[REDACTED_GITHUB_PAT]",
        &[("github_pat_", Run(22))],
        "github_pat_(?<bare>[A-Za-z0-9_]{22,})",
    ),
    plain(
        "gitlab_token",
        "[REDACTED_GITLAB_TOKEN]",
        &[("glpat-", Run(20))],
        r"glpat-[A-Za-z0-9_\-]{20,}(?:\.[A-Za-z0-9_\-]+)*",
    ),
    plain(
        "slack_token",
        "[REDACTED_SLACK_TOKEN]",
        &[("xoxa-", Run(10)), ("xoxb-", Run(10)), ("xoxp-", Run(10)), ("xoxs-", Run(10)), ("xoxr-", Run(10))],
        r"xox[abpsr]-[A-Za-z0-9\-]{10,}",
    ),
    plain(
        "stripe_key",
        "[REDACTED_STRIPE_KEY]",
        &[("k_live_", Run(24)), ("k_test_", Run(24))],
        "[srp]k_(?:live|test)_[A-Za-z0-9]{24,}",
    ),
    plain("twilio_key", "[REDACTED_TWILIO_KEY]", &[("SK", Run(32))], "SK[0-9a-fA-F]{32}"),
    plain(
        "sendgrid_key",
        "[REDACTED_SENDGRID_KEY]",
        &[("SG.", Run(22))],
        r"SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43,}",
    ),
    plain("mailchimp_key", "[REDACTED_MAILCHIMP_KEY]", &[("-us", AfterHex)], "[0-9a-f]{32}-us[0-9]{1,2}"),
    plain("npm_token", "[REDACTED_NPM_TOKEN]", &[("npm_", Run(36))], "npm_[A-Za-z0-9]{36,}"),
    plain("pypi_token", "[REDACTED_PYPI_TOKEN]", &[("pypi-", Run(50))], r"pypi-[A-Za-z0-9_\-]{50,}"),
    plain(
        "anthropic_key",
        "[REDACTED_ANTHROPIC_KEY]",
        &[("sk-ant-", Run(20))],
        r"sk-ant-[A-Za-z0-9_\-]{20,}",
    ),
    plain(
        "openai_key",
        "[REDACTED_OPENAI_KEY]",
        &[
            ("sk-proj-", Run(20)),
            ("sk-svcacct-", Run(20)),
            ("sk-admin-", Run(20)),
            ("sk-None-", Run(20)),
            ("sk-or-v1-", Run(20)),
        ],
        r"sk-(?:proj|svcacct|admin|None|or-v1)-[A-Za-z0-9_\-]{20,}",
    ),
    // The older form is also the end of words like `task-` and `disk-`, hence a whole word.
    BuiltIn {
        name: "openai_key",
        token: "[REDACTED_OPENAI_KEY]",
        anchors: &[("sk-", Run(20))],
        form: Form::Word("sk-[A-Za-z0-9]{20,}"),
    },
    plain("google_api_key", "[REDACTED_GOOGLE_KEY]", &[("AIza", Run(35))], r"AIza[A-Za-z0-9_\-]{35,}"),
    plain("huggingface_token", "[REDACTED_HUGGINGFACE_TOKEN]", &[("hf_", Run(30))], "hf_[A-Za-z0-9]{30,}"),
    plain(
        "digitalocean_token",
        "[REDACTED_DIGITALOCEAN_TOKEN]",
        &[("dop_v1_", Run(32)), ("doo_v1_", Run(32)), ("dor_v1_", Run(32))],
        "do[opr]_v1_[0-9a-f]{32,}",
    ),
    plain(
        "age_secret_key",
        "[REDACTED_AGE_KEY]",
        &[("AGE-SECRET-KEY-1", Run(40))],
        "AGE-SECRET-KEY-1[A-Z0-9]{40,}",
    ),
    // Anywhere else a UUID is the id of a session or an item, and nobody's secret.
    plain(
        "heroku_key",
        "[REDACTED_UUID]",
        &[("heroku", Word)],
        "(?i:heroku)[^\\n]{0,48}?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})",
    ),
    plain(
        "export_aws_secret",
        "[REDACTED_EXPORT]",
        &[("export", Export)],
        concat!(
            r#"(?i)export[ \t]{1,8}AWS_(?:SECRET_(?:ACCESS_)?KEY|(?:SESSION|SECURITY)_TOKEN)="#,
            r#"\\{0,7}["']?[A-Za-z0-9/+]{20,}={0,2}(?:\\{0,7}["'])?"#
        ),
    ),
    plain(
        "export_secret",
        "[REDACTED_EXPORT]",
        &[("export", Export)],
        concat!(
            r#"(?i)export[ \t]{1,8}[A-Z0-9_]{0,64}(?:GIT(?:HUB|LAB)_TOKEN|(?:API|SECRET|PRIVATE)_?KEY|"#,
            r#"(?:AUTH|ACCESS)_TOKEN|(?:DB|DATABASE|MYSQL|POSTGRES|REDIS|MONGO)_?PASSWORD|PASSWD)="#,
            r#"(?:\\+"[^"\\$\n][^"\\\n]*\\+"|"[^"\\$\n][^"\n]*"|'[^'\n]+'|[^\s"'`\\$<;&|()\[][^\s"'`\\;&|()]*)"#
        ),
    ),
    plain(
        "connection_string",
        "[REDACTED_CONNECTION_STRING]",
        &[
            ("mongodb", Scheme),
            ("postgres", Scheme),
            ("mysql", Scheme),
            ("redis", Scheme),
            ("amqp", Scheme),
            ("mssql", Scheme),
        ],
        concat!(
            r#"(?i)(?:mongodb|postgres|mysql|redis|amqp|mssql)[a-z0-9+.]{0,16}://"#,
            r#"[^\s:@/"'`<>\\]*:[^\s@"'`<>\\{$][^\s@"'`<>\\]*@[^\s"'`<>\\)]*"#
        ),
    ),
    plain(
        "url_password",
        "[REDACTED_URL_PASSWORD]",
        &[("://", UserInfo)],
        r#"://[^\s:@/"'`<>\\]*:([^\s@/"'`<>\\{$\[()|][^\s/"'`<>\\]*)@"#,
    ),
    named(
        "bearer_token",
        "[REDACTED_BEARER_TOKEN]",
        &[("authorization", Assigned), ("bearer", Assigned)],
        "(?:authorization|bearer)",
        r"bearer[ \t]{1,8}[A-Za-z0-9_\-.~+/=]{20,}",
    ),
    named(
        "basic_auth",
        "[REDACTED_BASIC_AUTH]",
        &[("authorization", Assigned)],
        "authorization",
        r"basic[ \t]{1,8}[A-Za-z0-9+/]{10,}={0,2}",
    ),
    named(
        "generic_api_key",
        "[REDACTED_API_KEY]",
        &[("api_key", Assigned), ("apikey", Assigned), ("api-key", Assigned)],
        "api[_-]?key",
        r"[A-Za-z0-9_\-/+]{20,}[A-Za-z0-9_\-/+=.~]*",
    ),
    named(
        "generic_token",
        "[REDACTED_TOKEN]",
        &[("token", Assigned)],
        "(?:access|auth|secret|refresh|session|api|bearer)[_-]?token",
        r"[A-Za-z0-9_\-/+]{20,}[A-Za-z0-9_\-/+=.~]*",
    ),
    BuiltIn {
        name: "generic_password",
        token: "[REDACTED_PASSWORD]",
        anchors: &[("password", Assigned), ("passwd", Assigned), ("pwd", Assigned)],
        form: Form::Quoted { key: "(?:password|passwd)", path_key: "pwd", env_key: "PASSW(?:OR)?D" },
    },
    named(
        "generic_secret",
        "[REDACTED_SECRET]",
        &[("secret", Assigned), ("secret_key", Assigned), ("secret-key", Assigned), ("secretkey", Assigned)],
        "(?:client[_-]?)?secret(?:[_-]?key)?",
        r"[A-Za-z0-9_\-/+]{16,}[A-Za-z0-9_\-/+=.~]*",
    ),
    plain(
        "jwt_token",
        "[REDACTED_JWT]",
        &[("eyJ", Run(4))],
        concat!(r"eyJ[A-Za-z0-9_\-]{4,}\.eyJ[A-Za-z0-9_\-]{4,}(?:", r"\.[A-Za-z0-9_\-]*)?"),
    ),
];
