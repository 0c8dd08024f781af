//! Activity over four hours as one line of blocks. Pure.

use std::time::Duration;

/// The time shown.
pub const SPAN: Duration = Duration::from_secs(4 * 3600);
const BUCKETS: usize = 48;
const BUCKET: Duration = Duration::from_secs(300);
const BUCKETS_AN_HOUR: usize = 12;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The scale below the line.
pub const SCALE: &str = "4h ago                  2h                      now";

/// The line for events of these ages, oldest left. Ages of four hours and more are ignored.
pub fn line(ages: &[Duration]) -> String {
    if ages.is_empty() {
        return "─".repeat(BUCKETS + 1);
    }
    let mut counts = [0_usize; BUCKETS];
    for age in ages.iter().filter(|age| **age < SPAN) {
        let back = usize::try_from(age.as_secs() / BUCKET.as_secs()).unwrap_or(0);
        if let Some(count) = counts.get_mut(BUCKETS - 1 - back.min(BUCKETS - 1)) {
            *count += 1;
        }
    }
    let max = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut line = String::new();
    for (at, count) in counts.into_iter().enumerate() {
        if at > 0 && at % BUCKETS_AN_HOUR == 0 {
            line.push('|');
        }
        let level = count * (LEVELS.len() - 1) / max;
        line.push(LEVELS[if count > 0 { level.max(1) } else { 0 }]);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_on_the_right_and_the_hours_are_marked() {
        let ages = |secs: &[u64]| secs.iter().map(|s| Duration::from_secs(*s)).collect::<Vec<_>>();
        assert_eq!(line(&[]), "─".repeat(49));
        let now = line(&ages(&[0, 1, 2, 299, 300]));
        assert!(now.ends_with("▂█"), "{now}");
        assert_eq!(now.chars().filter(|c| *c == '|').count(), 3);
        assert_eq!(now.chars().count(), 51);
        assert!(line(&ages(&[14_399])).starts_with('█'));
        assert!(!line(&ages(&[14_400])).contains('█'));
        assert_eq!(SCALE.chars().count(), 51);
        assert_eq!(SCALE.find("2h"), Some(24));
        assert_eq!(SCALE.find("now"), Some(48));
    }
}
