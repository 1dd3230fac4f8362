//! NVIDIA GPUs, looked for before burn opens one: burn panics where there is no driver.

use std::sync::Arc;

use cudarc::driver::{CudaContext, DriverError};

use crate::device::{Device, DeviceClass};
use crate::{BackendError, BackendKind};

/// Every GPU that the driver counts.
///
/// # Errors
/// If the driver or the run-time compiler is missing, or the driver fails.
pub(crate) fn devices() -> Result<Vec<Device>, BackendError> {
    check_libraries()?;
    let failed = |error: DriverError| missing(format!("the driver says {error}"));
    let count = CudaContext::device_count().map_err(failed)?;
    (0..count as usize).map(|index| device(index).map_err(failed)).collect()
}

fn device(index: usize) -> Result<Device, DriverError> {
    let context: Arc<CudaContext> = CudaContext::new(index)?;
    let (free, _) = context.mem_get_info()?;
    Ok(Device {
        kind: BackendKind::Cuda { index },
        name: context.name()?,
        class: DeviceClass::Gpu,
        free_memory: Some(free as u64),
        largest_buffer: None,
    })
}

/// Why there is none.
pub(crate) fn none_found() -> BackendError {
    missing("the driver finds no GPU".into())
}

fn missing(why: String) -> BackendError {
    BackendError::NoDevice {
        kind: BackendKind::Cuda { index: 0 },
        why,
        advice: "install NVIDIA's driver and the CUDA toolkit's NVRTC and headers, or choose --backend flex",
    }
}

/// The libraries are loaded when first used, with a panic where one is missing.
#[allow(unsafe_code, reason = "loading the driver runs its initialisers, which is what using it means")]
fn check_libraries() -> Result<(), BackendError> {
    // SAFETY: both are NVIDIA's own libraries, found by their names where the system looks for libraries.
    let (driver, compiler) =
        unsafe { (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) };
    match (driver, compiler) {
        (true, true) => Ok(()),
        (false, _) => Err(missing("the NVIDIA driver (libcuda) is not installed".into())),
        (true, false) => Err(missing("the CUDA run-time compiler (libnvrtc) is not installed".into())),
    }
}
