//! What can be learnt from a prompt beside its answer.

use depthscale_tasks::{FollowUp, NEWLINE_ID, Problem, ProblemSampler, encode, encode_problem};

use super::batch::Example;
use super::source::sequence_of;
use crate::error::Result;

/// A problem with the [hints](depthscale_tasks::Task::hints) that may be learnt, each where the prompt settles it, and after
/// its answer as many [follow-ups](depthscale_tasks::Task::follow_ups) with theirs as fit.
///
/// Looking up, calculating and putting parts together are learnt at once where only the answer counts, and that takes long to
/// begin; hints let each be learnt by itself, and follow-ups let one prompt serve many questions.
pub(super) fn with_hints(sampler: &ProblemSampler, problem: &Problem, longest: usize) -> Result<Example> {
    let answered = Example::from(sequence_of(problem)?);
    let mut targets = hints(sampler, problem, 0)?;
    targets.extend(answered.targets);
    let mut tokens = answered.tokens;
    for FollowUp { question, problem } in sampler.follow_ups(problem) {
        let asked = hints(sampler, &problem, problem.prompt.len() - question.len())?;
        let question = encode(&question)?;
        let answer = encode_problem(&problem)?.answer;
        // The newline that ends the answer before is read as well.
        let newline = tokens.len();
        if newline + 1 + question.len() + answer.len() > longest {
            break;
        }
        tokens.push(NEWLINE_ID);
        tokens.extend(question);
        targets.extend(asked.into_iter().map(|(after, says)| (newline + after, says)));
        targets.extend((tokens.len() - 1..).zip(answer.iter().copied()));
        tokens.extend(&answer[..answer.len() - 1]);
    }
    Ok(Example { tokens, targets })
}

/// The hints beyond the first characters of a prompt: how many more settle it, and the token that is to be said.
///
/// A newline comes before a prompt, and before a question as well, so that the token after so many characters is that number.
fn hints(sampler: &ProblemSampler, problem: &Problem, beyond: usize) -> Result<Vec<(usize, u32)>> {
    let hints = sampler.hints(problem).into_iter().filter(|hint| hint.after > beyond);
    hints.map(|hint| Ok((hint.after - beyond, encode(hint.says.encode_utf8(&mut [0; 4]))?[0]))).collect()
}

#[cfg(test)]
mod tests {
    use depthscale_tasks::{HeldOut, Side, TaskKind, TaskMix, decode, identify};

    use super::*;

    const SPLIT: HeldOut = HeldOut { seed: 0, share: 0.3 };

    fn sampler(held_out: HeldOut) -> ProblemSampler {
        let mixture = vec![TaskMix { task: TaskKind::PHop, difficulties: (1..=6).into(), weight: 1.0 }];
        ProblemSampler::new(mixture, held_out, Side::Training, 1).unwrap()
    }

    /// The text that is read, and below each character what is to be said after it.
    fn drawn(example: &Example) -> [String; 2] {
        let text = decode(&example.tokens).unwrap();
        let mut said = vec![b' '; text.len()];
        for &(row, token) in &example.targets {
            said[row] = decode(&[token]).unwrap().as_bytes()[0];
        }
        [text, String::from_utf8(said).unwrap()].map(|line| line.replace('\n', "/"))
    }

    #[test]
    fn a_prompt_is_learnt_from_at_every_place_that_settles_something() {
        let everything = sampler(HeldOut { share: 0.0, ..SPLIT });
        let example = |prompt, longest| drawn(&with_hints(&everything, &identify(prompt).unwrap(), longest).unwrap());
        #[rustfmt::skip]
        assert_eq!(example("b=c;a=3;c=a;?b=", 64), [
            "/b=c;a=3;c=a;?b=3/?a=3/?c=3",
            "   b   a3  c3 33/  33/  33/",
        ]);
        // The first follow-up ends with the newline after its answer, which is the 23rd token.
        assert_eq!(example("b=c;a=3;c=a;?b=", 23)[0], "/b=c;a=3;c=a;?b=3/?a=3");
        assert_eq!(example("b=c;a=3;c=a;?b=", 22)[0], "/b=c;a=3;c=a;?b=3");
        #[rustfmt::skip]
        assert_eq!(example("m7:3+5*4=", 64), [
            "/m7:3+5*4=4",
            "      1 44/",
        ]);
        #[rustfmt::skip]
        assert_eq!(example("(!(T&F)|T)=", 64), [
            "/(!(T&F)|T)=T",
            "       F  TT/",
        ]);
        assert_eq!(example("47+38=", 64), ["/47+38=85", "      85/"]);
    }

    #[test]
    fn nothing_that_is_held_out_is_learnt() {
        let sampler = sampler(SPLIT);
        let mut follow_ups = 0;
        for index in 0..200 {
            let problem = sampler.problem(index).unwrap();
            let [text, said] = drawn(&with_hints(&sampler, &problem, 128).unwrap());
            let assignments = problem.prompt.split('?').next().unwrap();
            for question in text.split('?').skip(1) {
                let asked = identify(&format!("{assignments}?{}=", &question[..1])).unwrap();
                assert!(!SPLIT.holds(&asked), "{text}");
                follow_ups += 1;
            }
            for (end, _) in text.match_indices(';').filter(|(end, _)| &said[*end..=*end] != " ") {
                let settled = identify(&format!("{}?{}=", &text[1..=end], &text[end - 3..end - 2])).unwrap();
                assert!(!SPLIT.holds(&settled) && said[end..].starts_with(&settled.answer), "{text}");
            }
        }
        assert!(follow_ups > 400, "{follow_ups}");
    }
}
