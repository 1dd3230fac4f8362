//! `depthscale train --dry-run`

use std::io::{self, Write};
use std::time::Duration;

use depthscale::backends::{Backend, BackendTask, Device};
use depthscale::burn::backend::Autodiff;
use depthscale::types::ComputeDtype;
use depthscale_bench::fastest_product;
use depthscale_train::{Rehearsal, TrainConfig};

use crate::display::{Align, Cell, Paint, Table, bytes};

/// Takes steps without writing anything, and says what the whole run would take.
pub(super) struct DryRun<'a> {
    pub(super) config: TrainConfig,
    pub(super) device: &'a Device,
}

/// Steps taken: the first warms up, the others are timed.
const STEPS: usize = 4;

impl BackendTask for DryRun<'_> {
    type Output = anyhow::Result<()>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        self.device.kind.reset_peak();
        let rehearsal = Rehearsal::take::<Autodiff<B>>(&self.config, STEPS, &device)?;
        let held = self.device.kind.memory().and_then(|reading| reading.peak);
        let fastest = fastest_product::<B>(self.device, &device, ComputeDtype::F32)?;
        let mut table = Table::new([Align::Left, Align::Right]);
        let steps = self.config.schedule.steps;
        let seconds = rehearsal.seconds_per_step * steps as f64;
        let mut row = |name: &str, value: String| table.row([Cell::new(name), Cell::new(value)]);
        row("parameters", rehearsal.parameters.to_string());
        row("of these trained", rehearsal.trained.to_string());
        row("weights, gradients, moments, average", bytes(rehearsal.state_bytes));
        if let Some(held) = held {
            row("most memory held in a step", bytes(held));
        }
        row("sequences per step", self.config.batch.sequences_per_step().to_string());
        row("tokens per step", format!("{:.0}", rehearsal.tokens_per_step));
        row(
            "depth, mean and most",
            format!("{:.2}, {}", self.config.depth.expected_depth(), self.config.depth.most_depth()),
        );
        row("steps", steps.to_string());
        row("time per step", format!("{:.0} ms", 1e3 * rehearsal.seconds_per_step));
        row("speed", format!("{:.1} GFLOP/s", rehearsal.flops_per_second / 1e9));
        row("of a large product here", format!("{:.0}%", 100.0 * rehearsal.flops_per_second / fastest));
        row("time for all, estimated", duration(seconds));
        let mut stdout = io::stdout().lock();
        for line in table.lines(Paint::stdout()) {
            writeln!(stdout, "{line}")?;
        }
        Ok(())
    }
}

/// Hours, minutes and seconds.
fn duration(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.round()).map_or(u64::MAX, |duration| duration.as_secs());
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds:02} s"),
        _ => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_by_hand() {
        assert_eq!(duration(12.4), "12 s");
        assert_eq!(duration(125.0), "2 min 05 s");
        assert_eq!(duration(3.0 * 3600.0 + 240.0), "3 h 04 min");
    }
}
