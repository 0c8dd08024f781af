//! The command table: every command and every global flag of the program. Each command's own flags stand in its file.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::commands::{
    agent, agents, completions, config, daemon, debug, docs, doctor, events, gc, git_credential_helper,
    hooks, init, ledger, login, murmur, net, relay, rescue, session, status, sync, team, up, version,
    whispers, why, workspaces,
};
use super::global::{Global, HEADING};

/// Columns of help texts.
const COLUMNS: usize = 80;

/// The commands in the groups of `ox --help`.
pub const GROUPS: [(&str, &[&str]); 5] = [
    ("Start", &["up", "init", "sync"]),
    ("Look", &["status", "clones", "net", "version"]),
    (
        "Team and agents",
        &[
            "team", "agent", "agents", "murmur", "whispers", "session", "sessions", "why", "hooks", "events",
            "relay",
        ],
    ),
    ("Repair", &["doctor", "rescue", "gc", "debug"]),
    ("Service", &["daemon", "login", "logout", "whoami", "ledger", "config", "completions", "docs"]),
];

/// Keeps the ledger and the team contexts of a project in sync
///
/// One daemon per user serves all projects. Nobody is contacted but whom you name (`ox net` shows it), and nothing is committed
/// to your repository unless you ask for it.
#[derive(Debug, Parser)]
#[command(
    name = "ox",
    version,
    max_term_width = COLUMNS,
    disable_help_flag = true,
    disable_version_flag = true,
    after_help = "Examples:\n  ox up\n  ox status\n  ox doctor --fix\n\n\
                  More on a command: ox help <command>\n\
                  Manual pages: ox docs man ~/.local/share/man, then man ox"
)]
pub struct Args {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version, help_heading = HEADING)]
    version: Option<bool>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set up if needed, start the daemon, sync, and show the status
    ///
    /// Does all that a repository needs and can be repeated at any time: creates `.sageox/` and a ledger if there is
    /// none, asks once for every new git host whether it is trusted, clones or syncs the ledger and the team contexts,
    /// and starts the daemon, which keeps them in sync from then on.
    ///
    /// Nothing is staged or committed in your repository. With --ledger the remote is asked before anything is
    /// written, so that a mistyped address changes nothing.
    Up(up::Args),
    /// Create .sageox/ and the ledger of this repository
    ///
    /// Writes the files of a project without starting the daemon. Without --ledger the ledger's remote is a bare
    /// repository on this machine; `ox ledger set-remote` moves it to a server later. A project whose `.sageox/` was
    /// deleted gets its ledger again.
    Init(init::Args),
    /// Bring the ledger, or the team contexts, up to date now
    ///
    /// The daemon syncs by itself at an interval and when something changes; this waits for one sync and says what
    /// came of it. Files of a clone that changed both here and remotely keep the remote's content; your version is
    /// kept as a conflict copy beside it and can be restored with `ox rescue`.
    Sync(sync::Args),
    /// Show the status of this project; never starts the daemon
    ///
    /// The first line is the verdict, the rows below it tell what it rests on: the ledger, the team contexts, the agents
    /// at work and what needs attention, each with the next command where there is one.
    Status(status::Args),
    /// Find problems and suggest fixes
    ///
    /// Looks without changing anything, unless --fix or --fix-slug is given. Shows what is not well; with -v every check
    /// and its slug. The exit code is 1 if a check failed.
    Doctor(doctor::Args),
    /// Start, stop and inspect the daemon
    ///
    /// One process serves all projects of a user. `ox up`, `ox sync` and `ox agent prime` start it where it is needed;
    /// it never runs with more rights than yours and listens on no network address.
    Daemon(daemon::Args),
    /// Introduce agents, and list those at work
    Agent(agent::Args),
    /// Show, hold and bound what agents do in the background
    Agents(agents::Args),
    /// Tell the team what an agent is doing, and list what was told
    ///
    /// A murmur is one short note, at most 500 bytes. It is kept on this disk first and committed to the ledger, or to the
    /// team context with --scope team, and pushed at once; without a network it is queued. Other agents get it as a
    /// whisper. What looks like a secret is taken out before anything is written.
    Murmur(murmur::Args),
    /// List, show and export sessions of agents
    Session(session::Args),
    /// Show which session and prompt the lines of a file came from
    ///
    /// Each line is looked for in what recorded sessions wrote, by its content, so that a rebase, a squash, an amend or a cherry-pick
    /// changes nothing. Shown with it is the commit that brought the line. Where no session is found, the reason is told; what
    /// commands in a shell and formatters wrote is not seen.
    Why(why::Args),
    /// List sessions at work now; recorded ones: ox session list
    Sessions(events::SessionsArgs),
    /// List what agents do: prompts, calls of tools, ends of turns
    ///
    /// Taken in from the hooks of agent programs and read from their transcripts, each event once, on this machine alone: names
    /// of tools, sizes and hashes, never what was said or given, unless the settings say otherwise. What is older than 30
    /// days, or beyond 200 MiB, is deleted.
    Events(events::Args),
    /// Have agents tell of their events, and show whether they do
    Hooks(hooks::Args),
    /// Send events of agents to a server of yours
    ///
    /// Off unless you start it. What is sent was sanitised before it was stored: names of events and tools, sizes, digests, never what was
    /// said or given. There is no built-in server: ox login --relay URL names one, or relay.otlp_url a collector of OpenTelemetry.
    /// Each event gets there once, whatever happens: it waits on this disk until the server has confirmed it.
    Relay(relay::Args),
    /// List what the agents of this machine were told
    Whispers(whispers::Args),
    /// Read and change settings
    Config(config::Args),
    /// Add, remove and list the teams whose contexts this project keeps
    ///
    /// A team context is a git repository that a team shares with its people and agents: AGENTS.md, TEAM.md, MEMORY.md and
    /// more. A project names its teams in `.sageox/config.json`; `.sageox/teams/<id>` leads to the clone, which all
    /// projects on this machine share.
    Team(team::Args),
    /// List the managed clones and their state; never starts the daemon
    ///
    /// A clone of a ledger or a team context is made, synced and made smaller by ox. `ox workspaces` is the same command
    /// under its former name.
    #[command(alias = "workspaces")]
    Clones(workspaces::Args),
    /// Log in to a server, by a code that is confirmed in a browser
    ///
    /// Prints an address and a code, and opens the page where there is a screen; over SSH open it anywhere. There is no server built in. With
    /// --relay it is the server that events of agents are sent to, and the command asks whether they are; otherwise the one that names ledgers
    /// and teams. The tokens are kept in your configuration directory, for you alone.
    Login(login::Args),
    /// Log out of a server: its tokens are taken back, and deleted here
    ///
    /// They are deleted also where the server cannot be reached. Events that wait for a relay server stay for the same user of the same server,
    /// unless --purge is given.
    Logout(login::LogoutArgs),
    /// Show who is logged in where; nobody is asked
    Whoami(login::WhoamiArgs),
    /// Show whom ox can contact over a network, and whom it has
    ///
    /// First what the configuration leads to: remotes of the project here and of those that the daemon serves, their server, a relay, a
    /// collector, a chat server, agent programs; with -v also what is not configured. Then what was done: every contact leaves a
    /// receipt on this machine, with host, port, purpose, outcome and bytes, and nothing of a path, a login or content. The newest
    /// receipts are kept, in 8 MiB at most.
    ///
    /// What git and ssh do is told by the address of the remote; settings of your own may lead them elsewhere. How many bytes they moved
    /// is not counted. Looking up names is the system's, and leaves no receipt.
    Net(net::Args),
    /// Move the ledger to another git remote
    Ledger(ledger::Args),
    /// List and restore uncommitted work and clones that were kept aside
    ///
    /// Whatever would be overwritten in a clone is kept first: uncommitted changes in refs/ox/rescue/, files that
    /// changed on both sides as conflict copies, a whole clone when it is replaced. Restoring overwrites nothing.
    Rescue(rescue::Args),
    /// Make the clones of this project smaller now
    ///
    /// The daemon does this by itself every few days. A clone that holds something that exists only here is packed where it
    /// is; one that a fresh clone would at least halve is replaced by that.
    Gc(gc::Args),
    /// Print the version
    Version(version::Args),
    /// Collect a report for finding a fault, without secrets
    Debug(debug::Args),
    /// Print the completion script for a shell
    Completions(completions::Args),
    /// Write the manual pages
    Docs(docs::Args),
    /// Answer git's questions for a name and a password
    #[command(hide = true)]
    GitCredentialHelper(git_credential_helper::Args),
}

/// The command table as the parser, the help, the manual and the completion take it.
pub fn command() -> clap::Command {
    let command = Args::command();
    let template = template(&command);
    command.help_template(template)
}

/// Reads a command line.
///
/// # Errors
/// It is none of the table, or asks for help.
pub fn parse(argv: &[OsString]) -> Result<Args, clap::Error> {
    let mut command = command().color(colour(argv));
    let matches = command.try_get_matches_from_mut(argv)?;
    Args::from_arg_matches(&matches).map_err(|e| e.format(&mut command))
}

/// The command that the words of a command line name, and how it is typed: `ox daemon start`.
pub fn named(argv: &[OsString]) -> (clap::Command, String) {
    let (mut named, mut path) = (command(), "ox".to_owned());
    for word in argv.iter().skip(1).filter_map(|word| word.to_str()) {
        if let Some(sub) = named.find_subcommand(word) {
            path = format!("{path} {}", sub.get_name());
            named = sub.clone();
        }
    }
    (named, path)
}

/// The help has to be coloured before the command line is understood.
fn colour(argv: &[OsString]) -> ColorChoice {
    let mut words = argv.iter().filter_map(|word| word.to_str()).peekable();
    while let Some(word) = words.next() {
        match (word, words.peek().copied()) {
            ("--color=always", _) | ("--color", Some("always")) => return ColorChoice::Always,
            ("--color=never" | "--no-color", _) | ("--color", Some("never")) => return ColorChoice::Never,
            _ => {}
        }
    }
    ColorChoice::Auto
}

/// The help of `ox` alone, with its commands in groups.
fn template(command: &clap::Command) -> StyledStr {
    let styles = command.get_styles();
    let (head, name) = (styles.get_header(), styles.get_literal());
    let width = command.get_subcommands().filter(|c| !c.is_hide_set()).map(|c| c.get_name().len()).max();
    let mut text = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for (title, names) in GROUPS {
        text.push_str(&format!("\n{head}{title}:{head:#}\n"));
        for sub in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            let gap = " ".repeat(width.unwrap_or_default() - sub.get_name().len() + 2);
            text.push_str(&format!("  {name}{}{name:#}{gap}{about}\n", sub.get_name()));
        }
    }
    text.push_str(&format!("\n{head}{HEADING}:{head:#}\n{{options}}{{after-help}}"));
    StyledStr::from(text)
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
            Command::Clones(_) => Some("clones"),
            Command::Gc(_) => Some("gc"),
            Command::Ledger(_) => Some("ledger"),
            Command::Rescue(_) => Some("rescue"),
            Command::Murmur(_) => Some("murmur"),
            Command::Whispers(_) => Some("whispers"),
            Command::Session(_) => Some("session"),
            Command::Why(_) => Some("why"),
            Command::Agent(args) => (!args.introduces()).then(|| args.name()),
            Command::Agents(_)
            | Command::Init(_)
            | Command::Daemon(_)
            | Command::Sessions(_)
            | Command::Events(_)
            | Command::Config(_)
            | Command::Login(_)
            | Command::Logout(_)
            | Command::Whoami(_)
            | Command::Net(_)
            | Command::Hooks(_)
            | Command::Relay(_)
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

    use clap::error::ErrorKind;

    use super::*;
    use crate::kit::rng::Rng;

    fn each(command: &clap::Command, path: &str, look: &mut dyn FnMut(&clap::Command, &str)) {
        look(command, path);
        for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
            each(sub, &format!("{path} {}", sub.get_name()), look);
        }
    }

    fn built() -> clap::Command {
        let mut command = command();
        command.build();
        command
    }

    #[test]
    fn the_table_is_consistent() {
        command().debug_assert();
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
                // What the shell takes for itself is no argument.
                let words = words(example.split(" > ").flat_map(|e| e.split(" < ")).next().unwrap());
                let (words, _) = agent::take_id(words.into_iter().map(Into::into).collect());
                if let Err(e) = parse(&words) {
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
            if let Err(e) = parse(&argv) {
                let failure = crate::cli::usage_failure(&e, &named(&argv).1);
                assert!(!failure.what.is_empty(), "{argv:?}");
            }
        }
    }

    #[test]
    fn every_command_stands_in_one_group_of_the_help() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = command();
        let mut all: Vec<&str> =
            command.get_subcommands().filter(|c| !c.is_hide_set()).map(|c| c.get_name()).collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }

    #[test]
    fn help_fits_into_80_columns_and_sets_the_global_options_apart() {
        each(&built(), "ox", &mut |command, path| {
            for long in [false, true] {
                let mut command = command.clone().term_width(COLUMNS);
                let help = if long { command.render_long_help() } else { command.render_help() }.to_string();
                for line in help.lines() {
                    assert!(line.chars().count() <= COLUMNS, "{path}, {} columns: {line}", line.len());
                }
                if command.is_hide_set() {
                    continue;
                }
                let (own, global) = help
                    .split_once(&format!("\n{HEADING}:\n"))
                    .unwrap_or_else(|| panic!("{path} has no {HEADING}:\n{help}"));
                for flag in ["-C <DIR>", "--json", "--verbose", "--quiet", "--color", "--help"] {
                    assert!(!own.contains(&format!("  {flag}")) && global.contains(flag), "{path}: {flag}");
                }
                // An example that is broken into two lines is no command any more.
                let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                for example in after.lines().filter(|line| line.starts_with("  ")) {
                    assert!(help.contains(example), "{path}: {example}");
                }
            }
        });
    }

    #[test]
    fn the_colour_of_the_help_is_that_of_the_flag() {
        let check = |line: &str, expected| {
            let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(colour(&argv), expected, "{line}");
        };
        check("ox --help", ColorChoice::Auto);
        check("ox --color always --help", ColorChoice::Always);
        check("ox sync --help --color=never", ColorChoice::Never);
        check("ox --no-color", ColorChoice::Never);
    }

    #[test]
    fn cli_05_every_command_that_doctor_advises_exists() {
        for command in crate::doctor::Command::ALL {
            let argv: Vec<OsString> = ["ox"].iter().chain(command.words()).map(Into::into).collect();
            assert!(parse(&argv).is_ok(), "{command:?}");
        }
    }

    #[test]
    fn cli_14_an_unknown_word_names_its_neighbour() {
        let check = |argv: &[&str], what: &str, hint: &str| {
            let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
            let error = parse(&argv).unwrap_err();
            assert_ne!(error.kind(), ErrorKind::DisplayHelp);
            let failure = crate::cli::usage_failure(&error, &named(&argv).1);
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
            let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
            let error = parse(&argv).unwrap_err();
            let failure = crate::cli::usage_failure(&error, &named(&argv).1);
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
