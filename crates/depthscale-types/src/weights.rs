//! The format weights are kept in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::dtype::ComputeDtype;
use crate::error::Error;

/// The format that matrices are kept in. What is computed with them is f32 in every one, unless
/// [`ComputeDtype`] says otherwise.
///
/// The blocks of `q8` and `q4` are 32 neighbours of a row with a scale of 16 bits: 8.5 and 4.5 bits a weight. A matrix whose
/// rows are not whole blocks stays f32, and under `q4` the embedding and the output head are `q8`; see
/// [`ParameterSpec::kept_in`](crate::ParameterSpec::kept_in).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightFormat {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats (IEEE 754 half): 11 bits of precision, nothing above 65,504.
    F16,
    /// 16-bit brain floats: 8 bits of precision, the range of f32.
    Bf16,
    /// Blocks of integers from -127 to 127.
    Q8,
    /// Blocks of integers from -8 to 7.
    Q4,
}

impl WeightFormat {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Q8, Self::Q4];

    /// Weights of a block, which share a scale.
    pub const BLOCK: usize = 32;

    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// Whether weights are integers with a scale for each block.
    pub fn is_blocks(self) -> bool {
        matches!(self, Self::Q8 | Self::Q4)
    }

    /// Whether a row of so many weights can be kept in it.
    pub fn divides(self, width: usize) -> bool {
        !self.is_blocks() || width.is_multiple_of(Self::BLOCK)
    }

    /// Checks that matrices can be kept in it and multiplied in a dtype: either it is the dtype's own, or the dtype is f32.
    ///
    /// # Errors
    /// If not.
    pub fn check_dtype(self, dtype: ComputeDtype) -> Result<(), Error> {
        if dtype == ComputeDtype::F32 || self == dtype.into() {
            return Ok(());
        }
        let (first, second) = (format!("weights {self}"), format!("dtype {dtype}"));
        Err(Error::Conflict { first, second, why: "they are multiplied in f32".into() })
    }

    /// Bytes of a row of so many weights, its scales among them.
    pub fn row_bytes(self, width: usize) -> usize {
        let scales = 2 * width.div_ceil(Self::BLOCK);
        match self {
            Self::F32 => 4 * width,
            Self::F16 | Self::Bf16 => 2 * width,
            Self::Q8 => width + scales,
            Self::Q4 => width.div_ceil(2) + scales,
        }
    }
}

impl From<ComputeDtype> for WeightFormat {
    fn from(dtype: ComputeDtype) -> Self {
        match dtype {
            ComputeDtype::F32 => Self::F32,
            ComputeDtype::F16 => Self::F16,
            ComputeDtype::Bf16 => Self::Bf16,
        }
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for WeightFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| Error::UnknownName {
            what: "weight format",
            value: text.into(),
            allowed: Self::ALL.map(Self::name).join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for format in WeightFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(serde_json::to_string(&format).ok(), Some(format!("{:?}", format.name())));
        }
        let error = "q5".parse::<WeightFormat>().expect_err("no such format").to_string();
        assert_eq!(error, "weight format \"q5\" is not known; known are: f32, f16, bf16, q8, q4");
    }

    #[test]
    fn rows_of_64_weights_by_hand() {
        assert_eq!(WeightFormat::ALL.map(|format| format.row_bytes(64)), [256, 128, 128, 64 + 4, 32 + 4]);
    }

    #[test]
    fn a_format_goes_with_its_own_dtype_and_with_f32() {
        assert_eq!(WeightFormat::Q8.check_dtype(ComputeDtype::F32), Ok(()));
        assert_eq!(WeightFormat::F16.check_dtype(ComputeDtype::F16), Ok(()));
        let error = WeightFormat::Q8.check_dtype(ComputeDtype::F16).expect_err("two formats").to_string();
        assert_eq!(error, "weights q8 does not go with dtype f16: they are multiplied in f32");
    }

    #[test]
    fn only_whole_blocks_are_kept_in_blocks() {
        assert!(WeightFormat::Q4.divides(96) && !WeightFormat::Q4.divides(100) && !WeightFormat::Q8.divides(1));
        assert!(WeightFormat::F16.divides(1));
    }
}
