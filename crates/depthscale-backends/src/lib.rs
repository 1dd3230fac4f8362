//! Backends of DepthScale: which ones a build holds, and the choice among them at run time.
//!
//! The rest of the engine is generic over burn's [`Backend`] trait. Here its concrete backends have names: each is a
//! cargo feature, features add up, and a program asks for one of those compiled in by its [`BackendKind`]. Asking for
//! another is a [`BackendError`] that names the feature to add.
//!
//! | kind | feature | what it is |
//! |---|---|---|
//! | [`BackendKind::Flex`] | `flex` (default) | burn-flex on the CPU, the fastest there |
//! | [`BackendKind::Ndarray`] | `ndarray` | burn-ndarray on the CPU |
//! | [`BackendKind::Wgpu`] | `wgpu` | burn-wgpu: Vulkan, Metal, DX12, in WGSL |
//! | [`BackendKind::Cuda`] | `cuda` | burn-cuda: NVIDIA |
//! | [`BackendKind::Auto`] | any | the best of those compiled in that answers |
//!
//! `fusion` and `autotune` are features of their own, off unless asked for; they change WGPU and CUDA only, and burn has
//! open reports of wrong results under them: [`BackendKind::reported_faults`].
//!
//! burn panics where a driver, an adapter or a number format is missing. So devices are looked for before burn opens one,
//! and [`BackendKind::probe`] has the one found multiply two small matrices: what cannot work is an error that says what
//! to do, not a panic. [`Device::check_memory`] compares a predicted [`MemoryReport`](depthscale_types::MemoryReport) with
//! what is free. An allocation that fails after that ends the process.
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

#[cfg(feature = "cuda")]
mod cuda_devices;
mod device;
mod error;
mod heap;
mod kind;
mod memory;
mod probe;
mod reported;
mod resident;
mod system;
mod task;
#[cfg(feature = "wgpu")]
mod wgpu_adapters;

pub use burn::tensor::backend::Backend;
#[cfg(feature = "cuda")]
pub use burn_cuda::{Cuda, CudaDevice};
#[cfg(feature = "flex")]
pub use burn_flex::Flex;
#[cfg(feature = "ndarray")]
pub use burn_ndarray::NdArray;
#[cfg(feature = "wgpu")]
pub use burn_wgpu::{Wgpu, WgpuDevice};
pub use device::{Device, DeviceClass};
pub use error::BackendError;
pub use heap::CountingAllocator;
pub use kind::BackendKind;
pub use memory::MemoryReading;
pub use probe::devices;
pub use reported::ReportedFault;
pub use resident::peak_resident_bytes;
pub use system::{Machine, machine};
pub use task::{BackendTask, with_backend};
