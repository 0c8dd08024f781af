//! Secrets that are planted, of every kind that a rule is for, and the forms in which they are written down.

use ox::kit::rng::Rng;
use serde_json::{Value, json};

use self::keys::{BASE64, HEX, KEYS, UPPER, URL64, WORD};

#[path = "../../src/redact/tests/keys.rs"]
mod keys;

/// What kind of text a secret is: which forms it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is known by itself, anywhere.
    Key,
    /// A URL, known by itself where URLs stand.
    Url,
    /// A password, known by its name.
    Password,
    /// A token, known by its name.
    Token,
    /// A private key of many lines.
    Block,
}

/// A secret.
pub struct Secret {
    pub kind: Kind,
    /// As it is written.
    pub text: String,
    /// What must not be left: all of it, or what of it is secret.
    pub cores: Vec<String>,
}

/// What the three `REDACT.md` files of a scene say, and what of theirs is planted.
pub const TEAM_RULES: &str =
    "literal \"Blue Heron Holding\" -> [CUSTOMER]\nregex \"cust-[0-9]{6}-[a-z]{4}\" -> [CUSTOMER]";
pub const REPO_RULES: &str = "regex \"HERON[A-Z]{2}[0-9]{12}\" -> [CONTRACT]";
pub const USER_RULES: &str = "literal \"dr.elisabeth.oakenshield\" -> [PERSON]";

fn text(rng: &mut Rng, alphabet: &str, length: usize) -> String {
    let alphabet = alphabet.as_bytes();
    let pick =
        |rng: &mut Rng| char::from(alphabet[usize::try_from(rng.below(alphabet.len() as u64)).unwrap()]);
    (0..length).map(|_| pick(rng)).collect()
}

fn pick<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[usize::try_from(rng.below(of.len() as u64)).unwrap()]
}

impl Secret {
    fn new(kind: Kind, text: String) -> Secret {
        Secret { kind, cores: vec![text.clone()], text }
    }

    /// One of which only `core` is secret.
    fn within(kind: Kind, text: String, core: &str) -> Secret {
        Secret { kind, text, cores: vec![core.to_owned()] }
    }

    /// What must not be found anywhere: each core, as it is and as JSON writes it, and long ones by each of their halves too.
    pub fn needles(&self) -> Vec<String> {
        let mut all = Vec::new();
        for core in &self.cores {
            all.push(core.clone());
            if core.len() >= 28 && core.is_ascii() {
                let (head, tail) = core.split_at(core.len() / 2);
                all.push(tail.to_owned());
                // Its beginning is what the issuer gives all.
                all.push(head[head.len() - 12..].to_owned());
            }
        }
        for n in 0..all.len() {
            let escaped = Value::from(all[n].clone()).to_string();
            let escaped = escaped[1..escaped.len() - 1].to_owned();
            if escaped != all[n] {
                all.push(escaped);
            }
        }
        all
    }
}

/// Secrets of all kinds, made anew of a seed: each kind of key at least twice.
pub fn secrets(rng: &mut Rng) -> Vec<Secret> {
    let mut all = Vec::new();
    for _ in 0..2 {
        for (head, tail, alphabet, length, end) in KEYS {
            let core = text(rng, alphabet, *length);
            let key = [head, tail, &*core, end].concat();
            // What all keys of an issuer have before it is nobody's secret; short ends alone are found in other texts.
            all.push(if core.len() >= 24 {
                Secret::within(Kind::Key, key, &core)
            } else {
                Secret::new(Kind::Key, key)
            });
        }
        for kind in 0..37 {
            all.push(other(rng, kind));
        }
        for n in 0..20 {
            let password = match n % 3 {
                0 => format!(
                    "{}{}",
                    pick(rng, &["hunter", "Winter", "dragon", "tr0ub4dor", "monkey"]),
                    2000 + rng.below(7999)
                ),
                1 => format!(
                    "{}#{}!{}",
                    pick(rng, &["Winter", "correct", "letmein"]),
                    text(rng, WORD, 4),
                    rng.below(90)
                ),
                _ => format!("{}{}{}", text(rng, WORD, 8), 1 + rng.below(8), text(rng, WORD, 6)),
            };
            all.push(Secret::new(Kind::Password, password));
            let alphabet = [WORD, HEX, URL64][n % 3];
            // Never with a sign at its ends, where people write punctuation.
            let token = [text(rng, HEX, 15), "7b".into(), text(rng, alphabet, 12), "4e".into()].concat();
            all.push(Secret::new(Kind::Token, token));
        }
        for label in ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "DSA "] {
            all.push(block(rng, label));
        }
    }
    all
}

/// Those that no prefix alone makes.
fn other(rng: &mut Rng, kind: usize) -> Secret {
    let of = |kind, parts: &[&str], core: &str| Secret::within(kind, parts.concat(), core);
    let (word, long) = (text(rng, WORD, 20), text(rng, URL64, 43));
    let (hex, base64) = (text(rng, HEX, 32), text(rng, BASE64, 40));
    match kind {
        0 => of(Kind::Url, &["postgres", "://app:", &word, "@db.internal:5432/main"], &word),
        1 => of(Kind::Url, &["mongodb+srv", "://app:", &word, "@cluster0.example.net/x"], &word),
        2 => of(Kind::Url, &["redis", "://default:", &word, "@cache:6379/0"], &word),
        3 => of(Kind::Url, &["amqps", "://svc:", &word, "@mq.example.com/v"], &word),
        4 => of(Kind::Url, &["mysql", "://root:", &word, "@10.0.0.3/shop"], &word),
        5 => of(Kind::Url, &["https", "://ci:", &word, "@git.example.com/a.git"], &word),
        6 => of(Kind::Url, &["https", "://oauth2:", &long, "@git.example.com/team/b.git"], &long),
        7 => of(
            Kind::Url,
            &["https", "://hooks.sl", "ack.com/services/T0A1B2C3D/B0E1F2G3H/", &text(rng, WORD, 24)],
            &word,
        ),
        8 => of(
            Kind::Url,
            &["https", "://discord.com/ap", "i/webhooks/123456789012345678/", &long, &long],
            &long,
        ),
        9 => of(Kind::Url, &["https", "://hooks.zap", "ier.com/hooks/catch/1234567/", &hex], &hex),
        10 => of(Kind::Url, &["https", "://hook.eu1.mak", "e.com/", &hex], &hex),
        11 => {
            of(Kind::Url, &["https", "://h.example/b/o?X-Amz-Expires=300&X-Amz-Signature=", &hex, &hex], &hex)
        }
        12 => {
            let sig = base64[..32].replace('+', "%2B").replace('/', "%2F");
            of(Kind::Url, &["https", "://acme.blob.example/c?sv=2024-01-01&sig=", &sig, "%3D"], &sig)
        }
        13 => of(Kind::Key, &["12345678", "90:AA", &text(rng, URL64, 33)], &word),
        14 => of(Kind::Key, &["S", "G.", &long[..22], ".", &text(rng, URL64, 43)], &long[..22]),
        15 => of(Kind::Key, &[&hex, "-u", "s", "12"], &hex),
        16 => of(Kind::Key, &["ey", "JhbGciOiJIUzI1NiJ9.ey", "J", &text(rng, URL64, 60), ".", &long], &long),
        17 => of(Kind::Key, &["v1.0-", &text(rng, HEX, 24), "-", &text(rng, HEX, 146)], &word),
        18 => of(Kind::Key, &["00", "D", &text(rng, WORD, 14), "!", &text(rng, WORD, 96)], &word),
        19 => of(Kind::Key, &["cust-", &text(rng, "0123456789", 6), "-", &text(rng, "abcdefghij", 4)], &word),
        20 => of(
            Kind::Key,
            &[
                "HERON",
                &text(rng, UPPER, 2).replace(|c: char| c.is_ascii_digit(), "X"),
                &text(rng, "0123456789", 12),
            ],
            &word,
        ),
        21 => of(Kind::Key, &["Blue Heron", " Holding"], "Blue Heron Holding"),
        22 => of(Kind::Key, &["dr.elisabeth", ".oakenshield"], "dr.elisabeth.oakenshield"),
        23 => of(Kind::Key, &["AccountKey=", &text(rng, BASE64, 86), "=="], &word),
        24 => of(Kind::Key, &["aws_secret_access_key = ", &base64], &base64),
        25 => of(Kind::Key, &["export AWS_SECRET_ACCESS_KEY=", &base64], &base64),
        26 => of(Kind::Key, &["heroku api: ", &uuid(rng)], &word),
        27 => of(Kind::Key, &["machine h.example login anna password ", &word], &word),
        28 => of(Kind::Key, &["Authorization: Bearer ", &long], &long),
        29 => of(Kind::Key, &["abc8", "Q~", &text(rng, WORD, 34)], &word),
        30 => of(Kind::Key, &[&text(rng, WORD, 76), "AZ", "DO", &text(rng, WORD, 4)], &word),
        31 => of(Kind::Key, &[&hex, "0a1bFFFFNR", "AL"], &hex),
        32 => of(Kind::Key, &["dp.", "st.dev.", &text(rng, WORD, 43)], &word),
        33 => of(Kind::Key, &["export AWS_SESSION_TOKEN=", &base64, &base64], &base64),
        34 => of(Kind::Key, &["export MONGO_PASSWORD=", &word], &word),
        35 => of(Kind::Key, &["Digest username=\"anna\", response=\"", &hex, "\""], &hex),
        _ => of(Kind::Key, &["Authorization: Basic ", &base64], &base64),
    }
    .found_in_its_text()
}

impl Secret {
    /// With what of its text is secret where that was not told: the last piece of it.
    fn found_in_its_text(mut self) -> Secret {
        if !self.text.contains(&self.cores[0]) {
            let rest = self
                .text
                .rsplit(['/', ' ', ':', '=', '-'])
                .find(|part| part.len() >= 4)
                .unwrap_or(&self.text);
            self.cores = vec![if rest.len() >= 16 { rest.to_owned() } else { self.text.clone() }];
        }
        self
    }
}

fn uuid(rng: &mut Rng) -> String {
    [8, 4, 4, 4, 12].map(|n| text(rng, HEX, n)).join("-")
}

fn block(rng: &mut Rng, label: &str) -> Secret {
    let body: Vec<String> = (0..14).map(|_| text(rng, BASE64, 64)).collect();
    let (begin, end) = (["-----BE", "GIN "].concat(), ["-----E", "ND "].concat());
    let text = format!("{begin}{label}PRIVATE KEY-----\n{}\n{end}{label}PRIVATE KEY-----", body.join("\n"));
    // Parts of lines too: whoever numbers or breaks lines divides them.
    let cores = body.iter().flat_map(|line| [line[..20].to_owned(), line[40..].to_owned()]).collect();
    Secret { kind: Kind::Block, text, cores }
}

/// A form: what it is, for which kinds, and how it is written.
pub struct Form {
    pub name: &'static str,
    pub of: &'static [Kind],
    pub write: Write,
}

pub enum Write {
    /// § is the secret.
    As(&'static str),
    By(fn(&str) -> String),
}

impl Form {
    pub fn text(&self, secret: &str) -> String {
        match self.write {
            Write::As(template) => template.replace('§', secret),
            Write::By(write) => write(secret),
        }
    }
}

const KEY: &[Kind] = &[Kind::Key];
const ANY: &[Kind] = &[Kind::Key, Kind::Url];
const WHOLE: &[Kind] = &[Kind::Key, Kind::Url, Kind::Block];
const NAMED: &[Kind] = &[Kind::Password];
const TOKEN: &[Kind] = &[Kind::Token];
const SECRET: &[Kind] = &[Kind::Password, Kind::Token];
const PEM: &[Kind] = &[Kind::Block];

const fn form(name: &'static str, of: &'static [Kind], template: &'static str) -> Form {
    Form { name, of, write: Write::As(template) }
}

const fn made(name: &'static str, of: &'static [Kind], write: fn(&str) -> String) -> Form {
    Form { name, of, write: Write::By(write) }
}

fn nested(value: &Value, depth: usize) -> String {
    (1..depth).fold(value.to_string(), |inner, _| json!({ "body": inner, "status": 200 }).to_string())
}

/// Every line of a text behind something.
fn lined(text: &str, before: impl Fn(usize) -> String) -> String {
    text.lines().enumerate().map(|(n, line)| before(n) + line).collect::<Vec<_>>().join("\n")
}

/// A shell's line that is broken with a backslash in the middle of a key.
fn broken(secret: &str, indent: &str) -> String {
    let at = (secret.len() / 2..secret.len()).find(|at| secret.is_char_boundary(*at)).unwrap_or(secret.len());
    format!("{}\\\n{indent}{}", &secret[..at], &secret[at..])
}

pub const FORMS: &[Form] = &[
    form("prompt", ANY, "Please use § for this, and tell nobody."),
    form("prompt, in parentheses", ANY, "the key (§) is the old one"),
    form("prompt, in quotes", ANY, "set it to \"§\" and go on"),
    form("prompt, in backticks", ANY, "I have put `§` into the environment"),
    form("prompt, alone", WHOLE, "§"),
    form("prompt, between lines", WHOLE, "Here it is:\n\n§\n\nThanks!"),
    form("a shell's export", ANY, "export X=§"),
    form("a shell's export in quotes", ANY, "export X='§'"),
    form(".env", ANY, "# settings\nDEBUG=1\nX=§\nNAME=demo\n"),
    form("YAML", ANY, "service:\n  x: §\n  port: 80\n"),
    form("a list in YAML", ANY, "all:\n  - §\n  - other\n"),
    form("folded YAML", ANY, "x: >-\n  §\ny: 1\n"),
    form("TOML", ANY, "[auth]\nx = \"§\"\n"),
    form("INI", ANY, "[auth]\nx=§\n"),
    form("XML element", KEY, "<config><x>§</x></config>"),
    form("XML attribute", KEY, "<add name=\"x\" value=\"§\"/>"),
    form("query string", KEY, "GET /v1/items?x=§&page=2 200"),
    form("path of a URL", KEY, "https://h.example/§/getMe"),
    form("curl -H", KEY, "curl -sS -H 'X-Key: §' https://h.example/v1"),
    form(
        "HTTP dump, request",
        KEY,
        "> GET /v1 HTTP/1.1\n> Host: h.example\n> X-Key: §\n>\n< HTTP/1.1 401 Unauthorized",
    ),
    form("HTTP dump, answer", KEY, "< HTTP/2 200\n< x-key: §\n< content-length: 2\n<\n{}"),
    form("a git remote", &[Kind::Url], "origin\t§ (fetch)\norigin\t§ (push)"),
    form("a diff's line that comes", ANY, "@@ -1 +1 @@\n-X=\n+X=§\n"),
    form("a diff's line that goes", ANY, "@@ -1 +1 @@\n-X=§\n+X=\n"),
    form("a here-document", WHOLE, "cat > f <<'EOF'\n§\nEOF"),
    form("Markdown table", ANY, "| name | value |\n| --- | --- |\n| x | § |\n"),
    form("Markdown quote", ANY, "> § is what he wrote\n"),
    form("Rust", KEY, "    let x: &str = \"§\";"),
    form("Python", KEY, "X = '§'  # the old one"),
    form("JavaScript", KEY, "const x = `§`;"),
    form("Go", KEY, "\tx := \"§\""),
    form(
        "a stack trace",
        ANY,
        "Error: request failed for §\n    at call (/src/a.js:12:3)\n    at main (/src/b.js:1:1)",
    ),
    form(
        "a panic",
        ANY,
        "thread 'main' panicked at src/a.rs:3:5:\ncalled `unwrap()` on an `Err` value: Denied(\"§\")",
    ),
    form("a log line", ANY, "2026-01-02T03:04:05Z WARN denied x=§ attempt=3"),
    form("a name of a file", KEY, "/home/anna/keys/§/notes.txt"),
    form("the output of grep", ANY, "config/app.ini:12:x=§"),
    form("CSV", KEY, "anna,§,2026-01-02"),
    form("a comment", ANY, "// § was here before"),
    form("Dockerfile", ANY, "ENV X=§\nRUN make"),
    form("docker run", ANY, "docker run -e X=§ -p 80:80 image"),
    form("a printed map", ANY, "{'x': '§', 'y': 1}"),
    form("a printed struct", ANY, "Config { x: \"§\", y: 1 }"),
    form("colours around", ANY, "x: \u{1b}[1;31m§\u{1b}[0m done"),
    made("colours within", KEY, |s| {
        let at = s.len() / 2;
        if s.is_char_boundary(at) {
            format!("\u{1b}[32m{}\u{1b}[0m\u{1b}[32m{}\u{1b}[0m", &s[..at], &s[at..])
        } else {
            s.to_owned()
        }
    }),
    made("JSON", ANY, |s| nested(&json!({ "x": s, "ok": true }), 1)),
    made("JSON in JSON", ANY, |s| nested(&json!({ "x": s }), 2)),
    made("JSON in JSON in JSON", ANY, |s| nested(&json!({ "x": [s] }), 3)),
    made("JSON four deep", ANY, |s| nested(&json!({ "x": { "y": s } }), 4)),
    made("JSON in a log line", ANY, |s| format!("INFO answer: {}", nested(&json!({ "x": s }), 2))),
    made("JSON with every character escaped", KEY, |s| {
        format!("{{\"x\":\"{}\"}}", s.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<String>())
    }),
    made("URL-encoded", KEY, |s| s.bytes().map(|b| format!("%{b:02X}")).collect()),
    made("broken with a backslash", KEY, |s| format!("export X={}", broken(s, ""))),
    made("broken with a backslash, indented", KEY, |s| format!("curl -H \"X: {}\" h", broken(s, "    "))),
    made("broken with a backslash in a diff", KEY, |s| format!("+export X={}", broken(s, "+"))),
    form("password =", NAMED, "password = \"§\""),
    form("password in JSON", NAMED, "{\"user\": \"anna\", \"password\": \"§\"}"),
    made("password in JSON in JSON", NAMED, |s| nested(&json!({ "password": s }), 2)),
    made("password in JSON, three deep", NAMED, |s| nested(&json!({ "db": { "password": s } }), 3)),
    form("password in .env", NAMED, "DB_PASSWORD=§\nDB_HOST=db\n"),
    form("password exported", NAMED, "export PGPASSWORD=§"),
    form("password in YAML", NAMED, "database:\n  user: anna\n  password: §\n"),
    form("password in TOML", NAMED, "[database]\npassword = \"§\"\n"),
    form("password in XML", NAMED, "<db><password>§</password></db>"),
    form("password as a flag", NAMED, "mysqldump --password=§ shop"),
    form("curl -u", NAMED, "curl -u anna:§ https://h.example/v1"),
    form("password in a diff", NAMED, "-DB_PASSWORD=old\n+DB_PASSWORD=§\n"),
    form("password in a connection", NAMED, "Server=db;Database=x;User Id=sa;Password=§;"),
    form("password in a login form", NAMED, "POST /login user=anna&password=§&remember=1"),
    form("password in Rust", NAMED, "let password: &str = \"§\";"),
    form("password in Python", NAMED, "connect(user='anna', password='§')"),
    form(".netrc", NAMED, "machine h.example login anna password §"),
    form(".pgpass", NAMED, "db.example:5432:shop:anna:§"),
    form("password in a URL", SECRET, "git remote add o https://anna:§@git.example.com/a.git"),
    form("token =", TOKEN, "token = \"§\""),
    form("token in JSON", TOKEN, "{\"access_token\":\"§\",\"expires_in\":3600}"),
    made("token in JSON in JSON", TOKEN, |s| nested(&json!({ "refresh_token": s }), 2)),
    form("token exported", TOKEN, "export GH_TOKEN=§"),
    form("API key in .env", TOKEN, "STRIPE_API_KEY=§\n"),
    form("token in YAML", TOKEN, "auth:\n  token: §\n"),
    form("token in .npmrc", TOKEN, "//registry.example/:_authToken=§"),
    form("bearer in a dump", TOKEN, "> POST /v1/chat HTTP/1.1\n> Authorization: Bearer §\n> Accept: */*"),
    form("curl -H with a bearer", TOKEN, "curl -H \"Authorization: Bearer §\" https://h.example"),
    form("curl -H with a token", TOKEN, "curl -H 'PRIVATE-TOKEN: §' https://h.example"),
    form("token in a query", TOKEN, "GET /hook?access_token=§&y=1"),
    form("token as a flag", TOKEN, "gh auth login --with-token --token §"),
    form("API key in XML", TOKEN, "<config><apiKey>§</apiKey></config>"),
    form("token in a header", TOKEN, "Authorization: Token §"),
    form("key in a query", TOKEN, "GET https://maps.example/api?key=§&y=1 200"),
    form("token in place of a user", TOKEN, "https://§@h.example/1"),
    form("password as an argument", NAMED, "tool login --user anna --password §"),
    form(".netrc over lines", NAMED, "machine h.example\n  login anna\n  password §\n"),
    form("secret in JavaScript", TOKEN, "const client = new Client({ clientSecret: '§', id: 7 });"),
    form("secret in Go", TOKEN, "\tcfg := Config{ClientSecret: \"§\"}"),
    form("Docker's login", TOKEN, "{\"auths\":{\"h.example\":{\"auth\":\"§=\"}}}"),
    made("PEM in JSON", PEM, |s| json!({ "private_key": s, "client_email": "a@example.com" }).to_string()),
    made("PEM in JSON in JSON", PEM, |s| nested(&json!({ "key": s }), 2)),
    made("PEM in .env", PEM, |s| format!("KEY=\"{}\"\nX=1\n", s.replace('\n', "\\n"))),
    made("PEM in YAML", PEM, |s| format!("tls:\n  key: |\n{}\n  port: 1\n", lined(s, |_| "    ".into()))),
    made("PEM in a diff", PEM, |s| format!("@@ -0,0 +1,16 @@\n{}\n", lined(s, |_| "+".into()))),
    made("PEM with numbered lines", PEM, |s| lined(s, |n| format!("{:>6}\t", n + 1))),
    made("PEM with carriage returns", PEM, |s| s.replace('\n', "\r\n")),
    made("PEM cut off", PEM, |s| s[..s.len() * 2 / 3].to_owned()),
    made("PEM in Python", PEM, |s| format!("KEY = \"\"\"\n{s}\n\"\"\"\n")),
    made("PEM in a printed string", PEM, |s| format!("Err(Parse({s:?}))")),
];
