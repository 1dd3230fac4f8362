//! Decoders of no published family: their config.json holds the [`DecoderConfig`] itself, and tensors carry the
//! decoder's own names.

use depthscale_types::{DecoderConfig, ExitPolicy, Family, ParameterSpec};
use serde_json::{Value, json};

use super::{Location, PublishedConfig, Translated};
use crate::error::Result;
use crate::initial::Initialisation;

pub(super) const MODEL_TYPE: &str = "depthscale";

/// The key under which the config stands.
const DECODER: &str = "decoder";

pub(super) fn translate(published: &mut PublishedConfig) -> Result<Translated> {
    let Some(decoder) = published.value(DECODER) else {
        return Err(published.error(format!("{DECODER} is missing, expected the decoder's config")));
    };
    let config: DecoderConfig =
        serde_json::from_value(decoder).map_err(|error| published.error(format!("{DECODER}: {error}")))?;
    if config.family != Family::Native {
        return Err(published.error(format!("{DECODER}.family is {}, expected native", config.family)));
    }
    Ok(translated(config))
}

/// What a config that was not read from a file says.
pub(crate) fn translated(config: DecoderConfig) -> Translated {
    let initialisation = Initialisation::scaled_by_depth(config.d_model, config.blocks_passed(config.depth));
    Translated { config, exit: ExitPolicy::default(), initialisation }
}

pub(crate) fn config_json(config: &DecoderConfig) -> Value {
    json!({ "model_type": MODEL_TYPE, DECODER: config })
}

pub(super) fn locate(spec: &ParameterSpec) -> Location {
    Location::whole(spec.path.clone(), spec)
}
