//! Which problems are kept out of training.

use serde::{Deserialize, Serialize};

use crate::{Problem, TaskError};

/// The problems that a model never trains on, chosen by a hash of their text.
///
/// What is held out depends on the seed and on the problem's [canonical form](crate::Task::canonical) and on nothing
/// else, so it is the same on every machine and in every release, and `38+47=` is on the side of `47+38=`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// Another seed holds out other problems.
    pub seed: u64,
    /// The share of all problems that is held out, from 0 to 1.
    pub share: f64,
}

/// One side of the split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// What a model may train on.
    Training,
    /// What only evaluation sees.
    HeldOut,
}

impl HeldOut {
    /// Whether the problem is held out.
    pub fn holds(&self, problem: &Problem) -> bool {
        let canonical = problem.task.task().canonical(problem);
        fraction(hash(self.seed, &canonical)) < self.share
    }

    /// The side of the problem.
    pub fn side(&self, problem: &Problem) -> Side {
        if self.holds(problem) { Side::HeldOut } else { Side::Training }
    }

    /// Fails if the share is not from 0 to 1.
    pub(crate) fn validate(&self) -> Result<(), TaskError> {
        if (0.0..=1.0).contains(&self.share) { Ok(()) } else { Err(TaskError::Share { share: self.share }) }
    }
}

/// FNV-1a of the seed's bytes and the text, finished by the mixing steps of SplitMix64.
///
/// FNV-1a alone hardly moves the upper bits by the last characters. <http://www.isthe.com/chongo/tech/comp/fnv/>,
/// <https://prng.di.unimi.it/splitmix64.c>.
fn hash(seed: u64, text: &str) -> u64 {
    finish(fnv_1a(seed.to_le_bytes().into_iter().chain(text.bytes())))
}

fn fnv_1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The upper 53 bits as a number from 0 to 1, 1 excluded.
fn fraction(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify;

    #[test]
    fn the_parts_of_the_hash_have_their_published_values() {
        // The FNV page lists "" and "a"; SplitMix64 seeded with 0 begins by mixing its increment.
        assert_eq!(fnv_1a("".bytes()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a("a".bytes()), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(finish(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn the_split_stays_as_it_is() {
        // Worked out by a Python transcription of the published algorithms.
        assert_eq!(hash(0, "38+47="), 0xc940_3da8_32e8_f50a);
        assert_eq!(hash(1, "38+47="), 0xa81a_40cc_40f5_8efb);
        assert_eq!(hash(7, "sort:31542="), 0xecc4_01ed_13b5_c197);
        let sum = identify("47+38=").unwrap();
        for (share, is_held) in [(0.78, false), (0.79, true), (0.0, false), (1.0, true)] {
            assert_eq!(HeldOut { seed: 0, share }.holds(&sum), is_held, "{share}");
        }
    }

    #[test]
    fn the_share_is_kept_among_problems_that_differ_in_little() {
        let split = HeldOut { seed: 3, share: 0.1 };
        let prompts = (0..10_000).map(|i| format!("sort:{i:04}="));
        let held = prompts.filter(|prompt| split.holds(&identify(prompt).unwrap())).count();
        // The standard deviation is sqrt(10000 * 0.1 * 0.9) = 30; this is five of them.
        assert!(held.abs_diff(1000) < 150, "{held}");
    }

    #[test]
    fn a_share_outside_of_0_to_1_is_refused() {
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(HeldOut { seed: 0, share }.validate(), Err(TaskError::Share { .. })), "{share}");
        }
    }
}
