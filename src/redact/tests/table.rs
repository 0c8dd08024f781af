//! Each row of the table: a secret that it finds, and what looks like one and stays.

use std::collections::BTreeSet;

use super::super::rules::BUILT_IN;
use super::*;

/// Name of the row, text with a secret of its kind, text that looks like it.
fn rows() -> Vec<(&'static str, String, String)> {
    let mut rng = Seeded(41);
    let mut key =
        |halves: [&str; 2], alphabet: &str, n: usize| [halves[0], halves[1], &rng.text(alphabet, n)].concat();
    let (lower, digits) = ("abcdefghijklmnopqrstuvwxyz", "0123456789");
    let t = key(["", ""], WORD, 30) + "7b";
    let hex = key(["", ""], HEX, 32);
    let private = ["-----BEGIN ", "PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n"].concat();
    vec![
        ("private_key", private.clone(), private.replace("PRIVATE", "PUBLIC")),
        (
            "encoded_private_key",
            key(["client-key-data: LS0tLS1CRUdJTiBFQy", "BQUklWQVRFIEtFWS0tLS0t"], BASE64, 200),
            key(["client-certificate-data: LS0tLS1CRUdJTiBD", "RVJUSUZJQ0FURS0tLS0t"], BASE64, 200),
        ),
        (
            "aws_session_token",
            key(["IQoJb3Jp", "Z2luX2Vj"], BASE64, 300),
            key(["IQoJb3Jp", "Z2luX2Vj"], WORD, 40),
        ),
        (
            "webhook",
            key(["https://hooks.zap", "ier.com/hooks/catch/1234567/"], lower, 7),
            "https://hooks.zapier.com/hooks/catch/help".into(),
        ),
        (
            "azure_marked_key",
            key(["", ""], BASE64, 76) + "+ASt" + "aB3dE6==",
            key(["", ""], WORD, 76) + "+ASt",
        ),
        ("maxmind_key", key(["aB3dE6", "_"], WORD, 29) + "_mmk", key(["aB3dE6", "_"], WORD, 20) + "_mmk"),
        (
            "uuid_key",
            key(["pat-", "eu1-01234567-89ab-cdef-0123-"], HEX, 12),
            key(["my-", "api-01234567-89ab-cdef-0123-"], HEX, 12).replace("my-", "my"),
        ),
        ("aws_access_key", key(["AK", "IA"], UPPER, 16), key(["AK", "IA"], UPPER, 15)),
        (
            "aws_secret_key",
            format!("aws_secret_access_key = {}", key(["", ""], BASE64, 40)),
            "aws_secret_access_key = var.secret".into(),
        ),
        ("github_token", key(["gh", "p_"], WORD, 36), key(["gh", "p_"], WORD, 35)),
        (
            "github_fine_grained_pat",
            key(["github", "_pat_"], WORD, 22),
            "github_pat_is_read_from_the_environment".into(),
        ),
        ("gitlab_token", key(["gl", "agent-"], URL64, 50), "glagent-is-the-name-of-this-agent".into()),
        ("gitlab_runner", key(["GR13", "48941"], URL64, 20), key(["GR13", "48941"], URL64, 19)),
        ("slack_token", key(["xa", "pp-1-"], UPPER, 40), key(["xa", "pp-x-"], UPPER, 40)),
        (
            "slack_webhook",
            key(["hooks.sl", "ack.com/services/"], WORD, 44),
            "hooks.slack.com/services/help".into(),
        ),
        (
            "discord_webhook",
            key(["/api/web", "hooks/123456789012345678/"], URL64, 68),
            "/api/webhooks/123456789012345678/messages".into(),
        ),
        ("telegram_token", key(["123456789", ":AA"], URL64, 33), key(["123456789", ":AA"], URL64, 20)),
        ("stripe_key", key(["wh", "sec_"], WORD, 32), key(["s", "k_prod_"], WORD, 24)),
        ("twilio_key", key(["S", "K"], HEX, 32), key(["S", "K"], HEX, 31)),
        (
            "sendgrid_key",
            key(["S", "G."], WORD, 22) + "." + &key(["", ""], WORD, 43),
            key(["S", "G."], WORD, 22),
        ),
        ("mailchimp_key", format!("{hex}-us12"), format!("{hex}-user")),
        ("npm_token", key(["np", "m_"], WORD, 36), "npm_config_registry_of_the_whole_company_x".into()),
        ("pypi_token", key(["py", "pi-"], URL64, 80), "pypi-publish-of-the-release".into()),
        ("anthropic_key", key(["sk", "-ant-"], URL64, 40), "sk-ant-short".into()),
        (
            "openai_key",
            key(["sk", "-proj-"], URL64, 40),
            "task-management-of-a-system-with-long-names".into(),
        ),
        ("google_api_key", key(["AI", "za"], URL64, 35), key(["AI", "za"], URL64, 30)),
        ("google_oauth", key(["GOC", "SPX-"], URL64, 28), "GOCSPX-short".into()),
        (
            "model_key",
            key(["gs", "k_"], WORD, 52),
            "gsk_names_of_the_functions_that_this_library_has_got".into(),
        ),
        ("vault_token", key(["hv", "s."], URL64, 90), "hvs.close()".into()),
        ("grafana_token", key(["gl", "c_"], BASE64, 60), key(["gl", "c_"], WORD, 20)),
        ("atlassian_token", key(["AT", "ATT3"], URL64, 180), key(["AT", "ATT3"], URL64, 20)),
        ("databricks_token", key(["da", "pi"], HEX, 32), key(["da", "pi"], lower, 32)),
        ("tailscale_key", key(["ts", "key-auth-k"], WORD, 30), "tskey-auth-name".into()),
        (
            "azure_connection",
            format!("AccountKey={}==", key(["", ""], BASE64, 86)),
            "AccountKey=from_the_vault".into(),
        ),
        ("azure_client_secret", key(["abc8", "Q~"], WORD, 34), key(["abc8", "Q~"], WORD, 10)),
        ("azure_devops", key(["", ""], WORD, 76) + &["AZ", "DO1a2b"].concat(), "the AZDO pipeline".into()),
        ("docker_token", key(["dc", "kr_pat_"], WORD, 27), "dckr_pat_short".into()),
        ("cloudflare_key", key(["cfu", "t_"], WORD, 40), key(["cfu", "t_"], WORD, 20)),
        ("supabase_key", key(["sb", "p_"], HEX, 40), key(["sb", "p_"], HEX, 39)),
        ("mailgun_key", key(["ke", "y-"], HEX, 32), key(["mon", "key-"], HEX, 32)),
        ("newrelic_key", key(["NR", "AK-"], UPPER, 27), "NRAK-short".into()),
        ("newrelic_license", format!("{hex}FFFFNRAL"), "FFFFNRAL".into()),
        ("sentry_token", key(["sn", "tryu_"], HEX, 64), key(["sn", "tryu_"], HEX, 20)),
        ("service_key", key(["lin", "_api_"], WORD, 40), "lin_api_keys_are_read_from_the_environment".into()),
        ("short_prefix_key", key(["LT", "AI"], WORD, 20), key(["SLT", "AI"], WORD, 20)),
        ("doppler_token", key(["dp.st.", "dev."], WORD, 43), "dp.st.name".into()),
        ("dotted_key", key(["sha25", "6~"], URL64, 43), "sha256~short".into()),
        ("huggingface_token", key(["h", "f_"], WORD, 34), "hf_hub_download".into()),
        ("digitalocean_token", key(["do", "p_v1_"], HEX, 64), key(["do", "p_v2_"], HEX, 64)),
        ("age_secret_key", key(["AGE-SECRET", "-KEY-1"], UPPER, 58), "AGE-SECRET-KEY-1...".into()),
        (
            "heroku_key",
            "heroku 01234567-89ab-cdef-0123-456789abcdef".into(),
            "session 01234567-89ab-cdef-0123-456789abcdef".into(),
        ),
        (
            "export_aws_secret",
            format!("export AWS_SESSION_TOKEN={t}"),
            "export AWS_SESSION_TOKEN=$TOKEN".into(),
        ),
        ("export_secret", "export DB_PASSWORD='my pass'".into(), "export DB_PASSWORD=$(pass show db)".into()),
        ("connection_string", "postgres://u:p@h/db".into(), "postgres://localhost:5432/db".into()),
        ("url_password", "https://ci:pw@git.example/x".into(), "https://ci@git.example:8443/x".into()),
        ("bearer_token", format!("Authorization: Bearer {t}"), "Authorization: Bearer <token>".into()),
        ("basic_auth", "Authorization: Basic dXNlcjpwYXNz".into(), "Authorization: Basic".into()),
        ("generic_api_key", format!("api_key: {t}"), "api_key: default_api_key_of_the_tests".into()),
        ("generic_token", format!("access_token={t}"), "access_token=request.headers.token".into()),
        ("generic_password", "password = \"correct horse\"".into(), "password = \"short\"".into()),
        ("generic_secret", format!("client_secret={t}"), "client_secret=settings.client_secret".into()),
        ("env_password", "PGPASSWORD=letmein".into(), "PGPASSWORD=$(cat file)".into()),
        (
            "connection_password",
            "host=db user=sa password=letmein dbname=x".into(),
            "host=db user=sa password=${PW} dbname=x".into(),
        ),
        ("assigned_password", "passphrase=hunter2".into(), "compass=hunter2".into()),
        ("assigned_secret", format!("signing_key=\"{t}\""), "signing_key=\"the-name-of-the-key\"".into()),
        ("element_password", "<password>hunter2</password>".into(), "<password>string</password>".into()),
        ("element_secret", format!("<token>{t}</token>"), "<token>identifier</token>".into()),
        ("line_password", "  db_password: hunter2".into(), "  db_password: sha256".into()),
        ("line_secret", format!("PRIVATE-TOKEN: {t}"), "  secret: HmacSha256,".into()),
        ("password_argument", "tool --password hunter2".into(), "tool --password PASSWORD".into()),
        ("secret_argument", format!("tool --token {t}"), "tool --token TOKEN --key name".into()),
        ("user_argument", "curl -u anna:hunter2 h".into(), "docker run -u 1000:1000 image".into()),
        (
            "netrc_password",
            "machine h login anna password letmein".into(),
            "the login needs a password too".into(),
        ),
        ("netrc_line", "  password hunter2".into(), "password reset".into()),
        ("pgpass_line", "db.example:5432:main:anna:letmein".into(), "db.example:5432:main".into()),
        (
            "authorization_header",
            "Authorization: Token a1b2c3d4e5f6".into(),
            "Authorization: Token required".into(),
        ),
        ("digest_response", format!("Digest username=\"x\", response=\"{hex}\""), "response=ok".into()),
        (
            "signed_url",
            format!("https://h/x?X-Amz-Signature={hex}"),
            "https://h/x?X-Amz-SignedHeaders=host".into(),
        ),
        ("url_key", format!("https://h/x?key={t}"), "https://h/x?key=name".into()),
        ("url_token", format!("https://{t}@h/1"), "https://anna@h/1".into()),
        (
            "jwt_token",
            key(["ey", "Jabcd."], WORD, 0) + &key(["ey", "Jefgh"], WORD, 10),
            key(["ey", "J"], digits, 20),
        ),
    ]
}

#[test]
fn each_row_has_a_secret_that_goes_and_a_look_alike_that_stays() {
    let rows = rows();
    let mut faults = Vec::new();
    for (name, secret, look_alike) in &rows {
        let rules = rules_of(secret);
        if rules != [*name] {
            faults.push(format!("{name}: {secret:?} was found by {rules:?}"));
        }
        let out = redact(look_alike);
        if out != *look_alike {
            faults.push(format!("{name}: {look_alike:?} became {out:?}"));
        }
        redact(secret);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let tried: BTreeSet<&str> = rows.iter().map(|(name, _, _)| *name).collect();
    let written: BTreeSet<&str> = BUILT_IN.iter().map(|row| row.name).collect();
    assert_eq!(tried, written);
}
