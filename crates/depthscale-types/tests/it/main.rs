//! What is written as JSON is read back the same, and what is not ours is refused.

use depthscale_types::*;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn round_trips<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_string(value).expect("plain data");
    assert_eq!(&serde_json::from_str::<T>(&text).expect("reads back"), value, "{text}");
}

/// An object of our own formats takes no field it does not know.
fn refuses_unknown_fields<T: Serialize + DeserializeOwned>(value: &T) {
    let mut json = serde_json::to_value(value).expect("plain data");
    json["surprise"] = json!(1);
    let error = serde_json::from_value::<T>(json).err().expect("refused").to_string();
    assert!(error.contains("surprise"), "{error}");
}

fn config() -> DecoderConfig {
    let stack = StackConfig {
        n_layers: 2,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 8,
        d_ffn: 64,
        mixer: MixerKind::SlidingWindow { window: 9 },
        positions: Positions::Rotary {
            theta: 10000.0,
            layout: RotaryLayout::Interleaved,
            frequencies: RotaryFrequencies::EndpointInclusive,
        },
        norms: BlockNorms::SandwichSum,
        query_key: QueryKey::Norm,
    };
    DecoderConfig {
        family: Family::Native,
        vocab_size: 100,
        d_model: 32,
        norm_eps: 1e-6,
        embedding_scale: 5.656854249492381,
        max_positions: 256,
        depth: 4,
        initial_state: InitialState::TruncatedNormal { std: 0.1, scale: 5.6 },
        injection: Injection::Linear,
        prelude: Some(stack.clone()),
        readout: Readout::CrossDecoder {
            layers: StackConfig { mixer: MixerKind::SharedKv, ..stack.clone() },
            shared_key: QueryKey::Plain,
        },
        core: StackConfig { mixer: MixerKind::MemoryGated(AttentionConfig::default()), ..stack },
        after_step: AfterStep::FinalNorm,
        head: OutputHead::Tied,
        exit_gate: ExitGate::Linear,
    }
}

#[test]
fn every_format_round_trips_and_refuses_unknown_fields() {
    config().validate().expect("valid");
    round_trips(&config());
    refuses_unknown_fields(&config());
    refuses_unknown_fields(&config().core);
    round_trips(&AttentionConfig::default());
    assert_eq!(
        serde_json::to_value(AttentionConfig::default()).expect("plain data"),
        json!({"memory_decay_rate": 0.95, "context_window_size": 512})
    );
    refuses_unknown_fields(&AttentionConfig::default());
    for criterion in Criterion::ALL {
        round_trips(&ExitPolicy { max_steps: Some(3), ..ExitPolicy::new(criterion) });
    }
    refuses_unknown_fields(&ExitPolicy::default());
    let named: ExitPolicy =
        serde_json::from_value(json!({"criterion": "metric-diff", "threshold": 0.1})).expect("reads");
    assert_eq!(named.criterion, Criterion::MetricDiff(Metric::LatentDiff));
    round_trips(&ExitPolicy::new(Criterion::MetricDiff(Metric::Cosine)));
    KvRetention::ALL.iter().for_each(round_trips);
    assert_eq!(serde_json::to_value(KvRetention::FirstThenShared).expect("plain data"), json!("first-then-shared"));
    round_trips(&SamplingParams::default());
    refuses_unknown_fields(&SamplingParams::default());
    let token = TokenTrace { position: 3, steps: 2, values: vec![None, Some(0.25)], reason: ExitReason::Converged };
    round_trips(&DepthTrace { tokens: vec![token.clone()] });
    refuses_unknown_fields(&token);
    let report = StepReport { step: 1, metric: 0.5, exit_value: None, converged: true };
    refuses_unknown_fields(&report);
    let mut state = ReasoningState::new("why");
    state.record(report, Some("because".into()));
    round_trips(&state);
    refuses_unknown_fields(&state);
    let memory = MemoryReport { weights: 1, global_kv: 2, per_step_kv: 3, activations: 4 };
    round_trips(&memory);
    refuses_unknown_fields(&memory);
    assert_eq!(memory.total(), 10);
}

#[test]
fn validation_names_the_field_the_value_and_what_is_allowed() {
    type Change = fn(&mut DecoderConfig);
    let cases: Vec<(Change, &str)> = vec![
        (|c| c.vocab_size = 0, "vocab_size is 0: must be at least 1"),
        (|c| c.depth = 1 << 21, "depth is 2097152: must be at most 1048576"),
        (|c| c.norm_eps = f64::NAN, "norm_eps is NaN: must be finite and not negative"),
        (|c| c.core.n_kv_heads = 3, "core.n_kv_heads is 3: must divide n_heads, which is 4"),
        (|c| c.core.head_dim = 7, "core.head_dim is 7: must be even for rotary positions"),
        (|c| c.core.n_layers = 5000, "core.n_layers is 5000: must be at most 4096"),
        (|c| c.core.head_dim = 1 << 23, "core.n_heads * head_dim is 33554432: must be at most 16777216"),
        (
            |c| {
                c.core.mixer =
                    MixerKind::MemoryGated(AttentionConfig { memory_decay_rate: 1.5, context_window_size: 1 })
            },
            "core.mixer.memory_decay_rate is 1.5: must be in (0, 1]",
        ),
        (
            |c| {
                c.core.mixer =
                    MixerKind::MemoryGated(AttentionConfig { memory_decay_rate: 0.5, context_window_size: 0 })
            },
            "core.mixer.context_window_size is 0: must be from 1 to 1073741824",
        ),
        (|c| c.core.mixer = MixerKind::SlidingWindow { window: 0 }, "core.mixer.window is 0: must be at least 1"),
        (
            |c| c.core.mixer = MixerKind::GatedRetention { temperature: 16.0 },
            "core.query_key Norm does not go with gated retention",
        ),
        (
            |c| {
                c.core.mixer = MixerKind::GatedRetention { temperature: 16.0 };
                c.core.query_key = QueryKey::Plain;
            },
            "core.n_kv_heads 2 does not go with gated retention",
        ),
        (|c| c.core.mixer = MixerKind::SharedKv, "core.mixer shared-kv does not go with"),
        (
            |c| c.injection = Injection::None,
            "injection none does not go with an initial state other than the embedding",
        ),
        (
            |c| c.readout = Readout::Coda(StackConfig { mixer: MixerKind::SharedKv, ..c.core.clone() }),
            "readout.coda.mixer shared-kv does not go with",
        ),
    ];
    for (change, expected) in cases {
        let mut config = config();
        change(&mut config);
        let message = config.validate().expect_err("refused").to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    let sampling = SamplingParams { top_p: 0.0, ..SamplingParams::default() };
    assert_eq!(sampling.validate().expect_err("refused").to_string(), "top_p is 0: must be in (0, 1]");
    let policy = ExitPolicy { min_steps: 9, max_steps: Some(4), ..ExitPolicy::new(Criterion::Kl) };
    assert_eq!(
        policy.validate().expect_err("refused").to_string(),
        "min_steps is 9: must be at most max_steps, which is 4"
    );
}

proptest! {
    /// Sizes up to and past every limit: validation answers, and what it accepts can be counted.
    #[test]
    fn validation_and_arithmetic_never_overflow(
        sizes in prop::collection::vec((0u32..32).prop_map(|bit| 1usize << bit), 8),
        window in prop_oneof![Just(0), (0u32..64).prop_map(|bit| 1usize << bit), Just(usize::MAX)],
        context in prop_oneof![any::<usize>(), 0usize..5000],
    ) {
        let mut config = config();
        let fields = [
            &mut config.vocab_size, &mut config.d_model, &mut config.depth, &mut config.max_positions,
            &mut config.core.n_heads, &mut config.core.head_dim, &mut config.core.d_ffn, &mut config.core.n_layers,
        ];
        fields.into_iter().zip(&sizes).for_each(|(field, &size)| *field = size);
        // Most of the time within the limits.
        config.core.n_layers = config.core.n_layers.min(1 << 6);
        config.core.head_dim = (config.core.head_dim >> 16).max(2);
        config.core.n_heads = (config.core.n_heads >> 16).max(1);
        config.core.n_kv_heads = config.core.n_heads;
        config.core.mixer = MixerKind::SlidingWindow { window };
        if config.validate().is_ok() {
            prop_assert!(config.parameter_count() > 0);
            for retention in KvRetention::ALL {
                let query = MemoryQuery {
                    context, batch: 3, depth: config.depth, chunk: 512, retention, weights: WeightFormat::F32, caches: CacheDtype::F32,
                };
                prop_assert!(config.predict_memory(&query).total() > 0);
                config.cache_bytes_per_token(retention, config.depth, CacheDtype::F32);
            }
            let depth = config.depth;
            let query =
                WorkQuery { context, tokens: 1, batch: 3, depth, chunk: 512, weights: WeightFormat::F32, caches: CacheDtype::F32 };
            prop_assert!(config.work(&query).flops > 0);
        }
    }

    /// Bare numbers in every size.
    #[test]
    fn validation_answers_for_any_numbers(sizes in prop::collection::vec(any::<usize>(), 8), number in any::<f64>()) {
        let mut config = config();
        let fields = [
            &mut config.vocab_size, &mut config.d_model, &mut config.depth, &mut config.max_positions,
            &mut config.core.n_heads, &mut config.core.n_kv_heads, &mut config.core.head_dim, &mut config.core.d_ffn,
        ];
        fields.into_iter().zip(&sizes).for_each(|(field, &size)| *field = size);
        config.norm_eps = number;
        let _ = config.validate();
    }

    #[test]
    fn policies_round_trip(
        criterion in prop::sample::select(Criterion::ALL.to_vec()),
        threshold in 0.0f64..1.0,
        steps in (1usize..9, 9usize..99, 1usize..5, 1usize..5),
    ) {
        let policy = ExitPolicy {
            criterion, threshold, min_steps: steps.0, max_steps: Some(steps.1), check_every: steps.2, patience: steps.3,
        };
        round_trips(&policy);
    }

    #[test]
    fn text_is_parsed_or_refused(text in ".{0,30}") {
        if let Ok(policy) = text.parse::<ExitPolicy>() {
            prop_assert!(policy.validate().is_ok());
        }
        let _ = text.parse::<KvRetention>();
        let _ = serde_json::from_str::<DecoderConfig>(&text).map(|config| config.validate());
        let _ = serde_json::from_value::<SamplingParams>(Value::String(text));
    }
}
