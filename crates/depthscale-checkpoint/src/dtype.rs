//! Number formats of tensors, and what a checkpoint says about one before its data is read.

use std::fmt;

use safetensors::Dtype;

/// The number format a tensor is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoredDtype {
    /// 32-bit IEEE 754 float.
    F32,
    /// 16-bit IEEE 754 float.
    F16,
    /// The upper half of a 32-bit float.
    Bf16,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 8-bit signed integer.
    I8,
    /// Bytes.
    U8,
    /// A format of the safetensors specification that this crate does not read, by its name there.
    Other(&'static str),
}

impl fmt::Display for StoredDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Other(name) => name,
        })
    }
}

impl From<Dtype> for StoredDtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::I64 => Self::I64,
            Dtype::I32 => Self::I32,
            Dtype::BOOL => Self::Other("BOOL"),
            Dtype::F4 => Self::Other("F4"),
            Dtype::F6_E2M3 => Self::Other("F6_E2M3"),
            Dtype::F6_E3M2 => Self::Other("F6_E3M2"),
            Dtype::U8 => Self::U8,
            Dtype::I8 => Self::I8,
            Dtype::F8_E5M2 => Self::Other("F8_E5M2"),
            Dtype::F8_E4M3 => Self::Other("F8_E4M3"),
            Dtype::F8_E8M0 => Self::Other("F8_E8M0"),
            Dtype::F8_E4M3FNUZ => Self::Other("F8_E4M3FNUZ"),
            Dtype::F8_E5M2FNUZ => Self::Other("F8_E5M2FNUZ"),
            Dtype::I16 => Self::Other("I16"),
            Dtype::U16 => Self::Other("U16"),
            Dtype::U32 => Self::Other("U32"),
            Dtype::C64 => Self::Other("C64"),
            Dtype::F64 => Self::Other("F64"),
            Dtype::U64 => Self::Other("U64"),
            // The specification grows; a format newer than this list is still named as one that is not read.
            _ => Self::Other("a newer format"),
        }
    }
}

/// The number format a tensor is written in.
///
/// The half formats round to the nearest value, ties to even. A value too large for its format is an error
/// ([`CheckpointError::Overflow`](crate::CheckpointError::Overflow)); infinities and NaN stay what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WrittenDtype {
    /// 32-bit IEEE 754 float: values keep every bit.
    #[default]
    F32,
    /// 16-bit IEEE 754 float: 11 bits of precision, at most 65,504.
    F16,
    /// The upper half of a 32-bit float, rounded: 8 bits of precision, nearly the range of `F32`.
    Bf16,
}

impl WrittenDtype {
    /// Bytes of one value.
    pub fn n_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

impl From<WrittenDtype> for Dtype {
    fn from(dtype: WrittenDtype) -> Self {
        match dtype {
            WrittenDtype::F32 => Self::F32,
            WrittenDtype::F16 => Self::F16,
            WrittenDtype::Bf16 => Self::BF16,
        }
    }
}

impl From<WrittenDtype> for StoredDtype {
    fn from(dtype: WrittenDtype) -> Self {
        Dtype::from(dtype).into()
    }
}

/// Format and shape of a stored tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The stored number format.
    pub dtype: StoredDtype,
    /// The stored shape, outermost dimension first; empty for a single number.
    pub shape: Vec<usize>,
}
