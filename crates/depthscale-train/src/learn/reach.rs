//! Whether a loss reaches a parameter that is trained.

use depthscale_types::{DecoderConfig, Injection, OutputHead};

use crate::recipe::{DepthDraw, LossKind, TrainConfig};

/// Which kinds of parameters are trained, as far as it matters for what a loss reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    loss: Loss,
    /// The gate.
    gate: bool,
    /// What every recorded step or readout passes.
    inside: bool,
    /// What is passed before the first step only, or injected at every step.
    before: bool,
    injected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Logits,
    LogitsAndGate,
    Gate,
}

impl Reach {
    pub(super) fn of(config: &TrainConfig, decoder: &DecoderConfig) -> Self {
        let loss = match &config.loss.kind {
            LossKind::LastStep | LossKind::EveryStep(_) => Loss::Logits,
            LossKind::ExpectedExit(_) => Loss::LogitsAndGate,
            LossKind::GateOnly(_) => Loss::Gate,
        };
        let mut reach =
            Self { loss, gate: false, inside: false, before: false, injected: decoder.injection == Injection::Linear };
        for spec in decoder.parameters().iter().filter(|spec| !config.model.is_frozen(&spec.path)) {
            match spec.path.split('.').next().unwrap_or_default() {
                "exit_gate" => reach.gate = true,
                "embedding" if decoder.head == OutputHead::Tied => reach.inside = true,
                "embedding" | "prelude" => reach.before = true,
                _ => reach.inside = true,
            }
        }
        reach
    }

    /// Whether the loss of sequences of these depths depends on a parameter that is trained.
    pub(super) fn is_reached(self, draws: &[DepthDraw]) -> bool {
        let any = |holds: fn(&DepthDraw) -> bool| draws.iter().any(holds);
        let logits = self.inside || (self.before && (self.injected || any(|draw| draw.free == 0)));
        match self.loss {
            Loss::Logits => logits,
            Loss::LogitsAndGate => logits || (self.gate && any(|draw| draw.tracked > 1)),
            Loss::Gate => self.gate && any(|draw| draw.depth() > 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reached_depends_on_what_is_trained_and_on_depth() {
        let none = Reach { loss: Loss::Logits, gate: false, inside: false, before: false, injected: false };
        let draw = |free, tracked| [DepthDraw { free, tracked }];
        assert!(!none.is_reached(&draw(0, 4)));
        // The embedding is passed before steps that are not recorded, unless it is injected again.
        let before = Reach { before: true, ..none };
        assert!(before.is_reached(&draw(0, 1)) && !before.is_reached(&draw(2, 1)));
        assert!(Reach { injected: true, ..before }.is_reached(&draw(2, 1)));
        // One step leaves a gate nothing to decide.
        let gate = Reach { loss: Loss::Gate, gate: true, ..none };
        assert!(!gate.is_reached(&draw(0, 1)) && gate.is_reached(&draw(1, 1)));
        assert!(!Reach { loss: Loss::Logits, ..gate }.is_reached(&draw(0, 4)));
    }
}
