//! Whole numbers, four bytes of sixteen outputs at once, in AVX-512 with VNNI.

use std::arch::x86_64::{__m128i, __m512i};

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

    /// The even and the odd ones of 16-bit floats (IEEE 754 half), two of every output.
    #[inline(always)]
    pub(crate) fn halves(self, pairs: Whole) -> [Floats; 2] {
        let f = self.instructions.avx512f;
        let half = |pairs| f._mm512_cvtph_ps(f._mm512_cvtepi32_epi16(pairs));
        [half(pairs), half(f._mm512_srli_epi32::<16>(pairs))]
    }

    /// The first sixteen bytes of sixteen rows, which begin `stride` bytes after one another: vector `k` holds bytes `4 k` to
    /// `4 k + 3` of every row.
    ///
    /// # Panics
    /// If there are fewer bytes.
    #[inline(always)]
    pub(crate) fn turn(self, rows: &[u8], stride: usize) -> [Whole; 4] {
        let f = self.instructions.avx512f;
        let needed = (LANES - 1).checked_mul(stride).and_then(|last| last.checked_add(16));
        assert!(needed.is_some_and(|needed| needed <= rows.len()), "sixteen bytes of every row");
        // Not slices: a check for each takes a sixth of the time of a product.
        let row = |row: usize| -> __m128i {
            let bytes = rows.as_ptr().wrapping_add(row * stride).cast();
            // SAFETY: sixteen bytes from there on are within `rows`, as was just asserted for the last row.
            #[allow(unsafe_code)]
            unsafe {
                std::arch::x86_64::_mm_loadu_si128(bytes)
            }
        };
        // Four rows each, four apart, so that what is exchanged stays within a quarter of a vector.
        let fours = |first: usize| {
            let four = f._mm512_castsi128_si512(row(first));
            let four = f._mm512_inserti32x4::<1>(four, row(first + 4));
            let four = f._mm512_inserti32x4::<2>(four, row(first + 8));
            f._mm512_inserti32x4::<3>(four, row(first + 12))
        };
        let [a, b, c, d] = [fours(0), fours(1), fours(2), fours(3)];
        let low = [f._mm512_unpacklo_epi32(a, b), f._mm512_unpacklo_epi32(c, d)];
        let high = [f._mm512_unpackhi_epi32(a, b), f._mm512_unpackhi_epi32(c, d)];
        [
            f._mm512_unpacklo_epi64(low[0], low[1]),
            f._mm512_unpackhi_epi64(low[0], low[1]),
            f._mm512_unpacklo_epi64(high[0], high[1]),
            f._mm512_unpackhi_epi64(high[0], high[1]),
        ]
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
    fn rows_are_turned_in_fours() {
        let Some(vnni) = Vnni::try_new() else { return };
        for stride in [16, 24, 48] {
            let rows: Vec<u8> = (0..LANES * stride).map(|at| (at / stride * 16 + at % stride % 16) as u8).collect();
            let turned = vnni.run(Bytes(vnni, |vnni: Vnni| vnni.turn(&rows, stride)));
            for (k, vector) in turned.iter().enumerate() {
                for (at, byte) in vector.iter().enumerate() {
                    assert_eq!(usize::from(*byte), at / 4 * 16 + 4 * k + at % 4, "stride {stride}, vector {k}, {at}");
                }
            }
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

    #[test]
    fn too_few_bytes_are_refused() {
        let Some(vnni) = Vnni::try_new() else { return };
        for (bytes, stride) in [(15 * 16 + 15, 16), (1000, usize::MAX / 15 + 2)] {
            let rows = vec![0; bytes];
            let turn = || vnni.run(Bytes(vnni, |vnni: Vnni| vnni.turn(&rows, stride)));
            assert!(std::panic::catch_unwind(turn).is_err(), "{bytes} bytes, stride {stride}");
        }
    }
}
