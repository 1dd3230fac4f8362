//! How much memory a backend holds, as its own pools or the program's allocator count it.

use crate::{BackendKind, heap};

/// Memory that a backend holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryReading {
    /// Bytes of what is alive: tensors, and on the CPU everything else that the program has allocated.
    pub in_use: u64,
    /// The most bytes that were since [`BackendKind::reset_peak`]; `None` for pools, which keep no peak.
    pub peak: Option<u64>,
    /// Bytes that pools have taken from the driver: those in use, padding, and what is kept for later. `None` on the CPU.
    pub reserved: Option<u64>,
}

impl BackendKind {
    /// What a backend holds now, from the pools of WGPU's and CUDA's devices, and from
    /// [`CountingAllocator`](crate::CountingAllocator) on the CPU, if the program installed it.
    ///
    /// Pools belong to threads: ask on the thread that computes, after a sync.
    pub fn memory(self) -> Option<MemoryReading> {
        match self {
            Self::Flex | Self::Ndarray => {
                let (in_use, peak) = heap::reading()?;
                Some(MemoryReading { in_use, peak: Some(peak), reserved: None })
            }
            #[cfg(feature = "cuda")]
            Self::Cuda { index } => {
                cube_pools::reading::<cubecl::cuda::CudaRuntime>(&burn_cuda::CudaDevice::new(index))
            }
            #[cfg(feature = "wgpu")]
            Self::Wgpu { index } => cube_pools::reading::<burn_wgpu::WgpuRuntime>(&crate::wgpu_adapters::open(index)?),
            _ => None,
        }
    }

    /// Forgets earlier peaks, where they are kept.
    pub fn reset_peak(self) {
        if self.is_cpu() {
            heap::reset_peak();
        }
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod cube_pools {
    use cubecl::Runtime;

    use super::MemoryReading;

    pub(super) fn reading<R: Runtime>(device: &R::Device) -> Option<MemoryReading> {
        let usage = R::client(device).memory_usage().ok()?;
        Some(MemoryReading { in_use: usage.bytes_in_use, peak: None, reserved: Some(usage.bytes_reserved) })
    }
}
