//! The help, the names of commands, and colour.

use super::machine;
use crate::support::TestEnv;

#[test]
fn the_help_shows_commands_in_groups_and_what_every_command_takes_apart() {
    let env = TestEnv::new();
    for flag in ["-h", "--help"] {
        let help = env.ox([flag]).ok().stdout;
        let at = |heading: &str| {
            help.find(&format!("\n{heading}:\n")).unwrap_or_else(|| panic!("{heading}: {help}"))
        };
        let order = ["Start", "Look", "Team and agents", "Repair", "Service", "Global options"].map(at);
        assert!(order.is_sorted(), "{help}");
        assert!(!help.contains("git-credential-helper") && !help.contains("__complete"), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
    let help = env.ox(["sync", "-h"]).ok().stdout;
    let (own, global) = help.split_once("\nGlobal options:\n").unwrap();
    assert!(own.contains("--all-teams") && !own.contains("--json"), "{help}");
    assert!(global.contains("--json") && global.contains("--help"), "{help}");
}

#[test]
fn clones_is_also_called_workspaces() {
    let (env, repo) = machine();
    let clones = env.ox_in(&repo, ["clones"]).ok();
    assert_eq!(env.ox_in(&repo, ["workspaces"]).ok().stdout, clones.stdout);
    assert!(env.ox(["workspaces", "-h"]).ok().stdout.contains("Usage: ox clones"));
}

#[test]
fn colour_comes_when_it_is_asked_for_and_the_command_line_counts_first() {
    let (mut env, repo) = machine();
    let has_colour = |env: &TestEnv, flags: &[&str]| {
        let ran = env.ox_in(&repo, ["clones"].iter().chain(flags)).ok();
        ran.stdout.contains('\u{1b}')
    };
    assert!(!has_colour(&env, &[]));
    assert!(has_colour(&env, &["--color=always"]));
    assert!(!has_colour(&env, &["--color=always", "--no-color"]));
    env.set("NO_COLOR", "1");
    assert!(has_colour(&env, &["--color=always"]), "the table's heading is dim");
    env.unset("NO_COLOR");
    env.set("CLICOLOR_FORCE", "1");
    assert!(has_colour(&env, &[]) && has_colour(&env, &["--color=auto"]));
    assert!(!has_colour(&env, &["--color=never"]) && !has_colour(&env, &["--no-color"]));
    assert!(env.ox(["--color=sometimes", "status"]).fails(2).stderr.contains("not sometimes"));
    assert!(env.ox(["--color=always", "--help"]).ok().stdout.contains('\u{1b}'));
}
