//! The few operations that decide speed, as functions over any burn [`Backend`](burn::tensor::backend::Backend).
//!
//! Each operation is written once in plain burn operations. Where the backend's tensor turns out to be burn-flex's, which a checked
//! downcast of the primitive tells, it takes a path of its own that works on the memory directly; with the feature `autodiff` so do
//! burn-autodiff's tensors around flex's, with gradients of their own. Every other backend takes the plain one. Callers see nothing
//! of it. [`on_workers`] is for those who call many of them one after the other, [`each_on_workers`] for several sequences.
//!
//! | operation | why the plain path is not enough on flex |
//! |---|---|
//! | [`KeptRows::write`] | `slice_assign` copies the whole cache on every append |
//! | [`KeptRows::keep`] | rows pass through f64 on their way to 16 bits, on one thread |
//! | [`project`] | one row is multiplied on one thread, which does not use up the memory's bandwidth; of more rows both factors are turned first, on one thread, too |
//! | [`project_packed`] | weights in fewer bits than f32 ([`PackedWeight`]) would be unpacked for every product; blocks are multiplied in whole numbers where the machine adds up bytes |
//! | [`project_all`] | weights with the same rows would each be shared among threads, which wait for one another every time |
//! | [`attend`] | all scores are in memory at once, a single query is computed on one thread, and sequences come one after the other |
//! | [`rotate`] | strided slices and broadcasts run element by element, slower than the product before them |
//! | [`softmax_visible`] | adding a mask walks the scores once more, element by element |
//! | [`attend_sequences`] | sequences of different lengths would be padded, scores and their gradients kept in memory |
//! | [`rms_norm`], [`swiglu`], [`add`], [`cross_entropy`] | a pass over memory for each of several element-wise steps, on one thread |
//!
//! ```
//! use burn::tensor::Tensor;
//! use burn_flex::Flex;
//! use depthscale_kernels::project;
//!
//! let device = Default::default();
//! let weight = Tensor::<Flex, 2>::from_floats([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &device);
//! let rows = Tensor::from_floats([[1.0, 1.0]], &device);
//! let product: Vec<f32> = project(weight, rows).into_data().iter().collect();
//! assert_eq!(product, [3.0, 7.0, 11.0]);
//! ```

#[cfg_attr(not(feature = "flex"), allow(dead_code, reason = "the rest of it multiplies on flex"))]
mod ahead;
mod attend;
#[cfg(feature = "flex")]
mod block_rows;
mod cast;
#[cfg(feature = "flex")]
mod cut;
#[cfg_attr(not(feature = "flex"), allow(dead_code, reason = "the rest of it multiplies on flex"))]
mod decode;
#[cfg(feature = "flex")]
mod few_rows;
#[cfg(all(feature = "flex", target_arch = "x86_64"))]
mod fixed;
#[cfg(all(feature = "flex", target_arch = "x86_64"))]
mod fixed_rows;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod fused;
#[cfg(all(test, feature = "flex", feature = "autodiff"))]
mod gradients;
#[cfg_attr(not(feature = "flex"), allow(dead_code, reason = "the rest of it multiplies on flex"))]
mod groups;
mod heads;
mod kept;
#[cfg_attr(not(feature = "flex"), allow(dead_code, reason = "the rest of it multiplies on flex"))]
mod lanes;
mod likelihood;
#[cfg(feature = "flex")]
mod many_rows;
mod norm;
mod packed;
mod product;
mod rotary;
mod sequences;
mod softmax;
mod stored;
mod sum;
mod swiglu;
#[cfg_attr(not(feature = "flex"), allow(dead_code, reason = "the rest of it multiplies on flex"))]
mod tile;
#[cfg(all(feature = "flex", feature = "autodiff"))]
mod tracked;
#[cfg_attr(not(feature = "flex"), allow(dead_code, reason = "operations on flex are compiled with it"))]
mod vector;
#[cfg(target_arch = "x86_64")]
#[cfg_attr(not(feature = "flex"), allow(dead_code, reason = "products on flex are computed with it"))]
mod vnni;
#[cfg(feature = "flex")]
mod weights;
mod workers;

pub use attend::{Seen, attend};
pub use heads::HeadShape;
pub use kept::KeptRows;
pub use likelihood::cross_entropy;
pub use norm::rms_norm;
pub use packed::{PackError, PackedWeight};
pub use product::{keeps_packed, project, project_all, project_packed};
pub use rotary::rotate;
pub use sequences::{Sequences, attend_sequences};
pub use softmax::{Visible, softmax_visible};
pub use stored::StoredWeight;
pub use sum::add;
pub use swiglu::swiglu;
pub use workers::{each_on_workers, on_workers};
