//! The rows of the table, one by one: what goes and what is near it and stays.

use std::collections::HashSet;

use super::super::rules::{BUILT_IN, Gate, PRIVATE_KEY};
use super::*;

/// So many times the same, for the bodies of keys.
fn x(n: usize) -> String {
    "aB3".chars().cycle().take(n).collect()
}

fn hex(n: usize) -> String {
    "0a1b2c3d4e5f".chars().cycle().take(n).collect()
}

/// `prefix` in two halves, so that no file here holds the start of a key.
fn p(halves: [&str; 2], body: &str) -> String {
    [halves[0], halves[1], body].concat()
}

#[test]
fn issued_keys_go() {
    let upper = "ABCD1234EFGH5678";
    for (key, token) in [
        (p(["AK", "IA"], upper), "[REDACTED_AWS_KEY]"),
        (p(["AS", "IA"], upper), "[REDACTED_AWS_KEY]"),
        (p(["gh", "p_"], &x(36)), "[REDACTED_GITHUB_TOKEN]"),
        (p(["gh", "t_"], &x(255)), "[REDACTED_GITHUB_TOKEN]"),
        (p(["github", "_pat_"], &x(22)), "[REDACTED_GITHUB_PAT]"),
        (p(["gl", "pat-"], &x(20)), "[REDACTED_GITLAB_TOKEN]"),
        (p(["xo", "xp-"], "1234567890-abc"), "[REDACTED_SLACK_TOKEN]"),
        (p(["s", "k_live_"], &x(24)), "[REDACTED_STRIPE_KEY]"),
        (p(["p", "k_test_"], &x(24)), "[REDACTED_STRIPE_KEY]"),
        (p(["S", "K"], &hex(32)), "[REDACTED_TWILIO_KEY]"),
        (p(["S", "G."], &[x(22), x(43)].join(".")), "[REDACTED_SENDGRID_KEY]"),
        ([hex(32), "-us12".into()].concat(), "[REDACTED_MAILCHIMP_KEY]"),
        (p(["np", "m_"], &x(36)), "[REDACTED_NPM_TOKEN]"),
        (p(["py", "pi-"], &x(50)), "[REDACTED_PYPI_TOKEN]"),
        (p(["sk", "-ant-"], &x(40)), "[REDACTED_ANTHROPIC_KEY]"),
        (p(["sk", "-proj-"], &x(40)), "[REDACTED_OPENAI_KEY]"),
        (p(["sk", "-"], &x(20)), "[REDACTED_OPENAI_KEY]"),
        (p(["AI", "za"], &x(35)), "[REDACTED_GOOGLE_KEY]"),
        (p(["h", "f_"], &x(34)), "[REDACTED_HUGGINGFACE_TOKEN]"),
        (p(["do", "p_v1_"], &hex(64)), "[REDACTED_DIGITALOCEAN_TOKEN]"),
        (p(["AGE-SECRET", "-KEY-1"], &x(58).to_uppercase()), "[REDACTED_AGE_KEY]"),
        (p(["ey", "Jabcd."], &p(["ey", "Jefgh"], ".sig-_")), "[REDACTED_JWT]"),
    ] {
        check(&key, token);
        check(&format!("a {key}, b"), &format!("a {token}, b"));
        check(&format!("X=\\n{key}\\n"), &format!("X=\\n{token}\\n"));
        check(&format!("{key}\n{key}"), &format!("{token}\n{token}"));
        check(&format!("'{key}'ü"), &format!("'{token}'ü"));
        stays(&key[..key.len().min(30) * 2 / 5]);
    }
}

#[test]
fn near_misses_stay() {
    for text in [
        p(["ak", "ia"], "ABCD1234EFGH5678"),
        p(["AK", "IA"], "ABCD1234EFGH567"),
        p(["gh", "p_"], &x(35)),
        p(["gh", "x_"], &x(36)),
        p(["s", "k_prod_"], &x(24)),
        p(["S", "K"], "not-hex-at-all-but-long-enough-for-it"),
        p(["ri", "sk-"], &x(40)),
        p(["ta", "sk-"], "management-of-a-system-with-long-names"),
        p(["np", "m_"], "config_registry_of_the_whole_company_x"),
        [hex(32), "-user1".into()].concat(),
        [hex(31), "-us1".into()].concat(),
        "0190f6e2-8a4c-7d31-9b52-3f7e6a1c0d84".into(),
        "eyJhbGciOiJIUzI1NiJ9 alone is a header".into(),
        "Asia/Tokyo and AKIA in a sentence".into(),
        "fn syn_20_after_eight_hours_of_sleep_each_due_job_runs_once() {".into(),
        p(["github", "_pat_"], "is_read_from_the_environment"),
        "https://${USER}:${PASSWORD}@example.com/a and http://oauth2:{}@h".into(),
        "[REDACTED_JWT] [REDACTED_PASSWORD]".into(),
    ] {
        stays(&text);
    }
}

/// What begins like the keys of a service, or is as long as one, and is none.
#[test]
fn neighbours_of_token_families_stay() {
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    for text in [
        p(["AC", "CA"], "lower-case-letters"),
        p(["gl", "rt-"], "is-what-a-runner-has"),
        p(["tv", "ly-"], "search-results"),
        p(["pc", "sk_"], "index_of_the_whole_company_and_all_of_its_parts"),
        p(["ji", "na_"], "embeddings_v3_base_en_and_more_of_the_same_kind"),
        p(["e2", "b_"], "sandbox_of_the_whole_team_and_more_of_the_same"),
        p(["rn", "d_"], "of_the_names_that_this_library_has_got"),
        p(["nf", "c_"], &x(35)),
        p(["secret", "-live-"], "configuration-of-the-whole-company-here"),
        p(["fc", "-"], &hex(31)),
        p(["sk", "_"], &hex(47)),
        p(["di", "sk_"], &hex(48)),
        p(["ma", "da2-"], "abcdefghijklmnopqrstuvwxyz"),
        p(["pico", "-"], &x(32)),
        p(["AP", "I-"], "GATEWAY"),
        p(["pa", "ttern_matching."], "is_what_this_does"),
        p(["pa", "t."], "is.a.name"),
        p(["te", "st."], &[hex(24), hex(8)].join(".")),
        p(["0.", "1.2-"], "alpha.1"),
        p(["pe", "rm:"], "read.write.all"),
        p(["dt", "0c01."], "SHORT"),
        p(["cio", "_"], &x(32)),
        ["2/1", "200123456789012/1200123456789012"].concat(),
        format!("request {uuid}"),
        format!("my-sdk{uuid} and theapi-{uuid}"),
        format!("accessing-{uuid}"),
        format!("sha512-{}==", x(86)),
        "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUlJQklqQU5CZ2txaGtpRzl3MEJBUUVGQUFPQ0FROEE=".into(),
        "https://hook.example.make.com/ and https://www.make.com/en/help/webhooks-and-more".into(),
        "hooks.zapier.com/hooks/catch is where they go".into(),
        "https://acme.webhook.office.com/webhookb2/ is the address".into(),
        "access_token$production$ and then".into(),
        "EndpointSuffix=core.windows.net;AccountName=a".into(),
    ] {
        stays(&text);
    }
}

#[test]
fn what_follows_the_key_of_a_connection_goes_with_it() {
    let key = x(86);
    for (text, expected) in [
        (
            format!("Protocol=https;AccountName=a;AccountKey={key}==;EndpointSuffix=core.windows.net"),
            "Protocol=https;AccountName=a;[REDACTED_AZURE_KEY]",
        ),
        (
            format!(
                "\"Name=a;AccountKey={key}==;BlobEndpoint=http://h:10000/a;QueueEndpoint=http://h/a;\", x"
            ),
            "\"Name=a;[REDACTED_AZURE_KEY];\", x",
        ),
        (
            format!("Endpoint=sb://a/;SharedAccessKey={}=;EntityPath=hub and more", x(43)),
            "Endpoint=sb://a/;[REDACTED_AZURE_KEY] and more",
        ),
        (
            format!("{{\"AccountKey\": \"{key}==\", \"EndpointSuffix\": \"h\"}}"),
            "{\"AccountKey\": \"[REDACTED_AZURE_KEY]\", \"EndpointSuffix\": \"h\"}",
        ),
    ] {
        check(&text, expected);
    }
}

#[test]
fn of_a_webhook_the_address_stays_and_the_rest_goes() {
    let id = "01234567-89ab-cdef-0123-456789abcdef";
    for (text, expected) in [
        (
            format!("https://acme.webhook.office.com/webhookb2/{id}@{id}/IncomingWebhook/{}/{id} x", hex(32)),
            "https://acme.webhook.office.com/webhookb2/[REDACTED_WEBHOOK] x",
        ),
        (
            format!("https://hooks.zapier.com/hooks/catch/1234567/{}/", x(7)),
            "https://hooks.zapier.com/hooks/catch/[REDACTED_WEBHOOK]/",
        ),
        (format!("'https://hook.eu2.make.com/{}'", x(32)), "'https://hook.eu2.make.com/[REDACTED_WEBHOOK]'"),
        (
            format!("https://maker.ifttt.com/trigger/it/json/with/key/{}", x(22)),
            "https://maker.ifttt.com/trigger/it/json/with/key/[REDACTED_WEBHOOK]",
        ),
    ] {
        check(&text, expected);
    }
}

#[test]
fn values_go_by_their_names() {
    let long = x(24);
    let aws = x(40);
    for (text, expected) in [
        (format!("aws_secret_access_key = {aws}"), "[REDACTED_AWS_SECRET]"),
        (format!("AWS_SECRET_ACCESS_KEY={aws}"), "[REDACTED_AWS_SECRET]"),
        (format!("{{\"SecretAccessKey\": \"{aws}\"}}"), "{\"SecretAccessKey\": \"[REDACTED_AWS_SECRET]\"}"),
        (format!("export AWS_SESSION_TOKEN={long}"), "[REDACTED_EXPORT]"),
        ("export DB_PASSWORD='my pass' && x".into(), "[REDACTED_EXPORT] && x"),
        ("EXPORT MY_API_KEY=abc; y".into(), "[REDACTED_EXPORT]; y"),
        ("mongodb+srv://u:p@h/db more".into(), "[REDACTED_CONNECTION_STRING] more"),
        ("\"redis://:pw@cache:6379\"".into(), "\"[REDACTED_CONNECTION_STRING]\""),
        (
            "git clone https://ci:pw@git.example/x".into(),
            "git clone https://ci:[REDACTED_URL_PASSWORD]@git.example/x",
        ),
        ("https://ci:p@ss@w0rd@git.example/x@y".into(), "https://ci:[REDACTED_URL_PASSWORD]@git.example/x@y"),
        (format!("-H 'Authorization: Bearer {long}'"), "-H '[REDACTED_BEARER_TOKEN]'"),
        (format!("\"Authorization\": \"Bearer {long}\""), "\"Authorization\": \"[REDACTED_BEARER_TOKEN]\""),
        ("authorization=basic dXNlcjpwYXNz".into(), "[REDACTED_BASIC_AUTH]"),
        (format!("X-Api-Key: {long}"), "X-[REDACTED_API_KEY]"),
        (format!("apiKey := `{long}`"), "[REDACTED_API_KEY]"),
        (format!("?access_token={long}&x=1"), "?[REDACTED_TOKEN]&x=1"),
        (format!("let auth_token: &str = \"{long}\";"), "let [REDACTED_TOKEN];"),
        ("password=\"hunter2hunter2\" x".into(), "[REDACTED_PASSWORD] x"),
        ("passwd: 'correct horse'".into(), "[REDACTED_PASSWORD]"),
        ("{\\\"pwd\\\":\\\"hunter22\\\"}".into(), "{\\\"pwd\\\":\\\"[REDACTED_PASSWORD]\\\"}"),
        ("config['password'] => 'hunter22';".into(), "config['password'] => '[REDACTED_PASSWORD]';"),
        ("DB_PASSWORD=hunter2hunter2".into(), "DB_[REDACTED_PASSWORD]"),
        (format!("client_secret={}", x(16)), "[REDACTED_SECRET]"),
        (format!("secret: \"{}\"", x(16)), "[REDACTED_SECRET]"),
        ("heroku key 01234567-89ab-cdef-0123-456789abcdef".into(), "heroku key [REDACTED_UUID]"),
    ] {
        check(&text, expected);
    }
}

#[test]
fn names_without_secrets_stay() {
    for text in [
        "password=\"short\"",
        "password = get_password(user)",
        "pwd=\"/home/anna/project\"",
        "Enter your password:",
        "api_key = default_api_key_of_the_tests",
        "api_key=os.environ.get(\"KEY\")",
        "secret: process.env.CLIENT_SECRET",
        "secret = SECRET_FROM_THE_ENVIRONMENT",
        "\"input_tokens\": 12345678901234567890",
        "export API_KEY=$OTHER",
        "export PATH=/usr/local/bin:/usr/bin",
        "authorization: required",
        "redis://localhost:6379/0",
        "https://example.com:8443/a@b",
        "{\"password\":\"[REDACTED_PASSWORD]\"}",
        "password=\"[REDACTED_PASSWORD]\"",
        "export X_API_KEY=[REDACTED_EXPORT]",
    ] {
        stays(text);
    }
}

#[test]
fn the_table_is_sound() {
    let mut tokens = HashSet::new();
    assert_eq!(BUILT_IN[usize::from(PRIVATE_KEY)].name, "private_key");
    for row in BUILT_IN {
        assert!(row.token.starts_with("[REDACTED_") && row.token.ends_with(']'), "{}", row.name);
        tokens.insert(row.token);
        // A row that does not compile would take all text.
        let rule = Rule::built_in(row);
        assert_eq!(rule.find(b"nothing to see here", 0), None, "{}", row.name);
        let exact = row
            .anchors
            .iter()
            .filter(|(_, g)| matches!(g, Gate::Run(_) | Gate::Dotted(..) | Gate::AfterHex | Gate::Begin));
        let named = row.anchors.len() - exact.count();
        let lower = |text: &str| text == text.to_lowercase();
        assert!(named == 0 || row.anchors.iter().all(|(text, _)| lower(text)), "{}", row.name);
    }
    assert!(tokens.len() >= 28, "{}", tokens.len());
}

#[test]
fn what_was_found_is_counted() {
    let mut found = Findings::default();
    let key = p(["AK", "IA"], "ABCD1234EFGH5678");
    REDACTOR.redact_counting(&format!("{key} {key}\npassword='hunter22'"), &mut found);
    let rules: Vec<_> = found.rules().iter().map(|f| (f.rule.as_str(), f.count)).collect();
    assert_eq!(rules, [("aws_access_key", 2), ("generic_password", 1)]);
    let mut sum = Findings::default();
    sum.merge(&found);
    sum.merge(&found);
    assert_eq!(sum.total(), 6);
}
