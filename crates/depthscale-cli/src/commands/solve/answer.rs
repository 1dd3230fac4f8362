//! An answer, and how it came about.

use depthscale::backends::Backend;
use depthscale::decoder::Hypothesis;
use depthscale::prelude::*;
use depthscale::types::TokenTrace;

use super::Question;

/// An answer to a problem, with what it would have been after each step.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) question: Question,
    pub(super) text: String,
    /// The answer's tokens, that which ends it among them.
    pub(super) tokens: Vec<AnswerToken>,
    /// Whether the model ended it, rather than the limit.
    pub(super) ended: bool,
}

/// A token of an answer.
#[derive(Debug, Clone)]
pub(super) struct AnswerToken {
    /// Its text; empty for the one that ends the answer.
    pub(super) text: String,
    pub(super) trace: TokenTrace,
    /// What it would have been after each step that was read out; `None` ends the answer.
    hypotheses: Vec<(usize, Option<String>)>,
}

impl AnswerToken {
    /// What it would have been after a step, or after its last one where it took fewer.
    fn after(&self, step: usize) -> Option<&str> {
        let seen = self.hypotheses.iter().take_while(|(at, _)| *at <= step).last().or(self.hypotheses.first());
        seen.and_then(|(_, text)| text.as_deref())
    }
}

impl Answer {
    /// The token that took most steps.
    pub(super) fn deepest(&self) -> Option<&AnswerToken> {
        self.tokens
            .iter()
            .reduce(|deepest, token| if token.trace.steps > deepest.trace.steps { token } else { deepest })
    }

    /// Steps of the deepest token.
    pub(super) fn steps(&self) -> usize {
        self.deepest().map_or(0, |token| token.trace.steps)
    }

    /// The tokens' hypotheses after each step, each given the final tokens before it, up to where one would have ended the
    /// answer.
    pub(super) fn hypotheses(&self) -> Vec<String> {
        let after = |step| self.tokens.iter().map_while(|token| token.after(step)).collect();
        (1..=self.steps()).map(after).collect()
    }

    /// Whether it is right, where the problem is one of a known task.
    pub(super) fn is_right(&self) -> Option<bool> {
        let problem = self.question.problem.as_ref()?;
        Some(self.ended && problem.task.task().check(problem, &self.text))
    }
}

/// Answers greedily, one token after the other, each read out after every step.
pub(super) fn solve<B: Backend>(
    model: &LanguageModel<B>,
    question: Question,
    policy: &ExitPolicy,
    max_new_tokens: usize,
) -> anyhow::Result<Answer> {
    let mut ids = model.encode(&Prompt::Text(question.prompt.clone()))?;
    let ends = |token: u32| model.end_tokens().contains(token);
    let text = |token: u32| (!ends(token)).then(|| model.tokenizer().token_text(token));
    let mut answer = Answer { question, text: String::new(), tokens: Vec::new(), ended: false };
    while answer.tokens.len() < max_new_tokens && !answer.ended {
        let reasoned = model.decoder().reason(&ids, policy, KvRetention::PerStep)?;
        let Some(&Hypothesis { token, .. }) = reasoned.hypotheses.last() else { break };
        let hypotheses = reasoned.hypotheses.iter().map(|seen| (seen.step, text(seen.token))).collect();
        let own = text(token).unwrap_or_default();
        answer.text.push_str(&own);
        answer.tokens.push(AnswerToken { text: own, trace: reasoned.trace, hypotheses });
        answer.ended = ends(token);
        ids.push(token);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use depthscale::types::ExitReason;

    use super::*;

    fn token(text: &str, hypotheses: &[&str]) -> AnswerToken {
        let steps = hypotheses.len();
        let trace = TokenTrace { position: 0, steps, values: vec![None; steps], reason: ExitReason::Converged };
        let end = |text: &&str| (!text.is_empty()).then(|| (*text).into());
        let hypotheses = hypotheses.iter().enumerate().map(|(at, text)| (at + 1, end(text))).collect();
        AnswerToken { text: text.into(), trace, hypotheses }
    }

    #[test]
    fn a_token_that_stopped_keeps_what_it_said() {
        let question = Question { prompt: "47+38=".into(), problem: depthscale_tasks::identify("47+38=") };
        let tokens = vec![token("8", &["7", "8"]), token("5", &["", "5"]), token("", &["1", "0", ""])];
        let answer = Answer { question, text: "85".into(), tokens, ended: true };
        assert_eq!(answer.hypotheses(), ["7", "850", "85"]);
        assert_eq!((answer.steps(), answer.is_right()), (3, Some(true)));
        let unfinished = Answer { ended: false, ..answer };
        assert_eq!(unfinished.is_right(), Some(false));
    }
}
