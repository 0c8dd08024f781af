//! The command table: every command and every global flag of the program. Each command's own flags stand in its file.

use clap::{Parser, Subcommand};

use super::commands::{
    agent, completions, config, daemon, debug, docs, doctor, git_credential_helper, init, ledger, murmur,
    rescue, status, sync, team, up, version, whispers, workspaces,
};
use super::global::Global;

/// Keeps the ledger of a project and the contexts of its teams in sync, and answers questions about it.
///
/// One daemon per user serves all projects. Nothing is contacted but the git remotes you name, and nothing is committed
/// to your repository unless you ask for it.
#[derive(Debug, Parser)]
#[command(
    name = "ox",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  ox up\n  ox status\n  ox doctor --fix\n\nManual: man ox, or ox help <command>"
)]
pub struct Args {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set up this repository if needed, start the daemon, sync, and say how it stands
    Up(up::Args),
    /// Create `.sageox/` and the ledger of this repository
    Init(init::Args),
    /// Bring the ledger, or the teams' contexts, up to date now
    Sync(sync::Args),
    /// Say how this project stands; starts nothing
    Status(status::Args),
    /// Look for what is wrong and how to mend it
    Doctor(doctor::Args),
    /// Start, stop and look at the daemon
    Daemon(daemon::Args),
    /// Introduce agents, and list those at work
    Agent(agent::Args),
    /// Tell the team what an agent is doing, and list what was told
    Murmur(murmur::Args),
    /// List what the agents of this machine hear
    Whispers(whispers::Args),
    /// Read and change settings
    Config(config::Args),
    /// Add, remove and list the teams whose contexts this project keeps
    Team(team::Args),
    /// List the clones that are kept in sync, and how each stands; starts nothing
    Workspaces(workspaces::Args),
    /// Change where the ledger lives
    Ledger(ledger::Args),
    /// List and restore what was rescued: uncommitted work, conflict copies, replaced clones
    Rescue(rescue::Args),
    /// Print the version
    Version(version::Args),
    /// Collect what helps to find a fault
    Debug(debug::Args),
    /// Print the completion script of a shell
    Completions(completions::Args),
    /// Write the manual
    Docs(docs::Args),
    /// Answer git's questions for a name and a password
    #[command(hide = true)]
    GitCredentialHelper(git_credential_helper::Args),
}

impl Command {
    /// What the daemon is told when the command begins, if that works on a project; `None` for those that start and stop the daemon, and for
    /// those that say it themselves.
    pub fn heartbeat_name(&self) -> Option<&'static str> {
        match self {
            Command::Up(_) => Some("up"),
            Command::Sync(_) => Some("sync"),
            Command::Status(_) => Some("status"),
            Command::Doctor(_) => Some("doctor"),
            Command::Team(_) => Some("team"),
            Command::Workspaces(_) => Some("workspaces"),
            Command::Ledger(_) => Some("ledger"),
            Command::Rescue(_) => Some("rescue"),
            Command::Murmur(_) => Some("murmur"),
            Command::Whispers(_) => Some("whispers"),
            Command::Agent(args) => (!args.introduces()).then(|| args.name()),
            Command::Init(_)
            | Command::Daemon(_)
            | Command::Config(_)
            | Command::Version(_)
            | Command::Completions(_)
            | Command::Debug(_)
            | Command::Docs(_)
            | Command::GitCredentialHelper(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;
    use crate::kit::rng::Rng;

    fn each(command: &clap::Command, path: &str, look: &mut dyn FnMut(&clap::Command, &str)) {
        look(command, path);
        for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
            each(sub, &format!("{path} {}", sub.get_name()), look);
        }
    }

    fn built() -> clap::Command {
        let mut command = Args::command();
        command.build();
        command
    }

    #[test]
    fn the_table_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn cli_15_a_flag_has_one_meaning_everywhere() {
        let (mut shorts, mut longs) = (BTreeMap::new(), BTreeMap::new());
        each(&built(), "ox", &mut |command, path| {
            for arg in command.get_arguments() {
                let long = arg.get_long().unwrap_or_default().to_owned();
                if let Some(short) = arg.get_short() {
                    let known = shorts.entry(short).or_insert_with(|| long.clone()).clone();
                    assert_eq!(known, long, "-{short} of {path} means something else elsewhere");
                }
                if let (Some(long), short) = (arg.get_long(), arg.get_short()) {
                    let takes = arg.get_action().takes_values();
                    let known = *longs.entry(long.to_owned()).or_insert((short, takes));
                    assert_eq!(known, (short, takes), "--{long} of {path} differs elsewhere");
                }
            }
        });
        assert_eq!(shorts.get(&'y').map(String::as_str), Some("yes"));
    }

    /// The words of a command line; what stands in double quotes is one.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('"').enumerate();
        let of = |(n, part): (usize, &str)| match n % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        };
        parts.flat_map(of).collect::<Vec<String>>()
    }

    #[test]
    fn every_flag_has_help_and_every_command_an_example_that_parses() {
        each(&built(), "ox", &mut |command, path| {
            assert!(command.get_about().is_some(), "{path} has no description");
            for arg in command.get_arguments().filter(|a| !a.is_hide_set()) {
                assert!(arg.get_help().is_some(), "{path}: {} has no help", arg.get_id());
            }
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = after
                .lines()
                .skip_while(|l| *l != "Examples:")
                .skip(1)
                .take_while(|l| l.starts_with("  "))
                .collect();
            assert!(!examples.is_empty(), "{path} has no example");
            for example in examples {
                let words = words(example.split(" > ").next().unwrap());
                let (words, _) = agent::take_id(words.into_iter().map(Into::into).collect());
                if let Err(e) = Args::try_parse_from(&words) {
                    panic!("{path}: the example `{}` is wrong: {e}", example.trim());
                }
                let named: Vec<&str> = words.iter().filter_map(|w| w.to_str()).collect();
                assert!(
                    matches!(path, "ox" | "ox agent") || named.join(" ").starts_with(path),
                    "{path}: {example}"
                );
            }
        });
    }

    /// Words that exist, words that do not, bytes that are no text: whatever comes, an answer and no panic.
    #[test]
    fn cli_13_no_command_line_makes_the_parser_panic() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt as _;
        let mut words: Vec<OsString> =
            ["", "-", "--", "--=", "-C", "-n", "--json=1", "--ledger", "-qqv", "🐂", "-9"]
                .iter()
                .map(Into::into)
                .collect();
        words.push(OsString::from_vec(vec![0xff, 0xfe]));
        each(&built(), "ox", &mut |command, _| {
            words.push(command.get_name().into());
            words.extend(
                command.get_arguments().filter_map(|a| a.get_long()).map(|l| format!("--{l}").into()),
            );
        });
        let mut rng = Rng::new(7);
        let pick = |rng: &mut Rng, n: usize| usize::try_from(rng.below(n as u64)).unwrap();
        for _ in 0..4_000 {
            let mut argv = vec![OsString::from("ox")];
            for _ in 0..pick(&mut rng, 7) {
                argv.push(words[pick(&mut rng, words.len())].clone());
            }
            if let Err(e) = Args::try_parse_from(&argv) {
                let failure = crate::cli::usage_failure(&e, &crate::cli::path_of(&argv));
                assert!(!failure.what.is_empty(), "{argv:?}");
            }
        }
    }

    #[test]
    fn cli_05_every_command_that_doctor_advises_exists() {
        for command in crate::doctor::Command::ALL {
            let argv = ["ox"].iter().chain(command.words());
            assert!(Args::try_parse_from(argv).is_ok(), "{command:?}");
        }
    }

    #[test]
    fn cli_14_an_unknown_word_names_its_neighbour() {
        let check = |argv: &[&str], what: &str, hint: &str| {
            let error = Args::try_parse_from(argv).unwrap_err();
            assert_ne!(error.kind(), ErrorKind::DisplayHelp);
            let argv: Vec<std::ffi::OsString> = argv.iter().map(std::ffi::OsString::from).collect();
            let failure = crate::cli::usage_failure(&error, &crate::cli::path_of(&argv));
            assert_eq!((failure.headline().as_str(), failure.hint.as_deref()), (what, Some(hint)));
        };
        check(&["ox", "stauts"], "unknown command: stauts", "did you mean: ox status?");
        check(&["ox", "daemon", "restrat"], "unknown command: restrat", "did you mean: ox daemon restart?");
        check(&["ox", "status", "--jsno"], "unknown flag: --jsno", "--json");
        check(&["ox", "xyzzy"], "unknown command: xyzzy", "ox --help");
        check(&["ox", "start"], "unknown command: start", "did you mean: ox daemon start?");
    }

    #[test]
    fn cli_14_what_is_missing_or_wrong_is_named() {
        let check = |argv: &[&str], what: &str, hint: &str| {
            let error = Args::try_parse_from(argv).unwrap_err();
            let argv: Vec<std::ffi::OsString> = argv.iter().map(std::ffi::OsString::from).collect();
            let failure = crate::cli::usage_failure(&error, &crate::cli::path_of(&argv));
            assert_eq!((failure.headline().as_str(), failure.hint.as_deref()), (what, Some(hint)));
        };
        check(&["ox", "ledger", "set-remote"], "<URL> is missing", "ox ledger set-remote --help");
        check(&["ox", "config", "set"], "<KEY> and <VALUE> are missing", "ox config set --help");
        let scope = "scope is ledger or team, not tem";
        check(&["ox", "murmur", "--scope", "tem", "x"], scope, "ox murmur --help");
        check(&["ox", "daemon", "logs", "-n", "x"], "lines cannot be \"x\"", "ox daemon logs --help");
        let words = "the text is more than one word";
        check(&["ox", "murmur", "hello", "world"], words, "ox murmur \"…\", with the text in quotes");
        check(
            &["ox", "daemon", "status", "--watch", "--nope"],
            "unknown flag: --nope",
            "ox daemon status --help",
        );
    }
}
