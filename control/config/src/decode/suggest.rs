//! "Did you mean ...?" for a name that is nearly right.

/// The candidate that is closest to `word`, if it is close enough to be what was meant.
pub(super) fn closest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "");
    let word = plain(word);
    // A third of the letters may be wrong, at least one, and never so many that all is.
    let limit = (word.len() / 3).clamp(1, 5);
    candidates
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap neighbours) from one word to the other, in bytes: names
/// of protos are ASCII, and for others the number only decides about a hint.
fn distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut before_last = vec![0; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i; to.len() + 1];
        for j in 1..=to.len() {
            let replaced = last[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_far() {
        let names = ["address", "admin", "additional_addresses", "lb_policy"];
        let meant = |word| closest(word, names.into_iter());
        assert_eq!(meant("adress"), Some("address"));
        assert_eq!(meant("addres"), Some("address"));
        assert_eq!(meant("LBPolicy"), Some("lb_policy"));
        assert_eq!(meant("amdin"), Some("admin"));
        assert_eq!(meant("<<"), None);
        assert_eq!(meant("bogus"), None);
    }

    #[test]
    fn counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abcd", "abdc"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
