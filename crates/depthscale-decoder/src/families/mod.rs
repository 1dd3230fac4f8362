//! Published architectures: how each family's config.json and tensor names map to the generic decoder.
//!
//! A family file holds no forward pass: it translates a published config into a [`DecoderConfig`] and names the tensors.
//! What a config asks for beyond that is refused by name, never ignored.

mod huginn;
pub(crate) mod native;
mod ouro;
mod published;
mod yoco;
mod yoco_u;

use std::ops::Range;

use depthscale_checkpoint::TensorToWrite;
use depthscale_types::{DecoderConfig, ExitPolicy, Family, OutputHead, ParameterSpec};

use crate::error::{DecoderError, Result};
use crate::initial::Initialisation;
use crate::save::{Files, Layout};
pub(crate) use published::PublishedConfig;

/// What a family's config.json says of its model.
#[derive(Debug)]
pub(crate) struct Translated {
    pub(crate) config: DecoderConfig,
    /// The exit it asks for where the user names none.
    pub(crate) exit: ExitPolicy,
    pub(crate) initialisation: Initialisation,
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
pub(crate) fn translate(published: &mut PublishedConfig, holds: &dyn Fn(&str) -> bool) -> Result<Translated> {
    let model_type = published.text("model_type")?;
    let translated = match model_type.as_str() {
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
    translated.config.validate().map_err(|error| published.error(error.to_string()))?;
    Ok(translated)
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

/// Where the embedding lies.
pub(crate) fn embedding(config: &DecoderConfig) -> Location {
    let Some(spec) = config.parameters().into_iter().find(|spec| spec.path == "embedding") else {
        unreachable!("the embedding is a parameter of every config")
    };
    locate(config, &spec)
}

/// Buffers a family's files may hold, which are computed anew.
pub(crate) fn buffers(family: Family) -> &'static [&'static str] {
    match family {
        Family::Huginn => &huginn::BUFFERS,
        Family::Ouro | Family::Yoco | Family::YocoU | Family::Native => &[],
    }
}

/// The values of such a buffer.
pub(crate) fn buffer(config: &DecoderConfig, name: &str) -> TensorToWrite<'static> {
    match config.family {
        Family::Huginn => huginn::rotary_table(config, name),
        family => unreachable!("{family} files hold no buffer {name}"),
    }
}

/// What the files of a model hold beside its parameters, where there are no files yet: what the published
/// implementation needs to load them.
///
/// Huginn's code asks for the rotary table and leaves it uninitialised where it is missing; its published files repeat a
/// tied head too. YOCO's release loads a plain PyTorch state, which names a shared matrix twice. Ouro ties its head after
/// loading, as Hugging Face's loaders do, and YOCO-U's layout leaves a tied head out.
pub(crate) fn fresh_layout(config: &DecoderConfig) -> Layout {
    let tied_copy = match config.family {
        Family::Huginn | Family::Yoco => tied_head(config),
        Family::Ouro | Family::YocoU | Family::Native => None,
    };
    let buffers = match config.family {
        Family::Huginn => vec![huginn::BUFFERS[0]],
        Family::Ouro | Family::Yoco | Family::YocoU | Family::Native => Vec::new(),
    };
    Layout { files: Files::One, tied_copy, buffers }
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

/// A name inside the decoder, taken apart: `core.3.ffn.up` is (`core`, 3, `ffn.up`); `final_norm` has no layer.
pub(crate) fn split_path(path: &str) -> (&str, Option<usize>, &str) {
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
