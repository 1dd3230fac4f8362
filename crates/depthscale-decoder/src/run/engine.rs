//! Runs feeds through the decoder, chunk by chunk.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_types::{BlockEvaluations, Evidence, TokenTrace};

use super::feed::{Feed, FeedOutput, LogitRows, Prefill, RunOptions, RunOutput};
use super::wave::Wave;
use crate::block::RecurrentBlock;
use crate::cache::{Phase, SequenceCache};
use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use crate::exit::ExitRule;

impl<B: Backend, K: Module<B> + RecurrentBlock<B>> RecurrentDecoder<B, K> {
    /// Feeds tokens of several sequences, whose lengths may differ.
    ///
    /// Tokens are computed in chunks of at most [`RunOptions::chunk`] rows, those of different sequences together; the
    /// result does not depend on the chunks. Where exits or the retention policy need it, the tokens of a sequence run one
    /// after the other.
    ///
    /// # Errors
    /// Before anything is computed: no tokens, a token outside the vocabulary, more tokens than positions or capacity, an
    /// exit rule that needs what the model lacks, an initial state of another shape. After: a state that is not finite;
    /// the sequences are then as long as before the chunk that failed.
    pub fn run(&self, feeds: &mut [Feed<'_, B>], options: &mut RunOptions<'_, B>) -> Result<RunOutput<B>> {
        let max_steps = self.check(feeds, options)?;
        depthscale_kernels::on_workers::<B, _>(|| self.run_checked(feeds, options, max_steps))
    }

    fn run_checked(
        &self,
        feeds: &mut [Feed<'_, B>],
        options: &mut RunOptions<'_, B>,
        max_steps: usize,
    ) -> Result<RunOutput<B>> {
        let mut outputs: Vec<Partial<B>> = feeds.iter().map(|_| Partial::default()).collect();
        let mut evaluations = BlockEvaluations::default();
        let mut done = vec![0; feeds.len()];
        loop {
            let unfinished: Vec<usize> = (0..feeds.len()).filter(|&i| done[i] < feeds[i].tokens.len()).collect();
            if unfinished.is_empty() {
                break;
            }
            let share = (options.chunk / unfinished.len()).max(1);
            let mut chunks = Vec::with_capacity(unfinished.len());
            for (i, feed) in feeds.iter_mut().enumerate() {
                if done[i] == feed.tokens.len() {
                    continue;
                }
                let together = if self.runs_token_by_token(feed, options) { 1 } else { share };
                let end = feed.tokens.len().min(done[i] + together);
                chunks.push(Chunk::new(i, feed, done[i]..end, self));
                done[i] = end;
            }
            let mut wave = Wave { decoder: self, options, max_steps, evaluations: &mut evaluations };
            let computed = wave.run(&mut chunks)?;
            for (chunk, (logits, traces)) in chunks.iter().zip(computed) {
                outputs[chunk.feed].logits.extend(logits);
                outputs[chunk.feed].traces.extend(traces);
            }
        }
        Ok(RunOutput { feeds: outputs.into_iter().map(Partial::finish).collect(), evaluations })
    }

    fn runs_token_by_token(&self, feed: &Feed<'_, B>, options: &RunOptions<'_, B>) -> bool {
        let exits_look_ahead = options.exit.evidence() == Evidence::Logits && self.config.readout_mixes_tokens();
        exits_look_ahead || (options.prefill == Prefill::Exact && feed.cache.runs_token_by_token(feed.phase))
    }

    /// That the model has what a rule looks at.
    pub(crate) fn check_applicable(&self, rule: &ExitRule<B>) -> Result<()> {
        if rule.evidence() == Evidence::Gate && self.exit_gate.is_none() {
            let criterion = rule.criterion().name();
            return Err(DecoderError::CriterionNotApplicable { criterion, needs: "an exit gate" });
        }
        Ok(())
    }

    /// That tokens from position `start` on are some, fit the model's positions and are in its vocabulary.
    pub(super) fn check_tokens(&self, tokens: &[u32], start: usize) -> Result<()> {
        if tokens.is_empty() {
            return Err(DecoderError::EmptyPrompt);
        }
        let (needed, limit) = (start + tokens.len(), self.config.max_positions);
        if needed > limit {
            return Err(DecoderError::PositionLimit { needed, limit });
        }
        let vocab_size = self.config.vocab_size;
        match tokens.iter().position(|&token| token as usize >= vocab_size) {
            Some(at) => Err(DecoderError::TokenOutOfRange { token: tokens[at], position: start + at, vocab_size }),
            None => Ok(()),
        }
    }

    /// Everything that can be told before computing; returns the last step.
    fn check(&self, feeds: &[Feed<'_, B>], options: &RunOptions<'_, B>) -> Result<usize> {
        let layout = self.cache_layout();
        for feed in feeds {
            self.check_tokens(feed.tokens, feed.cache.len())?;
            if *feed.cache.layout() != layout {
                return Err(DecoderError::ForeignCache { message: "its layers, heads or widths are others".into() });
            }
            let needed = feed.cache.len() + feed.tokens.len();
            if needed > feed.cache.capacity() {
                return Err(DecoderError::CacheFull { needed, capacity: feed.cache.capacity() });
            }
            if let Some(state) = &feed.initial_state {
                let expected = [feed.tokens.len(), self.config.d_model];
                if state.dims() != expected {
                    let found = state.dims().to_vec();
                    return Err(DecoderError::Shape { what: "the initial state", found, expected: expected.to_vec() });
                }
            }
            if let LogitRows::At(rows) = &feed.logits {
                let ascending = rows.windows(2).all(|pair| pair[0] < pair[1]);
                if !ascending || rows.last().is_some_and(|&last| last >= feed.tokens.len()) {
                    let expected = vec![feed.tokens.len()];
                    return Err(DecoderError::Shape { what: "rows that need logits", found: rows.clone(), expected });
                }
            }
        }
        self.check_applicable(options.exit)?;
        options.exit.max_steps(self.config.depth)
    }
}

/// The outputs of a feed's chunks.
struct Partial<B: Backend> {
    logits: Vec<Tensor<B, 2>>,
    traces: Vec<TokenTrace>,
}

impl<B: Backend> Default for Partial<B> {
    fn default() -> Self {
        Self { logits: Vec::new(), traces: Vec::new() }
    }
}

impl<B: Backend> Partial<B> {
    fn finish(mut self) -> FeedOutput<B> {
        let logits = match self.logits.len() {
            0 => None,
            1 => self.logits.pop(),
            _ => Some(Tensor::cat(self.logits, 0)),
        };
        FeedOutput { logits, traces: self.traces }
    }
}

/// The tokens of one feed that are computed now.
pub(super) struct Chunk<'a, 'c, B: Backend> {
    pub(super) feed: usize,
    pub(super) cache: &'a mut SequenceCache<B>,
    pub(super) tokens: &'c [u32],
    pub(super) phase: Phase,
    /// Offsets in the chunk of the tokens that need logits, ascending.
    pub(super) logits: Vec<usize>,
    pub(super) initial_state: Option<Tensor<B, 2>>,
}

impl<'a, 'c, B: Backend> Chunk<'a, 'c, B> {
    fn new<K: Module<B>>(
        feed_index: usize,
        feed: &'a mut Feed<'c, B>,
        range: std::ops::Range<usize>,
        decoder: &RecurrentDecoder<B, K>,
    ) -> Self {
        let logits = match &feed.logits {
            LogitRows::None => Vec::new(),
            LogitRows::Last if range.end == feed.tokens.len() => vec![range.len() - 1],
            LogitRows::Last => Vec::new(),
            LogitRows::All => (0..range.len()).collect(),
            LogitRows::At(rows) => rows.iter().filter(|row| range.contains(row)).map(|row| row - range.start).collect(),
        };
        let d_model = decoder.config.d_model;
        Self {
            feed: feed_index,
            tokens: &feed.tokens[range.clone()],
            phase: feed.phase,
            logits,
            initial_state: feed.initial_state.as_ref().map(|state| state.clone().slice([range, 0..d_model])),
            cache: feed.cache,
        }
    }
}
