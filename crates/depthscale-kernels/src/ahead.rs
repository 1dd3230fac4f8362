//! Fetching what comes next while something is computed, so that memory and processor work at the same time.

/// Bytes that memory gives at once.
const CACHE_LINE: usize = 64;

/// Bytes that come next.
#[derive(Clone, Copy)]
pub(crate) struct Ahead<'a> {
    bytes: &'a [u8],
    /// Bytes of a step.
    step: usize,
    /// Cache lines of a step.
    lines: usize,
}

impl<'a> Ahead<'a> {
    /// To be fetched in some steps.
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8], steps: usize) -> Self {
        let step = bytes.len().div_ceil(steps.max(1));
        Self { bytes, step, lines: step.div_ceil(CACHE_LINE) }
    }

    /// Asks for the bytes of a step, without waiting for them.
    #[inline(always)]
    pub(crate) fn fetch(self, step: usize) {
        fetch_lines(self.bytes.as_ptr().wrapping_add(step * self.step), self.lines);
    }
}

/// Asks for some floats, without waiting for them.
#[inline(always)]
pub(crate) fn fetch(floats: &[f32]) {
    fetch_lines(floats.as_ptr().cast(), size_of_val(floats).div_ceil(CACHE_LINE));
}

#[inline(always)]
fn fetch_lines(first: *const u8, lines: usize) {
    for line in 0..lines {
        prefetch(first.wrapping_add(line * CACHE_LINE));
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
