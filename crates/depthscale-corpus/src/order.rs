//! The order in which training sees the items of a corpus: another one every epoch, in no memory.
//!
//! An epoch's order is a permutation of `0..n`, computed one index at a time. It is a Feistel network over the smallest
//! even number of bits that holds `n - 1`, with cycle walking: a result that is not below `n` goes through the network
//! again until one is ([Black and Rogaway](https://doi.org/10.1007/3-540-45760-7_9)). The network permutes less than
//! `4 n` numbers for `n > 1`, so that an index takes fewer than four passes on average.

use crate::hash::mix;

/// Enough for every index to depend on every bit of the key; nothing here is a secret.
const N_ROUNDS: usize = 6;

/// A permutation of the numbers below `n`, chosen by a seed and an epoch.
#[derive(Debug)]
pub(crate) struct Permutation {
    n: u64,
    /// Bits in each half of a number.
    half: u32,
    keys: [u64; N_ROUNDS],
}

impl Permutation {
    pub(crate) fn new(n: u64, seed: u64, epoch: u64) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        let stream = mix(mix(seed) ^ epoch);
        let keys = std::array::from_fn(|round| mix(stream.wrapping_add(round as u64)));
        Self { n, half: bits.div_ceil(2).max(1), keys }
    }

    /// Where `index` goes. Both are below `n`.
    pub(crate) fn at(&self, index: u64) -> u64 {
        debug_assert!(index < self.n);
        let mut at = self.pass(index);
        // The network is a permutation, so the walk comes back to `index` at the latest, which is below `n`.
        while at >= self.n {
            at = self.pass(at);
        }
        at
    }

    /// Once through the network.
    fn pass(&self, x: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let (left, right) = self
            .keys
            .iter()
            .fold((x >> self.half, x & mask), |(left, right), key| (right, left ^ (mix(key ^ right) & mask)));
        (left << self.half) | right
    }
}

/// The item that training sees at `index`, where every `n` indices are an epoch. `n` is at least 1.
pub(crate) fn shuffled(index: u64, n: u64, seed: u64) -> u64 {
    Permutation::new(n, seed, index / n).at(index % n)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_size_below_2000_is_permuted() {
        for n in 1..2000 {
            let permutation = Permutation::new(n, 7, n);
            let mut seen = vec![false; n as usize];
            (0..n).for_each(|index| seen[permutation.at(index) as usize] = true);
            assert!(seen.iter().all(|&seen| seen), "{n}");
        }
    }

    #[test]
    fn sizes_up_to_the_largest_are_kept_to() {
        for n in [u64::MAX, u64::MAX - 1, (1 << 63) + 1, 1 << 63, (1 << 32) + 1, 1 << 32, (1 << 32) - 1] {
            let permutation = Permutation::new(n, 1, 2);
            for index in [0, 1, n / 2, n - 1] {
                assert!(permutation.at(index) < n, "{index} of {n}");
            }
        }
    }

    #[test]
    fn every_item_comes_first_in_about_as_many_epochs() {
        // 5 items over 5000 epochs: 1000 each, with a standard deviation of sqrt(5000 * 0.2 * 0.8) = 28.
        let mut first = [0_i32; 5];
        (0..5000).for_each(|epoch| first[Permutation::new(5, 0, epoch).at(0) as usize] += 1);
        assert!(first.iter().all(|count| (count - 1000).abs() < 4 * 28), "{first:?}");
    }

    #[test]
    fn epochs_follow_one_another() {
        let epoch = |number: u64| -> Vec<u64> { (0..100).map(|i| shuffled(number * 100 + i, 100, 3)).collect() };
        let (mut first, second) = (epoch(0), epoch(1));
        assert_ne!(first, second);
        first.sort_unstable();
        assert_eq!(first, (0..100).collect::<Vec<_>>());
        assert_eq!(shuffled(105, 100, 3), second[5]);
    }

    proptest! {
        #[test]
        fn any_seed_permutes(n in 1_u64..2000, seed: u64, epoch: u64) {
            let permutation = Permutation::new(n, seed, epoch);
            let mut items: Vec<u64> = (0..n).map(|index| permutation.at(index)).collect();
            items.sort_unstable();
            prop_assert_eq!(items, (0..n).collect::<Vec<_>>());
        }
    }
}
