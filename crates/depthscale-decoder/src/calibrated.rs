//! The exit that lies beside a model.

use std::io::ErrorKind;
use std::path::Path;

use depthscale_types::ExitPolicy;
use serde::Deserialize;

use crate::error::{DecoderError, Result};

/// The name of the file beside a model's weights that holds the exit found for it by a calibration: a JSON object with a
/// [`ExitPolicy`] as `policy`. Where it is there, it is the model's exit in place of the one its config asks for.
pub const EXIT_FILE: &str = "exit.json";

/// What is read of the file; the rest of it says how the exit was found.
#[derive(Deserialize)]
struct Calibrated {
    policy: ExitPolicy,
}

/// The exit beside a model; `None` where there is none.
pub(crate) fn read(directory: &Path) -> Result<Option<ExitPolicy>> {
    let path = directory.join(EXIT_FILE);
    let wrong = |message: String| DecoderError::CalibratedExit { path: path.clone(), message };
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let Calibrated { policy } = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    policy.validate().map_err(|error| wrong(error.to_string()))?;
    Ok(Some(policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_read_and_the_rest_left_alone() {
        let scratch = tempfile::tempdir().expect("a directory");
        assert_eq!(read(scratch.path()).expect("reads"), None);
        let write = |text: &str| std::fs::write(scratch.path().join(EXIT_FILE), text).expect("written");
        write(r#"{"policy": {"criterion": "q-exit", "threshold": 0.5}, "accuracy": 1.0}"#);
        assert_eq!(read(scratch.path()).expect("reads"), "q-exit:0.5".parse().ok());
        write(r#"{"policy": {"criterion": "q-exit", "threshold": 1.5}}"#);
        let error = read(scratch.path()).expect_err("out of range").to_string();
        assert!(error.contains("exit.json") && error.contains("1.5"), "{error}");
        write(r#"{"policy"#);
        assert!(read(scratch.path()).is_err());
    }
}
