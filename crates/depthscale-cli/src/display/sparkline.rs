//! Values of many steps in a few characters.

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A step at which nothing was evaluated.
const NOT_EVALUATED: char = '·';

/// Columns a sparkline has at most; longer ones show every n-th step.
const MAX_COLUMNS: usize = 40;

/// A logarithmic scale over the values of a whole table, so that its lines can be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LogScale {
    low: f32,
    high: f32,
}

impl LogScale {
    /// From the smallest to the largest positive value.
    pub(crate) fn of(values: impl IntoIterator<Item = f32>) -> Self {
        let positive = values.into_iter().filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) =
            positive.map(f32::ln).fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        Self { low, high }
    }

    fn level(self, value: f32) -> char {
        // NaN is not above zero either.
        let has_level = value > 0.0 && self.high > self.low;
        if !has_level {
            return LEVELS[0];
        }
        let share = ((value.ln() - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        LEVELS[(share * (LEVELS.len() - 1) as f32).round() as usize]
    }
}

/// One character a step.
pub(crate) fn sparkline(values: &[Option<f32>], scale: LogScale) -> String {
    let stride = values.len().div_ceil(MAX_COLUMNS).max(1);
    // The last step is the one that counts, so the columns are aligned to it.
    let skipped = (values.len() + stride - 1) % stride;
    let shown = values.iter().skip(skipped).step_by(stride);
    shown.map(|value| value.map_or(NOT_EVALUATED, |value| scale.level(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_logarithm() {
        let values = [Some(1.0), Some(0.1), None, Some(0.01), Some(0.0)];
        let scale = LogScale::of(values.iter().flatten().copied());
        // 0.1 is half way between 0.01 and 1: level 3.5 of 7, rounded up.
        assert_eq!(sparkline(&values, scale), "█▅·▁▁");
    }

    #[test]
    fn equal_or_no_values_are_flat() {
        assert_eq!(sparkline(&[Some(0.5), Some(0.5)], LogScale::of([0.5, 0.5])), "▁▁");
        assert_eq!(sparkline(&[Some(0.0), Some(f32::NAN)], LogScale::of([0.0, f32::NAN])), "▁▁");
    }

    #[test]
    fn long_ones_are_thinned_and_keep_the_last_step() {
        let values: Vec<Option<f32>> = (1..=101).map(|step| Some(1.0 / step as f32)).collect();
        let line: Vec<char> = sparkline(&values, LogScale::of(values.iter().flatten().copied())).chars().collect();
        // Every third step, ending with step 101.
        assert_eq!((line.len(), line[line.len() - 1]), (34, '▁'));
    }
}
