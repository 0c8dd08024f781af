//! Which lines of a text are not in the one before it. Pure.

use std::collections::HashMap;

use super::limits::COMPARED_MAX;

/// Of each line of `new` whether it has come, compared with `old`: a line that only stands deeper has not.
pub(super) fn come(old: &[String], new: &[String]) -> Vec<bool> {
    let same = |n: usize| old[n] == new[n];
    let short = old.len().min(new.len());
    let head = (0..short).take_while(|n| same(*n)).count();
    let tail = (1..=short - head).take_while(|n| old[old.len() - n] == new[new.len() - n]).count();
    let (before, after) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut come = vec![false; new.len()];
    let middle = if before.len().saturating_mul(after.len()) <= COMPARED_MAX {
        by_order(before, after)
    } else {
        by_number(before, after)
    };
    come[head..head + middle.len()].copy_from_slice(&middle);
    come
}

/// By the longest common subsequence.
fn by_order(old: &[String], new: &[String]) -> Vec<bool> {
    let width = new.len() + 1;
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = if old[i] == new[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let mut come = vec![true; new.len()];
    let (mut i, mut j) = (0, 0);
    while i < old.len() && j < new.len() {
        if old[i] == new[j] {
            come[j] = false;
            (i, j) = (i + 1, j + 1);
        } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    come
}

/// By how often each line was there, of what is too large to be put in order.
fn by_number(old: &[String], new: &[String]) -> Vec<bool> {
    let mut left: HashMap<&str, usize> = HashMap::new();
    old.iter().for_each(|line| *left.entry(line).or_default() += 1);
    let is_new = |line: &String| match left.get_mut(line.as_str()) {
        Some(n) if *n > 0 => {
            *n -= 1;
            false
        }
        _ => true,
    };
    new.iter().map(is_new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_has_come_is_told_from_what_was_there() {
        let check = |old: &str, new: &str, expected: &str| {
            let (old, new) = (lines(old), lines(new));
            let told: String = come(&old, &new).iter().map(|come| if *come { '+' } else { '=' }).collect();
            assert_eq!(told, expected, "{old:?} {new:?}");
        };
        check("", "a b", "++");
        check("a b c", "a b c", "===");
        check("a b c", "a x c", "=+=");
        check("a c", "a b c", "=+=");
        check("a b c d", "d a x c", "+=+=");
        check("a a", "a a a", "==+");
        check("a b", "", "");
        check("a b c", "x y z", "+++");
    }

    #[test]
    fn what_is_too_large_is_compared_by_number() {
        let old = lines("a b b c");
        assert_eq!(by_number(&old, &lines("c b x b b")), [false, false, true, false, true]);
        let many: Vec<String> = (0..3000).map(|n| format!("l{n}")).collect();
        let mut turned = many.clone();
        turned.reverse();
        turned.push("end".into());
        assert_eq!(come(&many, &turned).iter().filter(|come| **come).count(), 1);
    }
}
