//! Where examples come from.

use std::path::{Path, PathBuf};

use depthscale_corpus::{Corpus, CorpusTokenizer, Lines, PackedText, Progress, Sequence, Side, Split};
use depthscale_tasks::{
    Difficulties, HeldOut, NEWLINE_ID, Problem, ProblemSampler, TaskMix, VOCAB_SIZE, encode_problem, tokenizer_json,
    vocabulary,
};
use depthscale_text::{EndTokens, HUGINN_END_MARKERS, OURO_END_MARKERS};

use super::batch::Example;
use super::hints::with_hints;
use crate::error::{Result, TrainError};
use crate::recipe::{DataConfig, DataSource, TrainConfig};

/// What is learnt from, as token sequences by index: example number `index` follows from the recipe alone, so that
/// training goes on wherever it was interrupted.
pub enum Examples {
    /// Problems of the synthetic tasks, in the fixed vocabulary of these tasks.
    Tasks {
        /// Draws problems that are not held out.
        sampler: ProblemSampler,
        /// Most tokens of a sequence.
        longest: usize,
        /// Whether intermediate results and further questions are learnt as well.
        hints: bool,
    },
    /// Text, or prompts with answers, through the model's tokenizer.
    Corpus(Box<dyn Corpus + Send + Sync>),
}

impl Examples {
    /// Opens what a recipe learns from. `model` is the directory that may hold a tokenizer, and `cache` where tokenised text is
    /// kept; `progress` is told how far tokenising is.
    ///
    /// # Errors
    /// If a task is not known, a file cannot be read, is empty or malformed, or there is no tokenizer for text.
    pub fn open(
        config: &TrainConfig,
        model: Option<&Path>,
        cache: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self> {
        let data = &config.data;
        let tokenizer = || open_tokenizer(config.model.tokenizer.as_deref(), model);
        match &data.source {
            DataSource::Tasks(_) => {
                if let Some(path) = tokenizer_path(config.model.tokenizer.as_deref(), model) {
                    check_task_tokenizer(&path, |_| true)?;
                }
                Ok(Self::Tasks {
                    sampler: ProblemSampler::new(
                        mixture(data)?,
                        held_out(data),
                        depthscale_tasks::Side::Training,
                        config.seed,
                    )?,
                    longest: data.sequence,
                    hints: data.hints,
                })
            }
            DataSource::Text(files) => {
                let (tokenizer, end_token) = tokenizer()?;
                std::fs::create_dir_all(cache).map_err(TrainError::io(cache, "make the directory"))?;
                let text = PackedText::open_or_build(&files.files, &tokenizer, end_token, cache, progress)?;
                let split = Split { held_out: files.held_out, seed: config.seed };
                Ok(Self::Corpus(Box::new(text.windows(data.sequence, split)?)))
            }
            DataSource::Lines(files) => {
                let (tokenizer, end_token) = tokenizer()?;
                let lines = Lines::open(&files.files, &tokenizer, end_token, data.sequence, progress)?;
                Ok(Self::Corpus(Box::new(lines.pairs(Split { held_out: files.held_out, seed: config.seed })?)))
            }
        }
    }

    /// Example number `index` to learn from, at a point of training from 0 to 1, which a curriculum of difficulties follows.
    ///
    /// # Errors
    /// If a problem is longer than the recipe allows, or too few of its difficulty exist.
    pub fn example(&self, index: u64, progress: f64) -> Result<Example> {
        match self {
            Self::Tasks { sampler, longest, hints } => {
                let problem = sampler.problem_with(index, progress)?;
                let sequence = sequence_of(&problem)?;
                if sequence.tokens.len() > *longest {
                    let (found, prompt) = (sequence.tokens.len(), problem.prompt);
                    return Err(TrainError::TooLong { prompt, found, longest: *longest });
                }
                match hints {
                    true => with_hints(sampler, &problem, *longest),
                    false => Ok(sequence.into()),
                }
            }
            Self::Corpus(corpus) => Ok(corpus.sequence(Side::Training, index)?.into()),
        }
    }

    /// That sequences are as long as the recipe allows. Problems are drawn as training goes on: this looks at many of the
    /// hardest.
    ///
    /// # Errors
    /// If one is longer.
    pub(crate) fn check_lengths(&self) -> Result<()> {
        const LOOKED_AT: u64 = 500;
        match self {
            Self::Tasks { .. } => {
                (0..LOOKED_AT).try_for_each(|index| self.example(u64::MAX / 2 + index, 1.0).map(drop))
            }
            // A corpus was cut or checked when it was opened.
            Self::Corpus(_) => Ok(()),
        }
    }

    /// That a model knows every token.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_vocabulary(&self, vocab_size: usize) -> Result<()> {
        match self {
            Self::Tasks { .. } if vocab_size < VOCAB_SIZE => {
                Err(TrainError::TaskVocabulary { needed: VOCAB_SIZE, vocab_size })
            }
            Self::Tasks { .. } => Ok(()),
            Self::Corpus(corpus) => Ok(corpus.check_vocabulary(vocab_size)?),
        }
    }
}

/// A problem as a sequence of which the answer and its end are learnt.
pub(crate) fn sequence_of(problem: &Problem) -> Result<Sequence> {
    let encoded = encode_problem(problem)?;
    let learn_from = encoded.prompt.len();
    Ok(Sequence { tokens: [encoded.prompt, encoded.answer].concat(), learn_from })
}

/// The tasks of a recipe.
pub(crate) fn mixture(data: &DataConfig) -> Result<Vec<TaskMix>> {
    let DataSource::Tasks(tasks) = &data.source else { return Err(TrainError::NoTasks) };
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let mix = |task: &crate::recipe::TaskConfig| {
        let difficulties = Difficulties { min: number(task.min), max: number(task.max) };
        Ok(TaskMix { task: task.task.parse()?, difficulties, weight: task.weight })
    };
    tasks.iter().map(mix).collect()
}

/// Which problems a recipe never learns from.
pub(crate) fn held_out(data: &DataConfig) -> HeldOut {
    HeldOut { seed: data.held_out_seed, share: data.held_out_share }
}

/// The files that go beside a model trained by a recipe, by their names: its tokenizer, and what says how its texts end and
/// how its chats look.
pub(crate) fn text_files(config: &TrainConfig, model: Option<&Path>) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let Some(tokenizer) = tokenizer_path(config.model.tokenizer.as_deref(), model) else {
        // The tasks have a vocabulary of their own, in which a newline ends an answer.
        let ends = format!("{{\"eos_token_id\": {NEWLINE_ID}}}\n");
        let own = vec![(TOKENIZER, tokenizer_json().into_bytes()), ("generation_config.json", ends.into_bytes())];
        return Ok(if matches!(config.data.source, DataSource::Tasks(_)) { own } else { Vec::new() });
    };
    let directory = tokenizer.parent().map(PathBuf::from).unwrap_or_default();
    let beside = BESIDE.into_iter().map(|name| (name, directory.join(name))).filter(|(_, path)| path.exists());
    let read = |(name, path): (&'static str, PathBuf)| {
        std::fs::read(&path).map(|bytes| (name, bytes)).map_err(TrainError::io(&path, "read"))
    };
    std::iter::once((TOKENIZER, tokenizer)).chain(beside).map(read).collect()
}

const TOKENIZER: &str = "tokenizer.json";

/// What may lie beside a tokenizer and belongs to it.
const BESIDE: [&str; 4] =
    ["generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];

/// The tokenizer file of a recipe: the one it names, by itself or by its directory, or that of the checkpoint.
fn tokenizer_path(named: Option<&Path>, model: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(path) if path.is_dir() => Some(path.join(TOKENIZER)),
        Some(path) => Some(path.to_path_buf()),
        None => model.map(|model| model.join(TOKENIZER)).filter(|path| path.exists()),
    }
}

/// That a tokenizer gives characters of the tasks the ids that they have there: all, or those whose ids are used.
pub(crate) fn check_task_tokenizer(path: &Path, is_used: impl Fn(u32) -> bool) -> Result<()> {
    let json = std::fs::read(path).map_err(TrainError::io(path, "read the tokenizer"))?;
    let tokenizer = CorpusTokenizer::from_bytes(&json, path)?;
    for (&character, id) in vocabulary().iter().zip(1..).filter(|(_, id)| is_used(*id)) {
        let found = tokenizer.text().encode_plain(character.encode_utf8(&mut [0; 4]));
        if found.ok().as_deref() != Some(&[id]) {
            return Err(TrainError::TaskTokenizer { path: path.to_path_buf(), character, id });
        }
    }
    Ok(())
}

/// The tokenizer and the token that ends a text.
fn open_tokenizer(named: Option<&Path>, model: Option<&Path>) -> Result<(CorpusTokenizer, Option<u32>)> {
    let Some(path) = tokenizer_path(named, model) else { return Err(TrainError::NoTokenizer) };
    let directory = path.parent().map(PathBuf::from).unwrap_or_default();
    let json = std::fs::read(&path).map_err(TrainError::io(&path, "read the tokenizer"))?;
    let tokenizer = CorpusTokenizer::from_bytes(&json, &path)?;
    let markers = [OURO_END_MARKERS, HUGINN_END_MARKERS].concat();
    let end = EndTokens::resolve(&directory, &markers, tokenizer.text())?.iter().next();
    Ok((tokenizer, end))
}
