//! Gradients of all parameters together.

use burn::module::{AutodiffModule, Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{ElementConversion, Tensor};

/// The norm over the gradients of all parameters, `sqrt(sum g^2)`.
pub(super) fn global_norm<B: AutodiffBackend>(module: &impl Module<B>, gradients: &GradientsParams) -> f64 {
    let mut norm = SumOfSquares { gradients, parts: Vec::<Tensor<B::InnerBackend, 1>>::new() };
    module.visit(&mut norm);
    match norm.parts.len() {
        0 => 0.0,
        _ => Tensor::cat(norm.parts, 0).into_data().iter::<f32>().map(f64::from).sum::<f64>().sqrt(),
    }
}

struct SumOfSquares<'g, B: AutodiffBackend> {
    gradients: &'g GradientsParams,
    parts: Vec<Tensor<B::InnerBackend, 1>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for SumOfSquares<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.get::<B::InnerBackend, D>(param.id) {
            self.parts.push(gradient.clone().mul(gradient).sum());
        }
    }
}

/// Multiplies every gradient by a factor.
pub(super) fn scale<B: AutodiffBackend>(
    module: &impl AutodiffModule<B>,
    mut gradients: GradientsParams,
    factor: f64,
) -> GradientsParams {
    if factor != 1.0 {
        module.visit(&mut Scale { gradients: &mut gradients, factor });
    }
    gradients
}

struct Scale<'g> {
    gradients: &'g mut GradientsParams,
    factor: f64,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.remove::<B::InnerBackend, D>(param.id) {
            let factor: f32 = self.factor.elem();
            self.gradients.register(param.id, gradient * factor);
        }
    }
}
