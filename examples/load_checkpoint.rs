//! Opening a published checkpoint: what it is, what it costs, its logits, and saving it again.
//!
//! `cargo run -p depthscale-examples --example load_checkpoint [DIRECTORY]`

use std::path::PathBuf;

use depthscale::checkpoint::Overwrite;
use depthscale::decoder::{ExitRule, Feed, LogitRows, Phase, RunOptions, SequenceOptions};
use depthscale::prelude::*;
use depthscale::types::CacheDtype;

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).map_or_else(depthscale_examples::model_directory, PathBuf::from);

    // Opening reads the config and the names of the tensors; a wrong or missing one is an error here.
    let directory = ModelDirectory::open(&path)?;
    let config = directory.config();
    println!("{}, {} parameters, {} steps", config.family, config.parameter_count(), config.depth);
    for retention in KvRetention::ALL {
        match retention.validate(config) {
            Ok(()) => {
                let bytes = config.cache_bytes_per_token(retention, config.depth, CacheDtype::F32);
                println!("  {retention}: {bytes} bytes of keys and values per token");
            }
            Err(error) => println!("  {error}"),
        }
    }

    // Loading reads the weights.
    let decoder = directory.load::<Flex>(&Default::default(), &mut |_| {})?;
    let rule = ExitRule::fixed(config.depth);
    let mut cache = decoder.new_sequence(SequenceOptions::default())?;
    let mut feeds = [Feed {
        cache: &mut cache,
        tokens: &[1, 2, 3],
        phase: Phase::Prompt,
        logits: LogitRows::All,
        initial_state: None,
    }];
    let output = decoder.run(&mut feeds, &mut RunOptions::new(&rule))?;
    if let Some(logits) = &output.feeds[0].logits {
        println!("logits of three tokens: {:?}, largest {:.3}", logits.dims(), logits.clone().max().into_scalar());
    }

    // The same layout, bit for bit.
    let copy = tempfile::tempdir()?;
    directory.save(&decoder, copy.path(), Overwrite::No)?;
    println!("saved: {} parameters", ModelDirectory::open(copy.path())?.config().parameter_count());
    Ok(())
}
