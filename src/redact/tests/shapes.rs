//! Secrets made at run time, so that no scanner takes these files for some that hold any.

use super::*;

/// A secret as it would stand somewhere.
pub(super) struct Shape {
    pub rule: &'static str,
    /// The name that goes with it, if it is a secret only by that.
    pub name: Option<String>,
    /// What must not be left.
    pub secret: String,
}

/// How many kinds [`shape`] knows.
pub(super) const KINDS: usize = 32;

/// A secret of one kind.
pub(super) fn shape(rng: &mut Seeded, kind: usize) -> Shape {
    let bare = |rule, secret| Shape { rule, name: None, secret };
    match kind {
        0 => bare("aws_access_key", ["AK", "IA", &rng.text(UPPER, 16)].concat()),
        1 => bare("aws_access_key", ["AS", "IA", &rng.text(UPPER, 16)].concat()),
        2 => bare(
            "github_token",
            ["gh", rng.pick(&["p", "s", "o", "r", "t", "u"]), "_", &random(rng, WORD, 36, 60)].concat(),
        ),
        3 => bare("github_fine_grained_pat", ["github", "_pat_", &random(rng, WORD, 22, 82)].concat()),
        4 => bare("gitlab_token", ["gl", "pat-", &random(rng, URL64, 20, 40)].concat()),
        5 => {
            bare("slack_token", ["xo", "xb-", &rng.text("0123456789", 12), "-", &rng.text(WORD, 24)].concat())
        }
        6 => {
            let (kind, mode) = (rng.pick(&["s", "r", "p"]), rng.pick(&["live", "test"]));
            bare("stripe_key", [kind, "k_", mode, "_", &random(rng, WORD, 24, 99)].concat())
        }
        7 => bare("twilio_key", ["S", "K", &rng.text(HEX, 32)].concat()),
        8 => bare("sendgrid_key", ["S", "G.", &rng.text(URL64, 22), ".", &rng.text(URL64, 43)].concat()),
        9 => bare("mailchimp_key", [&rng.text(HEX, 32), "-u", "s", &rng.text("123456789", 2)].concat()),
        10 => bare("npm_token", ["np", "m_", &rng.text(WORD, 36)].concat()),
        11 => bare("pypi_token", ["py", "pi-", &random(rng, URL64, 50, 160)].concat()),
        12 => bare("anthropic_key", ["sk", "-ant-", "api03-", &rng.text(URL64, 93), "AA"].concat()),
        13 => bare("openai_key", ["sk", "-proj-", &random(rng, URL64, 48, 150)].concat()),
        14 => bare("openai_key", ["sk", "-", &rng.text(WORD, 20), "T3Bl", &rng.text(WORD, 24)].concat()),
        15 => bare("google_api_key", ["AI", "za", &rng.text(URL64, 35)].concat()),
        16 => bare("huggingface_token", ["h", "f_", &rng.text(WORD, 34)].concat()),
        17 => bare("digitalocean_token", ["do", "p_v1_", &rng.text(HEX, 64)].concat()),
        18 => bare("age_secret_key", ["AGE-", "SECRET-KEY-1", &rng.text(UPPER, 58)].concat()),
        19 => {
            let scheme =
                rng.pick(&["mongodb+srv", "postgres", "postgresql", "mysql", "redis", "amqps", "mssql"]);
            let password = random(rng, WORD, 8, 30);
            bare("connection_string", [scheme, "://app:", &password, "@db.internal:5432/main"].concat())
        }
        20 => bare(
            "url_password",
            ["https:/", "/ci:", &random(rng, WORD, 12, 40), "@git.example.com/a.git"].concat(),
        ),
        21 | 22 => {
            let part = |rng: &mut Seeded, n| ["ey", "J", &rng.text(URL64, n)].concat();
            let (head, body) = (part(rng, 33), part(rng, 80));
            bare("jwt_token", [head, body, rng.text(URL64, 43)].join("."))
        }
        23 => of(
            rng,
            "aws_secret_key",
            &["aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "SecretAccessKey"],
            BASE64,
            40,
            40,
        ),
        24 => of(rng, "generic_api_key", &["api_key", "OPENAI_API_KEY", "apiKey", "x-api-key"], WORD, 20, 64),
        25 => of(rng, "generic_token", &["access_token", "AUTH_TOKEN", "secretToken"], URL64, 24, 64),
        26 => of(
            rng,
            "generic_secret",
            &["secret", "client_secret", "SECRET_KEY", "clientSecret"],
            WORD,
            16,
            64,
        ),
        27 => of(rng, "generic_password", &["password", "DB_PASSWORD", "passwd", "pwd"], WORD, 8, 24),
        28 => of(rng, "generic_password", &["password"], "abcdefgh0123456789!#%^&*()-=+", 10, 24),
        29 => {
            let token = random(rng, URL64, 24, 60);
            Shape {
                rule: "bearer_token",
                name: Some("Authorization".into()),
                secret: ["Bearer ", &token].concat(),
            }
        }
        30 => {
            let token = random(rng, BASE64, 16, 40);
            Shape {
                rule: "basic_auth",
                name: Some("authorization".into()),
                secret: ["Basic ", &token].concat(),
            }
        }
        _ => of(
            rng,
            "export_secret",
            &["MONGO_PASSWORD", "REDIS_PASSWORD", "GITLAB_TOKEN", "MY_PRIVATE_KEY"],
            WORD,
            10,
            30,
        ),
    }
}

fn of(
    rng: &mut Seeded,
    rule: &'static str,
    names: &[&str],
    alphabet: &str,
    least: usize,
    most: usize,
) -> Shape {
    Shape { rule, name: Some(rng.pick(names).to_owned()), secret: random(rng, alphabet, least, most) }
}

fn random(rng: &mut Seeded, alphabet: &str, least: usize, most: usize) -> String {
    let length = least + rng.below(most - least + 1);
    rng.text(alphabet, length)
}

/// A private key block; its lines are what must not be left.
pub(super) fn private_key(rng: &mut Seeded, kind: &str, lines: usize) -> (String, Vec<String>) {
    let body: Vec<String> = (0..lines).map(|_| rng.text(BASE64, 64)).collect();
    let (begin, end) = (["-----BE", "GIN "].concat(), ["-----E", "ND "].concat());
    let block = format!("{begin}{kind}PRIVATE KEY-----\n{}\n{end}{kind}PRIVATE KEY-----", body.join("\n"));
    (block, body)
}

/// How many places [`placed`] knows.
pub(super) const PLACES: usize = 8;

/// A line with the secret at one kind of place; `None` where such a secret does not stand.
pub(super) fn placed(shape: &Shape, place: usize) -> Option<String> {
    let secret = &shape.secret;
    let needs_quotes = shape.rule == "generic_password" || secret.contains(' ');
    let quoted = |quote: &str| match (&shape.name, needs_quotes) {
        (Some(name), true) => format!("{name}={quote}{secret}{quote}"),
        (Some(name), false) => format!("{name}={secret}"),
        (None, _) => secret.clone(),
    };
    let export = shape.rule == "export_secret";
    let name = shape.name.as_deref().unwrap_or("value");
    Some(match place {
        0 => format!("export {}", if shape.name.is_some() { quoted("\"") } else { format!("V={secret}") }),
        _ if export => return None,
        1 => format!("  {{\"id\": 7, \"{name}\": \"{secret}\", \"ok\": true}}"),
        2 => format!("{name}: \"{secret}\""),
        3 => format!("    let x = call(\"{}\").await?;", quoted("'")),
        4 if secret.contains([' ', '/', '#', '&']) || needs_quotes => return None,
        4 => format!("GET https://example.com/v1/items?{name}={secret}&page=2 200"),
        5 => format!("2026-01-02T03:04:05Z WARN request failed {} attempt=3", quoted("\"")),
        6 => {
            let inner = format!("{{\"{name}\":\"{secret}\"}}");
            format!("{{\"type\":\"tool\",\"input\":{}}}", Value::from(inner))
        }
        _ => {
            let inner = format!("line one\n{}\nline three", quoted("\""));
            format!("{{\"type\":\"tool\",\"output\":{}}}", Value::from(inner))
        }
    })
}
