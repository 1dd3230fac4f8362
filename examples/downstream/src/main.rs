//! Adds two numbers with a looped language model on WGPU.
//!
//! `cargo run` here takes the small model of this repository; a directory after `--` takes another.

use std::path::PathBuf;

use depthscale::prelude::*;

/// What runs on the backend, whichever device it is on.
struct Ask(PathBuf);

impl BackendTask for Ask {
    type Output = depthscale::Result<Completion>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        LanguageModel::<B>::open(&self.0, &device)?.process_input("47+38=")
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let model = std::env::args_os().nth(1).map_or_else(|| here.join("../../fixtures/ouro-arith"), PathBuf::from);

    // What is not compiled in is an error that names the feature, not a panic.
    assert!(BackendKind::Flex.probe().is_err());

    let device = BackendKind::Wgpu { index: 0 }.probe()?;
    let completion = with_backend(device.kind, Ask(model))??;
    println!("47+38={} on {} ({})", completion.text, device.kind, device.name);
    println!("mean depth {:.2}", completion.depth.mean_depth());
    Ok(())
}
