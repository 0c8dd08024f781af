//! The records at hand: which of them the server has, which it will never take, and what is sent next.

use crate::kit::clock::Mono;

/// A batch on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) at: Mono,
    from: usize,
    to: usize,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Taken,
    Dead(String),
}

/// What can be told to the queue, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// The server has those before this one.
    Taken(usize),
    /// It will never take this one, for that reason.
    Dead(usize, String),
}

/// The records at hand, by number.
#[derive(Clone, Debug)]
pub(super) struct Work {
    fates: Vec<Fate>,
    /// So many of the first are told to the queue.
    told: usize,
    /// What is still to be sent; the next one is last.
    parts: Vec<(usize, usize)>,
    split: bool,
    pub(super) sent: Option<Sent>,
    /// Single records that failed while it was looked into what is wrong with the batch, as long as nothing else of it went through.
    suspects: Vec<usize>,
    /// Something of the batch went through since it is looked into, so what fails now is at fault itself.
    proven: bool,
}

impl Work {
    /// So many records. Those that failed often enough are sent in parts from the start.
    pub(super) fn new(count: usize, look_into: bool) -> Work {
        let mut work = Work {
            fates: vec![Fate::Open; count],
            told: 0,
            parts: Vec::new(),
            split: false,
            sent: None,
            suspects: Vec::new(),
            proven: false,
        };
        if look_into && count > 1 {
            work.split(0, count)
        } else {
            work.parts.push((0, count))
        }
        work
    }

    /// Whether it is one batch that is as it was.
    pub(super) fn is_whole(&self) -> bool {
        !self.split && self.told == 0
    }

    fn split(&mut self, from: usize, to: usize) {
        let middle = from + (to - from) / 2;
        self.parts.extend([(middle, to), (from, middle)]);
        self.split = true;
    }

    /// Takes the next part, of at most `most` records.
    pub(super) fn send(&mut self, id: &str, at: Mono, most: usize) -> Option<(usize, usize)> {
        let (from, mut to) = self.parts.pop()?;
        if to - from > most {
            self.parts.push((from + most, to));
            self.split = true;
            to = from + most;
        }
        self.sent = Some(Sent { id: id.to_owned(), at, from, to });
        Some((from, to))
    }

    /// What was on its way is to be sent again.
    pub(super) fn take_back(&mut self) {
        if let Some(sent) = self.sent.take() {
            self.parts.push((sent.from, sent.to));
        }
    }

    /// The server has what was sent. How many records that is.
    pub(super) fn taken(&mut self) -> usize {
        let Some(sent) = self.sent.take() else { return 0 };
        self.fates[sent.from..sent.to].fill(Fate::Taken);
        if !self.suspects.is_empty() {
            // The line is fine and others go through: those that failed get one more chance.
            self.proven = true;
            let again = self.suspects.drain(..).rev().map(|n| (n, n + 1));
            self.parts.extend(again);
        }
        sent.to - sent.from
    }

    /// The server will never take what was sent.
    pub(super) fn refused(&mut self, code: &str) {
        let Some(sent) = self.sent.take() else { return };
        if sent.to - sent.from > 1 {
            self.split(sent.from, sent.to);
        } else {
            self.fates[sent.from] = Fate::Dead(code.to_owned());
        }
    }

    /// What was sent has failed too often, without a word on why. False where nothing more can be found out by that.
    pub(super) fn failed(&mut self) -> bool {
        let Some(sent) = self.sent.take() else { return true };
        if sent.to - sent.from > 1 {
            self.split(sent.from, sent.to);
        } else if self.proven {
            self.fates[sent.from] = Fate::Dead("failed_too_often".to_owned());
        } else {
            self.suspects.push(sent.from);
        }
        !self.is_stuck()
    }

    /// Everything that could be sent has failed.
    pub(super) fn is_stuck(&self) -> bool {
        self.parts.is_empty() && self.sent.is_none() && !self.suspects.is_empty()
    }

    /// All of it is told to the queue.
    pub(super) fn is_done(&self) -> bool {
        self.told == self.fates.len()
    }

    /// What is dealt with and was not told yet, as far as nothing before it is open.
    pub(super) fn settle(&mut self) -> Vec<Done> {
        let mut out = Vec::new();
        while let Some(fate) = self.fates.get(self.told) {
            let at = self.told;
            match fate {
                Fate::Open => break,
                Fate::Taken => match out.last_mut() {
                    Some(Done::Taken(upto)) => *upto = at + 1,
                    _ => out.push(Done::Taken(at + 1)),
                },
                Fate::Dead(code) => out.push(Done::Dead(at, code.clone())),
            }
            self.told = at + 1;
        }
        out
    }
}
