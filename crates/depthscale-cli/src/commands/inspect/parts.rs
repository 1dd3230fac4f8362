//! The parts of a decoder in words, one line each.

use depthscale::types::{
    AfterStep, BlockNorms, Criterion, DecoderConfig, ExitGate, ExitPolicy, InitialState, Injection, MixerKind,
    OutputHead, Positions, QueryKey, Readout, RotaryFrequencies, RotaryLayout, StackConfig,
};

use crate::display::{grouped, significant};

pub(super) fn describe(config: &DecoderConfig, own_exit: &ExitPolicy) -> Vec<(&'static str, String)> {
    let vocabulary = grouped(config.vocab_size as u64);
    let positions = grouped(config.max_positions as u64);
    vec![
        ("size", format!("width {}, vocabulary {vocabulary}, {positions} positions", config.d_model)),
        ("initial state", initial_state(config.initial_state)),
        ("injection", injection(config.injection)),
        ("prelude", config.prelude.as_ref().map_or_else(|| "none".into(), stack)),
        ("core", format!("{}, {} steps", stack(&config.core), config.depth)),
        ("after step", after_step(config.after_step)),
        ("readout", readout(&config.readout)),
        ("head", head(config.head)),
        ("gate", gate(config.exit_gate)),
        ("positions", in_every_stack(config, |stack| rotary(&stack.positions))),
        ("mixer", in_every_stack(config, mixer)),
        ("norms", format!("{}, epsilon {}", in_every_stack(config, norms), significant(config.norm_eps))),
        ("exit", exit(own_exit)),
    ]
}

fn initial_state(state: InitialState) -> String {
    match state {
        InitialState::Embedding => "the embedded input".into(),
        InitialState::Zeros => "zeros".into(),
        InitialState::TruncatedNormal { std, scale } => {
            format!("normal draws of deviation {}, cut at three, times {}", significant(std), significant(scale))
        }
    }
}

fn injection(injection: Injection) -> String {
    match injection {
        Injection::None => "none".into(),
        Injection::Linear => "linear over [state; embedded input]".into(),
    }
}

fn after_step(after: AfterStep) -> String {
    match after {
        AfterStep::Keep => "nothing".into(),
        AfterStep::FinalNorm => "final norm, fed back".into(),
    }
}

fn readout(readout: &Readout) -> String {
    match readout {
        Readout::Head => "head".into(),
        Readout::NormHead => "norm, head".into(),
        Readout::Coda(coda) => format!("norm, coda ({}), norm, head", stack(coda)),
        Readout::CrossDecoder { layers, .. } => {
            format!("keys and values projected once, cross-decoder ({}), norm, head", stack(layers))
        }
    }
}

fn head(head: OutputHead) -> String {
    match head {
        OutputHead::Tied => "tied to the embedding".into(),
        OutputHead::Separate => "a matrix of its own".into(),
    }
}

fn gate(gate: ExitGate) -> String {
    match gate {
        ExitGate::None => "none".into(),
        ExitGate::Linear => "linear, its sigmoid the hazard of exiting".into(),
    }
}

fn exit(own: &ExitPolicy) -> String {
    match own.criterion {
        Criterion::Fixed => "none, every token takes every step".into(),
        _ => own.to_string(),
    }
}

fn stack(stack: &StackConfig) -> String {
    let heads = if stack.n_kv_heads == stack.n_heads {
        format!("{} heads of {}", stack.n_heads, stack.head_dim)
    } else {
        format!("{} heads of {} on {} K/V heads", stack.n_heads, stack.head_dim, stack.n_kv_heads)
    };
    let blocks = if stack.n_layers == 1 { "block" } else { "blocks" };
    format!("{} {blocks}, {heads}, FFN {}", stack.n_layers, stack.d_ffn)
}

/// What holds for the stacks of a model: said once where it is the same everywhere, else stack by stack.
fn in_every_stack(config: &DecoderConfig, what: impl Fn(&StackConfig) -> String) -> String {
    let core = what(&config.core);
    let readout = match &config.readout {
        Readout::Head | Readout::NormHead => None,
        Readout::Coda(stack) => Some(("coda", what(stack))),
        Readout::CrossDecoder { layers, .. } => Some(("cross-decoder", what(layers))),
    };
    let prelude = config.prelude.as_ref().map(|stack| ("prelude", what(stack)));
    let others: Vec<_> = prelude.into_iter().chain(readout).filter(|(_, what)| *what != core).collect();
    others.into_iter().fold(core, |line, (name, what)| format!("{line}; in the {name}: {what}"))
}

fn rotary(positions: &Positions) -> String {
    match positions {
        Positions::None => "none".into(),
        Positions::Rotary { theta, layout, frequencies } => {
            let layout = match layout {
                RotaryLayout::Interleaved => "interleaved",
                RotaryLayout::SplitHalf => "split-half",
            };
            let frequencies = match frequencies {
                RotaryFrequencies::Standard => "",
                RotaryFrequencies::EndpointInclusive => ", endpoint-inclusive frequencies",
            };
            format!("rotary, {layout}, theta {}{frequencies}", grouped(*theta as u64))
        }
    }
}

fn mixer(stack: &StackConfig) -> String {
    let mixer = match &stack.mixer {
        MixerKind::FullAttention => "full attention".into(),
        MixerKind::SlidingWindow { window } => format!("attention over a window of {window}"),
        MixerKind::GatedRetention { temperature } => {
            format!("gated retention, temperature {}", significant(*temperature))
        }
        MixerKind::MemoryGated(attention) => format!(
            "memory-gated attention, window {}, decay {}",
            attention.context_window_size,
            significant(attention.memory_decay_rate)
        ),
        MixerKind::SharedKv => "queries over the shared keys and values".into(),
    };
    match stack.query_key {
        QueryKey::Plain => mixer,
        QueryKey::Bias => format!("{mixer}, biases on queries and keys"),
        QueryKey::Norm => format!("{mixer}, norms on queries and keys"),
    }
}

fn norms(stack: &StackConfig) -> String {
    match stack.norms {
        BlockNorms::Pre => "before each branch",
        BlockNorms::SandwichBranch => "before and after each branch",
        BlockNorms::SandwichSum => "before each branch and after its sum",
    }
    .into()
}
