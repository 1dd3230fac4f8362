//! What a forward call is given and what it answers.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_types::{BlockEvaluations, TokenTrace};

use crate::cache::{Phase, SequenceCache};
use crate::exit::ExitRule;

/// New tokens of one sequence.
pub struct Feed<'c, B: Backend> {
    /// The caches of the sequence, which take the tokens in.
    pub cache: &'c mut SequenceCache<B>,
    /// Token ids that follow those taken in already.
    pub tokens: &'c [u32],
    /// Whether they are read or were generated.
    pub phase: Phase,
    /// Which of them need logits.
    pub logits: LogitRows,
    /// `[tokens, d_model]`: the states before the first step, in place of those the config says.
    pub initial_state: Option<Tensor<B, 2>>,
}

/// Which tokens of a feed need logits. The others cost no head and, in models with a cross-decoder, no cross-decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogitRows {
    /// None: keys and values only.
    None,
    /// The last.
    Last,
    /// Every one.
    All,
    /// Those at the given offsets in the feed, ascending.
    At(Vec<usize>),
}

/// Whether tokens of a prompt run together under a retention policy whose steps share slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prefill {
    /// They run one after the other where the policy needs it: the same result as decoding them.
    #[default]
    Exact,
    /// They run together: at each step a token sees the others' keys of that step, not of their last. Approximate, and
    /// different for other chunk sizes.
    ApproximateParallel,
}

/// Called with the initial states, as step 0, and after every step: with the step, the positions of the rows in each sequence, and their states `[rows, d_model]`.
pub type StepObserver<'o, B> = &'o mut (dyn FnMut(usize, &[usize], &Tensor<B, 2>) + Send);

/// How a call runs.
pub struct RunOptions<'o, B: Backend> {
    /// When tokens stop.
    pub exit: &'o ExitRule<B>,
    /// Most token rows computed together.
    pub chunk: usize,
    /// Whether prompts may be read approximately.
    pub prefill: Prefill,
    /// Begins from zeros where the config says random draws.
    pub zero_initial_state: bool,
    /// Sees every step.
    pub observer: Option<StepObserver<'o, B>>,
}

/// Token rows computed together where nothing else is said.
const DEFAULT_CHUNK: usize = 512;

impl<'o, B: Backend> RunOptions<'o, B> {
    /// Options for a rule, the rest as usual.
    pub fn new(exit: &'o ExitRule<B>) -> Self {
        Self { exit, chunk: DEFAULT_CHUNK, prefill: Prefill::Exact, zero_initial_state: false, observer: None }
    }
}

/// What a call computed.
#[derive(Debug)]
pub struct RunOutput<B: Backend> {
    /// One for each feed.
    pub feeds: Vec<FeedOutput<B>>,
    /// Blocks evaluated, summed over token rows.
    pub evaluations: BlockEvaluations,
}

/// What a call computed for one feed.
#[derive(Debug)]
pub struct FeedOutput<B: Backend> {
    /// `[rows asked for, vocab_size]`; `None` where none were.
    pub logits: Option<Tensor<B, 2>>,
    /// The record of every token.
    pub traces: Vec<TokenTrace>,
}
