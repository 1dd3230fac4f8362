//! A model with its tokenizer.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use depthscale_backends::{BackendKind, Device, ReportedFault};
use depthscale_decoder::{DecoderError, ModelDirectory, RecurrentDecoder};
use depthscale_text::{ChatMessage, ChatTemplate, EndTokens, HUGINN_END_MARKERS, OURO_END_MARKERS, TextTokenizer};
use depthscale_types::{
    DecoderConfig, ExitPolicy, ExitReason, Family, KvRetention, MemoryQuery, MemoryReport, ReasoningState, StepReport,
};

use crate::{BuiltinModel, Completion, CompletionOptions, CompletionRequest, Error, Piece, Prompt, Result};

/// A looped language model: text in, text out.
#[derive(Debug)]
pub struct LanguageModel<B: Backend> {
    decoder: RecurrentDecoder<B>,
    tokenizer: TextTokenizer,
    end_tokens: EndTokens,
    exit: ExitPolicy,
    path: PathBuf,
    /// Kept so that `path` stays.
    _unpacked: Option<BuiltinModel>,
}

impl<B: Backend> LanguageModel<B> {
    /// Opens a model directory of any known family: config.json, safetensors, tokenizer.json.
    ///
    /// # Errors
    /// If a file is missing or malformed, the family or a feature is not known, a tensor does not fit, or the tokenizer
    /// has ids that the model has not.
    pub fn open(dir: &Path, device: &B::Device) -> Result<Self> {
        Self::open_with_progress(dir, device, &mut |_| {})
    }

    /// The same; `progress` is told the number of parameters loaded so far.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_progress(dir: &Path, device: &B::Device, progress: &mut (dyn FnMut(u64) + Send)) -> Result<Self> {
        Self::load(&ModelDirectory::open(dir)?, device, progress)
    }

    /// Loads a directory that was opened before. The tokenizer is read first, so that what is wrong with it shows before
    /// the weights are loaded.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn load(
        directory: &ModelDirectory,
        device: &B::Device,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Self> {
        let path = directory.path();
        let tokenizer = TextTokenizer::open(path)?;
        let vocab_size = directory.config().vocab_size;
        if tokenizer.id_bound() > vocab_size {
            let highest = tokenizer.id_bound() - 1;
            return Err(Error::VocabularyMismatch { path: path.to_path_buf(), highest, vocab_size });
        }
        let end_tokens = EndTokens::resolve(path, end_markers(directory.config().family), &tokenizer)?;
        Ok(Self {
            decoder: directory.load(device, progress)?,
            tokenizer,
            end_tokens,
            exit: directory.exit().clone(),
            path: path.to_path_buf(),
            _unpacked: None,
        })
    }

    /// The model, with the directory that it was loaded from for as long as it is there.
    pub(crate) fn keeping(mut self, unpacked: BuiltinModel) -> Self {
        self._unpacked = Some(unpacked);
        self
    }

    /// The decoder inside.
    pub fn decoder(&self) -> &RecurrentDecoder<B> {
        &self.decoder
    }

    /// The config of the decoder.
    pub fn config(&self) -> &DecoderConfig {
        self.decoder.config()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// The tokens that end a text.
    pub fn end_tokens(&self) -> &EndTokens {
        &self.end_tokens
    }

    /// The exit its config asks for.
    pub fn exit(&self) -> &ExitPolicy {
        &self.exit
    }

    /// The token ids of a prompt.
    ///
    /// # Errors
    /// If the vocabulary cannot express the text, or the checkpoint has no chat template, or the template refuses the
    /// messages.
    pub fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        Ok(match prompt {
            Prompt::Text(text) => self.tokenizer.encode(text)?,
            Prompt::Tokens(ids) => ids.clone(),
            Prompt::Chat(messages) => {
                let rendered = ChatTemplate::open(&self.path)?.render(messages, true)?;
                self.tokenizer.encode_plain(&rendered)?
            }
        })
    }

    /// Continues a prompt greedily under the model's own exit.
    ///
    /// # Errors
    /// As [`Self::complete`].
    pub fn process_input(&self, prompt: &str) -> Result<Completion> {
        self.complete(prompt, &CompletionOptions::default(), |_| ControlFlow::Continue(()))
    }

    /// Answers a conversation: [`Self::complete`] for messages, which go through the checkpoint's chat template.
    ///
    /// # Errors
    /// As [`Self::complete`] and [`Self::encode`].
    pub fn chat(
        &self,
        messages: &[ChatMessage],
        options: &CompletionOptions,
        on_piece: impl FnMut(&Piece<'_>) -> ControlFlow<()>,
    ) -> Result<Completion> {
        self.complete(messages, options, on_piece)
    }

    /// Thinks a prompt over until the policy is satisfied, with what the model would say next after each step. Under a
    /// criterion of logits only checks are read out, and each is one record.
    ///
    /// # Errors
    /// If the prompt is empty or does not fit the model, the policy is not one the model can follow, or the state stops
    /// being finite.
    pub fn reason(
        &self,
        prompt: impl Into<Prompt>,
        policy: &ExitPolicy,
        retention: KvRetention,
    ) -> Result<ReasoningState> {
        let prompt = prompt.into();
        let ids = self.encode(&prompt)?;
        let reasoned = self.decoder.reason(&ids, policy, retention)?;
        let input = match prompt {
            Prompt::Text(text) => text,
            Prompt::Chat(_) | Prompt::Tokens(_) => self.tokenizer.decode(&ids)?,
        };
        let mut state = ReasoningState::new(input);
        for hypothesis in &reasoned.hypotheses {
            let step = hypothesis.step;
            let converged = step == reasoned.trace.steps && reasoned.trace.reason == ExitReason::Converged;
            let exit_value = reasoned.trace.values.get(step - 1).copied().flatten();
            let report = StepReport { step, metric: hypothesis.metric, exit_value, converged };
            state.record(report, Some(self.tokenizer.token_text(hypothesis.token)));
        }
        Ok(state)
    }

    /// The memory that one sequence of `context` tokens needs at `depth` steps, term by term, with caches in the model's dtype.
    ///
    /// [`DecoderConfig::predict_memory`] answers for batches and other formats.
    #[doc(alias = "calculate_memory")]
    pub fn memory(&self, context: usize, depth: usize, retention: KvRetention) -> MemoryReport {
        self.config().predict_memory(&MemoryQuery {
            context,
            batch: 1,
            depth,
            chunk: context.min(CompletionOptions::default().chunk),
            retention,
            weights: self.decoder.weights(),
            caches: self.decoder.dtype().into(),
        })
    }

    /// Checks the model on a backend of which wrong results are reported to burn, as in builds with fusion: a text must give
    /// the same logits with a cache as without, see [`RecurrentDecoder::check_cached_decoding`]. Returns those reports; none,
    /// and nothing is checked, on others. What passes may still be wrong in other shapes.
    ///
    /// # Errors
    /// If the logits differ: text would be wrong.
    pub fn check_backend(&self, kind: BackendKind) -> Result<Vec<ReportedFault>> {
        let faults = kind.reported_faults();
        if let Some(&ReportedFault { issue, what }) = faults.first() {
            self.decoder.check_cached_decoding().map_err(|source| match source {
                DecoderError::CachedDecodingDiffers { .. } => Error::FaultyBackend { issue, what, source },
                other => other.into(),
            })?;
        }
        Ok(faults)
    }

    /// The memory that requests need at the most when they run together, term by term; the weights are among the terms.
    ///
    /// # Errors
    /// If a prompt cannot be expressed.
    pub fn memory_of(&self, requests: &[CompletionRequest], options: &CompletionOptions) -> Result<MemoryReport> {
        let policy = options.exit.as_ref().unwrap_or_else(|| self.exit());
        let retention = options.retention.while_reading();
        let depth = policy.max_steps.unwrap_or(self.config().depth);
        let caches = options.cache_dtype.unwrap_or(self.decoder.dtype().into());
        let of = |context, batch, chunk| {
            let weights = self.decoder.weights();
            self.config().predict_memory(&MemoryQuery { context, batch, depth, chunk, retention, weights, caches })
        };
        let mut together = MemoryReport::default();
        let mut rows = 0;
        let mut longest = 1;
        for request in requests {
            let prompt = self.encode(&request.prompt)?.len();
            let new = request.max_new_tokens.unwrap_or(options.max_new_tokens);
            let context = prompt.saturating_add(new).min(self.config().max_positions);
            let alone = of(context, 1, context);
            together.global_kv = together.global_kv.saturating_add(alone.global_kv);
            together.per_step_kv = together.per_step_kv.saturating_add(alone.per_step_kv);
            rows += prompt;
            longest = longest.max(context);
        }
        let widest = of(longest, requests.len(), rows.min(options.chunk.max(requests.len())));
        Ok(MemoryReport { weights: widest.weights, activations: widest.activations, ..together })
    }

    /// Checks that requests fit the device beside the model, which is loaded already. burn ends the process where an
    /// allocation on a device fails: ask before.
    ///
    /// # Errors
    /// If they are predicted to need more than is free, or as [`Self::memory_of`].
    pub fn check_memory(
        &self,
        device: &Device,
        requests: &[CompletionRequest],
        options: &CompletionOptions,
    ) -> Result<()> {
        let beside = MemoryReport { weights: 0, ..self.memory_of(requests, options)? };
        Ok(device.refreshed()?.check_memory(self.config(), self.decoder.weights(), &beside)?)
    }
}

/// The end markers a family was published with.
fn end_markers(family: Family) -> &'static [(u32, &'static str)] {
    match family {
        Family::Ouro => OURO_END_MARKERS,
        Family::Huginn => HUGINN_END_MARKERS,
        Family::Yoco | Family::YocoU | Family::Native => &[],
    }
}
