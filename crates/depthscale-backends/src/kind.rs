//! The names of backends and of their devices.

use std::fmt;
use std::str::FromStr;

use depthscale_types::Error;

/// A backend and the device of it, whether compiled in or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum BackendKind {
    /// The best that is compiled in and answers a probe: an NVIDIA GPU, then a GPU under WGPU, then the CPU. Software that
    /// poses as a GPU is never chosen.
    #[default]
    Auto,
    /// burn-cuda on an NVIDIA GPU.
    Cuda {
        /// Which, as the driver counts them.
        index: usize,
    },
    /// burn-wgpu: Vulkan, Metal or DX12.
    Wgpu {
        /// Which adapter, in the order of [`devices`](crate::devices).
        index: usize,
    },
    /// burn-flex on the CPU.
    Flex,
    /// burn-ndarray on the CPU.
    Ndarray,
}

impl BackendKind {
    /// Every backend, with its first device; the one to prefer first.
    pub const ALL: [Self; 4] = [Self::Cuda { index: 0 }, Self::Wgpu { index: 0 }, Self::Flex, Self::Ndarray];

    /// The name of the backend without its device.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cuda { .. } => "cuda",
            Self::Wgpu { .. } => "wgpu",
            Self::Flex => "flex",
            Self::Ndarray => "ndarray",
        }
    }

    /// The cargo feature that compiles it in.
    pub fn feature(self) -> &'static str {
        self.name()
    }

    /// Whether this build holds it; [`BackendKind::Auto`] is whenever there is anything to choose from.
    pub fn is_compiled_in(self) -> bool {
        match self {
            Self::Auto => !Self::compiled_in().is_empty(),
            Self::Cuda { .. } => cfg!(feature = "cuda"),
            Self::Wgpu { .. } => cfg!(feature = "wgpu"),
            Self::Flex => cfg!(feature = "flex"),
            Self::Ndarray => cfg!(feature = "ndarray"),
        }
    }

    /// The backends this build holds, with their first devices; the one to prefer first.
    pub fn compiled_in() -> Vec<Self> {
        Self::ALL.into_iter().filter(|kind| kind.is_compiled_in()).collect()
    }

    /// Whether it computes on the CPU, out of the program's own memory.
    pub fn is_cpu(self) -> bool {
        matches!(self, Self::Flex | Self::Ndarray)
    }

    /// Whether it keeps weights in formats of their own (`depthscale_kernels::keeps_packed`) and multiplies them as they are.
    pub fn keeps_packed(self) -> bool {
        matches!(self, Self::Flex)
    }

    /// Whether its products in f32 round their factors to TF32, ten bits of mantissa. On CUDA the kernels under burn-cuda
    /// 0.21 do where tensor cores multiply (cubek-matmul 0.2, `adjust_dtypes`), and nothing switches it off.
    pub fn multiplies_in_tf32(self) -> bool {
        matches!(self, Self::Cuda { .. })
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cuda { index } | Self::Wgpu { index } => write!(f, "{}:{index}", self.name()),
            Self::Auto | Self::Flex | Self::Ndarray => f.write_str(self.name()),
        }
    }
}

impl FromStr for BackendKind {
    type Err = Error;

    /// `auto`, `flex`, `ndarray`, `wgpu`, `wgpu:1`, `cuda`, `cuda:0`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index)),
            None => (text, None),
        };
        let number = || match index {
            None => Ok(0),
            Some(index) => index.parse().map_err(|_| {
                Error::invalid(
                    format!("the device of backend {text:?}"),
                    format!("{index:?}"),
                    "must be a number from 0",
                )
            }),
        };
        match name {
            "cuda" => Ok(Self::Cuda { index: number()? }),
            "wgpu" => Ok(Self::Wgpu { index: number()? }),
            "auto" | "flex" | "ndarray" if index.is_some() => {
                Err(Error::invalid("backend", format!("{text:?}"), format!("{name} has no devices to choose from")))
            }
            "auto" => Ok(Self::Auto),
            "flex" => Ok(Self::Flex),
            "ndarray" => Ok(Self::Ndarray),
            _ => Err(Error::UnknownName {
                what: "backend",
                value: text.into(),
                allowed: "auto, flex, ndarray, wgpu, cuda; wgpu:1 and cuda:1 name a device".into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in BackendKind::ALL.into_iter().chain([BackendKind::Auto, BackendKind::Wgpu { index: 3 }]) {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("wgpu".parse(), Ok(BackendKind::Wgpu { index: 0 }));
        assert_eq!("cuda:12".parse(), Ok(BackendKind::Cuda { index: 12 }));
    }

    #[test]
    fn what_is_not_a_name_is_told() {
        for (text, expected) in [
            ("cpu", "backend \"cpu\" is not known; known are: auto, flex, ndarray, wgpu, cuda; wgpu:1 and cuda:1 name"),
            ("wgpu:", "the device of backend \"wgpu:\" is \"\": must be a number from 0"),
            ("cuda:-1", "the device of backend \"cuda:-1\" is \"-1\": must be a number from 0"),
            ("flex:0", "backend is \"flex:0\": flex has no devices to choose from"),
            ("", "backend \"\" is not known"),
        ] {
            let error = text.parse::<BackendKind>().expect_err("no such backend").to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
