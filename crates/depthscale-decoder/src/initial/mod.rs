//! Parameters of a model that is trained from scratch, as its family draws them.

mod draw;
mod scheme;

use depthscale_types::{ComputeDtype, DecoderConfig, ParameterSpec};

pub use draw::InitialDraw;
pub use scheme::Initialisation;

use crate::build::{ParameterSource, parameter_rng};
use crate::error::{DecoderError, Result};
use crate::published::Published;

/// Initial parameters from a seed, drawn the way the family publishes; see [`Initialisation`] for each family's.
///
/// The values depend on the seed and the parameter's name only, not on the backend nor on the order in which parameters
/// are asked for.
///
/// ```
/// use burn_flex::Flex;
/// use depthscale_decoder::{InitialParameters, Published, RecurrentDecoder};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ouro-mha/config.json"));
/// # let scratch = tempfile::tempdir()?;
/// # let directory = scratch.path().join("fresh");
/// let published = Published::read(path)?;
/// let mut initial = InitialParameters::new(&published, 1)?;
/// let decoder = RecurrentDecoder::<Flex>::build(published.config.clone(), &mut initial, &Default::default())?;
/// published.save(&decoder, &directory, depthscale_checkpoint::Overwrite::No)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct InitialParameters {
    config: DecoderConfig,
    initialisation: Initialisation,
    seed: u64,
    dtype: ComputeDtype,
}

impl InitialParameters {
    /// Draws for a model.
    ///
    /// # Errors
    /// If its config.json asks for a way of drawing that is not implemented.
    pub fn new(published: &Published, seed: u64) -> Result<Self> {
        let initialisation = published.initialisation.clone();
        if let Initialisation::NotImplemented { key, value } = initialisation {
            return Err(DecoderError::InitialisationNotImplemented { key, value });
        }
        Ok(Self { config: published.config.clone(), initialisation, seed, dtype: ComputeDtype::F32 })
    }

    /// The same draws, with matrices kept in another dtype.
    pub fn with_dtype(self, dtype: ComputeDtype) -> Self {
        Self { dtype, ..self }
    }
}

impl ParameterSource for InitialParameters {
    fn values(&mut self, parameter: &ParameterSpec) -> Result<Vec<f32>> {
        let draw = self.initialisation.draw(&self.config, parameter)?;
        Ok(draw.values(parameter.count() as usize, &mut parameter_rng(self.seed, &parameter.path)))
    }

    fn dtype(&self) -> ComputeDtype {
        self.dtype
    }
}
