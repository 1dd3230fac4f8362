//! Published sizes, from the published configs alone.

use depthscale_decoder::Published;
use depthscale_types::{CacheDtype, DecoderConfig, ExitPolicy, KvRetention, MemoryQuery, WeightFormat};
use serde_json::{Value, json};

fn read(config: Value) -> Published {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.json");
    std::fs::write(&path, config.to_string()).expect("written");
    Published::read(&path).expect("a published config")
}

fn config(json: Value) -> DecoderConfig {
    read(json).config
}

/// Ouro's config.json as published, 24 layers for 1.4B and 48 for 2.6B.
pub(crate) fn ouro(n_layers: usize) -> Value {
    json!({
        "architectures": ["OuroForCausalLM"], "model_type": "ouro", "vocab_size": 49152, "hidden_size": 2048,
        "intermediate_size": 5632, "num_hidden_layers": n_layers, "num_attention_heads": 16, "num_key_value_heads": 16,
        "head_dim": 128, "hidden_act": "silu", "max_position_embeddings": 65536, "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0, "rope_scaling": null, "tie_word_embeddings": false, "attention_dropout": 0.0,
        "use_sliding_window": false, "sliding_window": null, "max_window_layers": 28, "total_ut_steps": 4,
        "layer_types": vec!["full_attention"; n_layers],
        "early_exit_threshold": 1.0, "bos_token_id": 0, "eos_token_id": 0, "torch_dtype": "bfloat16", "use_cache": true
    })
}

pub(crate) fn huginn() -> Value {
    json!({
        "model_type": "huginn_raven", "architectures": ["RavenForCausalLM"], "n_embd": 5280, "n_heads": 55,
        "num_attention_heads": 55, "num_key_value_heads": 55, "head_dim": 96, "intermediate_size": 17920,
        "vocab_size": 65536, "padded_vocab_size": 65536, "padding_multiple": 4096, "block_size": 4096, "n_layers": 8,
        "n_layers_in_prelude": 2, "n_layers_in_recurrent_block": 4, "n_layers_in_coda": 2, "mean_recurrence": 32,
        "mean_backprop_depth": 8, "sampling_scheme": "poisson-lognormal-filling", "rope_base": 50000,
        "norm_eps": 1e-6, "qk_bias": true, "bias": false, "tie_embeddings": true, "injection_type": "linear",
        "norm_class_name": "RMSNorm_llama", "state_init": "like-init", "mlp_class_name": "GatedMLP",
        "nonlin_name": "SiLU", "init_strategy": "takase", "block_class_name": "SandwichBlock",
        "activation_checkpoint_impl": "per-iteration", "test_time_noise": 0, "test_time_noise_type": "fixed"
    })
}

/// YOCO's release at 3B; `window` 0 is gated retention.
fn yoco_3b(window: usize) -> Value {
    json!({
        "model_type": "yoco", "dim": 3072, "hidden_dim": 8192, "n_layers": 26, "n_self_heads": 24, "n_attn_heads": 24,
        "n_attn_kv_heads": 8, "vocab_size": 100288, "max_seq_len": -1,
        "sliding_window": if window == 0 { Value::Null } else { json!(window) }
    })
}

/// YOCO-U's dense 1.3B as far as its cache goes: 10 + 10 layers, window 512, 4 key heads of 128.
fn yoco_u(loops: usize) -> Value {
    json!({
        "model_type": "yoco_u", "d_model": 2560, "d_ffn": 6912, "head": 20, "kv_head": 4, "head_dim": 128,
        "n_layers": 20, "yoco_cross_layers": 10, "yoco_window_size": 512, "universal_loop": loops,
        "vocab_size": 100288, "max_seq_len": 262144
    })
}

#[test]
fn parameter_counts_are_the_published_ones() {
    assert_eq!(config(ouro(24)).parameter_count(), 1_434_652_673);
    assert_eq!(config(ouro(48)).parameter_count(), 2_667_974_657);
    assert_eq!(config(huginn()).parameter_count(), 3_564_976_800);
    let billions = |config: DecoderConfig| config.parameter_count_without_embeddings() as f64 / 1e9;
    assert_eq!(format!("{:.3}", billions(config(yoco_3b(0)))), "2.829");
    assert_eq!(format!("{:.3}", billions(config(yoco_3b(1024)))), "2.705");
}

#[test]
fn yoco_u_cache_bytes_reproduce_the_published_table() {
    // MB per sequence in bf16 at 8K, 16K, 32K, 64K, 128K, 256K tokens.
    let table = [(1, [26, 42, 74, 138, 266, 522]), (3, [46, 62, 94, 158, 286, 542])];
    for (loops, megabytes) in table {
        let config = config(yoco_u(loops));
        for (doubling, expected) in megabytes.into_iter().enumerate() {
            let context = 8192 << doubling;
            let bytes = config.cache_bytes(KvRetention::PerStep, loops, context, CacheDtype::F16).total();
            assert_eq!(bytes, expected << 20, "{loops} loops, {context} tokens");
        }
    }
    // A full transformer of 20 layers and the same looped once more: 2 * 512 * 2 bytes a token and layer.
    for (loops, per_8k) in [(1, 320), (2, 640)] {
        let mut full = config(yoco_u(loops));
        full.core.n_layers = 20;
        full.core.mixer = depthscale_types::MixerKind::FullAttention;
        full.readout = depthscale_types::Readout::NormHead;
        assert_eq!(full.cache_bytes(KvRetention::PerStep, loops, 8192, CacheDtype::F16).total(), per_8k << 20);
    }
}

#[test]
fn cache_bytes_per_token_are_the_published_ones() {
    // Ouro: 8 KiB a slot and token in bf16, 96 and 192 slots.
    let ouro_1b = config(ouro(24));
    assert_eq!(ouro_1b.cache_bytes_per_token(KvRetention::PerStep, 4, CacheDtype::F16), 96 * 8192);
    assert_eq!(ouro_1b.cache_bytes_per_token(KvRetention::LastStepAfterPrefill, 4, CacheDtype::F16), 24 * 8192);
    assert_eq!(config(ouro(48)).cache_bytes_per_token(KvRetention::PerStep, 4, CacheDtype::F16), 192 * 8192);
    // Huginn: 21,120 bytes a slot, 132 slots at 32 steps, 8 with one slot a layer.
    let huginn = config(huginn());
    assert_eq!(huginn.cache_bytes_per_token(KvRetention::PerStep, 32, CacheDtype::F16), 132 * 21120);
    assert_eq!(huginn.cache_bytes_per_token(KvRetention::Shared, 32, CacheDtype::F16), 8 * 21120);
    // YOCO-U: past the windows only the shared keys and values grow.
    assert_eq!(config(yoco_u(3)).cache_bytes_per_token(KvRetention::PerStep, 3, CacheDtype::F16), 2048);
}

#[test]
fn weights_and_activations_do_not_grow_with_depth() {
    let config = config(ouro(24));
    let at = |depth| {
        config.predict_memory(&MemoryQuery {
            context: 1024,
            batch: 1,
            depth,
            chunk: 256,
            retention: KvRetention::PerStep,
            weights: WeightFormat::F32,
            caches: CacheDtype::F32,
        })
    };
    let (once, four) = (at(1), at(4));
    assert_eq!((once.weights, once.activations, once.global_kv), (four.weights, four.activations, four.global_kv));
    assert_eq!(four.per_step_kv, 4 * once.per_step_kv);
}

#[test]
fn published_constants_are_derived_where_they_are_not_given() {
    let huginn = config(huginn());
    let depthscale_types::InitialState::TruncatedNormal { std, scale } = huginn.initial_state else {
        panic!("Huginn begins from random states")
    };
    assert!((std - 0.00870388).abs() < 1e-8 && (scale - 72.6636).abs() < 1e-4, "{std} {scale}");
    let mut gated = ouro(24);
    gated["early_exit_threshold"] = json!(0.6);
    assert_eq!(read(gated).exit, "q-exit:0.6".parse::<ExitPolicy>().expect("parses"));
    assert_eq!(read(ouro(24)).exit, "q-exit:1".parse::<ExitPolicy>().expect("parses"));
    assert_eq!(read(self::huginn()).exit, ExitPolicy::default());
}
