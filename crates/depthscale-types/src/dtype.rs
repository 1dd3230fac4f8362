//! The number format a decoder computes in.

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

#[cfg(test)]
mod tests {
    use super::*;

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
