//! An evaluation as curves.

use depthscale_report::{Axis, Line, LinePlot, Point, Scale, Series};
use depthscale_types::Criterion;

use super::{accuracy_label, difficulty_unit};
use crate::eval::{DepthScores, EvaluationReport, ExitEvaluation, Proportion};

/// Beyond so many depths they stand by their logarithm.
const MOST_LINEAR_DEPTHS: usize = 16;

/// Accuracy by depth, a line for each task.
pub(super) fn accuracy_by_depth(report: &EvaluationReport) -> LinePlot {
    let series = |task: &crate::eval::TaskDepths| line(task.task.clone(), &task.by_depth, accuracy_point);
    LinePlot {
        title: "Accuracy by depth".into(),
        caption: Some(format!("Every token at the same depth. Bars are 95% intervals.{}", trained_at(report))),
        x: depth_axis(report),
        y: linear(accuracy_label(report.depths.counted)),
        series: report.depths.tasks.iter().map(series).collect(),
    }
}

/// Accuracy by depth, a plot for each task that has several difficulties and a line for each of them.
pub(super) fn accuracy_by_difficulty(report: &EvaluationReport) -> Vec<LinePlot> {
    let plot = |task: &crate::eval::TaskDepths| {
        let unit = difficulty_unit(&task.task);
        let own = report.depths.groups.iter().filter(|group| group.task == task.task);
        let line_of = |group: &crate::eval::GroupDepths| {
            line(format!("{} {unit}", group.difficulty).trim_end().to_owned(), &group.by_depth, |at| Point {
                spread: None,
                ..accuracy_point(at)
            })
        };
        let series: Vec<Series> = own.map(line_of).collect();
        (series.len() > 1).then(|| LinePlot {
            title: format!("{}: accuracy by depth and difficulty", task.task),
            caption: Some(format!("A line for each difficulty.{}", trained_at(report))),
            x: depth_axis(report),
            y: linear(accuracy_label(report.depths.counted)),
            series,
        })
    };
    report.depths.tasks.iter().filter_map(plot).collect()
}

/// Loss by depth, a line for each task.
pub(super) fn loss_by_depth(report: &EvaluationReport) -> LinePlot {
    let point = |at: &DepthScores| Point::from((at.depth as f64, at.scores.loss.unwrap_or(f64::NAN)));
    let series = |task: &crate::eval::TaskDepths| line(task.task.clone(), &task.by_depth, point);
    LinePlot {
        title: "Loss by depth".into(),
        caption: Some(format!("Mean cross entropy of the answers' tokens.{}", trained_at(report))),
        x: depth_axis(report),
        y: Axis { label: "loss, nats per token".into(), scale: Scale::Log10 },
        series: report.depths.tasks.iter().map(series).collect(),
    }
}

/// Accuracy against mean depth, a line for each criterion; beside them the same depth for every token.
pub(super) fn accuracy_against_depth(report: &EvaluationReport) -> LinePlot {
    let mut criteria: Vec<Criterion> = Vec::new();
    for exits in report.exits.iter().filter(|exits| exits.policy.criterion != Criterion::Fixed) {
        if !criteria.contains(&exits.policy.criterion) {
            criteria.push(exits.policy.criterion);
        }
    }
    let of_criterion = |criterion: Criterion| {
        let own = report.exits.iter().filter(|exits| exits.policy.criterion == criterion);
        let mut points: Vec<Point> = own.map(exit_point).collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        Series { name: criterion.to_string(), points, line: Line::Solid }
    };
    let mut series: Vec<Series> = criteria.into_iter().map(of_criterion).collect();
    let full_depth = full_depth(report);
    let reached = report.depths.overall.iter().filter(|at| at.depth <= full_depth);
    let fixed = reached.map(|at| Point { spread: None, ..accuracy_point(at) }).collect();
    series.push(Series { name: "the same depth for every token".into(), points: fixed, line: Line::Dashed });
    let full: Vec<Point> =
        report.depths.overall.iter().filter(|at| at.depth == full_depth).map(accuracy_point).collect();
    series.push(Series { name: format!("full depth, {full_depth}"), points: full, line: Line::MarkersOnly });
    if let Some(exits) = &report.calibrated {
        let name = format!("calibrated, {}", exits.policy);
        series.push(Series { name, points: vec![exit_point(exits)], line: Line::MarkersOnly });
    }
    LinePlot {
        title: "Accuracy against mean depth".into(),
        caption: Some(
            "All problems. A point for each threshold; bars are 95% intervals. Higher and further left is better."
                .into(),
        ),
        x: linear("mean depth of all tokens, steps"),
        y: linear(accuracy_label(report.depths.counted)),
        series,
    }
}

/// Mean depth by difficulty under one policy, a line for each task; `None` without exits.
pub(super) fn depth_by_difficulty(report: &EvaluationReport) -> Option<LinePlot> {
    let exits = typical_exits(report)?;
    let series = |task: &crate::eval::TaskExits| {
        let own = exits.groups.iter().filter(|group| group.task == task.task);
        let point =
            |group: &crate::eval::GroupExits| Point::from((f64::from(group.difficulty), group.exits.answer_depth));
        let name = match difficulty_unit(&task.task) {
            "" => task.task.clone(),
            unit => format!("{}, {unit}", task.task),
        };
        Series { name, points: own.map(point).collect(), line: Line::Solid }
    };
    Some(LinePlot {
        title: "Mean exit depth by difficulty".into(),
        caption: Some(format!("Of the steps that predicted the answers' tokens, under {}.", exits.policy)),
        x: linear("difficulty, in the task's own measure"),
        y: linear("mean depth, steps"),
        series: exits.tasks.iter().map(series).collect(),
    })
}

/// The policy whose depths are shown: the calibrated one; without it the one of least mean depth whose accuracy is within a
/// point of full depth, or the most accurate one.
pub(super) fn typical_exits(report: &EvaluationReport) -> Option<&ExitEvaluation> {
    if let Some(calibrated) = &report.calibrated {
        return Some(calibrated);
    }
    let share = |exits: &ExitEvaluation| exits.overall.scores.accuracy.share;
    let depth = |exits: &ExitEvaluation| exits.overall.mean_depth;
    let full_depth = full_depth(report);
    let full = report.depths.overall.get(full_depth - 1).map_or(1.0, |at| at.scores.accuracy.share);
    let others = || report.exits.iter().filter(|exits| exits.policy.criterion != Criterion::Fixed);
    let within = others().filter(|exits| share(exits) >= full - 0.01);
    within
        .min_by(|a, b| depth(a).total_cmp(&depth(b)))
        .or_else(|| others().max_by(|a, b| share(a).total_cmp(&share(b))))
}

/// The last step of the policies that were run; without them the model's own depth, as far as it was measured.
fn full_depth(report: &EvaluationReport) -> usize {
    let of_policies = report.exits.iter().chain(&report.calibrated).map(|exits| exits.full_depth).max();
    of_policies.unwrap_or(report.model.depth).clamp(1, report.depths.max_depth)
}

fn trained_at(report: &EvaluationReport) -> String {
    match report.model.training_depth {
        Some(depth) => format!(" Trained at a mean depth of {depth}."),
        None => String::new(),
    }
}

fn line(name: String, by_depth: &[DepthScores], point: impl Fn(&DepthScores) -> Point) -> Series {
    Series { name, points: by_depth.iter().map(point).collect(), line: Line::Solid }
}

fn accuracy_point(at: &DepthScores) -> Point {
    point(at.depth as f64, &at.scores.accuracy)
}

fn exit_point(exits: &ExitEvaluation) -> Point {
    point(exits.overall.mean_depth, &exits.overall.scores.accuracy)
}

/// A share in per cent with its interval as the spread.
fn point(x: f64, share: &Proportion) -> Point {
    Point { x, y: 100.0 * share.share, spread: Some((100.0 * share.low, 100.0 * share.high)) }
}

fn depth_axis(report: &EvaluationReport) -> Axis {
    let scale = if report.depths.max_depth > MOST_LINEAR_DEPTHS { Scale::Log2 } else { Scale::Linear };
    Axis { label: "depth, steps".into(), scale }
}

fn linear(label: &str) -> Axis {
    Axis { label: label.into(), scale: Scale::Linear }
}
