//! Reading a published config.json key by key.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{DecoderError, Result};

/// A config.json being read. Every key must be read, known to have no influence on the computation, or off.
#[derive(Debug)]
pub(crate) struct PublishedConfig {
    path: PathBuf,
    keys: Map<String, Value>,
    read: BTreeSet<String>,
}

/// Keys that every family's files may carry and that do not change what is computed when a model is run.
const WITHOUT_INFLUENCE: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_name_or_path",
    "activation_checkpoint_impl",
    "architecture_class_name",
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "auto_map",
    "bos_token_id",
    "chunk_size_feed_forward",
    "decoder_start_token_id",
    "dropout",
    "dtype",
    "eos_token_id",
    "id2label",
    "initializer_range",
    "label2id",
    "load_checkpoint",
    "max_batch_size",
    "model_parallel_size",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "problem_type",
    "return_dict",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "use_cache",
];

/// No size is larger, so that sums and products of a few of them do not overflow.
const MOST: usize = 1 << 31;

impl PublishedConfig {
    /// Reads a config.json.
    ///
    /// # Errors
    /// If it cannot be read or is not a JSON object.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let error = |message| DecoderError::Config { path: path.to_path_buf(), message };
        let text = std::fs::read(path).map_err(|cause| error(format!("cannot be read: {cause}")))?;
        Self::parse(&text, path)
    }

    /// Takes the text of a config.json; errors name the path.
    ///
    /// # Errors
    /// If it is not a JSON object.
    pub(crate) fn parse(text: &[u8], path: &Path) -> Result<Self> {
        let error = |message| DecoderError::Config { path: path.to_path_buf(), message };
        match serde_json::from_slice(text) {
            Ok(Value::Object(keys)) => Ok(Self { path: path.to_path_buf(), keys, read: BTreeSet::new() }),
            Ok(_) => Err(error("expected a JSON object".into())),
            Err(cause) => Err(error(format!("not valid JSON: {cause}"))),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole object, as it was read.
    pub(crate) fn json(&self) -> Value {
        Value::Object(self.keys.clone())
    }

    pub(crate) fn error(&self, message: String) -> DecoderError {
        DecoderError::Config { path: self.path.clone(), message }
    }

    /// The value of a key; absent and null are the same.
    pub(crate) fn value(&mut self, key: &str) -> Option<Value> {
        self.read.insert(key.into());
        self.keys.get(key).filter(|value| !value.is_null()).cloned()
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<String> {
        match self.value(key) {
            Some(Value::String(text)) => Ok(text),
            found => Err(self.wrong(key, found, "a string")),
        }
    }

    pub(crate) fn size(&mut self, key: &str) -> Result<usize> {
        let found = self.value(key);
        self.as_size(key, found)
    }

    pub(crate) fn size_or(&mut self, key: &str, default: usize) -> Result<usize> {
        match self.value(key) {
            None => Ok(default),
            found => self.as_size(key, found),
        }
    }

    pub(crate) fn number_or(&mut self, key: &str, default: f64) -> Result<f64> {
        match self.value(key) {
            None => Ok(default),
            Some(Value::Number(number)) => {
                number.as_f64().ok_or_else(|| self.error(format!("{key} is {number}, expected a finite number")))
            }
            found => Err(self.wrong(key, found, "a number")),
        }
    }

    /// A deviation, which is not negative.
    pub(crate) fn deviation_or(&mut self, key: &str, default: f64) -> Result<f64> {
        match self.number_or(key, default)? {
            std if std < 0.0 => Err(self.error(format!("{key} is {std}, must not be negative"))),
            std => Ok(std),
        }
    }

    pub(crate) fn flag_or(&mut self, key: &str, default: bool) -> Result<bool> {
        match self.value(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            found => Err(self.wrong(key, found, "true or false")),
        }
    }

    /// Quotient of two sizes named by keys.
    pub(crate) fn share(&self, whole: (&str, usize), parts: (&str, usize)) -> Result<usize> {
        if parts.1 == 0 || !whole.1.is_multiple_of(parts.1) {
            return Err(
                self.error(format!("{} is {}, which must divide {}, which is {}", parts.0, parts.1, whole.0, whole.1))
            );
        }
        Ok(whole.1 / parts.1)
    }

    /// Refuses a key unless it is absent, null or one of the values allowed.
    pub(crate) fn allow_only(&mut self, key: &str, allowed: &[Value], why: &str) -> Result<()> {
        match self.value(key) {
            Some(value) if !allowed.contains(&value) => Err(self.not_implemented(key, &value, why)),
            _ => Ok(()),
        }
    }

    /// Reads keys that have no influence in this family.
    pub(crate) fn without_influence(&mut self, keys: &[&str]) {
        self.read.extend(keys.iter().map(|&key| key.to_owned()));
    }

    pub(crate) fn not_implemented(&self, key: &str, value: &Value, why: &str) -> DecoderError {
        DecoderError::NotImplemented {
            path: self.path.clone(),
            key: key.into(),
            value: value.to_string(),
            why: why.into(),
        }
    }

    /// Refuses the first key that nothing has read and that is not off: it may stand for something not implemented.
    pub(crate) fn refuse_the_rest(&self) -> Result<()> {
        let known = |key: &str| self.read.contains(key) || WITHOUT_INFLUENCE.contains(&key);
        match self.keys.iter().find(|(key, value)| !known(key) && !is_off(value)) {
            Some((key, value)) => Err(self.not_implemented(
                key,
                value,
                "the key is not known to this family, and a key that is on may change what is computed",
            )),
            None => Ok(()),
        }
    }

    fn as_size(&self, key: &str, found: Option<Value>) -> Result<usize> {
        let size = found.as_ref().and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        size.filter(|size| *size <= MOST).ok_or_else(|| self.wrong(key, found, "a whole number of at least 0"))
    }

    fn wrong(&self, key: &str, found: Option<Value>, expected: &str) -> DecoderError {
        match found {
            Some(found) => self.error(format!("{key} is {found}, expected {expected}")),
            None => self.error(format!("{key} is missing, expected {expected}")),
        }
    }
}

/// Whether a value switches something off: null, false, 0, and what is empty.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
    }
}
