//! Fetching what comes next while something is computed, so that memory and processor work at the same time.

/// Bytes that memory gives at once.
const CACHE_LINE: usize = 64;

/// Segments of bytes that come next, at equal distances.
#[derive(Clone, Copy)]
pub(crate) struct Next<'a> {
    /// From the first segment's first byte to the last one's last.
    pub(crate) bytes: &'a [u8],
    /// How many there are.
    pub(crate) n: usize,
    /// Bytes of one.
    pub(crate) length: usize,
    /// Bytes from one to the next.
    pub(crate) distance: usize,
}

impl Next<'_> {
    pub(crate) const NOTHING: Self = Self { bytes: &[], n: 0, length: 0, distance: 0 };
}

/// How they are fetched in some steps: in their order where there is no gap, else all side by side.
pub(crate) struct Ahead<'a> {
    bytes: &'a [u8],
    /// Bytes from one step to the next.
    step: usize,
    /// Cache lines of a step.
    lines: usize,
    /// Bytes from one of those lines to the next.
    distance: usize,
}

impl<'a> Ahead<'a> {
    #[inline(always)]
    pub(crate) fn new(Next { bytes, n, length, distance }: Next<'a>, steps: usize) -> Self {
        if length == distance {
            let step = bytes.len().div_ceil(steps.max(1));
            return Self { bytes, step, lines: step.div_ceil(CACHE_LINE), distance: CACHE_LINE };
        }
        Self { bytes, step: length.div_ceil(steps.max(1)), lines: n, distance }
    }

    /// Asks for the bytes of a step, without waiting for them.
    #[inline(always)]
    pub(crate) fn fetch(&self, step: usize) {
        let first = self.bytes.as_ptr().wrapping_add(step * self.step);
        for line in 0..self.lines {
            prefetch(first.wrapping_add(line * self.distance));
        }
    }
}

/// Asks for some floats, without waiting for them.
#[inline(always)]
pub(crate) fn fetch(floats: &[f32]) {
    for line in floats.chunks(CACHE_LINE / size_of::<f32>()) {
        prefetch(line.as_ptr().cast());
    }
}

#[inline(always)]
fn prefetch(byte: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that changes no memory and never faults, wherever the byte is; SSE, which it needs, is part of x86-64.
        #[allow(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(byte.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = byte;
}
