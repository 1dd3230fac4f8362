//! How tensors are divided among the shards of a checkpoint.

use std::ops::Range;

/// Divides tensors of the given sizes, in the order given, into runs of at most `max_bytes` together. A tensor that is
/// larger by itself gets a shard of its own.
pub(crate) fn divide(sizes: &[u64], max_bytes: u64) -> Vec<Range<usize>> {
    let mut shards: Vec<Range<usize>> = Vec::new();
    let mut filled = 0_u64;
    for (i, &size) in sizes.iter().enumerate() {
        let together = filled.saturating_add(size);
        match shards.last_mut() {
            Some(last) if together <= max_bytes => {
                last.end = i + 1;
                filled = together;
            }
            _ => {
                shards.push(i..i + 1);
                filled = size;
            }
        }
    }
    shards
}

/// The published name of shard `number`, counted from 1, of `count`.
pub(crate) fn shard_name(number: usize, count: usize) -> String {
    format!("model-{number:05}-of-{count:05}.safetensors")
}

/// Whether a file is named as a shard of a checkpoint that has others.
pub(crate) fn is_one_of_several(file: &str) -> bool {
    file.strip_suffix(".safetensors")
        .and_then(|stem| stem.rsplit_once("-of-"))
        .and_then(|(_, count)| count.parse::<u64>().ok())
        .is_some_and(|count| count > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_filled_in_order() {
        assert_eq!(divide(&[4, 4, 4, 4, 4], 8), [0..2, 2..4, 4..5]);
        assert_eq!(divide(&[4, 100, 4, 4], 8), [0..1, 1..2, 2..4], "too large for any shard");
        assert_eq!(divide(&[4, 0, 4], 0), [0..1, 1..2, 2..3], "no limit is too small");
        assert_eq!(divide(&[u64::MAX, u64::MAX], u64::MAX - 1), [0..1, 1..2]);
        assert!(divide(&[], 8).is_empty());
    }

    #[test]
    fn names_follow_the_published_pattern() {
        assert_eq!(shard_name(2, 13), "model-00002-of-00013.safetensors");
        assert!(is_one_of_several(&shard_name(2, 13)));
        assert!(!is_one_of_several(&shard_name(1, 1)));
        assert!(!is_one_of_several("state-of-art.safetensors"));
    }
}
