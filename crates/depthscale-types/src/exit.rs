//! When a token stops: the exit policy as data.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::{DecoderConfig, ExitGate};
use crate::error::{Error, Result, require};

/// When a token stops recurring.
///
/// `s_t` is a token's state after step `t`, `s_0` its initial state, and `p_t` its next-token distribution. Text form:
/// `criterion` or `criterion:threshold`, for instance `latent-diff:0.03`; `fixed:N` takes exactly `N` steps; the
/// metric of `metric-diff` is named as `metric-diff/cosine:0.001`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitPolicy {
    /// The rule.
    pub criterion: Criterion,
    /// What the exit value is compared with; see [`Criterion::default_threshold`]. Ignored by [`Criterion::Fixed`].
    pub threshold: f64,
    /// The first step after which a token may exit, counted from 1.
    #[serde(default = "one")]
    pub min_steps: usize,
    /// The last step; `None` is the depth of the model's config.
    #[serde(default)]
    pub max_steps: Option<usize>,
    /// Steps from one check to the next; checks happen at `min_steps`, `min_steps + check_every`, and so on.
    #[serde(default = "one")]
    pub check_every: usize,
    /// Checks in a row that must be satisfied.
    #[serde(default = "one")]
    pub patience: usize,
}

/// The most steps a token may be given.
pub const MOST_STEPS: usize = 1 << 20;

fn one() -> usize {
    1
}

/// The rule that stops a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Criterion {
    /// Never before the last step.
    Fixed,
    /// `|s_t - s_{t-1}| / |s_t|` below the threshold. A state of zeros that stays is at 0.
    LatentDiff,
    /// `1 - cos(s_t, s_{t-1})` below the threshold.
    Cosine,
    /// `|(s_t - s_{t-1}) - (s_{t-1} - s_{t-2})| / |s_t|` below the threshold, from step 2 on (arXiv 2509.23314).
    Acceleration,
    /// `|H(p_t) - H(p_{t-1})|` below the threshold, in nats; the entropy before the first check counts as 100.
    EntropyDiff,
    /// `KL(p_{t-1} || p_t)` below the threshold, in nats; `p` before the first check is uniform.
    Kl,
    /// The same after every probability below a tenth of the largest was replaced by `1 / vocab_size` and the whole
    /// renormalised.
    MinpKl,
    /// Checks in a row whose most likely token was that of the check before, at least the threshold.
    ArgmaxStability,
    /// Cumulative probability of having exited under the hazards `sigmoid(gate(s_t))`, at least the threshold (Ouro).
    /// A threshold of 1 means full depth. The last step takes what probability is left; its value is what its gate adds.
    QExit,
    /// `|m_t - m_{t-1}|` below the threshold for a metric `m` of the state; from step 2 on.
    MetricDiff(Metric),
}

/// A metric of the state that [`Criterion::MetricDiff`] watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// The value of [`Criterion::LatentDiff`].
    #[default]
    LatentDiff,
    /// The value of [`Criterion::Cosine`].
    Cosine,
}

/// What a criterion looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// Nothing.
    Nothing,
    /// States only: cheap, evaluated at every step.
    State,
    /// The exit gate on the state: cheap, evaluated at every step.
    Gate,
    /// The next-token distribution: costs a readout, evaluated at checks only.
    Logits,
}

impl Metric {
    /// Its name, that of the criterion with the same value.
    pub fn name(self) -> &'static str {
        match self {
            Self::LatentDiff => "latent-diff",
            Self::Cosine => "cosine",
        }
    }
}

impl Criterion {
    /// Every criterion, `metric-diff` with its default metric.
    pub const ALL: [Self; 10] = [
        Self::Fixed,
        Self::LatentDiff,
        Self::Cosine,
        Self::Acceleration,
        Self::EntropyDiff,
        Self::Kl,
        Self::MinpKl,
        Self::ArgmaxStability,
        Self::QExit,
        Self::MetricDiff(Metric::LatentDiff),
    ];

    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::LatentDiff => "latent-diff",
            Self::Cosine => "cosine",
            Self::Acceleration => "acceleration",
            Self::EntropyDiff => "entropy-diff",
            Self::Kl => "kl",
            Self::MinpKl => "minp-kl",
            Self::ArgmaxStability => "argmax-stability",
            Self::QExit => "q-exit",
            Self::MetricDiff(_) => "metric-diff",
        }
    }

    /// What it looks at.
    pub fn evidence(self) -> Evidence {
        match self {
            Self::Fixed => Evidence::Nothing,
            Self::LatentDiff | Self::Cosine | Self::Acceleration | Self::MetricDiff(_) => Evidence::State,
            Self::QExit => Evidence::Gate,
            Self::EntropyDiff | Self::Kl | Self::MinpKl | Self::ArgmaxStability => Evidence::Logits,
        }
    }

    /// The threshold used where none is given: the published one where there is one.
    pub fn default_threshold(self) -> f64 {
        match self {
            Self::Fixed => 0.0,
            Self::LatentDiff | Self::Acceleration => 0.03,
            Self::Cosine | Self::EntropyDiff | Self::Kl | Self::MetricDiff(_) => 1e-3,
            Self::MinpKl => 1e-5,
            Self::ArgmaxStability => 5.0,
            Self::QExit => 1.0,
        }
    }

    /// Whether exiting means reaching the threshold from below; otherwise it means falling under it.
    pub fn exits_at_or_above(self) -> bool {
        matches!(self, Self::ArgmaxStability | Self::QExit)
    }

    fn validate_threshold(self, threshold: f64) -> Result<()> {
        let field = format!("threshold of {self}");
        match self {
            Self::Fixed => Ok(()),
            Self::QExit => require((0.0..=1.0).contains(&threshold), field, threshold, "must be in [0, 1]"),
            Self::ArgmaxStability => require(
                threshold >= 1.0 && threshold.fract() == 0.0 && threshold < 1e9,
                field,
                threshold,
                "must be a whole number of at least 1",
            ),
            _ => {
                require(threshold.is_finite() && threshold >= 0.0, field, threshold, "must be finite and not negative")
            }
        }
    }
}

impl std::fmt::Display for Criterion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MetricDiff(metric) if *metric != Metric::default() => write!(f, "metric-diff/{}", metric.name()),
            other => f.write_str(other.name()),
        }
    }
}

impl From<Criterion> for String {
    fn from(criterion: Criterion) -> Self {
        criterion.to_string()
    }
}

impl TryFrom<String> for Criterion {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for Criterion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "metric-diff/latent-diff" => return Ok(Self::MetricDiff(Metric::LatentDiff)),
            "metric-diff/cosine" => return Ok(Self::MetricDiff(Metric::Cosine)),
            _ => {}
        }
        Self::ALL.into_iter().find(|criterion| criterion.name() == text).ok_or_else(|| Error::UnknownName {
            what: "exit criterion",
            value: text.into(),
            allowed: format!("{}, metric-diff/cosine", Self::ALL.map(Self::name).join(", ")),
        })
    }
}

impl Default for ExitPolicy {
    /// Every token takes the depth of the model's config.
    fn default() -> Self {
        Self::new(Criterion::Fixed)
    }
}

impl ExitPolicy {
    /// A policy with the criterion's default threshold, checked after every step.
    pub fn new(criterion: Criterion) -> Self {
        Self {
            criterion,
            threshold: criterion.default_threshold(),
            min_steps: 1,
            max_steps: None,
            check_every: 1,
            patience: 1,
        }
    }

    /// Exactly `depth` steps for every token.
    pub fn fixed(depth: usize) -> Self {
        Self { max_steps: Some(depth), ..Self::default() }
    }

    /// Whether `step` is one after which the policy looks at the exit value.
    pub fn checks(&self, step: usize) -> bool {
        step >= self.min_steps && (step - self.min_steps).is_multiple_of(self.check_every)
    }

    /// Whether an exit value satisfies the criterion. NaN never does.
    pub fn satisfied_by(&self, value: f64) -> bool {
        match self.criterion {
            Criterion::Fixed => false,
            Criterion::QExit if self.threshold >= 1.0 => false,
            criterion if criterion.exits_at_or_above() => value >= self.threshold,
            _ => value < self.threshold,
        }
    }

    /// Checks every field; the error names the field, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        self.criterion.validate_threshold(self.threshold)?;
        require(self.min_steps >= 1, "min_steps", self.min_steps, "must be at least 1: steps are counted from 1")?;
        require(self.check_every >= 1, "check_every", self.check_every, "must be at least 1")?;
        require(self.patience >= 1, "patience", self.patience, "must be at least 1")?;
        if let Some(max_steps) = self.max_steps {
            require(max_steps >= 1, "max_steps", max_steps, "must be at least 1")?;
            require(max_steps <= MOST_STEPS, "max_steps", max_steps, format!("must be at most {MOST_STEPS}"))?;
            if self.criterion != Criterion::Fixed {
                require(
                    self.min_steps <= max_steps,
                    "min_steps",
                    self.min_steps,
                    format!("must be at most max_steps, which is {max_steps}"),
                )?;
            }
        }
        Ok(())
    }

    /// Checks the policy for a model: a criterion of the gate needs a gate, and the first step that may be the last must
    /// come before the model's depth is reached.
    ///
    /// # Errors
    /// If it does not go with the model, or holds a value that is not allowed.
    pub fn validate_for(&self, config: &DecoderConfig) -> Result<()> {
        self.validate()?;
        if self.criterion.evidence() == Evidence::Gate && config.exit_gate == ExitGate::None {
            return Err(Error::Conflict {
                first: format!("exit criterion {}", self.criterion),
                second: format!("family {}", config.family),
                why: "the model has no exit gate".into(),
            });
        }
        let last = self.max_steps.unwrap_or(config.depth);
        require(
            self.criterion == Criterion::Fixed || self.min_steps <= last,
            "min_steps",
            self.min_steps,
            format!("must be at most the last step, which is {last}"),
        )
    }
}

impl std::fmt::Display for ExitPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.criterion, self.max_steps) {
            (Criterion::Fixed, Some(depth)) => write!(f, "fixed:{depth}"),
            (Criterion::Fixed, None) => f.write_str("fixed"),
            (criterion, _) => write!(f, "{criterion}:{}", self.threshold),
        }
    }
}

impl FromStr for ExitPolicy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, threshold) = match text.split_once(':') {
            Some((name, threshold)) => (name, Some(threshold)),
            None => (text, None),
        };
        let criterion: Criterion = name.parse()?;
        let mut policy = Self::new(criterion);
        if let Some(threshold) = threshold {
            if criterion == Criterion::Fixed {
                let depth = threshold
                    .parse()
                    .map_err(|_| Error::invalid("depth of fixed", threshold, "must be a whole number"))?;
                policy.max_steps = Some(depth);
            } else {
                policy.threshold = threshold
                    .parse()
                    .map_err(|_| Error::invalid(format!("threshold of {criterion}"), threshold, "must be a number"))?;
            }
        }
        policy.validate()?;
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_names_criterion_and_threshold() {
        for criterion in Criterion::ALL {
            let policy: ExitPolicy = criterion.name().parse().expect("every name parses");
            assert_eq!(policy.criterion, criterion);
            assert_eq!(policy.to_string().parse::<ExitPolicy>().expect("what is printed parses"), policy);
        }
        let policy: ExitPolicy = "metric-diff/cosine:0.5".parse().expect("a metric can be named");
        assert_eq!(policy.criterion, Criterion::MetricDiff(Metric::Cosine));
        assert_eq!("fixed:7".parse::<ExitPolicy>().expect("a depth").max_steps, Some(7));
    }

    #[test]
    fn bad_text_says_what_is_allowed() {
        let unknown = "latent:0.1".parse::<ExitPolicy>().expect_err("no such criterion").to_string();
        assert!(unknown.contains("\"latent\"") && unknown.contains("latent-diff"), "{unknown}");
        let range = "q-exit:1.5".parse::<ExitPolicy>().expect_err("over 1").to_string();
        assert_eq!(range, "threshold of q-exit is 1.5: must be in [0, 1]");
        assert!("latent-diff:-1".parse::<ExitPolicy>().is_err());
        assert!("latent-diff:NaN".parse::<ExitPolicy>().is_err());
        assert!("fixed:0".parse::<ExitPolicy>().is_err());
        assert!("argmax-stability:2.5".parse::<ExitPolicy>().is_err());
    }

    #[test]
    fn checks_start_at_min_steps_counted_from_one() {
        let policy = ExitPolicy { min_steps: 3, check_every: 2, ..ExitPolicy::new(Criterion::LatentDiff) };
        let checked: Vec<usize> = (1..=8).filter(|&step| policy.checks(step)).collect();
        assert_eq!(checked, [3, 5, 7]);
    }

    #[test]
    fn a_gate_threshold_of_one_means_full_depth() {
        let policy = ExitPolicy { threshold: 1.0, ..ExitPolicy::new(Criterion::QExit) };
        assert!(!policy.satisfied_by(1.0));
        let below = ExitPolicy { threshold: 0.9, ..policy };
        assert!(below.satisfied_by(0.9) && !below.satisfied_by(0.89) && !below.satisfied_by(f64::NAN));
    }
}
