//! Median and spread of samples.

/// Median and quartiles. Quartiles rather than a deviation: timings have a floor and a long tail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// A quarter of the samples are below.
    pub lower: f64,
    /// Half of them are.
    pub median: f64,
    /// Three quarters are.
    pub upper: f64,
}

impl Spread {
    /// Of samples, of which there is at least one; between two samples the quartiles are interpolated.
    ///
    /// # Panics
    /// If there are none.
    pub fn of(samples: &[f64]) -> Self {
        assert!(!samples.is_empty(), "a spread of nothing");
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Self { lower: at(0.25), median: at(0.5), upper: at(0.75) }
    }

    /// The spread of `numerator / x`, where the fastest time is the highest rate.
    pub fn rate(self, numerator: f64) -> Self {
        Self { lower: numerator / self.upper, median: numerator / self.median, upper: numerator / self.lower }
    }

    /// Half the distance of the quartiles, over the median.
    pub fn relative(self) -> f64 {
        (self.upper - self.lower) / 2.0 / self.median
    }

    /// How many times `self` is `other`: medians, and the least and the most that the quartiles of both allow.
    pub fn over(self, other: Self) -> Self {
        Self { lower: self.lower / other.upper, median: self.median / other.median, upper: self.upper / other.lower }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_by_hand() {
        let spread = Spread::of(&[5.0, 1.0, 2.0, 4.0, 3.0]);
        assert_eq!(spread, Spread { lower: 2.0, median: 3.0, upper: 4.0 });
        assert_eq!(spread.relative(), 1.0 / 3.0);
        // Places 0.75, 1.5 and 2.25 of four samples.
        assert_eq!(Spread::of(&[1.0, 2.0, 3.0, 4.0]), Spread { lower: 1.75, median: 2.5, upper: 3.25 });
        assert_eq!(Spread::of(&[7.0]), Spread { lower: 7.0, median: 7.0, upper: 7.0 });
    }

    #[test]
    fn rates_and_ratios_turn_round() {
        let time = Spread { lower: 1.0, median: 2.0, upper: 4.0 };
        assert_eq!(time.rate(8.0), Spread { lower: 2.0, median: 4.0, upper: 8.0 });
        let old = Spread { lower: 2.0, median: 2.0, upper: 2.0 };
        assert_eq!(time.over(old), Spread { lower: 0.5, median: 1.0, upper: 2.0 });
    }
}
