//! Measuring a model on devices, case by case.

use burn::tensor::backend::Backend;
use depthscale_backends::{BackendTask, Device, with_backend};
use depthscale_decoder::{Prefill, RecurrentDecoder};
use depthscale_types::{ComputeDtype, DecoderConfig, MeasuredMemory, MemoryReport, WeightFormat};
use jiff::Timestamp;

use crate::ceiling::{BandwidthMeter, fastest_product};
use crate::error::Result;
use crate::plan::Plan;
use crate::record::{Build, Case, CaseMemory, CaseWork, Ceiling, FORMAT, Machine, MeasuredDevice, Phase, Record};
use crate::subject::Subject;
use crate::timing::sync;
use crate::workload::Workload;

/// A model to be measured under a plan.
#[derive(Debug, Clone)]
pub struct Benchmark {
    subject: Subject,
    config: DecoderConfig,
    plan: Plan,
    machine: Machine,
    build: Build,
    started: Timestamp,
}

/// What happens while a benchmark runs.
#[derive(Debug)]
pub enum Event<'e> {
    /// The ceiling of a device is being measured.
    Ceiling(&'e Device, ComputeDtype),
    /// So many parameters are on the device.
    Loading(u64),
    /// A case is being measured.
    Measuring(&'e Device, Case),
    /// A case was measured.
    Measured(&'e Record),
    /// A case, or all with a dtype and weights in a format, cannot be measured on a device.
    Skipped(&'e Device, ComputeDtype, WeightFormat, Option<Case>, String),
}

/// Takes what happens; an error ends the benchmark.
pub type OnEvent<'e> = dyn FnMut(Event<'_>) -> Result<()> + Send + 'e;

impl Benchmark {
    /// Prepares a benchmark; nothing is loaded yet.
    ///
    /// # Errors
    /// If the model cannot be opened or the plan does not go with it.
    pub fn new(subject: Subject, plan: Plan, build: Build) -> Result<Self> {
        let config = subject.config()?;
        plan.validate(&config)?;
        Ok(Self { subject, config, plan, machine: Machine::this(), build, started: Timestamp::now() })
    }

    /// The model's config.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Measures every case on devices that were probed. A dtype, of products or caches, or a weight format that a device has not, and
    /// a case that does not fit its memory, are skipped and told.
    ///
    /// # Errors
    /// If a device fails, the model cannot be loaded, or `on_event` gives one.
    pub fn run(&self, devices: &[Device], on_event: &mut OnEvent<'_>) -> Result<()> {
        for device in devices {
            for (dtype, weights) in self.plan.formats() {
                let loaded = MemoryReport { weights: self.config.parameter_bytes(weights), ..MemoryReport::default() };
                let usable = device
                    .check_weights(dtype, weights)
                    .and_then(|()| device.refreshed()?.check_memory(&self.config, weights, &loaded));
                match usable {
                    Ok(()) => {
                        let task = OnDevice { benchmark: self, found: device, dtype, weights, on_event };
                        with_backend(device.kind, task)??;
                    }
                    Err(error) => on_event(Event::Skipped(device, dtype, weights, None, error.to_string()))?,
                }
            }
        }
        Ok(())
    }
}

/// All cases of a dtype and a format of weights on one device.
struct OnDevice<'b, 'e> {
    benchmark: &'b Benchmark,
    found: &'b Device,
    dtype: ComputeDtype,
    weights: WeightFormat,
    on_event: &'b mut OnEvent<'e>,
}

impl BackendTask for OnDevice<'_, '_> {
    type Output = Result<()>;

    fn run<B: Backend>(self, device: B::Device) -> Result<()> {
        let Self { benchmark, found, dtype, weights: format, on_event } = self;
        on_event(Event::Ceiling(found, dtype))?;
        let flops_per_second = fastest_product::<B>(found, &device, dtype)?;
        // What the product took is not to be counted as the model's.
        B::memory_cleanup(&device);
        sync::<B>(&device)?;
        let before = in_use(found);
        let mut told = Ok(());
        let decoder = benchmark.subject.load::<B>(dtype, format, &device, &mut |parameters| {
            if told.is_ok() {
                told = on_event(Event::Loading(parameters));
            }
        })?;
        told?;
        sync::<B>(&device)?;
        let weights = in_use(found).zip(before).map(|(after, before)| after.saturating_sub(before));
        let measured = Measured { benchmark, found, decoder: &decoder, flops_per_second, weights };
        for cases in benchmark.plan.cases(dtype, format) {
            for case in cases.into_iter().filter(|case| benchmark.plan.phases.contains(&case.phase)) {
                let workload = Workload::new(&decoder, case);
                let at_most = benchmark.config.predict_memory(&workload.peak_query());
                let beside = MemoryReport { weights: 0, ..at_most };
                let usable = case.cache_dtype.map_or(Ok(()), |dtype| found.check_caches(dtype));
                let usable = usable.and_then(|()| found.refreshed()?.check_memory(&benchmark.config, format, &beside));
                match usable {
                    Ok(()) => {
                        on_event(Event::Measuring(found, case))?;
                        on_event(Event::Measured(&measured.measure(&workload)?))?;
                    }
                    Err(error) => on_event(Event::Skipped(found, dtype, format, Some(case), error.to_string()))?,
                }
            }
        }
        Ok(())
    }
}

/// A loaded model whose cases are measured.
struct Measured<'b, B: Backend> {
    benchmark: &'b Benchmark,
    found: &'b Device,
    decoder: &'b RecurrentDecoder<B>,
    /// Of the fastest product.
    flops_per_second: f64,
    weights: Option<u64>,
}

impl<B: Backend> Measured<'_, B> {
    fn measure(&self, workload: &Workload<'_, B>) -> Result<Record> {
        let Benchmark { subject, config, plan, machine, build, started } = self.benchmark;
        let (measured, work) = self.once(workload)?;
        let query = workload.memory_query();
        let mut meter = BandwidthMeter::new::<B>(self.found, &self.decoder.device())?;
        let seconds = workload.seconds(&plan.timing, &mut || meter.between_samples())?;
        Ok(Record {
            format: FORMAT.into(),
            started: *started,
            machine: machine.clone(),
            build: build.clone(),
            device: MeasuredDevice::from(self.found),
            model: subject.describe(config),
            case: workload.case,
            work,
            timing: plan.timing,
            seconds,
            ceiling: Ceiling { bytes_per_second: meter.end(), flops_per_second: self.flops_per_second },
            memory: CaseMemory { query, predicted: config.predict_memory(&query), measured },
        })
    }

    /// One sample off the clock, for its memory and its work.
    fn once(&self, workload: &Workload<'_, B>) -> Result<(Option<MeasuredMemory>, CaseWork)> {
        let (device, case) = (self.decoder.device(), workload.case);
        sync::<B>(&device)?;
        let before = in_use(self.found);
        let mut caches = workload.caches()?;
        let evaluations = match case.phase {
            Phase::Prefill => {
                self.found.kind.reset_peak();
                workload.prefill(&mut caches, Prefill::Exact)?
            }
            Phase::Decode => {
                workload.prefill(&mut caches, Prefill::ApproximateParallel)?;
                // The first token may leave slots behind that only the prompt needed.
                workload.decode(&mut caches)?;
                sync::<B>(&device)?;
                self.found.kind.reset_peak();
                workload.decode(&mut caches)?
            }
        };
        sync::<B>(&device)?;
        let reading = self.found.kind.memory();
        let measured = reading.zip(before).zip(self.weights).map(|((reading, before), weights)| MeasuredMemory {
            weights,
            caches: reading.in_use.saturating_sub(before),
            activations: reading.peak.map(|peak| peak.saturating_sub(reading.in_use)),
            reserved: reading.reserved,
        });
        let tokens = match case.phase {
            Phase::Prefill => case.context * case.batch,
            Phase::Decode => case.batch,
        };
        let least = self.benchmark.config.work(&workload.work_query());
        Ok((measured, CaseWork { tokens: tokens as u64, evaluations, least }))
    }
}

fn in_use(device: &Device) -> Option<u64> {
    device.kind.memory().map(|reading| reading.in_use)
}
