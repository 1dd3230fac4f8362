//! The names of an expected file's entries.

use depthscale_types::exit::MOST_STEPS;
use depthscale_types::{Criterion, DecoderConfig, ExitGate};

/// One entry of an expected file.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: EntryKind,
}

/// What an entry holds.
pub(super) enum EntryKind {
    /// Logits after `depth` steps.
    Logits { depth: usize, start: Start },
    /// States after `depth` steps.
    State { depth: usize },
    /// The exit gate after every step.
    Gates,
    /// Selection by the cumulative gate.
    Selected { threshold: f64 },
    /// Mean by the gate's exit distribution.
    Weighted,
    /// Exit values after every step.
    Criterion(Criterion),
    /// Greedy continuation.
    Greedy { zero_initial_state: bool },
}

impl EntryKind {
    /// Whether it holds logits after steps that no gate chooses.
    pub(super) fn is_logits(&self) -> bool {
        matches!(self, Self::Logits { .. } | Self::Weighted)
    }
}

/// The state a run begins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Start {
    /// The file's `s0`, or the config's where it has none.
    Given,
    /// Zeros.
    Zeros,
}

impl Entry {
    /// The entry of a name; `None` where it names nothing the model has.
    pub(super) fn parse(name: &str, config: &DecoderConfig) -> Option<Self> {
        let number = |prefix: &str| name.strip_prefix(prefix)?.parse::<usize>().ok();
        let gated = config.exit_gate != ExitGate::None;
        let at_least_one = |depth: usize| (1..=MOST_STEPS).contains(&depth).then_some(depth);
        let kind = if let Some(depth) = number("logits_step_").and_then(|loops| at_least_one(loops.saturating_add(1))) {
            EntryKind::Logits { depth, start: Start::Given }
        } else if let Some(depth) = number("logits_steps_").or(number("logits_loops_")).and_then(at_least_one) {
            EntryKind::Logits { depth, start: Start::Given }
        } else if let Some(depth) = number("logits_zero_init_steps_").and_then(at_least_one) {
            EntryKind::Logits { depth, start: Start::Zeros }
        } else if let Some(depth) = number("self_out_loops_").and_then(at_least_one) {
            EntryKind::State { depth }
        } else if let Some(criterion) = name.strip_prefix("criterion_") {
            EntryKind::Criterion(criterion.parse().ok()?)
        } else if let Some(threshold) = name.strip_prefix("logits_q_").filter(|_| gated) {
            EntryKind::Selected { threshold: threshold.parse().ok()? }
        } else {
            match name {
                "state_after_r" => EntryKind::State { depth: config.depth },
                "gates" if gated => EntryKind::Gates,
                "logits_weighted" if gated => EntryKind::Weighted,
                "greedy" => EntryKind::Greedy { zero_initial_state: false },
                "greedy_zero_init" => EntryKind::Greedy { zero_initial_state: true },
                _ => return None,
            }
        };
        Some(Self { name: name.into(), kind })
    }
}
