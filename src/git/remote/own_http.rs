//! Whether the user's own settings say anything about HTTP that only the git program follows.

use std::ffi::OsString;
use std::path::PathBuf;

use git2::{Config, ConfigLevel};

use crate::git::command::{Git, Profile};

/// Settings below `http.` and `protocol.` that change nothing about what is reached, how, and as whom.
const HARMLESS: &[&str] = &[
    "http.postbuffer",
    "http.lowspeedlimit",
    "http.lowspeedtime",
    "http.version",
    "http.useragent",
    "http.maxrequests",
    "http.minsessions",
    "http.keepaliveidle",
    "http.keepaliveinterval",
    "http.keepalivecount",
    "http.maxretries",
    "http.retryafter",
    "http.maxretrytime",
    "protocol.version",
];

/// Where git may have been built to look for the machine's configuration. One file too many only costs speed.
const SYSTEM: &[&str] = &["/etc/gitconfig", "/usr/local/etc/gitconfig", "/opt/homebrew/etc/gitconfig"];

/// Variables of git and curl that change how HTTP is spoken.
const VARIABLES: &[&str] = &[
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_NO_VERIFY",
    "GIT_PROXY_COMMAND",
    "CURL_CA_BUNDLE",
];

/// Whether HTTP has to be left to the git program: for its own variables, and with a self-hosted remote for the user's
/// configuration and `.netrc`. What cannot be read is left to it too.
pub(in crate::git) fn is_special(git: &Git) -> bool {
    if VARIABLES.iter().any(|name| git.variable(name).is_some()) {
        return true;
    }
    git.profile() == Profile::SelfHosted && (has_netrc(git) || configured(git).unwrap_or(true))
}

fn home(git: &Git) -> Option<PathBuf> {
    git.variable("HOME").map(PathBuf::from)
}

fn has_netrc(git: &Git) -> bool {
    home(git).is_some_and(|h| h.join(".netrc").symlink_metadata().is_ok())
}

fn configured(git: &Git) -> Result<bool, git2::Error> {
    let mut config = Config::new()?;
    for (n, file) in files(git).into_iter().enumerate() {
        // The levels only have to differ; nothing is overridden where any value counts.
        let level = [ConfigLevel::System, ConfigLevel::XDG, ConfigLevel::Global, ConfigLevel::App];
        match level.get(n) {
            Some(level) if file.exists() => config.add_file(&file, *level, false)?,
            Some(_) => {}
            None => return Ok(true),
        }
    }
    let mut entries = config.entries(None)?;
    while let Some(entry) = entries.next() {
        if entry?.name().map_or(true, matters) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The files that git would read, the machine's first.
fn files(git: &Git) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let off = |v: OsString| v.is_empty() || v == "0" || v == "false";
    if git.variable("GIT_CONFIG_NOSYSTEM").is_none_or(off) {
        match git.variable("GIT_CONFIG_SYSTEM") {
            Some(own) => files.push(PathBuf::from(own)),
            None => files.extend(SYSTEM.iter().map(PathBuf::from).find(|f| f.exists())),
        }
    }
    if let Some(own) = git.variable("GIT_CONFIG_GLOBAL") {
        files.push(PathBuf::from(own));
        return files;
    }
    let xdg = git.variable("XDG_CONFIG_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
    files.extend(xdg.or_else(|| home(git).map(|h| h.join(".config"))).map(|c| c.join("git/config")));
    files.extend(home(git).map(|h| h.join(".gitconfig")));
    files
}

/// Whether a setting's name, with section and variable in lower case, changes what HTTP means.
fn matters(name: &str) -> bool {
    let (section, rest) = name.split_once('.').unwrap_or((name, ""));
    let variable = rest.rsplit('.').next().unwrap_or_default();
    match section {
        "http" | "protocol" => !HARMLESS.contains(&format!("{section}.{variable}").as_str()),
        "url" => matches!(variable, "insteadof" | "pushinsteadof"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_change_http_are_told_from_others() {
        let check = |name: &str, expected| assert_eq!(matters(name), expected, "{name}");
        check("http.proxy", true);
        check("http.sslverify", true);
        check("http.extraheader", true);
        check("http.https://git.example/.sslcainfo", true);
        check("http.https://git.example/.postbuffer", false);
        check("http.postbuffer", false);
        check("http.lowspeedtime", false);
        check("url.https://a.example/.insteadof", true);
        check("url.git@h:.pushinsteadof", true);
        check("protocol.allow", true);
        check("protocol.https.allow", true);
        check("protocol.version", false);
        check("credential.helper", false);
        check("user.name", false);
        check("httpx.proxy", false);
    }
}
