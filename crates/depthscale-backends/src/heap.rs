//! Counting what the program allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes allocated now. Zero for as long as no program installs [`CountingAllocator`].
static IN_USE: AtomicUsize = AtomicUsize::new(0);
/// The most there were since the last reset.
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// An allocator, the system's by default, with a count of the bytes that are allocated, for measuring what the CPU's backends hold.
///
/// A program installs it so, after which [`BackendKind::memory`](crate::BackendKind::memory) has something to tell:
///
/// ```
/// use depthscale_backends::CountingAllocator;
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator(std::alloc::System);
/// # fn main() {
/// # #[cfg(feature = "flex")] {
/// # use depthscale_backends::BackendKind;
/// let before = BackendKind::Flex.memory().expect("it counts").in_use;
/// let bytes = vec![1u8; 1 << 20];
/// assert!(BackendKind::Flex.memory().expect("it counts").in_use >= before + bytes.len() as u64);
/// # }
/// # }
/// ```
///
/// Memory that is mapped from files, such as a checkpoint's, is not allocated and does not count; nor does the second copy
/// that an allocator may hold while it moves what grows. Allocating costs two atomic operations more.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingAllocator<A = System>(pub A);

fn grow(bytes: usize) {
    let in_use = IN_USE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(in_use, Ordering::Relaxed);
}

fn shrink(bytes: usize) {
    IN_USE.fetch_sub(bytes, Ordering::Relaxed);
}

#[allow(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call is passed on to an allocator as it came; counting touches no memory of the caller.
unsafe impl<A: GlobalAlloc> GlobalAlloc for CountingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        let pointer = unsafe { self.0.alloc(layout) };
        if !pointer.is_null() {
            grow(layout.size());
        }
        pointer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        let pointer = unsafe { self.0.alloc_zeroed(layout) };
        if !pointer.is_null() {
            grow(layout.size());
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { self.0.dealloc(pointer, layout) };
        shrink(layout.size());
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as the caller's.
        let moved = unsafe { self.0.realloc(pointer, layout, new_size) };
        if !moved.is_null() {
            match new_size.checked_sub(layout.size()) {
                Some(more) => grow(more),
                None => shrink(layout.size() - new_size),
            }
        }
        moved
    }
}

/// Bytes in use and the most there were since [`reset_peak`]; `None` where nothing counts.
pub(crate) fn reading() -> Option<(u64, u64)> {
    let in_use = IN_USE.load(Ordering::Relaxed) as u64;
    (in_use > 0).then(|| (in_use, PEAK.load(Ordering::Relaxed) as u64))
}

/// Forgets earlier peaks.
pub(crate) fn reset_peak() {
    PEAK.store(IN_USE.load(Ordering::Relaxed), Ordering::Relaxed);
}
