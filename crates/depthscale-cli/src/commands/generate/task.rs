//! The part that runs on a backend.

use std::ops::ControlFlow;

use depthscale::prelude::*;

use crate::failure::warn_of_reports;
use crate::progress::{Shown, Verbosity, loading, spinner};

/// Sees every piece as it comes, and the sign of life that is shown meanwhile.
pub(super) type OnPiece<'a> = dyn FnMut(&Piece<'_>, &Shown) -> ControlFlow<()> + 'a;

/// Loads a model and continues prompts.
pub(super) struct Complete<'a, 'p> {
    pub(super) directory: &'a ModelDirectory,
    pub(super) device: &'a depthscale::backends::Device,
    pub(super) requests: &'a [CompletionRequest],
    pub(super) options: &'a CompletionOptions,
    pub(super) verbosity: Verbosity,
    pub(super) on_piece: &'a mut OnPiece<'p>,
}

impl BackendTask for Complete<'_, '_> {
    type Output = depthscale::Result<Vec<Completion>>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let bar = loading(self.directory.config().parameter_count(), self.verbosity);
        let model = LanguageModel::<B>::load(self.directory, &device, &mut |loaded| bar.position(loaded));
        drop(bar);
        let model = model?;
        model.check_memory(self.device, self.requests, self.options)?;
        warn_of_reports(&model.check_backend(self.device.kind)?, self.verbosity);
        let progress = spinner("reading", self.verbosity);
        model.complete_all(self.requests, self.options, |piece| (self.on_piece)(piece, &progress))
    }
}
