//! How long background work waits after failed starts, and the restart history that the Go program shares.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kit::backoff::Backoff;
use crate::kit::file;
use crate::kit::gotime::GoTime;

/// Starts older than this no longer count.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// So many failed starts cost nothing.
const FREE: u32 = 3;
/// From then on 5, 10, 20, 40, 80, 120 s.
const DELAYS: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(120) };
/// A larger file is no restart history.
const FILE_MAX: usize = 1 << 20;
/// More entries are never kept.
const ENTRIES_MAX: usize = 1000;

/// How long background work waits after `failed` starts within five minutes.
pub fn delay(failed: u32) -> Duration {
    if failed < FREE { Duration::ZERO } else { DELAYS.delay(failed - FREE + 1) }
}

/// Notes a start at `now`. `failed`: the process before this one did not end in order. Returns how long background work waits.
/// A history that cannot be read or written costs no start.
pub fn note_start(path: &Path, now: Timestamp, failed: bool) -> Duration {
    let mut whole = load(path);
    let failures = noted(&mut whole, "failed_starts", now, failed);
    noted(&mut whole, "restarts", now, true);
    if let Err(e) = save(path, &whole) {
        log::warn!("{}: {e}", path.display());
    }
    delay(failures)
}

fn load(path: &Path) -> Value {
    let whole =
        file::read_capped(path, FILE_MAX).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    whole.filter(Value::is_object).unwrap_or_else(|| json!({}))
}

/// Prunes a list of times, adds `now` if asked to, and returns how many were in it before.
fn noted(whole: &mut Value, key: &str, now: Timestamp, add: bool) -> u32 {
    let times: Vec<GoTime> = serde_json::from_value(whole[key].take()).unwrap_or_default();
    let recent = |t: &GoTime| t.0.is_some_and(|t| now.duration_since(t).unsigned_abs() < WINDOW);
    let mut times: Vec<GoTime> = times.into_iter().filter(recent).take(ENTRIES_MAX).collect();
    if add {
        times.push(GoTime::from(now));
    }
    let n = u32::try_from(times.len()).unwrap_or(u32::MAX);
    whole[key] = json!(times);
    n
}

fn save(path: &Path, whole: &Value) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        file::make_dirs(dir, 0o700)?;
    }
    file::write_atomic(path, &serde_json::to_vec_pretty(whole)?, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_from_the_third_failed_start_on() {
        let seconds: Vec<u64> = (0..11).map(|n| delay(n).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 0, 5, 10, 20, 40, 80, 120, 120, 120]);
    }

    #[test]
    fn only_failed_starts_of_the_last_minutes_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config/daemon-restarts.json");
        let at = |s: i64| Timestamp::from_second(1_000_000 + s).unwrap();
        for n in 0..10 {
            assert_eq!(note_start(&path, at(n), false), Duration::ZERO);
        }
        let waits: Vec<u64> = (10..15).map(|n| note_start(&path, at(n), true).as_secs()).collect();
        assert_eq!(waits, [0, 0, 5, 10, 20]);
        assert_eq!(note_start(&path, at(14 + 300), true), Duration::ZERO);
        std::fs::write(&path, "not json").unwrap();
        assert_eq!(note_start(&path, at(400), true), Duration::ZERO);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"restarts\""), "{text}");
    }
}
