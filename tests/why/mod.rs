//! Lines of files lead back to the sessions and prompts that they came from, whatever git did to the commits in between: histories by chance,
//! of which the script knows who wrote each line.

mod world;

use std::collections::BTreeMap;

use ox::cli::lines::authors;
use ox::git::History;
use ox::sessions::edits::find::Known;
use ox::sessions::edits::load;
use ox::sessions::edits::why::{Answer, Reason};

use crate::support::seed;
use world::{By, World};

/// What came of the lines of histories.
#[derive(Debug, Default)]
struct Tally {
    /// Lines that a session wrote with an edit.
    written: usize,
    /// Those that were found.
    found: usize,
    /// Those of which the prompt was told as well.
    prompted: usize,
    /// Lines that led somewhere else than they came from.
    wrong: Vec<String>,
    /// Lines of sessions that were not found, by the reason that was told.
    missed: BTreeMap<&'static str, usize>,
    /// Lines of nobody's session, by the reason that was told.
    others: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn of(&mut self, world: &World) {
        let sessions: Vec<Known> = world
            .sessions
            .iter()
            .map(|session| Known {
                name: session.name.clone(),
                edits: load(&session.dir).unwrap().expect("edits are kept"),
            })
            .collect();
        let history = History::open(&world.repo).unwrap();
        for (path, truth) in world.truth() {
            let blamed = history.blame(&path).unwrap().expect("the file is there");
            assert_eq!(blamed.lines.len(), truth.len(), "{path}");
            let answers = authors(&history, &path, &blamed, &sessions).unwrap();
            for (n, (answer, by)) in answers.iter().zip(&truth).enumerate() {
                let line = &blamed.lines[n];
                if std::env::var_os("OX_WHY_STEPS").is_some() {
                    let told = match answer {
                        Answer::Session { author, .. } => format!("{} {}", author.session, author.edit.seq),
                        Answer::Unknown { reason, .. } => reason.name().to_owned(),
                    };
                    println!("{path}:{} {line:?} {by:?} {told}", n + 1);
                }
                let wrong = |what: &str| {
                    format!("seed {}: {path}:{}: {line:?} is {by:?}, told {what}", world.seed, n + 1)
                };
                match answer {
                    Answer::Session { author, edit_is_known } => match by {
                        // A brace is alike everywhere.
                        By::Unclear => {}
                        By::Session { session, prompt } if *session == author.session => {
                            self.written += 1;
                            self.found += 1;
                            match author.edit.prompt {
                                Some(told) if *edit_is_known && told == *prompt => self.prompted += 1,
                                Some(told) if *edit_is_known => {
                                    self.wrong.push(wrong(&format!("prompt {told}")))
                                }
                                _ => {}
                            }
                        }
                        _ => self
                            .wrong
                            .push(wrong(&format!("session {} {:?}", author.session, author.edit.at))),
                    },
                    Answer::Unknown { reason, .. } => match by {
                        By::Session { .. } => {
                            self.written += 1;
                            *self.missed.entry(reason.name()).or_default() += 1;
                            if std::env::var_os("OX_WHY_TRACE").is_some() {
                                println!("missed: {}", wrong(reason.name()));
                            }
                            // It is there, and no session is older than it.
                            if matches!(reason, Reason::NotHere) {
                                self.wrong.push(wrong(reason.name()));
                            }
                        }
                        _ => *self.others.entry(reason.name()).or_default() += 1,
                    },
                }
            }
        }
    }
}

#[test]
fn lines_lead_back_to_their_sessions_whatever_git_did_to_the_commits() {
    let mut tally = Tally::default();
    let histories = seed::named().map_or(0..seed::rounds(60, 300), |seed| seed..seed + 1);
    let mut what: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in histories.clone() {
        let world = World::new(seed).live();
        world.did.iter().for_each(|did| *what.entry(did).or_default() += 1);
        tally.of(&world);
    }
    println!("{} histories: {what:?}", histories.end - histories.start);
    println!(
        "{} lines of sessions: {} found, {} with their prompt; not found: {:?}; lines of others: {:?}",
        tally.written, tally.found, tally.prompted, tally.missed, tally.others
    );
    assert!(tally.wrong.is_empty(), "{} wrong:\n{}", tally.wrong.len(), tally.wrong.join("\n"));
    assert!(tally.found * 100 >= tally.written * 95, "{} of {}", tally.found, tally.written);
}
