//! Weights in blocks as they lie in memory: sixteen rows beside one another.
//!
//! What multiplies them takes four bytes each of sixteen rows at once. So these lie together: nothing is moved between reading and
//! multiplying.

use depthscale_types::WeightFormat;
use rayon::prelude::*;

use crate::lanes::{LANES, from_f16};

const BLOCK: usize = WeightFormat::BLOCK;

/// Blocks of 8 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Q8;

/// Blocks of 4 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Q4;

/// Rows that lie beside one another, in files, too: another number is another version of their manifest.
pub(crate) const GROUP: usize = 16;
const _: () = assert!(GROUP == LANES, "a vector for every row of a group");

/// Bytes of codes of a row that lie together.
pub(crate) const CODES: usize = 4;
/// Bytes of a scale.
pub(crate) const SCALE: usize = 2;

/// Rows of `of_row` bytes in groups: of every sixteen, `[of_row / UNIT, 16]` units; of those that are left at the end, as many
/// beside one another as there are.
pub(crate) fn in_groups<const UNIT: usize>(rows: &[u8], of_row: usize) -> Vec<u8> {
    turned::<UNIT>(rows, of_row, |bytes| bytes / of_row)
}

/// The rows of [`in_groups`] one after the other again.
pub(crate) fn in_rows<const UNIT: usize>(groups: &[u8], of_row: usize) -> Vec<u8> {
    turned::<UNIT>(groups, of_row, |_| of_row / UNIT)
}

/// The units of every sixteen rows, `[n, m]`, as `[m, n]`; `n` of so many bytes is given.
fn turned<const UNIT: usize>(from: &[u8], of_row: usize, n: impl Fn(usize) -> usize + Sync) -> Vec<u8> {
    let mut to = vec![0; from.len()];
    let of_group = (GROUP * of_row).max(1);
    from.par_chunks(of_group).zip(to.par_chunks_mut(of_group)).for_each(|(from, to)| {
        let n = n(from.len());
        let (from, to): (&[[u8; UNIT]], &mut [[u8; UNIT]]) = (from.as_chunks().0, to.as_chunks_mut().0);
        let m = from.len() / n;
        for (row, from) in from.chunks_exact(m).enumerate() {
            for (column, unit) in from.iter().enumerate() {
                to[column * n + row] = *unit;
            }
        }
    });
    to
}

/// A weight in blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Groups<'a> {
    format: WeightFormat,
    rows: usize,
    /// Blocks of a row.
    blocks: usize,
    codes: &'a [u8],
    scales: &'a [u8],
}

/// Up to sixteen rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group<'a> {
    /// How many.
    pub(crate) rows: usize,
    /// By blocks, by fours of bytes, by rows.
    pub(crate) codes: &'a [u8],
    /// By blocks, by rows.
    pub(crate) scales: &'a [u8],
}

impl<'a> Groups<'a> {
    pub(crate) fn new(format: WeightFormat, [rows, width]: [usize; 2], codes: &'a [u8], scales: &'a [u8]) -> Self {
        Self { format, rows, blocks: width / BLOCK, codes, scales }
    }

    pub(crate) fn width(&self) -> usize {
        self.blocks * BLOCK
    }

    /// Bytes of the codes of a row.
    #[inline(always)]
    fn of_row(&self) -> usize {
        self.blocks * (self.format.row_bytes(BLOCK) - SCALE)
    }

    /// The codes from a row on, the first of a group.
    #[inline(always)]
    pub(crate) fn codes_from(&self, first: usize) -> &'a [u8] {
        &self.codes[first * self.of_row()..]
    }

    /// The group that begins with a row.
    #[inline(always)]
    pub(crate) fn group(&self, first: usize) -> Group<'a> {
        let rows = GROUP.min(self.rows - first);
        let (of_codes, of_scales) = (self.of_row(), SCALE * self.blocks);
        let codes = &self.codes[first * of_codes..][..rows * of_codes];
        Group { rows, codes, scales: &self.scales[first * of_scales..][..rows * of_scales] }
    }

    /// The place in row-major order of the first element of a scale, which is given by its place in memory.
    pub(crate) fn first_of_scale(&self, scale: usize) -> usize {
        let of_group = GROUP * self.blocks;
        let (first, at) = (scale / of_group * GROUP, scale % of_group);
        let beside = GROUP.min(self.rows - first);
        let (row, block) = (first + at % beside, at / beside);
        (row * self.blocks + block) * BLOCK
    }

    /// The values of a row. Compiled for wide vectors it takes longer: they are gathered from rows beside one another.
    #[inline(never)]
    pub(crate) fn decode(&self, row: usize, values: &mut [f32]) {
        let (group, row) = (self.group(row - row % GROUP), row % GROUP);
        match self.format {
            WeightFormat::Q4 => group.decode::<Q4, 4>(row, values),
            _ => group.decode::<Q8, 8>(row, values),
        }
    }
}

/// How codes of a format, `N` fours of bytes for a block of a row, become numbers.
trait Numbers<const N: usize> {
    fn numbers(codes: [[u8; CODES]; N], numbers: &mut [f32; BLOCK]);
}

impl Numbers<8> for Q8 {
    fn numbers(codes: [[u8; CODES]; 8], numbers: &mut [f32; BLOCK]) {
        for (number, code) in numbers.iter_mut().zip(codes.as_flattened()) {
            *number = f32::from(*code as i8);
        }
    }
}

impl Numbers<4> for Q4 {
    fn numbers(codes: [[u8; CODES]; 4], numbers: &mut [f32; BLOCK]) {
        let (low, high) = numbers.split_at_mut(BLOCK / 2);
        for ((low, high), code) in low.iter_mut().zip(high).zip(codes.as_flattened()) {
            *low = f32::from(code & 15) - 8.0;
            *high = f32::from(code >> 4) - 8.0;
        }
    }
}

impl<'a> Group<'a> {
    /// Sixteen rows: those that lack are zeros.
    #[inline(always)]
    pub(crate) fn filled_up(self, space: &'a mut [Vec<u8>; 2]) -> Self {
        if self.rows == GROUP {
            return self;
        }
        let [codes, scales] = space;
        fill_up(codes, self.codes, CODES, self.rows);
        fill_up(scales, self.scales, SCALE, self.rows);
        Self { rows: GROUP, codes, scales }
    }

    fn decode<C: Numbers<N>, const N: usize>(&self, row: usize, values: &mut [f32]) {
        let (codes, scales): (&[[u8; CODES]], &[[u8; SCALE]]) = (self.codes.as_chunks().0, self.scales.as_chunks().0);
        let blocks = codes.chunks_exact(N * self.rows).zip(scales.chunks_exact(self.rows));
        for (values, (codes, scales)) in values.as_chunks_mut().0.iter_mut().zip(blocks) {
            let mut of_row = [[0; CODES]; N];
            for (of_row, codes) in of_row.iter_mut().zip(codes.chunks_exact(self.rows)) {
                *of_row = codes[row];
            }
            C::numbers(of_row, values);
            let scale = from_f16(scales[row]);
            for value in values {
                *value *= scale;
            }
        }
    }
}

/// Units of fewer rows as those of sixteen.
fn fill_up(space: &mut Vec<u8>, bytes: &[u8], unit: usize, rows: usize) {
    space.clear();
    for units in bytes.chunks_exact(unit * rows) {
        space.extend_from_slice(units);
        space.resize(space.len() + unit * (GROUP - rows), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_rows_lie_beside_one_another_and_so_do_those_that_are_left() {
        // 18 rows of three units: row and unit are told from the bytes.
        let rows: Vec<u8> = (0..18).flat_map(|row| (0..3).flat_map(move |unit| [10 * row + unit; 2])).collect();
        let groups = in_groups::<2>(&rows, 6);
        let units: Vec<u8> = groups.chunks(2).map(|unit| unit[0]).collect();
        assert_eq!(units[..18], [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150, 1, 11]);
        assert_eq!(units[48..], [160, 170, 161, 171, 162, 172]);
        assert_eq!(in_rows::<2>(&groups, 6), rows);
        assert!(in_groups::<4>(&[], 0).is_empty());
    }
}
