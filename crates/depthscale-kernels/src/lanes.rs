//! Sixteen floats at once, and how codes become floats: in AVX-512, in AVX2 with FMA, and in plain loops.
//!
//! Compilers turn sums of floats into vector instructions, but conversions of 4, 8 and 16 bits only sometimes, and then by
//! a factor of ten.

use pulp::{Simd, WithSimd};

#[cfg(target_arch = "x86_64")]
use crate::vnni::Vnni;

/// How many.
pub(crate) const LANES: usize = 16;

/// A set of instructions. All is `#[inline(always)]`, to be compiled for the instructions of where it is called.
pub(crate) trait Lanes: Copy {
    /// Sixteen floats.
    type Floats: Copy;
    /// Whether there are 32 registers of sixteen floats.
    const WIDE: bool;

    fn splat(self, value: f32) -> Self::Floats;
    fn load(self, values: &[f32; LANES]) -> Self::Floats;
    fn store(self, floats: Self::Floats) -> [f32; LANES];
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a b + c`, rounded once or twice.
    fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    fn sum(self, floats: Self::Floats) -> f32;
    /// The sums of sixteen such vectors, which together may take fewer steps, in an order of their own.
    #[inline(always)]
    fn sums(self, vectors: [Self::Floats; LANES]) -> [f32; LANES] {
        let mut sums = [0.0; LANES];
        for (sum, floats) in sums.iter_mut().zip(vectors) {
            *sum = self.sum(floats);
        }
        sums
    }
    /// Finite 16-bit floats (IEEE 754 half), little-endian.
    fn f16(self, halves: &[u8; 2 * LANES]) -> Self::Floats;
    /// 16-bit brain floats, little-endian.
    fn bf16(self, halves: &[u8; 2 * LANES]) -> Self::Floats;
    /// Signed bytes.
    fn bytes(self, codes: &[u8; LANES]) -> Self::Floats;
    /// Fours of bytes, little-endian, with some bits turned over, shifted to the left and then, with the sign they have, to the
    /// right.
    fn shifted(self, fours: &[u8; 4 * LANES], turned: u32, left: u32, right: u32) -> Self::Floats;

    /// Signed bytes: the first of every four, the second, and so on.
    #[inline(always)]
    fn bytes_of_fours(self, fours: &[u8; 4 * LANES]) -> [Self::Floats; 4] {
        let mut bytes = [self.splat(0.0); 4];
        for (byte, floats) in bytes.iter_mut().enumerate() {
            *floats = self.shifted(fours, 0, 24 - 8 * byte as u32, 24);
        }
        bytes
    }

    /// The low halves of bytes and the high ones, less 8: those of the first of every four, the second, and so on.
    #[inline(always)]
    fn nibbles_of_fours(self, fours: &[u8; 4 * LANES]) -> [[Self::Floats; 4]; 2] {
        let mut nibbles = [[self.splat(0.0); 4]; 2];
        for (half, bytes) in nibbles.iter_mut().enumerate() {
            for (byte, floats) in bytes.iter_mut().enumerate() {
                // 8 less than an unsigned number is the signed one with the highest bit turned over.
                *floats = self.shifted(fours, 0x8888_8888, 28 - 4 * half as u32 - 8 * byte as u32, 28);
            }
        }
        nibbles
    }
}

/// Work to be done with one of the sets. Its method is `#[inline(always)]`.
pub(crate) trait WithLanes {
    fn run<L: Lanes>(self, lanes: L);
}

/// A set that the machine has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Set {
    #[cfg(target_arch = "x86_64")]
    Vnni(Vnni),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable,
}

impl Set {
    /// The best.
    pub(crate) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(vnni) = Vnni::try_new() {
                return Self::Vnni(vnni);
            }
            if let Some(v4) = pulp::x86::V4::try_new() {
                return Self::Avx512(Avx512(v4));
            }
            if let Some(v3) = pulp::x86::V3::try_new() {
                return Self::Avx2(Avx2(v3));
            }
        }
        Self::Portable
    }

    /// All of them, for tests that hold them to one another.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let sets = [
            Some(Self::Portable),
            #[cfg(target_arch = "x86_64")]
            pulp::x86::V3::try_new().map(|v3| Self::Avx2(Avx2(v3))),
            #[cfg(target_arch = "x86_64")]
            pulp::x86::V4::try_new().map(|v4| Self::Avx512(Avx512(v4))),
            #[cfg(target_arch = "x86_64")]
            Vnni::try_new().map(Self::Vnni),
        ];
        sets.into_iter().flatten().collect()
    }

    /// Whether it has 32 registers of sixteen floats.
    pub(crate) fn is_wide(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni(_) | Self::Avx512(_) => Avx512::WIDE,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Avx2::WIDE,
            Self::Portable => Portable::WIDE,
        }
    }

    /// Whether it multiplies and adds whole numbers of a byte in fewer steps than floats.
    #[cfg(test)]
    pub(crate) fn adds_bytes(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return matches!(self, Self::Vnni(_));
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Does some work with it.
    pub(crate) fn run(self, work: impl WithLanes) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni(Vnni { floats: lanes, .. }) | Self::Avx512(lanes) => lanes.0.vectorize(Call(lanes, work)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(lanes) => lanes.0.vectorize(Call(lanes, work)),
            Self::Portable => pulp::Arch::new().dispatch(OnPortable(work)),
        }
    }
}

#[cfg(target_arch = "x86_64")]
struct Call<L, W>(L, W);

#[cfg(target_arch = "x86_64")]
impl<L: Lanes, W: WithLanes> pulp::NullaryFnOnce for Call<L, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.1.run(self.0);
    }
}

struct OnPortable<W>(W);

impl<W: WithLanes> WithSimd for OnPortable<W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.0.run(Portable);
    }
}

/// No instruction is named: what the compiler finds for the machine is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

impl Lanes for Portable {
    type Floats = [f32; LANES];
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; LANES] {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> [f32; LANES] {
        *values
    }

    #[inline(always)]
    fn store(self, floats: [f32; LANES]) -> [f32; LANES] {
        floats
    }

    #[inline(always)]
    fn mul(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }

    #[inline(always)]
    fn sum(self, floats: [f32; LANES]) -> f32 {
        floats.iter().sum()
    }

    #[inline(always)]
    fn f16(self, halves: &[u8; 2 * LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| from_f16([halves[2 * lane], halves[2 * lane + 1]]))
    }

    #[inline(always)]
    fn bf16(self, halves: &[u8; 2 * LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| from_bf16([halves[2 * lane], halves[2 * lane + 1]]))
    }

    #[inline(always)]
    fn bytes(self, codes: &[u8; LANES]) -> [f32; LANES] {
        codes.map(|code| f32::from(code as i8))
    }

    #[inline(always)]
    fn shifted(self, fours: &[u8; 4 * LANES], turned: u32, left: u32, right: u32) -> [f32; LANES] {
        let mut floats = [0.0; LANES];
        for (float, four) in floats.iter_mut().zip(fours.as_chunks().0) {
            *float = ((i32::from_le_bytes(*four) ^ turned as i32) << left >> right) as f32;
        }
        floats
    }
}

/// Sign, exponent and fraction of an f16 where those of an f32 are; the sign is that of the widened number.
const F16_IN_F32: i32 = 0x8fff_e000_u32 as i32;
/// `2^112`: what the exponent of an f32 is more than that of the f16 in its place. The product is exact, for subnormal
/// numbers too.
const F16_EXPONENT: f32 = f32::from_bits((127 + 112) << 23);

/// A finite f16.
#[inline(always)]
pub(crate) fn from_f16(half: [u8; 2]) -> f32 {
    let wide = i32::from(i16::from_le_bytes(half)) << 13;
    f32::from_bits((wide & F16_IN_F32) as u32) * F16_EXPONENT
}

#[inline(always)]
pub(crate) fn from_bf16(half: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(half)) << 16)
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m128i, __m256, __m256i, __m512};

    use pulp::x86::{V3, V4};
    use pulp::{Simd, cast};

    use super::{F16_EXPONENT, F16_IN_F32, LANES, Lanes};

    /// AVX-512 F, BW, CD, DQ and VL.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Avx512(pub(crate) V4);

    /// AVX2 and FMA.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Avx2(pub(crate) V3);

    impl Lanes for Avx512 {
        type Floats = __m512;
        const WIDE: bool = true;

        #[inline(always)]
        fn splat(self, value: f32) -> __m512 {
            self.0.avx512f._mm512_set1_ps(value)
        }

        #[inline(always)]
        fn load(self, values: &[f32; LANES]) -> __m512 {
            cast(*values)
        }

        #[inline(always)]
        fn store(self, floats: __m512) -> [f32; LANES] {
            cast(floats)
        }

        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            self.0.avx512f._mm512_mul_ps(a, b)
        }

        #[inline(always)]
        fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            self.0.avx512f._mm512_fmadd_ps(a, b, c)
        }

        #[inline(always)]
        fn sum(self, floats: __m512) -> f32 {
            self.0.reduce_sum_f32s(cast(floats))
        }

        #[inline(always)]
        fn sums(self, vectors: [__m512; LANES]) -> [f32; LANES] {
            let f = self.0.avx512f;
            // Each step leaves half as many vectors, of sums of twice as many lanes.
            let mut pairs = [vectors[0]; LANES / 2];
            for (at, pair) in pairs.iter_mut().enumerate() {
                let [a, b] = [vectors[2 * at], vectors[2 * at + 1]];
                *pair = f._mm512_add_ps(f._mm512_unpacklo_ps(a, b), f._mm512_unpackhi_ps(a, b));
            }
            let mut fours = [vectors[0]; LANES / 4];
            for (at, four) in fours.iter_mut().enumerate() {
                let [a, b] = [pairs[2 * at], pairs[2 * at + 1]];
                let [low, high] = [f._mm512_shuffle_ps::<0x44>(a, b), f._mm512_shuffle_ps::<0xee>(a, b)];
                *four = f._mm512_add_ps(low, high);
            }
            let across =
                |a, b| f._mm512_add_ps(f._mm512_shuffle_f32x4::<0x88>(a, b), f._mm512_shuffle_f32x4::<0xdd>(a, b));
            cast(across(across(fours[0], fours[1]), across(fours[2], fours[3])))
        }

        #[inline(always)]
        fn f16(self, halves: &[u8; 2 * LANES]) -> __m512 {
            self.0.avx512f._mm512_cvtph_ps(cast(*halves))
        }

        #[inline(always)]
        fn bf16(self, halves: &[u8; 2 * LANES]) -> __m512 {
            let wide = self.0.avx512f._mm512_cvtepu16_epi32(cast(*halves));
            self.0.avx512f._mm512_castsi512_ps(self.0.avx512f._mm512_slli_epi32::<16>(wide))
        }

        #[inline(always)]
        fn bytes(self, codes: &[u8; LANES]) -> __m512 {
            let wide = self.0.avx512f._mm512_cvtepi8_epi32(cast(*codes));
            self.0.avx512f._mm512_cvtepi32_ps(wide)
        }

        #[inline(always)]
        fn shifted(self, fours: &[u8; 4 * LANES], turned: u32, left: u32, right: u32) -> __m512 {
            let f = self.0.avx512f;
            let fours = f._mm512_xor_si512(cast(*fours), f._mm512_set1_epi32(turned as i32));
            let higher = f._mm512_sll_epi32(fours, count(left));
            f._mm512_cvtepi32_ps(f._mm512_sra_epi32(higher, count(right)))
        }
    }

    /// Bits to be shifted by, the same in every lane.
    #[inline(always)]
    fn count(bits: u32) -> __m128i {
        cast([u64::from(bits), 0])
    }

    impl Avx2 {
        /// Eight 16-bit floats.
        #[inline(always)]
        fn eight_f16(self, halves: __m128i) -> __m256 {
            let wide = self.0.avx2._mm256_slli_epi32::<13>(self.0.avx2._mm256_cvtepi16_epi32(halves));
            let kept = self.0.avx2._mm256_and_si256(wide, self.0.avx._mm256_set1_epi32(F16_IN_F32));
            self.0.avx._mm256_mul_ps(self.0.avx._mm256_castsi256_ps(kept), self.0.avx._mm256_set1_ps(F16_EXPONENT))
        }

        #[inline(always)]
        fn eight_bf16(self, halves: __m128i) -> __m256 {
            let wide = self.0.avx2._mm256_cvtepu16_epi32(halves);
            self.0.avx._mm256_castsi256_ps(self.0.avx2._mm256_slli_epi32::<16>(wide))
        }
    }

    impl Lanes for Avx2 {
        type Floats = [__m256; 2];
        const WIDE: bool = false;

        #[inline(always)]
        fn splat(self, value: f32) -> [__m256; 2] {
            [self.0.avx._mm256_set1_ps(value); 2]
        }

        #[inline(always)]
        fn load(self, values: &[f32; LANES]) -> [__m256; 2] {
            cast(*values)
        }

        #[inline(always)]
        fn store(self, floats: [__m256; 2]) -> [f32; LANES] {
            cast(floats)
        }

        #[inline(always)]
        fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [self.0.avx._mm256_mul_ps(a[0], b[0]), self.0.avx._mm256_mul_ps(a[1], b[1])]
        }

        #[inline(always)]
        fn mul_add(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
            [self.0.fma._mm256_fmadd_ps(a[0], b[0], c[0]), self.0.fma._mm256_fmadd_ps(a[1], b[1], c[1])]
        }

        #[inline(always)]
        fn sum(self, floats: [__m256; 2]) -> f32 {
            self.0.reduce_sum_f32s(cast(self.0.avx._mm256_add_ps(floats[0], floats[1])))
        }

        #[inline(always)]
        fn f16(self, halves: &[u8; 2 * LANES]) -> [__m256; 2] {
            let [low, high]: [__m128i; 2] = cast(*halves);
            [self.eight_f16(low), self.eight_f16(high)]
        }

        #[inline(always)]
        fn bf16(self, halves: &[u8; 2 * LANES]) -> [__m256; 2] {
            let [low, high]: [__m128i; 2] = cast(*halves);
            [self.eight_bf16(low), self.eight_bf16(high)]
        }

        #[inline(always)]
        fn bytes(self, codes: &[u8; LANES]) -> [__m256; 2] {
            let [low, high]: [[u8; 8]; 2] = cast(*codes);
            let zeros = [0; 8];
            let eight = |codes: [u8; 8]| {
                let wide = self.0.avx2._mm256_cvtepi8_epi32(cast([codes, zeros]));
                self.0.avx._mm256_cvtepi32_ps(wide)
            };
            [eight(low), eight(high)]
        }

        #[inline(always)]
        fn shifted(self, fours: &[u8; 4 * LANES], turned: u32, left: u32, right: u32) -> [__m256; 2] {
            let [first, last]: [__m256i; 2] = cast(*fours);
            let eight = |fours| {
                let fours = self.0.avx2._mm256_xor_si256(fours, self.0.avx._mm256_set1_epi32(turned as i32));
                let higher = self.0.avx2._mm256_sll_epi32(fours, count(left));
                self.0.avx._mm256_cvtepi32_ps(self.0.avx2._mm256_sra_epi32(higher, count(right)))
            };
            [eight(first), eight(last)]
        }
    }
}
