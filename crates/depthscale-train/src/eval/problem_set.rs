//! The held-out problems a model is measured on.

use std::collections::HashSet;
use std::path::Path;

use depthscale_corpus::{Corpus, Sequence, Side};
use depthscale_tasks::{HeldOut, ProblemSampler, TaskError, TaskKind, TaskMix};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::set_summary::{Counted, MissingReason, SkippedGroup};
use crate::data::{check_task_tokenizer, held_out, mixture, sequence_of};
use crate::error::{Result, TrainError};
use crate::recipe::DataConfig;

/// Held-out problems as token sequences, by task and difficulty; no problem is in it twice.
///
/// What counts as the same problem is what the held-out split goes by: the
/// [canonical form](depthscale_tasks::Task::canonical), for which `47+38=` is `38+47=`, and the prompt of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemSet {
    /// What accuracy counts.
    pub counted: Counted,
    /// How the problems were drawn; `None` for those of a corpus.
    pub draw: Option<ProblemDraw>,
    /// The tasks and difficulties that have problems here.
    pub groups: Vec<ProblemGroup>,
    /// The problems, group after group.
    pub problems: Vec<HeldOutProblem>,
    /// The tasks and difficulties that were asked for and have none.
    pub skipped: Vec<SkippedGroup>,
}

/// Problems of one task and one difficulty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProblemGroup {
    /// Name of the task; `lines` or `text` for a corpus.
    pub task: String,
    /// The difficulty in the task's own measure; 0 for a corpus.
    pub difficulty: u32,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOutProblem {
    /// Index of its group in [`ProblemSet::groups`].
    pub group: usize,
    /// Prompt and answer; the answer is what counts.
    pub sequence: Sequence,
    /// A text that is the same for sequences which are the same problem.
    pub identity: String,
}

/// Which problems of which tasks are drawn. Another seed draws others; sets that must not overlap are made so by
/// [`ProblemSet::apart`] or [`ProblemSet::without`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProblemDraw {
    /// The tasks and their difficulties; weights have no influence.
    pub mixture: Vec<TaskMix>,
    /// Which problems are held out.
    pub held_out: HeldOut,
    /// Problems drawn of each task and difficulty.
    pub problems: usize,
    /// Seed of the draw.
    pub seed: u64,
}

/// What the sequences of a corpus are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CorpusKind {
    /// Prompts with answers: an answer is right or not.
    Lines,
    /// Windows of plain text: only its tokens are.
    Text,
}

impl ProblemDraw {
    /// What a recipe trains on and holds out. Difficulties beyond it can be added to the mixture.
    ///
    /// # Errors
    /// If the recipe names no tasks, or one that is not known.
    pub fn of(data: &DataConfig, problems: usize, seed: u64) -> Result<Self> {
        Ok(Self { mixture: mixture(data)?, held_out: held_out(data), problems, seed })
    }
}

impl ProblemSet {
    /// Draws held-out problems of every task and difficulty of a mixture.
    ///
    /// Where few problems are held out the same ones are drawn again; they are dropped, so that a group may hold fewer
    /// than were asked for. Groups without any are listed in [`ProblemSet::skipped`].
    ///
    /// # Errors
    /// If the mixture is not valid, or no problem is held out at all.
    pub fn draw(draw: &ProblemDraw) -> Result<Self> {
        let sampler =
            ProblemSampler::new(draw.mixture.clone(), draw.held_out, depthscale_tasks::Side::HeldOut, draw.seed)?;
        let mut set = Self {
            counted: Counted::Problems,
            draw: Some(draw.clone()),
            groups: Vec::new(),
            problems: Vec::new(),
            skipped: Vec::new(),
        };
        for (task, difficulty) in tasks_and_difficulties(&draw.mixture) {
            let group = ProblemGroup { task: task.name().into(), difficulty };
            // Nothing is held out: the sampler would look for it thousands of times.
            let draws = if draw.held_out.share > 0.0 { draw.problems } else { 0 };
            let drawn = distinct(&sampler, draws, task, difficulty)?;
            set.add_group(group, drawn, MissingReason::NoneHeldOut);
        }
        set.require_some()
    }

    /// At most `problems` sequences of the held-out side of a corpus; where it has more, `seed` chooses.
    ///
    /// # Errors
    /// If nothing of the corpus is held out.
    pub fn of_corpus(corpus: &dyn Corpus, kind: CorpusKind, problems: usize, seed: u64) -> Result<Self> {
        let n = usize::try_from(corpus.len(Side::HeldOut)).unwrap_or(usize::MAX);
        let mut chosen: Vec<usize> = if n <= problems {
            (0..n).collect()
        } else {
            rand::seq::index::sample(&mut ChaCha8Rng::seed_from_u64(seed), n, problems).into_vec()
        };
        chosen.sort_unstable();
        let mut seen = HashSet::new();
        let mut drawn = Vec::new();
        for index in chosen {
            let sequence = corpus.sequence(Side::HeldOut, index as u64)?;
            let own = match kind {
                CorpusKind::Lines => &sequence.tokens[..sequence.learn_from],
                CorpusKind::Text => &sequence.tokens[..],
            };
            let identity = format!("{own:?}");
            if seen.insert(identity.clone()) {
                drawn.push((sequence, identity));
            }
        }
        let (task, counted) = match kind {
            CorpusKind::Lines => ("lines", Counted::Problems),
            CorpusKind::Text => ("text", Counted::Tokens),
        };
        let mut set = Self { counted, draw: None, groups: Vec::new(), problems: Vec::new(), skipped: Vec::new() };
        set.add_group(ProblemGroup { task: task.into(), difficulty: 0 }, drawn, MissingReason::NoneHeldOut);
        set.require_some()
    }

    /// That the tokenizer in a model's directory gives the characters of these problems the ids they have here, so that what
    /// is measured is the model and not a mix-up.
    ///
    /// # Errors
    /// If it gives others, or there is none.
    pub fn check_tokenizer(&self, model: &Path) -> Result<()> {
        let used: HashSet<u32> = self.problems.iter().flat_map(|problem| &problem.sequence.tokens).copied().collect();
        check_task_tokenizer(&model.join("tokenizer.json"), |id| used.contains(&id))
    }

    /// Number of problems.
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// Whether it holds no problem.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// That there is a problem to measure on.
    fn require_some(self) -> Result<Self> {
        if self.is_empty() { Err(TrainError::NothingToEvaluate) } else { Ok(self) }
    }

    pub(super) fn add_group(
        &mut self,
        group: ProblemGroup,
        problems: Vec<(Sequence, String)>,
        otherwise: MissingReason,
    ) {
        if problems.is_empty() {
            let ProblemGroup { task, difficulty } = group;
            self.skipped.push(SkippedGroup { task, difficulty, reason: otherwise });
            return;
        }
        let at = self.groups.len();
        self.groups.push(group);
        let problem = |(sequence, identity)| HeldOutProblem { group: at, sequence, identity };
        self.problems.extend(problems.into_iter().map(problem));
    }
}

/// Every task and difficulty of a mixture once, in its order.
fn tasks_and_difficulties(mixture: &[TaskMix]) -> Vec<(TaskKind, u32)> {
    let mut seen = HashSet::new();
    let each = |mix: &TaskMix| (mix.difficulties.min..=mix.difficulties.max).map(move |at| (mix.task, at)).collect();
    let all: Vec<Vec<(TaskKind, u32)>> = mixture.iter().map(each).collect();
    all.concat().into_iter().filter(|group| seen.insert(*group)).collect()
}

/// The distinct ones among so many draws. Once thousands of tries give no held-out problem no more are looked for.
fn distinct(
    sampler: &ProblemSampler,
    draws: usize,
    task: TaskKind,
    difficulty: u32,
) -> Result<Vec<(Sequence, String)>> {
    let mut seen = HashSet::new();
    let mut drawn = Vec::new();
    for index in 0..draws as u64 {
        let problem = match sampler.problem_at(task, difficulty, index) {
            Ok(problem) => problem,
            Err(TaskError::Exhausted { .. }) => break,
            Err(error) => return Err(error.into()),
        };
        let identity = format!("{task} {}", task.task().canonical(&problem));
        if seen.insert(identity.clone()) {
            drawn.push((sequence_of(&problem)?, identity));
        }
    }
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(problems: usize, seed: u64) -> ProblemDraw {
        let mixture = vec![TaskMix { task: TaskKind::Addition, difficulties: (1..=2).into(), weight: 1.0 }];
        ProblemDraw { mixture, held_out: HeldOut { seed: 0, share: 0.1 }, problems, seed }
    }

    #[test]
    fn every_difficulty_has_its_own_distinct_problems() {
        let set = ProblemSet::draw(&sums(200, 1)).expect("draws");
        let of = |group| set.problems.iter().filter(|problem| problem.group == group).count();
        // Of one digit there are 55 sums; about a tenth of them is held out.
        assert!((1..=15).contains(&of(0)), "{}", of(0));
        assert!(of(1) > 100, "{}", of(1));
        let identities: HashSet<&str> = set.problems.iter().map(|problem| problem.identity.as_str()).collect();
        assert_eq!(identities.len(), set.len());
        let summary = set.summary();
        assert_eq!(summary.groups.iter().map(|group| group.problems).collect::<Vec<_>>(), [of(0), of(1)]);
        assert_eq!(summary.problems, set.len());
    }

    #[test]
    fn without_held_out_problems_there_is_nothing_to_evaluate() {
        let draw = ProblemDraw { held_out: HeldOut { seed: 0, share: 0.0 }, ..sums(5, 1) };
        assert!(matches!(ProblemSet::draw(&draw), Err(TrainError::NothingToEvaluate)));
        // Of 100 sums of one digit a ten thousandth: none, where sums of three digits have some.
        let mixture = vec![TaskMix { task: TaskKind::Addition, difficulties: (1..=3).into(), weight: 1.0 }];
        let set = ProblemSet::draw(&ProblemDraw { mixture, held_out: HeldOut { seed: 0, share: 1e-3 }, ..sums(3, 1) });
        let set = set.expect("some are held out");
        assert!(
            set.skipped.iter().any(|skipped| skipped.difficulty == 1 && skipped.reason == MissingReason::NoneHeldOut)
        );
        assert!(set.groups.iter().any(|group| group.difficulty == 3));
    }
}
