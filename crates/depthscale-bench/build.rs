//! Tells the crate what it is built from, so that results name it.

use std::path::Path;

use vergen_gitcl::{CargoBuilder, Emitter, GitclBuilder, RustcBuilder};

fn main() -> anyhow::Result<()> {
    // Whatever is edited beside this crate may make a clean tree a dirty one.
    for path in ["..", "../../Cargo.toml", "../../Cargo.lock"] {
        if Path::new(path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let cargo = CargoBuilder::default().target_triple(true).opt_level(true).build()?;
    let rustc = RustcBuilder::default().semver(true).build()?;
    let git = GitclBuilder::default().sha(false).dirty(false).build()?;
    // Without git, or outside a repository, the revision is left unknown.
    Emitter::default().add_instructions(&cargo)?.add_instructions(&rustc)?.add_instructions(&git)?.quiet().emit()
}
