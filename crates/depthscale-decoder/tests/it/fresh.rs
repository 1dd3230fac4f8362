//! Models that begin from scratch: how they are drawn, and how they are saved.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use burn_flex::Flex;
use depthscale_checkpoint::{Checkpoint, Overwrite, StoredDtype, TensorToWrite};
use depthscale_conformance::{fixture, models};
use depthscale_decoder::{
    InitialDraw, InitialParameters, Initialisation, ModelDirectory, ParameterSource, Published, RandomParameters,
    RecurrentDecoder, SaveOptions,
};
use depthscale_types::{ComputeDtype, ExitPolicy, ParameterRole, ParameterSpec};
use serde_json::{Value, json};

use crate::checkpoints::{MODELS, tensors};
use crate::published::{huginn, ouro};

fn parse(config: &Value) -> Published {
    Published::parse(&config.to_string(), "config.json").expect("a published config")
}

fn of_fixture(name: &str) -> Published {
    Published::read(&fixture(name).join("config.json")).expect("a published config")
}

fn config_of(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name).join("config.json")).expect("there")).expect("JSON")
}

fn spec(published: &Published, path: &str) -> ParameterSpec {
    let found = published.config.parameters().into_iter().find(|spec| spec.path == path);
    found.unwrap_or_else(|| panic!("no parameter {path}"))
}

fn initial(published: &Published, seed: u64) -> InitialParameters {
    InitialParameters::new(published, seed).expect("is implemented")
}

fn fresh(published: &Published) -> RecurrentDecoder<Flex> {
    RecurrentDecoder::build(published.config.clone(), &mut initial(published, 3), &Default::default()).expect("builds")
}

fn open(path: &Path) -> (ModelDirectory, RecurrentDecoder<Flex>) {
    let directory = ModelDirectory::open(path).expect("opens");
    let decoder = directory.load(&Default::default(), &mut |_| {}).expect("loads");
    (directory, decoder)
}

/// Every parameter of a decoder by its id, bit for bit.
fn bits(decoder: &RecurrentDecoder<Flex>) -> BTreeMap<u64, Vec<u32>> {
    struct Bits(BTreeMap<u64, Vec<u32>>);
    impl ModuleVisitor<Flex> for Bits {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Flex, D>>) {
            self.0.insert(param.id.val(), param.val().into_data().iter::<f32>().map(f32::to_bits).collect());
        }
    }
    let mut bits = Bits(BTreeMap::new());
    decoder.visit(&mut bits);
    assert_eq!(bits.0.len(), decoder.config().parameters().len());
    bits.0
}

#[test]
fn published_deviations_are_the_published_numbers() {
    // Huginn: sqrt(2 / (5 * 5280)), and that over sqrt(2 * (2 + 2 + 4 * 32)) = 16.24808 for what is added to the stream.
    let published = parse(&huginn());
    let draw =
        |path| published.initialisation.draw(&published.config, &spec(&published, path)).expect("is implemented");
    let parameters = [
        ("embedding", 0.008_703_88),
        ("injection", 0.008_703_88),
        ("core.3.mixer.value", 0.008_703_88),
        ("prelude.0.ffn.gate", 0.008_703_88),
        ("coda.1.mixer.output", 0.000_535_687),
        ("core.0.ffn.down", 0.000_535_687),
    ];
    for (path, expected) in parameters {
        let InitialDraw::TruncatedNormal { std } = draw(path) else { panic!("{path}: {:?}", draw(path)) };
        assert!((std - expected).abs() < 1e-6 * expected.max(0.005), "{path}: {std}");
    }
    assert_eq!(draw("core.0.mixer.query_bias"), InitialDraw::Constant(0.0));
    assert_eq!(draw("core.0.norm_mixer"), InitialDraw::Constant(1.0));
    // The embedding reaches the stream times sqrt(5280), so that its deviation is sqrt(2 / 5) there.
    assert!((published.config.embedding_scale * 0.008_703_88 - 0.4_f64.sqrt()).abs() < 1e-5);

    // Ouro: 0.02 unless the config says otherwise.
    assert_eq!(parse(&ouro(24)).initialisation, Initialisation::Normal { std: 0.02 });
    let mut wider = ouro(24);
    wider["initializer_range"] = json!(0.05);
    assert_eq!(parse(&wider).initialisation, Initialisation::Normal { std: 0.05 });
}

#[test]
fn measured_deviations_are_those_of_each_family() {
    // The deviation of a normal cut at three deviations is 0.9865784 of the one named.
    let native = Published::native(models::ouro_like());
    let cases: [(Published, &[(&str, f64)]); 7] = [
        (
            of_fixture("ouro-mha"),
            &[
                ("embedding", 0.02),
                ("core.0.mixer.query", 0.02),
                ("core.2.mixer.output", 0.02),
                ("core.1.ffn.down", 0.02),
                ("head", 0.02),
                ("exit_gate.weight", 0.02),
            ],
        ),
        (
            of_fixture("huginn-111"), // sqrt(2 / (5 * 32)) = 0.1118034, over sqrt(2 * (1 + 1 + 6)) = 4
            &[
                ("embedding", 0.1103028),
                ("injection", 0.1103028),
                ("prelude.0.mixer.key", 0.1103028),
                ("core.0.mixer.output", 0.0275757),
                ("coda.0.ffn.down", 0.0275757),
            ],
        ),
        (
            of_fixture("huginn-242"), // sqrt(2 / (5 * 48)) = 0.0912871, over sqrt(2 * (2 + 2 + 4 * 8)) = 8.485281
            &[("embedding", 0.0900619), ("core.3.ffn.up", 0.0900619), ("core.3.ffn.down", 0.0106139)],
        ),
        (
            of_fixture("yoco-swa"), // embedding 1 / sqrt(64); over ±1 / sqrt(64) and, in ffn.down, ±1 / sqrt(160)
            &[
                ("embedding", 0.125),
                ("core.0.mixer.query", 0.0721688),
                ("core.1.mixer.output", 0.0721688),
                ("core.0.ffn.down", 0.0456435),
                ("shared.key", 0.0721688),
                ("cross.1.mixer.output", 0.0721688),
                ("head", 0.0721688),
            ],
        ),
        (
            of_fixture("yoco-gret"), // gain * sqrt(2 / (in + out)), gain 2^-2.5 = 0.1767767 and, for the output, 0.5
            &[
                ("embedding", 0.125),
                ("core.0.mixer.query", 0.0220971), // * sqrt(2 / 128)
                ("core.1.mixer.gate", 0.0220971),
                ("core.0.mixer.decay", 0.0307729), // * sqrt(2 / 66)
                ("core.0.mixer.output", 0.0625),
                ("core.0.ffn.down", 0.0510310), // 1 / sqrt(3 * 128)
                ("cross.0.mixer.query", 0.0721688),
                ("cross.0.mixer.output", 0.0721688),
            ],
        ),
        (
            of_fixture("yoco-u-gqa"),
            &[("embedding", 0.125), ("core.0.mixer.query", 0.0721688), ("core.1.ffn.down", 0.0456435)],
        ),
        (
            native, // sqrt(2 / (5 * 16)) = 0.1581139, over sqrt(2 * 2 * 4) = 4
            &[("embedding", 0.1559918), ("core.0.mixer.query", 0.1559918), ("core.1.ffn.down", 0.0389979)],
        ),
    ];
    for (published, parameters) in &cases {
        let family = published.config.family;
        let mut source = initial(published, 11);
        for &(path, expected) in *parameters {
            let spec = spec(published, path);
            let draw = published.initialisation.draw(&published.config, &spec).expect("is implemented");
            assert!((draw.deviation() - expected).abs() < 1e-6, "{family} {path}: {}", draw.deviation());
            let values = source.values(&spec).expect("draws");
            let mean_square = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / values.len() as f64;
            // A measured deviation is off by its share 1 / sqrt(2 n) or less; four times that never happens.
            let tolerance = 4.0 / (2.0 * values.len() as f64).sqrt();
            assert!((mean_square.sqrt() / expected - 1.0).abs() < tolerance, "{family} {path}: {}", mean_square.sqrt());
        }
        for spec in published.config.parameters() {
            let values = source.values(&spec).expect("draws");
            match spec.role {
                ParameterRole::NormWeight => assert!(values.iter().all(|&x| x == 1.0), "{family} {}", spec.path),
                ParameterRole::Bias => assert!(values.iter().all(|&x| x == 0.0), "{family} {}", spec.path),
                _ => assert!(values.iter().any(|&x| x != 0.0), "{family} {}", spec.path),
            }
        }
    }
}

#[test]
fn values_depend_on_seed_and_name_alone() {
    let published = of_fixture("ouro-mha");
    let specs = published.config.parameters();
    let draw = |source: &mut InitialParameters, spec| source.values(spec).expect("draws");
    let (mut one, mut again, mut other) = (initial(&published, 1), initial(&published, 1), initial(&published, 2));
    let forwards: Vec<_> = specs.iter().map(|spec| draw(&mut one, spec)).collect();
    let mut backwards: Vec<_> = specs.iter().rev().map(|spec| draw(&mut again, spec)).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let (query, key) = (spec(&published, "core.0.mixer.query"), spec(&published, "core.0.mixer.key"));
    assert_ne!(draw(&mut one, &query), draw(&mut other, &query));
    assert_ne!(draw(&mut one, &query), draw(&mut one, &key));
    // The stream of a name is that of random parameters: 0.02 z beside z / sqrt(64).
    let random = RandomParameters::new(&published.config, 1).values(&query).expect("draws");
    for (initial, random) in draw(&mut one, &query).iter().zip(random) {
        assert!((initial - 0.16 * random).abs() <= 1e-8, "{initial} {random}");
    }
}

#[test]
fn a_fresh_model_is_saved_in_its_familys_layout() {
    for name in MODELS {
        let published = of_fixture(name);
        let decoder = fresh(&published);
        let directory = tempfile::tempdir().expect("a directory");
        published.save(&decoder, directory.path(), Overwrite::No).expect("saves");
        let (opened, loaded) = open(directory.path());
        assert_eq!(opened.published(), &published, "{name}");
        assert_eq!(opened.published().config_json, config_of(name));
        assert!(bits(&loaded) == bits(&decoder), "{name}");
        // The names are those of the published files, and the rotary table that the fixtures leave out.
        let names = |at: &Path| tensors(at).into_iter().map(|tensor| (tensor.name, tensor.shape)).collect::<Vec<_>>();
        let mut expected = names(&fixture(name));
        if name.starts_with("huginn") {
            expected.insert(0, ("freqs_cis".into(), vec![1, 256, 1, 8, 2]));
        }
        assert_eq!(names(directory.path()), expected, "{name}");
        assert!(published.save(&decoder, directory.path(), Overwrite::No).is_err(), "nothing is overwritten unasked");
        published.save(&decoder, directory.path(), Overwrite::Yes).expect("saves");
    }
}

#[test]
fn a_loaded_model_is_saved_by_what_its_directory_offers() {
    for name in MODELS {
        let (original, decoder) = open(&fixture(name));
        let copy = tempfile::tempdir().expect("a directory");
        original.published().save(&decoder, copy.path(), Overwrite::No).expect("saves");
        let (before, after) = (tensors(&fixture(name)), tensors(copy.path()));
        assert_eq!(before.len(), after.len(), "{name}");
        for (before, after) in before.iter().zip(&after) {
            assert_eq!((&before.name, &before.shape), (&after.name, &after.shape), "{name}");
            let bits = |tensor: &TensorToWrite<'_>| tensor.data.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert!(bits(before) == bits(after), "{name} {}", before.name);
        }
    }
}

#[test]
fn a_tied_head_is_repeated_where_the_published_loader_looks_for_it() {
    for (name, key, copy, repeated) in [
        ("ouro-gqa", "tie_word_embeddings", "lm_head.weight", false),
        ("huginn-111", "tie_embeddings", "lm_head.weight", true),
        ("yoco-swa", "share_input_output_embed", "output_projection.weight", true),
        ("yoco-u-gqa", "weight_tying", "output.weight", false),
    ] {
        let mut config = config_of(name);
        config[key] = json!(true);
        let published = parse(&config);
        let decoder = fresh(&published);
        let directory = tempfile::tempdir().expect("a directory");
        published.save(&decoder, directory.path(), Overwrite::No).expect("saves");
        assert_eq!(Checkpoint::open(directory.path()).expect("opens").contains(copy), repeated, "{name}");
        assert!(bits(&open(directory.path()).1) == bits(&decoder), "{name}");
    }
}

#[test]
fn a_config_of_no_family_is_published_too() {
    for (name, config) in models::every_kind() {
        let published = Published::native(config.clone());
        assert_eq!((&published.config, &published.exit), (&config, &ExitPolicy::default()), "{name}");
        let decoder = fresh(&published);
        let directory = tempfile::tempdir().expect("a directory");
        published.save(&decoder, directory.path(), Overwrite::No).expect("saves");
        let (opened, loaded) = open(directory.path());
        assert_eq!(opened.published(), &published, "{name}");
        assert!(bits(&loaded) == bits(&decoder), "{name}");
    }
}

#[test]
fn half_precision_files_hold_the_rounded_values() {
    for (dtype, stored) in [(ComputeDtype::F16, StoredDtype::F16), (ComputeDtype::Bf16, StoredDtype::Bf16)] {
        let published = of_fixture("huginn-111");
        let decoder = fresh(&published);
        let directory = tempfile::tempdir().expect("a directory");
        let options = SaveOptions { dtype, ..SaveOptions::default() };
        published.save(&decoder, directory.path(), options).expect("saves");
        let checkpoint = Checkpoint::open(directory.path()).expect("opens");
        for name in checkpoint.names() {
            let expected = if name == "freqs_cis" { StoredDtype::F32 } else { stored };
            assert_eq!(checkpoint.info(name).expect("is there").dtype, expected, "{name}");
        }
        let round = |bits: &u32| match dtype {
            ComputeDtype::F16 => burn::tensor::f16::from_f32(f32::from_bits(*bits)).to_f32().to_bits(),
            _ => burn::tensor::bf16::from_f32(f32::from_bits(*bits)).to_f32().to_bits(),
        };
        let (opened, loaded) = open(directory.path());
        let rounded: BTreeMap<_, Vec<_>> =
            bits(&decoder).iter().map(|(id, values)| (*id, values.iter().map(round).collect())).collect();
        assert!(bits(&loaded) == rounded, "{dtype}");
        // What was rounded once stays as it is.
        let again = tempfile::tempdir().expect("a directory");
        opened.save(&loaded, again.path(), options).expect("saves");
        assert!(bits(&open(again.path()).1) == rounded, "{dtype}");
        let native = tempfile::tempdir().expect("a directory");
        loaded.save_native(native.path(), options).expect("saves");
        assert!(bits(&open(native.path()).1) == rounded, "{dtype}");
    }
}

#[test]
fn a_value_too_large_for_the_files_is_named() {
    /// Initial parameters, one of which holds a large value.
    struct Large(InitialParameters);
    impl ParameterSource for Large {
        fn values(&mut self, parameter: &ParameterSpec) -> depthscale_decoder::Result<Vec<f32>> {
            let mut values = self.0.values(parameter)?;
            if parameter.path == "core.1.ffn.up" {
                values[7] = 70_000.0;
            }
            Ok(values)
        }
    }
    let published = of_fixture("ouro-gqa");
    let mut source = Large(initial(&published, 1));
    let decoder = RecurrentDecoder::<Flex>::build(published.config.clone(), &mut source, &Default::default());
    let decoder = decoder.expect("builds");
    let directory = tempfile::tempdir().expect("a directory");
    let options = SaveOptions { dtype: ComputeDtype::F16, ..SaveOptions::default() };
    let message = published.save(&decoder, directory.path(), options).expect_err("overflows").to_string();
    let expected = "tensor \"model.layers.1.mlp.up_proj.weight\": element 7 is 70000, which is too large for F16";
    assert_eq!(message, expected);
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
    published.save(&decoder, directory.path(), Overwrite::No).expect("f32 holds it");
}

#[test]
fn what_cannot_be_drawn_or_saved_says_why() {
    let refused = |config: &Value| InitialParameters::new(&parse(config), 1).expect_err("refused").to_string();
    for (key, value) in [("init_strategy", json!("megatron")), ("init_orthogonal", json!(true))] {
        let mut config = config_of("huginn-111");
        config[key] = value.clone();
        let message = refused(&config);
        assert!(message.contains(&format!("{key} is {value}")), "{message}");
    }
    let malformed = [
        ("ouro-mha", "initializer_range", json!(-0.02), "initializer_range is -0.02, must not be negative"),
        ("ouro-mha", "initializer_range", json!("x"), "initializer_range is \"x\", expected a number"),
        ("huginn-111", "init_values", json!({"out_proj": -1.0}), "init_values.out_proj is -1, must not be negative"),
    ];
    for (name, key, value, expected) in malformed {
        let mut config = config_of(name);
        config[key] = value;
        let message = Published::parse(&config.to_string(), "config.json").expect_err("refused").to_string();
        assert!(message.contains(expected), "{message}");
    }
    let decoder = fresh(&of_fixture("ouro-mha"));
    let directory = tempfile::tempdir().expect("a directory");
    let error = of_fixture("ouro-gqa").save(&decoder, directory.path(), Overwrite::No).expect_err("another config");
    assert!(error.to_string().contains("another config than that of the ouro model"), "{error}");
}
