//! Memory under each retention policy.

use depthscale::prelude::{KvRetention, MemoryReport};
use depthscale::types::{DecoderConfig, Error, MemoryQuery};

/// What a retention policy needs.
#[derive(Debug)]
pub(super) struct Retained {
    pub(super) policy: KvRetention,
    /// Bytes of cache a further token takes and the memory of the whole run; or why the model cannot use the policy.
    pub(super) needs: Result<(u64, MemoryReport), String>,
}

pub(super) fn memory_under_each_policy(config: &DecoderConfig, query: &MemoryQuery) -> Vec<Retained> {
    let needs = |policy: KvRetention| {
        policy.validate(config).map_err(why)?;
        let per_token = config.cache_bytes_per_token(policy, query.depth, query.caches);
        Ok((per_token, config.predict_memory(&MemoryQuery { retention: policy, ..*query })))
    };
    KvRetention::ALL.into_iter().map(|policy| Retained { policy, needs: needs(policy) }).collect()
}

/// The policy is named beside it already.
fn why(error: Error) -> String {
    match error {
        Error::Conflict { second, why, .. } => format!("{second}: {why}"),
        other => other.to_string(),
    }
}
