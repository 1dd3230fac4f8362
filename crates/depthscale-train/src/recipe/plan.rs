//! What the optimizer does with one parameter.

use super::optimizer::OptimizerConfig;
use super::pattern::NamePattern;

/// What the optimizer does with one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParameterPlan {
    /// Which rule trains it.
    pub method: Method,
    /// Its peak learning rate, which [`ScheduleConfig::factor`](super::ScheduleConfig::factor) scales.
    pub learning_rate: f64,
    /// Its decay: `w -= learning_rate * weight_decay * w`.
    pub weight_decay: f64,
}

/// The rules that train parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// AdamW.
    AdamW,
    /// Muon.
    Muon,
}

impl OptimizerConfig {
    /// What is done with the parameter `name`, whose shape has `dimensions` axes.
    ///
    /// Matrices that Muon is asked for go to Muon with its learning rate and decay. The rest go to AdamW, matrices with its
    /// decay and everything else without. The first group that matches then scales the learning rate and may set the decay.
    pub fn plan(&self, name: &str, dimensions: usize) -> ParameterPlan {
        let any = |patterns: &[NamePattern]| patterns.iter().any(|pattern| pattern.matches(name));
        let is_matrix = dimensions == 2;
        let mut plan = match &self.muon {
            Some(muon) if is_matrix && any(&muon.patterns) => ParameterPlan {
                method: Method::Muon,
                learning_rate: muon.learning_rate,
                weight_decay: muon.weight_decay,
            },
            _ => ParameterPlan {
                method: Method::AdamW,
                learning_rate: self.learning_rate,
                weight_decay: if is_matrix { self.weight_decay } else { 0.0 },
            },
        };
        if let Some(group) = self.groups.iter().find(|group| any(&group.patterns)) {
            plan.learning_rate *= group.learning_rate_scale;
            plan.weight_decay = group.weight_decay.unwrap_or(plan.weight_decay);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::super::optimizer::{GroupConfig, MuonConfig};
    use super::*;

    fn group(pattern: &str, learning_rate_scale: f64, weight_decay: Option<f64>) -> GroupConfig {
        GroupConfig { patterns: vec![pattern.parse().expect("a pattern")], learning_rate_scale, weight_decay }
    }

    #[test]
    fn matrices_decay_and_vectors_do_not() {
        let optimizer = OptimizerConfig::adamw(0.5);
        let plan = |weight_decay| ParameterPlan { method: Method::AdamW, learning_rate: 0.5, weight_decay };
        assert_eq!(optimizer.plan("core.0.mixer.query", 2), plan(0.1));
        assert_eq!(optimizer.plan("core.0.norm", 1), plan(0.0));
    }

    #[test]
    fn muon_takes_the_matrices_of_blocks() {
        let optimizer = OptimizerConfig { muon: Some(MuonConfig::default()), ..OptimizerConfig::adamw(0.5) };
        let muon = ParameterPlan { method: Method::Muon, learning_rate: 0.02, weight_decay: 0.1 };
        assert_eq!(optimizer.plan("core.0.mixer.query", 2), muon);
        assert_eq!(optimizer.plan("core.0.norm", 1).method, Method::AdamW);
        assert_eq!(optimizer.plan("embedding", 2).method, Method::AdamW);
        assert_eq!(optimizer.plan("head", 2).method, Method::AdamW);
    }

    #[test]
    fn the_first_group_that_matches_counts() {
        let groups = vec![group("core.0.*", 0.5, None), group("core.*", 0.25, Some(0.3))];
        let optimizer = OptimizerConfig { groups, ..OptimizerConfig::adamw(0.5) };
        let plan = |learning_rate, weight_decay| ParameterPlan { method: Method::AdamW, learning_rate, weight_decay };
        assert_eq!(optimizer.plan("core.0.mixer.query", 2), plan(0.25, 0.1));
        assert_eq!(optimizer.plan("core.1.norm", 1), plan(0.125, 0.3));
        assert_eq!(optimizer.plan("head", 2), plan(0.5, 0.1));
    }
}
