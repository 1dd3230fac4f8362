//! Running generic code on a backend chosen at run time.

use burn::tensor::backend::Backend;

use crate::{BackendError, BackendKind};

/// Code that runs on whichever backend is chosen. Keep it thin: it is compiled once for every backend.
pub trait BackendTask {
    /// What it gives back.
    type Output;

    /// Runs on a device of the chosen backend.
    fn run<B: Backend>(self, device: B::Device) -> Self::Output;
}

/// Runs a task on a device that was probed first.
///
/// # Errors
/// As [`BackendKind::probe`].
pub fn with_backend<T: BackendTask>(kind: BackendKind, task: T) -> Result<T::Output, BackendError> {
    dispatch(kind.probe()?.kind, task)
}

/// Runs a task on a device that is known to be there.
pub(crate) fn dispatch<T: BackendTask>(kind: BackendKind, task: T) -> Result<T::Output, BackendError> {
    match kind {
        #[cfg(feature = "cuda")]
        BackendKind::Cuda { index } => Ok(task.run::<burn_cuda::Cuda>(burn_cuda::CudaDevice::new(index))),
        #[cfg(feature = "wgpu")]
        BackendKind::Wgpu { index } => match crate::wgpu_adapters::open(index) {
            Some(device) => Ok(task.run::<burn_wgpu::Wgpu>(device)),
            None => Err(crate::wgpu_adapters::none_found()),
        },
        #[cfg(feature = "flex")]
        BackendKind::Flex => Ok(task.run::<burn_flex::Flex>(Default::default())),
        #[cfg(feature = "ndarray")]
        BackendKind::Ndarray => Ok(task.run::<burn_ndarray::NdArray>(Default::default())),
        // In a build with every backend only `auto` is left to reach this, and that was resolved.
        kind => {
            // A build without any backend has nowhere to run the task.
            drop(task);
            Err(BackendError::NotCompiledIn { kind, feature: kind.feature() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Name;

    impl BackendTask for Name {
        type Output = String;

        fn run<B: Backend>(self, device: B::Device) -> String {
            B::name(&device)
        }
    }

    #[test]
    fn a_task_runs_on_the_backend_asked_for() {
        for kind in BackendKind::ALL {
            match with_backend(kind, Name) {
                Ok(name) => {
                    assert!(kind.is_compiled_in());
                    assert!(name.to_lowercase().contains(kind.name()), "{name}");
                }
                Err(BackendError::NotCompiledIn { feature, .. }) => {
                    assert!(!kind.is_compiled_in());
                    assert_eq!(feature, kind.feature());
                }
                // No adapter, no driver.
                Err(error) => assert!(!kind.is_cpu(), "{error}"),
            }
        }
    }
}
