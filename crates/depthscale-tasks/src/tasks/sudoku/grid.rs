//! A grid with rows, columns and boxes, and the search that fills it.

use std::fmt;

use rand::RngCore;
use rand::seq::SliceRandom;

/// The sides of a grid and of its boxes.
#[derive(Debug)]
pub(super) struct Shape {
    /// The cells of a row, which are also the digits.
    pub(super) side: usize,
    box_rows: usize,
    box_columns: usize,
}

pub(super) const FOUR: Shape = Shape { side: 4, box_rows: 2, box_columns: 2 };
pub(super) const SIX: Shape = Shape { side: 6, box_rows: 2, box_columns: 3 };

/// The digits of a grid, row by row. Bit d of a set stands for the digit d.
#[derive(Clone)]
pub(super) struct Grid {
    shape: &'static Shape,
    /// The digit of each cell, 0 for a blank.
    cells: Vec<u32>,
    rows: Vec<u32>,
    columns: Vec<u32>,
    boxes: Vec<u32>,
}

impl Grid {
    pub(super) fn blank(shape: &'static Shape) -> Self {
        let side = shape.side;
        Self { shape, cells: vec![0; side * side], rows: vec![0; side], columns: vec![0; side], boxes: vec![0; side] }
    }

    /// A full grid.
    pub(super) fn random(shape: &'static Shape, rng: &mut dyn RngCore) -> Self {
        let mut digits: Vec<u32> = (1..=shape.side as u32).collect();
        let mut grid = Self::blank(shape);
        // Every order of the first row can be completed, and each has the same number of completions.
        digits.shuffle(rng);
        for (cell, &digit) in digits.iter().enumerate() {
            grid.set(cell, digit);
        }
        let mut full = None;
        grid.search(&mut |digits| digits.shuffle(rng), &mut |solution| {
            full = Some(solution.clone());
            Search::Stop
        });
        full.unwrap_or(grid)
    }

    pub(super) fn n_cells(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn n_blanks(&self) -> usize {
        self.cells.iter().filter(|&&digit| digit == 0).count()
    }

    /// Whether a digit is neither in the cell's row, nor in its column, nor in its box.
    pub(super) fn allows(&self, cell: usize, digit: u32) -> bool {
        self.used(cell) & (1 << digit) == 0
    }

    /// Puts a digit that the cell allows into a blank.
    pub(super) fn set(&mut self, cell: usize, digit: u32) {
        self.cells[cell] = digit;
        self.flip(cell, digit);
    }

    /// Blanks a cell, and gives its digit.
    pub(super) fn clear(&mut self, cell: usize) -> u32 {
        let digit = std::mem::take(&mut self.cells[cell]);
        self.flip(cell, digit);
        digit
    }

    /// The number of solutions, counted up to `most`.
    pub(super) fn count_solutions(&self, most: u32) -> u32 {
        let mut count = 0;
        self.clone().search(&mut |_| {}, &mut |_| {
            count += 1;
            if count < most { Search::GoOn } else { Search::Stop }
        });
        count
    }

    /// A solution, if there is one.
    pub(super) fn solved(&self) -> Option<Self> {
        let mut solved = None;
        self.clone().search(&mut |_| {}, &mut |solution| {
            solved = Some(solution.clone());
            Search::Stop
        });
        solved
    }

    /// Tries all digits in the blank that allows the fewest, in the order that `arrange` brings them into, and hands
    /// each full grid to `found`. The grid is afterwards as it was before.
    fn search(&mut self, arrange: &mut dyn FnMut(&mut [u32]), found: &mut dyn FnMut(&Self) -> Search) -> Search {
        let blanks = (0..self.cells.len()).filter(|&cell| self.cells[cell] == 0);
        let Some(cell) = blanks.max_by_key(|&cell| self.used(cell).count_ones()) else {
            return found(self);
        };
        let mut digits: Vec<u32> = (1..=self.shape.side as u32).filter(|&digit| self.allows(cell, digit)).collect();
        arrange(&mut digits);
        for digit in digits {
            self.set(cell, digit);
            let search = self.search(arrange, found);
            self.clear(cell);
            if let Search::Stop = search {
                return Search::Stop;
            }
        }
        Search::GoOn
    }

    fn used(&self, cell: usize) -> u32 {
        let [row, column, in_box] = self.units(cell);
        self.rows[row] | self.columns[column] | self.boxes[in_box]
    }

    fn flip(&mut self, cell: usize, digit: u32) {
        let [row, column, in_box] = self.units(cell);
        self.rows[row] ^= 1 << digit;
        self.columns[column] ^= 1 << digit;
        self.boxes[in_box] ^= 1 << digit;
    }

    /// The row, the column and the box of a cell.
    fn units(&self, cell: usize) -> [usize; 3] {
        let Shape { side, box_rows, box_columns } = *self.shape;
        let (row, column) = (cell / side, cell % side);
        [row, column, row / box_rows * (side / box_columns) + column / box_columns]
    }
}

/// Whether a search goes on after a solution.
enum Search {
    GoOn,
    Stop,
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cells.iter().try_for_each(|&digit| if digit == 0 { f.write_str(".") } else { write!(f, "{digit}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_288_grids_of_four() {
        assert_eq!(Grid::blank(&FOUR).count_solutions(u32::MAX), 288);
    }

    #[test]
    fn boxes_of_six_are_two_rows_by_three_columns() {
        let grid = Grid::blank(&SIX);
        let boxes: Vec<usize> = [0, 2, 3, 6, 12, 15, 35].map(|cell| grid.units(cell)[2]).into();
        // Row 0: boxes 0 and 1; row 1 column 0: box 0; row 2: boxes 2 and 3; the last cell: box 5.
        assert_eq!(boxes, [0, 0, 1, 0, 2, 3, 5]);
    }

    #[test]
    fn random_grids_are_full() {
        for shape in [&FOUR, &SIX] {
            let grid = Grid::random(shape, &mut rand::rng());
            assert_eq!(grid.n_blanks(), 0);
            assert_eq!(grid.count_solutions(2), 1);
        }
    }
}
