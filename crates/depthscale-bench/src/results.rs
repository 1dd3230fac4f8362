//! Files of results: one [`Record`] a line.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{BenchError, Result};
use crate::record::{FORMAT, Record};

/// A file that takes results as they are measured, so that what is done survives whatever comes after.
#[derive(Debug)]
pub struct ResultsWriter {
    path: PathBuf,
    file: File,
}

impl ResultsWriter {
    /// Opens a file to add results at its end; it is made where there is none.
    ///
    /// # Errors
    /// If it cannot be written, or holds what are no results.
    pub fn append(path: &Path) -> Result<Self> {
        match read_results(path) {
            // One that is not there is made, and in an empty one there is nothing to spoil.
            Ok(_) | Err(BenchError::NoResults { .. }) => {}
            Err(BenchError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(at(path))?;
        // An editor may have left the last line without its end.
        if std::fs::read(path).map_err(at(path))?.last().is_some_and(|&byte| byte != b'\n') {
            file.write_all(b"\n").map_err(at(path))?;
        }
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Adds one result.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&mut self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_string(record).unwrap_or_else(|error| unreachable!("plain data: {error}"));
        line.push('\n');
        // One call, so that no line is left half written by a program that is stopped between two.
        self.file.write_all(line.as_bytes()).map_err(at(&self.path))
    }
}

/// Reads a file of results.
///
/// # Errors
/// If it cannot be read or holds none, or with the number of the first line that is not a result of this format.
pub fn read_results(path: &Path) -> Result<Vec<Record>> {
    let bytes = std::fs::read(path).map_err(at(path))?;
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let records: Vec<Record> = lines
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(index, line)| {
            let wrong = |message| BenchError::Line { path: path.to_path_buf(), line: index + 1, message };
            parse(line).map_err(wrong)
        })
        .collect::<Result<_>>()?;
    if records.is_empty() {
        return Err(BenchError::NoResults { path: path.to_path_buf() });
    }
    Ok(records)
}

fn parse(line: &[u8]) -> Result<Record, String> {
    // The format is looked at first, so that another version is told as such and not as a field that is missing.
    let value: serde_json::Value = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
    match value.get("format").and_then(serde_json::Value::as_str) {
        Some(FORMAT) => {}
        Some(other) => return Err(format!("format is {other:?}, and this build reads {FORMAT:?}")),
        None => return Err(format!("not a benchmark result: no \"format\": {FORMAT:?}")),
    }
    let record: Record = serde_json::from_value(value).map_err(|error| format!("not a benchmark result: {error}"))?;
    match record.fault() {
        Some(fault) => Err(fault),
        None => Ok(record),
    }
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> BenchError {
    let path = path.to_path_buf();
    move |source| BenchError::File { path: path.clone(), source }
}
