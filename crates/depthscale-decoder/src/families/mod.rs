//! Published architectures: how each family's config.json and tensor names map to the generic decoder.
//!
//! A family file holds no forward pass: it translates a published config into a [`DecoderConfig`] and names the tensors.
//! What a config asks for beyond that is refused by name, never ignored.

mod huginn;
mod native;
mod ouro;
mod published;
mod yoco;
mod yoco_u;

use std::ops::Range;
use std::path::Path;

use depthscale_types::{DecoderConfig, ExitPolicy, Family, OutputHead, ParameterSpec};

use crate::error::{DecoderError, Result};
pub(crate) use published::PublishedConfig;

/// What a published config.json says.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// The decoder it describes.
    pub config: DecoderConfig,
    /// The exit it asks for where the user names none.
    pub exit: ExitPolicy,
}

impl Published {
    /// Reads a config.json of any known family without its checkpoint.
    ///
    /// Where a family leaves a part to be told from the tensors (the norm of YOCO-U's shared keys), it is taken as absent.
    ///
    /// # Errors
    /// If the file cannot be read, or its family or a feature is not known.
    pub fn read(path: &Path) -> Result<Self> {
        translate(&mut PublishedConfig::open(path)?, &|_| false)
    }

    /// The same for the text of a config.json; `name` stands for its path in errors.
    ///
    /// # Errors
    /// If it is not a JSON object, or its family or a feature is not known.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        translate(&mut PublishedConfig::parse(text.as_bytes(), Path::new(name))?, &|_| false)
    }
}

/// Where a parameter lies in a family's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// The tensor's name.
    pub(crate) tensor: String,
    /// Its whole shape.
    pub(crate) shape: Vec<usize>,
    /// The rows (along the first dimension) that are the parameter.
    pub(crate) rows: Range<usize>,
}

impl Location {
    /// A tensor that is the parameter and nothing else.
    fn whole(tensor: impl Into<String>, spec: &ParameterSpec) -> Self {
        Self { tensor: tensor.into(), shape: spec.shape.clone(), rows: 0..spec.shape[0] }
    }
}

/// Reads a config.json of any known family. `holds` tells whether the checkpoint holds a tensor of some name.
pub(crate) fn translate(published: &mut PublishedConfig, holds: &dyn Fn(&str) -> bool) -> Result<Published> {
    let model_type = published.text("model_type")?;
    let config = match model_type.as_str() {
        ouro::MODEL_TYPE => ouro::translate(published),
        huginn::MODEL_TYPE => huginn::translate(published),
        yoco::MODEL_TYPE => yoco::translate(published),
        yoco_u::MODEL_TYPE => yoco_u::translate(published, holds),
        native::MODEL_TYPE => native::translate(published),
        _ => Err(DecoderError::UnknownFamily {
            path: published.path().to_path_buf(),
            found: model_type,
            known: [ouro::MODEL_TYPE, huginn::MODEL_TYPE, yoco::MODEL_TYPE, yoco_u::MODEL_TYPE, native::MODEL_TYPE]
                .join(", "),
        }),
    }?;
    published.refuse_the_rest()?;
    config.config.validate().map_err(|error| published.error(error.to_string()))?;
    Ok(config)
}

/// Where a parameter of a decoder lies in its family's files.
pub(crate) fn locate(config: &DecoderConfig, spec: &ParameterSpec) -> Location {
    match config.family {
        Family::Ouro => ouro::locate(spec),
        Family::Huginn => huginn::locate(config, spec),
        Family::Yoco => yoco::locate(spec),
        Family::YocoU => yoco_u::locate(config, spec),
        Family::Native => native::locate(spec),
    }
}

/// Buffers a family's files may hold, which are computed anew.
pub(crate) fn buffers(family: Family) -> &'static [&'static str] {
    match family {
        Family::Huginn => &huginn::BUFFERS,
        Family::Ouro | Family::Yoco | Family::YocoU | Family::Native => &[],
    }
}

/// The name under which a family's files may hold a tied head a second time, the first being the embedding.
pub(crate) fn tied_head(config: &DecoderConfig) -> Option<&'static str> {
    match (config.head, config.family) {
        (OutputHead::Separate, _) | (OutputHead::Tied, Family::Native) => None,
        (OutputHead::Tied, Family::Ouro) => Some(ouro::HEAD),
        (OutputHead::Tied, Family::Huginn) => Some(huginn::HEAD),
        (OutputHead::Tied, Family::Yoco) => Some(yoco::HEAD),
        (OutputHead::Tied, Family::YocoU) => Some(yoco_u::HEAD),
    }
}

/// The config.json of a decoder that was not loaded from one.
pub(crate) fn native_config_json(config: &DecoderConfig) -> serde_json::Value {
    native::config_json(config)
}

/// A name inside the decoder, taken apart: `core.3.ffn.up` is (`core`, 3, `ffn.up`); `final_norm` has no layer.
fn split_path(path: &str) -> (&str, Option<usize>, &str) {
    let mut parts = path.splitn(3, '.');
    let stack = parts.next().unwrap_or_default();
    match (parts.next().and_then(|layer| layer.parse().ok()), parts.next()) {
        (Some(layer), Some(rest)) => (stack, Some(layer), rest),
        _ => (path, None, ""),
    }
}

fn no_such_parameter(family: Family, path: &str) -> ! {
    unreachable!("{family} configs imply no parameter {path}")
}
