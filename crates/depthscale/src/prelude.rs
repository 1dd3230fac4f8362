//! What most programs need: `use depthscale::prelude::*;`.

#[cfg(feature = "flex")]
pub use depthscale_backends::Flex;
#[cfg(feature = "ndarray")]
pub use depthscale_backends::NdArray;
pub use depthscale_backends::{Backend, BackendKind, BackendTask, Device, with_backend};
#[cfg(feature = "cuda")]
pub use depthscale_backends::{Cuda, CudaDevice};
#[cfg(feature = "wgpu")]
pub use depthscale_backends::{Wgpu, WgpuDevice};
pub use depthscale_decoder::{ModelDirectory, Prefill, RecurrentDecoder};
pub use depthscale_text::ChatMessage;
pub use depthscale_types::{
    Criterion, DepthTrace, ExitPolicy, ExitReason, KvRetention, MemoryReport, ReasoningState, SamplingParams,
    TokenTrace,
};

pub use crate::{
    Completion, CompletionOptions, CompletionRequest, CompletionToken, LanguageModel, Piece, Prompt, Stop,
};
