//! Where and from what a result came.

use depthscale_backends::{Device, machine};

use crate::record::{Build, Machine, MeasuredDevice};

/// The version of burn that the workspace is pinned to.
const BURN: &str = "0.21.0";

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let machine = machine();
        Self {
            os: machine.os,
            arch: std::env::consts::ARCH.into(),
            processor: machine.processor,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory: machine.memory,
        }
    }
}

impl Build {
    /// This program, whose cargo features it names itself.
    pub fn this(features: &[&str]) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            revision: revision(option_env!("VERGEN_GIT_SHA"), option_env!("VERGEN_GIT_DIRTY")),
            burn: BURN.into(),
            rustc: option_env!("VERGEN_RUSTC_SEMVER").unwrap_or("unknown").into(),
            target: option_env!("VERGEN_CARGO_TARGET_TRIPLE").unwrap_or("unknown").into(),
            opt_level: option_env!("VERGEN_CARGO_OPT_LEVEL").unwrap_or("unknown").into(),
            features: features.iter().map(|&feature| feature.into()).collect(),
        }
    }
}

/// The first 12 digits of a revision, marked where files differed.
fn revision(sha: Option<&str>, dirty: Option<&str>) -> Option<String> {
    let sha = sha.filter(|sha| sha.len() >= 12 && sha.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let mark = if dirty == Some("true") { "-dirty" } else { "" };
    Some(format!("{}{mark}", &sha[..12]))
}

impl From<&Device> for MeasuredDevice {
    fn from(device: &Device) -> Self {
        Self { backend: device.kind.to_string(), name: device.name.clone(), class: device.class.name().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_of_burn_is_the_workspaces() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"burn\"\nversion = \"{BURN}\"")));
    }

    #[test]
    fn revisions_that_are_none_are_left_out() {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(revision(Some(sha), Some("false")), Some("0123456789ab".into()));
        assert_eq!(revision(Some(sha), Some("true")), Some("0123456789ab-dirty".into()));
        assert_eq!(revision(Some("VERGEN_IDEMPOTENT_OUTPUT"), None), None);
        assert_eq!(revision(None, None), None);
    }
}
