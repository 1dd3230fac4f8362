//! Which existing names someone may have meant by a name that does not exist.

/// How many names are suggested.
const MOST: usize = 3;

/// Names longer than this are not compared: real ones are far shorter, and the comparison takes quadratic time.
const LONGEST: usize = 256;

/// The candidates most like `wanted`, nearest first: those a few edits away, and those that end in the same two or
/// more dotted parts, as when a prefix such as `model.` was added or dropped.
pub(crate) fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    if wanted.len() > LONGEST {
        return Vec::new();
    }
    let few_edits = (wanted.len() / 5).clamp(1, 4);
    let mut near: Vec<(usize, &str)> = candidates
        .filter(|candidate| candidate.len() <= LONGEST)
        .filter_map(|candidate| {
            let same_end = common_tail(wanted, candidate) >= 2;
            if !same_end && wanted.len().abs_diff(candidate.len()) > few_edits {
                return None;
            }
            let edits = edit_distance(wanted.as_bytes(), candidate.as_bytes());
            (same_end || edits <= few_edits).then_some((edits, candidate))
        })
        .collect();
    near.sort_unstable();
    near.truncate(MOST);
    near.into_iter().map(|(_, name)| name).collect()
}

/// How many dotted parts two names share, counted from the end.
fn common_tail(a: &str, b: &str) -> usize {
    a.rsplit('.').zip(b.rsplit('.')).take_while(|(a, b)| a == b).count()
}

/// Levenshtein distance: the least number of insertions, deletions and substitutions that turn `a` into `b`.
fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    // row[j] = distance from the part of `a` seen so far to b[..j].
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &byte) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &other) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(byte != other);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distances_worked_out_by_hand() {
        // kitten -> sitten -> sittin -> sitting.
        assert_eq!(edit_distance(b"kitten", b"sitting"), 3);
        assert_eq!(edit_distance(b"", b"abc"), 3);
        assert_eq!(edit_distance(b"abc", b""), 3);
        assert_eq!(edit_distance(b"same", b"same"), 0);
    }

    #[test]
    fn typing_errors_and_prefixes_are_found() {
        let names = ["lm_head.weight", "model.norm.weight", "transformer.wte.weight"];
        let near = |wanted| nearest(wanted, names.into_iter());
        assert_eq!(near("lm_haed.weight"), ["lm_head.weight"]);
        assert_eq!(near("norm.weight"), ["model.norm.weight"]);
        assert_eq!(near("wte.weight"), ["transformer.wte.weight"]);
        assert!(near("adapter.bias").is_empty());
    }

    #[test]
    fn at_most_three_and_nearest_first() {
        let names: Vec<String> = (0..20).map(|i| format!("layers.{i}.mlp.weight")).collect();
        let near = nearest("layers.2.mpl.weight", names.iter().map(String::as_str));
        assert_eq!(near.len(), 3);
        assert_eq!(near[0], "layers.2.mlp.weight");
    }

    #[test]
    fn enormous_names_are_passed_over() {
        let long = "x".repeat(100_000);
        assert!(nearest(&long, ["a"].into_iter()).is_empty());
        assert!(nearest("a", [long.as_str()].into_iter()).is_empty());
    }
}
