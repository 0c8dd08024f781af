//! Hundreds of secrets, each in every form in which one is written down, also behind what hides it from a reader of bytes.

use super::super::view::View;
use super::keys::KEYS;
use super::*;

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
