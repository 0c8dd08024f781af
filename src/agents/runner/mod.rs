//! Runs an agent for an answer: one of the programs, or a server of chat completions.

mod chat;
mod flags;
mod hear;
mod place;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

pub(super) use chat::url as chat_url;
pub use place::sweep;

use self::hear::Hear;
use self::place::Place;
use super::answer::{Answer, Speech};
use super::budget::Cost;
use super::failure;
use super::limits::{OUTPUT_MAX, STDERR_TAIL};
use super::manager::End;
use super::usable;
use crate::harness::answer::{self as rows, Row};
use crate::http::Client;
use crate::kit::cancel::Cancel;
use crate::kit::child::{self, ChildError, Cmd};
use crate::kit::clock::Clock;
use crate::kit::contact::{self, Contact, Peer, Purpose};
use crate::kit::mask::sanitise;
use crate::kit::secret::Secret;
use crate::kit::supervise::Supervisor;
use crate::kit::text::cut;
use crate::project::settings::{DAEMON_VAR, DEPTH_VAR, RECORDING_VAR};
use crate::project::{AgentWorker, Env, format_duration, is_program};

/// What is shown of a program's own words, in bytes.
const SHOWN_MAX: usize = 200;
/// So many bytes of the prompt in a program's words are no accident.
const ECHO: usize = 40;

/// A server of chat completions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatServer {
    /// Where it is: what `/chat/completions` is put behind.
    pub url: String,
    /// The model that is asked for; empty for its own choice.
    pub model: String,
    /// What it is shown, if it wants something.
    pub key: Option<Secret>,
}

impl ChatServer {
    /// The one that the configuration names, with the key that the environment has.
    ///
    /// # Errors
    /// It names none, or a variable that is not set.
    pub fn configured(config: &AgentWorker, env: &Env) -> Result<ChatServer, String> {
        if config.chat_url.is_empty() {
            return Err("agent_worker.chat_url is not set".to_owned());
        }
        let name = config.chat_key_env.as_str();
        let key = match env.get(name) {
            Some(key) => Some(Secret::new(key)),
            None if name.is_empty() => None,
            None => return Err(format!("{name}, which has its key, is not set")),
        };
        Ok(ChatServer { url: config.chat_url.clone(), model: config.chat_model.clone(), key })
    }
}

/// Which agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Claude Code.
    Claude,
    /// codex.
    Codex,
    /// Gemini CLI.
    Gemini,
    /// A server.
    Chat(ChatServer),
}

impl Which {
    /// What the configuration calls it.
    pub fn word(&self) -> &'static str {
        match self {
            Which::Claude => "claude",
            Which::Codex => "codex",
            Which::Gemini => "gemini",
            Which::Chat(_) => "chat",
        }
    }

    /// The one that `word` names.
    ///
    /// # Errors
    /// There is none of that name, or it is a server that is not configured.
    pub fn named(word: &str, config: &AgentWorker, env: &Env) -> Result<Which, String> {
        match word {
            "claude" => Ok(Which::Claude),
            "codex" => Ok(Which::Codex),
            "gemini" => Ok(Which::Gemini),
            "chat" => ChatServer::configured(config, env).map(Which::Chat),
            _ => Err(format!("there is no agent {word}")),
        }
    }
}

/// What runs an agent. Each run is independent of the others.
#[derive(Clone)]
pub struct Runner {
    which: Which,
    supervisor: Supervisor,
    client: Client,
}

/// What an agent is asked.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The question, whole.
    pub prompt: &'a str,
    /// The model that is to answer; empty for the agent's own choice.
    pub model: &'a str,
    /// It is ended after this.
    pub deadline: Duration,
    /// It is ended when this is set.
    pub cancel: &'a Cancel,
    /// The environment: where programs are, and what they are given of it.
    pub env: &'a Env,
    /// Where it works: the directory in which one is made for the run ([`crate::project::Dirs::agent_work`]).
    pub private: &'a Path,
    /// The time.
    pub clock: &'a dyn Clock,
}

impl fmt::Debug for Ask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.prompt.len();
        f.debug_struct("Ask").field("bytes", &bytes).field("model", &self.model).finish_non_exhaustive()
    }
}

/// A run that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What was said; `model` is never empty: where nobody says more, the agent's word.
    pub answer: Answer,
    /// The program's exit code; zero for a server.
    pub exit_code: i32,
    /// How long it took.
    pub took: Duration,
}

/// A run that did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What it was about.
    pub end: End,
    /// Why, in one line for people, without a word of the prompt.
    pub error: String,
    /// The program's exit code; zero where there is none.
    pub exit_code: i32,
    /// What it took all the same, where that is known.
    pub cost: Option<Cost>,
}

impl Failed {
    fn new(end: End, error: impl Into<String>) -> Failed {
        Failed { end, error: error.into(), exit_code: 0, cost: None }
    }
}

impl Answer {
    /// What it took of tokens, and of money where the program says so.
    pub fn cost(&self) -> Cost {
        Cost { tokens: self.input_tokens, micro_usd: self.micro_usd.unwrap_or(0) }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("which", &self.which).finish_non_exhaustive()
    }
}

impl Runner {
    /// One for that agent. Programs are run below `supervisor`; servers are asked by `client`.
    pub fn new(which: Which, supervisor: Supervisor, client: Client) -> Runner {
        Runner { which, supervisor, client }
    }

    /// Which agent.
    pub fn which(&self) -> &Which {
        &self.which
    }

    /// Asks it. Costs what it costs.
    ///
    /// # Errors
    /// There is no answer.
    pub fn run(&self, ask: &Ask<'_>) -> Result<Ran, Failed> {
        self.run_telling(ask, &mut |_| ())
    }

    /// As [`Runner::run`]; `began` is told the number of the process that everything of the run ends with.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn run_telling(&self, ask: &Ask<'_>, began: &mut dyn FnMut(u32)) -> Result<Ran, Failed> {
        let word = self.which.word();
        let start = ask.clock.now().mono;
        let (mut answer, exit_code) = match (&self.which, rows::row(word)) {
            (Which::Chat(server), _) => (chat::ask(&self.client, server, ask)?, 0),
            (_, Some(row)) => self.run_program(row, ask, began)?,
            (_, None) => return Err(Failed::new(End::Rejected, format!("there is no agent {word}"))),
        };
        if answer.model.is_empty() {
            (if ask.model.is_empty() { word } else { ask.model }).clone_into(&mut answer.model);
        }
        Ok(Ran { answer, exit_code, took: ask.clock.now().mono - start })
    }

    fn run_program(
        &self,
        row: &Row,
        ask: &Ask<'_>,
        began: &mut dyn FnMut(u32),
    ) -> Result<(Answer, i32), Failed> {
        let word = row.word;
        let failed = |error: String| Failed::new(End::Failed, error);
        let program =
            usable::program(word, ask.env).ok_or_else(|| failed(format!("{word} is not installed")))?;
        let place = Place::take(ask.private, ask.env)
            .map_err(|e| failed(format!("no directory for {word} can be made: {e}")))?;
        let cmd = || command(&program, ask.env, &place, row).supervised(self.supervisor.clone());
        let help = flags::of(&program, cmd().args(row.help), ask.cancel).map_err(|e| not_run(word, &e))?;
        let args = row.args(&help, silenced(word, ask.env), ask.model).map_err(|flag| {
            let error = format!("{word} at {} has no {flag}: a newer version is needed", program.display());
            Failed::new(End::Rejected, error)
        })?;
        let cmd = cmd().args(args).stdin_bytes(ask.prompt.as_bytes().to_vec()).deadline(ask.deadline);
        let mut hear = Hear::new(speech(&self.which));
        let mut tail = Tail::default();
        let ran = child::run_streamed(
            cmd.stderr_cap(0).output_max(OUTPUT_MAX),
            ask.cancel,
            began,
            &mut |piece| hear.take(piece),
            &mut |piece| tail.take(piece),
        );
        // The program reaches its vendor by itself: where, and with how much, only it knows.
        if let Some(end) = contact::End::of_run(&ran) {
            contact::tell(Contact::new(Purpose::Agent, Peer::Program(word), end));
        }
        let now = ask.clock.now().wall;
        let exit_code = ran.as_ref().map_or(0, |output| output.status.code().unwrap_or(-1));
        let heard = hear.finish(&tail.text());
        let about = About { word, prompt: ask.prompt, tail: &tail.text(), stray: &heard.stray, now };
        match (ran, heard.answer) {
            (Ok(output), Ok(answer)) if output.status.success() && answer.error.is_empty() => {
                Ok((answer, exit_code))
            }
            (Ok(_), Ok(answer)) => Err(about.failed(exit_code, &answer.error, Some(&answer))),
            (Ok(output), Err(why)) if output.status.success() => {
                Err(Failed { end: End::Failed, error: format!("{word}: {why}"), exit_code, cost: None })
            }
            (Ok(_), Err(_)) => Err(about.failed(exit_code, "", None)),
            (Err(ChildError::Enough { .. }), Err(why)) if heard.overflowed => {
                Err(failed(format!("{word}: {why}")))
            }
            (Err(e), _) => Err(about.ended(&e, ask.deadline)),
        }
    }
}

fn speech(which: &Which) -> Speech {
    match which {
        Which::Claude => Speech::Claude,
        Which::Codex => Speech::Codex,
        Which::Gemini => Speech::Gemini,
        Which::Chat(_) => Speech::Chat,
    }
}

/// Words that leave out what the program's settings have it start.
fn silenced(word: &str, env: &Env) -> Vec<String> {
    let named = env.dir("CODEX_HOME").map(Path::to_owned);
    let dir = named.or_else(|| Some(env.home()?.join(".codex")));
    dir.map(|dir| rows::silenced(word, &dir)).unwrap_or_default()
}

/// The program in its place, with nothing in its environment that ties it to another session, and with what keeps its own from being noted.
fn command(program: &Path, env: &Env, place: &Place, row: &Row) -> Cmd {
    let mut cmd = Cmd::new(program).dir(place.work());
    for (name, value) in env.vars() {
        let is_text = name.to_str();
        if is_text.is_none_or(|name| !rows::is_of_a_session(name)) {
            cmd = cmd.env(name, value);
        }
    }
    let unset = row.set.iter().filter(|(name, _)| env.get(name).is_none());
    for (name, value) in unset {
        cmd = cmd.env(name, value);
    }
    cmd.env("PATH", usable::path(program, env))
        .env("PWD", place.work())
        .env("TMPDIR", place.temp())
        .env(DEPTH_VAR, "1")
        .env(RECORDING_VAR, "disabled")
        .env(DAEMON_VAR, "false")
}

fn not_run(word: &str, e: &ChildError) -> Failed {
    let end = if matches!(e, ChildError::Cancelled { .. }) { End::Cancelled } else { End::Failed };
    Failed::new(end, format!("{word} cannot be run: {e}"))
}

/// The last that a program said on standard error.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    /// Whether it is worth to go on.
    fn take(&mut self, piece: &[u8]) -> bool {
        self.0.extend_from_slice(piece);
        if self.0.len() > 2 * STDERR_TAIL {
            self.0.drain(..self.0.len() - STDERR_TAIL);
        }
        !failure::is_at_a_wall(piece)
    }

    fn text(&self) -> String {
        let from = self.0.len().saturating_sub(STDERR_TAIL);
        String::from_utf8_lossy(&self.0[from..]).into_owned()
    }
}

/// What a failure is told from.
struct About<'a> {
    word: &'a str,
    prompt: &'a str,
    tail: &'a str,
    /// What stood in its output and was none of its lines.
    stray: &'a str,
    now: Timestamp,
}

impl About<'_> {
    /// It ended by itself, and said that of itself.
    fn failed(&self, exit_code: i32, said: &str, answer: Option<&Answer>) -> Failed {
        let all = format!("{}\n{}\n{said}", self.tail, self.stray);
        let end = failure::class(exit_code, &all, self.now);
        let ended =
            if exit_code < 0 { "a signal ended it".to_owned() } else { format!("it ended with {exit_code}") };
        let why = match &end {
            End::Quota(_) => "its quota is used up".to_owned(),
            End::Auth => "its login was refused".to_owned(),
            _ => ended,
        };
        let error = match self.shown(said) {
            Some(said) => format!("{}: {why} ({said})", self.word),
            None => format!("{}: {why}", self.word),
        };
        let cost = answer.map(Answer::cost).filter(|cost| *cost != Cost::default());
        Failed { end, error, exit_code, cost }
    }

    /// We ended it.
    fn ended(&self, e: &ChildError, deadline: Duration) -> Failed {
        let word = self.word;
        match e {
            ChildError::Cancelled { .. } => Failed::new(End::Cancelled, format!("{word} was cancelled")),
            ChildError::Timeout { .. } => match failure::class(0, self.tail, self.now) {
                End::Failed => {
                    Failed::new(End::Failed, format!("{word} timed out after {}", format_duration(deadline)))
                }
                end => {
                    Failed::new(end, format!("{word} did not get through to its model until it timed out"))
                }
            },
            ChildError::Enough { .. } => Failed::new(
                failure::class(0, self.tail, self.now),
                format!("{word}: its quota is used up, and it kept on trying"),
            ),
            ChildError::TooMuch { .. } => Failed::new(End::Failed, format!("{word} never stopped talking")),
            e => not_run(word, e),
        }
    }

    /// A program's words, where they are none of the prompt.
    fn shown(&self, said: &str) -> Option<String> {
        let line = said.lines().map(str::trim).find(|line| !line.is_empty())?;
        let line = sanitise(cut(line, SHOWN_MAX));
        let starts = line.char_indices().map(|(at, _)| at);
        let mut pieces = starts.filter_map(|at| line.get(at..line.ceil_char_boundary(at + ECHO)));
        let is_echo = pieces.any(|piece| piece.len() >= ECHO && self.prompt.contains(piece));
        (!is_echo && !line.is_empty()).then_some(line)
    }
}

/// Where a program lies, if it still does.
pub(super) fn there(path: PathBuf) -> Option<PathBuf> {
    is_program(&path).then_some(path)
}
