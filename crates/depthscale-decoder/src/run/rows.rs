//! Which token rows a forward call is computing.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use depthscale_kernels::Visible;

/// The token rows being computed: the rows of each sequence next to one another, in order of position.
pub(crate) struct RowSet<B: Backend> {
    pub(crate) segments: Vec<Segment<B>>,
}

/// The rows of one sequence: those tokens of its chunk that are still active.
pub(crate) struct Segment<B: Backend> {
    /// Which of the call's sequences.
    pub(crate) sequence: usize,
    /// Position of the chunk's first token.
    pub(crate) start: usize,
    /// Tokens in the chunk.
    pub(crate) chunk: usize,
    /// Offsets in the chunk of the active tokens, ascending.
    pub(crate) active: Vec<usize>,
    /// For a chunk of which some tokens have exited: for each token, its row among the chunk's earlier rows followed by
    /// the active ones.
    pub(crate) order: Option<Tensor<B, 1, Int>>,
    visible: Mutex<Vec<(VisibleKey, Arc<Visible<B>>)>>,
    device: B::Device,
}

#[derive(Clone, Copy, PartialEq)]
struct VisibleKey {
    window: Option<usize>,
    first: usize,
}

impl<B: Backend> Segment<B> {
    fn new(sequence: usize, start: usize, chunk: usize, active: Vec<usize>, device: &B::Device) -> Self {
        let order = (active.len() < chunk).then(|| {
            let mut order: Vec<i64> = (0..chunk as i64).collect();
            for (row, &token) in active.iter().enumerate() {
                order[token] = (chunk + row) as i64;
            }
            index_tensor(order, device)
        });
        Self { sequence, start, chunk, active, order, visible: Mutex::default(), device: device.clone() }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.active.len()
    }

    /// What each row sees of keys at positions `first..start + chunk`: everything up to itself, at most `window` keys.
    pub(crate) fn visible(&self, window: Option<usize>, first: usize) -> Arc<Visible<B>> {
        let key = VisibleKey { window, first };
        // Nothing that holds the lock can leave the list half changed.
        let mut known = self.visible.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, visible)) = known.iter().find(|(known, _)| *known == key) {
            return visible.clone();
        }
        let range = |&token: &usize| {
            let end = self.start + token + 1;
            let oldest = window.map_or(0, |window| end.saturating_sub(window));
            oldest.saturating_sub(first)..end - first
        };
        let ranges = self.active.iter().map(range).collect();
        let visible = Arc::new(Visible::new(ranges, self.start + self.chunk - first, &self.device));
        known.push((key, visible.clone()));
        visible
    }
}

impl<B: Backend> RowSet<B> {
    /// Whole chunks: for each sequence, the position of its first token and the number of tokens.
    pub(crate) fn whole(chunks: &[(usize, usize)], device: &B::Device) -> Self {
        let segment = |(sequence, &(start, chunk)): (usize, &(usize, usize))| {
            Segment::new(sequence, start, chunk, (0..chunk).collect(), device)
        };
        Self { segments: chunks.iter().enumerate().map(segment).collect() }
    }

    /// The rows whose indices are given, ascending; sequences without any are left out.
    pub(crate) fn keep(&self, rows: &[usize], device: &B::Device) -> Self {
        let mut segments = Vec::new();
        for (range, segment) in self.ranges().zip(&self.segments) {
            let of_segment = rows.iter().filter(|row| range.contains(row));
            let active: Vec<usize> = of_segment.map(|row| segment.active[row - range.start]).collect();
            if !active.is_empty() {
                segments.push(Segment::new(segment.sequence, segment.start, segment.chunk, active, device));
            }
        }
        Self { segments }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.segments.iter().map(Segment::len).sum()
    }

    /// The rows of each segment.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.segments.iter().scan(0, |end, segment| {
            let start = *end;
            *end += segment.len();
            Some(start..*end)
        })
    }

    /// The position of each row in its sequence.
    pub(crate) fn positions(&self) -> Vec<usize> {
        let of = |segment: &Segment<B>| segment.active.iter().map(|token| segment.start + token).collect::<Vec<_>>();
        self.segments.iter().flat_map(of).collect()
    }
}

/// Row indices as a tensor.
pub(crate) fn index_tensor<B: Backend>(rows: Vec<i64>, device: &B::Device) -> Tensor<B, 1, Int> {
    let n = rows.len();
    Tensor::from_data(TensorData::new(rows, [n]), device)
}

/// The given rows of `[rows, width]`, in the given order; the tensor itself where that is all of them.
pub(crate) fn pick<B: Backend>(x: Tensor<B, 2>, rows: &[usize], total: usize, device: &B::Device) -> Tensor<B, 2> {
    if rows.len() == total && rows.iter().enumerate().all(|(at, &row)| at == row) {
        return x;
    }
    if let [row] = rows {
        let width = x.dims()[1];
        return x.slice([*row..row + 1, 0..width]);
    }
    x.select(0, index_tensor(rows.iter().map(|&row| row as i64).collect(), device))
}

/// Rows one below the other.
pub(crate) fn join<B: Backend>(mut parts: Vec<Tensor<B, 2>>) -> Tensor<B, 2> {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            Tensor::cat(parts, 0)
        }
        (_, None) => panic!("at least one part"),
    }
}
