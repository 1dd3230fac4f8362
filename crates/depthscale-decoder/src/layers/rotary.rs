//! Rotary positions for the rows of a forward call.

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Int, Tensor, TensorData};
use depthscale_types::{Positions, RotaryFrequencies, RotaryLayout, StackConfig};

/// How a stack rotates its queries and keys, without the angles.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotary {
    layout: RotaryLayout,
    /// Radians per position, one for each pair of a head.
    frequencies: Vec<f32>,
}

/// Cosines and sines for the rows of one forward call, `[rows, head_dim / 2]` each.
#[derive(Debug, Clone)]
pub struct RotaryAngles<B: Backend> {
    cos: Tensor<B, 2>,
    sin: Tensor<B, 2>,
    layout: RotaryLayout,
}

impl Rotary {
    /// The rotation of a stack; `None` where it uses no positions.
    pub fn of(stack: &StackConfig) -> Option<Self> {
        match stack.positions {
            Positions::None => None,
            Positions::Rotary { theta, layout, frequencies } => {
                Some(Self { layout, frequencies: frequency_table(theta, stack.head_dim / 2, frequencies) })
            }
        }
    }

    /// The angles of the given positions. They are formed in f32, as the published models form them.
    pub fn angles<B: Backend>(&self, positions: &[usize], device: &B::Device) -> RotaryAngles<B> {
        let half = self.frequencies.len();
        let mut cos = Vec::with_capacity(positions.len() * half);
        let mut sin = Vec::with_capacity(positions.len() * half);
        for &position in positions {
            for &frequency in &self.frequencies {
                let (s, c) = f64::from(position as f32 * frequency).sin_cos();
                cos.push(c as f32);
                sin.push(s as f32);
            }
        }
        let table = |values| Tensor::from_data(TensorData::new(values, [positions.len(), half]), (device, DType::F32));
        RotaryAngles { cos: table(cos), sin: table(sin), layout: self.layout }
    }
}

/// `theta^-e` for exponents `e` spread over [0, 1), or over [0, 1] with the end point.
fn frequency_table(theta: f64, half: usize, spacing: RotaryFrequencies) -> Vec<f32> {
    let steps = match spacing {
        RotaryFrequencies::Standard => half,
        RotaryFrequencies::EndpointInclusive => (half - 1).max(1),
    };
    (0..half).map(|i| theta.powf(-(i as f64) / steps as f64) as f32).collect()
}

impl<B: Backend> RotaryAngles<B> {
    /// Rotates every head of every row.
    ///
    /// # Shapes
    /// - x: `[rows, heads * head_dim]`, cast to f32
    /// - output: `[rows, heads * head_dim]`, f32
    pub fn rotate(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        depthscale_kernels::rotate(x, &self.cos, &self.sin, self.layout)
    }

    /// The angles of some of the rows.
    pub fn select(&self, rows: &Tensor<B, 1, Int>) -> Self {
        let pick = |table: &Tensor<B, 2>| table.clone().select(0, rows.clone());
        Self { cos: pick(&self.cos), sin: pick(&self.sin), layout: self.layout }
    }
}

impl<B: AutodiffBackend> RotaryAngles<B> {
    /// The same on the backend without gradients.
    pub fn inner(&self) -> RotaryAngles<B::InnerBackend> {
        RotaryAngles { cos: self.cos.clone().inner(), sin: self.sin.clone().inner(), layout: self.layout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_by_hand() {
        // head_dim 8: exponents 0, 1/4, 2/4, 3/4 and, with the end point, 0, 1/3, 2/3, 1.
        let standard = frequency_table(10000.0, 4, RotaryFrequencies::Standard);
        assert_eq!(standard, [1.0, 0.1, 0.01, 0.001]);
        let inclusive = frequency_table(1000.0, 4, RotaryFrequencies::EndpointInclusive);
        assert_eq!(inclusive, [1.0, 0.1, 0.01, 0.001]);
        assert_eq!(frequency_table(1000.0, 1, RotaryFrequencies::EndpointInclusive), [1.0]);
        // Published values for head_dim 128 and theta 10000.
        let standard = frequency_table(10000.0, 64, RotaryFrequencies::Standard);
        let inclusive = frequency_table(10000.0, 64, RotaryFrequencies::EndpointInclusive);
        assert!((standard[1] - 0.86596).abs() < 1e-5 && (inclusive[1] - 0.86399).abs() < 1e-5);
        assert!((standard[63] - 1.1548e-4).abs() < 1e-8 && (inclusive[63] - 1e-4).abs() < 1e-9);
    }
}
