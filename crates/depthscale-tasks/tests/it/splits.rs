//! What is held out.

use depthscale_tasks::{HeldOut, ProblemSampler, Side, TaskError, TaskKind, TaskMix};
use proptest::prelude::*;

use crate::problems;

/// Every task at all its difficulties.
fn everything(held_out: HeldOut, side: Side, seed: u64) -> ProblemSampler {
    let mix = |task: TaskKind| TaskMix { task, difficulties: task.task().difficulties().into(), weight: 1.0 };
    ProblemSampler::new(TaskKind::ALL.map(mix).to_vec(), held_out, side, seed).unwrap()
}

proptest! {
    #[test]
    fn training_and_evaluation_never_meet(seed in any::<u64>(), index in any::<u64>(), share in 0.2..0.8) {
        let held_out = HeldOut { seed, share };
        for (side, is_held) in [(Side::Training, false), (Side::HeldOut, true)] {
            match everything(held_out, side, seed).problem(index) {
                Ok(problem) => prop_assert_eq!(held_out.holds(&problem), is_held),
                // One digit to sort has ten problems, and all may be on one side.
                Err(error) => prop_assert!(matches!(error, TaskError::Exhausted { .. }), "{}", error),
            }
        }
    }

    #[test]
    fn the_same_number_is_the_same_problem(seed in any::<u64>(), index in any::<u64>()) {
        let held_out = HeldOut { seed: 0, share: 0.5 };
        let first = everything(held_out, Side::Training, seed).problem(index);
        prop_assert_eq!(first, everything(held_out, Side::Training, seed).problem(index));
    }

    #[test]
    fn the_canonical_form_is_its_own_and_the_same_problem(problem in problems()) {
        let task = problem.task.task();
        let canonical = task.parse(&task.canonical(&problem)).unwrap();
        prop_assert_eq!(&canonical.answer, &problem.answer);
        prop_assert_eq!(task.canonical(&canonical), canonical.prompt);
    }

    #[test]
    fn operands_may_be_swapped(a in 0..10_000_u32, b in 0..10_000_u32, seed in any::<u64>()) {
        let held_out = HeldOut { seed, share: 0.5 };
        for (kind, sign) in [(TaskKind::Addition, '+'), (TaskKind::Multiplication, '*')] {
            let problem = kind.task().parse(&format!("{a}{sign}{b}=")).unwrap();
            let swapped = kind.task().parse(&format!("{b}{sign}{a}=")).unwrap();
            prop_assert_eq!(held_out.side(&problem), held_out.side(&swapped));
        }
    }
}
