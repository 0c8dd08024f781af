//! Text of others for one line of an error, a log or a screen: without what nobody sees, without secrets, and short. Pure.

use super::text::{cut, plain};

/// Bytes that are kept of such a text.
pub const SHOWN_MAX: usize = 400;

/// Makes foreign text safe to show: what nobody sees is gone, user information in URLs and token parameters are masked, and at most
/// [`SHOWN_MAX`] bytes are left. Only shapes are masked that git and servers write; what may hold any secret goes through `redact`.
pub fn sanitise(text: &str) -> String {
    let clean = mask_parameters(&mask_words(&mask_userinfo(&plain(text, false))));
    match clean.len() > SHOWN_MAX {
        false => clean.trim().to_owned(),
        true => format!("{}…", cut(&clean, SHOWN_MAX).trim()),
    }
}

/// `scheme://anything@host` becomes `scheme://***@host`.
fn mask_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find([' ', '/', '\'', '"', '<', '>', '?', '#']).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rfind('@') {
            Some(at) => {
                out.push_str("***");
                out.push_str(authority.get(at..).unwrap_or_default());
            }
            // A password may hold a slash: an `@` later in the same word still ends user information.
            None => match userinfo_with_slash(after) {
                Some(len) => {
                    out.push_str("***");
                    rest = after.get(len..).unwrap_or_default();
                    continue;
                }
                None => out.push_str(authority),
            },
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// `name:anything@host` without a scheme becomes `***@host`; `git@host:path` stays.
fn mask_words(text: &str) -> String {
    let masked = |word: &str| {
        let colon = word.find(':').filter(|colon| !word[..*colon].contains('/'))?;
        let at = word.rfind('@').filter(|_| word.find('@').is_some_and(|first| first > colon))?;
        (!word[colon..].starts_with("://")).then(|| format!("***{}", &word[at..]))
    };
    let parts = text.split_inclusive([' ', '\'', '"', '<', '>']);
    parts.map(|word| masked(word).unwrap_or_else(|| word.to_owned())).collect()
}

/// Length of `name:pass/word` in front of an `@`, when a colon comes first and is no port. `u:123/word@h` could be a path on port 123 of
/// a host `u`; only a name that is plainly that of a host is taken for one, for a hidden path harms less than a shown password.
fn userinfo_with_slash(after: &str) -> Option<usize> {
    let word = after.split([' ', '\'', '"', '<', '>']).next()?;
    let end_of_address = word.starts_with('[').then(|| word.find(']')).flatten().unwrap_or(0);
    let colon = end_of_address + word.get(end_of_address..)?.find(':')?;
    let at = word.rfind('@')?;
    let (host, port) = (word.get(..colon)?, word.get(colon + 1..)?.split('/').next()?);
    let is_host = host == "localhost" || host.contains('.') || host.ends_with(']');
    let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (colon < at && !(is_host && is_port)).then_some(at)
}

/// Values of parameters that carry tokens.
fn mask_parameters(text: &str) -> String {
    const NAMES: [&str; 6] = ["access_token=", "private_token=", "token=", "password=", "Bearer ", "Basic "];
    let mut text = text.to_owned();
    for name in NAMES {
        let mut from = 0;
        while let Some(found) = text.get(from..).and_then(|t| t.find(name)) {
            let begin = from + found + name.len();
            let tail = text.get(begin..).unwrap_or_default();
            let len = tail.find([' ', '&', '\'', '"', ';']).unwrap_or(tail.len());
            text.replace_range(begin..begin + len, "***");
            from = begin + 3;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_masked(text: &str, expected: &str) {
        assert_eq!(sanitise(text), expected);
    }

    #[test]
    fn secrets_are_masked() {
        check_masked("fatal: 'https://oauth2:glpat-CANARY@git.x/y.git'", "fatal: 'https://***@git.x/y.git'");
        check_masked("https://CANARY@h/p and ssh://u:CANARY@h:22/p", "https://***@h/p and ssh://***@h:22/p");
        check_masked("https://u:CAN/ARY@h/p", "https://***@h/p");
        check_masked("fatal: oauth2:CAN/ARY@git.x and x", "fatal: ***@git.x and x");
        check_masked("/a:b@c", "/a:b@c");
        check_masked("https://u:123/CANARY@h/p", "https://***@h/p");
        check_masked("https://u:123/CAN@ARY/1@h:22/p x", "https://***@h:22/p x");
        check_masked("https://u.v:65536/CANARY@h", "https://***@h");
        check_masked("https://h.x:8443/a@b", "https://h.x:8443/a@b");
        check_masked("http://localhost:4873/@a/b", "http://localhost:4873/@a/b");
        check_masked("https://[::1]:8443/a@b", "https://[::1]:8443/a@b");
        check_masked("GET https://h/p?private_token=CANARY&x=1", "GET https://h/p?private_token=***&x=1");
        check_masked("git@host:path", "git@host:path");
        check_masked("a\x1b[31mb\0c\nd\n", "abc d");
        assert!(sanitise(&"ä".repeat(1000)).len() <= SHOWN_MAX + 4);
    }

    proptest! {
        #[test]
        fn a_token_in_a_url_never_survives(before in ".{0,40}", user in "[a-z0-9]{0,8}", token in "[A-Za-z0-9_/+=.-]{1,40}", after in ".{0,40}") {
            let token = format!("CANARY{token}");
            let shown = sanitise(&format!("{before} https://{user}:{token}@host.example/x {after}"));
            prop_assert!(!shown.contains("CANARY"), "{}", shown);
        }

        #[test]
        fn a_password_that_begins_like_a_port_never_survives(user in "[a-z0-9]{0,8}", port in "[0-9]{1,6}", token in "[A-Za-z0-9_/+=-]{1,40}") {
            prop_assume!(user != "localhost");
            let shown = sanitise(&format!("'https://{user}:{port}/CANARY{token}@host.example/x'"));
            prop_assert!(!shown.contains("CANARY"), "{}", shown);
        }

        #[test]
        fn sanitising_never_fails_and_is_bounded(text in "\\PC{0,600}") {
            prop_assert!(sanitise(&text).len() <= SHOWN_MAX + 4);
        }
    }
}
