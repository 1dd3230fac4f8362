//! What is drawn.

use depthscale_tasks::{TaskKind, identify};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::problems;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_problem_is_read_back_as_it_was_drawn(problem in problems()) {
        let read = problem.task.task().parse(&problem.prompt).unwrap();
        prop_assert_eq!(&read, &problem);
    }

    #[test]
    fn one_task_and_no_other_reads_a_prompt(problem in problems()) {
        let readers: Vec<TaskKind> =
            TaskKind::ALL.into_iter().filter(|kind| kind.task().parse(&problem.prompt).is_ok()).collect();
        prop_assert_eq!(readers, [problem.task]);
        prop_assert_eq!(identify(&problem.prompt), Some(problem));
    }

    #[test]
    fn the_answer_is_right_and_others_are_wrong(problem in problems(), place in any::<prop::sample::Index>()) {
        let task = problem.task.task();
        prop_assert!(task.check(&problem, &problem.answer));
        let longer = format!("{}0", problem.answer);
        let shorter = &problem.answer[..problem.answer.len() - 1];
        // The solution of a drawn Sudoku is the only one, so one other character is always wrong.
        let mut changed: Vec<char> = problem.answer.chars().collect();
        let place = place.index(changed.len());
        changed[place] = if changed[place] == '1' { '2' } else { '1' };
        let changed: String = changed.into_iter().collect();
        for wrong in [longer.as_str(), shorter, changed.as_str(), "\n", "é"] {
            prop_assert!(!task.check(&problem, wrong), "{}", wrong);
        }
    }

    #[test]
    fn hints_are_settled_before_the_prompt_ends(problem in problems()) {
        let task = problem.task.task();
        let mut before = 0;
        for hint in task.hints(&problem) {
            prop_assert!(before < hint.after && hint.after < problem.prompt.len(), "{:?}", hint);
            before = hint.after;
            let Some(part) = hint.answers else { continue };
            prop_assert_eq!(&task.parse(&part.prompt).unwrap(), &part);
            prop_assert_eq!(&part.answer, &hint.says.to_string());
        }
    }

    #[test]
    fn follow_ups_differ_in_their_question(problem in problems()) {
        let task = problem.task.task();
        for next in task.follow_ups(&problem) {
            prop_assert_eq!(&task.parse(&next.problem.prompt).unwrap(), &next.problem);
            let context = next.problem.prompt.strip_suffix(&next.question).unwrap();
            prop_assert!(problem.prompt.starts_with(context) && problem.prompt != next.problem.prompt);
        }
    }

    #[test]
    fn a_problem_is_the_same_after_serde(problem in problems()) {
        let json = serde_json::to_string(&problem).unwrap();
        prop_assert_eq!(serde_json::from_str::<depthscale_tasks::Problem>(&json).unwrap(), problem);
    }
}

#[test]
fn every_difficulty_can_be_drawn_and_those_beside_cannot() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for kind in TaskKind::ALL {
        let task = kind.task();
        let (min, max) = task.difficulties().into_inner();
        for difficulty in min..=max {
            assert_eq!(task.sample(difficulty, &mut rng).unwrap().difficulty, difficulty, "{kind}");
        }
        for difficulty in [min - 1, max + 1, u32::MAX] {
            let error = task.sample(difficulty, &mut rng).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{kind}: no problem has {difficulty} ")), "{error}");
        }
    }
}
