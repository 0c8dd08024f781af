//! Text of which is known that it holds no secret.

use std::fmt;

use serde::Serialize;

/// Text that has passed a [`Redactor`](super::Redactor). What writes for others takes this type, so that no path around the rules
/// compiles. It can be written but not read back: a file proves nothing.
///
/// ```compile_fail
/// let unchecked = ox::redact::Redacted("anything".to_string());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Redacted(String);

impl Redacted {
    /// Only for the room itself.
    pub(super) fn new(text: String) -> Redacted {
        Redacted(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, no longer proven.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
