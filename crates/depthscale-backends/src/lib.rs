//! Backends of DepthScale: which ones a build holds, and the choice among them at run time.
//!
//! The rest of the engine is generic over burn's [`Backend`] trait. Here its concrete backends have names: each is a
//! cargo feature, features add up, and a program asks for one of those compiled in by its [`BackendKind`]. Asking for
//! another is a [`BackendError`] that names the feature to add.
//!
//! | kind | feature | what it is |
//! |---|---|---|
//! | [`BackendKind::Flex`] | `flex` (default) | burn-flex on the CPU, the fastest here |
//! | [`BackendKind::Ndarray`] | `ndarray` | burn-ndarray on the CPU |
//!
//! Code that runs on a backend chosen at run time is a [`BackendTask`]:
//!
//! ```
//! use burn::tensor::{Tensor, backend::Backend};
//! use depthscale_backends::{BackendKind, BackendTask, with_backend};
//!
//! struct Sum(Vec<f32>);
//!
//! impl BackendTask for Sum {
//!     type Output = f32;
//!
//!     fn run<B: Backend>(self, device: B::Device) -> f32 {
//!         let sum = Tensor::<B, 1>::from_floats(self.0.as_slice(), &device).sum();
//!         sum.into_data().iter::<f32>().sum()
//!     }
//! }
//!
//! for kind in BackendKind::compiled_in() {
//!     assert_eq!(with_backend(kind, Sum(vec![1.0, 2.0]))?, 3.0);
//! }
//! # Ok::<(), depthscale_backends::BackendError>(())
//! ```

mod kind;
mod resident;
mod task;

pub use burn::tensor::backend::Backend;
#[cfg(feature = "flex")]
pub use burn_flex::Flex;
#[cfg(feature = "ndarray")]
pub use burn_ndarray::NdArray;
pub use kind::BackendKind;
pub use resident::peak_resident_bytes;
pub use task::{BackendError, BackendTask, with_backend};
