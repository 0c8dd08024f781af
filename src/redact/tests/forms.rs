//! Hundreds of secrets, each in every form in which one is written down, also behind what hides it from a reader of bytes.

use super::super::view::View;
use super::*;

/// Keys by what they begin with, in two halves so that no file here holds the start of one; alphabet, length, end.
const KEYS: &[(&str, &str, &str, usize, &str)] = &[
    ("AK", "IA", UPPER, 16, ""),
    ("AS", "IA", UPPER, 16, ""),
    ("gh", "p_", WORD, 36, ""),
    ("gh", "o_", WORD, 36, ""),
    ("gh", "s_", WORD, 36, ""),
    ("gh", "u_", WORD, 36, ""),
    ("gh", "r_", WORD, 76, ""),
    ("github", "_pat_", WORD, 82, ""),
    ("gl", "pat-", URL64, 20, ""),
    ("gl", "dt-", URL64, 20, ""),
    ("gl", "rt-", URL64, 20, ""),
    ("gl", "rtr-", URL64, 20, ""),
    ("gl", "cbt-", URL64, 26, ""),
    ("gl", "ptt-", HEX, 40, ""),
    ("gl", "ft-", URL64, 20, ""),
    ("gl", "imt-", URL64, 25, ""),
    ("gl", "agent-", URL64, 50, ""),
    ("gl", "oas-", HEX, 64, ""),
    ("gl", "soat-", URL64, 20, ""),
    ("gl", "ffct-", URL64, 20, ""),
    ("GR13", "48941", URL64, 20, ""),
    ("xo", "xb-", "0123456789", 24, ""),
    ("xo", "xp-", "0123456789", 24, ""),
    ("xo", "xe-", WORD, 40, ""),
    ("xa", "pp-1-", UPPER, 40, ""),
    ("hooks.sl", "ack.com/services/", WORD, 44, ""),
    ("s", "k_live_", WORD, 24, ""),
    ("r", "k_test_", WORD, 24, ""),
    ("wh", "sec_", WORD, 32, ""),
    ("S", "K", HEX, 32, ""),
    ("np", "m_", WORD, 36, ""),
    ("py", "pi-AgEI", URL64, 80, ""),
    ("sk", "-ant-api03-", URL64, 93, ""),
    ("sk", "-proj-", WORD, 64, ""),
    ("sk", "-svcacct-", WORD, 64, ""),
    ("sk", "-or-v1-", HEX, 64, ""),
    ("sk", "-", WORD, 48, ""),
    ("AI", "za", URL64, 35, ""),
    ("GOC", "SPX-", URL64, 28, ""),
    ("ya", "29.", URL64, 60, ""),
    ("1/", "/0", URL64, 60, ""),
    ("xa", "i-", WORD, 80, ""),
    ("gs", "k_", WORD, 52, ""),
    ("pp", "lx-", WORD, 48, ""),
    ("r", "8_", WORD, 37, ""),
    ("nv", "api-", URL64, 64, ""),
    ("ls", "v2_pt_", HEX, 32, ""),
    ("hv", "s.", URL64, 90, ""),
    ("hv", "b.", URL64, 130, ""),
    ("gl", "sa_", WORD, 32, "_0a1b2c3d"),
    ("gl", "c_eyJ", BASE64, 60, ""),
    ("AT", "ATT3", URL64, 180, ""),
    ("AT", "BB", WORD, 32, ""),
    ("da", "pi", HEX, 32, ""),
    ("ts", "key-auth-k", WORD, 30, ""),
    ("dc", "kr_pat_", URL64, 27, ""),
    ("sb", "p_", HEX, 40, ""),
    ("sb", "_secret_", URL64, 31, ""),
    ("ke", "y-", HEX, 32, ""),
    ("NR", "AK-", UPPER, 27, ""),
    ("sn", "trys_eyJ", BASE64, 90, ""),
    ("sn", "tryu_", HEX, 64, ""),
    ("lin", "_api_", WORD, 40, ""),
    ("nt", "n_", WORD, 46, ""),
    ("fi", "gd_", URL64, 40, ""),
    ("sh", "pat_", HEX, 32, ""),
    ("sh", "pss_", HEX, 32, ""),
    ("h", "f_", WORD, 34, ""),
    ("do", "p_v1_", HEX, 64, ""),
    ("do", "o_v1_", HEX, 64, ""),
    ("AGE-SECRET", "-KEY-1", UPPER, 58, ""),
    ("pscale", "_tkn_", URL64, 43, ""),
    ("pu", "l-", HEX, 40, ""),
    ("ruby", "gems_", HEX, 48, ""),
    ("PM", "AK-", HEX, 59, ""),
    ("bk", "ua_", HEX, 40, ""),
    ("CCI", "PAT_", WORD, 64, ""),
    ("ph", "x_", WORD, 43, ""),
    ("xkey", "sib-", HEX, 64, ""),
    ("sq", "0atp-", URL64, 22, ""),
    ("sq", "p_", HEX, 40, ""),
    ("dp.", "pt.", WORD, 43, ""),
    ("sha25", "6~", URL64, 43, ""),
    ("AB", "IA", UPPER, 16, ""),
    ("AC", "CA", UPPER, 16, ""),
    ("IQoJb3Jp", "Z2luX2Vj", BASE64, 300, "=="),
    ("FwoGZ", "XIvYXdzE", BASE64, 300, ""),
    ("AB", "SK", BASE64, 120, "="),
    ("xw", "fp-1-", UPPER, 30, ""),
    ("tv", "ly-dev-", WORD, 32, ""),
    ("tg", "p_v1_", URL64, 43, ""),
    ("ji", "na_", WORD, 60, ""),
    ("pc", "sk_6aB3d_", WORD, 63, ""),
    ("e2", "b_", HEX, 40, ""),
    ("sk", "-lf-01234567-89ab-cdef-0123-", HEX, 12, ""),
    ("AQ", "VN", URL64, 36, ""),
    ("vc", "k_", WORD, 56, ""),
    ("vercel", "_blob_rw_aB3dE6gH9jK2mN5p_", WORD, 30, ""),
    ("CF", "PAT-", URL64, 43, ""),
    ("CLO", "JARS_", "abcdefghijklmnopqrstuvwxyz0123456789", 60, ""),
    ("CCI", "PRJ_aB3dE6gH9jK2mN5pQ8sT1v_", HEX, 40, ""),
    ("duf", "fel_live_", URL64, 43, ""),
    ("FLW", "SECK_TEST-", HEX, 12, ""),
    ("fi", "o-u-", URL64, 64, ""),
    ("fm", "2_", BASE64, 160, ""),
    ("s-s4", "t2ud-", HEX, 64, ""),
    ("nf", "c_", WORD, 36, ""),
    ("pn", "b_", WORD, 36, ""),
    ("xsmtp", "sib-", HEX, 64, "-aB3dE6gH9jK2mN5p"),
    ("sl", "k_", HEX, 64, ""),
    ("tk-", "us-", URL64, 48, ""),
    ("sm", "_pat_", WORD, 16, ""),
    ("dd", "p_", WORD, 36, ""),
    ("js", "rp_", HEX, 60, ""),
    ("mdb", "_sa_sk_", URL64, 40, ""),
    ("bce-v3/", "ALTAK-aB3dE6gH9jK2mN5pQ8sT1/", HEX, 40, ""),
    ("ak", "ab-a1b2c3d4e5f6g7h8-", HEX, 16, ""),
    ("hca", "ik_", HEX, 58, ""),
    ("root", "ly_", HEX, 64, ""),
    ("db", "tu_", URL64, 43, ""),
    ("packa", "gist_uut_", HEX, 68, ""),
    ("cen", "sys_aB3dE6gH_", WORD, 24, ""),
    ("rn", "d_", WORD, 28, ""),
    ("se", "c-c-", BASE64, 46, "=="),
    ("dG9", "rOj", BASE64, 52, "="),
    ("xp", "rv", WORD, 107, ""),
    ("ph", "s_", WORD, 43, ""),
    ("access_token", "$production$a1b2c3d4e5f6g7h8$", HEX, 32, ""),
    ("0a1b2c3d4e", "msh0a1b2c3d4e5f6a7p10a1b2cjsn", HEX, 12, ""),
    ("pscale", "_oauth_", URL64, 43, ""),
    ("secret", "-live-", URL64, 36, ""),
    ("aB3dE6", "_", WORD, 29, "_mmk"),
    ("access", "-sandbox-01234567-89ab-cdef-0123-", HEX, 12, ""),
    ("pat-", "na1-01234567-89ab-cdef-0123-", HEX, 12, ""),
    ("sd", "k-01234567-89ab-cdef-0123-", HEX, 12, ""),
    ("wa", "ka_01234567-89ab-cdef-0123-", HEX, 12, ""),
    ("amzn", ".mws.01234567-89ab-cdef-0123-", HEX, 12, ""),
    ("ci", "o", WORD, 32, ""),
    ("ic", "o-", WORD, 32, ""),
    ("da", "2-", "abcdefghijklmnopqrstuvwxyz0123456789", 26, ""),
    ("AP", "I-", UPPER, 26, ""),
    ("EA", "A", WORD, 180, ""),
    ("oau", "th:", "abcdefghijklmnopqrstuvwxyz0123456789", 30, ""),
    ("pk", "_12345678_", UPPER, 32, ""),
    ("sk", "_", HEX, 48, ""),
    ("fc", "-", HEX, 32, ""),
    ("cf", "lt", BASE64, 60, ""),
    ("A3", "-ASWWYB-798JRYLJVD4-23DC2-86TVM-", UPPER, 5, ""),
    ("2/1", "200123456789012/1200123456789012:", HEX, 32, ""),
    ("cmVm", "dGtuOj", WORD, 54, ""),
    ("dp.", "scim.", WORD, 43, ""),
    ("dt", "0s01.ABCDEFGHIJKLMNOPQRSTUVWX.", UPPER, 64, ""),
    ("pa", "taB3dE6gH9jK2mN.", HEX, 64, ""),
    ("pa", "t.aB3dE6gH9jK2mN5pQ8sT1v.0a1b2c3d4e5f0a1b2c3d4e5f.", WORD, 20, ""),
    ("sk", ".eyJ1IjoiYWNtZSIsImEiOiJhYmMifQ.", URL64, 22, ""),
    ("st", ".0a1b2c3d4e5f0a1b2c3d4e5f.0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d.", HEX, 32, ""),
    ("0.01234567", "-89ab-cdef-0123-456789abcdef.aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0:", BASE64, 22, "=="),
    ("00", "DaB3dE6gH9jK2!", WORD, 96, ""),
    ("WPL", "_AP1.aB3dE6gH9jK2mN5p.", WORD, 8, "=="),
    ("pe", "rm:YW5uYQ==.NDctMQ==.", WORD, 30, ""),
    ("AAAA", "aB3dE6g:APA91b", URL64, 134, ""),
    ("aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3hI6kL9nO2qR5tU8wX1z", "JQQJ99", WORD, 26, ""),
    ("LS0tLS1CRUdJTiBS", "U0EgUFJJVkFURSBLRVktLS0tLQ", BASE64, 400, "=="),
];

/// `n` keys of issuers, all kinds in turn.
fn keys(n: usize) -> Vec<String> {
    let mut rng = Seeded(31);
    let kinds = KEYS.iter().cycle().take(n);
    kinds
        .map(|(head, tail, alphabet, length, end)| [*head, tail, &rng.text(alphabet, *length), end].concat())
        .collect()
}

/// Passwords as people choose them and as programs make them.
fn passwords(n: usize) -> Vec<String> {
    let mut rng = Seeded(32);
    let words = ["hunter", "Winter", "correct", "dragon", "Passw0rd", "tr0ub4dor", "letmein", "monkey"];
    (0..n)
        .map(|n| match n % 3 {
            0 => format!("{}{}", rng.pick(&words), 20 + rng.below(9979)),
            1 => format!("{}{}!{}", rng.pick(&words), rng.pick(&["#", "^", "*", "+"]), rng.below(90)),
            _ => format!("{}{}{}", rng.text(WORD, 8), 1 + rng.below(8), rng.text(WORD, 6)),
        })
        .collect()
}

/// Tokens that begin like no issuer's.
fn tokens(n: usize) -> Vec<String> {
    let mut rng = Seeded(33);
    (0..n)
        .map(|n| [rng.text([WORD, HEX][n % 2], 16), "7b".into(), rng.text([WORD, HEX][n % 2], 14)].concat())
        .collect()
}

/// Where anything stands; § is the secret.
const ANYWHERE: &[&str] = &[
    "§",
    " § ",
    "(§)",
    "'§'",
    "\"§\"",
    "`§`",
    "§,",
    "§;",
    "§.",
    "§!",
    "[§]",
    "{§}",
    "<§>",
    "|§|",
    "*§*",
    "„§“",
    "🔑§🔑",
    "鍵§鍵",
    "=§",
    ":§",
    "/§/",
    "@§",
    "~§",
    "x=§",
    "x: §",
    "x = \"§\"",
    "{\"x\": \"§\"}",
    "{\"x\":[\"§\",1]}",
    "{\"x\":\"{\\\"y\\\":\\\"§\\\"}\"}",
    "\"line\\n§\\nline\"",
    "x:\n  - §\n  - y",
    "x: >\n  §\n",
    "X=§",
    "export X=§",
    "X='§' cmd",
    "cmd --x §",
    "cmd --x=§ y",
    "cmd <<< §",
    "$(echo §)",
    "echo § | cmd",
    "curl -H 'X: §' h",
    "https://h.example/a?x=§&y=1",
    "https://h.example/§/a",
    "x=1&y=§",
    "Bearer §",
    "2026-01-02T03:04:05Z WARN x § y",
    "file.rs:12:§",
    "+§",
    "-  §",
    "> §",
    "# §",
    "// §",
    "<!-- § -->",
    "<x y=\"§\"/>",
    "<x>§</x>",
    "a,§,b",
    "a\t§\tb",
    "call(\"§\")?;",
    "§\r\nnext",
    "\\t§\\n",
    "it is § and more",
];

/// Where a password stands.
const PASSWORDS: &[&str] = &[
    "password=\"§\"",
    "password: '§'",
    "{\"password\": \"§\"}",
    "{\\\"password\\\":\\\"§\\\"}",
    "password=§",
    "PASSWORD=§",
    "DB_PASSWORD=§",
    "export PGPASSWORD=§",
    "PGPASSWORD=§ psql",
    "db_password: §",
    "  password: § # mine",
    "- password: §",
    "password = §",
    "passwd=§",
    "passwd: §",
    "pwd=§",
    "\"pwd\":\"§\"",
    "Server=db;User Id=sa;Pwd=§;",
    "Server=db;Database=x;Password=§;Timeout=3",
    "host=h user=u password=§ dbname=d",
    "password=§ host=h",
    "--password §",
    "--password=§",
    "cmd --db-password '§' x",
    "mysql --password=§ -h db",
    "curl -u anna:§ https://h.example",
    "curl --user anna:§ https://h.example",
    "machine h.example login anna password §",
    "  password §",
    "h.example:5432:db:anna:§",
    "*:*:*:anna:§",
    "https://anna:§@h.example/a",
    "postgres://anna:§@db:5432/x",
    "GET /login?password=§&x=1",
    "passphrase=§",
    "\"passphrase\": \"§\"",
    "passphrase: §",
    "pass: §",
    "db_pass=§",
    "config[\"password\"] = \"§\"",
    "config['password'] => '§';",
    "password := \"§\"",
    "let password: &str = \"§\";",
    "_password=\"§\"",
    "<password>§</password>",
    "<dbPassword>§</dbPassword>",
    "connect(user=\"anna\", password=\"§\")",
    "connect(user='anna', passwd='§')",
    "x -e MYSQL_ROOT_PASSWORD=§ mysql",
    "spring.datasource.password=§",
    "password: \"§\",",
    "{\"type\":\"tool\",\"output\":\"DB_PASSWORD=§\\nnext\"}",
    "{\"type\":\"tool\",\"output\":\"user: u\\npassword: §\\n\"}",
    "user=u&password=§&x=1",
    "requirepass: x, password=§",
    "[pypi]\nusername = anna\npassword = §",
    "username: anna\npassword: §\n",
    "PASSWD=§",
    "DB_PASSWORD='§'",
    "DB_PASSWORD=\"§\"",
];

/// Where a token stands.
const TOKENS: &[&str] = &[
    "token=§",
    "token: §",
    "token = \"§\"",
    "{\"token\": \"§\"}",
    "{\\\"token\\\":\\\"§\\\"}",
    "access_token=§",
    "\"refresh_token\":\"§\"",
    "TOKEN=§",
    "export GH_TOKEN=§",
    "export MY_TOKEN='§'",
    "X_TOKEN=§ cmd",
    "PRIVATE-TOKEN: §",
    "curl -H \"PRIVATE-TOKEN: §\" https://h.example",
    "curl -H 'X-Api-Key: §'",
    "X-Auth-Token: §",
    "Authorization: Bearer §",
    "Authorization: Token §",
    "Authorization: §",
    "Authorization: ApiKey §",
    "authorization: token §",
    "\"Authorization\": \"Bearer §\"",
    "curl -H 'Authorization: Basic §='",
    "Proxy-Authorization: Basic §=",
    "--token §",
    "--token=§",
    "cmd --api-key §",
    "cmd --secret-key='§'",
    "secret: §",
    "secret=§",
    "client_secret=§",
    "\"client_secret\": \"§\"",
    "private_key=§",
    "private_key: §",
    "credentials=§",
    "credentials: §",
    "api_key: §",
    "apiKey: \"§\"",
    "API_KEY=§",
    "STRIPE_SECRET_KEY=§",
    "encryption_key = \"§\"",
    "//h.example/:_authToken=§",
    "_auth=§",
    "{\"auths\":{\"h.example\":{\"auth\":\"§=\"}}}",
    "GET /x?token=§&y=1",
    "GET /x?access_token=§",
    "https://h.example/x?X-Amz-Credential=a&X-Amz-Signature=§",
    "https://h.example/x?X-Goog-Signature=§&y=1",
    "https://h.example/x?sv=2024&sig=§%3D",
    "https://h.example/x?Expires=1&Signature=§",
    "https://§@h.example/1",
    "GET /maps?key=§",
    "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=§",
    "SIGNING_SECRET=§",
    "AccountKey=§12345678==;",
    "session_token: §",
    "{\"type\":\"tool\",\"output\":\"token: §\\nnext\"}",
    "<token>§</token>",
    "<apiKey>§</apiKey>",
    "secrets.token=§",
    "webhook_secret: '§'",
];

/// Writes a secret so that who looks for its bytes does not find it.
type Hide = fn(&str) -> String;

/// What hides a secret from who looks for bytes.
const VEILS: &[(&str, Hide)] = &[
    ("none", str::to_owned),
    ("soft hyphen", |s| between(s, "\u{ad}")),
    ("zero width space", |s| between(s, "\u{200b}")),
    ("variation selector", |s| between(s, "\u{fe0f}")),
    ("tag", |s| between(s, "\u{e0041}")),
    ("colour", |s| between(s, "\u{1b}[1;31m")),
    ("colour as JSON", |s| between(s, "\\u001b[0m")),
    ("link", |s| between(s, "\u{1b}]8;;\u{7}")),
    ("URL", |s| s.bytes().map(|b| format!("%{b:02X}")).collect()),
    ("URL twice", |s| s.bytes().map(|b| format!("%25{b:02x}")).collect()),
    ("JSON", |s| s.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect()),
    ("JSON in JSON", |s| s.chars().map(|c| format!("\\\\u{:04X}", u32::from(c))).collect()),
];

fn between(secret: &str, sign: &str) -> String {
    let at = secret.len() / 2;
    [&secret[..2], sign, &secret[2..at], sign, &secret[at..]].concat()
}

/// Whether a reader of `out` gets enough of `secret` to guess the rest.
fn leaks(out: &str, secret: &str) -> bool {
    // Of a webhook only what follows its address is secret.
    let secret = secret.rsplit("/services/").next().unwrap();
    let length = secret.len().min(14);
    let seen = View::of(out.as_bytes()).text;
    secret.as_bytes().windows(length).skip(secret.len().saturating_sub(length).min(8)).any(|part| {
        memchr::memmem::find(&seen, part).is_some() || memchr::memmem::find(out.as_bytes(), part).is_some()
    })
}

/// Every secret in every form behind every veil; in the ordinary run a twelfth of that. Answers how many were looked at.
fn all_go(secrets: &[String], forms: &[&str]) -> usize {
    let every = if std::env::var_os("OX_TEST_LONG").is_some() { 1 } else { 12 };
    let (mut looked, mut missed) = (0, Vec::new());
    for (n, secret) in secrets.iter().enumerate() {
        for (m, form) in forms.iter().enumerate() {
            for (k, (veil, hide)) in VEILS.iter().enumerate() {
                if (n + m + k) % every != 0 {
                    continue;
                }
                looked += 1;
                let line = form.replace('§', &hide(secret));
                let out = redact(&line);
                if leaks(&out, secret) {
                    missed.push(format!("{veil}, {form:?}, {secret}: {out:?}"));
                }
            }
        }
    }
    assert!(
        missed.is_empty(),
        "{} of {looked} missed:\n{}",
        missed.len(),
        missed[..missed.len().min(30)].join("\n")
    );
    looked
}

#[test]
fn sec_04_issued_keys_go_in_every_form() {
    assert!(ANYWHERE.len() >= 60);
    println!("{} looked at", all_go(&keys(2 * KEYS.len()), ANYWHERE));
}

#[test]
fn sec_04_passwords_go_in_every_form() {
    assert!(PASSWORDS.len() >= 60);
    println!("{} looked at", all_go(&passwords(100), PASSWORDS));
}

#[test]
fn sec_04_tokens_go_in_every_form() {
    assert!(TOKENS.len() >= 60);
    println!("{} looked at", all_go(&tokens(100), TOKENS));
}
