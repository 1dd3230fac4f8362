//! What a sequence is batched with, and how it is cut, changes nothing.

use std::ops::ControlFlow;

use burn::tensor::backend::Backend;
use depthscale_decoder::generate::{GenerateOptions, GeneratedToken, Request, StopReason, generate};
use depthscale_decoder::{
    ExitRule, Feed, FeedOutput, LogitRows, Phase, Prefill, RecurrentDecoder, RunOptions, SequenceCache, SequenceOptions,
};
use depthscale_types::{BlockEvaluations, Criterion, DecoderConfig, ExitPolicy, KvRetention, SamplingParams};

use crate::{Site, Tolerance, models, relative_difference};

fn prompt(sequence: usize) -> Vec<u32> {
    let n = [7, 1, 12, 4][sequence];
    (0..n).map(|i| ((i * 11 + sequence * 5 + i * i) % models::VOCAB) as u32).collect()
}

fn decoder<B: Backend>(site: &Site<B>, config: DecoderConfig) -> RecurrentDecoder<B> {
    RecurrentDecoder::random(config, 3, &site.device).expect("builds")
}

fn whole<'c, B: Backend>(cache: &'c mut SequenceCache<B>, tokens: &'c [u32]) -> Feed<'c, B> {
    Feed { cache, tokens, phase: Phase::Prompt, logits: LogitRows::All, initial_state: None }
}

fn values<B: Backend>(output: &FeedOutput<B>) -> Vec<f32> {
    output.logits.as_ref().expect("asked for").clone().into_data().iter::<f32>().collect()
}

fn close<B: Backend>(site: &Site<B>, a: &[f32], b: &[f32], context: &str) {
    let difference = relative_difference(a, b);
    assert!(difference < site.tolerance.repeated(), "{context}: {difference}");
}

fn policies() -> [(ExitPolicy, KvRetention); 4] {
    let policy = |criterion, threshold| ExitPolicy { threshold, max_steps: Some(6), ..ExitPolicy::new(criterion) };
    let off_grid = ExitPolicy { min_steps: 2, check_every: 2, max_steps: Some(5), ..policy(Criterion::Kl, 0.3) };
    [
        (ExitPolicy::fixed(3), KvRetention::PerStep),
        (policy(Criterion::LatentDiff, 0.6), KvRetention::PerStep),
        (off_grid, KvRetention::PerStep),
        (policy(Criterion::Kl, 0.2), KvRetention::Shared),
    ]
}

/// Sequences of different lengths that run together get the logits and take the steps that they would alone, and together
/// execute the sum of the blocks.
///
/// # Panics
/// With what differed.
pub fn equal_sequences_alone<B: Backend>(site: &Site<B>) {
    for (name, config) in models::every_kind() {
        let decoder = decoder(site, config.clone());
        for (policy, retention) in policies() {
            if retention.validate(&config).is_err() || !site.tolerance.compares_exits(&policy) {
                continue;
            }
            let rule = ExitRule::new(&policy).expect("valid");
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
                close(site, &values(output), &values(&alone.feeds[0]), &context);
                executed_alone += alone.evaluations;
                let steps = |output: &FeedOutput<B>| output.traces.iter().map(|trace| trace.steps).collect::<Vec<_>>();
                assert_eq!(steps(output), steps(&alone.feeds[0]), "{context}");
            }
            assert_eq!(batch.evaluations, executed_alone, "{name}, {policy}: a batch does no work twice");
        }
    }
}

/// A prompt gives the same logits in chunks of any size.
///
/// # Panics
/// With what differed.
pub fn chunks_equal_the_whole<B: Backend>(site: &Site<B>) {
    for (name, config) in models::every_kind() {
        let decoder = decoder(site, config);
        let tokens = prompt(2);
        let rule = ExitRule::fixed(3);
        let run = |chunk| {
            let mut cache = decoder.new_sequence(SequenceOptions::default()).expect("opens");
            let mut options = RunOptions { chunk, ..RunOptions::new(&rule) };
            values(&decoder.run(&mut [whole(&mut cache, &tokens)], &mut options).expect("runs").feeds[0])
        };
        let expected = run(usize::MAX);
        let sizes = match site.tolerance {
            Tolerance::Cpu => (1..tokens.len()).collect(),
            Tolerance::Gpu | Tolerance::Tf32 => vec![1, 5],
        };
        for chunk in sizes {
            close(site, &run(chunk), &expected, &format!("{name}, chunks of {chunk}"));
        }
    }
}

/// Exact prefill under a shared slot does not depend on chunks; the approximate one does, and is another result.
///
/// # Panics
/// With what differed.
pub fn approximate_prefill_is_named_so<B: Backend>(site: &Site<B>) {
    let decoder = decoder(site, models::ouro_like());
    let tokens = prompt(2);
    let rule = ExitRule::fixed(3);
    let run = |prefill, chunk| {
        let options = SequenceOptions { retention: KvRetention::Shared, ..Default::default() };
        let mut cache = decoder.new_sequence(options).expect("opens");
        let mut options = RunOptions { prefill, chunk, ..RunOptions::new(&rule) };
        values(&decoder.run(&mut [whole(&mut cache, &tokens)], &mut options).expect("runs").feeds[0])
    };
    let exact = run(Prefill::Exact, 64);
    close(site, &run(Prefill::Exact, 1), &exact, "exact");
    let token_by_token = run(Prefill::ApproximateParallel, 1);
    close(site, &token_by_token, &exact, "one token at a time there is nothing to approximate");
    let difference = relative_difference(&run(Prefill::ApproximateParallel, 64), &exact);
    assert!(difference > site.tolerance.repeated().max(1e-3), "{difference}");
}

/// Random initial states follow the request's id and seed, and nothing else.
///
/// # Panics
/// With what differed.
pub fn random_states_follow_the_request<B: Backend>(site: &Site<B>) {
    let decoder = decoder(site, models::huginn_like());
    let rule = ExitRule::fixed(2);
    let tokens = prompt(0);
    let run = |id, seed| {
        let mut cache = decoder.new_sequence(SequenceOptions { id, seed, ..Default::default() }).expect("opens");
        values(&decoder.run(&mut [whole(&mut cache, &tokens)], &mut RunOptions::new(&rule)).expect("runs").feeds[0])
    };
    close(site, &run(1, 1), &run(1, 1), "the same request");
    let other = 2.0 * site.tolerance.repeated().max(5e-3);
    assert!(relative_difference(&run(1, 1), &run(2, 1)) > other);
    assert!(relative_difference(&run(1, 1), &run(1, 2)) > other);
}

/// Requests generated together get the tokens they would get alone.
///
/// # Panics
/// With what differed.
pub fn requests_get_their_own_tokens<B: Backend>(site: &Site<B>) {
    for config in [models::ouro_like(), models::huginn_like(), models::window_like(4), models::retention_like()] {
        let decoder = decoder(site, config);
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
        let mut keep = |index: usize, token: &GeneratedToken| {
            streamed[index].push(token.id);
            ControlFlow::Continue(())
        };
        let together = generate(&decoder, &requests, &options, &mut keep).expect("generates");
        for (request, generation) in requests.iter().zip(&together.generations) {
            let alone =
                generate(&decoder, std::slice::from_ref(request), &options, &mut |_, _| ControlFlow::Continue(()));
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

/// Far past the first allocation of a growing cache and many times round a window, the last token's logits are those of
/// the whole text in one pass.
///
/// # Panics
/// With what differed.
pub fn long_contexts_grow_and_wrap_caches<B: Backend>(site: &Site<B>) {
    const LENGTH: usize = 300;
    for config in [models::ouro_like(), models::window_like(4)] {
        let decoder = decoder(site, DecoderConfig { max_positions: LENGTH, ..config });
        let tokens: Vec<u32> = (0..LENGTH).map(|i| ((i * 13 + i / 7) % models::VOCAB) as u32).collect();
        let rule = ExitRule::fixed(2);
        let run = |sizes: &[usize]| {
            let mut cache = decoder.new_sequence(SequenceOptions::default()).expect("opens");
            let mut last = Vec::new();
            let mut start = 0;
            for &size in sizes {
                let mut feeds = [Feed { logits: LogitRows::Last, ..whole(&mut cache, &tokens[start..start + size]) }];
                let mut options = RunOptions { chunk: usize::MAX, ..RunOptions::new(&rule) };
                last = values(&decoder.run(&mut feeds, &mut options).expect("runs").feeds[0]);
                start += size;
            }
            assert_eq!(start, LENGTH);
            last
        };
        let piecewise: Vec<usize> = [100, 150].into_iter().chain(std::iter::repeat_n(1, 10)).chain([40]).collect();
        close(site, &run(&piecewise), &run(&[LENGTH]), "pieces and the whole");
    }
}

/// The check by which `generate` refuses a backend whose cached decoding is wrong finds nothing wrong.
///
/// # Panics
/// With what differed.
pub fn backends_pass_their_own_check<B: Backend>(site: &Site<B>) {
    for config in [models::ouro_like(), models::window_like(4)] {
        let decoder = decoder(site, DecoderConfig { max_positions: 512, ..config });
        decoder.check_cached_decoding().unwrap_or_else(|error| panic!("{error}"));
    }
}
