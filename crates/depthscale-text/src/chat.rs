//! Messages to one prompt, as the checkpoint's chat template says.

mod python_json;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value, context};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::TextError;
use crate::checkpoint_json::{CheckpointJson, read_optional};

const TEMPLATE_FILE: &str = "chat_template.jinja";
const CONFIG_FILE: &str = "tokenizer_config.json";
const TEMPLATE_KEY: &str = "chat_template";
const TEMPLATE_NAME: &str = "chat_template";

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who speaks, in the template's words: usually `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl ChatMessage {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A checkpoint's chat template, rendered the way the
/// [transformers](https://huggingface.co/docs/transformers/chat_templating) library does.
///
/// A template sees `messages`, `add_generation_prompt`, `bos_token` and `eos_token` (where the checkpoint has them),
/// `tools` and `documents` (always none), the filter `tojson`, the function `raise_exception`, the common methods of
/// Python's strings, lists and dictionaries, and `break` and `continue`. `strftime_now` is not defined: a template that
/// asks whether it is defined takes its other branch, one that calls it fails.
///
/// The prompt holds its special tokens as text; [`TextTokenizer::encode_plain`](crate::TextTokenizer::encode_plain) it.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    path: PathBuf,
    bos_token: Option<String>,
    eos_token: Option<String>,
}

impl ChatTemplate {
    /// Reads the template from `DIR/chat_template.jinja`, else from `chat_template` in `DIR/tokenizer_config.json`:
    /// a string, or a list of `{name, template}` of which `default` is taken. The begin and end tokens are always
    /// those of `tokenizer_config.json`.
    ///
    /// # Errors
    ///
    /// [`TextError::NoChatTemplate`] when neither is there, [`TextError::TemplateSyntax`] for a template that does not
    /// parse, and [`TextError::Unreadable`], [`TextError::Malformed`] or [`TextError::WrongType`] for the files.
    pub fn open(dir: &Path) -> Result<Self, TextError> {
        let config = CheckpointJson::open_optional(dir, CONFIG_FILE)?;
        let (path, source) = find_template(dir, config.as_ref())?;
        let mut environment = environment();
        if let Err(error) = environment.add_template_owned(TEMPLATE_NAME, source) {
            let message = describe(&error);
            return Err(TextError::TemplateSyntax { path, message });
        }
        Ok(Self {
            environment,
            path,
            bos_token: special_token(config.as_ref(), "bos_token")?,
            eos_token: special_token(config.as_ref(), "eos_token")?,
        })
    }

    /// The prompt for a conversation. With `add_generation_prompt` it ends where the assistant's answer begins.
    ///
    /// # Errors
    ///
    /// [`TextError::TemplateRefused`] when the template calls `raise_exception`, for example because roles do not
    /// alternate, and [`TextError::TemplateRender`] when it fails in another way.
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String, TextError> {
        let messages: Vec<Value> = messages.iter().map(MessageValue::of).collect();
        let variables = context! {
            messages,
            add_generation_prompt,
            tools => (),
            documents => (),
            bos_token => token_or_undefined(self.bos_token.as_deref()),
            eos_token => token_or_undefined(self.eos_token.as_deref()),
        };
        let template = self.environment.get_template(TEMPLATE_NAME);
        let rendered = template.and_then(|template| template.render(variables));
        rendered.map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &Error) -> TextError {
        let path = self.path.clone();
        match refusal(error) {
            Some(Refusal(message)) => TextError::TemplateRefused { path, message: message.clone() },
            None => TextError::TemplateRender { path, message: describe(error) },
        }
    }
}

/// A message as templates see it: a dictionary with `role` first, as it is written in Python.
#[derive(Debug)]
struct MessageValue(ChatMessage);

impl MessageValue {
    fn of(message: &ChatMessage) -> Value {
        Value::from_object(Self(message.clone()))
    }
}

impl Object for MessageValue {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "role" => Some(Value::from(&self.0.role)),
            "content" => Some(Value::from(&self.0.content)),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["role", "content"])
    }
}

fn find_template(dir: &Path, config: Option<&CheckpointJson>) -> Result<(PathBuf, String), TextError> {
    let path = dir.join(TEMPLATE_FILE);
    if let Some(bytes) = read_optional(&path)? {
        return match String::from_utf8(bytes) {
            Ok(source) => Ok((path, source)),
            Err(error) => {
                Err(TextError::Malformed { path, expected: "a template in UTF-8", message: error.to_string() })
            }
        };
    }
    let published = config.and_then(|config| Some((config, config.get(TEMPLATE_KEY)?)));
    let Some((config, value)) = published else {
        return Err(TextError::NoChatTemplate { dir: dir.to_owned() });
    };
    let source = match value {
        Json::Array(named) => named.iter().find(|entry| entry["name"] == "default"),
        other => Some(other),
    };
    let source = source.and_then(|source| source.as_str().or_else(|| source["template"].as_str()));
    match source {
        Some(source) => Ok((config.path.clone(), source.to_owned())),
        None => Err(config.wrong_type(
            TEMPLATE_KEY,
            "a template, or a list of {name, template} with one named `default`",
            value,
        )),
    }
}

/// A special token, published as a string or as an object with its text under `content`.
fn special_token(config: Option<&CheckpointJson>, key: &str) -> Result<Option<String>, TextError> {
    let Some((config, value)) = config.and_then(|config| Some((config, config.get(key)?))) else {
        return Ok(None);
    };
    match value.as_str().or_else(|| value["content"].as_str()) {
        Some(token) => Ok(Some(token.to_owned())),
        None => Err(config.wrong_type(key, "a string, or an object with a string `content`", value)),
    }
}

fn token_or_undefined(token: Option<&str>) -> Value {
    token.map_or(Value::UNDEFINED, Value::from)
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the delimiters are the default ones"));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_filter("tojson", python_json::to_json);
    environment
}

/// The template's own words when it refuses the messages; carried through the engine as the source of its error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

fn raise_exception(message: String) -> Result<Value, Error> {
    let error = Error::new(ErrorKind::InvalidOperation, message.clone());
    Err(error.with_source(Refusal(message)))
}

fn refusal(error: &Error) -> Option<&Refusal> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The error and what caused it, in one line.
fn describe(error: &Error) -> String {
    let messages: Vec<String> = causes(error).map(ToString::to_string).collect();
    messages.join(": ")
}

fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |cause| cause.source())
}

#[cfg(test)]
mod tests;
