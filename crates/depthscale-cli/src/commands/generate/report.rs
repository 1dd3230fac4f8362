//! A completion as JSON.

use depthscale::Cost;
use depthscale::prelude::*;
use depthscale::types::BlockEvaluations;
use serde::Serialize;
use serde_json::Value;

#[derive(Debug, Serialize)]
pub(super) struct CompletionReport<'a> {
    /// The `id` of a batch line, as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    text: &'a str,
    tokens: Vec<TokenReport<'a>>,
    stop: &'static str,
    /// The end token that was predicted, which is no part of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_token: Option<TokenReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_string: Option<&'a str>,
    mean_depth: f64,
    max_depth: usize,
    /// Share of the steps at full depth that were not taken, in [0, 1].
    steps_saved: f64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    cost: Option<CostReport>,
}

#[derive(Debug, Serialize)]
struct TokenReport<'a> {
    id: u32,
    text: &'a str,
    steps: usize,
    values: &'a [Option<f32>],
    reason: ExitReason,
}

#[derive(Debug, Serialize)]
struct CostReport {
    block_evaluations: BlockEvaluations,
    timings: Timings,
}

#[derive(Debug, Serialize)]
struct Timings {
    prompt_tokens: usize,
    decoded_tokens: usize,
    prefill_seconds: f64,
    decode_seconds: f64,
    prefill_tokens_per_second: f64,
    decode_tokens_per_second: Option<f64>,
}

impl<'a> CompletionReport<'a> {
    pub(super) fn of(completion: &'a Completion) -> Self {
        let (end_token, stop_string) = match &completion.stop {
            Stop::EndToken(token) => (Some(TokenReport::of(token)), None),
            Stop::StopString(stop) => (None, Some(stop.as_str())),
            Stop::MaxNewTokens | Stop::PositionLimit | Stop::Caller => (None, None),
        };
        Self {
            id: None,
            text: &completion.text,
            tokens: completion.tokens.iter().map(TokenReport::of).collect(),
            stop: completion.stop.name(),
            end_token,
            stop_string,
            mean_depth: completion.depth.mean_depth(),
            max_depth: completion.max_depth,
            steps_saved: completion.steps_saved(),
            cost: None,
        }
    }

    pub(super) fn with_id(self, id: Option<&'a Value>) -> Self {
        Self { id, ..self }
    }

    pub(super) fn with_cost(self, cost: &Cost) -> Self {
        let timings = Timings {
            prompt_tokens: cost.prompt_tokens,
            decoded_tokens: cost.decoded_tokens,
            prefill_seconds: cost.prefill_seconds,
            decode_seconds: cost.decode_seconds,
            prefill_tokens_per_second: cost.prefill_tokens_per_second(),
            decode_tokens_per_second: cost.decode_tokens_per_second(),
        };
        Self { cost: Some(CostReport { block_evaluations: cost.evaluations, timings }), ..self }
    }
}

impl<'a> TokenReport<'a> {
    fn of(token: &'a CompletionToken) -> Self {
        let TokenTrace { steps, values, reason, .. } = &token.trace;
        Self { id: token.id, text: &token.text, steps: *steps, values, reason: *reason }
    }
}
