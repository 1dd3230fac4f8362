//! What a run is asked for and what it refuses. That batches and chunks change nothing is a case of the conformance suite.

use burn::tensor::backend::Backend;
use burn_flex::Flex;
use depthscale_decoder::generate::{GenerateOptions, Request, StopReason, generate};
use depthscale_decoder::verify::rounding_tolerance;
use depthscale_decoder::{
    DecoderError, ExitRule, Feed, FeedOutput, LogitRows, Phase, RecurrentDecoder, RunOptions, SequenceOptions,
};
use depthscale_types::{CacheDtype, Criterion, DecoderConfig, ExitPolicy, KvRetention, MixerKind, SamplingParams};

use depthscale_conformance::models;

fn prompt(sequence: usize) -> Vec<u32> {
    let n = [7, 1, 12, 4][sequence];
    (0..n).map(|i| ((i * 11 + sequence * 5 + i * i) % models::VOCAB) as u32).collect()
}

fn decoder<B: Backend>(config: DecoderConfig) -> RecurrentDecoder<B> {
    RecurrentDecoder::random(config, 3, &Default::default()).expect("builds")
}

fn values<B: Backend>(output: &FeedOutput<B>) -> Vec<f32> {
    output.logits.as_ref().expect("asked for").clone().into_data().iter::<f32>().collect()
}

fn close(a: &[f32], b: &[f32], context: &str) {
    assert_eq!(a.len(), b.len(), "{context}");
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 2e-4, "{context}: {worst}");
}

fn whole<'c, B: Backend>(cache: &'c mut depthscale_decoder::SequenceCache<B>, tokens: &'c [u32]) -> Feed<'c, B> {
    Feed { cache, tokens, phase: Phase::Prompt, logits: LogitRows::All, initial_state: None }
}

#[test]
fn logits_come_for_the_rows_asked_for_and_cost_no_cross_decoder_elsewhere() {
    for (name, config) in models::every_kind() {
        let cross = matches!(config.readout, depthscale_types::Readout::CrossDecoder { .. });
        let layers = config.readout_stack().map_or(0, |stack| stack.n_layers);
        let decoder = decoder::<Flex>(config);
        let tokens = prompt(2);
        let rule = ExitRule::fixed(2);
        let run = |logits, chunk| {
            let mut cache = decoder.new_sequence(SequenceOptions::default()).expect("opens");
            let mut feeds =
                [Feed { cache: &mut cache, tokens: &tokens, phase: Phase::Prompt, logits, initial_state: None }];
            let mut options = RunOptions { chunk, ..RunOptions::new(&rule) };
            let output = decoder.run(&mut feeds, &mut options).expect("runs");
            (output.feeds.into_iter().next().expect("one"), output.evaluations.readout)
        };
        let (all, _) = run(LogitRows::All, 5);
        let all = values(&all);
        let row = |at: usize| all[at * models::VOCAB..(at + 1) * models::VOCAB].to_vec();
        let (none, none_cost) = run(LogitRows::None, 5);
        assert!(none.logits.is_none(), "{name}");
        let (last, last_cost) = run(LogitRows::Last, 5);
        close(&values(&last), &row(11), name);
        let (some, some_cost) = run(LogitRows::At(vec![0, 6, 7]), 5);
        close(&values(&some), &[row(0), row(6), row(7)].concat(), name);
        let cost = |rows: usize| (layers * rows) as u64;
        if cross {
            assert_eq!([none_cost, last_cost, some_cost], [0, cost(1), cost(3)], "{name}");
        } else {
            // A coda's own keys need every row.
            assert_eq!([none_cost, last_cost, some_cost], [cost(12); 3], "{name}");
        }
    }
}

#[test]
fn limits_give_errors_and_leave_the_sequence_as_it_was() {
    let decoder = decoder::<Flex>(DecoderConfig { max_positions: 10, ..models::ouro_like() });
    let rule = ExitRule::fixed(2);
    let mut cache = decoder.new_sequence(SequenceOptions::default()).expect("opens");
    let mut run = |tokens: &[u32]| {
        decoder
            .run(&mut [whole(&mut cache, tokens)], &mut RunOptions::new(&rule))
            .map(|output| values(&output.feeds[0]))
    };
    assert!(matches!(run(&[]), Err(DecoderError::EmptyPrompt)));
    assert!(matches!(run(&[1; 11]), Err(DecoderError::PositionLimit { needed: 11, limit: 10 })));
    let error = run(&[1, 99]).expect_err("outside the vocabulary");
    assert_eq!(error.to_string(), "token id 99 at position 1 is outside the vocabulary of 29");
    let all = run(&[1, 2, 3, 4, 5, 6, 7, 8]).expect("fits");
    assert!(matches!(run(&[1; 3]), Err(DecoderError::PositionLimit { needed: 11, limit: 10 })));
    let more = run(&[9, 10]).expect("fits exactly");
    let mut fresh = decoder.new_sequence(SequenceOptions::default()).expect("opens");
    let tokens: Vec<u32> = (1..=10).collect();
    let whole = decoder.run(&mut [whole(&mut fresh, &tokens)], &mut RunOptions::new(&rule)).expect("runs");
    close(&[all, more].concat(), &values(&whole.feeds[0]), "refused calls change nothing");
    // A sequence may be given less than the model has.
    let mut small = decoder.new_sequence(SequenceOptions { capacity: Some(3), ..Default::default() }).expect("opens");
    let error = decoder.run(&mut [self::whole(&mut small, &[1; 4])], &mut RunOptions::new(&rule)).expect_err("full");
    assert_eq!(error.to_string(), "4 tokens do not fit the cache's capacity of 3");
    assert!(decoder.new_sequence(SequenceOptions { capacity: Some(11), ..Default::default() }).is_err());
    // Generation ends at the last position.
    let request = Request {
        id: 0,
        prompt: vec![1; 8],
        max_new_tokens: 50,
        sampling: SamplingParams::default(),
        end_tokens: Vec::new(),
    };
    let generated =
        generate(&decoder, &[request], &GenerateOptions::new(&rule), &mut |_, _| std::ops::ControlFlow::Continue(()));
    let generated = generated.expect("generates").generations;
    assert_eq!(generated[0].stop, StopReason::PositionLimit);
    assert_eq!(generated[0].tokens.len(), 3);
}

#[test]
fn a_state_that_overflows_is_reported_with_its_step() {
    let decoder = decoder::<Flex>(models::huginn_like());
    let rule = ExitRule::fixed(3);
    let mut cache = decoder.new_sequence(SequenceOptions::default()).expect("opens");
    let state = burn::tensor::Tensor::full([2, models::D_MODEL], f32::NAN, &Default::default());
    let mut feeds = [Feed { initial_state: Some(state), ..whole(&mut cache, &[1, 2]) }];
    let error = decoder.run(&mut feeds, &mut RunOptions::new(&rule)).expect_err("not finite");
    assert!(matches!(error, DecoderError::NonFiniteState { step: 0 }), "{error}");
    assert!(cache.is_empty(), "the chunk was not taken in");
}

#[test]
fn a_gate_criterion_needs_a_gate() {
    let decoder = decoder::<Flex>(models::huginn_like());
    let rule = ExitRule::new(&ExitPolicy { threshold: 0.5, ..ExitPolicy::new(Criterion::QExit) }).expect("valid");
    let mut cache = decoder.new_sequence(SequenceOptions::default()).expect("opens");
    let error = decoder.run(&mut [whole(&mut cache, &[1])], &mut RunOptions::new(&rule)).expect_err("no gate");
    assert_eq!(error.to_string(), "exit criterion q-exit needs an exit gate, which this model does not have");
}

#[test]
fn retention_refuses_shared_slots_for_a_matrix_state() {
    let config = models::retention_like();
    assert!(matches!(config.core.mixer, MixerKind::GatedRetention { .. }));
    let decoder = decoder::<Flex>(config);
    for retention in [KvRetention::Shared, KvRetention::FirstThenShared, KvRetention::LastStepAfterPrefill] {
        let error = decoder.new_sequence(SequenceOptions { retention, ..Default::default() }).expect_err("refused");
        assert!(error.to_string().contains("cannot be shared across steps"), "{error}");
    }
}

#[test]
fn sequences_whose_caches_are_of_several_dtypes_run_together() {
    let sequences = [0, 1, 2, 3];
    let policy = ExitPolicy { threshold: 0.6, max_steps: Some(6), ..ExitPolicy::new(Criterion::LatentDiff) };
    let rule = ExitRule::new(&policy).expect("valid");
    let prompts = sequences.map(prompt);
    let (mut same, mut compared, mut tokens, mut early) = (0, 0, 0, 0);
    for (name, config) in models::every_kind() {
        let decoder = decoder::<Flex>(config.clone());
        for retention in KvRetention::ALL.into_iter().filter(|retention| retention.validate(&config).is_ok()) {
            // The prompts in chunks, in which tokens exit at different steps, then one token of each.
            let run = |dtypes: [Option<CacheDtype>; 4]| {
                let mut caches = dtypes.map(|cache_dtype| {
                    let options = SequenceOptions { retention, cache_dtype, ..SequenceOptions::default() };
                    decoder.new_sequence(options).expect("opens")
                });
                let mut options = RunOptions { chunk: 5, ..RunOptions::new(&rule) };
                let mut feeds: Vec<_> =
                    caches.iter_mut().zip(&prompts).map(|(cache, prompt)| whole(cache, prompt)).collect();
                let read = decoder.run(&mut feeds, &mut options).expect("runs").feeds;
                let next = |cache| Feed { phase: Phase::Generation, ..whole(cache, &[3]) };
                let mut feeds: Vec<_> = caches.iter_mut().map(next).collect();
                let generated = decoder.run(&mut feeds, &mut options).expect("runs").feeds;
                read.into_iter().zip(generated).map(|(read, next)| [read, next]).collect::<Vec<_>>()
            };
            let expected = run([None; 4]);
            let rounded = [CacheDtype::F16, CacheDtype::Bf16, CacheDtype::Q8];
            let found = run([None, Some(rounded[0]), Some(rounded[1]), Some(rounded[2])]);
            let allowed = [1e-4].into_iter().chain(rounded.map(|dtype| rounding_tolerance(dtype, 6)));
            for ((found, expected), allowed) in found.iter().zip(&expected).zip(allowed) {
                // Tokens after one that exited at another step see other keys.
                let mut alike = true;
                for (found, expected) in found.iter().zip(expected) {
                    let logits = [found, expected].map(values);
                    let of_tokens = logits[0].chunks(models::VOCAB).zip(logits[1].chunks(models::VOCAB));
                    for ((found, expected), traces) in of_tokens.zip(found.traces.iter().zip(&expected.traces)) {
                        tokens += 1;
                        early += usize::from(traces.0.steps < 6);
                        same += usize::from(traces.0.steps == traces.1.steps);
                        alike &= traces.0.steps == traces.1.steps;
                        if alike {
                            compared += 1;
                            let largest =
                                expected.iter().fold(0.0f64, |largest, logit| largest.max(f64::from(logit.abs())));
                            let off =
                                found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
                            assert!(off <= allowed * (1.0 + largest), "{name}, {retention}: {off} of {allowed}");
                        }
                    }
                }
            }
        }
    }
    assert!(same * 10 >= tokens * 9 && early * 4 >= tokens, "{same} of {tokens} exit alike, {early} early");
    assert!(compared * 5 >= tokens * 4, "{compared} of {tokens} were compared");
}
