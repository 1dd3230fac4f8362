//! `depthscale solve`

mod answer;
mod print;

use clap::{ArgGroup, Args};
use depthscale::backends::{Backend, BackendTask, Device};
use depthscale::decoder::ModelDirectory;
use depthscale::prelude::*;
use depthscale_tasks::{Difficulties, Problem, ProblemSampler, Side, TaskKind, TaskMix, identify};

use crate::arguments::{ExitArguments, ModelArguments, OpenedModel, held_out_of, run_on, tasks_of};
use crate::failure::{Usage, warn};
use crate::progress::Verbosity;
use answer::Answer;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("input").required(true))]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,

    /// The problem, such as "47+38=" or "?b=" after its assignments
    #[arg(value_name = "PROBLEM", group = "input", allow_hyphen_values = true)]
    problem: Option<String>,

    /// Draw problems of this task, of those that training has never seen
    #[arg(long, value_name = "TASK", group = "input")]
    task: Option<TaskKind>,

    /// How many to draw
    #[arg(
        long, value_name = "N", default_value_t = 1, conflicts_with = "problem",
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    random: u32,

    /// How hard they are; without it, as hard as those of the recipe beside the model, or any
    #[arg(long, value_name = "N", conflicts_with = "problem")]
    difficulty: Option<u32>,

    /// Seed of the draw
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "problem")]
    seed: u64,

    /// Take every step, and show each token's hypothesis after each
    #[arg(long, conflicts_with = "exit")]
    all_depths: bool,

    /// Print one JSON object a problem
    #[arg(long)]
    json: bool,

    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_new_tokens: u32,

    #[command(flatten)]
    exit: ExitArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    arguments.exit.check()?;
    let directory = arguments.model.open()?;
    let policy = arguments.policy(&directory)?;
    let questions = arguments.questions(&directory)?;
    let max_depth = policy.max_steps.unwrap_or(directory.config().depth);
    let device = arguments.model.backend.device(&directory)?;
    let max_new_tokens = arguments.max_new_tokens as usize;
    let task = Solve { directory: &directory, device: &device, questions, policy, max_new_tokens };
    let answers = run_on(&device, task)?;
    match arguments.json {
        true => print::json(&answers)?,
        false => print::people(&answers, max_depth)?,
    }
    Ok(())
}

/// A problem to be put to the model, with its solution where it is known.
#[derive(Debug, Clone)]
struct Question {
    prompt: String,
    problem: Option<Problem>,
}

impl Arguments {
    fn policy(&self, directory: &ModelDirectory) -> anyhow::Result<ExitPolicy> {
        let policy = self.exit.resolve(directory.exit())?;
        let config = directory.config();
        policy.validate_for(config)?;
        // Every step is taken where nothing is ever satisfied.
        Ok(if self.all_depths { ExitPolicy::fixed(policy.max_steps.unwrap_or(config.depth)) } else { policy })
    }

    fn questions(&self, directory: &OpenedModel) -> anyhow::Result<Vec<Question>> {
        let verbosity = self.model.backend.verbosity();
        let Some(task) = self.task else {
            let prompt = self.problem.clone().unwrap_or_default();
            if prompt.is_empty() {
                return Err(Usage::new("the problem is empty").into());
            }
            directory.check_text(&prompt)?;
            let problem = identify(&prompt);
            if let Some(problem) = &problem {
                warn_of_unlearnt(problem.task, problem.difficulty, &tasks_of(directory), verbosity);
            }
            return Ok(vec![Question { problem, prompt }]);
        };
        let (held_out, mixture) = held_out_of(directory, verbosity)?;
        let own = mixture.iter().find(|mix| mix.task == task).map(|mix| mix.difficulties);
        let difficulties = match self.difficulty {
            Some(difficulty) => Difficulties { min: difficulty, max: difficulty },
            None => own.unwrap_or_else(|| task.task().difficulties().into()),
        };
        warn_of_unlearnt(task, difficulties.max, &mixture, verbosity);
        let mix = TaskMix { task, difficulties, weight: 1.0 };
        let usage = |error: depthscale_tasks::TaskError| Usage::new(error);
        let sampler = ProblemSampler::new(vec![mix], held_out, Side::HeldOut, self.seed).map_err(usage)?;
        let question = |index| {
            let problem = sampler.problem(index).map_err(usage)?;
            Ok(Question { prompt: problem.prompt.clone(), problem: Some(problem) })
        };
        (0..u64::from(self.random)).map(question).collect()
    }
}

/// Tells where a model was trained on other tasks, or on easier problems.
fn warn_of_unlearnt(task: TaskKind, difficulty: u32, learnt: &[TaskMix], verbosity: Verbosity) {
    let hardest = learnt.iter().filter(|mix| mix.task == task).map(|mix| mix.difficulties.max).max();
    match hardest {
        None if !learnt.is_empty() => warn(&format!("the model was not trained on {task}"), verbosity),
        Some(hardest) if difficulty > hardest => {
            let unit = task.task().difficulty_unit();
            warn(
                &format!("the model was trained on {task} of up to {hardest} {unit}, this has {difficulty}"),
                verbosity,
            );
        }
        _ => {}
    }
}

/// Loads a model and puts problems to it.
struct Solve<'a> {
    directory: &'a ModelDirectory,
    device: &'a Device,
    questions: Vec<Question>,
    policy: ExitPolicy,
    max_new_tokens: usize,
}

impl BackendTask for Solve<'_> {
    type Output = anyhow::Result<Vec<Answer>>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let model = LanguageModel::<B>::load(self.directory, &device, &mut |_| {})?;
        model.check_backend(self.device.kind)?;
        let solve = |question: Question| answer::solve(&model, question, &self.policy, self.max_new_tokens);
        self.questions.into_iter().map(solve).collect()
    }
}
