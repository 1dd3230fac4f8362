//! Hashes that are the same on every machine and in every version of this crate.
//!
//! Cache files carry them and the held-out side of a corpus follows from them, so they are written out here. Neither
//! withstands someone who looks for collisions; they tell texts apart that differ by accident.

/// The 64-bit FNV-1a hash ([specification](https://datatracker.ietf.org/doc/html/rfc9923)), mixed once more at the end.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    state: u64,
}

impl Hasher {
    pub(crate) fn new() -> Self {
        Self { state: 0xcbf2_9ce4_8422_2325 }
    }

    /// Takes in more bytes. How they are divided over calls makes no difference.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.state =
            bytes.iter().fold(self.state, |state, &byte| (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    }

    /// Takes in a number as its eight bytes, lowest first.
    pub(crate) fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    /// The hash of everything so far. FNV-1a alone leaves the high bits of short texts close together.
    pub(crate) fn finish(&self) -> u64 {
        mix(self.state)
    }
}

/// The hash of some bytes.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = Hasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// One step of SplitMix64 from the state `x` ([paper](https://doi.org/10.1145/2660193.2660195)): a permutation of the
/// 64-bit numbers in which every bit of the result depends on every bit of `x`.
pub(crate) fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_1a_gives_the_published_values() {
        // Test vectors of the FNV authors, http://www.isthe.com/chongo/src/fnv/test_fnv.c.
        for (text, expected) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            let mut hasher = Hasher::new();
            hasher.write(text.as_bytes());
            assert_eq!(hasher.state, expected, "{text:?}");
        }
    }

    #[test]
    fn splitmix_gives_the_published_values() {
        // The first two outputs for the seed 1234567, https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64.
        let golden = 0x9e37_79b9_7f4a_7c15_u64;
        assert_eq!(mix(1_234_567), 6_457_827_717_110_365_317);
        assert_eq!(mix(1_234_567_u64.wrapping_add(golden)), 3_203_168_211_198_807_973);
    }

    #[test]
    fn the_division_over_calls_makes_no_difference() {
        let mut parts = Hasher::new();
        parts.write(b"one ");
        parts.write(b"");
        parts.write(b"text");
        assert_eq!(parts.finish(), hash(b"one text"));
    }
}
