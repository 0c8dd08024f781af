//! What a program says on standard output, line by line as it comes. Pure.

use crate::agents::answer::{Answer, Reader, Speech};
use crate::agents::limits::STDOUT_MAX;
use crate::kit::line::LineBuffer;
use crate::kit::text::cut;

/// Lines that are none of the program's are kept up to so many bytes.
const STRAY_MAX: usize = 4 << 10;

/// Hears it.
pub(super) struct Hear {
    speech: Speech,
    lines: LineBuffer,
    reader: Reader,
    stray: String,
    bytes: usize,
    overflowed: bool,
}

/// What it came to.
pub(super) struct Heard {
    /// The answer, or why there is none.
    pub(super) answer: Result<Answer, String>,
    /// What was none of the program's lines: it may be why it failed.
    pub(super) stray: String,
    /// It said more than is read.
    pub(super) overflowed: bool,
}

impl Hear {
    pub(super) fn new(speech: Speech) -> Hear {
        Hear {
            speech,
            lines: LineBuffer::new(STDOUT_MAX + 1),
            reader: Reader::new(speech),
            stray: String::new(),
            bytes: 0,
            overflowed: false,
        }
    }

    /// Takes in a piece. Whether more of it is read.
    pub(super) fn take(&mut self, piece: &[u8]) -> bool {
        self.bytes = self.bytes.saturating_add(piece.len());
        self.overflowed |= self.bytes > STDOUT_MAX || self.lines.push(piece).is_err();
        while !self.overflowed {
            match self.lines.next_line() {
                Ok(Some(line)) => {
                    stray(self.speech, line, &mut self.stray);
                    self.reader.line(line);
                }
                Ok(None) => break,
                Err(_) => self.overflowed = true,
            }
        }
        !self.overflowed
    }

    /// What it came to; `told` is what the program said on standard error.
    pub(super) fn finish(mut self, told: &str) -> Heard {
        // The last line may have no end.
        if self.lines.pending() > 0 {
            self.take(b"\n");
        }
        let Hear { speech, reader, stray, overflowed, .. } = self;
        let answer = match reader.finish() {
            _ if overflowed => Err("the answer is too long".to_owned()),
            Err(why) if speech == Speech::Gemini => told_elsewhere(told).ok_or(why),
            answer => answer,
        };
        Heard { answer, stray, overflowed }
    }
}

fn stray(speech: Speech, line: &[u8], kept: &mut String) {
    let is_lines = matches!(speech, Speech::Claude | Speech::Codex);
    if is_lines && !line.starts_with(b"{") && kept.len() < STRAY_MAX {
        kept.push_str(cut(&String::from_utf8_lossy(line), STRAY_MAX));
        kept.push('\n');
    }
}

/// Gemini CLI 0.61.0 writes the document of a run that failed at the end of standard error.
fn told_elsewhere(told: &str) -> Option<Answer> {
    let at = told.rfind("\n{\n").map(|at| at + 1).or_else(|| told.starts_with("{\n").then_some(0))?;
    let mut reader = Reader::new(Speech::Gemini);
    told[at..].lines().for_each(|line| reader.line(line.as_bytes()));
    reader.finish().ok().filter(|answer| !answer.error.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(speech: Speech, pieces: &[&[u8]], told: &str) -> Heard {
        let mut hear = Hear::new(speech);
        assert!(pieces.iter().all(|piece| hear.take(piece)));
        hear.finish(told)
    }

    #[test]
    fn lines_come_in_pieces_and_the_last_may_have_no_end() {
        let line = br#"{"type":"result","subtype":"success","result":"yes"}"#;
        let (one, two) = line.split_at(20);
        let all = heard(Speech::Claude, &[b"Not json\n", one, two], "");
        assert_eq!((all.answer.unwrap().text, all.stray.as_str()), ("yes".into(), "Not json\n"));
        let none = heard(Speech::Codex, &[b"Not logged in\n"], "");
        assert!(none.answer.is_err() && none.stray == "Not logged in\n");
    }

    #[test]
    fn what_is_too_long_is_no_answer() {
        let line = br#"{"type":"result","subtype":"success","result":"yes"}"#;
        let much = vec![b'x'; 1 << 20];
        let mut hear = Hear::new(Speech::Claude);
        assert!(hear.take(line) && hear.take(b"\n"));
        while hear.take(&much) {}
        assert!(hear.bytes <= STDOUT_MAX + (2 << 20));
        let all = hear.finish("");
        assert_eq!((all.answer.unwrap_err().as_str(), all.overflowed), ("the answer is too long", true));
    }

    #[test]
    fn gemini_tells_of_its_failure_elsewhere() {
        let told = "Warning: x\nError { a: 1 }\n{\n  \"session_id\": \"s\",\n  \"error\": {\n    \"message\": \"no key\",\n    \"code\": 41\n  }\n}\n";
        assert_eq!(heard(Speech::Gemini, &[], told).answer.unwrap().error, "no key");
        assert!(heard(Speech::Gemini, &[], "nothing").answer.is_err());
    }
}
