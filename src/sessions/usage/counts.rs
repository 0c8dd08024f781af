//! Tokens, and what they are added up by.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::harness::transcript::Spent;

/// Tokens of one answer, or of many. Each stands in one place, but for those that are said to be among others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Given to the model, neither read from a cache nor written to one.
    pub input: u64,
    /// Given, read from a cache.
    pub cached: u64,
    /// Given, written to a cache.
    pub cache_written: u64,
    /// Of those written, how many are kept longer.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_written_long: u64,
    /// Returned.
    pub output: u64,
    /// Of those returned, how many were reasoning.
    pub reasoning: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A prompt of more tokens than one of these may cost more for each of them: the limits that makers of models have set so far.
pub const BANDS: [u64; 3] = [100_000, 200_000, 272_000];

/// Tokens of a kind in one answer: what is beyond counts as this.
const COUNT_MAX: u64 = 1 << 36;

impl Counts {
    /// All that was given.
    pub fn prompt(&self) -> u64 {
        self.input.saturating_add(self.cached).saturating_add(self.cache_written)
    }

    /// All that was given and returned.
    pub fn total(&self) -> u64 {
        self.prompt().saturating_add(self.output)
    }

    /// Of one answer: how many of [`BANDS`] its prompt exceeds.
    pub fn band(&self) -> usize {
        BANDS.iter().filter(|limit| self.prompt() > **limit).count()
    }

    /// As a row has them: none is more than an answer could ever have, so that no sum of them leaves what a row holds.
    pub(super) fn columns(&self) -> [i64; 6] {
        let all = [
            self.input,
            self.cached,
            self.cache_written,
            self.cache_written_long,
            self.output,
            self.reasoning,
        ];
        all.map(|n| n.min(COUNT_MAX).cast_signed())
    }

    /// From a row, whose first column of these is `first`.
    pub(super) fn of_row(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Counts> {
        let n = |at: usize| Ok::<u64, rusqlite::Error>(row.get::<_, i64>(first + at)?.unsigned_abs());
        Ok(Counts {
            input: n(0)?,
            cached: n(1)?,
            cache_written: n(2)?,
            cache_written_long: n(3)?,
            output: n(4)?,
            reasoning: n(5)?,
        })
    }
}

impl From<&Spent> for Counts {
    fn from(spent: &Spent) -> Counts {
        Counts {
            input: spent.input,
            cached: spent.cached,
            cache_written: spent.cache_written,
            cache_written_long: spent.cache_written_long,
            output: spent.output,
            reasoning: spent.reasoning,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.input = self.input.saturating_add(other.input);
        self.cached = self.cached.saturating_add(other.cached);
        self.cache_written = self.cache_written.saturating_add(other.cache_written);
        self.cache_written_long = self.cache_written_long.saturating_add(other.cache_written_long);
        self.output = self.output.saturating_add(other.output);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_all_that_was_given_and_has_its_band() {
        let of = |input, cached, cache_written| Counts {
            input,
            cached,
            cache_written,
            output: 9,
            ..Counts::default()
        };
        let check = |counts: Counts, band| assert_eq!(counts.band(), band, "{counts:?}");
        check(of(100_000, 0, 0), 0);
        check(of(100_000, 1, 0), 1);
        check(of(0, 200_000, 1), 2);
        check(of(272_000, 0, 0), 2);
        check(of(u64::MAX, 1, 1), 3);
        assert_eq!(of(1, 2, 3).total(), 15);
    }
}
