//! Problems by number, from one side of the split.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{FollowUp, HeldOut, Hint, Problem, Side, TaskError, TaskKind, TaskMix};

/// How many problems are drawn before it is said that too few exist.
const TRIES: u32 = 10_000;

/// Draws problems from a mixture of tasks, all on one side of a split.
///
/// A problem is a function of the seed, the side and its number. So training can go on from any number, threads may
/// draw in any order, and both give the same problems.
#[derive(Clone, Debug)]
pub struct ProblemSampler {
    mixture: Vec<TaskMix>,
    held_out: HeldOut,
    side: Side,
    seed: u64,
}

/// What a random stream is for; streams of different purposes have nothing in common.
enum Purpose {
    Mixture,
    At(TaskKind, u32),
}

impl ProblemSampler {
    /// A sampler for this mixture.
    ///
    /// # Errors
    ///
    /// [`TaskError::EmptyMixture`], [`TaskError::Weight`], [`TaskError::EmptyDifficulties`],
    /// [`TaskError::DifficultyOutOfRange`] or [`TaskError::Share`].
    pub fn new(mixture: Vec<TaskMix>, held_out: HeldOut, side: Side, seed: u64) -> Result<Self, TaskError> {
        if mixture.is_empty() {
            return Err(TaskError::EmptyMixture);
        }
        mixture.iter().try_for_each(TaskMix::validate)?;
        held_out.validate()?;
        Ok(Self { mixture, held_out, side, seed })
    }

    /// Problem number `index` of the mixture.
    ///
    /// # Errors
    ///
    /// [`TaskError::Exhausted`] when the task has too few problems on this side of the split.
    pub fn problem(&self, index: u64) -> Result<Problem, TaskError> {
        self.problem_with(index, 1.0)
    }

    /// Problem number `index` of the mixture as a curriculum gives it: no difficulty is beyond the share `progress` of
    /// the way from the easiest to the hardest, rounded up. At 1 it is [`problem`](Self::problem).
    ///
    /// # Errors
    ///
    /// As [`problem`](Self::problem), and [`TaskError::Progress`] unless the progress is from 0 to 1.
    pub fn problem_with(&self, index: u64, progress: f64) -> Result<Problem, TaskError> {
        if !(0.0..=1.0).contains(&progress) {
            return Err(TaskError::Progress { progress });
        }
        let mut rng = self.stream(&Purpose::Mixture, index);
        let mix = self.choose(&mut rng);
        let difficulty = rng.random_range(mix.difficulties.up_to(progress));
        self.draw(mix.task, difficulty, &mut rng)
    }

    /// Problem number `index` of one task at one difficulty, whether the mixture has them or not.
    ///
    /// # Errors
    ///
    /// [`TaskError::DifficultyOutOfRange`], and as [`problem`](Self::problem).
    pub fn problem_at(&self, task: TaskKind, difficulty: u32, index: u64) -> Result<Problem, TaskError> {
        let mut rng = self.stream(&Purpose::At(task, difficulty), index);
        self.draw(task, difficulty, &mut rng)
    }

    /// The [hints](crate::Task::hints) of a problem that answer none of the other side.
    pub fn hints(&self, problem: &Problem) -> Vec<Hint> {
        let mut hints = problem.task.task().hints(problem);
        hints.retain(|hint| hint.answers.as_ref().is_none_or(|problem| self.held_out.side(problem) == self.side));
        hints
    }

    /// The [follow-ups](crate::Task::follow_ups) of a problem that are themselves on this sampler's side.
    pub fn follow_ups(&self, problem: &Problem) -> Vec<FollowUp> {
        let mut follow_ups = problem.task.task().follow_ups(problem);
        follow_ups.retain(|next| self.held_out.side(&next.problem) == self.side);
        follow_ups
    }

    /// One task of the mixture, by weight.
    fn choose(&self, rng: &mut ChaCha8Rng) -> TaskMix {
        let total: f64 = self.mixture.iter().map(|mix| mix.weight).sum();
        let mut place = rng.random::<f64>() * total;
        let chosen = self.mixture.iter().find(|mix| {
            place -= mix.weight;
            place < 0.0
        });
        // Rounding may leave a little beyond the last.
        *chosen.unwrap_or(&self.mixture[self.mixture.len() - 1])
    }

    /// Draws until a problem is on this sampler's side.
    fn draw(&self, kind: TaskKind, difficulty: u32, rng: &mut ChaCha8Rng) -> Result<Problem, TaskError> {
        let task = kind.task();
        for _ in 0..TRIES {
            let problem = task.sample(difficulty, rng)?;
            if self.held_out.side(&problem) == self.side {
                return Ok(problem);
            }
        }
        let wanted = match self.side {
            Side::Training => "on the training side",
            Side::HeldOut => "on the held-out side",
        };
        Err(TaskError::Exhausted { task: kind, difficulty, unit: task.difficulty_unit(), tries: TRIES, wanted })
    }

    /// The random stream of one problem: the seed, the number, the side and the purpose are the key of the cipher.
    fn stream(&self, purpose: &Purpose, index: u64) -> ChaCha8Rng {
        let side = match self.side {
            Side::Training => 0,
            Side::HeldOut => 1,
        };
        let (task, difficulty) = match *purpose {
            Purpose::Mixture => (0, 0),
            Purpose::At(task, difficulty) => (1 + task as u32, difficulty),
        };
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&index.to_le_bytes());
        key[16..20].copy_from_slice(&u32::to_le_bytes(side));
        key[20..24].copy_from_slice(&task.to_le_bytes());
        key[24..28].copy_from_slice(&difficulty.to_le_bytes());
        ChaCha8Rng::from_seed(key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SPLIT: HeldOut = HeldOut { seed: 1, share: 0.2 };

    fn sampler(side: Side) -> ProblemSampler {
        let mixture = vec![
            TaskMix { task: TaskKind::Addition, difficulties: (2..=6).into(), weight: 3.0 },
            TaskMix { task: TaskKind::PHop, difficulties: (1..=4).into(), weight: 1.0 },
        ];
        ProblemSampler::new(mixture, SPLIT, side, 42).unwrap()
    }

    #[test]
    fn tasks_come_by_weight_and_difficulties_evenly() {
        let sampler = sampler(Side::Training);
        let problems: Vec<Problem> = (0..4000).map(|i| sampler.problem(i).unwrap()).collect();
        let sums: Vec<&Problem> = problems.iter().filter(|problem| problem.task == TaskKind::Addition).collect();
        // 3 of 4, with a standard deviation of sqrt(4000 * 3/16) = 27.
        assert!(sums.len().abs_diff(3000) < 140, "{}", sums.len());
        for difficulty in 2..=6 {
            let n = sums.iter().filter(|problem| problem.difficulty == difficulty).count();
            assert!(n.abs_diff(600) < 140, "{n} sums of difficulty {difficulty}");
        }
    }

    #[test]
    fn a_problem_depends_on_seed_side_and_number_alone() {
        let training = sampler(Side::Training);
        assert_eq!(training.problem(7).unwrap(), training.clone().problem(7).unwrap());
        let reseeded = ProblemSampler { seed: 43, ..training.clone() };
        let held_out = sampler(Side::HeldOut);
        let distinct: BTreeSet<String> = [&training, &reseeded, &held_out]
            .into_iter()
            .flat_map(|sampler| (0..50).map(|i| sampler.problem_at(TaskKind::Reverse, 16, i).unwrap().prompt))
            .collect();
        assert_eq!(distinct.len(), 150);
    }

    #[test]
    fn a_curriculum_begins_with_the_easiest() {
        let sampler = sampler(Side::Training);
        for i in 0..200 {
            let first = sampler.problem_with(i, 0.0).unwrap();
            assert_eq!(first.difficulty, if first.task == TaskKind::Addition { 2 } else { 1 });
            assert!(sampler.problem_with(i, 0.5).unwrap().difficulty <= 4);
            assert_eq!(sampler.problem_with(i, 1.0).unwrap(), sampler.problem(i).unwrap());
        }
        assert!(matches!(sampler.problem_with(0, f64::NAN), Err(TaskError::Progress { .. })));
    }

    #[test]
    fn no_hint_gives_away_what_is_held_out() {
        let sampler = sampler(Side::Training);
        let problems = (0..400).map(|i| sampler.problem_at(TaskKind::PHop, 3, i).unwrap());
        let (mut kept, mut all) = (0, 0);
        for problem in problems {
            // A hint of the problem itself is on its side in any case.
            let answers = |hints: Vec<Hint>| {
                let parts = hints.into_iter().filter_map(|hint| hint.answers);
                parts.filter(|part| *part != problem).collect::<Vec<_>>()
            };
            let hints = answers(sampler.hints(&problem));
            assert!(hints.iter().all(|problem| !SPLIT.holds(problem)), "{}", problem.prompt);
            kept += hints.len();
            all += answers(problem.task.task().hints(&problem)).len();
        }
        // 0.8 of them, and hints of one prompt are not one problem.
        assert!((0.75..0.85).contains(&(kept as f64 / all as f64)), "{kept} of {all}");
    }

    #[test]
    fn too_few_problems_are_an_error_that_says_so() {
        let held_out = HeldOut { seed: 1, share: 0.0 };
        let sampler = ProblemSampler { held_out, ..sampler(Side::HeldOut) };
        let error = sampler.problem_at(TaskKind::Sort, 1, 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "sort: 10000 draws at difficulty 1 (digits) gave no problem on the held-out side; too few such problems exist"
        );
    }

    #[test]
    fn a_mixture_needs_a_task() {
        let error = ProblemSampler::new(Vec::new(), SPLIT, Side::Training, 0).unwrap_err();
        assert_eq!(error, TaskError::EmptyMixture);
    }
}
