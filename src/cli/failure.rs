//! What a person is told when a command failed: what, on what, why, and the next command.

use std::error::Error;
use std::fmt::Display;
use std::ops::Deref;
use std::path::Path;

use serde_json::{Map, Value};

use super::exit::Exit;

/// Longest chain of causes that is shown.
const CAUSES_MAX: usize = 8;

/// A command's failure. One pointer, so that results stay small.
#[derive(Debug)]
pub struct Failure(Box<Parts>);

/// What a failure is made of.
#[derive(Debug)]
pub struct Parts {
    /// Exit code.
    pub exit: Exit,
    /// What failed: lower case, no full stop.
    pub what: String,
    /// On what: a path, an address, a word.
    pub object: Option<String>,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// The next command.
    pub hint: Option<String>,
    /// Members of the JSON document besides the error: a partial result.
    pub partial: Map<String, Value>,
    /// The reader of our output went away: nothing is printed, the exit code is 0.
    pub quiet: bool,
}

/// The result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Deref for Failure {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Failure {
    /// A failure with this exit code.
    pub fn new(exit: Exit, what: impl Into<String>) -> Failure {
        Failure(Box::new(Parts {
            exit,
            what: what.into(),
            object: None,
            causes: Vec::new(),
            hint: None,
            partial: Map::new(),
            quiet: false,
        }))
    }

    /// The reader of the output is gone: end at once and say nothing.
    pub fn broken_pipe() -> Failure {
        let mut failure = Failure::new(Exit::Done, "nobody reads the output");
        failure.0.quiet = true;
        failure
    }

    /// Names what it failed on.
    #[must_use]
    pub fn on(mut self, object: impl Display) -> Failure {
        self.0.object = Some(object.to_string());
        self
    }

    /// Names the file it failed on.
    #[must_use]
    pub fn on_path(self, path: &Path) -> Failure {
        self.on(path.display())
    }

    /// Adds an error and what caused it. A cause that its parent's text already ends with is not repeated.
    #[must_use]
    pub fn because(mut self, error: &(dyn Error + 'static)) -> Failure {
        let mut next = Some(error);
        while let Some(error) = next
            && self.causes.len() < CAUSES_MAX
        {
            let text = error.to_string();
            if !self.causes.last().is_some_and(|parent| parent.ends_with(&text)) {
                self.0.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds a cause in words.
    #[must_use]
    pub fn because_of(mut self, cause: impl Into<String>) -> Failure {
        self.0.causes.push(cause.into());
        self
    }

    /// Names the next command.
    #[must_use]
    pub fn hint(mut self, command: impl Into<String>) -> Failure {
        self.0.hint = Some(command.into());
        self
    }

    /// Keeps what was found out before the failure, for `--json`.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Failure {
        self.0.partial.insert(key.into(), value);
        self
    }

    /// `<what>: <object>`.
    pub fn headline(&self) -> String {
        match &self.object {
            Some(object) => format!("{}: {object}", self.what),
            None => self.what.clone(),
        }
    }

    /// The failure as one JSON object: the partial result, then `success`, `error`, `causes`, `hint`, `exit_code`.
    pub fn to_json(&self) -> Value {
        let mut all = Map::new();
        all.insert("success".into(), false.into());
        for (key, value) in &self.partial {
            all.insert(key.clone(), value.clone());
        }
        all.insert("error".into(), self.headline().into());
        if !self.causes.is_empty() {
            all.insert("causes".into(), self.causes.clone().into());
        }
        if let Some(hint) = &self.hint {
            all.insert("hint".into(), hint.clone().into());
        }
        all.insert("exit_code".into(), self.exit.code().into());
        Value::Object(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open: {0}")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("disk on fire"));
        let failure = Failure::new(Exit::Failed, "sync failed").on("ledger").because(&error);
        assert_eq!(failure.causes, ["cannot open: disk on fire"]);
        assert_eq!(failure.headline(), "sync failed: ledger");
    }

    #[test]
    fn json_keeps_the_partial_result() {
        let json = Failure::new(Exit::Network, "sync failed")
            .with("mode", "daemon".into())
            .hint("ox sync")
            .to_json();
        assert_eq!(
            json.to_string(),
            r#"{"success":false,"mode":"daemon","error":"sync failed","hint":"ox sync","exit_code":7}"#
        );
    }
}
