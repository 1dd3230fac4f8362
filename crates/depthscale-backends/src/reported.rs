//! Faults of burn that are reported upstream and that a build with `fusion` or `autotune` may run into.

use crate::BackendKind;

/// A fault reported to burn, open at the version this is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportedFault {
    /// The number of the issue at `github.com/tracel-ai/burn`.
    pub issue: u32,
    /// What it says.
    pub what: &'static str,
}

const CACHED_DECODING: ReportedFault = ReportedFault {
    issue: 5257,
    what: "fusion and autotune together give wrong results on WGPU when a token is added to a cache",
};

const GENERATION: ReportedFault =
    ReportedFault { issue: 4366, what: "fusion gives wrong results on CUDA when text is generated token by token" };

impl BackendKind {
    /// What is reported of this backend in a build like this one; nothing without the features `fusion` and `autotune`.
    pub fn reported_faults(self) -> Vec<ReportedFault> {
        let (fusion, autotune) = (cfg!(feature = "fusion"), cfg!(feature = "autotune"));
        match self {
            Self::Wgpu { .. } if fusion && autotune => vec![CACHED_DECODING],
            Self::Cuda { .. } if fusion => vec![GENERATION],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_reported_of_a_plain_build_or_of_the_cpu() {
        let plain = !cfg!(feature = "fusion");
        for kind in BackendKind::ALL {
            let faults = kind.reported_faults();
            assert!(faults.is_empty() || !(plain || kind.is_cpu()), "{faults:?}");
        }
    }
}
