//! How much memory a device or the process holds.

use crate::BackendKind;

/// Memory of a device, as its pools count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolUsage {
    /// Bytes of live tensors.
    pub in_use: u64,
    /// Bytes taken from the driver: those in use, padding, and what is kept for later.
    pub reserved: u64,
}

impl BackendKind {
    /// The pools of a device, or `None` for backends without any: the CPU's allocate from the program's memory.
    ///
    /// Pools belong to threads: ask on the thread that computes, after a sync.
    pub fn pool_usage(self) -> Option<PoolUsage> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda { index } => cube_pools::usage::<cubecl::cuda::CudaRuntime>(&burn_cuda::CudaDevice::new(index)),
            #[cfg(feature = "wgpu")]
            Self::Wgpu { index } => cube_pools::usage::<burn_wgpu::WgpuRuntime>(&crate::wgpu_adapters::open(index)?),
            _ => None,
        }
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod cube_pools {
    use cubecl::Runtime;

    use super::PoolUsage;

    pub(super) fn usage<R: Runtime>(device: &R::Device) -> Option<PoolUsage> {
        let usage = R::client(device).memory_usage().ok()?;
        Some(PoolUsage { in_use: usage.bytes_in_use, reserved: usage.bytes_reserved })
    }
}
