//! An evaluation as a page.

use depthscale_report::{Item, Report, Section, Table};

use super::{figures, tables};
use crate::eval::{Counted, EvaluationReport};

/// The page: what was measured, curves, tables.
pub(in crate::eval) fn page(report: &EvaluationReport) -> Report {
    let mut sections = vec![conditions(report), by_depth(report)];
    sections.extend(by_difficulty(report));
    sections.extend(exits(report));
    let mut all = vec![tables::accuracy_by_depth(report), tables::loss_by_depth(report)];
    all.extend([tables::exit_policies(report), tables::depth_by_difficulty(report), tables::skipped(report)]);
    sections.push(section("Tables", None, all.into_iter().flat_map(shown).collect()));
    sections.push(section("How to read this", Some(reading(report)), Vec::new()));
    Report {
        title: format!("DepthScale evaluation: {}", report.model.name),
        lead:
            "How right a looped language model is by the number of recurrences it takes, and when it stops by itself."
                .into(),
        sections,
    }
}

fn conditions(report: &EvaluationReport) -> Section {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let model = &report.model;
    let mut facts = vec![
        fact("model", model.name.clone()),
        fact("family", model.family.clone()),
        fact("parameters", model.parameters.to_string()),
        fact("depth by its config", steps(model.depth as f64)),
    ];
    facts.extend(model.training_depth.map(|depth| fact("mean depth in training", steps(depth))));
    facts.push(fact("measured to", steps(report.depths.max_depth as f64)));
    facts.push(fact("distinct problems", report.set.problems.to_string()));
    if let Some(draw) = &report.set.draw {
        let share = super::percent(draw.held_out.share);
        facts.push(fact("held out", format!("{share}% of all problems, chosen by seed {}", draw.held_out.seed)));
        let drawn = format!("{} of each task and difficulty by seed {}", draw.problems, draw.seed);
        facts.push(fact("drawn", drawn));
    }
    section("Model and problems", None, vec![Item::Facts(facts)])
}

fn steps(depth: f64) -> String {
    if depth == 1.0 { "1 step".into() } else { format!("{depth} steps") }
}

fn by_depth(report: &EvaluationReport) -> Section {
    let figures = vec![figures::accuracy_by_depth(report), figures::loss_by_depth(report)];
    section("By depth", None, figures.into_iter().map(Item::Figure).collect())
}

fn by_difficulty(report: &EvaluationReport) -> Option<Section> {
    let figures = figures::accuracy_by_difficulty(report);
    let text = "Harder problems need more steps where depth helps.".to_owned();
    (!figures.is_empty()).then(|| section("By difficulty", Some(text), figures.into_iter().map(Item::Figure).collect()))
}

fn exits(report: &EvaluationReport) -> Option<Section> {
    if report.exits.is_empty() && report.calibrated.is_none() {
        return None;
    }
    let against_depth = figures::accuracy_against_depth(report);
    let figures = [against_depth].into_iter().chain(figures::depth_by_difficulty(report)).map(Item::Figure);
    let calibration = shown(tables::calibration(report));
    Some(section("When it stops by itself", None, figures.chain(calibration).collect()))
}

fn reading(report: &EvaluationReport) -> String {
    let counted = match report.set.counted {
        Counted::Problems => {
            "A problem counts as answered where every token of its answer, the end included, is the most likely one after \
             the right ones before it: greedy decoding then gives exactly the answer."
        }
        Counted::Tokens => {
            "Text has no answers: its tokens are counted. Neighbouring tokens depend on one another, so that the intervals \
             are narrower than they should be."
        }
    };
    format!(
        "{counted} Intervals are Wilson's, at 95%.\n\nDuplicates are left out, so that small difficulties have fewer \
         problems than were drawn.\n\nUnder an exit policy tokens stop one by one, in prompts and answers, and the \
         mean depth is over all of them. Readouts at the checks of criteria that look at logits are not in it."
    )
}

/// A table that has rows.
fn shown(table: Table) -> Option<Item> {
    (!table.rows.is_empty()).then_some(Item::Table(table))
}

fn section(heading: &str, text: Option<String>, items: Vec<Item>) -> Section {
    Section { heading: heading.into(), text, items }
}
