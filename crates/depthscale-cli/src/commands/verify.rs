//! `depthscale verify`

use std::io::{self, Write};
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use anyhow::{Context, bail};
use clap::Args;
use depthscale::backends::Device;
use depthscale::checkpoint::{Checkpoint, CheckpointWriter, EXPECTED_FILE, Overwrite, StoredTensor};
use depthscale::decoder::ModelDirectory;
use depthscale::decoder::verify::{
    Comparison, F32_TOLERANCE, GPU_F32_TOLERANCE, Tolerance, VerifyPath, blocks_tolerance, own_outputs,
    rounding_tolerance, tf32_tolerance, verify,
};
use depthscale::prelude::*;
use depthscale::types::{CacheDtype, ComputeDtype, MemoryReport, WeightFormat};
use serde_json::json;

use crate::arguments::{BackendArguments, run_on};
use crate::display::{Align, Cell, Paint, Table, significant};
use crate::failure::Usage;
use crate::progress::{Verbosity, loading, spinner};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The model: a directory with config.json and safetensors
    #[arg(value_name = "DIR")]
    model: PathBuf,

    /// Outputs of the published implementation; without it, expected.safetensors beside the model. Where there is none and
    /// weights or caches are kept in fewer bits, they are compared with the same model in f32, on some tokens
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,

    /// Compare recomputation: every call begins with empty caches
    #[arg(long)]
    exact_forward: bool,

    /// Compare the cached path: fed in chunks, then token by token
    #[arg(long)]
    cached: bool,

    /// What keys and values are kept in: f32, f16, bf16 or q8; without it, in --dtype. Matrix states stay f32
    #[arg(long, value_name = "DTYPE")]
    cache_dtype: Option<CacheDtype>,

    /// Largest difference, relative to one plus the largest expected magnitude; by default 2e-4 on the CPU, 1e-3 on
    /// GPUs, and in fewer bits and on CUDA, which multiplies in TF32, what rounding does. With weights in q8 and q4, the largest
    /// relative error of logits; by default 0.02 and 0.08, whatever caches are kept in
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    tolerance: Option<f64>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    backend: BackendArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(tolerance) = arguments.tolerance.filter(|tolerance| !(tolerance.is_finite() && *tolerance >= 0.0)) {
        return Err(Usage::new(format!("tolerance is {tolerance}: must be finite and not negative")).into());
    }
    let directory = arguments.backend.open(&arguments.model)?;
    let device = arguments.backend.device(&directory)?;
    if let Some(dtype) = arguments.cache_dtype {
        device.check_caches(dtype)?;
    }
    let weights = directory.weights_where(device.kind.keeps_packed());
    let packed = weights != directory.dtype().into();
    let rounds = packed || arguments.cache_dtype.is_some_and(|dtype| dtype != directory.dtype().into());
    let expected = match find_expected(arguments) {
        Some(path) => Checkpoint::open_file(&path)?,
        None if packed && directory.was_rounded() => bail!(
            "{}: its weights were converted, and what they were is not there to compare with; name the published outputs by \
             --expected, or verify the model that it was converted from with --weights",
            arguments.model.display()
        ),
        None if rounds => own_outputs_in_f32(arguments, &device)?,
        None => {
            bail!("{}: no {EXPECTED_FILE} beside the model: nothing to compare with", arguments.model.display())
        }
    };
    let task = Verify {
        expected,
        directory: &directory,
        paths: arguments.paths(),
        cache_dtype: arguments.cache_dtype,
        tolerance: tolerance(arguments, &device, &directory, weights),
        verbosity: arguments.backend.verbosity(),
    };
    let comparisons = run_on(&device, task)?;
    if arguments.json {
        print_json(weights, arguments.cache_dtype.unwrap_or(directory.dtype().into()), &comparisons)?
    } else {
        print_table(&comparisons, &arguments.paths())?
    }
    let failed = comparisons.iter().filter(|comparison| !comparison.passes()).count();
    if failed > 0 {
        bail!("{failed} of {} comparisons differ by more than the tolerance", comparisons.len());
    }
    Ok(())
}

/// What was asked for, or is usual: a relative error for weights in blocks, else a largest difference.
fn tolerance(arguments: &Arguments, device: &Device, directory: &ModelDirectory, weights: WeightFormat) -> Tolerance {
    match blocks_tolerance(weights) {
        Some(usual) => Tolerance::Relative(arguments.tolerance.unwrap_or(usual)),
        None => {
            let usual = || {
                let of_caches = arguments.cache_dtype.map_or(0.0, |dtype| usual_tolerance(device, directory, dtype));
                usual_tolerance(device, directory, matrices_in(weights, directory)).max(of_caches)
            };
            Tolerance::Largest(arguments.tolerance.unwrap_or_else(usual))
        }
    }
}

/// What matrices in a format without blocks are rounded to.
fn matrices_in(weights: WeightFormat, directory: &ModelDirectory) -> ComputeDtype {
    match weights {
        WeightFormat::F16 => ComputeDtype::F16,
        WeightFormat::Bf16 => ComputeDtype::Bf16,
        WeightFormat::F32 | WeightFormat::Q8 | WeightFormat::Q4 => directory.dtype(),
    }
}

/// Of matrices, or keys and values, that are rounded to a dtype.
fn usual_tolerance(device: &Device, directory: &ModelDirectory, rounded_to: impl Into<CacheDtype>) -> f64 {
    let depth = directory.config().depth;
    match rounded_to.into() {
        CacheDtype::F32 if device.kind.is_cpu() => F32_TOLERANCE,
        CacheDtype::F32 if device.kind.multiplies_in_tf32() => tf32_tolerance(depth),
        CacheDtype::F32 => GPU_F32_TOLERANCE,
        dtype => rounding_tolerance(dtype, depth),
    }
}

impl Arguments {
    fn paths(&self) -> Vec<VerifyPath> {
        match (self.exact_forward, self.cached) {
            (true, false) => vec![VerifyPath::ExactForward],
            (false, true) => vec![VerifyPath::Cached],
            (true, true) | (false, false) => vec![VerifyPath::ExactForward, VerifyPath::Cached],
        }
    }
}

fn find_expected(arguments: &Arguments) -> Option<PathBuf> {
    let beside = arguments.model.join(EXPECTED_FILE);
    arguments.expected.clone().or_else(|| beside.exists().then_some(beside))
}

/// Tokens that a model is compared with itself on.
const TOKENS: usize = 48;

/// What the model gives with its weights in f32, for some tokens at every depth.
fn own_outputs_in_f32(arguments: &Arguments, device: &Device) -> anyhow::Result<Checkpoint> {
    let directory = ModelDirectory::open(&arguments.model)?.with_weights(WeightFormat::F32);
    let verbosity = arguments.backend.verbosity();
    if !verbosity.is_quiet() {
        writeln!(io::stderr(), "no {EXPECTED_FILE} beside the model: compared with itself in f32, on {TOKENS} tokens")?;
    }
    let weights = directory.config().parameter_bytes(WeightFormat::F32);
    let loaded = MemoryReport { weights, ..MemoryReport::default() };
    device.check_memory(directory.config(), WeightFormat::F32, &loaded)?;
    let outputs = run_on(device, OwnOutputs { directory: &directory, verbosity })?;
    let scratch = tempfile::tempdir().context("no temporary directory can be made")?;
    let path = CheckpointWriter::new(scratch.path(), Overwrite::No).write_single(&outputs)?;
    // The file may go once it is open.
    Ok(Checkpoint::open_file(&path)?)
}

/// Loads a decoder and records its outputs.
struct OwnOutputs<'a> {
    directory: &'a ModelDirectory,
    verbosity: Verbosity,
}

impl BackendTask for OwnOutputs<'_> {
    type Output = depthscale::Result<Vec<StoredTensor>>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let config = self.directory.config();
        let bar = loading(config.parameter_count(), self.verbosity);
        let decoder = self.directory.load::<B>(&device, &mut |loaded| bar.position(loaded))?;
        let n = TOKENS.min(config.max_positions);
        let tokens: Vec<u32> = (0..n).map(|at| ((at * 13 + at / 7) % config.vocab_size) as u32).collect();
        Ok(own_outputs(&decoder, &tokens)?)
    }
}

/// Loads a decoder and compares it.
struct Verify<'a> {
    directory: &'a ModelDirectory,
    expected: Checkpoint,
    paths: Vec<VerifyPath>,
    cache_dtype: Option<CacheDtype>,
    tolerance: Tolerance,
    verbosity: Verbosity,
}

impl BackendTask for Verify<'_> {
    type Output = depthscale::Result<Vec<Comparison>>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let bar = loading(self.directory.config().parameter_count(), self.verbosity);
        let decoder = self.directory.load::<B>(&device, &mut |loaded| bar.position(loaded))?;
        drop(bar);
        let progress = spinner("comparing", self.verbosity);
        let mut comparisons = Vec::new();
        for path in self.paths {
            let mut tell = |entry: &str| progress.message(format!("comparing {entry}, {}", path.name()));
            comparisons.extend(verify(&decoder, &self.expected, path, self.cache_dtype, self.tolerance, &mut tell)?);
        }
        Ok(comparisons)
    }
}

fn print_table(comparisons: &[Comparison], paths: &[VerifyPath]) -> io::Result<()> {
    let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let numbers = std::iter::repeat_n(Align::Right, paths.len() + 1);
    let mut table = Table::new([Align::Left].into_iter().chain(numbers).chain([Align::Left]));
    let headings: Vec<&str> =
        ["entry"].into_iter().chain(paths.iter().map(|path| path.name())).chain(["tolerance", ""]).collect();
    table.headings(&headings);
    // Every path compares the same entries in the same order.
    let n_entries = comparisons.len() / paths.len();
    for (index, first) in comparisons[..n_entries].iter().enumerate() {
        let of_entry: Vec<&Comparison> = comparisons.iter().skip(index).step_by(n_entries).collect();
        let mut row = vec![Cell::new(&first.entry)];
        for comparison in &of_entry {
            let style = if comparison.passes() { Style::new() } else { red };
            row.push(Cell::styled(style, difference(comparison)));
        }
        row.push(Cell::new(match first.tolerance {
            _ if is_exact(first) => "equal".into(),
            f64::INFINITY => "no limit".into(),
            tolerance => significant(tolerance),
        }));
        let passes = of_entry.iter().all(|comparison| comparison.passes());
        row.push(if passes { Cell::styled(green, "ok") } else { Cell::styled(red, "FAIL") });
        table.row(row);
    }
    let mut stdout = io::stdout().lock();
    for line in table.lines(Paint::stdout()) {
        writeln!(stdout, "{line}")?;
    }
    let passed = comparisons.iter().filter(|comparison| comparison.passes()).count();
    let limited = |comparison: &&Comparison| comparison.tolerance > 0.0 && comparison.tolerance.is_finite();
    let measured = comparisons.iter().filter(limited);
    let largest = measured.map(|comparison| comparison.difference / comparison.tolerance).fold(0.0, f64::max);
    writeln!(
        stdout,
        "{passed} of {} within tolerance; the largest difference is {}% of it",
        comparisons.len(),
        significant(100.0 * largest)
    )
}

/// Token ids have to be equal, if there is a limit.
fn is_exact(comparison: &Comparison) -> bool {
    comparison.is_of_tokens() && comparison.tolerance == 0.0
}

fn difference(comparison: &Comparison) -> String {
    match comparison.is_of_tokens() {
        true if comparison.difference == 0.0 => "equal".into(),
        true => format!("{} differ", comparison.difference),
        false => significant(comparison.difference),
    }
}

/// What was found, with what matrices, keys and values were kept in.
fn print_json(weights: WeightFormat, cache_dtype: CacheDtype, comparisons: &[Comparison]) -> anyhow::Result<()> {
    let entries: Vec<_> = comparisons
        .iter()
        .map(|comparison| {
            json!({
                "entry": comparison.entry,
                "path": comparison.path.name(),
                "difference": comparison.difference,
                "tolerance": comparison.tolerance.is_finite().then_some(comparison.tolerance),
                "magnitude": comparison.magnitude,
                "passes": comparison.passes(),
            })
        })
        .collect();
    let passes = comparisons.iter().all(Comparison::passes);
    let report = json!({
        "passes": passes,
        "weights": weights.name(),
        "cache_dtype": cache_dtype.name(),
        "comparisons": entries,
    });
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    Ok(())
}
