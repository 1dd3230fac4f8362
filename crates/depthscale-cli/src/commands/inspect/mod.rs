//! `depthscale inspect`

mod memory;
mod parts;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anstyle::Style;
use clap::Args;
use depthscale::decoder::{ModelDirectory, Published};
use depthscale::types::{CacheDtype, ComputeDtype, DecoderConfig, ExitPolicy, MemoryQuery, WeightFormat};
use serde_json::json;

use crate::display::{Align, Cell, Paint, Table, bytes, grouped};
use crate::failure::Usage;
use memory::{Retained, memory_under_each_policy};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The model: a directory with config.json and safetensors, or a config.json alone
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Tokens a sequence; without it, what the model was made for, at most 4096
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,

    /// Steps; without it, the depth of the model's config
    #[arg(long, value_name = "STEPS")]
    depth: Option<usize>,

    /// Sequences
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,

    /// What is computed in, and what weights and caches are kept in where nothing else is said: f32, f16 or bf16
    #[arg(long, value_name = "DTYPE", default_value_t)]
    dtype: ComputeDtype,

    /// What matrices are kept in: f32, f16, bf16, q8 or q4; without it, what the model was converted to, else the format of the
    /// dtype
    #[arg(long, value_name = "FORMAT")]
    weights: Option<WeightFormat>,

    /// What keys and values are kept in: f32, f16, bf16 or q8; without it, in --dtype. Matrix states stay f32
    #[arg(long, value_name = "DTYPE")]
    cache_dtype: Option<CacheDtype>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The context memory is shown for where none is given.
const USUAL_CONTEXT: usize = 4096;

/// Token rows computed at once, as `generate` runs.
const CHUNK: usize = 512;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let model = Model::read(&arguments.model)?;
    let query = arguments.query(&model.config, model.converted)?;
    let retained = memory_under_each_policy(&model.config, &query);
    if arguments.json {
        print_json(&model, &query, &retained)
    } else {
        print(&model, &query, arguments.dtype, &retained)
    }
}

/// What is known of a model without its weights.
struct Model {
    path: PathBuf,
    config: DecoderConfig,
    exit: ExitPolicy,
    /// Elements in its files, where it has files.
    stored: Option<u64>,
    /// What its weights were converted to, if they were.
    converted: Option<WeightFormat>,
}

impl Model {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let path_is_config = path.extension().is_some_and(|extension| extension == "json");
        if path_is_config {
            let Published { config, exit, .. } = Published::read(path)?;
            return Ok(Self { path: path.to_path_buf(), config, exit, stored: None, converted: None });
        }
        let directory = ModelDirectory::open(path)?;
        Ok(Self {
            path: directory.path().to_path_buf(),
            config: directory.config().clone(),
            exit: directory.exit().clone(),
            stored: Some(directory.stored_parameters()),
            converted: directory.converted_to(),
        })
    }
}

impl Arguments {
    /// What keys and values are kept in.
    fn cached_in(&self) -> CacheDtype {
        self.cache_dtype.unwrap_or(self.dtype.into())
    }

    /// For a model whose weights were converted to a format, if they were.
    fn query(&self, config: &DecoderConfig, converted: Option<WeightFormat>) -> anyhow::Result<MemoryQuery> {
        let stored = converted.filter(|_| self.dtype == ComputeDtype::F32);
        let weights = self.weights.or(stored).unwrap_or(self.dtype.into());
        weights.check_dtype(self.dtype).map_err(Usage::new)?;
        let query = MemoryQuery {
            context: self.context.unwrap_or(config.max_positions.min(USUAL_CONTEXT)),
            depth: self.depth.unwrap_or(config.depth),
            batch: self.batch,
            chunk: CHUNK,
            retention: Default::default(),
            weights,
            caches: self.cached_in(),
        };
        let limits = [
            ("context", query.context, config.max_positions),
            ("depth", query.depth, 1 << 20),
            ("batch", query.batch, 1 << 20),
        ];
        for (name, value, limit) in limits {
            if value == 0 || value > limit {
                return Err(Usage::new(format!("{name} is {value}: must be from 1 to {limit}")).into());
            }
        }
        Ok(MemoryQuery { chunk: query.chunk.min(query.context * query.batch), ..query })
    }
}

fn print(model: &Model, query: &MemoryQuery, dtype: ComputeDtype, retained: &[Retained]) -> anyhow::Result<()> {
    let config = &model.config;
    let paint = Paint::stdout();
    let mut stdout = io::stdout().lock();
    let heading = |text: &str| paint.style(Style::new().bold(), text);
    writeln!(stdout, "{}  {}", heading(config.family.name()), model.path.display())?;

    writeln!(stdout, "\n{}", heading("Parts"))?;
    print_pairs(&mut stdout, parts::describe(config, &model.exit), paint)?;

    writeln!(stdout, "\n{}", heading("Parameters"))?;
    let without = grouped(config.parameter_count_without_embeddings());
    let counts = [
        ("unique", format!("{} ({without} without embeddings)", grouped(config.parameter_count()))),
        ("stored", model.stored.map_or_else(|| "no files".into(), grouped)),
    ];
    print_pairs(&mut stdout, counts, paint)?;

    let sequences = if query.batch == 1 { "one sequence".into() } else { format!("{} sequences", query.batch) };
    let tokens = grouped(query.context as u64);
    let &MemoryQuery { weights, caches, .. } = query;
    let kept = if weights == dtype.into() { String::new() } else { format!(" with weights in {weights}") };
    let caches = if caches == dtype.into() { String::new() } else { format!(", caches in {caches}") };
    let title = format!("Memory of {sequences} of {tokens} tokens at depth {}, in {dtype}{kept}{caches}", query.depth);
    writeln!(stdout, "\n{}", heading(&title))?;
    let numbers = std::iter::repeat_n(Align::Right, 6);
    let mut table = Table::new([Align::Left].into_iter().chain(numbers));
    table.headings(&[
        "  K/V retention",
        "K/V per token",
        "weights",
        "global K/V",
        "per-step K/V",
        "activations",
        "total",
    ]);
    for Retained { policy, needs } in retained {
        let mut row = vec![Cell::new(format!("  {policy}"))];
        match needs {
            Ok((per_token, report)) => {
                let terms = [report.weights, report.global_kv, report.per_step_kv, report.activations, report.total()];
                row.extend([*per_token].into_iter().chain(terms).map(|n| Cell::new(bytes(n))));
            }
            Err(why) => row.push(Cell::styled(Style::new().dimmed(), format!("not possible: {why}"))),
        }
        table.row(row);
    }
    for line in table.lines(paint) {
        writeln!(stdout, "{line}")?;
    }
    Ok(())
}

fn print_pairs(
    stdout: &mut impl Write,
    pairs: impl IntoIterator<Item = (&'static str, String)>,
    paint: Paint,
) -> io::Result<()> {
    let mut table = Table::new([Align::Left, Align::Left]);
    for (name, value) in pairs {
        table.row([Cell::styled(Style::new().dimmed(), format!("  {name}")), Cell::new(value)]);
    }
    table.lines(paint).iter().try_for_each(|line| writeln!(stdout, "{line}"))
}

fn print_json(model: &Model, query: &MemoryQuery, retained: &[Retained]) -> anyhow::Result<()> {
    let config = &model.config;
    let memory: Vec<_> = retained
        .iter()
        .map(|Retained { policy, needs }| match needs {
            Ok((per_token, report)) => json!({
                "retention": policy,
                "kv_bytes_per_token": per_token,
                "memory": report,
                "total": report.total(),
            }),
            Err(why) => json!({ "retention": policy, "not_possible": why }),
        })
        .collect();
    let report = json!({
        "family": config.family,
        "config": config,
        "exit": model.exit,
        "parameters": {
            "unique": config.parameter_count(),
            "without_embeddings": config.parameter_count_without_embeddings(),
            "stored": model.stored,
        },
        "context": query.context,
        "depth": query.depth,
        "batch": query.batch,
        "weights": query.weights,
        "cache_dtype": query.caches,
        "memory": memory,
    });
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    Ok(())
}
