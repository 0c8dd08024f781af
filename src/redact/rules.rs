//! The built-in rules, in the order in which they apply.
//!
//! No pattern here looks at what is around its match and none crosses a newline. What a rule leaves behind is cut at tokens, so a
//! second run finds only what the first one would have found: nothing. Lengths and alphabets are those the issuers print.

use super::pattern::Form;
use super::value::Named;

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
    /// Exactly these letters, then so many of `A-Za-z0-9_-+/=`.
    Run(usize),
    /// Exactly these letters, then from so many to so many of the same as in `Run`, then a dot.
    Dotted(usize, usize),
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
    /// A name in any case, then a blank or `=`, as arguments of commands are written.
    Argument,
    /// What follows is `token@`.
    UserToken,
    /// A word in any case.
    Word,
    /// The first line of a private key.
    Begin,
}

use Gate::{AfterHex, Argument, Assigned, Begin, Dotted, Export, Run, Scheme, UserInfo, UserToken, Word};

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

/// A rule for `name = value`, see [`Form::Assigned`].
const fn named(
    name: &'static str,
    token: &'static str,
    anchors: &'static [(&'static str, Gate)],
    key: &'static str,
    value: &'static str,
) -> BuiltIn {
    BuiltIn { name, token, anchors, form: Form::Assigned { key, value } }
}

/// A rule for values that are told from ordinary words by their shape, see [`Form::Judged`].
const fn judged(
    name: &'static str,
    token: &'static str,
    anchors: &'static [(&'static str, Gate)],
    pattern: &'static str,
    as_what: Named,
) -> BuiltIn {
    BuiltIn { name, token, anchors, form: Form::Judged(pattern, as_what) }
}

/// Names of what machines make.
const SECRET_NAMES: &[(&str, Gate)] = &[
    ("token", Assigned),
    ("secret", Assigned),
    ("credential", Assigned),
    ("credentials", Assigned),
    ("key", Assigned),
    ("auth", Assigned),
];

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
    // The same in base64, as in `client-key-data` of a kubeconfig: what follows `-----BEGIN ` says whether it is private.
    plain(
        "encoded_private_key",
        "[REDACTED_PRIVATE_KEY]",
        &[("LS0tLS1CRUdJTi", Run(40))],
        concat!(
            "LS0tLS1CRUdJTi(?:BQUklWQVRFIEtFW|BSU0EgUFJJVkFUR|BFQy|BEU0Eg|BPUEVOU1NI|BFTkNSWVBURUQ|BQR1AgUFJJVkFUR)",
            "[A-Za-z0-9+/]{20,}={0,2}"
        ),
    ),
    plain(
        "aws_access_key",
        "[REDACTED_AWS_KEY]",
        &[("AKIA", Run(16)), ("ASIA", Run(16)), ("ABIA", Run(16)), ("ACCA", Run(16))],
        "A(?:KI|SI|BI|CC)A[A-Z0-9]{16}",
    ),
    plain(
        "aws_session_token",
        "[REDACTED_AWS_SECRET]",
        &[
            ("IQoJb3JpZ2luX2Vj", Run(60)),
            ("FwoGZXIvYXdzE", Run(60)),
            ("FQoGZXIvYXdzE", Run(60)),
            ("bedrock-api-key-", Run(40)),
        ],
        concat!(
            "(?:(?:IQoJb3JpZ2luX2Vj|F[wQ]oGZXIvYXdzE)[A-Za-z0-9+/]{60,}",
            "|bedrock-api-key-[A-Za-z0-9+/]{40,})={0,2}"
        ),
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
        &[
            ("glpat-", Run(20)),
            ("gldt-", Run(20)),
            ("glrt-", Run(20)),
            ("glrtr-", Run(20)),
            ("glcbt-", Run(20)),
            ("glptt-", Run(20)),
            ("glft-", Run(20)),
            ("glimt-", Run(20)),
            ("glagent-", Run(20)),
            ("gloas-", Run(20)),
            ("glsoat-", Run(20)),
            ("glffct-", Run(20)),
            ("glwt-", Run(20)),
        ],
        r"gl(?:pat|dt|rtr?|cbt|ptt|ft|imt|agent|oas|soat|ffct|wt)-(?<bare>[A-Za-z0-9_\-]{20,})(?:\.[A-Za-z0-9_\-]+)*",
    ),
    plain(
        "gitlab_runner",
        "[REDACTED_GITLAB_TOKEN]",
        &[("GR1348941", Run(20))],
        r"GR1348941[A-Za-z0-9_\-]{20,}",
    ),
    plain(
        "slack_token",
        "[REDACTED_SLACK_TOKEN]",
        &[
            ("xoxa-", Run(10)),
            ("xoxb-", Run(10)),
            ("xoxp-", Run(10)),
            ("xoxs-", Run(10)),
            ("xoxr-", Run(10)),
            ("xoxe-", Run(10)),
            ("xoxc-", Run(10)),
            ("xoxd-", Run(10)),
            ("xapp-", Run(20)),
            ("xwfp-", Run(20)),
        ],
        r"(?:xox[abpsrecd]-[A-Za-z0-9\-]{10,}|xapp-[0-9]-[A-Za-z0-9\-]{20,}|xwfp-[0-9]+-[A-Za-z0-9\-]{18,})",
    ),
    plain(
        "slack_webhook",
        "[REDACTED_SLACK_WEBHOOK]",
        &[("hooks.slack.com/", Word)],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_+\-]{20,})",
    ),
    plain(
        "discord_webhook",
        "[REDACTED_DISCORD_WEBHOOK]",
        &[("/api/webhooks/", Word)],
        r"/api/webhooks/([0-9]{15,21}/[A-Za-z0-9_\-]{40,})",
    ),
    plain(
        "webhook",
        "[REDACTED_WEBHOOK]",
        &[
            ("webhook.office.com/webhookb2/", Word),
            ("hooks.zapier.com/hooks/", Word),
            (".make.com/", Word),
            ("maker.ifttt.com/", Word),
        ],
        concat!(
            r"(?:webhook\.office\.com/webhookb2/([A-Za-z0-9@\-]{36,80}/IncomingWebhook/[A-Za-z0-9/_\-]{32,})",
            r"|hooks\.zapier\.com/hooks/(?:catch|standard)/([0-9]{4,}/[A-Za-z0-9]{5,})",
            r"|hook\.[a-z0-9]{2,8}\.make\.com/([A-Za-z0-9]{24,})",
            r"|maker\.ifttt\.com/(?:trigger/[A-Za-z0-9_\-]{1,64}/(?:json/)?with/key|use)/([A-Za-z0-9_\-]{20,}))"
        ),
    ),
    plain(
        "telegram_token",
        "[REDACTED_TELEGRAM_TOKEN]",
        &[(":AA", Run(33))],
        r"[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}",
    ),
    plain(
        "stripe_key",
        "[REDACTED_STRIPE_KEY]",
        &[("k_live_", Run(24)), ("k_test_", Run(24)), ("whsec_", Run(24))],
        "(?:[srp]k_(?:live|test)_[A-Za-z0-9]{24,}|whsec_[A-Za-z0-9+/]{24,}={0,2})",
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
    plain(
        "google_oauth",
        "[REDACTED_GOOGLE_TOKEN]",
        &[("GOCSPX-", Run(20)), ("ya29.", Run(20)), ("1//0", Run(35))],
        r"(?:GOCSPX-[A-Za-z0-9_\-]{20,}|ya29\.[A-Za-z0-9_\-]{20,}|1//0[A-Za-z0-9_\-]{35,})",
    ),
    // Keys of services that have a prefix of their own; what follows it is random, never words.
    plain(
        "model_key",
        "[REDACTED_MODEL_KEY]",
        &[
            ("xai-", Run(40)),
            ("gsk_", Run(40)),
            ("pplx-", Run(32)),
            ("r8_", Run(36)),
            ("lsv2_", Run(32)),
            ("api_org_", Run(30)),
            ("fw_", Run(22)),
            ("csk-", Run(40)),
            ("nvapi-", Run(50)),
        ],
        concat!(
            r"(?:xai-|gsk_|pplx-|r8_|lsv2_(?:pt|sk)_|api_org_|fw_|csk-|nvapi-)",
            r"(?<bare>[A-Za-z0-9_\-]{22,})"
        ),
    ),
    plain(
        "model_key",
        "[REDACTED_MODEL_KEY]",
        &[
            ("tvly-", Run(20)),
            ("tgp_v1_", Run(40)),
            ("jina_", Run(40)),
            ("pcsk_", Run(40)),
            ("e2b_", Run(40)),
            ("wandb_v1_", Run(40)),
            ("sk-lf-", Run(36)),
        ],
        concat!(
            r"(?:tvly-(?:dev-|prod-)?[A-Za-z0-9]{20,}|tgp_v1_[A-Za-z0-9_\-]{40,}|jina_[A-Za-z0-9]{40,}",
            r"|pcsk_[A-Za-z0-9]{4,8}_[A-Za-z0-9]{40,}|e2b_[0-9a-f]{40}|wandb_v1_[A-Za-z0-9_\-]{40,}",
            r"|sk-lf-[0-9a-f\-]{36})"
        ),
    ),
    plain(
        "vault_token",
        "[REDACTED_VAULT_TOKEN]",
        &[("hvs.", Run(24)), ("hvb.", Run(24)), ("hvr.", Run(24))],
        r"hv[sbr]\.[A-Za-z0-9_\-]{24,}",
    ),
    plain(
        "grafana_token",
        "[REDACTED_GRAFANA_TOKEN]",
        &[("glsa_", Run(32)), ("glc_", Run(32)), ("eyJrIjoi", Run(40))],
        r"(?:glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|glc_[A-Za-z0-9+/]{32,}={0,2}|eyJrIjoi[A-Za-z0-9+/]{40,}={0,2})",
    ),
    plain(
        "atlassian_token",
        "[REDACTED_ATLASSIAN_TOKEN]",
        &[("ATATT3", Run(60)), ("ATCTT3", Run(60)), ("ATBB", Run(24))],
        r"(?:AT[AC]TT3[A-Za-z0-9_\-=]{60,}|ATBB[A-Za-z0-9]{24,})",
    ),
    plain(
        "databricks_token",
        "[REDACTED_DATABRICKS_TOKEN]",
        &[("dapi", Run(32)), ("dkea", Run(32)), ("dose", Run(32))],
        "(?:dapi|dkea|dose)[0-9a-f]{32}(?:-[0-9])?",
    ),
    plain(
        "tailscale_key",
        "[REDACTED_TAILSCALE_KEY]",
        &[("tskey-", Run(16))],
        r"tskey-(?<bare>[a-z]+-[A-Za-z0-9\-]{12,})",
    ),
    // The parts of a connection string behind its key go with it, as the host of a URL does.
    named(
        "azure_connection",
        "[REDACTED_AZURE_KEY]",
        &[("accountkey", Assigned), ("sharedaccesskey", Assigned)],
        "(?:account|sharedaccess)key",
        r"[A-Za-z0-9+/]{40,}={0,2}(?:;[a-z]{4,40}=[a-z0-9.:/_\-]{1,200}){0,8}",
    ),
    // Keys that hold the name of their service, in base64 before their check sum.
    BuiltIn {
        name: "azure_marked_key",
        token: "[REDACTED_AZURE_KEY]",
        anchors: &[
            ("+ASt", Run(7)),
            ("+ASb", Run(6)),
            ("+AEh", Run(6)),
            ("+ARm", Run(6)),
            ("+ABa", Run(7)),
            ("+ACR", Run(6)),
            ("ACDb", Run(7)),
            ("AzCa", Run(6)),
            ("AzFu", Run(7)),
            ("AIoT", Run(6)),
            ("AzSe", Run(6)),
            ("JQQJ99", Run(20)),
        ],
        form: Form::Word(concat!(
            r"(?:[A-Za-z0-9+/]{33,76}(?:\+(?:A(?:St|Sb|Eh|Rm|Ba|CR))|ACDb|AzCa|AzFu|AIoT)[A-Za-z0-9+/]{5,8}={1,2}",
            "|[A-Za-z0-9]{42}AzSe[A-D][A-Za-z0-9]{5}|[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{20,})"
        )),
    },
    plain(
        "azure_client_secret",
        "[REDACTED_AZURE_KEY]",
        &[("7q~", Word), ("8q~", Word)],
        r"[A-Za-z0-9_~.\-]{3}[78]Q~[A-Za-z0-9_~.\-]{31,34}",
    ),
    plain(
        "azure_devops",
        "[REDACTED_AZURE_KEY]",
        &[("AZDO", Run(4))],
        "[A-Za-z0-9]{52,76}AZDO[A-Za-z0-9]{4}",
    ),
    plain(
        "docker_token",
        "[REDACTED_DOCKER_TOKEN]",
        &[("dckr_pat_", Run(20)), ("dckr_oat_", Run(20))],
        r"dckr_(?:pat|oat)_[A-Za-z0-9_\-]{20,}",
    ),
    plain(
        "cloudflare_key",
        "[REDACTED_CLOUDFLARE_KEY]",
        &[
            ("v1.0-", Run(24)),
            ("cfut_", Run(40)),
            ("cfat_", Run(40)),
            ("cfk_", Run(40)),
            ("eyJhIjoi", Run(100)),
        ],
        concat!(
            r"(?:v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}|cf(?:ut|at|k)_[A-Za-z0-9]{40,}",
            r"|eyJhIjoi[A-Za-z0-9+/_\-]{100,}={0,2})"
        ),
    ),
    plain(
        "supabase_key",
        "[REDACTED_SUPABASE_KEY]",
        &[("sbp_", Run(40)), ("sb_secret_", Run(20))],
        r"(?:sbp_[0-9a-f]{40}|sb_secret_(?<bare>[A-Za-z0-9_\-]{20,}))",
    ),
    BuiltIn {
        name: "mailgun_key",
        token: "[REDACTED_MAILGUN_KEY]",
        anchors: &[("key-", Run(32))],
        form: Form::Word("key-[0-9a-f]{32}"),
    },
    plain(
        "newrelic_key",
        "[REDACTED_NEWRELIC_KEY]",
        &[("NRAK-", Run(27)), ("NRJS-", Run(19)), ("NRII-", Run(32)), ("NRSP-", Run(16))],
        r"NR(?:AK|JS|II|SP)-[A-Za-z0-9_\-]{16,}",
    ),
    plain("newrelic_license", "[REDACTED_NEWRELIC_KEY]", &[("nral", Word)], "[0-9a-f]{32,36}(?:FFFF)?NRAL"),
    plain(
        "sentry_token",
        "[REDACTED_SENTRY_TOKEN]",
        &[("sntrys_", Run(40)), ("sntryu_", Run(40)), ("sntryi_", Run(40))],
        r"sntry[sui]_[A-Za-z0-9_\-+/=]{40,}",
    ),
    plain(
        "service_key",
        "[REDACTED_SERVICE_KEY]",
        &[
            ("lin_api_", Run(32)),
            ("lin_oauth_", Run(32)),
            ("ntn_", Run(36)),
            ("figd_", Run(36)),
            ("shpat_", Run(32)),
            ("shpca_", Run(32)),
            ("shppa_", Run(32)),
            ("shpss_", Run(32)),
            ("pscale_pw_", Run(32)),
            ("pscale_tkn_", Run(32)),
            ("pscale_oauth_", Run(32)),
            ("secret-test-", Run(36)),
            ("secret-live-", Run(36)),
            ("pul-", Run(40)),
            ("rubygems_", Run(48)),
            ("PMAK-", Run(24)),
            ("HRKU-", Run(36)),
            ("nfp_", Run(36)),
            ("napi_", Run(50)),
            ("bkua_", Run(40)),
            ("CCIPAT_", Run(40)),
            ("sgp_", Run(40)),
            ("phx_", Run(40)),
            ("xkeysib-", Run(64)),
            ("sq0atp-", Run(22)),
            ("sq0csp-", Run(43)),
            ("shippo_live_", Run(40)),
            ("shippo_test_", Run(40)),
            ("pnu_", Run(36)),
            ("rdme_", Run(60)),
            ("tfp_", Run(40)),
            ("squ_", Run(40)),
            ("sqp_", Run(40)),
            ("sqa_", Run(40)),
        ],
        concat!(
            r"(?:lin_(?:api|oauth)_|ntn_|figd_|shp(?:at|ca|pa|ss)_|pscale_(?:pw|tkn|oauth)_|secret-(?:test|live)-|pul-|rubygems_|PMAK-|HRKU-|nfp_",
            r"|napi_|bkua_|CCIPAT_|sgp_|phx_|xkeysib-|sq0(?:atp|csp)-|shippo_(?:live|test)_|pnu_|rdme_|tfp_|sq[upa]_)",
            r"(?<bare>[A-Za-z0-9_\-]{20,})"
        ),
    ),
    plain(
        "service_key",
        "[REDACTED_SERVICE_KEY]",
        &[
            ("CFPAT-", Run(43)),
            ("CLOJARS_", Run(60)),
            ("CCIPRJ_", Run(40)),
            ("duffel_test_", Run(43)),
            ("duffel_live_", Run(43)),
            ("FLWSECK-", Run(12)),
            ("FLWSECK_TEST-", Run(12)),
            ("fio-u-", Run(64)),
            ("fm1r_", Run(100)),
            ("fm1a_", Run(100)),
            ("fm2_", Run(100)),
            ("s-s4t2ud-", Run(64)),
            ("s-s4t2af-", Run(64)),
            ("nfc_", Run(36)),
            ("nfo_", Run(36)),
            ("nfb_", Run(36)),
            ("nfu_", Run(36)),
            ("pnb_", Run(36)),
            ("xsmtpsib-", Run(64)),
            ("slk_", Run(64)),
            ("tk-us-", Run(48)),
            ("sm_aat_", Run(16)),
            ("sm_pat_", Run(16)),
            ("sm_sat_", Run(16)),
            ("ddp_", Run(36)),
            ("ddw_", Run(36)),
            ("jsrp_", Run(60)),
            ("vercel_blob_rw_", Run(30)),
            ("vcp_", Run(24)),
            ("vci_", Run(24)),
            ("vca_", Run(24)),
            ("vcr_", Run(24)),
            ("vck_", Run(24)),
            ("mdb_sa_sk_", Run(40)),
            ("bce-v3/ALTAK-", Run(60)),
            ("akab-", Run(33)),
            ("hcaik_", Run(58)),
            ("hcbik_", Run(58)),
            ("hcxik_", Run(58)),
            ("hcaic_", Run(58)),
            ("hcxic_", Run(58)),
            ("hcamk_", Run(58)),
            ("hcbmk_", Run(58)),
            ("rootly_", Run(64)),
            ("dbtc_", Run(40)),
            ("dbtu_", Run(40)),
            ("dbts_", Run(40)),
            ("packagist_", Run(60)),
            ("censys_", Run(33)),
            ("rnd_", Run(28)),
            ("sec-c-", Run(40)),
            ("phs_", Run(40)),
            ("access_token$production$", Run(16)),
            ("access_token$sandbox$", Run(16)),
            ("msh", Run(38)),
        ],
        concat!(
            r"(?:CFPAT-[A-Za-z0-9_\-]{43}|CLOJARS_[a-z0-9]{60}|CCIPRJ_[A-Za-z0-9]{10,}_[0-9a-f]{40}",
            r"|duffel_(?:test|live)_[A-Za-z0-9_\-=]{43}|FLWSECK(?:_TEST)?-[A-Za-z0-9]{12,}(?:-X)?|fio-u-[A-Za-z0-9_\-=]{64}",
            r"|fm(?:1[ar]|2)_[A-Za-z0-9+/]{100,}={0,3}|s-s4t2(?:ud|af)-[0-9a-f]{64}|nf[cobu]_[A-Za-z0-9]{36,}|pnb_[A-Za-z0-9]{36,}",
            r"|xsmtpsib-[0-9a-f]{64}-[A-Za-z0-9]{16}|slk_[0-9a-f]{64}|tk-us-[A-Za-z0-9_\-]{48}|sm_[aps]at_[A-Za-z0-9]{16,}",
            r"|dd[pw]_[A-Za-z0-9]{36,}|jsrp_[0-9a-f]{60,}|vercel_blob_rw_[A-Za-z0-9]{8,}_[A-Za-z0-9]{20,}|vc[piark]_[A-Za-z0-9]{24,}",
            r"|mdb_sa_sk_[A-Za-z0-9_\-]{40,}|bce-v3/ALTAK-[A-Za-z0-9]{21}/[0-9a-f]{40}|akab-[a-z0-9]{16}-[a-z0-9]{16}",
            r"|hc[abx](?:ik|ic|mk)_[a-z0-9]{58}|rootly_[0-9a-f]{64}|dbt[cus]_[A-Za-z0-9_\-=]{40,}|packagist_[a-z]{3}_[0-9a-f]{60,}",
            r"|censys_[A-Za-z0-9]{8}_[A-Za-z0-9]{24,}|rnd_[A-Za-z0-9]{28,}|sec-c-[A-Za-z0-9+/]{40,}={0,2}",
            r"|phs_[A-Za-z0-9]{40,}|access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[0-9a-f]{32}",
            "|[0-9a-f]{10}msh[0-9a-f]{15}p1[0-9a-f]{6}jsn[0-9a-f]{12})"
        ),
    ),
    plain("maxmind_key", "[REDACTED_SERVICE_KEY]", &[("_mmk", Word)], "[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"),
    // A UUID is a secret only behind one of these; whole words, for `my-api-…` is somebody's id.
    BuiltIn {
        name: "uuid_key",
        token: "[REDACTED_SERVICE_KEY]",
        anchors: &[
            ("access-sandbox-", Run(36)),
            ("access-development-", Run(36)),
            ("access-production-", Run(36)),
            ("pat-na", Run(38)),
            ("pat-eu", Run(38)),
            ("pat-ap", Run(38)),
            ("sdk-", Run(36)),
            ("api-", Run(36)),
            ("waka_", Run(36)),
            ("amzn.mws.", Run(36)),
        ],
        form: Form::Word(concat!(
            r"(?:access-(?:sandbox|development|production)-|pat-(?:na|eu|ap)[0-9]-|sdk-|api-|waka_|amzn\.mws\.)",
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
        )),
    },
    // Beginnings so short that random text has them, hence whole words.
    BuiltIn {
        name: "short_prefix_key",
        token: "[REDACTED_SERVICE_KEY]",
        anchors: &[
            ("secret_", Run(43)),
            ("re_", Run(30)),
            ("fo1_", Run(40)),
            ("oy2", Run(43)),
            ("AKCp", Run(60)),
            ("LTAI", Run(17)),
            ("AKID", Run(32)),
            ("EZAK", Run(54)),
            ("EZTK", Run(54)),
            ("ABSK", Run(100)),
            ("AQVN", Run(35)),
            ("dG9rOj", Run(50)),
            ("xprv", Run(107)),
            ("cio", Run(32)),
            ("ico-", Run(32)),
            ("da2-", Run(26)),
            ("API-", Run(26)),
            ("EAA", Run(100)),
            ("IGQ", Run(100)),
            ("oauth:", Run(30)),
            ("pk_", Run(38)),
            ("sk_", Run(48)),
            ("fc-", Run(32)),
            ("cflt", Run(60)),
            ("A3-", Run(30)),
            ("1/1", Run(15)),
            ("2/1", Run(15)),
            ("cmVmdGtuOj", Run(40)),
        ],
        form: Form::Word(concat!(
            "(?:secret_[A-Za-z0-9]{43}|re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}|fo1_[A-Za-z0-9_\\-]{40,}|oy2[a-z0-9]{43}",
            "|AKCp[A-Za-z0-9]{60,}|LTAI[A-Za-z0-9]{17,21}|AKID[A-Za-z0-9]{32}|EZ[AT]K[A-Za-z0-9]{54}|cio[A-Za-z0-9]{32}",
            "|ico-[A-Za-z0-9]{32}|da2-[a-z0-9]{26}|API-[A-Z0-9]{26}|(?:EAA|IGQ)[A-Za-z0-9]{100,}|oauth:[a-z0-9]{30}",
            "|pk_[0-9]{5,}_[A-Z0-9]{32}|sk_[0-9a-f]{48}|fc-[0-9a-f]{32}|cflt[A-Za-z0-9+/]{60}|A3-[A-Z0-9]{6}-(?:[A-Z0-9]{5,11}-){3,4}[A-Z0-9]{5}",
            "|[12]/1[0-9]{15}(?:/1[0-9]{15})?:[0-9a-f]{32}|cmVmdGtuOj[A-Za-z0-9]{40,}",
            "|ABSK[A-Za-z0-9+/]{100,}={0,2}|AQVN[A-Za-z0-9_\\-]{35,}|dG9rOj[A-Za-z0-9+/]{50,}={0,2}|xprv[A-Za-z0-9]{107})"
        )),
    },
    plain(
        "doppler_token",
        "[REDACTED_SERVICE_KEY]",
        &[("dp.st.", Word)],
        r"dp\.st\.(?:[a-z0-9_\-]{2,35}\.)?[A-Za-z0-9]{40,}",
    ),
    plain(
        "dotted_key",
        "[REDACTED_SERVICE_KEY]",
        &[
            ("dp.pt.", Run(40)),
            ("dp.ct.", Run(40)),
            ("dp.sa.", Run(40)),
            ("dp.scim.", Run(40)),
            ("dp.audit.", Run(40)),
            (".atlasv1.", Run(60)),
            ("dt0c01.", Run(24)),
            ("dt0s01.", Dotted(8, 32)),
            ("dt0s02.", Dotted(8, 32)),
            ("dt0s08.", Dotted(8, 32)),
            ("dt0s16.", Dotted(8, 32)),
            ("pat", Dotted(14, 14)),
            ("pat.", Dotted(22, 22)),
            ("sat.", Dotted(22, 22)),
            ("sk.eyJ", Dotted(20, 400)),
            ("tk.eyJ", Dotted(20, 400)),
            ("st.", Dotted(24, 24)),
            ("0.", Dotted(36, 36)),
            ("00D", Run(12)),
            ("WPL_AP1.", Dotted(16, 16)),
            ("perm:", Dotted(4, 80)),
            ("perm-", Dotted(4, 80)),
            ("eyJ0eXAiOiAiVENWMiJ9.", Dotted(20, 400)),
            (":APA91b", Run(120)),
            ("sha256~", Run(40)),
            ("ops_eyJ", Run(60)),
            ("sl.", Run(100)),
        ],
        concat!(
            r"(?:dp\.(?:pt|ct|sa|scim|audit)\.[A-Za-z0-9]{40,}",
            r"|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_\-=]{60,}|dt0[cs][0-9]{2}\.[A-Z0-9]{8,32}\.[A-Z0-9]{64}",
            r"|pat[A-Za-z0-9]{14}\.[0-9a-f]{64}|[ps]at\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}",
            r"|[st]k\.eyJ[A-Za-z0-9_\-]{20,400}\.[A-Za-z0-9_\-]{20,}|st\.[0-9a-f]{24}\.[0-9a-f]{32}\.[0-9a-f]{32}",
            r"|0\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[A-Za-z0-9]{30}:[A-Za-z0-9+/]{22}==",
            r"|00D[A-Za-z0-9]{12,15}![A-Za-z0-9_.]{80,}|WPL_AP1\.[A-Za-z0-9]{16}\.[A-Za-z0-9+/]{6,}={0,2}",
            r"|perm[:\-][A-Za-z0-9+/=]{4,80}\.[A-Za-z0-9+/=\-]{4,80}\.[A-Za-z0-9+/=]{20,}",
            r"|eyJ0eXAiOiAiVENWMiJ9\.[A-Za-z0-9_\-]{20,400}\.[A-Za-z0-9_\-]{20,}|AAAA[A-Za-z0-9_\-]{7}:APA91b[A-Za-z0-9_\-]{120,}",
            r"|sha256~[A-Za-z0-9_\-]{40,}|ops_eyJ[A-Za-z0-9+/]{60,}={0,2}|sl\.[A-Za-z0-9_\-]{100,})"
        ),
    ),
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
            r#"\\*["']?[A-Za-z0-9/+]{20,}={0,2}(?:\\*["'])?"#
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
    // What follows goes by its name and by its shape, see `value`.
    judged(
        "env_password",
        "[REDACTED_PASSWORD]",
        &[
            ("password", Assigned),
            ("passwd", Assigned),
            ("passphrase", Assigned),
            ("_pass", Assigned),
            ("pwd", Assigned),
        ],
        concat!(
            r#"[A-Z0-9_]{0,64}(?:(?:PASSWORD|PASSWD|PASSPHRASE|_PASS)=([^\s"'`\\,;&|<>(){}\[\]$]{3,200})"#,
            r#"|PWD=([^\s"'`\\,;&|<>(){}\[\]$/~.][^\s"'`\\,;&|<>(){}\[\]$]{2,200}))(?<more>[(\[{])?"#
        ),
        Named::Sure,
    ),
    judged(
        "connection_password",
        "[REDACTED_PASSWORD]",
        &[("password", Assigned), ("pwd", Assigned)],
        concat!(
            r#"(?i)(?:host|hostaddr|server|user|user id|uid|dbname|database|data source|initial catalog|port)=[^\n"'(){},]{0,64}?"#,
            r#"[; ][ ]?(?:password|pwd)=([^\s;"'`\\,&(){}<>$]{3,200})"#,
            r#"|(?:password|pwd)=([^\s;"'`\\,&(){}<>$]{3,200})[; ][ ]?(?:host|server|user|user id|uid|dbname|database|port)="#
        ),
        Named::Sure,
    ),
    judged(
        "assigned_password",
        "[REDACTED_PASSWORD]",
        &[
            ("password", Assigned),
            ("passwd", Assigned),
            ("pwd", Assigned),
            ("passphrase", Assigned),
            ("passcode", Assigned),
            ("pass", Assigned),
        ],
        concat!(
            r#"(?i)(?:password|passwd|pwd|passphrase|passcode|(?:^|[^a-z])pass)(?:\\*["'`]\]?)?"#,
            r#"(?:[ \t]{0,8}(?::=|=>|={1,2}|:)[ \t]{0,8}\\*["'`]([^\s"'`\\]{4,200})\\*["'`]"#,
            r#"|=([^\s"'`\\,;&|<>(){}\[\]$]{4,200})(?<more>[(\[{])?)"#
        ),
        Named::Password,
    ),
    judged(
        "assigned_secret",
        "[REDACTED_SECRET]",
        SECRET_NAMES,
        concat!(
            r#"(?i)(?:token|secret|credentials?|(?:api|access|secret|private|signing|encryption|account|auth|service|master|client)[_-]?key"#,
            r#"|_key|auth)(?:\\*["'`]\]?)?"#,
            r#"(?:[ \t]{0,8}(?::=|=>|={1,2}|:)[ \t]{0,8}\\*["'`]([^\s"'`\\]{8,400})\\*["'`]"#,
            r#"|=([^\s"'`\\,;&|<>(){}\[\]$]{8,400})(?<more>[(\[{])?)"#
        ),
        Named::Token,
    ),
    judged(
        "element_password",
        "[REDACTED_PASSWORD]",
        &[("password>", Word), ("passwd>", Word), ("pwd>", Word), ("passphrase>", Word)],
        r#"(?i)(?:password|passwd|pwd|passphrase)>[ \t]{0,8}([^\s"'`\\<>(){}\[\]$]{4,200})[ \t]{0,8}</"#,
        Named::Password,
    ),
    judged(
        "element_secret",
        "[REDACTED_SECRET]",
        &[("token>", Word), ("secret>", Word), ("key>", Word)],
        r#"(?i)(?:token|secret|key)>[ \t]{0,8}([^\s"'`\\<>(){}\[\]$]{8,400})[ \t]{0,8}</"#,
        Named::Token,
    ),
    judged(
        "line_password",
        "[REDACTED_PASSWORD]",
        &[
            ("password", Assigned),
            ("passwd", Assigned),
            ("pwd", Assigned),
            ("passphrase", Assigned),
            ("pass", Assigned),
        ],
        concat!(
            r#"(?i)(?:^|["'`]|\\[nrt])[ \t]{0,40}(?:[-*][ \t]{1,4})?[a-z0-9_.\-]{0,40}?(?:password|passwd|pwd|passphrase|pass)"#,
            r#"[ \t]{0,8}(?::|=)[ \t]{1,8}([^\s"'`\\,;&|<>(){}\[\]$]{4,200})[ \t]{0,8}\r?(?:$|#|["'`]|\\[nr])"#
        ),
        Named::Password,
    ),
    judged(
        "line_secret",
        "[REDACTED_SECRET]",
        SECRET_NAMES,
        concat!(
            r#"(?i)(?:^|["'`]|\\[nrt])[ \t]{0,40}(?:[-*][ \t]{1,4})?[a-z0-9_.\-]{0,40}?"#,
            r#"(?:token|secret|credentials?|key|auth)"#,
            r#"[ \t]{0,8}(?::|=)[ \t]{1,8}([^\s"'`\\,;&|<>(){}\[\]$]{8,400})[ \t]{0,8}\r?(?:$|#|["'`]|\\[nr])"#
        ),
        Named::Token,
    ),
    judged(
        "password_argument",
        "[REDACTED_PASSWORD]",
        &[
            ("password", Argument),
            ("passwd", Argument),
            ("passphrase", Argument),
            ("pass", Argument),
            ("pwd", Argument),
        ],
        concat!(
            r#"(?i)(?:^|[ \t"'`(])--?[a-z0-9\-]{0,40}?(?:password|passwd|passphrase|pass|pwd)(?:[ \t]{1,4}|=)\\*["']?"#,
            r#"([^\s"'`\\|<>(){}\[\]$\-][^\s"'`\\|<>(){}\[\]$]{3,200})"#
        ),
        Named::Password,
    ),
    judged(
        "secret_argument",
        "[REDACTED_SECRET]",
        &[
            ("token", Argument),
            ("secret", Argument),
            ("key", Argument),
            ("credentials", Argument),
            ("auth", Argument),
        ],
        concat!(
            r#"(?i)(?:^|[ \t"'`(])--[a-z0-9\-]{0,40}?(?:token|secret|key|credentials|auth)(?:[ \t]{1,4}|=)\\*["']?"#,
            r#"([^\s"'`\\|<>(){}\[\]$\-][^\s"'`\\|<>(){}\[\]$]{7,400})"#
        ),
        Named::Token,
    ),
    judged(
        "user_argument",
        "[REDACTED_PASSWORD]",
        &[("-u", Argument), ("--user", Argument), ("--proxy-user", Argument)],
        r#"(?:-u|--user|--proxy-user)(?:[ \t]{1,4}|=)\\*["']?[^\s:"'`\\$(){}<>]{1,60}:([^\s"'`\\|<>(){}\[\]$]{3,200})"#,
        Named::Password,
    ),
    judged(
        "netrc_password",
        "[REDACTED_PASSWORD]",
        &[("password", Argument)],
        concat!(
            r"login[ \t]{1,8}[^\s]{1,60}[ \t]{1,8}password[ \t]{1,8}([^\s\[]{3,200})",
            r"|password[ \t]{1,8}([^\s\[]{3,200})[ \t]{1,8}login[ \t]"
        ),
        Named::Sure,
    ),
    judged(
        "netrc_line",
        "[REDACTED_PASSWORD]",
        &[("password", Argument)],
        r"^[ \t]{0,40}password[ \t]{1,8}([^\s\[]{3,200})[ \t]{0,8}\r?$",
        Named::Password,
    ),
    judged(
        "pgpass_line",
        "[REDACTED_PASSWORD]",
        &[(":543", Word), (":6432:", Word), (":*:", Word)],
        r"^[A-Za-z0-9_.*\-]{1,64}:(?:543[0-9]|6432|\*):[A-Za-z0-9_.*\-]{1,64}:[A-Za-z0-9_.*@\-]{1,64}:([^\s:\[]{3,200})",
        Named::Sure,
    ),
    judged(
        "authorization_header",
        "[REDACTED_AUTHORIZATION]",
        &[("authorization", Assigned)],
        concat!(
            r#"(?i)authorization\\*["'`]?[ \t]{0,8}[:=][ \t]{0,8}\\*["'`]?(?:[a-z][a-z0-9\-]{1,24}[ \t]{1,8})?"#,
            r#"(?:(?:token|key|apikey|credential|response|signature|username)=\\*["']?)?([a-z0-9_\-.~+/=]{8,})"#
        ),
        Named::Token,
    ),
    judged(
        "digest_response",
        "[REDACTED_AUTHORIZATION]",
        &[("response", Assigned)],
        r#"(?i)response=\\*["']?([0-9a-f]{32,64})"#,
        Named::Token,
    ),
    judged(
        "signed_url",
        "[REDACTED_SIGNATURE]",
        &[
            ("signature", Assigned),
            ("sig", Assigned),
            ("security-token", Assigned),
            ("credential", Assigned),
            ("sign", Assigned),
        ],
        concat!(
            r"(?i)(?:x-[a-z]{2,6}-(?:signature|security-token|credential)|q-signature|[?&,; ]signature|[?&]sign?|[?&]sig)=",
            r"([a-z0-9%/+=_.~\-]{16,})"
        ),
        Named::Sure,
    ),
    judged(
        "url_key",
        "[REDACTED_API_KEY]",
        &[("?key", Assigned), ("&key", Assigned), ("?code", Assigned), ("&code", Assigned)],
        r"[?&](?:key|code)=([A-Za-z0-9%_.~\-]{20,})",
        Named::Token,
    ),
    judged(
        "url_token",
        "[REDACTED_URL_PASSWORD]",
        &[("://", UserToken)],
        r"://([A-Za-z0-9_\-.]{16,})@",
        Named::Token,
    ),
    plain(
        "jwt_token",
        "[REDACTED_JWT]",
        &[("eyJ", Run(4))],
        concat!(r"eyJ[A-Za-z0-9_\-]{4,}\.eyJ[A-Za-z0-9_\-]{4,}(?:", r"\.[A-Za-z0-9_\-]*)?"),
    ),
];
