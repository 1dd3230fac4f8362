//! Benchmarks of looped language models: the same cases on every backend, held against what the device can do.
//!
//! A [`Benchmark`] takes a [`Subject`] (a preset with random weights, or a checkpoint) and a [`Plan`] (lists of dtypes,
//! depths, contexts, batches), and measures prefill and decode on each device. Every case becomes a [`Record`]: machine,
//! program, case, work, every sample, and two ceilings that were measured on the same device in the same run. Records are
//! lines of a results file, see [`ResultsWriter`] and [`read_results`]; [`report()`] draws them and [`compare()`] holds
//! them against earlier ones.
//!
//! How it measures:
//!
//! - A case first runs unmeasured for a time, then samples are taken. The device is idle when the clock starts and when it
//!   stops.
//! - Figures are medians with quartiles. Nothing is left out or averaged away: all samples are in the record.
//! - Work is what the model needs at the least, counted from its config ([`DecoderConfig::work`]), so that an
//!   implementation that moves or computes more does not look busier for it.
//! - Every token takes all steps, so that random weights cost what trained ones cost.
//!
//! [`DecoderConfig::work`]: depthscale_types::DecoderConfig::work
//!
//! ```
//! use std::time::Duration;
//!
//! use depthscale_backends::BackendKind;
//! use depthscale_bench::{Benchmark, Build, Event, Plan, Preset, Subject, Timing};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ouro-arith");
//! let subject = Subject::Directory(directory.into());
//! let config = subject.config()?;
//! let timing = Timing { warm_up: Duration::ZERO, samples: 3, ..Timing::default() };
//! let plan = Plan { contexts: vec![16], timing, ..Plan::quick(&config) };
//! let benchmark = Benchmark::new(subject, plan, Build::this(&["flex"]))?;
//! let mut records = Vec::new();
//! # #[cfg(feature = "flex")] {
//! let flex = BackendKind::Flex.probe()?;
//! benchmark.run(&[flex], &mut |event| {
//!     if let Event::Measured(record) = event {
//!         records.push(record.clone());
//!     }
//!     Ok(())
//! })?;
//! // Prefill and decode.
//! assert_eq!(records.len(), 2);
//! assert!(records[1].tokens_per_second().median > 0.0);
//! # }
//! # Ok(())
//! # }
//! ```

mod benchmark;
mod ceiling;
mod compare;
mod environment;
mod error;
mod plan;
mod preset;
mod record;
mod report;
mod results;
mod statistics;
mod subject;
mod summary;
mod timing;
mod workload;

pub use benchmark::{Benchmark, Event, OnEvent};
pub use ceiling::{HostMemory, fastest_product};
pub use compare::{Compared, Comparison, Verdict, compare, latest};
pub use error::{BenchError, Result};
pub use plan::Plan;
pub use preset::Preset;
pub use record::{Build, Case, CaseMemory, CaseWork, Ceiling, FORMAT, Machine, MeasuredDevice, Model, Phase, Record};
pub use report::report;
pub use results::{ResultsWriter, read_results};
pub use statistics::Spread;
pub use subject::Subject;
pub use summary::{COLUMNS, Column, ColumnKind, significant};
pub use timing::Timing;
