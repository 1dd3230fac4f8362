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
use crate::recipe::{DataConfig, DataSource, TaskConfig, TrainConfig};

/// What is learnt from, as token sequences by index: example number `index` follows from the recipe alone, so that
/// training goes on wherever it was interrupted.
pub enum Examples {
    /// Problems of the synthetic tasks, in the fixed vocabulary of these tasks.
    Tasks {
        /// What draws problems that are not held out, from which share of training on, ascending.
        phases: Vec<(f64, ProblemSampler)>,
        /// The recipe's section.
        data: DataConfig,
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
                Ok(Self::Tasks { phases: phases(data, config.seed)?, data: data.clone() })
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

    /// Example number `index` to learn from, at a point of training from 0 to 1, which tasks and difficulties follow.
    ///
    /// # Errors
    /// If a problem is longer than the recipe allows, or too few of its difficulty exist.
    pub fn example(&self, index: u64, progress: f64) -> Result<Example> {
        match self {
            Self::Tasks { phases, data } => {
                let phase = phases.partition_point(|(begin, _)| *begin <= progress).saturating_sub(1);
                let sampler = &phases[phase].1;
                let problem = sampler.problem_with(index, data.difficulty_progress(progress))?;
                let sequence = sequence_of(&problem)?;
                let longest = data.sequence;
                if sequence.tokens.len() > longest {
                    let (found, prompt) = (sequence.tokens.len(), problem.prompt);
                    return Err(TrainError::TooLong { prompt, found, longest });
                }
                match data.hints {
                    true => with_hints(sampler, &problem, longest),
                    false => Ok(sequence.into()),
                }
            }
            Self::Corpus(corpus) => Ok(corpus.sequence(Side::Training, index)?.into()),
        }
    }

    /// That sequences are as long as the recipe allows. Problems are drawn as training goes on: this looks at many of the
    /// hardest of every phase.
    ///
    /// # Errors
    /// If one is longer.
    pub(crate) fn check_lengths(&self) -> Result<()> {
        const LOOKED_AT: u64 = 500;
        match self {
            Self::Tasks { phases, data } => {
                let hardest = DataConfig { difficulty_curriculum: None, ..data.clone() };
                let examples = Self::Tasks { phases: phases.clone(), data: hardest };
                let mut begins = phases.iter().map(|(begin, _)| *begin);
                begins.try_for_each(|begin| {
                    (0..LOOKED_AT).try_for_each(|index| examples.example(u64::MAX / 2 + index, begin).map(drop))
                })
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

/// The tasks that the training of a recipe ends with.
pub(crate) fn mixture(data: &DataConfig) -> Result<Vec<TaskMix>> {
    mixture_of(data, TaskConfig::is_last)
}

/// The tasks of a recipe of which `is_on` says so.
fn mixture_of(data: &DataConfig, is_on: impl Fn(&TaskConfig) -> bool) -> Result<Vec<TaskMix>> {
    let DataSource::Tasks(tasks) = &data.source else { return Err(TrainError::NoTasks) };
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let mix = |task: &TaskConfig| {
        let difficulties = Difficulties { min: number(task.min), max: number(task.max) };
        Ok(TaskMix { task: task.task.parse()?, difficulties, weight: task.weight })
    };
    tasks.iter().filter(|task| is_on(task)).map(mix).collect()
}

/// A sampler for every part of training between which tasks come or go, and the share of training from which on.
fn phases(data: &DataConfig, seed: u64) -> Result<Vec<(f64, ProblemSampler)>> {
    let DataSource::Tasks(tasks) = &data.source else { return Err(TrainError::NoTasks) };
    let mut begins: Vec<f64> =
        tasks.iter().flat_map(|task| [task.begin, task.end]).filter(|&share| share < 1.0).collect();
    begins.sort_by(f64::total_cmp);
    begins.dedup();
    let phase = |begin| {
        let mixture = mixture_of(data, |task| task.is_on(begin))?;
        Ok((begin, ProblemSampler::new(mixture, held_out(data), depthscale_tasks::Side::Training, seed)?))
    };
    begins.into_iter().map(phase).collect()
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

#[cfg(test)]
mod tests {
    use depthscale_tasks::{TaskKind, decode};

    use super::*;

    #[test]
    fn tasks_are_learnt_in_their_parts_of_training() {
        let text = "[output]\ndirectory = \"run\"\n[model]\nconfig = \"config.json\"\n[data]\nsequence = 64\n\
            tasks = [{ task = \"addition\", min = 1, max = 4, begin = 0.2 }, { task = \"sort\", min = 2, max = 2, end = 0.4 }]\n\
            [batch]\nsequences = 8\n[depth]\nmean = 2\n[optimizer]\nlearning_rate = 1e-3\n[schedule]\nsteps = 10\n";
        let config = TrainConfig::parse(text, "phases.toml", &[]).unwrap();
        let examples = Examples::open(&config, None, Path::new("."), &mut |_| {}).unwrap();
        examples.check_lengths().unwrap();
        let sorts = |progress| {
            let drawn = (0..100).map(|index| examples.example(index, progress).unwrap());
            drawn.filter(|example| decode(&example.tokens).unwrap().starts_with("\nsort")).count()
        };
        assert_eq!([0.0, 0.19, 0.4, 1.0].map(sorts), [100, 100, 0, 0]);
        assert!((20..80).contains(&sorts(0.2)), "{}", sorts(0.2));
        // A model is measured on what it has last learnt.
        let last: Vec<TaskKind> = mixture(&config.data).unwrap().iter().map(|mix| mix.task).collect();
        assert_eq!(last, [TaskKind::Addition]);
    }
}
