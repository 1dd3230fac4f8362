//! An evaluation as tables.

use depthscale_report::{Align, Heading, Table};

use super::{accuracy_label, difficulty_unit, percent, shown_depths, with_interval};
use crate::eval::{Calibration, CalibrationOutcome, DepthScores, EvaluationReport, ExitEvaluation};

/// All tables that have rows.
pub(in crate::eval) fn tables(report: &EvaluationReport) -> Vec<Table> {
    let all = [
        accuracy_by_depth(report),
        loss_by_depth(report),
        exit_policies(report),
        depth_by_difficulty(report),
        calibration(report),
        skipped(report),
    ];
    all.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

pub(super) fn accuracy_by_depth(report: &EvaluationReport) -> Table {
    let cell = |at: &DepthScores| with_interval(&at.scores.accuracy);
    let label = accuracy_label(report.depths.counted);
    by_depth(report, format!("By depth: {label}, with 95% intervals"), cell)
}

pub(super) fn loss_by_depth(report: &EvaluationReport) -> Table {
    let cell = |at: &DepthScores| at.scores.loss.map_or("not finite".into(), |loss| format!("{loss:.4}"));
    by_depth(report, "By depth: mean cross entropy of the answers' tokens, nats".into(), cell)
}

/// A row for each task and difficulty, then one for each task and one for all.
fn by_depth(report: &EvaluationReport, caption: String, cell: impl Fn(&DepthScores) -> String) -> Table {
    let depths = shown_depths(report);
    let row = |task: &str, difficulty: String, by_depth: &[DepthScores]| {
        let problems = by_depth.first().map_or(0, |at| at.scores.accuracy.of);
        let cells = depths.iter().filter_map(|depth| by_depth.get(depth - 1)).map(&cell);
        [task.to_owned(), difficulty, problems.to_string()].into_iter().chain(cells).collect::<Vec<String>>()
    };
    let evaluation = &report.depths;
    let mut rows = Vec::new();
    for task in &evaluation.tasks {
        let own = evaluation.groups.iter().filter(|group| group.task == task.task);
        let own: Vec<Vec<String>> =
            own.map(|group| row(&group.task, difficulty(&group.task, group.difficulty), &group.by_depth)).collect();
        let several = own.len() > 1;
        rows.extend(own);
        if several {
            rows.push(row(&task.task, "all".into(), &task.by_depth));
        }
    }
    if evaluation.tasks.len() > 1 {
        rows.push(row("all", "all".into(), &evaluation.overall));
    }
    let depths = depths.iter().map(|depth| format!("depth {depth}"));
    let headings = headings(["task", "difficulty"], ["counted".to_owned()].into_iter().chain(depths));
    Table { headings, rows, caption: Some(caption) }
}

pub(super) fn exit_policies(report: &EvaluationReport) -> Table {
    let calibrated = report.calibrated.iter().map(|exits| row_of("calibrated", exits));
    let rows = calibrated.chain(report.exits.iter().map(|exits| row_of("", exits))).collect();
    let label = accuracy_label(report.depths.counted);
    let figures = [label, "mean depth", "answers' depth", "steps saved, %", "converged, %"].map(String::from);
    Table { headings: headings(["policy", ""], figures), rows, caption: Some("Exit policies on all problems".into()) }
}

fn row_of(note: &str, exits: &ExitEvaluation) -> Vec<String> {
    let tokens = exits.overall.tokens.max(1) as f64;
    vec![
        exits.policy.to_string(),
        note.into(),
        with_interval(&exits.overall.scores.accuracy),
        format!("{:.2}", exits.overall.mean_depth),
        format!("{:.2}", exits.overall.answer_depth),
        percent(exits.steps_saved),
        percent(exits.reasons.converged as f64 / tokens),
    ]
}

pub(super) fn depth_by_difficulty(report: &EvaluationReport) -> Table {
    let shown = super::figures::typical_exits(report);
    let row = |group: &crate::eval::GroupExits| {
        vec![
            group.task.clone(),
            difficulty(&group.task, group.difficulty),
            with_interval(&group.exits.scores.accuracy),
            format!("{:.2}", group.exits.mean_depth),
            format!("{:.2}", group.exits.answer_depth),
        ]
    };
    let rows = shown.map(|exits| exits.groups.iter().map(row).collect()).unwrap_or_default();
    let figures = [accuracy_label(report.depths.counted), "mean depth", "answers' depth"].map(String::from);
    let caption = shown.map(|exits| format!("Depth by difficulty under {}", exits.policy));
    Table { headings: headings(["task", "difficulty"], figures), rows, caption }
}

pub(super) fn calibration(report: &EvaluationReport) -> Table {
    let Some(calibration) = &report.calibration else { return Table::default() };
    let row = |task: &str, full: f64, found: f64, depth: f64| {
        vec![task.to_owned(), calibration.policy.to_string(), percent(full), percent(found), format!("{depth:.2}")]
    };
    let task =
        |task: &crate::eval::TaskCalibration| row(&task.task, task.full_accuracy, task.accuracy, task.mean_depth);
    let mut rows: Vec<Vec<String>> = calibration.tasks.iter().map(task).collect();
    if rows.len() != 1 {
        rows.push(row("all", calibration.full_accuracy, calibration.accuracy, calibration.mean_depth));
    }
    let figures = ["accuracy at full depth, %", "accuracy, %", "mean depth"].map(String::from);
    Table { headings: headings(["task", "policy"], figures), rows, caption: Some(describe(calibration)) }
}

/// What a calibration found, in a sentence.
pub(super) fn describe(calibration: &Calibration) -> String {
    let Calibration { problems, full_depth, tolerated_loss, .. } = calibration;
    match calibration.outcome {
        CalibrationOutcome::ExitsEarly => format!(
            "Calibrated on {problems} other problems to lose at most {tolerated_loss} points of accuracy against \
             {full_depth} steps, on every task"
        ),
        CalibrationOutcome::FullDepth => format!(
            "Calibrated on {problems} other problems: no threshold saves steps and loses at most {tolerated_loss} points of \
             accuracy against {full_depth} steps on every task"
        ),
    }
}

pub(super) fn skipped(report: &EvaluationReport) -> Table {
    let row = |skipped: &crate::eval::SkippedGroup| {
        vec![skipped.task.clone(), difficulty(&skipped.task, skipped.difficulty), skipped.reason.text().to_owned()]
    };
    Table {
        headings: headings(["task", "difficulty", "why"], []),
        rows: report.set.skipped.iter().map(row).collect(),
        caption: Some("Left out".into()),
    }
}

fn difficulty(task: &str, difficulty: u32) -> String {
    match difficulty_unit(task) {
        "" => String::new(),
        unit => format!("{difficulty} {unit}"),
    }
}

/// Names at the left, figures at the right.
fn headings<const N: usize>(names: [&str; N], figures: impl IntoIterator<Item = String>) -> Vec<Heading> {
    let name = |text: &str| Heading { text: text.into(), align: Align::Left };
    let figure = |text: String| Heading { text, align: Align::Right };
    names.into_iter().map(name).chain(figures.into_iter().map(figure)).collect()
}
