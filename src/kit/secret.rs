//! Text that must not be seen: it never appears in debug output and is overwritten when let go.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A token or password. Shown as `***`; only [`Secret::expose`] gives the text.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that hands it on.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // What stays in freed memory may end in a core file.
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("glpat-canary");
        assert_eq!(format!("{secret:?} {:?}", Secret::default()), "*** none");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"glpat-canary\"");
        assert_eq!(secret.expose(), "glpat-canary");
    }
}
