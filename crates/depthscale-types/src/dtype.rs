//! The number formats that a decoder computes in and keeps keys and values in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The format of matrices and of their products; of cached keys and values, too, where no other is named for them.
///
/// The hidden stream, norms, rotary positions, softmax, matrix states, exit values and logits are f32 whatever is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComputeDtype {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats (IEEE 754 half): 11 bits of precision, nothing above 65,504.
    F16,
    /// 16-bit brain floats: 8 bits of precision, the range of f32.
    Bf16,
}

impl ComputeDtype {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

impl fmt::Display for ComputeDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ComputeDtype {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == text).ok_or_else(|| Error::UnknownName {
            what: "dtype",
            value: text.into(),
            allowed: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// What keys and values are kept in between tokens.
///
/// In `q8` a key or value head of a token is integers from -127 to 127 with a scale of its own, an f32: 8.5 bits an element where
/// heads are 64 wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheDtype {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats (IEEE 754 half): 11 bits of precision, nothing above 65,504.
    F16,
    /// 16-bit brain floats: 8 bits of precision, the range of f32.
    Bf16,
    /// Integers of 8 bits, with a scale for each head of a token.
    Q8,
}

impl CacheDtype {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Q8];

    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8 => "q8",
        }
    }

    /// The dtype it is kept in where elements are floats by themselves.
    pub fn floats(self) -> Option<ComputeDtype> {
        ComputeDtype::ALL.into_iter().find(|&dtype| self == dtype.into())
    }

    /// Bytes of a key or value head of one token, its scale among them.
    pub fn head_bytes(self, head_dim: usize) -> usize {
        match self {
            Self::F32 => 4 * head_dim,
            Self::F16 | Self::Bf16 => 2 * head_dim,
            Self::Q8 => head_dim + 4,
        }
    }
}

impl From<ComputeDtype> for CacheDtype {
    fn from(dtype: ComputeDtype) -> Self {
        match dtype {
            ComputeDtype::F32 => Self::F32,
            ComputeDtype::F16 => Self::F16,
            ComputeDtype::Bf16 => Self::Bf16,
        }
    }
}

impl fmt::Display for CacheDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CacheDtype {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == text).ok_or_else(|| Error::UnknownName {
            what: "cache dtype",
            value: text.into(),
            allowed: Self::ALL.map(Self::name).join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_have_the_dtypes_of_products_and_one_more() {
        for dtype in CacheDtype::ALL {
            assert_eq!(dtype.to_string().parse(), Ok(dtype));
            assert_eq!(serde_json::to_string(&dtype).ok(), Some(format!("{:?}", dtype.name())));
            let floats = dtype.floats();
            assert_eq!(floats.map(ComputeDtype::name), Some(dtype.name()).filter(|_| dtype != CacheDtype::Q8));
            let bytes = floats.map_or(64 + 4, |floats| 64 * floats.bytes());
            assert_eq!(dtype.head_bytes(64), bytes);
        }
        let error = "q4".parse::<CacheDtype>().expect_err("no such dtype").to_string();
        assert_eq!(error, "cache dtype \"q4\" is not known; known are: f32, f16, bf16, q8");
    }

    #[test]
    fn names_round_trip() {
        for dtype in ComputeDtype::ALL {
            assert_eq!(dtype.to_string().parse(), Ok(dtype));
            assert_eq!(serde_json::to_string(&dtype).ok(), Some(format!("{:?}", dtype.name())));
        }
        let error = "f8".parse::<ComputeDtype>().expect_err("no such dtype").to_string();
        assert_eq!(error, "dtype \"f8\" is not known; known are: f32, f16, bf16");
    }
}
