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
        self.ask::<SECOND_CACHE>(step);
    }

    /// The same for the first cache.
    #[inline(always)]
    pub(crate) fn fetch_near(&self, step: usize) {
        self.ask::<FIRST_CACHE>(step);
    }

    #[inline(always)]
    fn ask<const CACHE: i32>(&self, step: usize) {
        ask_for::<CACHE>(self.bytes.as_ptr().wrapping_add(step * self.step), self.step);
    }
}

/// Bytes between what is used and what is fetched where bytes are used in the order in which they lie: enough for the time that
/// memory takes to answer; found by measuring.
const DISTANCE: usize = 4 << 10;

/// Asks for as many elements as these a little after them, without waiting for them, for the second cache.
#[inline(always)]
pub(crate) fn fetch_after<T>(elements: &[T]) {
    ask_for::<SECOND_CACHE>(elements.as_ptr().cast::<u8>().wrapping_add(DISTANCE), size_of_val(elements));
}

/// Asks for some elements without waiting for them, for the second cache.
#[inline(always)]
pub(crate) fn fetch<T>(elements: &[T]) {
    fetch_from(elements.as_ptr(), elements.len());
}

/// Asks for some elements from an address on without waiting for them, for the second cache; nothing need lie there.
#[inline(always)]
pub(crate) fn fetch_from<T>(first: *const T, elements: usize) {
    ask_for::<SECOND_CACHE>(first.cast(), elements * size_of::<T>());
}

#[inline(always)]
fn ask_for<const CACHE: i32>(first: *const u8, bytes: usize) {
    for byte in (0..bytes).step_by(CACHE_LINE) {
        prefetch::<CACHE>(first.wrapping_add(byte));
    }
}

/// `_MM_HINT_T0`.
const FIRST_CACHE: i32 = 3;
/// `_MM_HINT_T1`.
const SECOND_CACHE: i32 = 2;

#[inline(always)]
fn prefetch<const CACHE: i32>(byte: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: hints that change no memory and never fault, wherever the byte is; SSE, which they need, is part of x86-64.
        #[allow(unsafe_code)]
        unsafe {
            std::arch::x86_64::_mm_prefetch::<CACHE>(byte.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = byte;
}
