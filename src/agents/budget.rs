//! What background work may cost: runs an hour, input tokens and money a day. What is spent is kept across restarts, and a run takes its
//! share before it begins, so that no number of daemons and no crash goes beyond a cap. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::limits::{RUNS_AN_HOUR, TOKENS_A_DAY};

/// How much it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Runs an hour.
    pub runs: u32,
    /// Input tokens a day.
    pub tokens: u64,
    /// Millionths of a dollar a day; none where only the others count.
    pub micro_usd: Option<u64>,
}

impl Default for Caps {
    fn default() -> Caps {
        Caps { runs: RUNS_AN_HOUR, tokens: TOKENS_A_DAY, micro_usd: None }
    }
}

/// What one run takes, or has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Input tokens.
    pub tokens: u64,
    /// Millionths of a dollar.
    pub micro_usd: u64,
}

/// A stretch of time and what was spent in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Window {
    began: Option<Timestamp>,
    runs: u32,
    tokens: u64,
    micro_usd: u64,
}

impl Window {
    /// It as it is at `now`: a new one where it is over. A clock that was set back makes no new one: it begins now, with what was spent.
    fn at(&mut self, now: Timestamp, length: SignedDuration) {
        match self.began {
            Some(began) if began > now => self.began = Some(now),
            Some(began) if now.duration_since(began) < length => {}
            _ => *self = Window { began: None, ..Window::default() },
        }
    }

    fn ends(&self, length: SignedDuration) -> Option<Timestamp> {
        self.began.and_then(|began| began.checked_add(length).ok())
    }
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Why there is nothing left, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// The runs of the hour.
    Runs(Timestamp),
    /// The tokens of the day.
    Tokens(Timestamp),
    /// The money of the day.
    Money(Timestamp),
}

impl Spent {
    /// When there is some again.
    pub fn until(self) -> Timestamp {
        match self {
            Spent::Runs(at) | Spent::Tokens(at) | Spent::Money(at) => at,
        }
    }
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    hour: Window,
    day: Window,
}

impl Budget {
    /// One of which nobody knows what was spent: all of it, until an hour and a day have passed.
    pub fn unknown(now: Timestamp) -> Budget {
        let all = Window { began: Some(now), runs: u32::MAX, tokens: u64::MAX, micro_usd: u64::MAX };
        Budget { hour: all, day: all }
    }

    /// Input tokens that a run may take now that costs at most `micro_usd`; or why none may.
    ///
    /// # Errors
    /// What is spent, and until when.
    pub fn left(&mut self, now: Timestamp, caps: Caps, micro_usd: u64) -> Result<u64, Spent> {
        self.hour.at(now, HOUR);
        self.day.at(now, DAY);
        if self.hour.runs >= caps.runs {
            return Err(Spent::Runs(self.hour.ends(HOUR).unwrap_or(now)));
        }
        let day_ends = self.day_ends(now);
        let money = self.day.micro_usd.saturating_add(micro_usd.max(1));
        if caps.micro_usd.is_some_and(|cap| money > cap) {
            return Err(Spent::Money(day_ends));
        }
        match caps.tokens.saturating_sub(self.day.tokens) {
            0 => Err(Spent::Tokens(day_ends)),
            left => Ok(left),
        }
    }

    /// A run begins that takes at most `most`. From here on that is spent, until the run has ended.
    pub fn begin(&mut self, now: Timestamp, most: Cost) {
        self.hour.began.get_or_insert(now);
        self.day.began.get_or_insert(now);
        self.hour.runs += 1;
        self.day.runs += 1;
        self.day.tokens = self.day.tokens.saturating_add(most.tokens);
        self.day.micro_usd = self.day.micro_usd.saturating_add(most.micro_usd);
    }

    /// It has ended, and took what it took; where that is not known, all that it might have.
    pub fn end(&mut self, most: Cost, took: Option<Cost>) {
        let took = took.unwrap_or(most);
        let settle = |spent: u64, most: u64, took: u64| spent.saturating_sub(most).saturating_add(took);
        self.day.tokens = settle(self.day.tokens, most.tokens, took.tokens);
        self.day.micro_usd = settle(self.day.micro_usd, most.micro_usd, took.micro_usd);
    }

    /// What was spent in the hour and the day that `now` lies in: runs, and input tokens and millionths of a dollar.
    pub fn spent_at(mut self, now: Timestamp) -> (u32, Cost) {
        self.hour.at(now, HOUR);
        self.day.at(now, DAY);
        self.spent()
    }

    /// When the day is over, of which nothing is left; one that has not begun begins now.
    pub fn day_ends(&self, now: Timestamp) -> Timestamp {
        let begun = || now.checked_add(DAY).unwrap_or(now);
        self.day.ends(DAY).filter(|at| *at > now).unwrap_or_else(begun)
    }

    /// Whether nobody knows what was spent: then it counts as all.
    pub fn is_unknown(&self) -> bool {
        self.day.tokens == u64::MAX
    }

    /// What was spent in this hour and this day: runs, and input tokens and millionths of a dollar.
    pub fn spent(&self) -> (u32, Cost) {
        (self.hour.runs, Cost { tokens: self.day.tokens, micro_usd: self.day.micro_usd })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + minutes * 60).unwrap()
    }

    fn cost(tokens: u64, micro_usd: u64) -> Cost {
        Cost { tokens, micro_usd }
    }

    const CAPS: Caps = Caps { runs: 2, tokens: 1000, micro_usd: Some(500) };

    #[test]
    fn agt_03_the_hour_the_day_and_the_money_have_a_cap_each() {
        let mut budget = Budget::default();
        assert_eq!(budget.left(at(0), CAPS, 0), Ok(1000));
        budget.begin(at(0), cost(400, 100));
        assert_eq!(budget.left(at(1), CAPS, 0), Ok(600));
        budget.end(cost(400, 100), Some(cost(300, 50)));
        budget.begin(at(2), cost(100, 10));
        budget.end(cost(100, 10), None);
        assert_eq!(budget.left(at(3), CAPS, 0), Err(Spent::Runs(at(60))));
        assert_eq!(budget.left(at(60), CAPS, 0), Ok(600));
        budget.begin(at(60), cost(600, 0));
        assert_eq!(budget.left(at(61), CAPS, 0), Err(Spent::Tokens(at(24 * 60))));
        budget.end(cost(600, 0), Some(cost(10, 440)));
        assert_eq!(budget.left(at(62), CAPS, 0).map_err(Spent::until), Err(at(24 * 60)));
        assert_eq!(budget.spent(), (1, cost(410, 500)));
        assert_eq!(budget.left(at(24 * 60), CAPS, 0), Ok(1000));
    }

    #[test]
    fn agt_03_where_nobody_knows_what_was_spent_nothing_is_left_for_a_day() {
        let mut budget = Budget::unknown(at(0));
        assert_eq!(budget.left(at(1), Caps::default(), 0), Err(Spent::Runs(at(60))));
        assert_eq!(budget.left(at(61), Caps::default(), 0), Err(Spent::Tokens(at(24 * 60))));
        assert_eq!(budget.left(at(24 * 60), CAPS, 0), Ok(1000));
    }

    #[test]
    fn agt_03_neither_a_restart_nor_a_clock_that_is_set_back_gives_anything_back() {
        let mut budget = Budget::default();
        for _ in 0..2 {
            budget.left(at(100), CAPS, 0).unwrap();
            budget.begin(at(100), cost(1, 1));
        }
        let kept = serde_json::to_string(&budget).unwrap();
        let mut again: Budget = serde_json::from_str(&kept).unwrap();
        assert_eq!(again.left(at(110), CAPS, 0), Err(Spent::Runs(at(160))));
        assert_eq!(again.left(at(0), CAPS, 0), Err(Spent::Runs(at(60))), "set back: the hour begins then");
        assert_eq!(serde_json::from_str::<Budget>("{}").unwrap(), Budget::default());
    }
}
