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
use crate::record::Ceiling;
use crate::timing::sync;

/// A ceiling is the best of repetitions that take about so long.
const TIME: Duration = Duration::from_millis(400);

/// Bytes of the buffers that are summed and copied: more than caches hold.
const BUFFER: u64 = 256 << 20;

/// Less for software that poses as a GPU, which is slow and takes no buffers that large.
const SOFTWARE_BUFFER: u64 = 32 << 20;

impl Ceiling {
    /// Measures a device in a dtype.
    ///
    /// The product is the backend's own on every device, square, and as large as is fastest.
    ///
    /// # Errors
    /// If the device fails.
    pub fn measure<B: Backend>(found: &Device, device: &B::Device, dtype: ComputeDtype) -> Result<Self> {
        Ok(Self {
            bytes_per_second: bandwidth::<B>(found, device)?,
            flops_per_second: product::<B>(found, device, dtype)?,
        })
    }
}

/// Bytes a second. It changes with what else runs on a machine, so that it is measured anew before every case.
///
/// That of a processor is what all its threads read from memory of the program, which is what decoding does, since CPU
/// backends compute element-wise operations on one; that of other devices the faster of a copy and a sum by the backend's
/// own operations.
///
/// # Errors
/// If the device fails.
pub(crate) fn bandwidth<B: Backend>(found: &Device, device: &B::Device) -> Result<f64> {
    match found.class {
        DeviceClass::Cpu => Ok(host_bandwidth()),
        DeviceClass::Gpu | DeviceClass::Software => device_bandwidth::<B>(found, device),
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

fn host_bandwidth() -> f64 {
    let words = (BUFFER / 8) as usize;
    let from: Vec<u64> = (0..words as u64).collect();
    let piece = words.div_ceil(4 * rayon::current_num_threads());
    let sum = best(|| {
        let sums = from.par_chunks(piece).map(|piece| piece.iter().fold(0u64, |sum, word| sum.wrapping_add(*word)));
        black_box(sums.reduce(|| 0, u64::wrapping_add));
        Ok(())
    });
    let Ok(sum) = sum else { unreachable!("it cannot fail") };
    BUFFER as f64 / sum
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

fn product<B: Backend>(found: &Device, device: &B::Device, dtype: ComputeDtype) -> Result<f64> {
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
