//! `depthscale bench`

mod table;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use depthscale::backends::{BackendKind, Device};
use depthscale::decoder::Published;
use depthscale::prelude::KvRetention;
use depthscale::types::{CacheDtype, ComputeDtype, WeightFormat};
use depthscale_bench::{
    BenchError, Benchmark, Build, Case, Compared, Event, Phase, Plan, Preset, Record, ResultsWriter, Subject, Timing,
    compare, read_results, report,
};

use crate::commands::backends::features;
use crate::failure::{Interrupted, Usage};
use crate::progress::{Shown, Verbosity, spinner};
use crate::stop;
use table::{comparison_lines, result_lines};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A model directory to measure, or a config.json alone, whose shape is measured with random weights
    #[arg(long, value_name = "PATH", conflicts_with = "preset")]
    model: Option<PathBuf>,

    /// A published shape with random weights: small-20m, small-160m, yoco-u-1.3b, ouro-1.4b or huginn-0125
    #[arg(long, value_name = "NAME", default_value = "small-20m")]
    preset: Preset,

    /// What computes, each in turn: flex, ndarray, wgpu, wgpu:1, cuda:0 or auto
    #[arg(long, value_name = "LIST", value_delimiter = ',', env = "DEPTHSCALE_BACKEND", default_value = "auto")]
    backends: Vec<BackendKind>,

    /// Steps of every token
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2,4")]
    depths: Vec<usize>,

    /// Tokens of the prompt, after which decoding goes on
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "128")]
    context: Vec<usize>,

    /// Sequences at once
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1")]
    batch: Vec<usize>,

    /// What is computed in: f32, f16 or bf16
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "f32")]
    dtype: Vec<ComputeDtype>,

    /// What matrices are kept in: f32, f16, bf16, q8 or q4; without it, in the dtype's own format
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    weights: Vec<WeightFormat>,

    /// What keys and values are kept in: f32, f16, bf16 or q8; without it, in the dtype computed in
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    cache_dtype: Vec<CacheDtype>,

    /// Which keys and values are kept: per-step, shared, first-then-shared or last-step-after-prefill
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "per-step")]
    kv: Vec<KvRetention>,

    /// What is measured
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "prefill,decode")]
    phases: Vec<PhaseName>,

    /// Most token rows computed together
    #[arg(long, value_name = "N", default_value_t = 512)]
    chunk: usize,

    /// Seconds for which a case runs before it is measured
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,

    /// Samples of a case
    #[arg(long, value_name = "N", default_value_t = Timing::default().samples)]
    samples: usize,

    /// Seconds after which no further sample of a case is taken, once there are three
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    budget: Duration,

    /// A file of JSON lines that results are added to
    #[arg(long, value_name = "FILE", default_value = "results.jsonl")]
    results: PathBuf,

    /// A page with plots of everything in the results file; replaced if it is there
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    report: PathBuf,

    /// Compare with the results of an earlier file
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,

    /// Measure nothing: show, report and compare the results that are in the results file
    #[arg(long)]
    no_run: bool,

    /// Show no progress and no summary
    #[arg(long, short)]
    quiet: bool,
}

/// A phase by its name.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PhaseName {
    Prefill,
    Decode,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "must be a number of seconds from 0".to_owned())
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // Everything that can be refused is refused before anything is measured.
    let old = arguments.compare.as_deref().map(read_results).transpose()?;
    let (measured, stopped) =
        if arguments.no_run { (read_results(&arguments.results)?, false) } else { measure(arguments)? };
    if measured.is_empty() {
        return Err(Interrupted.into());
    }
    let mut stdout = io::stdout().lock();
    for line in result_lines(&measured.iter().collect::<Vec<_>>()) {
        writeln!(stdout, "{line}")?;
    }
    // The page shows the whole file, of which this run may be a part.
    let all = read_results(&arguments.results)?;
    let compared = old.as_deref().map(|old| compare(old, &measured));
    if let Some(compared) = &compared {
        for line in comparison_lines(compared) {
            writeln!(stdout, "{line}")?;
        }
    }
    write_report(&arguments.report, &all, compared.as_ref())?;
    if !arguments.quiet {
        remarks(arguments, &measured, all.len())?;
    }
    if stopped { Err(Interrupted.into()) } else { Ok(()) }
}

fn write_report(path: &Path, records: &[Record], compared: Option<&Compared<'_>>) -> anyhow::Result<()> {
    let page = report(records, compared).to_html().map_err(BenchError::from)?;
    std::fs::write(path, page).with_context(|| format!("{}: cannot be written", path.display()))
}

/// What to know of the figures, on stderr.
fn remarks(arguments: &Arguments, measured: &[Record], in_file: usize) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    writeln!(
        stderr,
        "{} holds {in_file} results, {} shows them.",
        arguments.results.display(),
        arguments.report.display()
    )?;
    if measured.iter().any(|record| record.build.opt_level != "3") {
        writeln!(stderr, "These are figures of a build without full optimisation; build with --release.")?;
    }
    Ok(())
}

/// Measures, and tells whether it was stopped before the end.
fn measure(arguments: &Arguments) -> anyhow::Result<(Vec<Record>, bool)> {
    let subject = arguments.subject()?;
    let benchmark = Benchmark::new(subject, arguments.plan(), Build::this(&features()))?;
    let mut devices: Vec<Device> = Vec::new();
    for backend in &arguments.backends {
        let device = backend.probe()?;
        if devices.iter().all(|known| known.kind != device.kind) {
            devices.push(device);
        }
    }
    let mut writer = ResultsWriter::append(&arguments.results)?;
    // A first request stops after the case under way, so that nothing is lost; a second one at once.
    stop::listen()?;
    let verbosity = if arguments.quiet { Verbosity::Quiet } else { Verbosity::Normal };
    let progress = spinner("measuring", verbosity);
    let mut measured = Vec::new();
    let n_cases = devices.len() * arguments.n_cases();
    let mut skipped = Vec::new();
    let outcome = benchmark.run(&devices, &mut |event| {
        match event {
            Event::Measured(record) => {
                writer.write(record)?;
                measured.push(record.clone());
            }
            Event::Skipped(device, dtype, weights, case, why) => {
                let what = case.map_or_else(|| kept(dtype, weights), |case| name(&case));
                skipped.push(format!("skipped {what} on {}: {why}", device.kind));
                if !arguments.quiet {
                    progress.say(&skipped[skipped.len() - 1]);
                }
            }
            other => {
                let done = measured.len() + skipped.len();
                show(&progress, &other, done, n_cases, benchmark.config().parameter_count());
            }
        }
        // Only now, so that the case that was under way is not lost.
        if stop::was_asked() { Err(BenchError::Stopped) } else { Ok(()) }
    });
    drop(progress);
    if measured.is_empty() {
        remove_if_empty(&arguments.results);
    }
    match outcome {
        Ok(()) if measured.is_empty() => {
            Err(Usage::new(format!("nothing could be measured: {}", skipped.join("; "))).into())
        }
        Ok(()) => Ok((measured, false)),
        Err(BenchError::Stopped) => Ok((measured, true)),
        Err(error) => Err(error.into()),
    }
}

/// Leaves no file behind that holds nothing.
fn remove_if_empty(path: &Path) {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) {
        // An empty file that cannot be removed harms nobody.
        let _ = std::fs::remove_file(path);
    }
}

fn show(progress: &Shown, event: &Event<'_>, done: usize, n_cases: usize, parameters: u64) {
    match event {
        Event::Ceiling(device, dtype) => progress.message(format!("{}: what it can do in {dtype}", device.kind)),
        Event::Loading(loaded) => progress.message(format!("loading, {}%", 100 * loaded / parameters.max(1))),
        Event::Measuring(device, case) => {
            progress.message(format!("{} of {n_cases}: {}, {}", done + 1, device.kind, name(case)));
        }
        Event::Measured(_) | Event::Skipped(..) => {}
    }
}

fn name(case: &Case) -> String {
    let &Case { phase, dtype, weights, cache_dtype, retention, depth, context, batch, .. } = case;
    let kept = kept(dtype, weights);
    let caches = cache_dtype.map_or_else(String::new, |dtype| format!(", caches in {dtype}"));
    format!("{phase} in {kept}{caches}, {retention}, depth {depth}, context {context}, batch {batch}")
}

fn kept(dtype: ComputeDtype, weights: WeightFormat) -> String {
    if weights == dtype.into() { dtype.to_string() } else { format!("{dtype} with weights in {weights}") }
}

impl Arguments {
    fn subject(&self) -> anyhow::Result<Subject> {
        Ok(match &self.model {
            None => Subject::Preset(self.preset),
            Some(path) if path.is_file() => {
                let name = path.display().to_string();
                Subject::Shape { name, config: Box::new(Published::read(path)?.config) }
            }
            Some(path) => Subject::Directory(path.clone()),
        })
    }

    fn plan(&self) -> Plan {
        let phase = |name: &PhaseName| match name {
            PhaseName::Prefill => Phase::Prefill,
            PhaseName::Decode => Phase::Decode,
        };
        Plan {
            dtypes: self.dtype.clone(),
            weights: self.weights.clone(),
            cache_dtypes: self.cache_dtype.clone(),
            retentions: self.kv.clone(),
            depths: self.depths.clone(),
            contexts: self.context.clone(),
            batches: self.batch.clone(),
            phases: self.phases.iter().map(phase).collect(),
            chunk: self.chunk,
            timing: Timing { warm_up: self.warm_up, samples: self.samples, budget: self.budget },
        }
    }

    /// Cases of one device.
    fn n_cases(&self) -> usize {
        let formats = self.dtype.len() * self.weights.len().max(1) * self.cache_dtype.len().max(1);
        [formats, self.kv.len(), self.depths.len(), self.context.len(), self.batch.len(), self.phases.len()]
            .into_iter()
            .product()
    }
}
