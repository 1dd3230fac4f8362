//! Where a run writes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Result, TrainError};

/// The directory of a run:
///
/// ```text
/// recipe.toml            the recipe as it is followed, defaults and overrides included
/// metrics.jsonl          one line for each logged step and each evaluation
/// checkpoints/step-N/    everything a resumed run needs; the newest few are kept
/// model/                 the weights to use, in the family's own layout, and the recipe, once training is done
/// text/                  tokenised text
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDirectory {
    /// Where it is.
    pub path: PathBuf,
}

/// The name of a recipe in a run's directory, and beside the model trained by it.
pub const RECIPE_FILE: &str = "recipe.toml";

/// What the names of checkpoints begin with.
const STEP: &str = "step-";

impl RunDirectory {
    /// A run's directory, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The recipe as it is followed.
    pub fn recipe(&self) -> PathBuf {
        self.path.join(RECIPE_FILE)
    }

    /// The log.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The weights to use.
    pub fn model(&self) -> PathBuf {
        self.path.join("model")
    }

    /// Tokenised text.
    pub fn text(&self) -> PathBuf {
        self.path.join("text")
    }

    /// The checkpoint of a step.
    pub fn checkpoint(&self, step: usize) -> PathBuf {
        self.checkpoints().join(format!("{STEP}{step:06}"))
    }

    fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Makes the directory and forgets what a killed run left half written.
    ///
    /// # Errors
    /// If it cannot be made or read.
    pub fn prepare(&self) -> Result<()> {
        let checkpoints = self.checkpoints();
        fs::create_dir_all(&checkpoints).map_err(TrainError::io(&checkpoints, "make the directory"))?;
        for entry in fs::read_dir(&checkpoints).map_err(TrainError::io(&checkpoints, "read"))?.flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(PARTIAL) {
                fs::remove_dir_all(entry.path()).map_err(TrainError::io(&entry.path(), "remove"))?;
            }
        }
        Ok(())
    }

    /// Whether a run has left something here.
    pub fn holds_a_run(&self) -> bool {
        !self.steps().is_empty() || self.metrics().exists() || self.model().exists()
    }

    /// The steps of its checkpoints, ascending.
    pub fn steps(&self) -> Vec<usize> {
        let entries = fs::read_dir(self.checkpoints()).into_iter().flatten().flatten();
        let step = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_prefix(STEP)?.parse().ok();
        let mut steps: Vec<usize> = entries.filter_map(step).collect();
        steps.sort_unstable();
        steps
    }

    /// Fills a checkpoint under a name of its own and gives it its real name in one step, so that it is there as a whole or
    /// not at all; then removes all but the newest `keep`. One that is there already is the same, and stays.
    ///
    /// # Errors
    /// If something cannot be written; the checkpoints there were are untouched.
    pub(super) fn publish(&self, step: usize, keep: usize, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let target = self.checkpoint(step);
        if target.exists() {
            return Ok(target);
        }
        let partial = self.checkpoints().join(format!("{PARTIAL}{step:06}"));
        let filled = fs::create_dir_all(&partial)
            .map_err(TrainError::io(&partial, "make the directory"))
            .and_then(|()| fill(&partial))
            .and_then(|()| fs::rename(&partial, &target).map_err(TrainError::io(&target, "name")))
            .and_then(|()| self.bring_names_to_disk());
        if let Err(error) = filled {
            // What was written is of no use; what went wrong is told either way.
            let _ = fs::remove_dir_all(&partial);
            return Err(error);
        }
        let steps = self.steps();
        for &old in &steps[..steps.len().saturating_sub(keep)] {
            let old = self.checkpoint(old);
            fs::remove_dir_all(&old).map_err(TrainError::io(&old, "remove"))?;
        }
        Ok(target)
    }

    /// Older checkpoints are removed only after the newest one's name is on disk.
    fn bring_names_to_disk(&self) -> Result<()> {
        // Elsewhere directories cannot be opened as files.
        if cfg!(unix) {
            let directory = self.checkpoints();
            fs::File::open(&directory)
                .and_then(|names| names.sync_all())
                .map_err(TrainError::io(&directory, "write"))?;
        }
        Ok(())
    }
}

/// What the names of checkpoints being written begin with.
const PARTIAL: &str = ".partial-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_a_failure_leaves_them_alone() {
        let scratch = tempfile::tempdir().expect("a directory");
        let run = RunDirectory::new(scratch.path());
        run.prepare().expect("made");
        let write = |text: &'static str| {
            move |path: &Path| fs::write(path.join("file"), text).map_err(TrainError::io(path, "write"))
        };
        for step in [5, 10, 15] {
            run.publish(step, 2, write("whole")).expect("written");
        }
        assert_eq!(run.steps(), [10, 15]);
        // Saved a second time at the same step, a run is what it was.
        run.publish(15, 2, write("again")).expect("written");
        assert_eq!(fs::read_to_string(run.checkpoint(15).join("file")).expect("there"), "whole");
        let full = |path: &Path| {
            fs::write(path.join("file"), "part").expect("written");
            Err(TrainError::io(path, "write")(std::io::ErrorKind::StorageFull.into()))
        };
        let error = run.publish(20, 2, full).expect_err("the disk is full").to_string();
        assert!(error.contains("cannot write") && error.contains("space"), "{error}");
        assert_eq!(run.steps(), [10, 15]);
        assert_eq!(fs::read_dir(run.checkpoints()).expect("there").count(), 2);
        // A killed run leaves a part, which the next one forgets.
        fs::create_dir(run.checkpoints().join(".partial-000020")).expect("made");
        run.prepare().expect("made");
        assert_eq!(fs::read_dir(run.checkpoints()).expect("there").count(), 2);
    }
}
