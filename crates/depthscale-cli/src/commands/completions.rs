//! `depthscale completions`

use std::io::Write;

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, command: &mut clap::Command) -> anyhow::Result<()> {
    // Not straight to stdout: the generator panics where its reader goes away.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "depthscale", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}
