//! Taking samples.

use std::time::{Duration, Instant};

use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use crate::error::{BenchError, Result};

/// How samples are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// What is measured runs unmeasured for at least so long, and at least once: caches fill, kernels compile, clocks rise.
    pub warm_up: Duration,
    /// Samples are taken until there are so many ...
    pub samples: usize,
    /// ... or they have taken so long together, if there are [`Self::LEAST`] by then.
    pub budget: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { warm_up: Duration::from_millis(500), samples: 20, budget: Duration::from_secs(10) }
    }
}

impl Timing {
    /// Samples that are taken however long they last, unless fewer are asked for.
    pub const LEAST: usize = 3;

    /// Seconds of each sample of a piece of work. `prepare` runs before every sample outside the clock; the device is idle
    /// when the clock starts and when it stops.
    ///
    /// # Errors
    /// What `prepare` and `work` give, or if the device fails.
    pub fn seconds<B: Backend, S>(
        &self,
        device: &B::Device,
        state: &mut S,
        mut prepare: impl FnMut(&mut S) -> Result<()>,
        mut work: impl FnMut(&mut S) -> Result<()>,
    ) -> Result<Vec<f64>> {
        let mut sample = || -> Result<f64> {
            prepare(state)?;
            sync::<B>(device)?;
            let start = Instant::now();
            work(state)?;
            sync::<B>(device)?;
            Ok(start.elapsed().as_secs_f64().max(f64::MIN_POSITIVE))
        };
        // Only the work itself counts: what prepares it may take much longer.
        let mut warm = 0.0;
        loop {
            warm += sample()?;
            if warm >= self.warm_up.as_secs_f64() {
                break;
            }
        }
        let mut seconds = Vec::new();
        let mut spent = 0.0;
        while seconds.len() < self.samples.max(1) && (seconds.len() < Self::LEAST || spent < self.budget.as_secs_f64())
        {
            let sample = sample()?;
            spent += sample;
            seconds.push(sample);
        }
        Ok(seconds)
    }
}

/// Waits until the device has done everything it was asked for.
///
/// # Errors
/// If it failed at any of it.
pub(crate) fn sync<B: Backend>(device: &B::Device) -> Result<()> {
    B::sync(device).map_err(|error| BenchError::Device { message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use depthscale_backends::{BackendKind, BackendTask, with_backend};

    /// How often a piece of work is prepared and done, and the samples taken.
    struct Count(Timing, Duration);

    impl BackendTask for Count {
        type Output = (usize, usize, Vec<f64>);

        fn run<B: Backend>(self, device: B::Device) -> Self::Output {
            let mut counts = (0, 0);
            let prepare = |counts: &mut (usize, usize)| {
                counts.0 += 1;
                std::thread::sleep(self.1);
                Ok(())
            };
            let work = |counts: &mut (usize, usize)| {
                counts.1 += 1;
                std::thread::sleep(self.1);
                Ok(())
            };
            let seconds = self.0.seconds::<B, _>(&device, &mut counts, prepare, work).expect("nothing fails");
            (counts.0, counts.1, seconds)
        }
    }

    fn count(timing: Timing, pause: Duration) -> Option<(usize, usize, Vec<f64>)> {
        let cpu = BackendKind::compiled_in().into_iter().find(|kind| kind.is_cpu())?;
        Some(with_backend(cpu, Count(timing, pause)).expect("the processor is there"))
    }

    #[test]
    fn as_many_samples_as_asked_for_after_one_warm_up() {
        let timing = Timing { warm_up: Duration::ZERO, samples: 5, budget: Duration::from_secs(100) };
        let Some((prepared, worked, seconds)) = count(timing, Duration::from_millis(2)) else { return };
        assert_eq!((prepared, worked, seconds.len()), (6, 6, 5));
        // Sleeping lasts at least as long as asked for.
        assert!(seconds.iter().all(|&seconds| seconds >= 0.002), "{seconds:?}");
    }

    #[test]
    fn three_samples_whatever_they_last() {
        let timing = Timing { warm_up: Duration::ZERO, samples: 20, budget: Duration::ZERO };
        let Some((_, _, seconds)) = count(timing, Duration::from_millis(1)) else { return };
        assert_eq!(seconds.len(), Timing::LEAST);
    }
}
