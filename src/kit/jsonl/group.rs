//! Many records in one go, and what an owner keeps beside the cursor.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use super::{Cursor, NOTE_MAX, Position, Queue, QueueError, at, count_lines, whole_lines};

impl Queue {
    /// Appends records, all on disk when this returns, with one sync for each segment they go to. Returns how many unread records had to go
    /// for them.
    ///
    /// # Errors
    /// As [`Queue::append`]. If one of them is none, or too long, none is in the queue; if the disk refuses, the first of them may be:
    /// [`Queue::last`] says up to which.
    pub fn append_all<R: AsRef<[u8]>>(&mut self, records: &[R]) -> Result<u64, QueueError> {
        for record in records.iter().map(AsRef::as_ref) {
            if record.len() > self.limits.record {
                return Err(QueueError::TooLong { length: record.len(), limit: self.limits.record });
            }
            if record.contains(&b'\n') || !(self.is_record)(record) {
                return Err(QueueError::NotJson);
            }
        }
        let mut dropped = 0;
        let mut records = records.iter().map(AsRef::as_ref).peekable();
        while let Some(first) = records.peek() {
            self.open_tail(first.len() as u64 + 1)?;
            let room = self.limits.segment - self.segments.back().map_or(0, |last| last.length);
            let mut lines = Vec::new();
            while let Some(record) = records.next_if(|r| (lines.len() + r.len() + 1) as u64 <= room) {
                lines.extend_from_slice(record);
                lines.push(b'\n');
            }
            dropped += self.make_room(lines.len() as u64)?;
            self.write(&lines)?;
        }
        Ok(dropped)
    }

    /// The record that was appended last, acknowledged or not, as long as its segment is there: that of the last record always is.
    ///
    /// # Errors
    /// The disk's.
    pub fn last(&self) -> Result<Option<Vec<u8>>, QueueError> {
        for segment in self.segments.iter().rev() {
            let path = self.path(segment.number);
            let read = || {
                let file = File::open(&path)?;
                let mut end = segment.length;
                while end > 0 {
                    let start = whole_lines(&file, end - 1)?;
                    let length = usize::try_from(end - start - 1).unwrap_or(usize::MAX);
                    if length <= self.limits.record {
                        let mut line = vec![0; length];
                        file.read_exact_at(&mut line, start)?;
                        if (self.is_record)(&line) {
                            return Ok(Some(line));
                        }
                    }
                    end = start;
                }
                Ok(None)
            };
            if let Some(line) = read().map_err(at(&path))? {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// The note beside the cursor; empty where there is none, or where the cursor was lost.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// Acknowledges everything before `upto` and replaces the note, durably and in one step.
    ///
    /// # Errors
    /// [`QueueError::TooLong`] for a note of more than [`NOTE_MAX`] bytes, or the disk's; then neither is done.
    pub fn ack_noting(&mut self, upto: Position, note: &str) -> Result<(), QueueError> {
        if note.len() > NOTE_MAX {
            return Err(QueueError::TooLong { length: note.len(), limit: NOTE_MAX });
        }
        let read = self.acked(upto);
        if read == self.cursor.read && note == self.note {
            return Ok(());
        }
        let old = std::mem::replace(&mut self.note, note.to_owned());
        if let Err(e) = self.save(Cursor { read, ..self.cursor }) {
            self.note = old;
            return Err(e);
        }
        self.remove_read()
    }

    /// From now on segments with records before `upto` do not go for room: somebody is dealing with them. The oldest behind them goes
    /// instead. The default position holds none.
    pub fn hold(&mut self, upto: Position) {
        // A position at the start of a segment is behind the one before.
        self.held = if upto.offset > 0 { upto.segment } else { upto.segment.saturating_sub(1) };
    }

    /// So many bytes of the total are taken by what lies beside the queue and counts with it.
    pub fn set_beside(&mut self, bytes: u64) {
        self.beside = bytes;
    }

    /// Bytes of the damaged lines that were kept aside.
    pub fn aside(&self) -> u64 {
        let names = ["damaged", "damaged.old"].map(|name| self.dir.join(name));
        names.iter().filter_map(|path| fs::symlink_metadata(path).ok()).map(|meta| meta.len()).sum()
    }

    /// How many records are not acknowledged yet, damaged lines among them. Reads them all.
    ///
    /// # Errors
    /// The disk's.
    pub fn count(&self) -> Result<u64, QueueError> {
        let read = self.cursor.read;
        let mut count = 0;
        for segment in self.segments.iter().filter(|s| s.number >= read.segment) {
            let from = if segment.number == read.segment { read.offset.min(segment.length) } else { 0 };
            count += count_lines(&self.path(segment.number), from, segment.length)?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Limits, Losses};
    use super::*;

    const SMALL: Limits = Limits { record: 100, segment: 256, total: 1024 };

    fn open(dir: &std::path::Path) -> Queue {
        let (queue, found) = Queue::open(dir, SMALL).unwrap();
        assert_eq!((found.missing, found.cursor_lost), (0, false));
        queue
    }

    fn record(n: u64) -> Vec<u8> {
        format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(20)).into_bytes()
    }

    fn records(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
        numbers.map(record).collect()
    }

    fn numbers(queue: &mut Queue) -> Vec<u64> {
        let all = queue.read(queue.position(), usize::MAX, usize::MAX).unwrap();
        let number = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap()["n"].as_u64();
        all.iter().map(|r| number(&r.bytes).unwrap()).collect()
    }

    /// The place behind the first `count` records.
    fn place(queue: &mut Queue, count: usize) -> Position {
        queue.read(queue.position(), count, usize::MAX).unwrap().last().unwrap().next
    }

    #[test]
    fn many_go_in_as_one_after_the_other_would() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (mut one, mut all) = (open(dirs[0].path()), open(dirs[1].path()));
        let mut dropped = 0;
        for record in records(0..60) {
            dropped += one.append(&record).unwrap();
        }
        assert_eq!(all.append_all(&records(0..60)).unwrap(), dropped);
        assert!(dropped > 0 && numbers(&mut one) == numbers(&mut all));
        assert_eq!(all.append_all::<Vec<u8>>(&[]).unwrap(), 0);
        assert_eq!(all.count().unwrap(), 60 - dropped);
        assert_eq!((all.size(), all.losses()), (one.size(), one.losses()));
        for n in 0..one.segments.len() {
            assert_eq!(one.segments[n].length, all.segments[n].length);
        }
    }

    #[test]
    fn one_that_is_none_keeps_all_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = open(dir.path());
        let bad: [&[u8]; 2] = [b"{}", b"{"];
        assert!(matches!(queue.append_all(&bad), Err(QueueError::NotJson)));
        let long: [&[u8]; 2] = [b"{}", &[b' '; 101]];
        assert!(matches!(queue.append_all(&long), Err(QueueError::TooLong { .. })));
        assert_eq!((queue.size(), queue.last().unwrap()), (0, None));
    }

    #[test]
    fn the_last_record_is_known_also_when_all_are_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = open(dir.path());
        for n in 0..30 {
            queue.append(&record(n)).unwrap();
            assert_eq!(queue.last().unwrap(), Some(record(n)));
            let end = place(&mut queue, 1);
            queue.ack(end).unwrap();
            assert_eq!(queue.last().unwrap(), Some(record(n)), "acknowledged");
            if n % 7 == 0 {
                drop(queue);
                queue = open(dir.path());
                assert_eq!(queue.last().unwrap(), Some(record(n)), "opened again");
            }
        }
        // What is no record is passed over, and a segment that was only just made is empty.
        let tail = queue.path(queue.segments.back().unwrap().number);
        let damage = b"not json\n\n".repeat(3);
        let mut file = fs::OpenOptions::new().append(true).open(tail).unwrap();
        std::io::Write::write_all(&mut file, &damage).unwrap();
        drop(queue);
        let mut queue = open(dir.path());
        assert_eq!(queue.last().unwrap(), Some(record(29)));
        queue.open_tail(SMALL.segment).unwrap();
        assert_eq!(queue.last().unwrap(), Some(record(29)));
    }

    #[test]
    fn the_note_changes_with_the_acknowledgement_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = open(dir.path());
        queue.append_all(&records(0..4)).unwrap();
        assert_eq!(queue.note(), "");
        let upto = place(&mut queue, 2);
        queue.ack_noting(upto, "two \"quoted\"").unwrap();
        let long = "x".repeat(NOTE_MAX + 1);
        let end = place(&mut queue, 2);
        assert!(matches!(queue.ack_noting(end, &long), Err(QueueError::TooLong { .. })));
        drop(queue);
        let mut queue = open(dir.path());
        assert_eq!((numbers(&mut queue), queue.note()), (vec![2, 3], "two \"quoted\""));
        // What keeps the cursor keeps the note, and a place that is behind acknowledges nothing.
        let end = place(&mut queue, 1);
        queue.ack(end).unwrap();
        queue.ack_noting(Position::default(), "three").unwrap();
        drop(queue);
        let mut queue = open(dir.path());
        assert_eq!((numbers(&mut queue), queue.note()), (vec![3], "three"));
    }

    #[test]
    fn what_is_held_stays_and_the_oldest_behind_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = open(dir.path());
        queue.append_all(&records(0..4)).unwrap();
        let upto = place(&mut queue, 2);
        queue.hold(upto);
        let held = queue.segments[0];
        let dropped = queue.append_all(&records(4..100)).unwrap();
        assert_eq!(queue.segments[0].number, held.number);
        assert!(queue.size() <= SMALL.total && dropped > 0);
        let first = numbers(&mut queue).iter().take_while(|n| **n < 20).count() as u64;
        let left: Vec<_> = (0..first).chain(first + dropped..100).collect();
        assert_eq!(numbers(&mut queue), left);
        assert_eq!(queue.losses(), Losses { dropped, ..Losses::default() });
        // A crash between the cursor and the removal leaves a segment that is counted already.
        let gone = dir.path().join(super::super::file_name(held.number + 1));
        fs::write(&gone, [&record(1000)[..], b"\n"].concat()).unwrap();
        drop(queue);
        let mut queue = open(dir.path());
        assert!(!gone.exists());
        assert_eq!(numbers(&mut queue), left);
        queue.ack(upto).unwrap();
        assert_eq!(numbers(&mut queue), left[2..]);
        let end = place(&mut queue, usize::MAX);
        queue.ack(end).unwrap();
        assert!(queue.pending() == 0 && queue.gaps.is_empty());
        drop(queue);
        open(dir.path());
    }

    #[test]
    fn what_lies_beside_takes_of_the_total() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = open(dir.path());
        queue.set_beside(512);
        queue.append_all(&records(0..100)).unwrap();
        assert!(queue.size() <= 512);
        queue.set_beside(u64::from(u32::MAX));
        queue.append(&record(100)).unwrap();
        assert!(numbers(&mut queue).ends_with(&[100]), "the newest always finds room");
    }

    #[test]
    fn a_line_that_is_json_and_no_record_is_a_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).append_all(&[b"{\"n\":1}", b"{\"m\":1}", b"{\"n\":2}"]).unwrap();
        let has_number = |line: &[u8]| line.starts_with(b"{\"n\"");
        let (mut queue, _) = Queue::open_of(dir.path(), SMALL, has_number).unwrap();
        assert!(matches!(queue.append(b"{}"), Err(QueueError::NotJson)));
        assert_eq!(numbers(&mut queue), [1, 2]);
        assert_eq!((queue.losses().damaged, queue.aside()), (1, 8));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append(u64),
        Hold(usize),
        Ack(usize),
        Reopen,
        Beside(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0u64..20).prop_map(Step::Append),
            2 => (0usize..8).prop_map(Step::Hold),
            2 => (0usize..20).prop_map(Step::Ack),
            1 => Just(Step::Reopen),
            1 => (0u64..700).prop_map(Step::Beside),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Whatever is held or acknowledged: what is read is in order, and what is missing was counted.
        #[test]
        fn nothing_is_lost_but_what_is_counted_and_nothing_that_is_held(
            steps in prop::collection::vec(step(), 1..40)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut queue = open(dir.path());
            let (mut next, mut acked, mut held) = (0, 0, Vec::new());
            for step in steps {
                match step {
                    Step::Append(count) => {
                        queue.append_all(&records(next..next + count)).unwrap();
                        next += count;
                    }
                    Step::Hold(count) => {
                        let batch = queue.read(queue.position(), count, usize::MAX).unwrap();
                        queue.hold(batch.last().map_or(Position::default(), |r| r.next));
                        held = numbers(&mut queue)[..batch.len()].to_vec();
                    }
                    Step::Ack(count) => {
                        let batch = queue.read(queue.position(), count, usize::MAX).unwrap();
                        if let Some(last) = batch.last() {
                            queue.ack(last.next).unwrap();
                        }
                        acked += batch.len() as u64;
                        held = held.split_off(batch.len().min(held.len()));
                    }
                    Step::Reopen => {
                        drop(queue);
                        queue = open(dir.path());
                        held = Vec::new();
                    }
                    Step::Beside(bytes) => queue.set_beside(bytes),
                }
                let there = numbers(&mut queue);
                prop_assert!(there.is_sorted_by(|a, b| a < b));
                prop_assert_eq!(there.len() as u64 + acked + queue.losses().dropped, next);
                prop_assert_eq!(queue.count().unwrap(), there.len() as u64);
                prop_assert!(there.starts_with(&held), "{held:?} is held, {there:?} is there");
                let last = queue.last().unwrap();
                prop_assert_eq!(last, next.checked_sub(1).map(record));
            }
        }
    }
}
