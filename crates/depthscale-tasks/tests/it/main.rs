//! What holds for every task.

mod problems;
mod prompts;
mod splits;
mod tokens;

use depthscale_tasks::{Problem, TaskKind};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Problems of every task and difficulty.
fn problems() -> impl Strategy<Value = Problem> {
    let difficulties = prop::sample::select(TaskKind::ALL.to_vec())
        .prop_flat_map(|kind| (Just(kind), kind.task().difficulties(), any::<u64>()));
    difficulties.prop_map(|(kind, difficulty, seed)| {
        kind.task().sample(difficulty, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap()
    })
}
