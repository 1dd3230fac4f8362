//! What is asked of a model.

use depthscale_decoder::Prefill;
use depthscale_text::ChatMessage;
use depthscale_types::{CacheDtype, ExitPolicy, KvRetention, SamplingParams};

/// What is to be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// Text, with those special tokens around it that the tokenizer's own post-processor adds.
    Text(String),
    /// A conversation, put through the checkpoint's chat template up to where the answer begins.
    Chat(Vec<ChatMessage>),
    /// Token ids, as they are.
    Tokens(Vec<u32>),
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<ChatMessage>> for Prompt {
    fn from(messages: Vec<ChatMessage>) -> Self {
        Self::Chat(messages)
    }
}

impl From<&[ChatMessage]> for Prompt {
    fn from(messages: &[ChatMessage]) -> Self {
        Self::Chat(messages.to_vec())
    }
}

/// How a prompt is continued.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionOptions {
    /// Most tokens to generate.
    pub max_new_tokens: usize,
    /// How tokens are drawn.
    pub sampling: SamplingParams,
    /// Strings that end the text; they are not part of it.
    pub stop: Vec<String>,
    /// When tokens stop recurring; `None` is what the model's config asks for.
    pub exit: Option<ExitPolicy>,
    /// Which keys and values are kept.
    pub retention: KvRetention,
    /// What they are kept in; `None` is the dtype the model computes in. Half the memory in 16 bits, little more than a
    /// quarter in 8, and attention that reads as much less.
    pub cache_dtype: Option<CacheDtype>,
    /// Whether prompts may be read approximately.
    pub prefill: Prefill,
    /// Begins every token from zeros where the config says random draws.
    pub zero_initial_state: bool,
    /// Most token rows computed together.
    pub chunk: usize,
}

impl Default for CompletionOptions {
    /// Greedy, at most 128 tokens, under the model's own exit.
    fn default() -> Self {
        Self {
            max_new_tokens: 128,
            sampling: SamplingParams::default(),
            stop: Vec::new(),
            exit: None,
            retention: KvRetention::default(),
            cache_dtype: None,
            prefill: Prefill::default(),
            zero_initial_state: false,
            chunk: 512,
        }
    }
}

/// One prompt of several that run together. `None` takes the value of the [`CompletionOptions`] they run under.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest {
    /// What is to be continued.
    pub prompt: Prompt,
    /// The request's own id: with the seed it decides draws and random initial states, so that a request gets the same
    /// tokens whatever it runs beside. 0 is what [`complete`](crate::LanguageModel::complete) uses.
    pub id: u64,
    /// Most tokens to generate.
    pub max_new_tokens: Option<usize>,
    /// How tokens are drawn.
    pub sampling: Option<SamplingParams>,
    /// Strings that end the text.
    pub stop: Option<Vec<String>>,
}

impl<P: Into<Prompt>> From<P> for CompletionRequest {
    fn from(prompt: P) -> Self {
        Self { prompt: prompt.into(), id: 0, max_new_tokens: None, sampling: None, stop: None }
    }
}
