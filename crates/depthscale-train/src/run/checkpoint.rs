//! Everything a resumed run needs.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::backend::AutodiffBackend;
use depthscale_checkpoint::{Overwrite, write_atomically};
use depthscale_decoder::{ModelDirectory, Published, RecurrentDecoder};
use serde::{Deserialize, Serialize};

use super::directory::RunDirectory;
use crate::error::{Result, TrainError};
use crate::learn::{Trainer, TrainerState, WeightAverage};
use crate::recipe::TrainConfig;

/// Files that go beside a model, with their names: its tokenizer, and the token that ends a text.
pub(super) type TextFiles = Vec<(&'static str, Vec<u8>)>;

const MODEL: &str = "model";
const AVERAGE: &str = "average";
const OPTIMIZER: &str = "optimizer.bin";
const STATE: &str = "state.json";

/// Beside weights and moments: where training is, and of which recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedState {
    /// [`TrainConfig::fingerprint`], hexadecimal.
    fingerprint: String,
    /// CRC-32 of the moments' file.
    optimizer_crc: u32,
    trainer: TrainerState,
}

/// A checkpoint of a run that was read back, apart from the moments, which need a trainer to go into.
#[derive(Debug)]
pub struct RunCheckpoint {
    /// Where it is.
    pub path: PathBuf,
    /// Where training is.
    pub state: TrainerState,
    optimizer_crc: u32,
}

impl RunCheckpoint {
    /// Writes a checkpoint of a trainer and removes all but the newest `keep`. The model is in its family's own layout, with
    /// its tokenizer.
    ///
    /// # Errors
    /// If something cannot be written; the checkpoints there were are untouched.
    pub(super) fn write<B: AutodiffBackend>(
        directory: &RunDirectory,
        trainer: &Trainer<B>,
        published: &Published,
        text: &TextFiles,
    ) -> Result<PathBuf> {
        directory.publish(trainer.state.step, trainer.config.output.keep, |path| {
            write_model(&trainer.decoder, published, text, &path.join(MODEL))?;
            if let Some(average) = &trainer.average {
                write_model(&average.decoder, published, text, &path.join(AVERAGE))?;
            }
            let moments = join(trainer.optimizers.to_bytes().map_err(|error| {
                let source = std::io::Error::other(error.to_string());
                TrainError::io(&path.join(OPTIMIZER), "write")(source)
            })?);
            write_atomically(&path.join(OPTIMIZER), &moments, Overwrite::Yes)?;
            let state = SavedState {
                fingerprint: format!("{:016x}", trainer.config.fingerprint()?),
                optimizer_crc: crc32fast::hash(&moments),
                trainer: trainer.state.clone(),
            };
            let text = serde_json::to_vec_pretty(&state).unwrap_or_else(|error| unreachable!("plain JSON: {error}"));
            Ok(write_atomically(&path.join(STATE), &text, Overwrite::Yes)?)
        })
    }

    /// The newest checkpoint of a run, if there is one.
    ///
    /// # Errors
    /// If it is damaged, or of another recipe.
    pub fn newest(directory: &RunDirectory, config: &TrainConfig) -> Result<Option<Self>> {
        let Some(&step) = directory.steps().last() else { return Ok(None) };
        let path = directory.checkpoint(step);
        let file = path.join(STATE);
        let text = fs::read(&file).map_err(TrainError::io(&file, "read"))?;
        let state: SavedState = serde_json::from_slice(&text).map_err(|error| damaged(&path, STATE, error))?;
        let found = u64::from_str_radix(&state.fingerprint, 16).map_err(|error| damaged(&path, STATE, error))?;
        let expected = config.fingerprint()?;
        if found != expected {
            return Err(TrainError::ForeignRun { path, found, expected });
        }
        Ok(Some(Self { path, state: state.trainer, optimizer_crc: state.optimizer_crc }))
    }

    /// The model it holds.
    pub fn model(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// A trainer that goes on where this was written.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    pub fn resume<B: AutodiffBackend>(self, config: TrainConfig, device: &B::Device) -> Result<Trainer<B>> {
        let decoder = ModelDirectory::open(&self.model())?.load(device, &mut |_| {})?;
        let mut trainer = Trainer::<B>::new(config, decoder)?;
        if trainer.average.is_some() {
            let average = ModelDirectory::open(&self.path.join(AVERAGE))?.load(device, &mut |_| {})?;
            trainer.average = Some(WeightAverage { decoder: average });
        }
        let file = self.path.join(OPTIMIZER);
        let moments = fs::read(&file).map_err(TrainError::io(&file, "read"))?;
        if crc32fast::hash(&moments) != self.optimizer_crc {
            return Err(damaged(&self.path, OPTIMIZER, "its contents are not those that were written"));
        }
        let parts = split(&moments).ok_or_else(|| damaged(&self.path, OPTIMIZER, "it ends early"))?;
        let loaded = trainer.optimizers.load_bytes(parts, device);
        trainer.optimizers = loaded.map_err(|error| damaged(&self.path, OPTIMIZER, error))?;
        // The guard may be another now; what it has counted goes on.
        let config = trainer.state.guard.config;
        trainer.state = self.state;
        trainer.state.guard.config = config;
        Ok(trainer)
    }
}

/// Writes a model in its family's own layout, with its tokenizer.
pub(super) fn write_model<B: burn::tensor::backend::Backend>(
    decoder: &RecurrentDecoder<B>,
    published: &Published,
    text: &TextFiles,
    to: &Path,
) -> Result<()> {
    fs::create_dir_all(to).map_err(TrainError::io(to, "make the directory"))?;
    published.save(decoder, to, Overwrite::Yes)?;
    for (name, contents) in text {
        write_atomically(&to.join(name), contents, Overwrite::Yes)?;
    }
    Ok(())
}

fn damaged(path: &Path, file: &str, message: impl std::fmt::Display) -> TrainError {
    TrainError::DamagedCheckpoint { path: path.join(file), message: message.to_string() }
}

/// Parts one after the other, each after its length as a little-endian u64.
fn join(parts: Vec<Vec<u8>>) -> Vec<u8> {
    let mut joined = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        joined.extend((part.len() as u64).to_le_bytes());
        joined.extend(part);
    }
    joined
}

/// The way back of [`join`]; `None` where the lengths do not fit.
fn split(mut joined: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    while !joined.is_empty() {
        let (length, rest) = joined.split_first_chunk::<8>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        parts.push(part.to_vec());
        joined = rest;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        let parts = vec![vec![1, 2, 3], Vec::new(), vec![9]];
        let joined = join(parts.clone());
        assert_eq!(joined.len(), 4 + 3 * 8);
        assert_eq!(split(&joined), Some(parts));
        assert_eq!(split(&joined[..joined.len() - 1]), None);
        assert_eq!(split(&[]), Some(Vec::new()));
    }
}
