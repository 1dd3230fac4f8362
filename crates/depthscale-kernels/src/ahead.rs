//! Fetching what comes next while something is computed, so that memory and processor work at the same time.

/// Bytes that memory gives at once.
const CACHE_LINE: usize = 64;

/// Bytes that come next, fetched in some steps.
pub(crate) struct Ahead<'a> {
    bytes: &'a [u8],
    /// Bytes of a step.
    step: usize,
}

impl<'a> Ahead<'a> {
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8], steps: usize) -> Self {
        Self { bytes, step: bytes.len().div_ceil(steps.max(1)) }
    }

    /// Asks for the bytes of a step without waiting for them, for the second cache: it can wait for more lines at once than the
    /// first, and what computing reads again and again stays where it is.
    #[inline(always)]
    pub(crate) fn fetch(&self, step: usize) {
        for line in self.lines(step) {
            prefetch::<false>(line);
        }
    }

    /// The same for the first cache.
    #[inline(always)]
    pub(crate) fn fetch_near(&self, step: usize) {
        for line in self.lines(step) {
            prefetch::<true>(line);
        }
    }

    #[inline(always)]
    fn lines(&self, step: usize) -> impl Iterator<Item = *const u8> {
        let first = self.bytes.as_ptr().wrapping_add(step * self.step);
        (0..self.step).step_by(CACHE_LINE).map(move |byte| first.wrapping_add(byte))
    }
}

/// Asks for some floats without waiting for them, for the second cache.
#[inline(always)]
pub(crate) fn fetch(floats: &[f32]) {
    for line in floats.chunks(CACHE_LINE / size_of::<f32>()) {
        prefetch::<false>(line.as_ptr().cast());
    }
}

#[inline(always)]
fn prefetch<const NEAR: bool>(byte: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        // SAFETY: hints that change no memory and never fault, wherever the byte is; SSE, which they need, is part of x86-64.
        #[allow(unsafe_code)]
        unsafe {
            if NEAR { _mm_prefetch::<_MM_HINT_T0>(byte.cast()) } else { _mm_prefetch::<_MM_HINT_T1>(byte.cast()) }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = byte;
}
