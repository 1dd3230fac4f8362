//! Where parameters come from when a decoder is built.

use std::collections::BTreeMap;

use burn::module::{Param, ParamId};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use depthscale_types::{ComputeDtype, DecoderConfig, ParameterRole, ParameterSpec};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{DecoderError, Result};
use crate::layers::{Linear, RmsNorm};

/// A source of parameter values.
pub trait ParameterSource: Send {
    /// The values of a parameter in row-major order.
    ///
    /// # Errors
    /// If the source does not have it in this shape.
    fn values(&mut self, parameter: &ParameterSpec) -> Result<Vec<f32>>;

    /// The dtype that the matrices are to be kept and multiplied in.
    fn dtype(&self) -> ComputeDtype {
        ComputeDtype::F32
    }
}

/// The parameters of a decoder being built: hands out tensors by their names inside the decoder.
pub struct Parameters<'a, B: Backend> {
    specs: BTreeMap<String, ParameterSpec>,
    source: &'a mut dyn ParameterSource,
    norm_eps: f64,
    dtype: DType,
    device: B::Device,
}

impl<'a, B: Backend> Parameters<'a, B> {
    /// The parameters that a config implies, for building blocks of it alone: a [`Block`](crate::Block) to be looped by a
    /// [`ReasoningLoop`](crate::ReasoningLoop), for instance.
    pub fn new(config: &DecoderConfig, source: &'a mut dyn ParameterSource, device: &B::Device) -> Self {
        let specs = config.parameters().into_iter().map(|spec| (spec.path.clone(), spec)).collect();
        let dtype = DType::from(float_dtype(source.dtype()));
        Self { specs, source, norm_eps: config.norm_eps, dtype, device: device.clone() }
    }

    /// A parameter named in [`DecoderConfig::parameters`], in f32. Its id follows from its name, so that it is the same in
    /// every build.
    ///
    /// # Errors
    /// If the source does not have it, or it holds a value that is not finite.
    ///
    /// # Panics
    /// If the config implies no parameter of that name and rank.
    pub fn param<const D: usize>(&mut self, path: &str) -> Result<Param<Tensor<B, D>>> {
        self.param_as(path, DType::F32)
    }

    /// A matrix named there, in the dtype that the source asks for.
    ///
    /// # Errors
    /// As [`Self::param`].
    ///
    /// # Panics
    /// As [`Self::param`].
    pub fn matrix(&mut self, path: &str) -> Result<Param<Tensor<B, 2>>> {
        self.param_as(path, self.dtype)
    }

    fn param_as<const D: usize>(&mut self, path: &str, dtype: DType) -> Result<Param<Tensor<B, D>>> {
        let Some(spec) = self.specs.get(path) else { panic!("the config implies no parameter {path}") };
        assert_eq!(spec.shape.len(), D, "rank of {path}");
        let values = self.source.values(spec)?;
        if let Some(index) = depthscale_checkpoint::first_non_finite(&values) {
            return Err(DecoderError::NonFiniteWeight { tensor: path.into(), index, value: values[index] });
        }
        let tensor = Tensor::from_data(TensorData::new(values, spec.shape.clone()), (&self.device, dtype));
        Ok(Param::initialized(param_id(path), tensor.require_grad()))
    }

    /// A linear map of that name, in the dtype that the source asks for.
    ///
    /// # Errors
    /// As [`Self::param`].
    pub fn linear(&mut self, path: &str) -> Result<Linear<B>> {
        self.matrix(path).map(Linear::from_param)
    }

    /// A linear map of that name in f32: one of few outputs, on whose precision decays and exits hang.
    ///
    /// # Errors
    /// As [`Self::param`].
    pub fn precise_linear(&mut self, path: &str) -> Result<Linear<B>> {
        self.param(path).map(Linear::from_param)
    }

    /// A norm of that name.
    ///
    /// # Errors
    /// As [`Self::param`].
    pub fn norm(&mut self, path: &str) -> Result<RmsNorm<B>> {
        let weight = self.param(path)?;
        Ok(RmsNorm::from_param(weight, self.norm_eps))
    }

    /// The config's epsilon of norms.
    pub fn norm_eps(&self) -> f64 {
        self.norm_eps
    }

    /// The device the tensors are made on.
    pub fn device(&self) -> &B::Device {
        &self.device
    }
}

/// Random parameters from a seed: normal draws of deviation `1 / sqrt(in)` for matrices, those added to the stream
/// divided by the root of twice the number of blocks a token passes, ones for norms, zeros for biases. The values depend
/// on the seed and the parameter's name only, not on the backend.
#[derive(Debug, Clone)]
pub struct RandomParameters {
    seed: u64,
    branch_scale: f64,
    dtype: ComputeDtype,
}

impl RandomParameters {
    /// Draws for a config.
    pub fn new(config: &DecoderConfig, seed: u64) -> Self {
        let blocks = config.blocks_passed(config.depth);
        Self { seed, branch_scale: (2.0 * blocks as f64).sqrt().recip(), dtype: ComputeDtype::F32 }
    }

    /// The same draws, with matrices kept in another dtype.
    pub fn with_dtype(self, dtype: ComputeDtype) -> Self {
        Self { dtype, ..self }
    }
}

impl ParameterSource for RandomParameters {
    fn values(&mut self, parameter: &ParameterSpec) -> Result<Vec<f32>> {
        let n = parameter.count() as usize;
        let fan_in = *parameter.shape.last().unwrap_or(&1) as f64;
        let std = match parameter.role {
            ParameterRole::NormWeight => return Ok(vec![1.0; n]),
            ParameterRole::Bias => return Ok(vec![0.0; n]),
            ParameterRole::Embedding | ParameterRole::Linear => fan_in.sqrt().recip(),
            ParameterRole::BranchOutput => fan_in.sqrt().recip() * self.branch_scale,
        };
        let mut rng = parameter_rng(self.seed, &parameter.path);
        Ok((0..n).map(|_| (std * Distribution::<f64>::sample(&StandardNormal, &mut rng)) as f32).collect())
    }

    fn dtype(&self) -> ComputeDtype {
        self.dtype
    }
}

/// burn's name of a dtype.
pub fn float_dtype(dtype: ComputeDtype) -> FloatDType {
    match dtype {
        ComputeDtype::F32 => FloatDType::F32,
        ComputeDtype::F16 => FloatDType::F16,
        ComputeDtype::Bf16 => FloatDType::BF16,
    }
}

/// The id of a parameter by its name inside the decoder, by which gradients and optimisers know it.
pub fn param_id(path: &str) -> ParamId {
    ParamId::from(name_hash(path))
}

/// The stream of random numbers of a parameter, which depends on the seed and its name alone.
pub(crate) fn parameter_rng(seed: u64, path: &str) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed ^ name_hash(path))
}

/// FNV-1a, so that every parameter has a stream of its own that no release of the standard library changes.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
