//! Model directories whose weights were converted to a format of fewer bits.
//!
//! Beside the published config.json lie a `model.safetensors` with the published names and a manifest. A tensor in blocks is
//! two: its codes under its own name (`I8` of its shape, or `U8` of half the width, two codes a byte), and its scales (`F16`,
//! one for 32 weights) under `NAME.scales`. Their bytes lie as [`PackedWeight`] has them: sixteen rows beside one another, not row
//! by row as the shapes would have it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;

use depthscale_checkpoint::{
    Checkpoint, CheckpointError, CheckpointWriter, EXPECTED_FILE, INDEX_FILE, Overwrite, SINGLE_FILE, StoredDtype,
    StoredTensor, write_atomically,
};
use depthscale_kernels::{PackError, PackedWeight};
use depthscale_types::{ParameterSpec, WeightFormat};
use serde::{Deserialize, Serialize};

use crate::calibrated::EXIT_FILE;
use crate::error::{DecoderError, Result};
use crate::families::{self, Location};
use crate::model::ModelDirectory;
use crate::save::CONFIG_FILE;

/// The name of the file beside converted weights that says what each tensor is kept in.
pub const WEIGHTS_FILE: &str = "weights.json";

/// What the manifest of this version says it is.
const FORMAT: &str = "depthscale-weights/2";

/// What tensors are kept in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: String,
    /// What was asked for.
    pub(crate) weights: WeightFormat,
    /// Every tensor of the file, without those of scales.
    tensors: BTreeMap<String, WeightFormat>,
}

impl Manifest {
    /// The manifest in a directory; `None` where there is none.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(WEIGHTS_FILE);
        let wrong = |message: String| DecoderError::Manifest { path: path.clone(), message };
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
        };
        #[derive(Deserialize)]
        struct Any {
            format: String,
        }
        match serde_json::from_slice(&text) {
            Ok(Any { format }) if format == FORMAT => {}
            Ok(Any { format }) => {
                let message = format!("format is {format:?}, and this build reads {FORMAT:?}: convert the model again");
                return Err(wrong(message));
            }
            Err(error) => return Err(wrong(format!("is no manifest of converted weights: {error}"))),
        }
        serde_json::from_slice(&text).map(Some).map_err(|error| wrong(error.to_string()))
    }

    /// Checks that it is of a checkpoint.
    ///
    /// # Errors
    /// If that lacks a tensor, or has it in another format.
    pub(crate) fn check(&self, checkpoint: &Checkpoint) -> Result<()> {
        for (tensor, &format) in &self.tensors {
            let expected = match format {
                WeightFormat::F32 => StoredDtype::F32,
                WeightFormat::F16 => StoredDtype::F16,
                WeightFormat::Bf16 => StoredDtype::Bf16,
                WeightFormat::Q8 | WeightFormat::Q4 => codes(format, [0, 0]).0,
            };
            let found = checkpoint.info(tensor).map(|info| info.dtype);
            if found != Some(expected) {
                let found = found.map_or_else(|| "do not hold".into(), |dtype| format!("hold in {dtype}"));
                return Err(DecoderError::Manifest {
                    path: checkpoint.path().join(WEIGHTS_FILE),
                    message: format!("says tensor {tensor} is kept in {format}, which the files beside it {found}"),
                });
            }
        }
        Ok(())
    }

    /// Whether it names a tensor: those of scales are not named.
    pub(crate) fn names(&self, tensor: &str) -> bool {
        self.tensors.contains_key(tensor)
    }

    /// What a tensor is kept in; f32 where it is not named.
    pub(crate) fn kept_in(&self, tensor: &str) -> WeightFormat {
        self.tensors.get(tensor).copied().unwrap_or_default()
    }
}

/// The name of the scales of a tensor.
fn scales(tensor: &str) -> String {
    format!("{tensor}.scales")
}

/// How codes of a matrix in blocks are stored.
fn codes(format: WeightFormat, [rows, width]: [usize; 2]) -> (StoredDtype, [usize; 2]) {
    match format {
        WeightFormat::Q4 => (StoredDtype::U8, [rows, width / 2]),
        _ => (StoredDtype::I8, [rows, width]),
    }
}

/// The rows of a tensor as they lie in a checkpoint that keeps it in a format other than f32.
pub(crate) fn stored(checkpoint: &Checkpoint, format: WeightFormat, location: &Location) -> Result<PackedWeight> {
    let Location { tensor, shape, rows } = location;
    let &[n, width] = shape.as_slice() else {
        return Err(DecoderError::Manifest {
            path: checkpoint.path().join(WEIGHTS_FILE),
            message: format!("says tensor {tensor} is kept in {format}, which is for matrices"),
        });
    };
    let whole = [n, width];
    let together = PackedWeight::whole_groups(format, rows, n);
    let view = |name: &str, dtype, shape: [usize; 2]| checkpoint.stored_rows(name, dtype, &shape, together.clone());
    let (codes, scales) = match format {
        WeightFormat::F16 => (view(tensor, StoredDtype::F16, whole)?, Default::default()),
        WeightFormat::Bf16 => (view(tensor, StoredDtype::Bf16, whole)?, Default::default()),
        _ => {
            let (dtype, shape) = codes(format, whole);
            let of_scales = [whole[0], whole[1] / WeightFormat::BLOCK];
            (view(tensor, dtype, shape)?, view(&scales(tensor), StoredDtype::F16, of_scales)?)
        }
    };
    let packed = PackedWeight::from_bytes(format, [together.len(), width], codes, scales);
    let packed = packed.map_err(|error| DecoderError::Manifest {
        path: checkpoint.path().join(WEIGHTS_FILE),
        message: format!("tensor {tensor} in {format}: {error}"),
    })?;
    if together == *rows {
        return Ok(packed);
    }
    // Copied. Tensors that hold several parameters are cut at heads, whose dimensions mostly are multiples of sixteen.
    Ok(packed.rows(rows.start - together.start..rows.end - together.start))
}

/// Elements that are packed at once, so that not all of a tensor need be there as f32.
const PACKED_AT_ONCE: usize = 1 << 22;

/// Packs the rows of a tensor that a directory holds in some other format.
pub(crate) fn pack_rows(directory: &ModelDirectory, location: &Location, format: WeightFormat) -> Result<PackedWeight> {
    let (rows, width) = (location.rows.clone(), location.shape[1]);
    let at_once = (PACKED_AT_ONCE / width.max(1)).max(1).next_multiple_of(PackedWeight::GROUP);
    let parts = rows.clone().step_by(at_once).map(|start| {
        let part = Location { rows: start..rows.end.min(start + at_once), ..location.clone() };
        let values = directory.values_at(&part)?;
        PackedWeight::pack(format, [part.rows.len(), width], &values).map_err(|error| match error {
            PackError::TooLarge { index, value } => {
                let (tensor, index) = (location.tensor.clone(), start * width + index);
                DecoderError::WeightTooLarge { tensor, index, value, weights: format }
            }
            PackError::Format | PackError::Length { .. } => unreachable!("asked before: {error}"),
        })
    });
    Ok(PackedWeight::stack(parts.collect::<Result<_>>()?))
}

impl ModelDirectory {
    /// Writes the model into another directory with its weights in a format: safetensors under the published names, a manifest
    /// ([`WEIGHTS_FILE`]), the same config.json, and what lies beside it: tokenizer, exit, expected outputs. It is opened as any
    /// other, and loaded without copying the weights, but for parameters in blocks that begin or end within sixteen rows of a
    /// tensor.
    ///
    /// Copies of tied weights and buffers are left out. `progress` is told the number of parameters converted so far, and may
    /// end it there: nothing was written then, and the result is `Break`.
    ///
    /// # Errors
    /// If the directory is this one, a value is too large for the format or not finite, or a file cannot be read or written, or
    /// is there already and is not to be overwritten; no file is left partly written.
    pub fn convert(
        &self,
        to: &Path,
        weights: WeightFormat,
        overwrite: Overwrite,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        if same_directory(self.path(), to) {
            return Err(DecoderError::ConvertedInPlace { path: to.to_path_buf() });
        }
        let [config, manifest] = [CONFIG_FILE, WEIGHTS_FILE].map(|name| to.join(name));
        let rest = beside(self.path())?;
        let written = [CONFIG_FILE, WEIGHTS_FILE, SINGLE_FILE, INDEX_FILE].into_iter().map(str::to_owned);
        for path in written.chain(rest.iter().cloned()).map(|name| to.join(name)) {
            // Told before anything is written, so that no half of one model comes to lie beside half of another.
            if overwrite == Overwrite::No && path.exists() {
                return Err(DecoderError::Checkpoint(CheckpointError::AlreadyExists { path }));
            }
        }
        self.check_tied_copy()?;
        let mut converted = Converted::default();
        for (location, specs) in by_tensor(self) {
            converted.add(self, weights, &location, &specs)?;
            if progress(converted.done).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        CheckpointWriter::new(to, overwrite).write_single(&converted.tensors)?;
        let contents = Manifest { format: FORMAT.into(), weights, tensors: converted.formats };
        write_atomically(&manifest, &json(&contents), overwrite)?;
        write_atomically(&config, &json(&self.published().config_json), overwrite)?;
        copy(&rest, self.path(), to, overwrite)?;
        Ok(ControlFlow::Continue(()))
    }
}

fn json(contents: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(contents).unwrap_or_else(|error| unreachable!("plain JSON: {error}"))
}

fn same_directory(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The published tensors, whole, with the parameters that lie in each.
fn by_tensor(directory: &ModelDirectory) -> Vec<(Location, Vec<ParameterSpec>)> {
    let config = directory.config();
    let mut tensors: Vec<(Location, Vec<ParameterSpec>)> = Vec::new();
    for spec in config.parameters() {
        let location = families::locate(config, &spec);
        match tensors.iter_mut().find(|(known, _)| known.tensor == location.tensor) {
            Some((_, specs)) => specs.push(spec),
            None => {
                let rows = 0..location.shape[0];
                tensors.push((Location { rows, ..location }, vec![spec]));
            }
        }
    }
    tensors
}

/// Tensors to be written.
#[derive(Default)]
struct Converted {
    /// Parameters so far.
    done: u64,
    tensors: Vec<StoredTensor>,
    formats: BTreeMap<String, WeightFormat>,
}

impl Converted {
    fn add(
        &mut self,
        directory: &ModelDirectory,
        weights: WeightFormat,
        location: &Location,
        specs: &[ParameterSpec],
    ) -> Result<()> {
        // One that decides about a gate keeps what it shares a tensor with.
        let format = specs.iter().map(|spec| spec.kept_in(weights)).min().unwrap_or_default();
        let (name, shape) = (location.tensor.clone(), location.shape.clone());
        self.done += shape.iter().map(|&size| size as u64).product::<u64>();
        self.formats.insert(name.clone(), format);
        if format == WeightFormat::F32 {
            let values = directory.values_at(location)?;
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into();
            self.tensors.push(StoredTensor { name, shape, dtype: StoredDtype::F32, bytes });
        } else {
            let packed = pack_rows(directory, location, format)?;
            self.push(&name, &packed);
        }
        Ok(())
    }

    /// Adds a tensor that is packed, and its scales.
    fn push(&mut self, name: &str, packed: &PackedWeight) {
        let (format, [rows, width]) = (packed.format(), packed.shape());
        let (dtype, shape) = match format {
            WeightFormat::F16 => (StoredDtype::F16, [rows, width]),
            WeightFormat::Bf16 => (StoredDtype::Bf16, [rows, width]),
            _ => codes(format, [rows, width]),
        };
        let tensor = |name, shape: [usize; 2], dtype, bytes| StoredTensor { name, shape: shape.to_vec(), dtype, bytes };
        self.tensors.push(tensor(name.to_owned(), shape, dtype, packed.codes().clone()));
        if format.is_blocks() {
            let shape = [rows, width / WeightFormat::BLOCK];
            self.tensors.push(tensor(scales(name), shape, StoredDtype::F16, packed.scales().clone()));
        }
    }
}

fn failed(path: &Path, doing: &'static str, source: std::io::Error) -> DecoderError {
    DecoderError::Checkpoint(CheckpointError::Io { path: path.to_path_buf(), doing, source })
}

/// The names of the files beside a model that are neither weights nor written otherwise.
fn beside(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory).map_err(|error| failed(directory, "list the directory", error))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(directory, "list the directory", error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_copied(name));
        names.extend(name.filter(|_| path.is_file()).map(str::to_owned));
    }
    Ok(names)
}

/// Copies files by their names. An exit and expected outputs that are there of another model do not stay.
fn copy(names: &[String], from: &Path, to: &Path, overwrite: Overwrite) -> Result<()> {
    for name in names {
        let path = from.join(name);
        let contents = std::fs::read(&path).map_err(|error| failed(&path, "read the file", error))?;
        write_atomically(&to.join(name), &contents, overwrite)?;
    }
    for name in [EXIT_FILE, EXPECTED_FILE].into_iter().filter(|stale| !names.iter().any(|name| name == stale)) {
        let path = to.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed(&path, "remove the replaced file", error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a file beside a model belongs beside the converted one.
fn is_copied(name: &str) -> bool {
    let other = [CONFIG_FILE, WEIGHTS_FILE];
    let kinds = [".json", ".txt", ".jinja", ".model", ".md"];
    let licence = ["LICENSE", "LICENCE", "NOTICE"].iter().any(|start| name.starts_with(start));
    let index = name.ends_with(".index.json");
    !other.contains(&name)
        && !index
        && (name == EXPECTED_FILE || licence || kinds.iter().any(|kind| name.ends_with(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use depthscale_checkpoint::Overwrite;

    #[test]
    fn rows_of_a_tensor_are_found_wherever_they_begin_and_end() {
        let (n, width) = (72, 64);
        let values: Vec<f32> = (0..n * width).map(|at| ((at * 7919) % 1009) as f32 / 504.0 - 1.0).collect();
        for format in [WeightFormat::Q8, WeightFormat::Q4, WeightFormat::F16] {
            let whole = PackedWeight::pack(format, [n, width], &values).expect("packs");
            let mut converted = Converted::default();
            converted.push("fused", &whole);
            let directory = tempfile::tempdir().expect("a directory");
            CheckpointWriter::new(directory.path(), Overwrite::No).write_single(&converted.tensors).expect("written");
            let checkpoint = Checkpoint::open(directory.path()).expect("opens");
            for rows in [0..72, 0..24, 24..48, 48..72, 16..32, 17..18, 70..72, 0..0] {
                let location = Location { tensor: "fused".into(), shape: vec![n, width], rows: rows.clone() };
                let found = stored(&checkpoint, format, &location).expect("is there");
                let alone = &values[width * rows.start..width * rows.end];
                let expected = PackedWeight::pack(format, [rows.len(), width], alone).expect("packs");
                assert_eq!(found, expected, "{format} {rows:?}");
            }
        }
    }

    #[test]
    fn weights_are_not_copied_beside_converted_ones() {
        for name in ["tokenizer.json", "exit.json", "chat_template.jinja", "LICENSE", EXPECTED_FILE] {
            assert!(is_copied(name), "{name}");
        }
        for name in [
            "model.safetensors",
            "model.safetensors.index.json",
            "pytorch_model.bin.index.json",
            "config.json",
            WEIGHTS_FILE,
        ] {
            assert!(!is_copied(name), "{name}");
        }
    }
}
