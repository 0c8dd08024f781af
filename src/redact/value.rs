//! Whether a value that a name calls a secret is one, and not the words and expressions that stand there in source text. Pure.

/// How much a name says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A password: people choose them, `hunter2` is one.
    Password,
    /// A token or a key: made by a machine.
    Token,
    /// Nothing else stands there: all but a placeholder goes.
    Sure,
}

/// Shortest passwords and tokens that are told from words.
const PASSWORD_MIN: usize = 5;
const TOKEN_MIN: usize = 8;
/// A token without any digit has at least so many characters.
const LETTERS_MIN: usize = 16;
/// Names that end in digits and are no passwords: types, algorithms, and what tests call their values.
const NUMBERED: &[&str] = &[
    "sha", "md", "utf", "int", "uint", "float", "base", "ed", "aes", "hmacsha", "hmac", "rs", "hs", "es",
    "ps", "rsa", "var", "arg", "param", "str", "string", "value", "val", "test", "field", "token",
    "password", "passwd", "pass", "pwd", "secret", "key", "user", "auth", "bytes", "ipv", "oauth", "http",
    "v", "x", "p", "t", "s", "n", "r", "web", "line", "item", "node", "step", "state", "tok",
];

/// Whether `value` is a secret.
pub(super) fn is_secret(value: &[u8], named: Named) -> bool {
    let Ok(value) = str::from_utf8(value) else { return true };
    let value = value.trim_end_matches(['.', ':', '?', '!']);
    if value.is_empty() || is_placeholder(value) {
        return false;
    }
    match named {
        Named::Sure => value.len() >= 3,
        Named::Password => value.len() >= PASSWORD_MIN && !is_expression(value) && is_chosen(value),
        Named::Token => value.len() >= TOKEN_MIN && !is_expression(value) && is_made(value),
    }
}

/// What people write where a secret would stand.
fn is_placeholder(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let same = |c: char| lower.chars().all(|other| other == c || other == '-');
    value.starts_with(['$', '<', '{', '*', '['])
        || value.starts_with('%') && !starts_encoded(&lower)
        || lower.starts_with("your")
        || is_crossed_out(value)
        || ["***", "...", "${", "{{", "redacted", "placeholder", "example"]
            .iter()
            .any(|part| lower.contains(part))
        || lower.chars().next().is_some_and(same)
        || ["none", "null", "nil", "true", "false", "undefined", "string", "required", "optional"]
            .contains(&lower.as_str())
}

/// A `+` or `/` of base64, as they are written in addresses, and not a format like `%s`.
fn starts_encoded(lower: &str) -> bool {
    lower.starts_with("%2b") || lower.starts_with("%2f")
}

/// Whether a row of `x` stands in it for what it is. One of three stands in random values too, if they are long enough.
fn is_crossed_out(value: &str) -> bool {
    if value.len() < LETTERS_MIN {
        return value.to_ascii_lowercase().contains("xxx");
    }
    let is_alone = |at: usize| {
        let part = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        !part(at.checked_sub(1).and_then(|before| value.as_bytes().get(before)))
            && !part(value.as_bytes().get(at + 3))
    };
    ["xxxx", "XXXX"].iter().any(|row| value.contains(row))
        || ["xxx", "XXX"].iter().any(|row| value.match_indices(row).any(|(at, _)| is_alone(at)))
}

/// Whether words of one case is all that it is, as names in source text are.
pub(super) fn is_ordinary(value: &[u8]) -> bool {
    let joins = |b: &u8| matches!(b, b'_' | b'-' | b'.' | b'/');
    value.iter().all(|b| b.is_ascii_lowercase() || joins(b))
        || value.iter().all(|b| b.is_ascii_uppercase() || joins(b))
}

/// A number, a version, a path, a name, a member of something: no secret whatever its name says.
fn is_expression(value: &str) -> bool {
    let bytes = value.as_bytes();
    let number =
        |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-' | b':' | b',' | b'+' | b'/' | b'%');
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_') && part.chars().all(is_name_char)
    };
    let parts: Vec<&str> =
        value.split(['.', ':', '>', '/', '@', '=', '?', '!', '-', '+', '#', '*', '^', '~', '%']).collect();
    let words = parts.iter().all(|part| {
        part.is_empty() || (is_name(part) && !is_mixed(part)) || part.bytes().all(|b| b.is_ascii_digit())
    });
    is_ordinary(bytes)
        || bytes.iter().all(number)
        || value.strip_prefix("0x").is_some_and(|hex| hex.len() <= 16)
        || value.strip_prefix(['v', 'V']).is_some_and(|rest| rest.bytes().all(|b| number(&b)))
        || value.starts_with(['/', '~']) && value.len() < 40
        || value.starts_with("./")
        || value.starts_with("../")
        || value.contains("->")
        || value.contains("::")
        || value.contains("://")
        // `config.token2`, `user-id`, but not `hunter2` and `p@ssw0rd`.
        || words && value.contains(['.', '/', ':']) && !value.contains(['!', '#', '^', '~'])
        || words && value.contains(['-', '_']) && value.starts_with(|c: char| c.is_ascii_alphabetic()) && !has_digit_inside(value)
        || value.len() < 16 && bytes.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
            && value.contains('_')
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether digits stand between letters, as in `s3cr3t`, and not only where a word ends.
fn has_digit_inside(value: &str) -> bool {
    value.as_bytes().windows(2).any(|w| w[0].is_ascii_digit() && w[1].is_ascii_alphabetic())
}

/// Letters and digits in turns that no name has.
fn is_mixed(part: &str) -> bool {
    turns(part.as_bytes()) * 4 >= part.len().max(8)
}

/// How often the kind of character changes, where a capital that begins a word counts for none.
fn turns(value: &[u8]) -> usize {
    let kind = |b: u8| match b {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    value.windows(2).filter(|w| kind(w[0]) != kind(w[1]) && !(kind(w[0]) == 1 && kind(w[1]) == 0)).count()
}

/// Whether a person may have chosen it as a password: letters with digits or signs among them.
fn is_chosen(value: &str) -> bool {
    let word = value.trim_end_matches(|c: char| c.is_ascii_digit());
    if word.len() < value.len() && NUMBERED.contains(&word.to_ascii_lowercase().as_str()) {
        return false;
    }
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let signs =
        value.bytes().filter(|b| matches!(b, b'!' | b'@' | b'#' | b'^' | b'~' | b'*' | b'%' | b'+')).count();
    letters > 0 && (digits > 0 || signs > 0 && letters >= 4) || is_made(value)
}

/// Whether a machine made it: letters and digits in turns.
fn is_made(value: &str) -> bool {
    let bytes = value.as_bytes();
    let letters = bytes.iter().filter(|b| b.is_ascii_alphabetic()).count();
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return value.len() >= LETTERS_MIN && turns(bytes) * 4 >= value.len();
    }
    letters >= 2 && turns(bytes) >= 2 && (has_digit_inside(value) || digits >= 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_words() {
        for value in [
            "hunter2",
            "p@ssw0rd",
            "Tr0ub4dor&3",
            "s3cr3t",
            "correct!horse",
            "Winter2024!",
            "a1b2c3d4e5",
            "Qm8$kL2p",
        ] {
            assert!(is_secret(value.as_bytes(), Named::Password), "{value}");
        }
        for value in [
            "a1b2c3d4e5f6",
            "9fceb02d0ae598e95dc970b7",
            "Zk3vQ9xLmT7p",
            "0190f6e2-8a4c-7d31-9b52-3f7e6a1c0d84",
            "QmXkLpRtWzYvBnHj",
            // A row of x that came about, and a signature whose first sign is written for an address.
            "xaeFx9GqxnaAy3IJeCwLvxXxqDU4oAsx%3D",
            "Zk3vQ9xLmT7pxxxq4ZBt",
            "%2Bk3vQ9xLmT7pR2q4ZBt",
            "%2fk3vQ9xLmT7pR2q4ZBt",
        ] {
            assert!(is_secret(value.as_bytes(), Named::Token), "{value}");
        }
        for value in [
            "required",
            "string",
            "null",
            "sha256",
            "token2",
            "utf8",
            "config.password",
            "self.token1",
            "user2.password",
            "12345678",
            "v1.2.3",
            "0x1f",
            "accessToken",
            "MyPasswordField",
            "AES_256_GCM",
            "${DB_PASSWORD}",
            "<password>",
            "xxxxxxxx",
            "sk-proj-a1b2c3d4-xxxxxxxx",
            "AKIA1234567890XXXX12",
            "xoxb-xxx-a1b2c3d4e5f6",
            "a1b2c3XxX",
            "%(token1)s",
            "%TOKEN_1%",
            "******",
            "your_password_1",
            "/run/secrets/db1",
            "../secrets/a1",
            "std::env::var1",
            "https://host/a1b2",
            "process.env.TOKEN1",
            "password_1",
            "get-token-2",
            "{{token1}}",
            "%s",
            "a/b/c1.rs",
            "2024-01-02",
            "",
        ] {
            assert!(!is_secret(value.as_bytes(), Named::Password), "{value}");
            assert!(!is_secret(value.as_bytes(), Named::Token), "{value}");
        }
    }
}
