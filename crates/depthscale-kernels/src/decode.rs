//! From packed weights to numbers.

use depthscale_types::WeightFormat;

use crate::lanes::{LANES, Lanes, WithLanes, dispatch, from_bf16, from_f16};

const BLOCK: usize = WeightFormat::BLOCK;

/// The bytes of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    codes: &'a [u8],
    scales: &'a [u8],
}

/// The bytes of some rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    codes: &'a [u8],
    scales: &'a [u8],
    width: usize,
    code_bytes: usize,
    scale_bytes: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(format: WeightFormat, width: usize, codes: &'a [u8], scales: &'a [u8]) -> Self {
        let scale_bytes = if format.is_blocks() { 2 * (width / BLOCK) } else { 0 };
        Self { codes, scales, width, code_bytes: format.row_bytes(width) - scale_bytes, scale_bytes }
    }

    /// The codes of some rows.
    #[inline(always)]
    pub(crate) fn codes(&self, rows: std::ops::Range<usize>) -> &'a [u8] {
        &self.codes[rows.start * self.code_bytes..rows.end * self.code_bytes]
    }

    /// Elements of a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> Row<'a> {
        Row {
            codes: &self.codes[row * self.code_bytes..][..self.code_bytes],
            scales: &self.scales[row * self.scale_bytes..][..self.scale_bytes],
        }
    }
}

/// The values of a row.
pub(crate) fn decode_row(format: WeightFormat, row: Row<'_>, values: &mut [f32]) {
    dispatch(DecodeRow { format, row, values });
}

struct DecodeRow<'a> {
    format: WeightFormat,
    row: Row<'a>,
    values: &'a mut [f32],
}

impl WithLanes for DecodeRow<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { format, row, values } = self;
        match format {
            WeightFormat::F32 => unreachable!("packed weights are not f32"),
            WeightFormat::F16 => F16::decode(lanes, row, values),
            WeightFormat::Bf16 => Bf16::decode(lanes, row, values),
            WeightFormat::Q8 => Q8::decode(lanes, row, values),
            WeightFormat::Q4 => Q4::decode(lanes, row, values),
        }
    }
}

/// How rows of a format are read. All is `#[inline(always)]`, as what is given to [`dispatch`].
pub(crate) trait Decode: Copy + Send + Sync {
    /// The values of a row.
    fn decode<L: Lanes>(lanes: L, row: Row<'_>, values: &mut [f32]);

    /// `sum_i w_i x_i`.
    fn dot<L: Lanes>(lanes: L, row: Row<'_>, x: &[f32]) -> f32;
}

/// 16-bit floats (IEEE 754 half).
#[derive(Debug, Clone, Copy)]
pub(crate) struct F16;

/// 16-bit brain floats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bf16;

/// Blocks of 8 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Q8;

/// Blocks of 4 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Q4;

/// Floats of 16 bits.
trait Half: Copy + Send + Sync {
    fn floats<L: Lanes>(lanes: L, halves: &[u8; 2 * LANES]) -> L::Floats;
    fn float(half: [u8; 2]) -> f32;
}

impl Half for F16 {
    #[inline(always)]
    fn floats<L: Lanes>(lanes: L, halves: &[u8; 2 * LANES]) -> L::Floats {
        lanes.f16(halves)
    }

    #[inline(always)]
    fn float(half: [u8; 2]) -> f32 {
        from_f16(half)
    }
}

impl Half for Bf16 {
    #[inline(always)]
    fn floats<L: Lanes>(lanes: L, halves: &[u8; 2 * LANES]) -> L::Floats {
        lanes.bf16(halves)
    }

    #[inline(always)]
    fn float(half: [u8; 2]) -> f32 {
        from_bf16(half)
    }
}

impl<H: Half> Decode for H {
    #[inline(always)]
    fn decode<L: Lanes>(lanes: L, row: Row<'_>, values: &mut [f32]) {
        let (halves, rest) = row.codes.as_chunks();
        let (values, rest_values) = values.as_chunks_mut();
        for (values, halves) in values.iter_mut().zip(halves) {
            *values = lanes.store(H::floats(lanes, halves));
        }
        for (value, &half) in rest_values.iter_mut().zip(rest.as_chunks().0) {
            *value = H::float(half);
        }
    }

    #[inline(always)]
    fn dot<L: Lanes>(lanes: L, row: Row<'_>, x: &[f32]) -> f32 {
        let (halves, rest) = row.codes.as_chunks();
        let (x, x_rest) = x.as_chunks();
        let sum = dot_vectors(
            lanes,
            halves,
            x,
            #[inline(always)]
            |halves| H::floats(lanes, halves),
        );
        let rest = rest.as_chunks().0.iter().zip(x_rest);
        rest.fold(sum, |sum, (&half, x)| sum + H::float(half) * x)
    }
}

/// Vectors in which products are summed, so that one sum need not wait for the last.
const APART: usize = 4;

#[inline(always)]
fn dot_vectors<L: Lanes, T>(lanes: L, weight: &[T], x: &[[f32; LANES]], floats: impl Fn(&T) -> L::Floats) -> f32 {
    let mut sums = [lanes.splat(0.0); APART];
    let (some, rest) = weight.as_chunks::<APART>();
    let (x, x_rest) = x.as_chunks::<APART>();
    for (weight, x) in some.iter().zip(x) {
        for at in 0..APART {
            sums[at] = lanes.mul_add(floats(&weight[at]), lanes.load(&x[at]), sums[at]);
        }
    }
    for (at, (weight, x)) in rest.iter().zip(x_rest).enumerate() {
        sums[at] = lanes.mul_add(floats(weight), lanes.load(x), sums[at]);
    }
    total(lanes, sums)
}

#[inline(always)]
fn total<L: Lanes>(lanes: L, sums: [L::Floats; APART]) -> f32 {
    let one = lanes.splat(1.0);
    let pairs = [lanes.mul_add(sums[0], one, sums[1]), lanes.mul_add(sums[2], one, sums[3])];
    lanes.sum(lanes.mul_add(pairs[0], one, pairs[1]))
}

/// Blocks whose codes are `N` bytes.
trait Blocks<const N: usize> {
    /// The first and the last 16 codes as numbers, not scaled yet.
    fn codes<L: Lanes>(lanes: L, bytes: &[u8; N]) -> [L::Floats; 2];
}

impl Blocks<32> for Q8 {
    #[inline(always)]
    fn codes<L: Lanes>(lanes: L, bytes: &[u8; 32]) -> [L::Floats; 2] {
        let [first, last]: [[u8; LANES]; 2] = pulp::cast(*bytes);
        [lanes.bytes(&first), lanes.bytes(&last)]
    }
}

impl Blocks<16> for Q4 {
    #[inline(always)]
    fn codes<L: Lanes>(lanes: L, bytes: &[u8; 16]) -> [L::Floats; 2] {
        lanes.nibbles(bytes)
    }
}

/// Scales that are decoded at once.
const SCALES: usize = LANES;

/// `sums + scale (block . x)`, lane by lane.
#[inline(always)]
fn add_block<const N: usize, B: Blocks<N>, L: Lanes>(
    lanes: L,
    sums: L::Floats,
    scale: f32,
    bytes: &[u8; N],
    x: &[[f32; LANES]; 2],
) -> L::Floats {
    let [first, last] = B::codes(lanes, bytes);
    let product = lanes.mul_add(last, lanes.load(&x[1]), lanes.mul(first, lanes.load(&x[0])));
    lanes.mul_add(product, lanes.splat(scale), sums)
}

/// The sum over blocks of scale times a block's sum.
#[inline(always)]
fn dot_blocks<const N: usize, B: Blocks<N>, L: Lanes>(lanes: L, row: Row<'_>, x: &[f32]) -> f32 {
    let codes: &[[u8; N]] = row.codes.as_chunks().0;
    let x: &[[[f32; LANES]; 2]] = x.as_chunks().0.as_chunks().0;
    let (some, rest) = row.scales.as_chunks();
    let mut sums = [lanes.splat(0.0); APART];
    for ((scales, codes), x) in some.iter().zip(codes.chunks_exact(SCALES)).zip(x.chunks_exact(SCALES)) {
        let scales = lanes.store(lanes.f16(scales));
        let fours =
            scales.as_chunks::<APART>().0.iter().zip(codes.as_chunks::<APART>().0).zip(x.as_chunks::<APART>().0);
        for ((scales, codes), x) in fours {
            sums = [
                add_block::<N, B, L>(lanes, sums[0], scales[0], &codes[0], &x[0]),
                add_block::<N, B, L>(lanes, sums[1], scales[1], &codes[1], &x[1]),
                add_block::<N, B, L>(lanes, sums[2], scales[2], &codes[2], &x[2]),
                add_block::<N, B, L>(lanes, sums[3], scales[3], &codes[3], &x[3]),
            ];
        }
    }
    let done = some.len() * SCALES;
    for ((&scale, codes), x) in rest.as_chunks().0.iter().zip(&codes[done..]).zip(&x[done..]) {
        sums[0] = add_block::<N, B, L>(lanes, sums[0], from_f16(scale), codes, x);
    }
    total(lanes, sums)
}

#[inline(always)]
fn decode_blocks<const N: usize, B: Blocks<N>, L: Lanes>(lanes: L, row: Row<'_>, values: &mut [f32]) {
    let values: &mut [[[f32; LANES]; 2]] = values.as_chunks_mut().0.as_chunks_mut().0;
    for ((codes, &scale), values) in row.codes.as_chunks().0.iter().zip(row.scales.as_chunks().0).zip(values) {
        let scale = lanes.splat(from_f16(scale));
        let [first, last] = B::codes(lanes, codes);
        *values = [lanes.store(lanes.mul(first, scale)), lanes.store(lanes.mul(last, scale))];
    }
}

impl Decode for Q8 {
    #[inline(always)]
    fn decode<L: Lanes>(lanes: L, row: Row<'_>, values: &mut [f32]) {
        decode_blocks::<32, Self, L>(lanes, row, values);
    }

    #[inline(always)]
    fn dot<L: Lanes>(lanes: L, row: Row<'_>, x: &[f32]) -> f32 {
        dot_blocks::<32, Self, L>(lanes, row, x)
    }
}

impl Decode for Q4 {
    #[inline(always)]
    fn decode<L: Lanes>(lanes: L, row: Row<'_>, values: &mut [f32]) {
        decode_blocks::<16, Self, L>(lanes, row, values);
    }

    #[inline(always)]
    fn dot<L: Lanes>(lanes: L, row: Row<'_>, x: &[f32]) -> f32 {
        dot_blocks::<16, Self, L>(lanes, row, x)
    }
}

/// Checks that rows are read and multiplied by every set of instructions that the machine has as by plain loops.
#[cfg(test)]
pub(crate) fn check_all_sets(weight: &crate::packed::PackedWeight, x: &[f32]) {
    use crate::lanes::Portable;

    fn check<L: Lanes>(lanes: L, weight: &crate::packed::PackedWeight, x: &[f32]) {
        let [rows, width] = weight.shape();
        for row in 0..rows {
            let row = weight.rows().row(row);
            let values = |decode: &dyn Fn(&mut [f32])| {
                let mut values = vec![0.0; width];
                decode(&mut values);
                values
            };
            let plain = Portable(pulp::Scalar::new());
            let (found, expected, dots) = match weight.format() {
                WeightFormat::F32 => unreachable!("not packed"),
                WeightFormat::F16 => both::<L, F16>(lanes, plain, row, x, values),
                WeightFormat::Bf16 => both::<L, Bf16>(lanes, plain, row, x, values),
                WeightFormat::Q8 => both::<L, Q8>(lanes, plain, row, x, values),
                WeightFormat::Q4 => both::<L, Q4>(lanes, plain, row, x, values),
            };
            assert_eq!(found, expected, "{}", weight.format());
            let size: f32 = expected.iter().zip(x).map(|(a, b)| (a * b).abs()).sum();
            assert!((dots[0] - dots[1]).abs() <= 1e-6 * size, "{}: {dots:?}", weight.format());
        }
    }

    fn both<L: Lanes, D: Decode>(
        lanes: L,
        plain: Portable<pulp::Scalar>,
        row: Row<'_>,
        x: &[f32],
        values: impl Fn(&dyn Fn(&mut [f32])) -> Vec<f32>,
    ) -> (Vec<f32>, Vec<f32>, [f32; 2]) {
        let found = values(&|values| D::decode(lanes, row, values));
        let expected = values(&|values| D::decode(plain, row, values));
        (found, expected, [D::dot(lanes, row, x), D::dot(plain, row, x)])
    }

    #[cfg(target_arch = "x86_64")]
    {
        use crate::lanes::{Avx2, Avx512};
        if let Some(v4) = pulp::x86::V4::try_new() {
            check(Avx512(v4), weight, x);
        }
        if let Some(v3) = pulp::x86::V3::try_new() {
            check(Avx2(v3), weight, x);
        }
    }
    check(Portable(pulp::Scalar::new()), weight, x);
}
