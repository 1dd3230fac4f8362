//! A slow, direct account of what the decoder must compute: one token after the other, plain loops in f64, every key and
//! value of every step kept, no caches, no rows that leave. The fill rule is applied where a reader looks: see
//! [`Oracle::seen_step`].

use std::collections::HashMap;

use depthscale_decoder::{ParameterSource, RandomParameters, Result};
use depthscale_types::{
    AfterStep, BlockNorms, Criterion, DecoderConfig, Injection, KvRetention, MixerKind, OutputHead, ParameterSpec,
    Positions, QueryKey, Readout, RotaryFrequencies, RotaryLayout, StackConfig,
};

type Row = Vec<f64>;

/// Random parameters that remember what they handed out.
pub(crate) struct Recorded {
    random: RandomParameters,
    values: HashMap<String, Row>,
}

impl Recorded {
    pub(crate) fn new(config: &DecoderConfig, seed: u64) -> Self {
        Self { random: RandomParameters::new(config, seed), values: HashMap::new() }
    }
}

impl ParameterSource for Recorded {
    fn values(&mut self, parameter: &ParameterSpec) -> Result<Vec<f32>> {
        let mut values = self.random.values(parameter)?;
        // Norm weights and biases that are not all alike, so that a wrong one shows.
        if parameter.shape.len() == 1 {
            values.iter_mut().enumerate().for_each(|(i, value)| *value += 0.1 * ((i * 7 % 5) as f32 - 2.0));
        }
        self.values.insert(parameter.path.clone(), values.iter().map(|&value| f64::from(value)).collect());
        Ok(values)
    }
}

/// How tokens run and stop.
#[derive(Clone)]
pub(crate) struct OracleRun {
    pub(crate) criterion: Criterion,
    pub(crate) threshold: f64,
    pub(crate) min_steps: usize,
    pub(crate) max_steps: usize,
    pub(crate) check_every: usize,
    pub(crate) patience: usize,
    pub(crate) retention: KvRetention,
    /// Tokens of the prompt; those after it are generated.
    pub(crate) prompt: usize,
    /// Initial states; `None` is the embedding after the prelude.
    pub(crate) s0: Option<Vec<Row>>,
}

/// What became of one token.
pub(crate) struct OracleToken {
    pub(crate) steps: usize,
    pub(crate) values: Vec<Option<f64>>,
    pub(crate) converged: bool,
    pub(crate) logits: Row,
}

pub(crate) struct Oracle {
    config: DecoderConfig,
    values: HashMap<String, Row>,
}

/// Key, value and log decays of one token in one layer.
#[derive(Clone)]
struct Kv {
    key: Row,
    value: Row,
    log_decay: Row,
}

/// By place (`prelude.0`, `core.1`, `shared`), then token, then step.
type Store = HashMap<String, Vec<Vec<Kv>>>;

impl Oracle {
    pub(crate) fn new(config: &DecoderConfig, recorded: Recorded) -> Self {
        Self { config: config.clone(), values: recorded.values }
    }

    pub(crate) fn run(&self, tokens: &[u32], run: &OracleRun) -> Vec<OracleToken> {
        let mut store = Store::new();
        let mut finished: Vec<OracleToken> = Vec::new();
        let mut exits: Vec<usize> = Vec::new();
        for (position, &token) in tokens.iter().enumerate() {
            let d = self.config.d_model;
            let embedding = &self.values["embedding"][token as usize * d..(token as usize + 1) * d];
            let mut input: Row = embedding.iter().map(|x| x * self.config.embedding_scale).collect();
            if let Some(stack) = &self.config.prelude {
                for layer in 0..stack.n_layers {
                    let look = |_: usize| 0;
                    input = self.block("prelude", layer, stack, input, position, &mut store, &look, &[]);
                }
            }
            let mut states = vec![run.s0.as_ref().map_or(input.clone(), |s0| s0[position].clone())];
            let mut readouts: Vec<Option<Row>> = vec![None];
            let mut values: Vec<Option<f64>> = vec![None];
            let mut satisfied = 0;
            loop {
                let step = states.len();
                let look = |other: usize| {
                    let exit = if other < exits.len() { exits[other] } else { step };
                    Self::seen_step(run, position, step, exit) - 1
                };
                let mut state = states[step - 1].clone();
                if self.config.injection == Injection::Linear {
                    let joined: Row = state.iter().chain(&input).copied().collect();
                    state = self.linear("injection", &joined);
                }
                for layer in 0..self.config.core.n_layers {
                    let stack = &self.config.core;
                    state = self.block("core", layer, stack, state, position, &mut store, &look, &states[1..]);
                }
                if self.config.after_step == AfterStep::FinalNorm {
                    state = self.norm("final_norm", &state);
                }
                states.push(state);
                let on_grid = step % run.check_every == run.min_steps % run.check_every;
                let of_logits =
                    matches!(run.criterion, Criterion::Kl | Criterion::ArgmaxStability | Criterion::EntropyDiff);
                let readout = (of_logits && on_grid).then(|| self.readout(&states[step], position, &mut store));
                readouts.push(readout);
                values.push(self.exit_value(run, step, &states, &readouts, &values));
                let checked = step >= run.min_steps && on_grid;
                if let (true, Some(value)) = (checked, values[step]) {
                    let holds = match run.criterion {
                        Criterion::QExit | Criterion::ArgmaxStability => value >= run.threshold,
                        _ => value < run.threshold,
                    };
                    satisfied = if holds { satisfied + 1 } else { 0 };
                }
                if satisfied >= run.patience || step == run.max_steps {
                    break;
                }
            }
            let steps = states.len() - 1;
            exits.push(steps);
            let logits = self.readout(&states[steps], position, &mut store);
            let converged = satisfied >= run.patience;
            finished.push(OracleToken { steps, values: values[1..].to_vec(), converged, logits });
        }
        finished
    }

    /// The step of an earlier token (which exited after `exit` steps) that a reader at `step` sees.
    fn seen_step(run: &OracleRun, reader: usize, step: usize, exit: usize) -> usize {
        match run.retention {
            KvRetention::PerStep => step.min(exit),
            KvRetention::Shared => exit,
            KvRetention::FirstThenShared => {
                if step == 1 {
                    1
                } else {
                    exit
                }
            }
            KvRetention::LastStepAfterPrefill => {
                if reader < run.prompt {
                    step.min(exit)
                } else {
                    exit
                }
            }
        }
    }

    fn exit_value(
        &self,
        run: &OracleRun,
        step: usize,
        states: &[Row],
        readouts: &[Option<Row>],
        values: &[Option<f64>],
    ) -> Option<f64> {
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Row>();
        let change = |t: usize| norm(&minus(&states[t], &states[t - 1])) / norm(&states[t]);
        let before = |list: &[Option<Row>]| list[..step].iter().rev().flatten().next().cloned();
        let earlier_value = values[..step].iter().rev().flatten().next().copied();
        match run.criterion {
            Criterion::Fixed => None,
            Criterion::LatentDiff => Some(change(step)),
            Criterion::MetricDiff(_) => (step > 1).then(|| (change(step) - change(step - 1)).abs()),
            Criterion::Acceleration => (step > 1).then(|| {
                let now = minus(&states[step], &states[step - 1]);
                norm(&minus(&now, &minus(&states[step - 1], &states[step - 2]))) / norm(&states[step])
            }),
            Criterion::QExit => {
                let gate = self.linear("exit_gate.weight", &states[step])[0] + self.values["exit_gate.bias"][0];
                let hazard = 1.0 / (1.0 + (-gate).exp());
                let before = earlier_value.unwrap_or(0.0);
                Some(before + hazard * (1.0 - before))
            }
            Criterion::Kl => readouts[step].as_ref().map(|now| {
                let now = log_softmax(now);
                let before = before(readouts).map_or(vec![-(now.len() as f64).ln(); now.len()], |b| log_softmax(&b));
                before.iter().zip(&now).map(|(b, n)| b.exp() * (b - n)).sum()
            }),
            Criterion::EntropyDiff => readouts[step].as_ref().map(|now| {
                let entropy = |x: &Row| -log_softmax(x).iter().map(|l| l.exp() * l).sum::<f64>();
                (entropy(now) - before(readouts).map_or(100.0, |b| entropy(&b))).abs()
            }),
            Criterion::ArgmaxStability => readouts[step].as_ref().map(|now| match before(readouts) {
                Some(earlier) if argmax(now) == argmax(&earlier) => earlier_value.unwrap_or(0.0) + 1.0,
                _ => 0.0,
            }),
            other => panic!("{other} is not part of the oracle"),
        }
    }

    fn readout(&self, state: &Row, position: usize, store: &mut Store) -> Row {
        let last = |_: usize| 0;
        let normed = match &self.config.readout {
            Readout::Head => state.clone(),
            Readout::NormHead => self.norm("final_norm", state),
            Readout::Coda(stack) => {
                let mut x = self.norm("final_norm", state);
                for layer in 0..stack.n_layers {
                    forget(store, &format!("coda.{layer}"), position);
                    x = self.block("coda", layer, stack, x, position, store, &last, &[]);
                }
                self.norm("final_norm", &x)
            }
            Readout::CrossDecoder { layers, shared_key } => {
                let normed = self.norm("shared.norm", state);
                let mut key = self.linear("shared.key", &normed);
                if *shared_key == QueryKey::Norm {
                    key = self.head_norm("shared.key_norm", &key);
                }
                let key = rotate(layers, &key, position);
                let value = self.linear("shared.value", &normed);
                forget(store, "shared", position);
                keep(store, "shared", position, Kv { key, value, log_decay: Vec::new() });
                let mut x = state.clone();
                for layer in 0..layers.n_layers {
                    x = self.block("cross", layer, layers, x, position, store, &last, &[]);
                }
                self.norm("final_norm", &x)
            }
        };
        match self.config.head {
            OutputHead::Separate => self.linear("head", &normed),
            OutputHead::Tied => self.linear("embedding", &normed),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a direct account names everything it looks at")]
    fn block(
        &self,
        stack_name: &str,
        layer: usize,
        stack: &StackConfig,
        x: Row,
        position: usize,
        store: &mut Store,
        look: &dyn Fn(usize) -> usize,
        bank: &[Row],
    ) -> Row {
        let name = format!("{stack_name}.{layer}");
        let join = |x: &Row, branch: Row, after: String| match stack.norms {
            BlockNorms::Pre => add(x, &branch),
            BlockNorms::SandwichBranch => add(x, &self.norm(&after, &branch)),
            BlockNorms::SandwichSum => self.norm(&after, &add(x, &branch)),
        };
        let normed = self.norm(&format!("{name}.norm_mixer"), &x);
        let mixed = self.mix(&name, stack, &normed, position, store, look, bank);
        let x = join(&x, mixed, format!("{name}.norm_mixer_after"));
        let normed = self.norm(&format!("{name}.norm_ffn"), &x);
        let gate = self.linear(&format!("{name}.ffn.gate"), &normed);
        let up = self.linear(&format!("{name}.ffn.up"), &normed);
        let inner: Row = gate.iter().zip(&up).map(|(g, u)| silu(*g) * u).collect();
        join(&x, self.linear(&format!("{name}.ffn.down"), &inner), format!("{name}.norm_ffn_after"))
    }

    #[expect(clippy::too_many_arguments, reason = "a direct account names everything it looks at")]
    fn mix(
        &self,
        name: &str,
        stack: &StackConfig,
        x: &Row,
        position: usize,
        store: &mut Store,
        look: &dyn Fn(usize) -> usize,
        bank: &[Row],
    ) -> Row {
        let m = format!("{name}.mixer");
        let hd = stack.head_dim;
        let treat = |kind: &str| {
            let mut projected = self.linear(&format!("{m}.{kind}"), x);
            match stack.query_key {
                QueryKey::Plain => {}
                QueryKey::Bias => projected = add(&projected, &self.values[&format!("{m}.{kind}_bias")]),
                QueryKey::Norm => projected = self.head_norm(&format!("{m}.{kind}_norm"), &projected),
            }
            projected
        };
        let plain_query = treat("query");
        let query = rotate(stack, &plain_query, position);
        let place = if stack.mixer == MixerKind::SharedKv { "shared".into() } else { name.to_owned() };
        if stack.mixer != MixerKind::SharedKv {
            let log_decay = match stack.mixer {
                MixerKind::GatedRetention { temperature } => {
                    let gate = self.linear(&format!("{m}.decay"), x);
                    gate.iter().map(|g| -(1.0 + (-g).exp()).ln() / temperature).collect()
                }
                _ => Vec::new(),
            };
            let key = rotate(stack, &treat("key"), position);
            keep(store, &place, position, Kv { key, value: self.linear(&format!("{m}.value"), x), log_decay });
        }
        let seen: Vec<&Kv> = (0..=position)
            .map(|token| {
                let steps = &store[&place][token];
                &steps[look(token).min(steps.len() - 1)]
            })
            .collect();
        let scale = (hd as f64).sqrt().recip();
        let group = stack.n_heads / stack.n_kv_heads;
        let mut out = vec![0.0; stack.n_heads * hd];
        for head in 0..stack.n_heads {
            let own = head * hd..(head + 1) * hd;
            let theirs = head / group * hd..(head / group + 1) * hd;
            let score = |kv: &Kv| dot(&query[own.clone()], &kv.key[theirs.clone()]) * scale;
            let weights: Row = match &stack.mixer {
                MixerKind::GatedRetention { .. } => (0..seen.len())
                    .map(|at| {
                        let decay: f64 = seen[at + 1..].iter().map(|kv| kv.log_decay[head]).sum();
                        decay.exp() * score(seen[at])
                    })
                    .collect(),
                mixer => {
                    let window = match mixer {
                        MixerKind::SlidingWindow { window } => *window,
                        MixerKind::MemoryGated(config) => config.context_window_size,
                        _ => usize::MAX,
                    };
                    let first = (position + 1).saturating_sub(window);
                    let scores: Row = seen[first..].iter().map(|kv| score(kv)).collect();
                    let p = log_softmax(&scores).into_iter().map(f64::exp);
                    vec![0.0; first].into_iter().chain(p).collect()
                }
            };
            for (weight, kv) in weights.iter().zip(&seen) {
                for (o, v) in out[own.clone()].iter_mut().zip(&kv.value[theirs.clone()]) {
                    *o += weight * v;
                }
            }
            if matches!(stack.mixer, MixerKind::GatedRetention { .. }) {
                let eps = self.config.norm_eps;
                let rms = (out[own.clone()].iter().map(|x| x * x).sum::<f64>() / hd as f64 + eps).sqrt();
                out[own].iter_mut().for_each(|x| *x /= rms);
            }
        }
        match stack.mixer {
            MixerKind::GatedRetention { .. } => {
                let gate = self.linear(&format!("{m}.gate"), x);
                out = out.iter().zip(&gate).map(|(o, g)| o * silu(*g)).collect();
            }
            MixerKind::MemoryGated(config) if !bank.is_empty() => {
                let bank = &bank[bank.len().saturating_sub(config.context_window_size)..];
                let gates = self.linear(&format!("{m}.memory_gate.weight"), x);
                let gates = add(&gates, &self.values[&format!("{m}.memory_gate.bias")]);
                let keys: Vec<Row> = bank.iter().map(|s| self.linear(&format!("{m}.memory_key"), s)).collect();
                let values: Vec<Row> = bank.iter().map(|s| self.linear(&format!("{m}.memory_value"), s)).collect();
                for (head, gate) in gates.iter().enumerate() {
                    let own = head * hd..(head + 1) * hd;
                    let theirs = head / group * hd..(head / group + 1) * hd;
                    let scores: Row = keys
                        .iter()
                        .enumerate()
                        .map(|(at, key)| {
                            let age = (keys.len() - 1 - at) as f64;
                            dot(&plain_query[own.clone()], &key[theirs.clone()]) * scale
                                + age * config.memory_decay_rate.ln()
                        })
                        .collect();
                    let p: Row = log_softmax(&scores).into_iter().map(f64::exp).collect();
                    let gate = 1.0 / (1.0 + (-gate).exp());
                    for (at, index) in own.enumerate() {
                        let memory: f64 = p.iter().zip(&values).map(|(p, v)| p * v[theirs.start + at]).sum();
                        out[index] = gate * out[index] + (1.0 - gate) * memory;
                    }
                }
            }
            _ => {}
        }
        self.linear(&format!("{m}.output"), &out)
    }

    fn linear(&self, name: &str, x: &[f64]) -> Row {
        self.values[name].chunks(x.len()).map(|row| dot(row, x)).collect()
    }

    fn norm(&self, name: &str, x: &[f64]) -> Row {
        let rms = (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + self.config.norm_eps).sqrt();
        x.iter().zip(&self.values[name]).map(|(x, w)| x / rms * w).collect()
    }

    fn head_norm(&self, name: &str, x: &[f64]) -> Row {
        x.chunks(self.values[name].len()).flat_map(|head| self.norm(name, head)).collect()
    }
}

/// Adds the next step of a token at a place.
fn keep(store: &mut Store, place: &str, token: usize, kv: Kv) {
    let tokens = store.entry(place.into()).or_default();
    tokens.resize(tokens.len().max(token + 1), Vec::new());
    tokens[token].push(kv);
}

/// Drops what an earlier readout of the same token kept.
fn forget(store: &mut Store, place: &str, token: usize) {
    if let Some(kept) = store.get_mut(place).and_then(|tokens| tokens.get_mut(token)) {
        kept.clear();
    }
}

fn rotate(stack: &StackConfig, x: &[f64], position: usize) -> Row {
    let Positions::Rotary { theta, layout, frequencies } = stack.positions else { return x.to_vec() };
    let (hd, half) = (stack.head_dim, stack.head_dim / 2);
    let steps = match frequencies {
        RotaryFrequencies::Standard => half,
        RotaryFrequencies::EndpointInclusive => (half - 1).max(1),
    };
    let mut out = x.to_vec();
    for head in out.chunks_mut(hd) {
        for pair in 0..half {
            let (a, b) = match layout {
                RotaryLayout::Interleaved => (2 * pair, 2 * pair + 1),
                RotaryLayout::SplitHalf => (pair, pair + half),
            };
            let (sin, cos) = (position as f64 * theta.powf(-(pair as f64) / steps as f64)).sin_cos();
            (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[b] * cos + head[a] * sin);
        }
    }
    out
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(a: &[f64], b: &[f64]) -> Row {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

fn log_softmax(x: &[f64]) -> Row {
    let largest = x.iter().copied().fold(f64::MIN, f64::max);
    let sum = x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln();
    x.iter().map(|x| x - largest - sum).collect()
}

fn argmax(x: &[f64]) -> usize {
    (0..x.len()).max_by(|&a, &b| x[a].total_cmp(&x[b])).expect("not empty")
}
