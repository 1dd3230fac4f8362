//! What users may type.

use depthscale_tasks::{Problem, TaskKind, identify};
use proptest::prelude::*;

use crate::problems;

/// A prompt of which one character was removed, put in or changed.
fn damaged_prompts() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), prop::option::of("[0-9a-fTF+*=;:?,>.()!&|^é\n-]"), any::<bool>());
    (problems(), change).prop_map(|(Problem { prompt, .. }, (place, inserted, keeps))| {
        let place = place.index(prompt.len());
        let after = if keeps { place } else { place + 1 };
        format!("{}{}{}", &prompt[..place], inserted.unwrap_or_default(), &prompt[after..])
    })
}

/// Whatever a task makes of a text must be a problem that holds together.
fn read_by_every_task(text: &str) -> Result<(), TestCaseError> {
    for kind in TaskKind::ALL {
        let task = kind.task();
        match task.parse(text) {
            Ok(problem) => {
                prop_assert_eq!((problem.task, problem.prompt.as_str()), (kind, text));
                prop_assert!(task.difficulties().contains(&problem.difficulty));
                prop_assert!(task.check(&problem, &problem.answer));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        // Neither grading nor the split may rely on a prompt in the right format.
        let typed = Problem { task: kind, prompt: text.to_owned(), answer: String::new(), difficulty: 0 };
        task.check(&typed, text);
        task.canonical(&typed);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_text_is_a_problem_or_an_error(text in any::<String>()) {
        read_by_every_task(&text)?;
    }

    #[test]
    fn any_text_of_the_right_characters_is_a_problem_or_an_error(text in "(m7:|sort:|rev:|s4:|s6:)?[0-9a-cTF+*=;:?,>.()!&|^-]{0,40}=?") {
        read_by_every_task(&text)?;
    }

    #[test]
    fn a_damaged_prompt_is_a_problem_or_an_error(text in damaged_prompts()) {
        read_by_every_task(&text)?;
    }
}

#[test]
fn a_text_of_no_task_is_not_identified() {
    for text in ["", "=", "\n", "47+38", "47+38=85", " 47+38=", "47-38=", "what is 47+38?", "47+38=\n"] {
        assert_eq!(identify(text), None, "{text:?}");
    }
}
