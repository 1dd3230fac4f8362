//! The page a run is read from.

use std::collections::BTreeMap;

use depthscale_report::{Axis, Item, Line, LinePlot, Point, Report, Scale, Section, Series};

use super::metrics::{EvaluationMetrics, MetricsRecord, StepMetrics};

/// A self-contained page on a run, from its log: loss, gradient norm, learning rate, depths, accuracy by depth.
pub fn report(name: &str, records: &[MetricsRecord]) -> Report {
    let steps: Vec<&StepMetrics> = records.iter().filter_map(as_steps).collect();
    let evaluations: Vec<&EvaluationMetrics> = records.iter().filter_map(as_evaluation).collect();
    let mut sections = vec![progress(&steps), depths(&steps)];
    sections.extend(evaluations.last().map(|last| by_depth(last)));
    sections.extend((!evaluations.is_empty()).then(|| over_time(&evaluations)));
    Report { title: format!("Training of {name}"), lead: lead(&steps), sections }
}

fn as_steps(record: &MetricsRecord) -> Option<&StepMetrics> {
    match record {
        MetricsRecord::Steps(steps) => Some(steps),
        MetricsRecord::Evaluation(_) => None,
    }
}

fn as_evaluation(record: &MetricsRecord) -> Option<&EvaluationMetrics> {
    match record {
        MetricsRecord::Evaluation(evaluation) => Some(evaluation),
        MetricsRecord::Steps(_) => None,
    }
}

fn lead(steps: &[&StepMetrics]) -> String {
    let Some(last) = steps.last() else { return "No step was logged.".into() };
    let tokens: usize = steps.iter().map(|steps| steps.tokens).sum();
    let skipped: usize = steps.iter().map(|steps| steps.skipped).sum();
    let loss = last.loss.map_or_else(String::new, |loss| format!(" The last loss is {loss:.4}."));
    format!("{} steps, {tokens} tokens read, {skipped} steps left out.{loss}", last.step)
}

fn axis(label: &str, scale: Scale) -> Axis {
    Axis { label: label.into(), scale }
}

fn figure(title: &str, x: &str, y: Axis, series: Vec<Series>) -> Item {
    Item::Figure(LinePlot { title: title.into(), caption: None, x: axis(x, Scale::Linear), y, series })
}

fn line(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Series {
    Series { name: name.into(), points: points.into_iter().map(Point::from).collect(), line: Line::Solid }
}

/// Marks in a plot at the most, so that a long run stays readable.
const MOST_MARKS: usize = 60;

/// Means over neighbouring lines of the log, so that a curve has few marks.
fn thinned(steps: &[&StepMetrics], value: impl Fn(&StepMetrics) -> Option<f64>) -> Vec<(f64, f64)> {
    let together = steps.len().div_ceil(MOST_MARKS).max(1);
    let mean = |part: &[&StepMetrics]| {
        let known: Vec<f64> = part.iter().filter_map(|steps| value(steps)).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    let mark = |part: &[&StepMetrics]| Some((part[part.len() - 1].step as f64, mean(part)?));
    steps.chunks(together).filter_map(mark).collect()
}

fn progress(steps: &[&StepMetrics]) -> Section {
    let curve = |title, name: &str, scale, value: fn(&StepMetrics) -> Option<f64>| {
        figure(title, "step", axis(name, scale), vec![line(name, thinned(steps, value))])
    };
    Section {
        heading: "Progress".into(),
        text: None,
        items: vec![
            curve("Loss", "objective per prediction", Scale::Linear, |steps| steps.loss),
            curve("Gradient norm", "global norm before clipping", Scale::Log10, |steps| steps.gradient_norm),
            curve("Learning rate", "share of the peak", Scale::Linear, |steps| Some(steps.learning_rate_factor)),
            curve("Speed", "token recurrences per second", Scale::Linear, |steps| Some(steps.recurrences_per_second)),
        ],
    }
}

fn depths(steps: &[&StepMetrics]) -> Section {
    let mut sequences: BTreeMap<usize, usize> = BTreeMap::new();
    let mut losses: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for steps in steps {
        steps.depths.iter().for_each(|(&depth, n)| *sequences.entry(depth).or_default() += n);
    }
    for steps in &steps[steps.len() - steps.len().div_ceil(10)..] {
        steps.loss_by_depth.iter().for_each(|(&depth, &loss)| losses.entry(depth).or_default().push(loss));
    }
    let total = sequences.values().sum::<usize>().max(1) as f64;
    let share = sequences.iter().map(|(&depth, &n)| (depth as f64, 100.0 * n as f64 / total));
    let mean = losses.iter().map(|(&depth, all)| (depth as f64, all.iter().sum::<f64>() / all.len() as f64));
    Section {
        heading: "Depth".into(),
        text: None,
        items: vec![
            figure("Depths drawn", "steps", axis("% of the sequences", Scale::Linear), vec![line("sequences", share)]),
            figure(
                "Loss by depth, the last tenth of the log",
                "steps",
                axis("cross entropy, nats", Scale::Linear),
                vec![line("training", mean)],
            ),
        ],
    }
}

/// Shares as percentages over depths, counted from 1.
fn percentages(shares: &[f64]) -> impl Iterator<Item = (f64, f64)> + '_ {
    shares.iter().enumerate().map(|(at, share)| ((at + 1) as f64, 100.0 * share))
}

fn by_depth(evaluation: &EvaluationMetrics) -> Section {
    let accuracy = |task: &super::TaskMetrics| line(task.task.clone(), percentages(&task.accuracy));
    let loss = |task: &super::TaskMetrics| {
        let known = task.loss.iter().enumerate().filter_map(|(at, loss)| Some(((at + 1) as f64, (*loss)?)));
        line(task.task.clone(), known)
    };
    Section {
        heading: format!("Held-out problems after step {}", evaluation.step),
        text: None,
        items: vec![
            figure(
                "Accuracy by depth",
                "steps",
                axis("% answered exactly", Scale::Linear),
                evaluation.tasks.iter().map(accuracy).collect(),
            ),
            figure(
                "Loss by depth",
                "steps",
                axis("cross entropy, nats", Scale::Linear),
                evaluation.tasks.iter().map(loss).collect(),
            ),
        ],
    }
}

fn over_time(evaluations: &[&EvaluationMetrics]) -> Section {
    let Some(last) = evaluations.last() else { return Section::default() };
    let deepest = |task: &super::TaskMetrics| task.accuracy.last().map(|accuracy| 100.0 * accuracy);
    let of_task = |name: &str| {
        let points = evaluations.iter().filter_map(|evaluation| {
            let task = evaluation.tasks.iter().find(|task| task.task == name)?;
            Some((evaluation.step as f64, deepest(task)?))
        });
        line(name, points)
    };
    Section {
        heading: "Over time".into(),
        text: None,
        items: vec![figure(
            "Accuracy at the deepest depth evaluated",
            "step",
            axis("% answered exactly", Scale::Linear),
            last.tasks.iter().map(|task| of_task(&task.task)).collect(),
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::super::TaskMetrics;
    use super::*;

    fn steps(step: usize, loss: f64) -> StepMetrics {
        StepMetrics {
            step,
            steps: 1,
            loss: Some(loss),
            last_loss: Some(loss),
            loss_by_depth: BTreeMap::from([(2, loss)]),
            gradient_norm: Some(1.0),
            learning_rate_factor: 1.0,
            depths: BTreeMap::from([(2, 4)]),
            tokens: 8,
            tokens_per_second: 1.0,
            recurrences_per_second: 2.0,
            flops_per_second: 3.0,
            skipped: 0,
            skip_reason: None,
        }
    }

    #[test]
    fn marks_are_means_over_neighbours() {
        let all: Vec<StepMetrics> = (1..=120).map(|step| steps(step, step as f64)).collect();
        let thin = thinned(&all.iter().collect::<Vec<_>>(), |steps| steps.loss);
        assert_eq!((thin.len(), thin[0], thin[59]), (60, (2.0, 1.5), (120.0, 119.5)));
    }

    #[test]
    fn a_page_shows_what_was_logged() {
        let task =
            TaskMetrics { task: "addition".into(), problems: 5, accuracy: vec![0.5, 1.0], loss: vec![None, Some(0.1)] };
        let records = [
            MetricsRecord::Steps(steps(1, 2.0)),
            MetricsRecord::Evaluation(EvaluationMetrics { step: 1, tasks: vec![task] }),
        ];
        let page = report("small", &records).to_html().expect("a page");
        for text in ["Training of small", "Gradient norm", "Depths drawn", "addition", "after step 1"] {
            assert!(page.contains(text), "{text}");
        }
        assert!(report("nothing", &[]).to_html().expect("a page").contains("No step was logged."));
    }
}
