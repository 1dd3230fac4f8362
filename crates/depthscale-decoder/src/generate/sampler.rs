//! Drawing a token from logits, on the host.

use depthscale_types::SamplingParams;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws tokens for one request. The draws depend on the seed and the request's id alone.
#[derive(Debug, Clone)]
pub struct Sampler {
    params: SamplingParams,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// A sampler for a request; parameters are taken as valid.
    pub fn new(params: &SamplingParams, request: u64) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&params.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&request.to_le_bytes());
        // A domain of its own: initial states are drawn from the same seed and id.
        seed[24..].copy_from_slice(b"sampling");
        Self { params: params.clone(), rng: ChaCha8Rng::from_seed(seed) }
    }

    /// Draws a token from the logits of `vocab_size` tokens, `seen` being those already present.
    ///
    /// # Panics
    /// If there are no logits.
    pub fn sample(&mut self, mut logits: Vec<f32>, seen: &[u32]) -> u32 {
        self.penalise(&mut logits, seen);
        if self.params.is_greedy() {
            return most_likely(&logits);
        }
        let mut candidates = self.candidates(&logits);
        self.cut_top_p(&mut candidates);
        let total: f32 = candidates.iter().map(|(_, p)| p).sum();
        let mut left = self.rng.random::<f32>() * total;
        for (token, p) in &candidates {
            left -= p;
            if left < 0.0 {
                return *token;
            }
        }
        candidates[candidates.len() - 1].0
    }

    fn penalise(&self, logits: &mut [f32], seen: &[u32]) {
        let penalty = self.params.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        let mut done = vec![false; logits.len()];
        for &token in seen {
            let token = token as usize;
            if token < logits.len() && !std::mem::replace(&mut done[token], true) {
                let logit = &mut logits[token];
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    /// Tokens that pass top-k and min-p with their probabilities among the top-k, most likely first.
    fn candidates(&self, logits: &[f32]) -> Vec<(u32, f32)> {
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let by_logit = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        if let Some(top_k) = self.params.top_k
            && top_k < order.len()
        {
            order.select_nth_unstable_by(top_k - 1, by_logit);
            order.truncate(top_k);
        }
        order.sort_unstable_by(by_logit);
        let largest = logits[order[0] as usize];
        let weight = |token: u32| ((logits[token as usize] - largest) / self.params.temperature).exp();
        let mut candidates: Vec<(u32, f32)> = order.into_iter().map(|token| (token, weight(token))).collect();
        // The largest weight is 1, so min-p is a bound on the weights; the order makes it a prefix.
        let kept = candidates.partition_point(|(_, weight)| *weight >= self.params.min_p);
        let total: f32 = candidates.iter().map(|(_, weight)| weight).sum();
        candidates.truncate(kept.max(1));
        candidates.iter_mut().for_each(|(_, weight)| *weight /= total);
        candidates
    }

    /// Keeps the shortest prefix whose probability reaches top-p.
    fn cut_top_p(&self, candidates: &mut Vec<(u32, f32)>) {
        if self.params.top_p >= 1.0 {
            return;
        }
        let mut sum = 0.0;
        let reached = candidates.iter().position(|(_, p)| {
            sum += p;
            sum >= self.params.top_p
        });
        if let Some(last) = reached {
            candidates.truncate(last + 1);
        }
    }
}

/// The index of the largest value, the first of several.
fn most_likely(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits of the given probabilities.
    fn logits(p: &[f32]) -> Vec<f32> {
        p.iter().map(|p| p.ln()).collect()
    }

    fn shares(params: &SamplingParams, p: &[f32]) -> Vec<f32> {
        const DRAWS: usize = 20_000;
        let mut sampler = Sampler::new(params, 3);
        let mut counts = vec![0; p.len()];
        for _ in 0..DRAWS {
            counts[sampler.sample(logits(p), &[]) as usize] += 1;
        }
        counts.into_iter().map(|count| count as f32 / DRAWS as f32).collect()
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.015), "{found:?} for {expected:?}");
    }

    const P: [f32; 4] = [0.1, 0.4, 0.3, 0.2];

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        let mut sampler = Sampler::new(&SamplingParams::default(), 0);
        assert_eq!(sampler.sample(vec![1.0, 5.0, 5.0], &[]), 1);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let params = SamplingParams { temperature: 1.0, ..SamplingParams::default() };
        close(&shares(&params, &P), &P);
        // Half the temperature squares them: 1, 16, 9, 4 of 30.
        let params = SamplingParams { temperature: 0.5, ..params };
        close(&shares(&params, &P), &[1. / 30., 16. / 30., 9. / 30., 4. / 30.]);
    }

    #[test]
    fn filters_keep_what_they_say() {
        let params = SamplingParams { temperature: 1.0, ..SamplingParams::default() };
        close(&shares(&SamplingParams { top_k: Some(2), ..params.clone() }, &P), &[0., 4. / 7., 3. / 7., 0.]);
        close(&shares(&SamplingParams { top_p: 0.75, ..params.clone() }, &P), &[0., 4. / 9., 3. / 9., 2. / 9.]);
        close(&shares(&SamplingParams { top_p: 0.01, ..params.clone() }, &P), &[0., 1., 0., 0.]);
        // At least 0.6 of the largest, 0.4: 0.24 and more.
        close(&shares(&SamplingParams { min_p: 0.6, ..params }, &P), &[0., 4. / 7., 3. / 7., 0.]);
    }

    #[test]
    fn repetition_is_penalised_once_a_token() {
        let params = SamplingParams { repetition_penalty: 2.0, ..SamplingParams::default() };
        let mut sampler = Sampler::new(&params, 0);
        // 5 / 2 is below 3; twice in the past counts once, or 3 / 4 would be below 1.
        assert_eq!(sampler.sample(vec![1.0, 5.0, 3.0], &[1]), 2);
        assert_eq!(sampler.sample(vec![1.0, 5.0, 3.0], &[1, 2, 2]), 1);
        // Negative logits are multiplied: -1 becomes -2.
        assert_eq!(sampler.sample(vec![-1.0, -1.5], &[0]), 1);
    }

    #[test]
    fn the_seed_and_the_request_decide() {
        let draw = |seed, request| {
            let params = SamplingParams { temperature: 1.0, seed, ..SamplingParams::default() };
            let mut sampler = Sampler::new(&params, request);
            (0..20).map(|_| sampler.sample(logits(&P), &[])).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(2, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
    }
}
