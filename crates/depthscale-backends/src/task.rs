//! Running generic code on a backend chosen at run time.

use burn::tensor::backend::Backend;

use crate::BackendKind;

/// Code that runs on whichever backend is chosen. Keep it thin: it is compiled once for every backend.
pub trait BackendTask {
    /// What it gives back.
    type Output;

    /// Runs on a device of the chosen backend.
    fn run<B: Backend>(self, device: B::Device) -> Self::Output;
}

/// Why a backend cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// This build does not hold it.
    #[error("backend {kind} is not compiled in; build with the cargo feature {feature:?}{}", alternatives())]
    NotCompiledIn {
        /// The backend asked for.
        kind: BackendKind,
        /// The cargo feature to add.
        feature: &'static str,
    },
}

fn alternatives() -> String {
    match BackendKind::compiled_in().as_slice() {
        [] => String::new(),
        kinds => format!(", or choose {}", kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ")),
    }
}

/// Runs a task on the default device of a backend.
///
/// # Errors
/// If the backend is not compiled in.
pub fn with_backend<T: BackendTask>(kind: BackendKind, task: T) -> Result<T::Output, BackendError> {
    match kind {
        #[cfg(feature = "flex")]
        BackendKind::Flex => Ok(on::<burn_flex::Flex, T>(task)),
        #[cfg(feature = "ndarray")]
        BackendKind::Ndarray => Ok(on::<burn_ndarray::NdArray, T>(task)),
        // In a build with every backend nothing is left to reach this.
        #[allow(unreachable_patterns)]
        kind => {
            // A build without any backend has nowhere to run the task.
            drop(task);
            Err(BackendError::NotCompiledIn { kind, feature: kind.feature() })
        }
    }
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn on<B: Backend, T: BackendTask>(task: T) -> T::Output {
    task.run::<B>(B::Device::default())
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
                Err(error) => {
                    assert!(!kind.is_compiled_in());
                    assert!(error.to_string().contains(&format!("cargo feature {:?}", kind.feature())), "{error}");
                }
            }
        }
    }
}
