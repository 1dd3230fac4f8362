//! Prefill and decode of a decoder, each as a piece of work that can be repeated.

use std::cell::OnceCell;

use burn::tensor::backend::Backend;
use depthscale_decoder::{
    ExitRule, Feed, LogitRows, Phase as Fed, Prefill, RecurrentDecoder, RunOptions, SequenceCache, SequenceOptions,
};
use depthscale_types::{BlockEvaluations, MemoryQuery, WorkQuery};

use crate::error::Result;
use crate::plan::Plan;
use crate::record::{Case, Phase};
use crate::timing::Timing;

/// The caches of all sequences.
type Caches<B> = Vec<SequenceCache<B>>;

/// A case of a decoder that can be run.
pub(crate) struct Workload<'d, B: Backend> {
    pub(crate) decoder: &'d RecurrentDecoder<B>,
    pub(crate) case: Case,
    rule: ExitRule<B>,
    /// Made when first read: until then nothing of the case's size is allocated.
    prompts: OnceCell<Vec<Vec<u32>>>,
}

impl<'d, B: Backend> Workload<'d, B> {
    pub(crate) fn new(decoder: &'d RecurrentDecoder<B>, case: Case) -> Self {
        Self { decoder, case, rule: ExitRule::fixed(case.depth), prompts: OnceCell::new() }
    }

    fn prompts(&self) -> &[Vec<u32>] {
        let Case { context, batch, .. } = self.case;
        let vocab_size = self.decoder.config().vocab_size;
        // Any tokens: every one of them takes all steps.
        let token = |sequence: usize, at: usize| ((sequence * 31 + at * 7919) % vocab_size) as u32;
        let prompt = |sequence| (0..context).map(|at| token(sequence, at)).collect();
        self.prompts.get_or_init(|| (0..batch).map(prompt).collect())
    }

    /// Tokens decoded before the sequences begin anew.
    fn decoded(&self) -> usize {
        Plan::decoded(self.case.context, self.decoder.config().max_positions)
    }

    /// Rows for which memory is set aside in every sequence.
    fn reserve(&self) -> usize {
        match self.case.phase {
            Phase::Prefill => self.case.context,
            Phase::Decode => self.case.context + self.decoded(),
        }
    }

    /// Rows computed at once.
    fn rows(&self) -> usize {
        let Case { phase, retention, batch, .. } = self.case;
        match phase {
            Phase::Prefill if !retention.prefills_token_by_token() => self.rows_of_prompts(),
            Phase::Prefill | Phase::Decode => batch,
        }
    }

    /// Rows of prompts computed at once where they run together: at least one of every sequence.
    fn rows_of_prompts(&self) -> usize {
        let Case { context, batch, chunk, .. } = self.case;
        chunk.max(batch).min(batch.saturating_mul(context))
    }

    /// The memory of this case in the terms of the prediction.
    pub(crate) fn memory_query(&self) -> MemoryQuery {
        MemoryQuery {
            context: self.reserve(),
            batch: self.case.batch,
            depth: self.case.depth,
            chunk: self.rows(),
            retention: self.case.retention,
            weights: self.case.weights,
            caches: self.case.cached_in(),
        }
    }

    /// The most memory that measuring this case takes: before it decodes, it reads its prompts.
    pub(crate) fn peak_query(&self) -> MemoryQuery {
        let query = self.memory_query();
        MemoryQuery {
            chunk: query.chunk.max(self.rows_of_prompts()),
            retention: self.case.retention.while_reading(),
            ..query
        }
    }

    /// The work of one sample in the terms of the config.
    pub(crate) fn work_query(&self) -> WorkQuery {
        let (context, tokens) = match self.case.phase {
            Phase::Prefill => (0, self.case.context),
            Phase::Decode => (self.case.context, 1),
        };
        WorkQuery {
            context,
            tokens,
            batch: self.case.batch,
            depth: self.case.depth,
            chunk: self.rows(),
            weights: self.case.weights,
            caches: self.case.cached_in(),
        }
    }

    /// Empty caches for all sequences.
    pub(crate) fn caches(&self) -> Result<Caches<B>> {
        let sequence = |id: usize| {
            let Case { retention, cache_dtype, .. } = self.case;
            Ok(self.decoder.new_sequence(SequenceOptions {
                id: id as u64,
                reserve: self.reserve(),
                retention,
                cache_dtype,
                ..Default::default()
            })?)
        };
        (0..self.case.batch).map(sequence).collect()
    }

    /// Reads every sequence's prompt.
    pub(crate) fn prefill(&self, caches: &mut Caches<B>, prefill: Prefill) -> Result<BlockEvaluations> {
        let prompts = self.prompts().iter().map(Vec::as_slice).collect();
        self.feed(caches, prompts, Fed::Prompt, prefill)
    }

    /// Takes one token in for every sequence.
    pub(crate) fn decode(&self, caches: &mut Caches<B>) -> Result<BlockEvaluations> {
        let last = self.prompts().iter().map(|prompt| &prompt[prompt.len() - 1..]).collect();
        self.feed(caches, last, Fed::Generation, Prefill::Exact)
    }

    fn feed(
        &self,
        caches: &mut Caches<B>,
        tokens: Vec<&[u32]>,
        phase: Fed,
        prefill: Prefill,
    ) -> Result<BlockEvaluations> {
        let feeds = caches.iter_mut().zip(tokens);
        let mut feeds: Vec<_> = feeds
            .map(|(cache, tokens)| Feed { cache, tokens, phase, logits: LogitRows::Last, initial_state: None })
            .collect();
        let mut options = RunOptions { chunk: self.case.chunk, prefill, ..RunOptions::new(&self.rule) };
        Ok(self.decoder.run(&mut feeds, &mut options)?.evaluations)
    }

    /// Seconds of every sample. `between` runs before each, off the clock, and before those that warm up.
    pub(crate) fn seconds(&self, timing: &Timing, between: &mut dyn FnMut()) -> Result<Vec<f64>> {
        let device = self.decoder.device();
        match self.case.phase {
            Phase::Prefill => {
                let prepare = |caches: &mut Caches<B>| {
                    between();
                    // The last sample's are given back before new ones are taken.
                    caches.clear();
                    *caches = self.caches()?;
                    Ok(())
                };
                let work = |caches: &mut Caches<B>| self.prefill(caches, Prefill::Exact).map(drop);
                timing.seconds::<B, _>(&device, &mut Caches::new(), prepare, work)
            }
            Phase::Decode => {
                let prepare = |(caches, decoded): &mut (Caches<B>, usize)| {
                    between();
                    if caches.is_empty() || *decoded == self.decoded() {
                        caches.clear();
                        *caches = self.caches()?;
                        // What the caches hold does not matter to the clock: a short cut is as good.
                        self.prefill(caches, Prefill::ApproximateParallel)?;
                        *decoded = 0;
                    }
                    Ok(())
                };
                let work = |(caches, decoded): &mut (Caches<B>, usize)| {
                    *decoded += 1;
                    self.decode(caches).map(drop)
                };
                timing.seconds::<B, _>(&device, &mut (Caches::new(), 0), prepare, work)
            }
        }
    }
}
