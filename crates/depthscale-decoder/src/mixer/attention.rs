//! Softmax attention (arXiv 1706.03762) with grouped key heads (arXiv 2305.13245).

use burn::module::{Module, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{FloatDType, Tensor};
use depthscale_types::{QueryKey, StackConfig};

use super::Mixer;
use crate::build::Parameters;
use crate::cache::SlotKind;
use crate::error::Result;
use crate::layers::{Linear, RmsNorm};
use crate::run::{BlockContext, HeadShape};

/// Causal softmax attention, over all earlier tokens or a window of them.
#[derive(Module, Debug)]
pub struct Attention<B: Backend> {
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    output: Linear<B>,
    query_treatment: QueryKeyTreatment<B>,
    key_treatment: QueryKeyTreatment<B>,
    #[module(skip)]
    heads: HeadShape,
    window: Option<usize>,
}

/// What is done to queries or keys before positions.
#[derive(Module, Debug)]
pub struct QueryKeyTreatment<B: Backend> {
    bias: Option<Param<Tensor<B, 1>>>,
    norm: Option<RmsNorm<B>>,
}

impl<B: Backend> QueryKeyTreatment<B> {
    pub(crate) fn load(parameters: &mut Parameters<'_, B>, path: &str, kind: QueryKey) -> Result<Self> {
        let bias = match kind {
            QueryKey::Bias => Some(parameters.param(&format!("{path}_bias"))?),
            QueryKey::Plain | QueryKey::Norm => None,
        };
        let norm = match kind {
            QueryKey::Norm => Some(parameters.norm(&format!("{path}_norm"))?),
            QueryKey::Plain | QueryKey::Bias => None,
        };
        Ok(Self { bias, norm })
    }

    /// In f32 where there is anything to do.
    ///
    /// # Shapes
    /// - x, output: `[rows, heads * head_dim]`
    pub(crate) fn apply(&self, mut x: Tensor<B, 2>) -> Tensor<B, 2> {
        if let Some(bias) = &self.bias {
            x = x.cast(FloatDType::F32) + bias.val().unsqueeze();
        }
        match &self.norm {
            Some(norm) => norm.forward_heads(x),
            None => x,
        }
    }
}

impl<B: Backend> Attention<B> {
    pub(crate) fn load(parameters: &mut Parameters<'_, B>, path: &str, stack: &StackConfig) -> Result<Self> {
        Ok(Self {
            query: parameters.linear(&format!("{path}.query"))?,
            key: parameters.linear(&format!("{path}.key"))?,
            value: parameters.linear(&format!("{path}.value"))?,
            output: parameters.linear(&format!("{path}.output"))?,
            query_treatment: QueryKeyTreatment::load(parameters, &format!("{path}.query"), stack.query_key)?,
            key_treatment: QueryKeyTreatment::load(parameters, &format!("{path}.key"), stack.query_key)?,
            heads: HeadShape::of(stack),
            window: stack.mixer.window(),
        })
    }

    /// The heads before the output map, and the queries they came from (positions not applied).
    pub(super) fn attend(
        &self,
        rows: Tensor<B, 2>,
        context: &mut BlockContext<'_, '_, B>,
    ) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let rows = rows.cast(self.query.dtype());
        let [queries, keys, values] = Linear::forward_all([&self.query, &self.key, &self.value], rows);
        let queries = self.query_treatment.apply(queries);
        let keys = context.rotate(self.key_treatment.apply(keys));
        let mixed = context.attend(context.rotate(queries.clone()), keys, values, self.heads);
        (mixed, queries)
    }

    pub(super) fn output(&self, mixed: Tensor<B, 2>) -> Tensor<B, 2> {
        self.output.forward(mixed)
    }

    pub(super) fn heads(&self) -> HeadShape {
        self.heads
    }
}

impl<B: Backend> Mixer<B> for Attention<B> {
    fn mix(&self, rows: Tensor<B, 2>, context: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2> {
        let (mixed, _) = self.attend(rows, context);
        self.output(mixed)
    }

    fn slot(&self) -> SlotKind {
        match self.window {
            Some(window) => SlotKind::Window { window },
            None => SlotKind::Growing,
        }
    }
}

/// Softmax attention over the shared keys and values of a cross-decoder.
#[derive(Module, Debug)]
pub struct SharedAttention<B: Backend> {
    query: Linear<B>,
    output: Linear<B>,
    query_treatment: QueryKeyTreatment<B>,
    #[module(skip)]
    heads: HeadShape,
}

impl<B: Backend> SharedAttention<B> {
    pub(crate) fn load(parameters: &mut Parameters<'_, B>, path: &str, stack: &StackConfig) -> Result<Self> {
        Ok(Self {
            query: parameters.linear(&format!("{path}.query"))?,
            output: parameters.linear(&format!("{path}.output"))?,
            query_treatment: QueryKeyTreatment::load(parameters, &format!("{path}.query"), stack.query_key)?,
            heads: HeadShape::of(stack),
        })
    }
}

impl<B: Backend> Mixer<B> for SharedAttention<B> {
    fn mix(&self, rows: Tensor<B, 2>, context: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2> {
        let queries = context.rotate(self.query_treatment.apply(self.query.forward(rows)));
        self.output.forward(context.attend_shared(queries.cast(self.query.dtype()), self.heads))
    }

    fn slot(&self) -> SlotKind {
        SlotKind::None
    }
}
