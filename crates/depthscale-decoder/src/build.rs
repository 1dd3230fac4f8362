//! Where parameters come from when a decoder is built.

use std::collections::BTreeMap;

use burn::module::{Param, ParamId};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use depthscale_kernels::{PackError, PackedWeight};
use depthscale_types::{ComputeDtype, DecoderConfig, ParameterRole, ParameterSpec, WeightFormat};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{DecoderError, Result};
use crate::layers::{Linear, RmsNorm, Weight};

/// A source of parameter values.
pub trait ParameterSource: Send {
    /// The values of a parameter in row-major order.
    ///
    /// # Errors
    /// If the source does not have it in this shape.
    fn values(&mut self, parameter: &ParameterSpec) -> Result<Vec<f32>>;

    /// A matrix in the format that it is to be kept in, where the source can give it so: because it lies there in that format, or
    /// to pack it piece by piece. Without, it is packed from its [`values`](Self::values).
    ///
    /// # Errors
    /// If the source does not have it in this shape, or a value is too large for the format or not finite.
    fn packed(&mut self, _parameter: &ParameterSpec) -> Result<Option<PackedWeight>> {
        Ok(None)
    }

    /// The dtype that matrices are to be multiplied in.
    fn dtype(&self) -> ComputeDtype {
        ComputeDtype::F32
    }

    /// What matrices are to be kept in: another format than that of the dtype goes with f32 and backends that keep it, see
    /// [`keeps_packed`](depthscale_kernels::keeps_packed).
    fn weights(&self) -> WeightFormat {
        self.dtype().into()
    }
}

/// The parameters of a decoder being built: hands out tensors by their names inside the decoder.
pub struct Parameters<'a, B: Backend> {
    specs: BTreeMap<String, ParameterSpec>,
    source: &'a mut dyn ParameterSource,
    norm_eps: f64,
    dtype: ComputeDtype,
    weights: WeightFormat,
    device: B::Device,
}

impl<'a, B: Backend> Parameters<'a, B> {
    /// The parameters that a config implies, for building blocks of it alone: a [`Block`](crate::Block) to be looped by a
    /// [`ReasoningLoop`](crate::ReasoningLoop), for instance.
    pub fn new(config: &DecoderConfig, source: &'a mut dyn ParameterSource, device: &B::Device) -> Self {
        let specs = config.parameters().into_iter().map(|spec| (spec.path.clone(), spec)).collect();
        let (dtype, weights) = (source.dtype(), source.weights());
        Self { specs, source, norm_eps: config.norm_eps, dtype, weights, device: device.clone() }
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

    fn param_as<const D: usize>(&mut self, path: &str, dtype: DType) -> Result<Param<Tensor<B, D>>> {
        let spec = self.spec(path, D);
        let values = self.values(&spec)?;
        let tensor = Tensor::from_data(TensorData::new(values, spec.shape), (&self.device, dtype));
        Ok(Param::initialized(param_id(path), tensor.require_grad()))
    }

    fn spec(&self, path: &str, rank: usize) -> ParameterSpec {
        let Some(spec) = self.specs.get(path) else { panic!("the config implies no parameter {path}") };
        assert_eq!(spec.shape.len(), rank, "rank of {path}");
        spec.clone()
    }

    fn values(&mut self, spec: &ParameterSpec) -> Result<Vec<f32>> {
        let values = self.source.values(spec)?;
        match depthscale_checkpoint::first_non_finite(&values) {
            Some(index) => {
                Err(DecoderError::NonFiniteWeight { tensor: spec.path.clone(), index, value: values[index] })
            }
            None => Ok(values),
        }
    }

    /// A matrix of that name: packed or in the dtype that the source asks for; f32 where it decides about decays, gates and
    /// exits, or its rows are not whole blocks.
    ///
    /// # Errors
    /// As [`Self::param`], and if a value is too large for its format.
    ///
    /// # Panics
    /// As [`Self::param`].
    pub fn weight(&mut self, path: &str) -> Result<Weight<B>> {
        let spec = self.spec(path, 2);
        let format = spec.kept_in(self.weights);
        if format == WeightFormat::F32 {
            return self.param_as(path, DType::F32).map(Weight::from_param);
        }
        if format == self.dtype.into() {
            return self.param_as(path, float_dtype(self.dtype).into()).map(Weight::from_param);
        }
        if let Some(packed) = self.source.packed(&spec)? {
            return Ok(Weight::from_packed(packed));
        }
        let values = self.values(&spec)?;
        pack(path, format, [spec.shape[0], spec.shape[1]], &values).map(Weight::from_packed)
    }

    /// A linear map of that name; see [`Self::weight`].
    ///
    /// # Errors
    /// As [`Self::weight`].
    ///
    /// # Panics
    /// As [`Self::weight`].
    pub fn linear(&mut self, path: &str) -> Result<Linear<B>> {
        self.weight(path).map(Linear::from_weight)
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

    /// What matrices are kept in.
    pub(crate) fn kept_in(&self) -> WeightFormat {
        self.weights
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
    weights: Option<WeightFormat>,
}

impl RandomParameters {
    /// Draws for a config.
    pub fn new(config: &DecoderConfig, seed: u64) -> Self {
        let blocks = config.blocks_passed(config.depth);
        Self { seed, branch_scale: (2.0 * blocks as f64).sqrt().recip(), dtype: ComputeDtype::F32, weights: None }
    }

    /// The same draws, with matrices multiplied in another dtype.
    pub fn with_dtype(self, dtype: ComputeDtype) -> Self {
        Self { dtype, ..self }
    }

    /// The same draws, with matrices kept in another format.
    pub fn with_weights(self, weights: WeightFormat) -> Self {
        Self { weights: Some(weights), ..self }
    }
}

impl ParameterSource for RandomParameters {
    fn values(&mut self, parameter: &ParameterSpec) -> Result<Vec<f32>> {
        let n = parameter.count() as usize;
        let fan_in = *parameter.shape.last().unwrap_or(&1) as f64;
        let std = match parameter.role {
            ParameterRole::NormWeight => return Ok(vec![1.0; n]),
            ParameterRole::Bias => return Ok(vec![0.0; n]),
            ParameterRole::Embedding | ParameterRole::Linear | ParameterRole::Gate => fan_in.sqrt().recip(),
            ParameterRole::BranchOutput => fan_in.sqrt().recip() * self.branch_scale,
        };
        let mut rng = parameter_rng(self.seed, &parameter.path);
        Ok((0..n).map(|_| (std * Distribution::<f64>::sample(&StandardNormal, &mut rng)) as f32).collect())
    }

    fn dtype(&self) -> ComputeDtype {
        self.dtype
    }

    fn weights(&self) -> WeightFormat {
        self.weights.unwrap_or(self.dtype.into())
    }
}

/// Packs a matrix whose rows the format divides; errors name it.
///
/// # Errors
/// If a value is too large for the format.
pub(crate) fn pack(name: &str, format: WeightFormat, shape: [usize; 2], values: &[f32]) -> Result<PackedWeight> {
    PackedWeight::pack(format, shape, values).map_err(|error| match error {
        PackError::TooLarge { index, value } => {
            DecoderError::WeightTooLarge { tensor: name.into(), index, value, weights: format }
        }
        PackError::Format | PackError::Length { .. } => unreachable!("asked before: {error}"),
    })
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
