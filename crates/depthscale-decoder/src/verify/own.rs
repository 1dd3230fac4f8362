//! A decoder's own outputs, to compare the same model in another format with.

use burn::module::Module;
use burn::tensor::backend::Backend;
use depthscale_checkpoint::{StoredDtype, StoredTensor};

use crate::block::RecurrentBlock;
use crate::cache::{Phase, SequenceOptions};
use crate::decoder::RecurrentDecoder;
use crate::error::Result;
use crate::exit::ExitRule;
use crate::read::read;
use crate::run::{Feed, LogitRows, RunOptions};

/// What [`verify`](super::verify) compares with, from a decoder itself: `input_ids` of `[1, tokens]`, and `logits_steps_k` for
/// every depth up to the config's. Written into a file, it takes the place of a published implementation's outputs.
///
/// # Errors
/// If the decoder refuses the tokens.
pub fn own_outputs<B: Backend, K: Module<B> + RecurrentBlock<B>>(
    decoder: &RecurrentDecoder<B, K>,
    tokens: &[u32],
) -> Result<Vec<StoredTensor>> {
    let ids: Vec<u8> = tokens.iter().flat_map(|&token| i64::from(token).to_le_bytes()).collect();
    let (n, vocab_size) = (tokens.len(), decoder.config().vocab_size);
    let tensor = |name: String, shape: Vec<usize>, dtype, bytes: Vec<u8>| StoredTensor {
        name,
        shape,
        dtype,
        bytes: bytes.into(),
    };
    let mut outputs = vec![tensor("input_ids".into(), vec![1, n], StoredDtype::I64, ids)];
    for depth in 1..=decoder.config().depth {
        let rule = ExitRule::fixed(depth);
        let mut cache = decoder.new_sequence(SequenceOptions::default())?;
        let mut feeds =
            [Feed { cache: &mut cache, tokens, phase: Phase::Prompt, logits: LogitRows::All, initial_state: None }];
        let output = decoder.run(&mut feeds, &mut RunOptions::new(&rule))?;
        let logits = output.feeds.into_iter().find_map(|feed| feed.logits);
        let logits = read(logits.unwrap_or_else(|| unreachable!("they were asked for")))?;
        let bytes = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        outputs.push(tensor(format!("logits_steps_{depth}"), vec![1, n, vocab_size], StoredDtype::F32, bytes));
    }
    Ok(outputs)
}
