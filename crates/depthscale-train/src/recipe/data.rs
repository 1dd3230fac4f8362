//! `[data]`: what the model is trained on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::{Result, require, require_below_one, require_count, require_positive, require_share};

/// What the model is trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "DataKeys", try_from = "DataKeys")]
pub struct DataConfig {
    /// Where sequences come from: one of the keys `tasks`, `text` and `lines`. Required.
    pub source: DataSource,
    /// Most tokens of a sequence. Required.
    pub sequence: usize,
    /// Share of a task's problems that is never trained on, in [0, 1). Default 0.1.
    pub held_out_share: f64,
    /// Which problems those are; a seed of its own, so that runs of other seeds are evaluated on the same ones. Default 0.
    pub held_out_seed: u64,
    /// Whether a task's intermediate results are learnt beside its answers, each where the prompt settles it, and further
    /// questions about the same prompt; nothing that is held out is. Default false.
    pub hints: bool,
    /// Share of training over which the most difficult problem of a task rises from its min to its max, in (0, 1].
    /// Default: none, every difficulty from the first step on.
    pub difficulty_curriculum: Option<f64>,
}

/// Where sequences come from.
#[derive(Debug, Clone, PartialEq)]
pub enum DataSource {
    /// Key `tasks`: problems that are made up as training goes on.
    Tasks(Vec<TaskConfig>),
    /// Key `text`: files joined and cut into sequences.
    Text(FilesConfig),
    /// Key `lines`: files with one example a line.
    Lines(FilesConfig),
}

/// One task of a mixture. A task may come more than once, with difficulties and weights for a part of training each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// Its name. Required.
    pub task: String,
    /// The least difficulty, in the task's own measure. Required.
    pub min: usize,
    /// The greatest difficulty. Required.
    pub max: usize,
    /// Its part of the mixture, relative to the weights of the others. Default 1.
    #[serde(default = "TaskConfig::default_weight")]
    pub weight: f64,
    /// Share of training at which it comes in, in [0, 1). Default 0.
    #[serde(default, skip_serializing_if = "TaskConfig::is_default_begin")]
    pub begin: f64,
    /// Share of training at which it goes out, in (0, 1]. Default 1: it stays, and the model is evaluated on it.
    #[serde(default = "TaskConfig::default_end", skip_serializing_if = "TaskConfig::is_default_end")]
    pub end: f64,
}

/// Files of text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// The files. Required.
    pub files: Vec<PathBuf>,
    /// Share that is never trained on, in [0, 1). Default 0.01.
    #[serde(default = "FilesConfig::default_held_out")]
    pub held_out: f64,
}

/// The keys of the section.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DataKeys {
    sequence: usize,
    #[serde(default = "DataConfig::default_held_out_share")]
    held_out_share: f64,
    #[serde(default)]
    held_out_seed: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    hints: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    difficulty_curriculum: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tasks: Option<Vec<TaskConfig>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<FilesConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lines: Option<FilesConfig>,
}

impl TryFrom<DataKeys> for DataConfig {
    type Error = &'static str;

    fn try_from(keys: DataKeys) -> Result<Self, Self::Error> {
        let source = match (keys.tasks, keys.text, keys.lines) {
            (Some(tasks), None, None) => DataSource::Tasks(tasks),
            (None, Some(text), None) => DataSource::Text(text),
            (None, None, Some(lines)) => DataSource::Lines(lines),
            (None, None, None) => return Err("needs one of `tasks`, `text` and `lines`"),
            _ => return Err("needs one of `tasks`, `text` and `lines`, found more than one"),
        };
        Ok(Self {
            source,
            sequence: keys.sequence,
            held_out_share: keys.held_out_share,
            held_out_seed: keys.held_out_seed,
            hints: keys.hints,
            difficulty_curriculum: keys.difficulty_curriculum,
        })
    }
}

impl From<DataConfig> for DataKeys {
    fn from(data: DataConfig) -> Self {
        let (tasks, text, lines) = match data.source {
            DataSource::Tasks(tasks) => (Some(tasks), None, None),
            DataSource::Text(text) => (None, Some(text), None),
            DataSource::Lines(lines) => (None, None, Some(lines)),
        };
        Self {
            sequence: data.sequence,
            held_out_share: data.held_out_share,
            held_out_seed: data.held_out_seed,
            hints: data.hints,
            difficulty_curriculum: data.difficulty_curriculum,
            tasks,
            text,
            lines,
        }
    }
}

impl DataConfig {
    fn default_held_out_share() -> f64 {
        0.1
    }

    /// The share of the curriculum of difficulties that is over at `progress`, the share of training that is: at `x` of it no
    /// difficulty is beyond `min + ceil(x * (max - min))`. 1 where there is no curriculum.
    pub fn difficulty_progress(&self, progress: f64) -> f64 {
        self.difficulty_curriculum.map_or(1.0, |share| (progress / share).clamp(0.0, 1.0))
    }

    /// Checks every key; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        require_count("data.sequence", self.sequence, 2)?;
        require_below_one("data.held_out_share", self.held_out_share)?;
        let most = i64::MAX as u64;
        require(
            self.held_out_seed <= most,
            "data.held_out_seed",
            self.held_out_seed,
            format!("must be at most {most}"),
        )?;
        self.difficulty_curriculum.map_or(Ok(()), |share| require_share("data.difficulty_curriculum", share))?;
        let has_hints = matches!(self.source, DataSource::Tasks(_));
        require(has_hints || !self.hints, "data.hints", true, "must be false unless `data.tasks` are learnt")?;
        match &self.source {
            DataSource::Tasks(tasks) => {
                require(!tasks.is_empty(), "data.tasks", "empty", "needs at least one task")?;
                tasks.iter().enumerate().try_for_each(|(index, task)| task.validate(&format!("data.tasks.{index}")))?;
                // Only where one goes out, or at the start, can there be none.
                let ends = tasks.iter().map(|task| task.end).filter(|&share| share < 1.0);
                let idle = std::iter::once(0.0).chain(ends).find(|&share| !tasks.iter().any(|task| task.is_on(share)));
                idle.map_or(Ok(()), |share| {
                    let found = format!("no task from {share} of training on");
                    require(false, "data.tasks", found, "must leave no part of training without one")
                })
            }
            DataSource::Text(files) => files.validate("data.text"),
            DataSource::Lines(files) => files.validate("data.lines"),
        }
    }
}

impl TaskConfig {
    fn default_weight() -> f64 {
        1.0
    }

    fn default_end() -> f64 {
        1.0
    }

    fn is_default_begin(share: &f64) -> bool {
        *share == 0.0
    }

    fn is_default_end(share: &f64) -> bool {
        *share == Self::default_end()
    }

    /// Whether it is trained on after this share of training.
    pub fn is_on(&self, progress: f64) -> bool {
        self.begin <= progress && (progress < self.end || self.is_last())
    }

    /// Whether training ends with it.
    pub fn is_last(&self) -> bool {
        Self::is_default_end(&self.end)
    }

    fn validate(&self, key: &str) -> Result<()> {
        require(!self.task.is_empty(), format!("{key}.task"), "empty", "must be the name of a task")?;
        require_count(format!("{key}.max"), self.max, 0)?;
        let allowed = format!("must be at most max, which is {}", self.max);
        require(self.min <= self.max, format!("{key}.min"), self.min, allowed)?;
        require_positive(format!("{key}.weight"), self.weight)?;
        require_below_one(format!("{key}.begin"), self.begin)?;
        require_share(format!("{key}.end"), self.end)?;
        let allowed = format!("must be more than begin, which is {}", self.begin);
        require(self.begin < self.end, format!("{key}.end"), self.end, allowed)
    }
}

impl FilesConfig {
    fn default_held_out() -> f64 {
        0.01
    }

    fn validate(&self, key: &str) -> Result<()> {
        require(!self.files.is_empty(), format!("{key}.files"), "empty", "needs at least one file")?;
        require_below_one(format!("{key}.held_out"), self.held_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_come_and_go() {
        let task = |begin, end| TaskConfig { task: "sort".into(), min: 1, max: 2, weight: 1.0, begin, end };
        assert_eq!([0.0, 0.2, 0.3, 1.0].map(|x| task(0.2, 0.3).is_on(x)), [false, true, false, false]);
        assert!(task(0.2, 1.0).is_on(1.0));
        let data = |tasks| DataConfig {
            source: DataSource::Tasks(tasks),
            sequence: 64,
            held_out_share: 0.1,
            held_out_seed: 0,
            hints: false,
            difficulty_curriculum: None,
        };
        data(vec![task(0.0, 0.3), task(0.3, 1.0)]).validate().unwrap();
        for (tasks, message) in [
            (vec![task(0.1, 1.0)], "no task from 0 of training on"),
            (vec![task(0.0, 0.3), task(0.4, 1.0)], "no task from 0.3 of training on"),
            (vec![task(0.3, 0.3)], "must be more than begin, which is 0.3"),
            (vec![task(0.0, 1.5)], "data.tasks.0.end"),
        ] {
            let error = data(tasks).validate().unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_curriculum_of_difficulties_is_over_after_its_share() {
        let task = TaskConfig { task: "addition".into(), min: 2, max: 5, weight: 1.0, begin: 0.0, end: 1.0 };
        let data = |difficulty_curriculum| DataConfig {
            source: DataSource::Tasks(vec![task.clone()]),
            sequence: 64,
            held_out_share: 0.1,
            held_out_seed: 0,
            hints: false,
            difficulty_curriculum,
        };
        let half = data(Some(0.5));
        assert_eq!([0.0, 0.125, 0.5, 1.0].map(|x| half.difficulty_progress(x)), [0.0, 0.25, 1.0, 1.0]);
        assert_eq!(data(None).difficulty_progress(0.0), 1.0);
    }
}
