//! What a sequence is batched with, and how it is cut, changes nothing.

use burn::tensor::backend::Backend;
use burn_flex::Flex;
use burn_ndarray::NdArray;
use depthscale_decoder::generate::{GenerateOptions, Request, StopReason, generate};
use depthscale_decoder::{
    DecoderError, ExitRule, Feed, FeedOutput, LogitRows, Phase, Prefill, RecurrentDecoder, RunOptions, SequenceOptions,
};
use depthscale_types::{BlockEvaluations, Criterion, DecoderConfig, ExitPolicy, KvRetention, SamplingParams};

use crate::models;

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

fn policies() -> [ExitPolicy; 4] {
    let policy = |criterion, threshold| ExitPolicy { threshold, max_steps: Some(6), ..ExitPolicy::new(criterion) };
    let off_grid = ExitPolicy { min_steps: 2, check_every: 2, max_steps: Some(5), ..policy(Criterion::Kl, 0.3) };
    [ExitPolicy::fixed(3), policy(Criterion::LatentDiff, 0.6), off_grid, policy(Criterion::Kl, 0.2)]
}

fn batch_equals_alone<B: Backend>() {
    for (name, config) in models::every_kind() {
        let decoder = decoder::<B>(config.clone());
        for (policy, retention) in policies().iter().zip([
            KvRetention::PerStep,
            KvRetention::PerStep,
            KvRetention::PerStep,
            KvRetention::Shared,
        ]) {
            if retention.validate(&config).is_err() {
                continue;
            }
            let rule = ExitRule::new(policy).expect("valid");
            let open = |id| {
                decoder.new_sequence(SequenceOptions { id, seed: 9, retention, ..Default::default() }).expect("opens")
            };
            let mut caches: Vec<_> = (0..4).map(|id| open(id as u64)).collect();
            let prompts: Vec<_> = (0..4).map(prompt).collect();
            let mut together: Vec<_> =
                caches.iter_mut().zip(&prompts).map(|(cache, tokens)| whole(cache, tokens)).collect();
            let batch = decoder.run(&mut together, &mut RunOptions::new(&rule)).expect("runs");
            let mut executed_alone = BlockEvaluations::default();
            for (id, output) in batch.feeds.iter().enumerate() {
                let mut cache = open(id as u64);
                let alone =
                    decoder.run(&mut [whole(&mut cache, &prompts[id])], &mut RunOptions::new(&rule)).expect("runs");
                let context = format!("{name}, {policy}, {retention}, sequence {id}");
                close(&values(output), &values(&alone.feeds[0]), &context);
                executed_alone += alone.evaluations;
                let steps = |output: &FeedOutput<B>| output.traces.iter().map(|trace| trace.steps).collect::<Vec<_>>();
                assert_eq!(steps(output), steps(&alone.feeds[0]), "{context}");
            }
            assert_eq!(batch.evaluations, executed_alone, "{name}, {policy}: a batch does no work twice");
        }
    }
}

fn whole<'c, B: Backend>(cache: &'c mut depthscale_decoder::SequenceCache<B>, tokens: &'c [u32]) -> Feed<'c, B> {
    Feed { cache, tokens, phase: Phase::Prompt, logits: LogitRows::All, initial_state: None }
}

#[test]
fn ragged_batches_equal_sequences_alone() {
    batch_equals_alone::<Flex>();
}

#[test]
fn ragged_batches_equal_sequences_alone_on_ndarray() {
    batch_equals_alone::<NdArray>();
}

#[test]
fn chunks_of_any_size_equal_the_whole() {
    for (name, config) in models::every_kind() {
        let decoder = decoder::<Flex>(config);
        let tokens = prompt(2);
        let rule = ExitRule::fixed(3);
        let run = |chunk| {
            let mut cache = decoder.new_sequence(SequenceOptions::default()).expect("opens");
            let mut options = RunOptions { chunk, ..RunOptions::new(&rule) };
            let output = decoder.run(&mut [whole(&mut cache, &tokens)], &mut options).expect("runs");
            values(&output.feeds[0])
        };
        let expected = run(usize::MAX);
        for chunk in 1..tokens.len() {
            close(&run(chunk), &expected, &format!("{name}, chunks of {chunk}"));
        }
    }
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
fn approximate_prefill_is_another_result_and_exact_prefill_is_not() {
    let decoder = decoder::<Flex>(models::ouro_like());
    let tokens = prompt(2);
    let rule = ExitRule::fixed(3);
    let run = |prefill, chunk| {
        let options = SequenceOptions { retention: KvRetention::Shared, ..Default::default() };
        let mut cache = decoder.new_sequence(options).expect("opens");
        let mut options = RunOptions { prefill, chunk, ..RunOptions::new(&rule) };
        let output = decoder.run(&mut [whole(&mut cache, &tokens)], &mut options).expect("runs");
        values(&output.feeds[0])
    };
    let exact = run(Prefill::Exact, 64);
    close(&run(Prefill::Exact, 1), &exact, "exact");
    close(&run(Prefill::ApproximateParallel, 1), &exact, "one token at a time there is nothing to approximate");
    let approximate = run(Prefill::ApproximateParallel, 64);
    let worst = approximate.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst > 1e-3, "{worst}");
}

#[test]
fn random_initial_states_follow_the_request() {
    let decoder = decoder::<Flex>(models::huginn_like());
    let rule = ExitRule::fixed(2);
    let tokens = prompt(0);
    let run = |id, seed| {
        let mut cache = decoder.new_sequence(SequenceOptions { id, seed, ..Default::default() }).expect("opens");
        values(&decoder.run(&mut [whole(&mut cache, &tokens)], &mut RunOptions::new(&rule)).expect("runs").feeds[0])
    };
    assert_eq!(run(1, 1), run(1, 1));
    assert_ne!(run(1, 1), run(2, 1));
    assert_ne!(run(1, 1), run(1, 2));
}

#[test]
fn requests_get_the_tokens_they_would_get_alone() {
    for config in [models::ouro_like(), models::huginn_like(), models::window_like(4), models::retention_like()] {
        let decoder = decoder::<Flex>(config);
        let policy = ExitPolicy { threshold: 0.6, max_steps: Some(5), ..ExitPolicy::new(Criterion::LatentDiff) };
        let rule = ExitRule::new(&policy).expect("valid");
        let options = GenerateOptions::new(&rule);
        let request = |id: usize| Request {
            id: id as u64,
            prompt: prompt(id),
            max_new_tokens: 6 + id,
            sampling: SamplingParams { temperature: 0.9, top_k: Some(9), seed: 4, ..SamplingParams::default() },
            end_tokens: vec![3],
        };
        let requests: Vec<_> = (0..4).map(request).collect();
        let mut streamed = vec![Vec::new(); 4];
        let mut keep = |index: usize, token: &depthscale_decoder::generate::GeneratedToken| {
            streamed[index].push(token.id);
            std::ops::ControlFlow::Continue(())
        };
        let together = generate(&decoder, &requests, &options, &mut keep).expect("generates");
        for (request, generation) in requests.iter().zip(&together.generations) {
            let alone = generate(&decoder, std::slice::from_ref(request), &options, &mut |_, _| {
                std::ops::ControlFlow::Continue(())
            });
            let alone = alone.expect("generates").generations;
            assert_eq!(alone[0].ids(), generation.ids());
            assert_eq!(streamed[request.id as usize], generation.ids());
            match &generation.stop {
                StopReason::EndToken(end) => assert_eq!(end.id, 3),
                stop => {
                    assert_eq!(*stop, StopReason::MaxNewTokens);
                    assert_eq!(generation.tokens.len(), request.max_new_tokens);
                }
            }
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
