//! What was found, without the secrets.

/// How often one rule found something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Name of the rule, like `github_token` or `custom_team_L12`.
    pub rule: String,
    /// Secrets it replaced.
    pub count: u64,
}

/// Which rules found something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Found>);

impl Findings {
    /// By rule, in the order in which each was first met.
    pub fn rules(&self) -> &[Found] {
        &self.0
    }

    /// Secrets replaced in all.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|f| f.count).sum()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what another text held.
    pub fn merge(&mut self, other: &Findings) {
        for found in &other.0 {
            self.count(&found.rule, found.count);
        }
    }

    /// Counts one more of `rule`.
    pub(super) fn add(&mut self, rule: &str) {
        self.count(rule, 1);
    }

    fn count(&mut self, rule: &str, count: u64) {
        match self.0.iter_mut().find(|f| f.rule == rule) {
            Some(found) => found.count += count,
            None => self.0.push(Found { rule: rule.to_owned(), count }),
        }
    }
}
