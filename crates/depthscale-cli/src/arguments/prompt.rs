//! Text from the command line, a file or stdin.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, bail};

use crate::failure::Usage;

/// The name that means stdin.
const STDIN: &str = "-";

/// The prompt given as text (or `-`), else that of the file. One newline at the end of a file or of stdin belongs to the
/// file and not to the prompt.
pub(crate) fn read_prompt(text: Option<&str>, file: Option<&Path>) -> anyhow::Result<String> {
    let prompt = match (text, file) {
        (Some(text), _) if text != STDIN => text.to_owned(),
        (_, file) => {
            let mut text = read_text(file.unwrap_or(Path::new(STDIN)))?;
            if text.ends_with('\n') {
                text.pop();
                if text.ends_with('\r') {
                    text.pop();
                }
            }
            text
        }
    };
    if prompt.is_empty() {
        return Err(Usage::new("the prompt is empty: there is nothing to continue").into());
    }
    Ok(prompt)
}

/// The text of a file, or of stdin for `-`.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    let (name, bytes) = if path == Path::new(STDIN) {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("stdin cannot be read")?;
        ("stdin".to_owned(), bytes)
    } else {
        let bytes = fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        (path.display().to_string(), bytes)
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let byte = error.as_bytes()[offset];
            bail!("{name}: not UTF-8: unexpected byte 0x{byte:02x} at offset {offset}")
        }
    }
}
