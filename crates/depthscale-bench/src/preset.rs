//! Models to measure without a download: published shapes with random weights.

use std::fmt;
use std::str::FromStr;

use depthscale_decoder::{DecoderError, Published};
use depthscale_types::DecoderConfig;

use crate::error::BenchError;

/// A shape of a model, kept as the config.json of its family. Weights are random: speed and memory do not depend on them, as
/// long as every token takes all steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preset {
    /// 20M parameters in Ouro's parts: width 384, 8 layers, 4 loops.
    Small20m,
    /// 160M parameters in Ouro's parts: width 768, 12 layers, 4 loops.
    Small160m,
    /// Ouro-1.4B (arXiv 2510.25741) as published: width 2048, 24 layers, 4 loops.
    Ouro1_4b,
    /// Huginn-0125 (arXiv 2502.05171) as published: 3.6B parameters, width 5280, 2 + 4 + 2 layers, 32 loops.
    Huginn0125,
    /// The dense 1.3B model of YOCO-U (arXiv 2604.01220), 1.9B with embedding and head: width 2560, 10 + 10 layers, windows of 512, 3 loops. The paper does
    /// not say its heads, feed-forward width and vocabulary; 20 heads, 4 key heads of 128, 6912 and 100,288 are assumed.
    YocoU1_3b,
}

impl Preset {
    /// Every one, the smallest first.
    pub const ALL: [Self; 5] = [Self::Small20m, Self::Small160m, Self::YocoU1_3b, Self::Ouro1_4b, Self::Huginn0125];

    /// The name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small20m => "small-20m",
            Self::Small160m => "small-160m",
            Self::Ouro1_4b => "ouro-1.4b",
            Self::Huginn0125 => "huginn-0125",
            Self::YocoU1_3b => "yoco-u-1.3b",
        }
    }

    /// The decoder of that shape.
    pub fn config(self) -> DecoderConfig {
        let text = match self {
            Self::Small20m => include_str!("../presets/small-20m.json"),
            Self::Small160m => include_str!("../presets/small-160m.json"),
            Self::Ouro1_4b => include_str!("../presets/ouro-1.4b.json"),
            Self::Huginn0125 => include_str!("../presets/huginn-0125.json"),
            Self::YocoU1_3b => include_str!("../presets/yoco-u-1.3b.json"),
        };
        let published: Result<Published, DecoderError> = Published::parse(text, self.name());
        published.unwrap_or_else(|error| unreachable!("the files of presets are tested: {error}")).config
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = BenchError;

    fn from_str(text: &str) -> Result<Self, BenchError> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == text)
            .ok_or_else(|| BenchError::UnknownPreset { name: text.into(), known: Self::ALL.map(Self::name).join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_those_of_the_names() {
        let count = |preset: Preset| preset.config().parameter_count();
        assert_eq!(count(Preset::Ouro1_4b), 1_434_652_673);
        assert_eq!(count(Preset::Huginn0125), 3_564_976_800);
        // Eight layers of four matrices and three more of the feed-forward part, four norms each; embedding and head; a
        // norm, a gate and its bias.
        let layer = 4 * 384 * 384 + 3 * 384 * 1024 + 4 * 384;
        assert_eq!(count(Preset::Small20m), 8 * layer + 2 * 8192 * 384 + 384 + 384 + 1);
        let millions = |count: u64| (count as f64 / 1e6).round();
        assert_eq!(millions(count(Preset::Small160m)), 160.0);
        // Ten layers of 68.8M, ten cross layers of 66.2M, shared keys and values; 100,288 * 2560 twice.
        let yoco_u = Preset::YocoU1_3b.config();
        assert_eq!(millions(yoco_u.parameter_count()), 1866.0);
        assert_eq!(millions(yoco_u.parameter_count_without_embeddings()), 1353.0);
    }

    #[test]
    fn names_are_read_back() {
        for preset in Preset::ALL {
            assert_eq!(preset.name().parse::<Preset>().expect("known"), preset);
        }
        let error = "ouro-14b".parse::<Preset>().expect_err("no such model").to_string();
        assert!(error.contains("\"ouro-14b\" is not known") && error.contains("ouro-1.4b"), "{error}");
    }
}
