//! Row sec-04: lines without secrets stay as they are.

use super::*;

/// A line as transcripts have them, without any secret.
fn line(rng: &mut Seeded) -> String {
    let hex = |rng: &mut Seeded, n| rng.text(HEX, n);
    let word = |rng: &mut Seeded| {
        rng.pick(&[
            "session",
            "ledger",
            "token",
            "password",
            "secret",
            "sync",
            "task-runner",
            "risk",
            "export",
            "key",
        ])
        .to_string()
    };
    match rng.below(26) {
        0 => format!("commit {}", hex(rng, 40)),
        1 => format!("index {}..{} 100644", hex(rng, 7), hex(rng, 7)),
        2 => {
            let id = [8, 4, 4, 4, 12].map(|n| hex(rng, n)).join("-");
            format!("{{\"session_id\":\"{id}\",\"parent\":null}}")
        }
        3 => format!("  integrity sha512-{}==", rng.text(BASE64, 86)),
        4 => format!("checksum = \"{}\"", hex(rng, 64)),
        5 => format!("<img src=\"data:image/png;base64,iVBORw0KGgo{}\">", rng.text(BASE64, 400)),
        6 => format!("The {} of the {} is refreshed before the {} expires.", word(rng), word(rng), word(rng)),
        7 => format!(
            "    let {} = self.{}().await?;",
            word(rng).replace('-', "_"),
            word(rng).replace('-', "_")
        ),
        8 => format!("export const {} = async () => {{}};", word(rng).replace('-', "_")),
        9 => format!("/home/anna/src/{}/{}.rs:{}:{}", word(rng), word(rng), rng.below(900), rng.below(80)),
        10 => format!("https://example.com/{}/{}?page={}#top", word(rng), hex(rng, 12), rng.below(99)),
        11 => format!("ssh://git@example.com:2222/{}.git", word(rng)),
        12 => {
            format!("\"usage\":{{\"input_tokens\":{},\"output_tokens\":{}}}", rng.below(9999), rng.below(999))
        }
        13 => format!("sha256:{}", hex(rng, 64)),
        14 => format!("password: {}", rng.pick(&["required", "string", "null", "true", "${DB_PASSWORD}"])),
        15 => format!("api_key = os.environ[\"{}\"]", rng.pick(&["OPENAI_API_KEY", "MY_KEY"])),
        16 => "client_secret: process.env.CLIENT_SECRET,".into(),
        17 => format!("2026-01-02 03:04:05 INFO [{}] done in {} ms", word(rng), rng.below(999)),
        18 => format!("fn {}_token(secret: &Secret, api_key: Option<&str>) -> Result<()> {{", hex(rng, 4)),
        19 => format!("- [ ] {} the {} (see #{})", word(rng), word(rng), rng.below(900)),
        20 => format!("  \"resolved\": \"https://packages.example/a/-/a-1.2.{}.tgz\",", rng.below(9)),
        21 => format!("npm_config_cache=/home/anna/.npm npm_lifecycle_event={}", word(rng)),
        22 => format!("postgres://localhost:5432/{} is up; redis://cache:6379/0 too", word(rng)),
        23 => format!("\x1b[32m   Compiling\x1b[0m {} v0.{}.0", word(rng), rng.below(30)),
        24 => "PWD=/home/anna/project OLDPWD=\"/home/anna\" declare -x PWD=\"/home/anna/project\"".into(),
        _ => format!("if (!{}) throw new Error(\"Authorization: missing {}\");", word(rng), word(rng)),
    }
}

#[test]
fn sec_04_clean_lines_stay() {
    let mut rng = Seeded(10);
    let total = 20_000;
    let mut touched = Vec::new();
    for _ in 0..total {
        let line = line(&mut rng);
        if let Cow::Owned(out) = REDACTOR.redact(&line) {
            touched.push(format!("{line} -> {out}"));
        }
    }
    println!("{} of {total} touched", touched.len());
    assert!(touched.len() * 100 < total, "{} of {total}:\n{}", touched.len(), touched[..20].join("\n"));
}

/// The sources of this program, its tests and its texts: more than 20,000 lines of ordinary code and prose. Left out are those that hold
/// secrets because they are about them.
#[test]
fn sec_04_ordinary_code_and_prose_stays() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut todo: Vec<_> =
        ["src", "tests", "benches", "man", "README.md", "CHANGELOG.md"].map(|name| root.join(name)).into();
    let (mut lines, mut touched) = (0, Vec::new());
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("redact"))
            || text.contains("[REDACTED_")
        {
            continue;
        }
        // Addresses with a password and what encodes one are no ordinary lines; tests of logins have them.
        let is_login = |line: &str| {
            line.contains("://") && line.contains('@') || line.to_lowercase().contains(": basic ")
        };
        for line in text.lines().filter(|line| !is_login(line)) {
            lines += 1;
            if let Cow::Owned(out) = REDACTOR.redact(line) {
                touched.push(format!("{}: {line} -> {out}", path.display()));
            }
        }
    }
    println!("{} of {lines} touched", touched.len());
    assert!(lines >= 20_000, "{lines}");
    assert!(touched.len() * 20_000 <= 5 * lines, "{} of {lines}:\n{}", touched.len(), touched.join("\n"));
}
