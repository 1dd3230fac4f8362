//! The rows of a batch that count, while sequences leave the recurrence.

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use depthscale_decoder::Unrolled;

use crate::data::Batch;
use crate::recipe::DepthDraw;

/// The rows that count among those still recurring, and what belongs to each.
pub(super) struct CountedRows {
    /// Indices among the rows still there, ascending.
    pub(super) rows: Vec<usize>,
    /// The sequence of each.
    pub(super) sequences: Vec<usize>,
    /// What is to be predicted there.
    pub(super) targets: Vec<u32>,
}

impl CountedRows {
    /// Those of the sequences for which `counts` says so.
    pub(super) fn of<B: Backend>(batch: &Batch, unrolled: &Unrolled<B>, counts: impl Fn(usize) -> bool) -> Self {
        let mut found = Self { rows: Vec::new(), sequences: Vec::new(), targets: Vec::new() };
        for (sequence, range) in unrolled.sequences().filter(|(sequence, _)| counts(*sequence)) {
            found.rows.extend(batch.rows[sequence].iter().map(|row| range.start + row));
            found.sequences.extend(batch.rows[sequence].iter().map(|_| sequence));
            found.targets.extend(&batch.targets[sequence]);
        }
        found
    }

    /// A value for each row that follows from its sequence.
    pub(super) fn values<B: Backend>(&self, device: &B::Device, of: impl Fn(usize) -> f64) -> Tensor<B, 1> {
        let values: Vec<f32> = self.sequences.iter().map(|&sequence| of(sequence) as f32).collect();
        Tensor::from_data(TensorData::new(values, [self.rows.len()]), device)
    }

    /// The rows' indices as a tensor.
    pub(super) fn index<B: Backend>(&self, device: &B::Device) -> Tensor<B, 1, Int> {
        index(self.rows.iter().copied(), device)
    }

    /// Places among these rows of those whose sequence stays after tracked step `step`.
    pub(super) fn staying<B: Backend>(
        &self,
        draws: &[DepthDraw],
        step: usize,
        device: &B::Device,
    ) -> Tensor<B, 1, Int> {
        let stays = |&(_, sequence): &(usize, &usize)| draws[*sequence].tracked > step;
        index(self.sequences.iter().enumerate().filter(stays).map(|(place, _)| place), device)
    }
}

fn index<B: Backend>(values: impl Iterator<Item = usize>, device: &B::Device) -> Tensor<B, 1, Int> {
    let values: Vec<i64> = values.map(|value| value as i64).collect();
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}
