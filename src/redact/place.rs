//! Names of files that hold secrets, and the name of the home directory.

use std::borrow::Cow;

/// Whether any part of `path` has the name of a file for secrets: `.env*`, `*.pem`, `id_*`, `*.key`, `*credentials*`, in any case of
/// letters. Both kinds of slash divide a path.
pub fn is_secret_path(path: &str) -> bool {
    path.split(['/', '\\']).any(|part| {
        let part = part.to_ascii_lowercase();
        part.starts_with(".env")
            || part.starts_with("id_")
            || part.ends_with(".pem")
            || part.ends_with(".key")
            || part.contains("credentials")
    })
}

/// `text` with the directory `home` written as `~`, where it is a whole path or the start of one: with `/home/anna` not in
/// `/home/annabel` and not in `/mnt/home/anna`. A `home` that is no absolute path below the root hides nothing.
pub fn hide_home<'t>(text: &'t str, home: &str) -> Cow<'t, str> {
    let home = home.trim_end_matches('/');
    if !home.starts_with('/') || home.len() < 2 {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut done = 0;
    for (at, _) in text.match_indices(home) {
        let end = at + home.len();
        if begins_path(&text[..at]) && ends_name(&text[end..]) {
            out.push_str(&text[done..at]);
            out.push('~');
            done = end;
        }
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

/// Whether a path can begin after `before`. After `file://` one does; after a letter or another directory none does.
fn begins_path(before: &str) -> bool {
    let escaped = ["\\n", "\\r", "\\t"].iter().any(|e| before.ends_with(e));
    escaped
        || before.ends_with("://")
        || !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '~'))
}

/// Whether a name is complete before `after`. A dot at the end of a sentence does not belong to it.
fn ends_name(after: &str) -> bool {
    let mut rest = after.chars();
    match rest.next() {
        Some('.') => !rest.next().is_some_and(char::is_alphanumeric),
        Some(c) => !(c.is_alphanumeric() || matches!(c, '_' | '-')),
        None => true,
    }
}
