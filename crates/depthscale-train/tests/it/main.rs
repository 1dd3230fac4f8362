//! Tests of training as a whole.
mod eval;
mod published;
mod runs;

use depthscale_backends::CountingAllocator;

/// Counts what is allocated, for the test of memory.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
