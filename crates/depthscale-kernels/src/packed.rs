//! Weights in fewer bits than f32.

mod round;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use depthscale_types::WeightFormat;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::decode::{Rows, decode_row};
use crate::groups::{CODES, GROUP, Groups, Q4, Q8, SCALE, in_groups, in_rows};
use crate::lanes::Set;

const BLOCK: usize = WeightFormat::BLOCK;

/// The bits that are all set in infinities and NaN.
const F16_EXPONENT: u16 = 0x7c00;
const BF16_EXPONENT: u16 = 0x7f80;

/// A matrix `[out, in]` kept in 16 bits, or in blocks of 32 integers along its rows with a scale each.
///
/// | format | an element | a row of `n` |
/// |---|---|---|
/// | `f16`, `bf16` | the nearest such float | `2 n` bytes |
/// | `q8` | scale times -127 to 127 | `n` bytes of codes and `n / 16` of scales |
/// | `q4` | scale times -8 to 7 | `n / 2` bytes of codes and `n / 16` of scales |
///
/// Codes and scales are two runs of bytes, which may lie in a mapped file; scales are f16. A byte of `q4` holds elements `i` and
/// `i + 16` of a block, 8 more than their codes, the first in its low half.
///
/// Floats of 16 bits lie row by row. Of blocks, sixteen rows lie beside one another, and so do those that are left at the end: by
/// blocks, then by fours of bytes of a block's codes, then by rows; scales by blocks, then by rows. Of `q8`, the first 64 bytes are
/// elements 0 to 3 of row 0, of row 1, and so on to row 15, the next 64 elements 4 to 7.
#[derive(Clone, PartialEq)]
pub struct PackedWeight {
    format: WeightFormat,
    shape: [usize; 2],
    codes: Bytes,
    scales: Bytes,
}

/// Why a matrix cannot be packed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PackError {
    /// An element, by its place in row-major order, is too large for the format, or not finite.
    TooLarge {
        /// The place.
        index: usize,
        /// The element.
        value: f32,
    },
    /// Rows are not whole blocks, or the format is f32.
    Format,
    /// Bytes are not as many as the shape needs.
    Length {
        /// Bytes there are.
        found: usize,
        /// Bytes needed.
        needed: usize,
    },
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { index, value } => write!(f, "element {index} is {value}, too large for the format"),
            Self::Format => f.write_str("its rows cannot be kept in the format"),
            Self::Length { found, needed } => write!(f, "{found} bytes, where its shape needs {needed}"),
        }
    }
}

impl std::error::Error for PackError {}

impl PackedWeight {
    /// Rows of blocks that lie beside one another.
    pub const GROUP: usize = GROUP;

    /// Rounds a matrix to a format.
    ///
    /// The scale of a `q8` block brings its largest magnitude to 127; that of a `q4` block is the one of a few with the least
    /// squared error.
    ///
    /// # Errors
    /// If the format is f32 or does not divide the rows, or an element is too large for it.
    ///
    /// # Panics
    /// If there are not as many values as the shape holds.
    pub fn pack(format: WeightFormat, shape: [usize; 2], values: &[f32]) -> Result<Self, PackError> {
        assert_eq!(values.len(), shape[0] * shape[1], "values of {shape:?}");
        let [code_bytes, scale_bytes] = sizes(format, shape)?;
        let mut codes = vec![0; code_bytes];
        let mut scales = vec![0; scale_bytes];
        let too_large = match format {
            WeightFormat::F32 => return Err(PackError::Format),
            WeightFormat::F16 => {
                round::halves(values, &mut codes, |value| f16::from_f32(value).to_bits(), F16_EXPONENT)
            }
            WeightFormat::Bf16 => {
                round::halves(values, &mut codes, |value| bf16::from_f32(value).to_bits(), BF16_EXPONENT)
            }
            WeightFormat::Q8 => round::blocks::<32, Q8>(values, &mut codes, &mut scales),
            WeightFormat::Q4 => round::blocks::<16, Q4>(values, &mut codes, &mut scales),
        };
        match too_large {
            Some(index) => Err(PackError::TooLarge { index, value: values[index] }),
            None => Ok(Self::of_rows(format, shape, codes, scales)),
        }
    }

    /// Of codes and scales row by row.
    fn of_rows(format: WeightFormat, shape: [usize; 2], codes: Vec<u8>, scales: Vec<u8>) -> Self {
        if !format.is_blocks() {
            return Self { format, shape, codes: codes.into(), scales: scales.into() };
        }
        let [of_codes, of_scales] = of_row(format, shape[1]);
        let (codes, scales) = (in_groups::<CODES>(&codes, of_codes), in_groups::<SCALE>(&scales, of_scales));
        Self { format, shape, codes: codes.into(), scales: scales.into() }
    }

    /// Codes and scales row by row.
    fn by_rows(&self) -> [Vec<u8>; 2] {
        if !self.format.is_blocks() {
            return [self.codes.to_vec(), self.scales.to_vec()];
        }
        let [of_codes, of_scales] = of_row(self.format, self.shape[1]);
        [in_rows::<CODES>(&self.codes, of_codes), in_rows::<SCALE>(&self.scales, of_scales)]
    }

    /// Matrices of one width below one another.
    ///
    /// # Panics
    /// If there are none, or their formats or widths differ.
    pub fn stack(parts: Vec<Self>) -> Self {
        let mut parts = parts;
        if parts.len() == 1 {
            return parts.swap_remove(0);
        }
        let Some(&Self { format, shape: [_, width], .. }) = parts.first() else { panic!("nothing to stack") };
        // Groups follow one another where only the last is one of fewer rows.
        let all_but_last = &parts[..parts.len() - 1];
        let whole = !format.is_blocks() || all_but_last.iter().all(|part| part.shape[0].is_multiple_of(GROUP));
        let (mut rows, mut codes, mut scales) = (0, Vec::new(), Vec::new());
        for part in parts {
            assert_eq!((part.format, part.shape[1]), (format, width), "format and width");
            rows += part.shape[0];
            if whole {
                codes.extend_from_slice(&part.codes);
                scales.extend_from_slice(&part.scales);
            } else {
                let [of_part, scales_of_part] = part.by_rows();
                codes.extend(of_part);
                scales.extend(scales_of_part);
            }
        }
        let shape = [rows, width];
        if whole {
            Self { format, shape, codes: codes.into(), scales: scales.into() }
        } else {
            Self::of_rows(format, shape, codes, scales)
        }
    }

    /// Some of the rows, copied.
    ///
    /// # Panics
    /// If there are fewer, or the last comes before the first.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        let [codes, scales] = self.by_rows();
        let [of_codes, of_scales] = of_row(self.format, self.shape[1]);
        let some = |bytes: Vec<u8>, of_row| bytes[rows.start * of_row..rows.end * of_row].to_vec();
        let shape = [rows.len(), self.shape[1]];
        Self::of_rows(self.format, shape, some(codes, of_codes), some(scales, of_scales))
    }

    /// The rows whose bytes must be there for some of `n`: in blocks, whole groups of them.
    pub fn whole_groups(format: WeightFormat, rows: &Range<usize>, n: usize) -> Range<usize> {
        if format.is_blocks() {
            rows.start - rows.start % GROUP..rows.end.next_multiple_of(GROUP).min(n)
        } else {
            rows.clone()
        }
    }

    /// A matrix whose bytes are there already, in a mapped file for instance; nothing is copied. Without blocks there are no
    /// scales.
    ///
    /// # Errors
    /// If the format is f32 or does not divide the rows, or there are not as many bytes as the shape needs.
    pub fn from_bytes(format: WeightFormat, shape: [usize; 2], codes: Bytes, scales: Bytes) -> Result<Self, PackError> {
        for (bytes, needed) in [&codes, &scales].into_iter().zip(sizes(format, shape)?) {
            if bytes.len() != needed {
                return Err(PackError::Length { found: bytes.len(), needed });
            }
        }
        Ok(Self { format, shape, codes, scales })
    }

    /// What it is kept in.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// `[out, in]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Codes, or the 16-bit floats themselves: `in`, `in / 2` or `2 in` bytes for every row.
    pub fn codes(&self) -> &Bytes {
        &self.codes
    }

    /// Scales of blocks, f16, `in / 16` bytes for every row; empty without blocks.
    pub fn scales(&self) -> &Bytes {
        &self.scales
    }

    /// A scale, or without blocks the first element, that is not a finite number, with the place in row-major order of its first
    /// element; of several scales the first in memory. Products and [`unpack`](Self::unpack) take all of them for finite.
    pub fn first_non_finite(&self) -> Option<(usize, f32)> {
        let all_ones = |bytes: &[u8], exponent: u16| {
            let halves = bytes.as_chunks().0.iter().map(|&half| u16::from_le_bytes(half)).enumerate();
            halves.into_iter().find(|(_, half)| half & exponent == exponent)
        };
        match self.format {
            WeightFormat::Bf16 => {
                all_ones(&self.codes, BF16_EXPONENT).map(|(at, half)| (at, bf16::from_bits(half).to_f32()))
            }
            WeightFormat::F16 => {
                all_ones(&self.codes, F16_EXPONENT).map(|(at, half)| (at, f16::from_bits(half).to_f32()))
            }
            _ => all_ones(&self.scales, F16_EXPONENT)
                .map(|(at, half)| (self.groups().first_of_scale(at), f16::from_bits(half).to_f32())),
        }
    }

    /// All elements as f32, in row-major order; on all threads.
    pub fn unpack(&self) -> Vec<f32> {
        let [n, width] = self.shape;
        let mut values = vec![0.0; n * width];
        if width > 0 {
            values.par_chunks_mut(width).enumerate().for_each(|(row, values)| self.decode(row, values));
        }
        values
    }

    /// The given rows as f32, one after the other.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn look_up(&self, rows: impl ExactSizeIterator<Item = usize>) -> Vec<f32> {
        let width = self.shape[1];
        let mut values = vec![0.0; rows.len() * width];
        if width > 0 {
            for (row, values) in rows.zip(values.chunks_exact_mut(width)) {
                self.decode(row, values);
            }
        }
        values
    }

    /// The values of a row.
    fn decode(&self, row: usize, values: &mut [f32]) {
        if self.format.is_blocks() {
            self.groups().decode(row, values);
        } else {
            decode_row(Set::best(), self.format, self.halves().row(row), values);
        }
    }

    /// Where they lie, of blocks.
    pub(crate) fn groups(&self) -> Groups<'_> {
        Groups::new(self.format, self.shape, &self.codes, &self.scales)
    }

    /// Where they lie, of 16-bit floats.
    pub(crate) fn halves(&self) -> Rows<'_> {
        Rows::new(self.shape[1], &self.codes)
    }
}

impl fmt::Debug for PackedWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedWeight").field("format", &self.format).field("shape", &self.shape).finish_non_exhaustive()
    }
}

/// Bytes of the codes and of the scales of a row.
fn of_row(format: WeightFormat, width: usize) -> [usize; 2] {
    let scales = if format.is_blocks() { SCALE * (width / BLOCK) } else { 0 };
    [format.row_bytes(width) - scales, scales]
}

/// Bytes of codes and of scales.
fn sizes(format: WeightFormat, [rows, width]: [usize; 2]) -> Result<[usize; 2], PackError> {
    match format {
        WeightFormat::F32 => Err(PackError::Format),
        _ if !format.divides(width) => Err(PackError::Format),
        _ => Ok(of_row(format, width).map(|of_row| rows * of_row)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draws(n: usize) -> Vec<f32> {
        // Sums of uniform draws, near enough to normal ones.
        let mut state = 7u32;
        let mut uniform = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..n).map(|_| (0..12).map(|_| uniform()).sum::<f32>() * 0.02).collect()
    }

    fn relative_error(format: WeightFormat, values: &[f32]) -> f64 {
        let packed = PackedWeight::pack(format, [values.len() / 64, 64], values).expect("packs");
        let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
        let unpacked = packed.unpack();
        let differences = squares(&mut unpacked.iter().zip(values).map(|(a, b)| a - b));
        (differences / squares(&mut values.iter().copied())).sqrt()
    }

    #[test]
    fn normal_draws_lose_what_the_formats_have_no_bits_for() {
        let values = draws(64 * 500);
        let errors = [WeightFormat::F16, WeightFormat::Bf16, WeightFormat::Q8, WeightFormat::Q4]
            .map(|format| relative_error(format, &values));
        for (error, most) in errors.into_iter().zip([0.0003, 0.002, 0.006, 0.085]) {
            assert!(error < most && error > most / 3.0, "{errors:?}");
        }
    }

    #[test]
    fn blocks_by_hand() {
        let mut values = vec![0.0; 64];
        (values[0], values[17], values[31]) = (127.0, -64.0, 1.0);
        let packed = PackedWeight::pack(WeightFormat::Q8, [1, 64], &values).expect("packs");
        assert_eq!(packed.unpack(), values);
        assert_eq!((packed.codes()[0], packed.codes()[17] as i8, packed.codes()[31]), (127, -64, 1));
        assert_eq!(packed.scales()[..], [0x00, 0x3c, 0, 0], "1 and 0");

        let mut values: Vec<f32> = (0..32).map(|at| (at % 16) as f32 - 8.0).collect();
        values[31] = 0.0;
        let packed = PackedWeight::pack(WeightFormat::Q4, [1, 32], &values).expect("packs");
        assert_eq!(packed.unpack(), values);
        // Elements 0 and 16, then 15 and 31.
        assert_eq!((packed.codes()[0], packed.codes()[15]), (0, 0x8f));
        assert_eq!(packed.look_up([0, 0].into_iter()).len(), 64);
    }

    #[test]
    fn bytes_of_groups_by_hand() {
        // Seventeen rows of one block: row `r` has scale `r + 1` and codes `element - 16`, turned over in odd rows.
        let code = |row: usize, element: usize| (element as i32 - 16) * if row.is_multiple_of(2) { 1 } else { -1 };
        let value = |at: usize| (code(at / 32, at % 32) * (at as i32 / 32 + 1)) as f32;
        let mut of_q8: Vec<f32> = (0..17 * 32).map(value).collect();
        // The largest magnitude of a block decides its scale.
        (0..17).for_each(|row| of_q8[32 * row] = 127.0 * (row + 1) as f32);
        let q8 = PackedWeight::pack(WeightFormat::Q8, [17, 32], &of_q8).expect("packs");
        let byte = |row: usize, element: usize| if element == 0 { 127 } else { code(row, element) as u8 };
        for at in 0..16 * 32 {
            let (four, row, element) = (at / 64, at % 64 / 4, at % 4);
            assert_eq!(q8.codes()[at], byte(row, 4 * four + element), "{at}");
        }
        assert!((0..32).all(|element| q8.codes()[16 * 32 + element] == byte(16, element)));
        let scales: Vec<u8> = (1..=17).flat_map(|scale| f16::from_f32(scale as f32).to_le_bytes()).collect();
        assert_eq!(q8.scales()[..], scales);

        // Elements 0 to 15 are -8 to 7, and so are the others.
        let of_q4: Vec<f32> = (0..17 * 32).map(|at| (at % 16) as f32 - 8.0).collect();
        let q4 = PackedWeight::pack(WeightFormat::Q4, [17, 32], &of_q4).expect("packs");
        for at in 0..16 * 16 {
            assert_eq!(q4.codes()[at], 0x11 * (4 * (at / 64) + at % 4) as u8, "{at}");
        }
        assert!((0..16).all(|at| q4.codes()[16 * 16 + at] == 0x11 * at as u8));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let pack = |format, at: usize, value: f32| {
            let mut values = vec![1.0; 128];
            values[at] = value;
            PackedWeight::pack(format, [2, 64], &values).err()
        };
        for format in [WeightFormat::F16, WeightFormat::Bf16, WeightFormat::Q8, WeightFormat::Q4] {
            for value in [f32::INFINITY, f32::NAN, -3.4e38] {
                if format == WeightFormat::Bf16 && value == -3.4e38 {
                    continue;
                }
                let Some(PackError::TooLarge { index, value: found }) = pack(format, 70, value) else {
                    panic!("{value} is packed in {format}")
                };
                assert_eq!((index, found.to_bits()), (70, value.to_bits()), "{format}");
            }
            assert_eq!(pack(format, 3, 0.5), None);
        }
        assert_eq!(PackedWeight::pack(WeightFormat::Q8, [1, 33], &[0.0; 33]), Err(PackError::Format));
        assert_eq!(PackedWeight::pack(WeightFormat::F32, [1, 32], &[0.0; 32]), Err(PackError::Format));
        let short = PackedWeight::from_bytes(WeightFormat::Q4, [2, 32], vec![0; 31].into(), vec![0; 4].into());
        assert_eq!(short, Err(PackError::Length { found: 31, needed: 32 }));
    }

    fn pack(format: WeightFormat, values: &[f32]) -> PackedWeight {
        PackedWeight::pack(format, [values.len() / 64, 64], values).expect("packs")
    }

    #[test]
    fn stacked_parts_are_the_whole_and_rows_are_parts() {
        let values = draws(50 * 64);
        for format in [WeightFormat::Bf16, WeightFormat::Q8, WeightFormat::Q4] {
            let whole = pack(format, &values);
            // At the first row of a group and within one.
            for at in [2, 16, 40, 48] {
                let parts = [0..at, at..50].map(|rows| pack(format, &values[64 * rows.start..64 * rows.end]));
                assert_eq!(whole.rows(0..at), parts[0], "{format} {at}");
                assert_eq!(whole.rows(at..50), parts[1], "{format} {at}");
                assert_eq!(PackedWeight::stack(parts.into()), whole, "{format} {at}");
            }
            assert!(whole.rows(17..17).unpack().is_empty());
        }
        assert_eq!(PackedWeight::whole_groups(WeightFormat::Q4, &(17..30), 31), 16..31);
        assert_eq!(PackedWeight::whole_groups(WeightFormat::Q8, &(16..32), 50), 16..32);
        assert_eq!(PackedWeight::whole_groups(WeightFormat::F16, &(17..30), 31), 17..30);
    }

    #[test]
    fn rows_beside_one_another_are_unpacked_as_each_alone() {
        for rows in [1, 15, 16, 17, 35] {
            let values = draws(rows * 64);
            for format in [WeightFormat::Q8, WeightFormat::Q4] {
                let alone: Vec<f32> = values.chunks(64).flat_map(|row| pack(format, row).unpack()).collect();
                let packed = pack(format, &values);
                assert_eq!(packed.unpack(), alone, "{format}, {rows} rows");
                assert_eq!(packed.look_up([rows - 1].into_iter()), alone[64 * (rows - 1)..]);
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_found_where_it_is() {
        let (rows, width) = (35, 64);
        for (format, row, block) in [(WeightFormat::Q8, 3, 1), (WeightFormat::Q4, 33, 0), (WeightFormat::Q8, 34, 1)] {
            let packed = pack(format, &draws(rows * width));
            let mut by_rows = in_rows::<SCALE>(&packed.scales, SCALE * width / BLOCK);
            let at = SCALE * (row * width / BLOCK + block);
            by_rows[at..at + SCALE].copy_from_slice(&f16::INFINITY.to_le_bytes());
            let scales = in_groups::<SCALE>(&by_rows, SCALE * width / BLOCK).into();
            let wrong = PackedWeight { scales, ..packed.clone() };
            assert_eq!(wrong.first_non_finite(), Some((row * width + block * BLOCK, f32::INFINITY)), "{format}");
            assert_eq!(packed.first_non_finite(), None);
        }
    }

    proptest! {
        #[test]
        fn every_instruction_set_unpacks_the_same(
            rows in 1usize..5, width in 1usize..1280, seed in 0usize..1000, bf16 in any::<bool>(),
        ) {
            let format = if bf16 { WeightFormat::Bf16 } else { WeightFormat::F16 };
            let values: Vec<f32> = draws(rows * width + seed)[seed..].to_vec();
            let packed = PackedWeight::pack(format, [rows, width], &values).expect("packs");
            let unpack = |set: Set| {
                let mut values = vec![0.0; width];
                (0..rows).flat_map(|row| {
                    decode_row(set, format, packed.halves().row(row), &mut values);
                    values.clone()
                }).collect::<Vec<f32>>()
            };
            for set in Set::all() {
                prop_assert_eq!(unpack(set), packed.unpack(), "{:?} {}", set, format);
            }
        }
    }
}
