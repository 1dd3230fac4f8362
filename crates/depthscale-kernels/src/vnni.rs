//! Whole numbers, four bytes of sixteen outputs at once, in AVX-512 with VNNI.

use std::arch::x86_64::__m512i;

use pulp::cast;
use pulp::x86::V4;

use crate::lanes::{Avx512, LANES, Lanes};

/// Four bytes each of sixteen outputs, or a sum for each.
pub(crate) type Whole = __m512i;
/// Sixteen floats.
pub(crate) type Floats = <Avx512 as Lanes>::Floats;

pulp::simd_type! {
    /// The sets of [`V4`] and VNNI.
    struct Instructions {
        sse: "sse",
        sse2: "sse2",
        fxsr: "fxsr",
        sse3: "sse3",
        ssse3: "ssse3",
        sse4_1: "sse4.1",
        sse4_2: "sse4.2",
        popcnt: "popcnt",
        avx: "avx",
        avx2: "avx2",
        bmi1: "bmi1",
        bmi2: "bmi2",
        fma: "fma",
        lzcnt: "lzcnt",
        avx512f: "avx512f",
        avx512bw: "avx512bw",
        avx512cd: "avx512cd",
        avx512dq: "avx512dq",
        avx512vl: "avx512vl",
        avx512vnni: "avx512vnni",
    }
}

/// Proof that the machine has them. Operations are `#[inline(always)]`, to be compiled for the instructions of where they are
/// called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vnni {
    instructions: Instructions,
    pub(crate) floats: Avx512,
}

impl Vnni {
    pub(crate) fn try_new() -> Option<Self> {
        Some(Self { instructions: Instructions::try_new()?, floats: Avx512(V4::try_new()?) })
    }

    /// Does some work, compiled for them; it is `#[inline(always)]`.
    pub(crate) fn run<W: pulp::NullaryFnOnce>(self, work: W) -> W::Output {
        self.instructions.vectorize(work)
    }

    #[inline(always)]
    pub(crate) fn zeros(self) -> Whole {
        self.instructions.avx512f._mm512_setzero_si512()
    }

    #[inline(always)]
    pub(crate) fn load(self, bytes: &[u8; 4 * LANES]) -> Whole {
        cast(*bytes)
    }

    #[inline(always)]
    pub(crate) fn splat(self, number: i32) -> Whole {
        self.instructions.avx512f._mm512_set1_epi32(number)
    }

    #[inline(always)]
    pub(crate) fn add(self, a: Whole, b: Whole) -> Whole {
        self.instructions.avx512f._mm512_add_epi32(a, b)
    }

    /// `a - b`.
    #[inline(always)]
    pub(crate) fn subtract(self, a: Whole, b: Whole) -> Whole {
        self.instructions.avx512f._mm512_sub_epi32(a, b)
    }

    /// Sums times 256.
    #[inline(always)]
    pub(crate) fn times_256(self, sums: Whole) -> Whole {
        self.instructions.avx512f._mm512_slli_epi32::<8>(sums)
    }

    /// The multiples of 256 nearest to numbers, divided by it.
    #[inline(always)]
    pub(crate) fn over_256(self, numbers: Whole) -> Whole {
        self.instructions.avx512f._mm512_srai_epi32::<8>(self.add(numbers, self.splat(128)))
    }

    /// The whole numbers nearest to floats; of two as near the even one.
    #[inline(always)]
    pub(crate) fn nearest(self, floats: Floats) -> Whole {
        self.instructions.avx512f._mm512_cvtps_epi32(floats)
    }

    /// The lowest byte of each.
    #[inline(always)]
    pub(crate) fn lowest_bytes(self, numbers: Whole) -> [i8; LANES] {
        cast(self.instructions.avx512f._mm512_cvtepi32_epi8(numbers))
    }

    /// The sum of all sixteen, which may wrap around.
    #[inline(always)]
    pub(crate) fn sum(self, numbers: Whole) -> i32 {
        self.instructions.avx512f._mm512_reduce_add_epi32(numbers)
    }

    /// The largest magnitude; what is not finite is larger than all that is.
    #[inline(always)]
    pub(crate) fn largest_magnitude(self, [a, b]: [Floats; 2]) -> f32 {
        let f = self.instructions.avx512f;
        // Bits of magnitudes are in their order, those of what is not finite the last.
        let magnitudes = |floats: Floats| f._mm512_and_si512(cast(floats), f._mm512_set1_epi32(i32::MAX));
        f32::from_bits(f._mm512_reduce_max_epu32(f._mm512_max_epu32(magnitudes(a), magnitudes(b))))
    }

    /// Adds the products of the four bytes of every output, unsigned, with four signed ones.
    #[inline(always)]
    pub(crate) fn add_products(self, sums: Whole, codes: Whole, x: [i8; 4]) -> Whole {
        let x = self.splat(cast(x));
        // SAFETY: the machine has the instructions, or there would be no `self`.
        #[allow(unsafe_code)]
        unsafe {
            std::arch::x86_64::_mm512_dpbusd_epi32(sums, codes, x)
        }
    }

    #[inline(always)]
    pub(crate) fn to_floats(self, sums: Whole) -> Floats {
        self.instructions.avx512f._mm512_cvtepi32_ps(sums)
    }

    /// Signed bytes, 128 more than they are.
    #[inline(always)]
    pub(crate) fn plus_128(self, bytes: Whole) -> Whole {
        self.instructions.avx512f._mm512_xor_si512(bytes, self.splat(0x8080_8080_u32 as i32))
    }

    /// The low halves of bytes and the high ones.
    #[inline(always)]
    pub(crate) fn nibbles(self, bytes: Whole) -> [Whole; 2] {
        let (f, low) = (self.instructions.avx512f, self.splat(0x0f0f_0f0f));
        [f._mm512_and_si512(bytes, low), f._mm512_and_si512(f._mm512_srli_epi32::<4>(bytes), low)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an operation gives, as bytes.
    struct Bytes<F>(Vnni, F);

    impl<F: Fn(Vnni) -> [Whole; 4]> pulp::NullaryFnOnce for Bytes<F> {
        type Output = [[u8; 4 * LANES]; 4];

        #[inline(always)]
        fn call(self) -> [[u8; 4 * LANES]; 4] {
            cast((self.1)(self.0))
        }
    }

    #[test]
    fn bytes_become_codes() {
        let Some(vnni) = Vnni::try_new() else { return };
        let all: [u8; 4 * LANES] = std::array::from_fn(|at| (at * 37) as u8);
        let [more, low, high, _] = vnni.run(Bytes(vnni, |vnni: Vnni| {
            let bytes = cast(all);
            let [low, high] = vnni.nibbles(bytes);
            [vnni.plus_128(bytes), low, high, bytes]
        }));
        for (at, byte) in all.into_iter().enumerate() {
            assert_eq!(i32::from(more[at]), i32::from(byte as i8) + 128);
            assert_eq!([low[at], high[at]], [byte & 15, byte >> 4]);
        }
    }
}
