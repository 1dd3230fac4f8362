//! What a model answers.

use depthscale_types::{BlockEvaluations, DepthTrace, TokenTrace};

/// The continuation of one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The text, without an end token or stop string.
    pub text: String,
    /// Its tokens, without an end token; those of a stop string are among them.
    pub tokens: Vec<CompletionToken>,
    /// Why it ended.
    pub stop: Stop,
    /// The recurrences of the prompt's tokens.
    pub prompt: DepthTrace,
    /// The recurrences that predicted the tokens, an end token among them.
    pub depth: DepthTrace,
    /// The most steps a token could take.
    pub max_depth: usize,
    /// What it cost; of prompts that ran together, what all of them cost together.
    pub cost: Cost,
}

/// A generated token.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionToken {
    /// Its id.
    pub id: u32,
    /// A printable form of it: what it adds to a text, control characters escaped, special tokens by name.
    pub text: String,
    /// The recurrences that predicted it: those of the token before it.
    pub trace: TokenTrace,
}

/// Why a completion ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop {
    /// The model predicted an end token.
    EndToken(CompletionToken),
    /// As many tokens as were asked for.
    MaxNewTokens,
    /// The model has no further positions.
    PositionLimit,
    /// The text came to this stop string.
    StopString(String),
    /// The caller asked to stop.
    Caller,
}

impl Stop {
    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EndToken(_) => "end-token",
            Self::MaxNewTokens => "max-new-tokens",
            Self::PositionLimit => "position-limit",
            Self::StopString(_) => "stop-string",
            Self::Caller => "caller",
        }
    }
}

/// What a call cost.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Blocks evaluated, summed over token rows.
    pub evaluations: BlockEvaluations,
    /// Tokens of the prompts.
    pub prompt_tokens: usize,
    /// Tokens predicted after the prompts were read, end tokens among them; the first of each prompt comes with
    /// reading it.
    pub decoded_tokens: usize,
    /// Seconds until the prompts were read.
    pub prefill_seconds: f64,
    /// Seconds after that.
    pub decode_seconds: f64,
}

impl Cost {
    /// Tokens of the prompts read in a second.
    pub fn prefill_tokens_per_second(&self) -> f64 {
        rate(self.prompt_tokens, self.prefill_seconds)
    }

    /// Tokens predicted in a second after the prompts were read; `None` where there were none.
    pub fn decode_tokens_per_second(&self) -> Option<f64> {
        (self.decoded_tokens > 0).then(|| rate(self.decoded_tokens, self.decode_seconds))
    }
}

fn rate(tokens: usize, seconds: f64) -> f64 {
    tokens as f64 / seconds.max(1e-9)
}

impl Completion {
    /// Share of the steps of a run at full depth that predicting the tokens did not take, in [0, 1].
    pub fn steps_saved(&self) -> f64 {
        self.depth.steps_saved(self.max_depth)
    }
}

/// What one token brought, while a completion is under way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece<'a> {
    /// Which request, counted from 0.
    pub request: usize,
    /// The token; `None` for text that was held back and is certain only now that the completion has ended.
    pub token: Option<&'a CompletionToken>,
    /// Text that has become certain: whole characters that belong to no stop string. It may be empty.
    pub text: &'a str,
}
