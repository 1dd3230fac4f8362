//! A running average of the weights.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::backend::Backend;
use burn::tensor::container::TensorContainer;
use burn::tensor::{Tensor, TensorPrimitive};
use depthscale_decoder::RecurrentDecoder;

/// A running average of the weights: `average <- kept average + (1 - kept) weights` after every step.
#[derive(Clone)]
pub struct WeightAverage<B: Backend> {
    /// The average so far.
    pub decoder: RecurrentDecoder<B>,
}

impl<B: Backend> WeightAverage<B> {
    /// Takes in the weights after a step, of which the average keeps `1 - kept`.
    pub fn update(self, weights: &RecurrentDecoder<B>, kept: f64) -> Self {
        if kept == 0.0 {
            return Self { decoder: weights.clone() };
        }
        let mut collected = Collected(TensorContainer::new());
        weights.visit(&mut collected);
        Self { decoder: self.decoder.map(&mut Blend { weights: collected.0, kept }) }
    }
}

struct Collected(TensorContainer<ParamId>);

impl<B: Backend> ModuleVisitor<B> for Collected {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0.register::<B>(param.id, param.val().into_primitive());
    }
}

struct Blend {
    weights: TensorContainer<ParamId>,
    kept: f64,
}

impl<B: Backend> ModuleMapper<B> for Blend {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, average, mapper) = param.consume();
        let weights: Option<TensorPrimitive<B>> = self.weights.remove::<B>(&id);
        let blended = match weights {
            // In this form a weight that does not move leaves its average exactly where it is.
            Some(weights) => average.clone() + (Tensor::from_primitive(weights) - average) * (1.0 - self.kept),
            None => average,
        };
        Param::from_mapped_value(id, blended, mapper)
    }
}
