//! What a device does at its best: the most bytes and the most operations a second.

use std::hint::black_box;
use std::time::{Duration, Instant};

use burn::tensor::backend::Backend;
use burn::tensor::{FloatDType, Tensor, TensorData};
use depthscale_backends::{Device, DeviceClass};
use depthscale_decoder::build::float_dtype;
use depthscale_types::ComputeDtype;
use rayon::prelude::*;

use crate::error::{BenchError, Result};
use crate::statistics::Spread;
use crate::timing::sync;

/// Work is repeated for about so long, and the best counts.
const TIME: Duration = Duration::from_millis(400);

/// Memory of a processor is read at most once in so long: most samples of short work then find in caches what the last has left there.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes that are summed and copied: more than caches hold.
const BUFFER: u64 = 256 << 20;

/// Less for software that poses as a GPU, which is slow and takes no buffers that large.
const SOFTWARE_BUFFER: u64 = 32 << 20;

/// The bandwidth of a device while something else is measured.
///
/// That of a processor is what all its threads read from memory of the program, which is what decoding does, since CPU
/// backends compute element-wise operations on one. It changes within seconds with what else runs on a machine, so that it is
/// measured again and again. That of other devices is the faster of a copy and a sum by the backend's own operations, beforehand.
pub(crate) struct BandwidthMeter {
    memory: Option<HostMemory>,
    /// Bytes a second.
    readings: Vec<f64>,
    last: Instant,
}

impl BandwidthMeter {
    /// Begins with a reading.
    ///
    /// # Errors
    /// If the device fails.
    pub(crate) fn new<B: Backend>(found: &Device, device: &B::Device) -> Result<Self> {
        let (memory, readings) = match found.class {
            DeviceClass::Cpu => {
                let memory = HostMemory::new();
                let reading = memory.bandwidth();
                (Some(memory), vec![reading])
            }
            DeviceClass::Gpu | DeviceClass::Software => (None, vec![device_bandwidth::<B>(found, device)?]),
        };
        Ok(Self { memory, readings, last: Instant::now() })
    }

    /// Takes a reading where the last was a while ago, and the device is a processor.
    pub(crate) fn between_samples(&mut self) {
        if let Some(memory) = self.memory.as_ref().filter(|_| self.last.elapsed() >= PAUSE) {
            self.readings.push(memory.bandwidth());
            self.last = Instant::now();
        }
    }

    /// The median of the readings and a last one, in bytes a second.
    pub(crate) fn end(mut self) -> f64 {
        self.readings.extend(self.memory.as_ref().map(HostMemory::bandwidth));
        Spread::of(&self.readings).median
    }
}

/// Memory of the program that the bandwidth of a processor is measured on: more than caches hold.
pub struct HostMemory(Vec<u64>);

impl HostMemory {
    /// Takes it, 256 MiB.
    #[allow(clippy::new_without_default, reason = "no default should take 256 MiB")]
    pub fn new() -> Self {
        Self((0..BUFFER / 8).collect())
    }

    /// Bytes a second now: a sum of it by all threads.
    pub fn bandwidth(&self) -> f64 {
        let start = Instant::now();
        let pieces = self.0.par_chunks(self.0.len().div_ceil(4 * rayon::current_num_threads()));
        let sums = pieces.map(|piece| piece.iter().fold(0u64, |sum, word| sum.wrapping_add(*word)));
        black_box(sums.reduce(|| 0, u64::wrapping_add));
        BUFFER as f64 / start.elapsed().as_secs_f64()
    }
}

/// The shortest of repetitions, in seconds.
fn best(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    let mut best = f64::INFINITY;
    let mut repetitions = 0;
    while repetitions < 3 || begun.elapsed() < TIME {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed().as_secs_f64().max(f64::MIN_POSITIVE));
        repetitions += 1;
    }
    Ok(best)
}

fn device_bandwidth<B: Backend>(found: &Device, device: &B::Device) -> Result<f64> {
    let most = if found.class == DeviceClass::Software { SOFTWARE_BUFFER } else { BUFFER };
    let bytes = found.largest_buffer.map_or(most, |limit| most.min(limit));
    let elements = (bytes / 4) as usize;
    let from = Tensor::<B, 1>::ones([elements], (device, FloatDType::F32.into()));
    sync::<B>(device)?;
    // An operation with one input and one output of that size: a copy as this backend makes it.
    let copy = best(|| {
        let copied = from.clone() * 2.0;
        sync::<B>(device)?;
        drop(copied);
        Ok(())
    })?;
    let sum = best(|| {
        let sum = from.clone().sum();
        sync::<B>(device)?;
        drop(sum);
        Ok(())
    })?;
    Ok((2.0 * bytes as f64 / copy).max(bytes as f64 / sum))
}

/// Sides of the products that are tried, until one takes longer than [`TIME`].
const SIDES: [usize; 6] = [256, 512, 1024, 2048, 4096, 8192];

/// Operations a second of the backend's own product in a dtype, square, and as large as is fastest.
///
/// # Errors
/// If the device fails.
pub fn fastest_product<B: Backend>(found: &Device, device: &B::Device, dtype: ComputeDtype) -> Result<f64> {
    let mut fastest = 0.0f64;
    for side in SIDES {
        let bytes = (side * side * dtype.bytes()) as u64;
        if found.largest_buffer.is_some_and(|limit| bytes > limit) {
            break;
        }
        let values: Vec<f32> = (0..side * side).map(|i| (i % 7) as f32 / 7.0 - 0.4).collect();
        let matrix = Tensor::<B, 2>::from_data(TensorData::new(values, [side, side]), (device, FloatDType::F32.into()));
        let matrix = matrix.cast(float_dtype(dtype));
        let mut multiply = || {
            let product = matrix.clone().matmul(matrix.clone());
            sync::<B>(device)?;
            drop(product);
            Ok::<_, BenchError>(())
        };
        // The first compiles and tunes kernels.
        multiply()?;
        let start = Instant::now();
        multiply()?;
        let once = start.elapsed();
        let seconds = if once < TIME { best(&mut multiply)? } else { once.as_secs_f64() };
        fastest = fastest.max(2.0 * (side as f64).powi(3) / seconds);
        if once > TIME / 4 {
            break;
        }
    }
    Ok(fastest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use depthscale_backends::{BackendKind, BackendTask, with_backend};

    struct Meter<'d>(&'d Device);

    impl BackendTask for Meter<'_> {
        type Output = BandwidthMeter;

        fn run<B: Backend>(self, device: B::Device) -> BandwidthMeter {
            BandwidthMeter::new::<B>(self.0, &device).expect("the processor is there")
        }
    }

    #[test]
    fn a_processor_is_read_again_after_a_while() {
        let Some(kind) = BackendKind::compiled_in().into_iter().find(|kind| kind.is_cpu()) else { return };
        let device = kind.probe().expect("the processor is there");
        let mut meter = with_backend(kind, Meter(&device)).expect("the processor is there");
        // So far ahead that no test is slow enough to come to it.
        meter.last = Instant::now() + 1000 * PAUSE;
        meter.between_samples();
        assert_eq!(meter.readings.len(), 1);
        meter.last = Instant::now();
        std::thread::sleep(PAUSE);
        meter.between_samples();
        assert_eq!(meter.readings.len(), 2);
        assert!(meter.readings.iter().all(|reading| reading.is_finite() && *reading > 0.0), "{:?}", meter.readings);
        meter.memory = None;
        meter.readings = vec![3.0, 1.0, 8.0];
        meter.between_samples();
        assert_eq!(meter.end(), 3.0);
    }
}
