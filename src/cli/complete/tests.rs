use super::*;

fn at(line: &str) -> Answer {
    let mut words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let current = words.pop().unwrap_or_default();
    candidates(&words, &current)
}

fn values(line: &str) -> Vec<String> {
    match at(line) {
        Answer::Words(found) => found.into_iter().map(|one| one.value).collect(),
        path => panic!("{line}: {path:?}"),
    }
}

/// The flags that every command takes, in their order.
const GLOBAL: &[&str] = &["-C", "--json", "--verbose", "--quiet", "--color", "--no-interactive", "--help"];

#[test]
fn what_stands_where_the_cursor_is() {
    let check = |line: &str, expected: &[&str]| assert_eq!(values(line), expected, "{line}");
    check("ox sta", &["status"]);
    check("ox git", &[]);
    check("ox --no-in", &["--no-interactive"]);
    check("ox --color ", &["auto", "always", "never"]);
    check("ox daemon st", &["start", "stop", "status"]);
    check("ox status ", GLOBAL);
    check("ox completions ", &["bash", "zsh", "fish"]);
    check("ox murmur --importance ", &["critical", "normal", "ambient"]);
    check("ox murmur --importance=c", &["--importance=critical"]);
    check("ox murmur --scope t", &["team"]);
    check("ox doctor --fix-slug git-l", &["git-lock"]);
    check("ox config get murmur_", &["murmur_send", "murmur_receive"]);
    check("ox config set daemon.auto_start ", &["true", "false"]);
    check("ox config set murmur_send m", &["manual"]);
    check("ox config set murmur_send --ve", &["--verbose"]);
    check("ox agent OxAb12 mur", &["murmur"]);
    check("ox agent OxAb12 murmur --importance n", &["normal"]);
    check("ox agent OxAb12 wh", &["whisper", "why", "whispers", "whoami"]);
    check("ox -q agent OxAb12 heart", &["heartbeat"]);
    check("ox agent agent", &[]);
    check("ox team list ", GLOBAL);
    check("ox team add ", &[]);
    check("ox team add --na", &["--name"]);
    assert!(!values("ox ").iter().any(|word| word.starts_with('-') || word == "git-credential-helper"));
    assert_eq!(at("ox -C "), Answer::Directory);
    assert_eq!(at("ox status -C src/"), Answer::Directory);
    assert_eq!(at("ox docs man "), Answer::Directory);
    assert_eq!(at("ox debug bundle --output "), Answer::Path);
    assert_eq!(at("ox debug bundle --output=src/"), Answer::Path);
}

#[test]
fn every_row_of_values_names_an_argument() {
    let mut table = args::command();
    table.build();
    for (path, id, _) in VALUES {
        let command = path.split(' ').fold(&table, |command, name| {
            command.find_subcommand(name).unwrap_or_else(|| panic!("no command {path}"))
        });
        let found = command.get_arguments().find(|arg| arg.get_id() == *id);
        assert!(found.is_some_and(|arg| arg.get_action().takes_values()), "{path}: {id}");
    }
}

#[test]
fn a_flag_and_its_value_are_put_together_again() {
    let words: Vec<OsString> = ["ox", "sync", "--team", "=", "pl"].map(OsString::from).to_vec();
    let (before, current) = line(&words, 4);
    assert_eq!((before, current), (["ox", "sync", "--team"].map(OsString::from).to_vec(), "pl".into()));
    assert_eq!(line(&words, 9).1, "");
}

#[test]
fn words_come_without_their_quotes() {
    let words = ["ox", "-C", "'a b'", "\"team\"", "remove", "\"pl"].map(OsString::from);
    let (before, current) = line(&words, 5);
    assert_eq!(before, ["ox", "-C", "a b", "team", "remove"].map(OsString::from));
    assert_eq!(current, "pl");
}

#[test]
fn a_disk_that_does_not_answer_keeps_no_shell_waiting() {
    let (hold, held) = crossbeam_channel::bounded::<()>(0);
    assert_eq!(within(Duration::from_millis(10), move || held.recv().is_err()), None);
    drop(hold);
    assert_eq!(within(Duration::from_secs(60), || 1), Some(1));
}

#[test]
fn no_name_that_a_shell_would_obey_is_offered() {
    for value in ["$(touch x)", "`x`", "a b", "a;b", "a\nb", "", "a'b", "~", "*", "a&b", "!x"] {
        assert!(!is_inert(value), "{value:?}");
    }
    for value in ["plat", "a=b", "daemon.auto_start", "0195f0c2"] {
        assert!(is_inert(value), "{value:?}");
    }
}

#[test]
fn no_value_is_offered_that_a_command_would_take_for_a_flag() {
    let named = |name: &str| (name.to_owned(), String::new());
    let found =
        words_of(["-rf", "--yes", "=ls", "%1", ".git", "ok", "_", "été"].map(named).to_vec(), "".as_ref());
    let values: Vec<&str> = found.iter().map(|one| one.value.as_str()).collect();
    assert_eq!(values, ["ok", "_", "été"]);
}

#[test]
fn each_shell_gets_its_own_line() {
    let one = |value: &str, help: &str| Candidate { value: value.into(), help: help.into() };
    assert_eq!(Shell::Bash.line(&one("a:b", "c: d")), "a:b");
    assert_eq!(Shell::Zsh.line(&one("a:b", "c: d")), "a\\:b:c: d");
    assert_eq!(Shell::Fish.line(&one("a:b", "c: d")), "a:b\tc: d");
    // Without a meaning there is nothing to set apart from the word.
    assert_eq!([Shell::Zsh, Shell::Fish].map(|shell| shell.line(&one("a", ""))), ["a", "a"]);
}

#[test]
fn what_is_malformed_has_no_answer() {
    for asked in
        [&["bash"][..], &["tcsh", "1", "--", "ox"], &["bash", "x", "--", "ox"], &["bash", "1", "ox", "x"]]
    {
        let asked: Vec<OsString> = asked.iter().map(OsString::from).collect();
        assert_eq!(format!("{:?}", answer(&asked)), format!("{:?}", ExitCode::FAILURE));
    }
}
