//! What readers tell of transcripts that the real programs wrote: `tests/harness/transcripts`, where `README.md` says how they were made.

mod claude;
mod codex;
mod random;
mod rewritten;
mod split;

use std::fs;
use std::path::Path;

use ox::harness::transcript::claude::Claude;
use ox::harness::transcript::codex::Codex;
use ox::harness::transcript::{Fact, Role, Skipped, Spent, What};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What all readers of lines have in common.
trait Reader: Default + Clone + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned {
    fn line(&mut self, line: &[u8], out: &mut Vec<Fact>);
    fn skipped(&self) -> Skipped;
}

macro_rules! reader {
    ($($name:ty),*) => {$(
        impl Reader for $name {
            fn line(&mut self, line: &[u8], out: &mut Vec<Fact>) {
                <$name>::line(self, line, out);
            }
            fn skipped(&self) -> Skipped {
                <$name>::skipped(self)
            }
        }
    )*};
}
reader!(Claude, Codex);

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/transcripts").join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All fixtures whose name begins so.
fn fixtures(program: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/transcripts");
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(program)).collect();
    names.sort();
    assert!(!names.is_empty(), "{program}");
    names.iter().map(|name| fixture(name)).collect()
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect()
}

/// All facts of a file, and the reader behind its end. A fact's id is its own.
fn read<R: Reader>(bytes: &[u8]) -> (R, Vec<Fact>) {
    let (mut reader, mut facts) = (R::default(), Vec::new());
    for line in lines(bytes) {
        reader.line(line, &mut facts);
    }
    (reader, facts)
}

/// Facts as lines: threads and times left out, inputs and outputs cut.
fn told(facts: &[Fact]) -> Vec<String> {
    let cut = |text: &str| text.chars().take(90).collect::<String>().replace('\n', "|");
    let line = |fact: &Fact| {
        Some(match &fact.what {
            What::Thread(_) => return None,
            What::Said { role, text } => {
                let role = match role {
                    Role::User => "user",
                    Role::Assistant => "assistant",
                    Role::System => "system",
                };
                format!("{role}: {}", cut(text))
            }
            What::Called { call, tool, input } => format!("{call} {tool} {}", cut(input)),
            What::Returned { call, output, failed } => {
                format!("{call} {} {}", if *failed { "failed" } else { "returned" }, cut(output))
            }
            What::Spent(spent) => format!("spent {}", counted(spent)),
            What::Compacted => "compacted".into(),
            What::Turn(turn) => format!("{turn:?}"),
        })
    };
    facts.iter().filter_map(line).collect()
}

/// An answer's tokens: given, read from a cache, written to one; returned, and of these reasoning.
fn counted(spent: &Spent) -> String {
    let Spent { input, cached, cache_written, output, reasoning, .. } = spent;
    format!("{input}+{cached}+{cache_written} {output}/{reasoning}")
}

/// The tokens of all answers, each once, in the order of answers.
fn spent(facts: &[&[Fact]]) -> Vec<String> {
    let mut answers: Vec<&Spent> = Vec::new();
    for fact in facts.iter().copied().flatten() {
        if let What::Spent(spent) = &fact.what {
            match answers.iter_mut().find(|known| known.answer == spent.answer) {
                Some(known) => *known = spent,
                None => answers.push(spent),
            }
        }
    }
    answers.into_iter().map(counted).collect()
}
