//! How answers are shown.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use depthscale::prelude::*;
use serde_json::json;

use super::answer::Answer;
use crate::display::{Align, Cell, Paint, Table, depth_style, significant};

/// One JSON object a line.
pub(super) fn json(answers: &[Answer]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for answer in answers {
        let trace = answer.deepest().map(|token| &token.trace);
        let tokens = answer.tokens.iter().map(|token| {
            json!({"text": token.text, "steps": token.trace.steps, "values": token.trace.values, "reason": token.trace.reason})
        });
        let object = json!({
            "prompt": answer.question.prompt,
            "answer": answer.text,
            "steps": answer.steps(),
            "values": trace.map(|trace| &trace.values),
            "reason": trace.map(|trace| trace.reason),
            "hypotheses": answer.hypotheses(),
            "tokens": tokens.collect::<Vec<_>>(),
            "ended": answer.ended,
            "task": answer.question.problem.as_ref().map(|problem| problem.task),
            "difficulty": answer.question.problem.as_ref().map(|problem| problem.difficulty),
            "expected": answer.question.problem.as_ref().map(|problem| &problem.answer),
            "right": answer.is_right(),
        });
        writeln!(stdout, "{object}")?;
    }
    Ok(())
}

/// Each answer with its table of steps, and how many are right.
pub(super) fn people(answers: &[Answer], max_depth: usize) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for (at, answer) in answers.iter().enumerate() {
        if at > 0 {
            writeln!(stdout)?;
        }
        writeln!(stdout, "{}{}  {}", answer.question.prompt, answer.text, verdict(answer))?;
        for line in steps(answer, max_depth).lines(Paint::stdout()) {
            writeln!(stdout, "{line}")?;
        }
        writeln!(stdout, "{}", end(answer, max_depth))?;
    }
    let right = answers.iter().filter(|answer| answer.is_right() == Some(true)).count();
    if answers.len() > 1 {
        writeln!(stdout, "\n{right} of {} right", answers.len())?;
    }
    Ok(())
}

fn verdict(answer: &Answer) -> String {
    let paint = Paint::stdout();
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match (answer.is_right(), &answer.question.problem) {
        (Some(true), _) => paint.style(colour(AnsiColor::Green), "right"),
        (Some(false), Some(problem)) => {
            let wrong = format!("wrong: {} is right", problem.answer);
            paint.style(colour(AnsiColor::Red), &wrong)
        }
        _ => "(not a problem of a known task)".into(),
    }
}

/// Tokens whose exit values are shown.
const MOST_VALUES: usize = 8;

/// The hypothesis and the exit values after each step.
fn steps(answer: &Answer, max_depth: usize) -> Table {
    let mut table = Table::new([Align::Right, Align::Left, Align::Left]);
    table.headings(&["step", "hypothesis", "exit value of each token"]);
    for (at, hypothesis) in answer.hypotheses().into_iter().enumerate() {
        let value = |values: &[Option<f32>]| match values.get(at) {
            Some(Some(value)) => significant((*value).into()),
            // No value at this step, or no step.
            Some(None) => "·".into(),
            None => String::new(),
        };
        let shown = answer.tokens.iter().take(MOST_VALUES);
        let mut values: Vec<String> = shown.map(|token| value(&token.trace.values)).collect();
        values.extend((answer.tokens.len() > MOST_VALUES).then(|| "...".to_owned()));
        let step = at + 1;
        let hypothesis = Cell::styled(depth_style(step, max_depth), hypothesis);
        table.row([Cell::new(step.to_string()), hypothesis, Cell::new(values.join(" ").trim_end())]);
    }
    table
}

fn end(answer: &Answer, max_depth: usize) -> String {
    let tokens = answer.tokens.len();
    let mean = answer.tokens.iter().map(|token| token.trace.steps).sum::<usize>() as f64 / tokens.max(1) as f64;
    let converged = answer.tokens.iter().filter(|token| token.trace.reason == ExitReason::Converged).count();
    let why = match converged {
        0 => "all took the full depth".to_owned(),
        n if n == tokens => "all converged".to_owned(),
        n => format!("{n} converged, the others took the full depth"),
    };
    let unfinished = if answer.ended { "" } else { "; the answer has no end" };
    format!("{tokens} tokens, {mean:.2} of {max_depth} steps each: {why}{unfinished}")
}
