//! `ox git-credential-helper`: git asks it for a name and a password.
//!
//! Whatever is wrong, nothing is printed and the exit code is 0: then git goes on to its next helper or fails by itself.

use std::io::{self, Read};
use std::process::ExitCode;

use crate::cli::exit::Exit;
use crate::cli::ui;
use crate::kit::clock::{Clock as _, SystemClock};
use crate::kit::line::LineBuffer;
use crate::project::{Dirs, Env, GitCredentials};

/// The longest line of a question, in bytes.
const LINE_MAX: usize = 1 << 20;
/// The longest question, in bytes.
const QUESTION_MAX: u64 = 4 << 20;

/// Flags of `ox git-credential-helper`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox git-credential-helper get")]
pub struct Args {
    /// What git wants: `get`; `store` and `erase` do nothing
    #[arg(value_name = "OPERATION")]
    operation: Option<String>,
}

/// What git asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Question {
    protocol: String,
    host: String,
    username: Option<String>,
}

/// Answers git.
pub fn run(args: &Args) -> ExitCode {
    if args.operation.as_deref() == Some("get")
        && let Some(answer) = read(&mut io::stdin().lock()).and_then(|question| answer(&question))
    {
        ui::answer(answer.as_bytes());
    }
    Exit::Done.into()
}

/// Reads `key=value` lines up to an empty one or the end. Keys that mean nothing here are skipped.
fn read(from: &mut impl Read) -> Option<Question> {
    let (mut question, mut lines) = (Question::default(), LineBuffer::new(LINE_MAX));
    let mut from = from.take(QUESTION_MAX);
    let mut chunk = [0; 4096];
    loop {
        let got = from.read(&mut chunk).ok()?;
        // The last line may lack its end.
        lines.push(if got == 0 { b"\n" } else { chunk.get(..got)? }).ok()?;
        while let Some(line) = lines.next_line().ok()? {
            let line = std::str::from_utf8(line).ok()?;
            if line.is_empty() {
                return Some(question);
            }
            match line.split_once('=')? {
                ("protocol", value) => question.protocol = value.to_owned(),
                ("host", value) => question.host = value.to_owned(),
                ("username", value) => question.username = Some(value.to_owned()),
                _ => {}
            }
        }
        if got == 0 {
            return Some(question);
        }
    }
}

/// The lines for git, if there are credentials for exactly this server.
fn answer(question: &Question) -> Option<String> {
    if question.host.contains('/') {
        return None;
    }
    let dirs = Dirs::from_env(&Env::process()).ok()?;
    let url = format!("{}://{}", question.protocol, question.host);
    lines(question, &GitCredentials::for_url(&dirs, &url, SystemClock.now().wall)?)
}

fn lines(question: &Question, credentials: &GitCredentials) -> Option<String> {
    let (user, password) = (credentials.git_user(), credentials.token.expose());
    if question.username.as_deref().is_some_and(|asked| asked != user) {
        return None;
    }
    // A line's end in a value would begin a line of somebody else's making.
    let whole = |text: &str| !text.contains(['\n', '\r', '\0']);
    (whole(user) && whole(password)).then(|| format!("username={user}\npassword={password}\n\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kit::secret::Secret;

    #[test]
    fn a_question_ends_with_an_empty_line_or_the_end() {
        let check = |text: &str, expected: Option<(&str, &str, Option<&str>)>| {
            let got = read(&mut text.as_bytes());
            let got = got.as_ref().map(|q| (q.protocol.as_str(), q.host.as_str(), q.username.as_deref()));
            assert_eq!(got, expected, "{text:?}");
        };
        check("protocol=https\nhost=h:8\n\n", Some(("https", "h:8", None)));
        check("protocol=https\nhost=h", Some(("https", "h", None)));
        check(
            "capability[]=authtype\nhost=h\nusername=u\nwwwauth[]=Basic a=b\n\nhost=late\n",
            Some(("", "h", Some("u"))),
        );
        check("", Some(("", "", None)));
        check("protocol\n\n", None);
        let long = format!("path={}\nhost=h\n\n", "x".repeat(LINE_MAX));
        check(&long, None);
        assert_eq!(read(&mut b"host=\xff\n\n".as_slice()), None);
    }

    #[test]
    fn an_answer_is_two_lines_and_nobody_elses() {
        let credentials = |user: &str, token: &str| GitCredentials {
            username: user.into(),
            token: Secret::new(token),
            ..GitCredentials::default()
        };
        let asked = |username: Option<&str>| Question {
            username: username.map(str::to_owned),
            ..Question::default()
        };
        let check = |username: Option<&str>, stored: GitCredentials, expected: Option<&str>| {
            assert_eq!(lines(&asked(username), &stored).as_deref(), expected);
        };
        check(None, credentials("", "t"), Some("username=oauth2\npassword=t\n\n"));
        check(None, credentials("u", "t"), Some("username=u\npassword=t\n\n"));
        check(Some("u"), credentials("u", "t"), Some("username=u\npassword=t\n\n"));
        check(Some("v"), credentials("u", "t"), None);
        check(None, credentials("u", "t\nhost=evil"), None);
        check(None, credentials("u\r", "t"), None);
    }

    proptest! {
        #[test]
        fn no_question_makes_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = read(&mut bytes.as_slice());
        }
    }
}
