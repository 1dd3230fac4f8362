//! Early exit against a slow, direct account of what must come out.

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use depthscale_decoder::{ExitRule, Feed, LogitRows, Phase, RecurrentDecoder, RunOptions, SequenceOptions};
use depthscale_types::{
    BlockEvaluations, Criterion, DecoderConfig, Evidence, ExitGate, ExitPolicy, ExitReason, InitialState, KvRetention,
    Metric, TokenTrace,
};

use crate::oracle::{Oracle, OracleRun, OracleToken, Recorded};
use crate::{Site, Tolerance, models};

const SEED: u64 = 5;

/// Tokens fed to every model.
fn tokens() -> Vec<u32> {
    (0..13).map(|i| (i * i * 5 + 3 * i + 1) % models::VOCAB as u32).collect()
}

fn initial_states(rows: usize) -> Vec<Vec<f64>> {
    (0..rows).map(|row| (0..models::D_MODEL).map(|i| ((row * 31 + i * 17) % 13) as f64 / 6.0 - 1.0).collect()).collect()
}

/// Tokens of the prompt; those after it are generated.
const PROMPT: usize = 8;

/// Sizes of the chunks in which the prompt is fed: token by token, cut unevenly, whole.
const CHUNKS: [usize; 3] = [1, 3, 100];

struct Found {
    traces: Vec<TokenTrace>,
    logits: Vec<Vec<f32>>,
    evaluations: BlockEvaluations,
}

fn feed<B: Backend>(decoder: &RecurrentDecoder<B>, policy: &ExitPolicy, retention: KvRetention, chunk: usize) -> Found {
    let device = decoder.device();
    let rule = ExitRule::new(policy).expect("valid");
    let tokens = tokens();
    let states = initial_states(tokens.len());
    let given = decoder.config().initial_state != InitialState::Embedding;
    let mut cache = decoder.new_sequence(SequenceOptions { retention, ..Default::default() }).expect("a sequence");
    let mut found = Found { traces: Vec::new(), logits: Vec::new(), evaluations: BlockEvaluations::default() };
    let parts = std::iter::once((0..PROMPT, Phase::Prompt))
        .chain((PROMPT..tokens.len()).map(|at| (at..at + 1, Phase::Generation)));
    for (part, phase) in parts {
        let values: Vec<f32> = states[part.clone()].iter().flatten().map(|&x| x as f32).collect();
        let state = Tensor::from_data(TensorData::new(values, [part.len(), models::D_MODEL]), &device);
        let mut feeds = [Feed {
            cache: &mut cache,
            tokens: &tokens[part],
            phase,
            logits: LogitRows::All,
            initial_state: given.then_some(state),
        }];
        let mut options = RunOptions { chunk, ..RunOptions::new(&rule) };
        let output = decoder.run(&mut feeds, &mut options).expect("it runs");
        found.evaluations += output.evaluations;
        for output in output.feeds {
            found.traces.extend(output.traces);
            let logits = output.logits.expect("asked for").into_data().iter::<f32>().collect::<Vec<_>>();
            found.logits.extend(logits.chunks(models::VOCAB).map(<[f32]>::to_vec));
        }
    }
    found
}

/// Policies whose thresholds make these models exit at different steps.
fn policies(config: &DecoderConfig) -> Vec<ExitPolicy> {
    let policy = |criterion, threshold| ExitPolicy { threshold, max_steps: Some(6), ..ExitPolicy::new(criterion) };
    let mut policies = vec![
        ExitPolicy::fixed(3),
        policy(Criterion::LatentDiff, 0.42),
        policy(Criterion::LatentDiff, 0.75),
        ExitPolicy { min_steps: 2, patience: 2, ..policy(Criterion::LatentDiff, 0.8) },
        policy(Criterion::Acceleration, 0.6),
        policy(Criterion::MetricDiff(Metric::LatentDiff), 0.05),
        policy(Criterion::Kl, 0.2),
        ExitPolicy { min_steps: 2, check_every: 2, ..policy(Criterion::Kl, 0.3) },
        policy(Criterion::ArgmaxStability, 2.0),
        policy(Criterion::EntropyDiff, 0.05),
    ];
    if config.exit_gate == ExitGate::Linear {
        policies.push(policy(Criterion::QExit, 0.7));
        policies.push(policy(Criterion::QExit, 0.9));
    }
    policies
}

fn retentions(config: &DecoderConfig) -> Vec<KvRetention> {
    KvRetention::ALL.into_iter().filter(|retention| retention.validate(config).is_ok()).collect()
}

/// Block evaluations that traces account for.
fn accounted(config: &DecoderConfig, policy: &ExitPolicy, traces: &[TokenTrace]) -> BlockEvaluations {
    let tokens = traces.len() as u64;
    let steps: usize = traces.iter().map(|trace| trace.steps).sum();
    let readout = config.readout_stack().map_or(0, |stack| stack.n_layers as u64);
    let looks_at_logits = policy.criterion.evidence() == Evidence::Logits;
    // A criterion of logits reads out at every evaluation; the last serves as the answer if it was after the last step.
    let readouts: usize = traces
        .iter()
        .map(|trace| match looks_at_logits {
            false => 1,
            true => {
                let evaluated = trace.values.iter().flatten().count();
                evaluated + usize::from(trace.values.last().is_none_or(Option::is_none))
            }
        })
        .sum();
    BlockEvaluations {
        prelude: config.prelude.as_ref().map_or(0, |stack| stack.n_layers as u64) * tokens,
        core: (config.core.n_layers * steps) as u64,
        readout: readout * readouts as u64,
    }
}

/// Policies, retentions and chunks to run a decoder under: every combination on a CPU, elsewhere so many that each value
/// occurs, but for those under which tokens are not expected to exit alike.
fn combinations(config: &DecoderConfig, tolerance: Tolerance) -> Vec<(ExitPolicy, KvRetention, usize)> {
    let (policies, retentions) = (policies(config), retentions(config));
    match tolerance {
        Tolerance::Cpu => {
            let mut all = Vec::new();
            for policy in &policies {
                for &retention in &retentions {
                    all.extend(CHUNKS.map(|chunk| (policy.clone(), retention, chunk)));
                }
            }
            all
        }
        Tolerance::Gpu => {
            let at = |(i, policy)| (policy, retentions[i % retentions.len()], CHUNKS[i % CHUNKS.len()]);
            policies.into_iter().enumerate().map(at).collect()
        }
        Tolerance::Tf32 => {
            let policies: Vec<_> = policies.into_iter().filter(|policy| tolerance.compares_exits(policy)).collect();
            let all = policies.iter().flat_map(|policy| retentions.iter().map(move |&retention| (policy, retention)));
            all.enumerate()
                .map(|(i, (policy, retention))| (policy.clone(), retention, CHUNKS[i % CHUNKS.len()]))
                .collect()
        }
    }
}

/// Early exit against the oracle, in decode and in prefill, under every policy, retention and feeding: the steps each token
/// took, the exit value after each, why it stopped, its logits, and the blocks that were executed.
///
/// # Panics
/// With what differed.
pub fn equal_the_oracle<B: Backend>(site: &Site<B>) {
    let mut early = 0;
    let mut runs = 0;
    for (name, config) in models::every_kind() {
        let mut recorded = Recorded::new(&config, SEED);
        let decoder = RecurrentDecoder::<B>::build(config.clone(), &mut recorded, &site.device).expect("builds");
        let oracle = Oracle::new(&config, recorded);
        for (policy, retention, chunk) in combinations(&config, site.tolerance) {
            let expected = oracle.run(&tokens(), &oracle_run(&config, &policy, retention));
            let found = feed(&decoder, &policy, retention, chunk);
            let context = format!("{name}, {policy}, {retention}, chunks of {chunk}");
            compare(&found, &expected, site.tolerance.repeated_under(retention), &context);
            assert_eq!(found.evaluations, accounted(&config, &policy, &found.traces), "{context}");
            let stopped_early = |trace: &&TokenTrace| trace.steps < 6 && policy.criterion != Criterion::Fixed;
            early += found.traces.iter().filter(stopped_early).count();
            runs += 1;
        }
    }
    let expects_early = site.tolerance != Tolerance::Tf32;
    assert!(!expects_early || early > 3 * runs, "the thresholds let tokens exit early: {early} in {runs} runs");
}

fn oracle_run(config: &DecoderConfig, policy: &ExitPolicy, retention: KvRetention) -> OracleRun {
    OracleRun {
        criterion: policy.criterion,
        threshold: policy.threshold,
        min_steps: policy.min_steps,
        max_steps: policy.max_steps.expect("given"),
        check_every: policy.check_every,
        patience: policy.patience,
        retention,
        prompt: PROMPT,
        s0: (config.initial_state != InitialState::Embedding).then(|| initial_states(tokens().len())),
    }
}

fn compare(found: &Found, expected: &[OracleToken], tolerance: f64, context: &str) {
    let steps: Vec<usize> = found.traces.iter().map(|trace| trace.steps).collect();
    let expected_steps: Vec<usize> = expected.iter().map(|token| token.steps).collect();
    assert_eq!(steps, expected_steps, "{context}");
    for ((trace, logits), expected) in found.traces.iter().zip(&found.logits).zip(expected) {
        let at = trace.position;
        let largest = expected.logits.iter().fold(0.0f64, |largest, logit| largest.max(logit.abs()));
        for (found, expected) in logits.iter().zip(&expected.logits) {
            let difference = (f64::from(*found) - expected).abs();
            assert!(difference < tolerance * (1.0 + largest), "{context} at {at}: {found} {expected}");
        }
        let reason = if expected.converged { ExitReason::Converged } else { ExitReason::DepthReached };
        assert_eq!(trace.reason, reason, "{context} at {at}");
        assert_eq!(trace.values.len(), expected.values.len(), "{context}");
        for (found, expected) in trace.values.iter().zip(&expected.values) {
            // Criteria subtract what is nearly equal: ten times the tolerance of what they subtract.
            let same = match (found, expected) {
                (Some(found), Some(expected)) => {
                    (f64::from(*found) - expected).abs() < 10.0 * tolerance * (1.0 + expected.abs())
                }
                (None, None) => true,
                _ => false,
            };
            assert!(same, "{context} at {at}: {found:?} {expected:?}");
        }
    }
}
