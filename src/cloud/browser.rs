//! Showing a page in the user's browser: which program with which arguments, and whether there is anybody to see it.

use crate::kit::child::{self, Cmd};
use crate::kit::text::is_hidden;
use crate::project::Env;

use super::access::TOKEN_VAR;

/// `1`: no browser is opened.
pub const SKIP_VAR: &str = "SKIP_BROWSER";
/// Who has one of these set sits at another machine.
const SSH_VARS: [&str; 3] = ["SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY"];
/// Who has none of these set has no screen, where there is no other way to one.
const SCREEN_VARS: [&str; 2] = ["DISPLAY", "WAYLAND_DISPLAY"];
/// What the browser is not to know.
const SECRET_VARS: [&str; 2] = [TOKEN_VAR, "SAGEOX_TOKEN"];

/// How a system opens a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// macOS.
    Mac,
    /// Windows.
    Windows,
    /// Every other.
    Other,
}

impl Os {
    /// The one that this program is for.
    pub fn own() -> Os {
        match std::env::consts::OS {
            "macos" => Os::Mac,
            "windows" => Os::Windows,
            _ => Os::Other,
        }
    }
}

/// The program that opens a page, and its arguments; `None` for what is no page. The URL is one argument of a program that interprets nothing
/// in it: no shell and no `cmd`, for which `&` begins another command and the first text in quotes is a title (relay and hooks, A.2).
pub fn argv(os: Os, url: &str) -> Option<Vec<String>> {
    let url = page(url)?;
    let words: &[&str] = match os {
        Os::Mac => &["open"],
        Os::Windows => &["rundll32", "url.dll,FileProtocolHandler"],
        Os::Other => &["xdg-open"],
    };
    Some(words.iter().map(|word| (*word).to_owned()).chain([url]).collect())
}

/// The URL of a page as it is handed on: only `http` and `https`, no control characters, and what has a meaning to shells or in quotes encoded.
fn page(url: &str) -> Option<String> {
    let clean: String = url.chars().filter(|c| !is_hidden(*c)).collect();
    let clean = clean.trim();
    let (scheme, rest) = clean.split_once("://")?;
    if !["http", "https"].iter().any(|s| scheme.eq_ignore_ascii_case(s)) || rest.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(clean.len());
    for c in clean.chars() {
        match c {
            ' ' | '"' | '\'' | '<' | '>' | '`' | '|' | '^' | '\\' | '{' | '}' | '$' | '(' | ')' | ';'
            | '!' | '*' => {
                out.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    Some(out)
}

/// Whether there is a browser to be opened that the user sees.
pub fn is_wanted(os: Os, env: &Env, no_browser: bool) -> bool {
    let is_set = |name: &&str| env.get_os(name).is_some();
    let has_screen = os != Os::Other || SCREEN_VARS.iter().any(is_set);
    !no_browser && env.get(SKIP_VAR) != Some("1") && !SSH_VARS.iter().any(is_set) && has_screen
}

/// Opens a page, if there is anybody to see it. Nobody waits for the browser, and that it could not be started is no error: the address is on
/// the screen. True if something was started.
pub fn open(env: &Env, url: &str, no_browser: bool) -> bool {
    let os = Os::own();
    if !is_wanted(os, env, no_browser) {
        return false;
    }
    let Some(argv) = argv(os, url) else { return false };
    let Some((program, args)) = argv.split_first() else { return false };
    let cmd = Cmd::new(program).args(args).keep_all_env().without_env(&SECRET_VARS);
    match child::spawn_unattended(&cmd) {
        Ok(()) => true,
        Err(e) => {
            log::debug!("no browser: {e}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a9_02_on_windows_a_page_is_one_argument_of_no_shell() {
        let check = |url: &str, handed_on: &str| {
            let argv = argv(Os::Windows, url).unwrap();
            assert_eq!(argv, ["rundll32", "url.dll,FileProtocolHandler", handed_on], "{url}");
        };
        check("https://h.example/device", "https://h.example/device");
        check("https://h.example/d?user_code=AB&x=1", "https://h.example/d?user_code=AB&x=1");
        check("https://h.example/a b", "https://h.example/a%20b");
        check("https://h.example/\"& calc &\"", "https://h.example/%22&%20calc%20&%22");
        check("https://h.example/%41?a=%PATH%", "https://h.example/%41?a=%PATH%");
    }

    #[test]
    fn every_system_has_its_program() {
        assert_eq!(argv(Os::Mac, "https://h/x").unwrap(), ["open", "https://h/x"]);
        assert_eq!(argv(Os::Other, "HTTP://h/x").unwrap(), ["xdg-open", "HTTP://h/x"]);
    }

    #[test]
    fn only_pages_are_opened_and_nothing_that_looks_like_an_option() {
        for bad in [
            "",
            "-x",
            "--help",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://",
            "h.example",
            "-https://h",
            "mailto://x",
        ] {
            assert_eq!(argv(Os::Other, bad), None, "{bad}");
        }
        assert_eq!(argv(Os::Other, "https://h/\u{1b}[0m\r\nx\u{202e}").unwrap()[1], "https://h/[0mx");
    }

    #[test]
    fn nothing_is_opened_where_nobody_sees_it() {
        let check = |os, vars: &[(&str, &str)], no_browser, expected| {
            let env = Env::of(vars.iter().map(|(k, v)| (k.to_string(), v.to_string())), "/");
            assert_eq!(is_wanted(os, &env, no_browser), expected, "{vars:?}");
        };
        let screen = ("DISPLAY", ":0");
        check(Os::Other, &[screen], false, true);
        check(Os::Other, &[("WAYLAND_DISPLAY", "wayland-0")], false, true);
        check(Os::Other, &[], false, false);
        check(Os::Other, &[("DISPLAY", "")], false, false);
        check(Os::Mac, &[], false, true);
        check(Os::Other, &[screen], true, false);
        check(Os::Other, &[screen, (SKIP_VAR, "1")], false, false);
        check(Os::Other, &[screen, (SKIP_VAR, "0")], false, true);
        for ssh in SSH_VARS {
            check(Os::Other, &[screen, (ssh, "x")], false, false);
            check(Os::Mac, &[(ssh, "x")], false, false);
        }
    }
}
