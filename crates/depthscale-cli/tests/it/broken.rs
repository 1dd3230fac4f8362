//! Copies of fixtures to be broken.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::{fixture, text_of};

/// A copy of a fixture in a directory of its own.
pub(crate) struct Copy {
    dir: TempDir,
}

impl Copy {
    pub(crate) fn of(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for entry in fs::read_dir(fixture(name)).expect("the fixture is there") {
            let from = entry.expect("an entry").path();
            let name = from.file_name().expect("a name").to_owned();
            fs::copy(&from, dir.path().join(name)).expect("copied");
        }
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn arg(&self) -> String {
        text_of(self.path())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn edit_json(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let path = self.file(name);
        let mut json = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).expect("it is JSON"),
            Err(_) => Value::Object(Map::new()),
        };
        edit(&mut json);
        fs::write(path, json.to_string()).expect("written");
    }

    /// Changes the bytes of the weights' file.
    pub(crate) fn edit_weights(&self, edit: impl FnOnce(&mut Vec<u8>)) {
        let path = self.file("model.safetensors");
        let mut bytes = fs::read(&path).expect("it is there");
        edit(&mut bytes);
        fs::write(path, bytes).expect("written");
    }

    /// Changes the header (name to dtype, shape and offsets) and the data of the weights' file.
    pub(crate) fn edit_tensors(&self, edit: impl FnOnce(&mut Map<String, Value>, &mut Vec<u8>)) {
        self.edit_weights(|bytes| {
            let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
            let mut header = serde_json::from_slice(&bytes[8..8 + length]).expect("the header is JSON");
            let mut data = bytes.split_off(8 + length);
            edit(&mut header, &mut data);
            let header = Value::Object(header).to_string();
            *bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend(data);
        });
    }
}

/// Where a tensor begins in the data.
pub(crate) fn offset(header: &Map<String, Value>, name: &str) -> usize {
    header[name]["data_offsets"][0].as_u64().expect("an offset") as usize
}
