//! Generating tokens: prompts read together, then one token after another, each with its trace.

mod sampler;

use std::ops::ControlFlow;

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_types::{BlockEvaluations, CacheDtype, DepthTrace, KvRetention, SamplingParams, TokenTrace};

use crate::block::RecurrentBlock;
use crate::cache::{Phase, SequenceCache, SequenceOptions};
use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use crate::exit::ExitRule;
use crate::read::read;
use crate::run::{Feed, LogitRows, Prefill, RunOptions};
pub use sampler::Sampler;

/// A prompt to be continued.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The request's own id: with the seed of its sampling it decides draws and random initial states.
    pub id: u64,
    /// Token ids, at least one.
    pub prompt: Vec<u32>,
    /// Most tokens to generate.
    pub max_new_tokens: usize,
    /// How tokens are drawn.
    pub sampling: SamplingParams,
    /// Token ids that end the text; they are not part of it.
    pub end_tokens: Vec<u32>,
}

/// How requests are run.
pub struct GenerateOptions<'o, B: Backend> {
    /// When tokens stop recurring.
    pub exit: &'o ExitRule<B>,
    /// Which keys and values are kept.
    pub retention: KvRetention,
    /// What they are kept in; `None` is the dtype the model computes in.
    pub cache_dtype: Option<CacheDtype>,
    /// Most token rows computed together.
    pub chunk: usize,
    /// Whether prompts may be read approximately.
    pub prefill: Prefill,
    /// Begins every token from zeros where the config says random draws.
    pub zero_initial_state: bool,
}

impl<'o, B: Backend> GenerateOptions<'o, B> {
    /// Options for a rule, the rest as usual.
    pub fn new(exit: &'o ExitRule<B>) -> Self {
        let RunOptions { chunk, prefill, zero_initial_state, .. } = RunOptions::new(exit);
        Self { exit, retention: KvRetention::default(), cache_dtype: None, chunk, prefill, zero_initial_state }
    }

    fn run_options(&self) -> RunOptions<'o, B> {
        RunOptions {
            chunk: self.chunk,
            prefill: self.prefill,
            zero_initial_state: self.zero_initial_state,
            ..RunOptions::new(self.exit)
        }
    }
}

/// A generated token and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedToken {
    /// Its id.
    pub id: u32,
    /// The recurrences that predicted it: those of the token before it.
    pub trace: TokenTrace,
}

/// Why a generation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum StopReason {
    /// An end token was predicted.
    EndToken(GeneratedToken),
    /// As many tokens as were asked for.
    MaxNewTokens,
    /// The model has no further positions.
    PositionLimit,
    /// The caller asked to stop.
    Caller,
}

/// The continuation of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// The tokens, without an end token.
    pub tokens: Vec<GeneratedToken>,
    /// Why it ended.
    pub stop: StopReason,
    /// The recurrences of the prompt's tokens.
    pub prompt: DepthTrace,
}

impl Generation {
    /// The ids of the tokens.
    pub fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }

    /// The recurrences that predicted the tokens, an end token among them.
    pub fn trace(&self) -> DepthTrace {
        let end = match &self.stop {
            StopReason::EndToken(end) => Some(end),
            StopReason::MaxNewTokens | StopReason::PositionLimit | StopReason::Caller => None,
        };
        DepthTrace { tokens: self.tokens.iter().chain(end).map(|token| token.trace.clone()).collect() }
    }
}

/// What a call to [`generate`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOutput {
    /// One for each request.
    pub generations: Vec<Generation>,
    /// Blocks evaluated, summed over token rows.
    pub evaluations: BlockEvaluations,
}

/// A request under way.
struct Running<'r, B: Backend> {
    index: usize,
    request: &'r Request,
    cache: SequenceCache<B>,
    sampler: Sampler,
    /// Tokens of the prompt and those generated.
    seen: Vec<u32>,
}

/// Continues all requests together; each gets the tokens it would get alone.
///
/// `on_token` is called with the request's index and each token as it is drawn; [`ControlFlow::Break`] ends that request.
///
/// # Errors
/// If a prompt is empty or does not fit the model, sampling parameters are not allowed, or the state stops being finite.
pub fn generate<B: Backend, K: Module<B> + RecurrentBlock<B>>(
    decoder: &RecurrentDecoder<B, K>,
    requests: &[Request],
    options: &GenerateOptions<'_, B>,
    on_token: &mut dyn FnMut(usize, &GeneratedToken) -> ControlFlow<()>,
) -> Result<GenerateOutput> {
    let mut running = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        running.push(open(decoder, index, request, options)?);
    }
    let mut output = GenerateOutput { generations: Vec::new(), evaluations: BlockEvaluations::default() };
    if running.is_empty() {
        return Ok(output);
    }
    let mut predicted = read_prompts(decoder, &mut running, options, &mut output)?;
    let limit = decoder.config().max_positions;
    loop {
        let mut going = Vec::with_capacity(running.len());
        for (mut run, (logits, trace)) in running.into_iter().zip(predicted) {
            let generation = &mut output.generations[run.index];
            if generation.tokens.len() == run.request.max_new_tokens {
                continue;
            }
            let token = GeneratedToken { id: run.sampler.sample(logits, &run.seen), trace };
            if run.request.end_tokens.contains(&token.id) {
                generation.stop = StopReason::EndToken(token);
                continue;
            }
            run.seen.push(token.id);
            let asked_to_stop = on_token(run.index, &token).is_break();
            generation.tokens.push(token);
            if asked_to_stop {
                generation.stop = StopReason::Caller;
            } else if generation.tokens.len() < run.request.max_new_tokens {
                if run.cache.len() == limit {
                    generation.stop = StopReason::PositionLimit;
                } else {
                    going.push(run);
                }
            }
        }
        running = going;
        if running.is_empty() {
            return Ok(output);
        }
        predicted = predict_next(decoder, &mut running, options, &mut output.evaluations)?;
    }
}

fn open<'r, B: Backend, K: Module<B> + RecurrentBlock<B>>(
    decoder: &RecurrentDecoder<B, K>,
    index: usize,
    request: &'r Request,
    options: &GenerateOptions<'_, B>,
) -> Result<Running<'r, B>> {
    request.sampling.validate()?;
    let limit = decoder.config().max_positions;
    let prompt = request.prompt.len();
    if prompt > limit {
        return Err(DecoderError::PositionLimit { needed: prompt, limit });
    }
    let seed = request.sampling.seed;
    let reserve = limit.min(prompt.saturating_add(request.max_new_tokens)).min(prompt + MOST_RESERVED_AHEAD);
    let &GenerateOptions { retention, cache_dtype, .. } = options;
    let sequence = SequenceOptions { id: request.id, seed, reserve, capacity: None, retention, cache_dtype };
    let cache = decoder.new_sequence(sequence)?;
    let sampler = Sampler::new(&request.sampling, request.id);
    Ok(Running { index, request, cache, sampler, seen: request.prompt.clone() })
}

/// Rows reserved past the prompt at most, lest a generous `max_new_tokens` allocate what is never used.
const MOST_RESERVED_AHEAD: usize = 1024;

/// Logits on the host and the trace of the token they follow.
type Predicted = Vec<(Vec<f32>, TokenTrace)>;

fn read_prompts<B: Backend, K: Module<B> + RecurrentBlock<B>>(
    decoder: &RecurrentDecoder<B, K>,
    running: &mut [Running<'_, B>],
    options: &GenerateOptions<'_, B>,
    output: &mut GenerateOutput,
) -> Result<Predicted> {
    let mut predicted = Vec::with_capacity(running.len());
    for (logits, traces) in feed(decoder, running, Phase::Prompt, options, &mut output.evaluations)? {
        let Some(last) = traces.last().cloned() else { unreachable!("prompts are not empty") };
        predicted.push((logits, last));
        output.generations.push(Generation {
            tokens: Vec::new(),
            stop: StopReason::MaxNewTokens,
            prompt: DepthTrace { tokens: traces },
        });
    }
    Ok(predicted)
}

fn predict_next<B: Backend, K: Module<B> + RecurrentBlock<B>>(
    decoder: &RecurrentDecoder<B, K>,
    running: &mut [Running<'_, B>],
    options: &GenerateOptions<'_, B>,
    evaluations: &mut BlockEvaluations,
) -> Result<Predicted> {
    let fed = feed(decoder, running, Phase::Generation, options, evaluations)?;
    let token = |(logits, traces): (Vec<f32>, Vec<TokenTrace>)| {
        let Some(trace) = traces.into_iter().next() else { unreachable!("one token was fed") };
        (logits, trace)
    };
    Ok(fed.into_iter().map(token).collect())
}

/// Feeds every request its prompt, or its latest token; returns the last token's logits on the host and all traces.
fn feed<B: Backend, K: Module<B> + RecurrentBlock<B>>(
    decoder: &RecurrentDecoder<B, K>,
    running: &mut [Running<'_, B>],
    phase: Phase,
    options: &GenerateOptions<'_, B>,
    evaluations: &mut BlockEvaluations,
) -> Result<Vec<(Vec<f32>, Vec<TokenTrace>)>> {
    let mut feeds: Vec<Feed<'_, B>> = Vec::with_capacity(running.len());
    for Running { request, cache, seen, .. } in running {
        let tokens = match phase {
            Phase::Prompt => &request.prompt,
            Phase::Generation => &seen[seen.len() - 1..],
        };
        feeds.push(Feed { cache, tokens, phase, logits: LogitRows::Last, initial_state: None });
    }
    let output = decoder.run(&mut feeds, &mut options.run_options())?;
    *evaluations += output.evaluations;
    let to_host = |logits: Option<Tensor<B, 2>>| {
        let Some(logits) = logits else { unreachable!("logits of the last token were asked for") };
        read(logits)
    };
    output.feeds.into_iter().map(|feed| Ok((to_host(feed.logits)?, feed.traces))).collect()
}
