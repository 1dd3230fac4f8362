//! What of a recipe must not change when a run is resumed.

use serde::Serialize;

use super::config::TrainConfig;
use super::error::{RecipeError, Result};

/// The recipe without the sections that may change.
#[derive(Serialize)]
struct Fixed<'a> {
    seed: u64,
    averaging: &'a super::AveragingConfig,
    model: &'a super::ModelConfig,
    data: &'a super::DataConfig,
    batch: &'a super::BatchConfig,
    depth: &'a super::DepthConfig,
    loss: &'a super::LossConfig,
    optimizer: &'a super::OptimizerConfig,
    schedule: &'a super::ScheduleConfig,
}

impl TrainConfig {
    /// A number that two recipes share if a run of the one may be resumed with the other.
    ///
    /// `output` and `evaluation` may change: they do not touch the weights. So may `guard`, lest a run that it ended be lost. Everything else may not, the number of steps
    /// among it, since schedule and curricula are measured by it. The number is FNV-1a of 64 bits over the rest as compact
    /// JSON in the order of the fields; it does not depend on how a recipe was written, on the order of its keys or on
    /// whether defaults are spelled out.
    ///
    /// # Errors
    /// If a path is not Unicode.
    pub fn fingerprint(&self) -> Result<u64> {
        // Named one by one, so that a new section has to be decided about.
        let Self {
            seed,
            averaging,
            output: _,
            model,
            data,
            batch,
            depth,
            loss,
            optimizer,
            schedule,
            guard: _,
            evaluation: _,
        } = self;
        let fixed = Fixed { seed: *seed, averaging, model, data, batch, depth, loss, optimizer, schedule };
        let text =
            serde_json::to_vec(&fixed).map_err(|error| RecipeError::Unwritable { message: error.to_string() })?;
        Ok(fnv_1a(&text))
    }
}

/// FNV-1a: for each byte, exclusive or, then times the prime, modulo 2^64.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        seed = 3
        output = { directory = "run" }
        model = { config = "config.json" }
        data = { tasks = [{ task = "addition", min = 1, max = 4 }], sequence = 64 }
        batch = { sequences = 8 }
        depth = { mean = 4 }
        optimizer = { learning_rate = 1e-3 }
        schedule = { steps = 100 }
    "#;

    fn with(overrides: &[&str]) -> u64 {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        let config = TrainConfig::parse(TEXT, "test.toml", &overrides).expect("a recipe");
        config.fingerprint().expect("plain text")
    }

    #[test]
    fn the_hash_has_its_published_values() {
        // From the test vectors of the FNV authors.
        assert_eq!(fnv_1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn stays_the_same_from_release_to_release() {
        // FNV-1a, worked out apart from this code, of {"seed":3,"averaging":"none","model":{"config":"config.json",
        // "freeze":[]},"data":{"sequence":64,"held_out_share":0.1,"held_out_seed":0,"tasks":[{"task":"addition","min":1,
        // "max":4,"weight":1.0}]},"batch":{"sequences":8,"accumulate":1},"depth":{"distribution":"fixed","mean":4.0,
        // "min":1,"per":"batch","curriculum":{}},"loss":{"kind":"last-step","z_loss":0.0},"optimizer":
        // {"learning_rate":0.001,"weight_decay":0.1,"betas":[0.9,0.95],"epsilon":1e-8,"clip":1.0,"groups":[]},"schedule":
        // {"steps":100,"warmup":0,"kind":"constant"}}, without the line breaks.
        assert_eq!(with(&[]), 0xbb59_e792_2ac7_31da);
    }

    #[test]
    fn output_evaluation_and_guard_may_change() {
        assert_eq!(with(&["output.directory=elsewhere", "output.keep=1", "evaluation.every=7"]), with(&[]));
        assert_eq!(with(&["guard.most_skipped_in_a_row=9"]), with(&[]));
        // Spelling a default out changes nothing.
        assert_eq!(with(&["optimizer.clip=1", "loss.kind=last-step", "depth.curriculum={}"]), with(&[]));
    }

    #[test]
    fn nothing_else_may_change() {
        let changes = [
            "seed=4",
            "averaging=exponential",
            "model.config=other.json",
            "model.from=config.json",
            "data.sequence=65",
            "data.tasks.0.max=5",
            "batch.accumulate=2",
            "depth.mean=5",
            "loss.z_loss=1e-4",
            "optimizer.learning_rate=0.0010000001",
            "optimizer.clip=inf",
            "schedule.steps=101",
        ];
        let mut seen = vec![with(&[])];
        for change in changes {
            let print = with(&[change]);
            assert!(!seen.contains(&print), "{change}");
            seen.push(print);
        }
    }
}
