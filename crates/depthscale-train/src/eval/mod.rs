//! How right a model is, by depth and under exits.
//!
//! | to do | use |
//! |---|---|
//! | choose held-out problems | [`ProblemSet::draw`], [`ProblemSet::of_corpus`] |
//! | keep calibration and evaluation apart | [`ProblemSet::apart`], [`ProblemSet::without`] |
//! | accuracy and loss at every depth | [`evaluate_depths`] |
//! | accuracy and depth under an exit policy, or many | [`evaluate_exit`], [`sweep`] |
//! | the threshold that keeps the accuracy | [`calibrate`], [`Calibration`] |
//! | all of it as JSON, tables and a page | [`EvaluationReport`] |
//!
//! Nothing is generated: problems are fed with their answers, and an answer is right where each of its tokens is the most
//! likely one. The first wrong token decides either way, so that this is what greedy decoding gives, in one pass.

mod by_depth;
mod calibrate;
mod calibration;
mod depths;
mod disjoint;
mod evaluation_report;
mod exit_tally;
mod exits;
mod ladder;
mod portions;
mod problem_set;
mod progress;
mod proportion;
mod report;
mod scores;
mod set_summary;

pub use by_depth::{SequenceScores, score_by_depth};
pub use calibrate::{CalibrationOptions, calibrate};
pub use calibration::{Calibration, CalibrationOutcome, EXIT_FILE, TaskCalibration, Trial};
pub use depths::{DepthEvaluation, DepthScores, GroupDepths, TaskDepths, evaluate_depths};
pub use evaluation_report::{EvaluatedModel, EvaluationReport};
pub use exit_tally::ExitScores;
pub use exits::{ExitEvaluation, ExitReasons, GroupExits, TaskExits, evaluate_exit, sweep};
pub use ladder::{applicable_criteria, ladder_policies, threshold_ladder};
pub use problem_set::{CorpusKind, HeldOutProblem, ProblemDraw, ProblemGroup, ProblemSet};
pub use progress::EvaluationProgress;
pub use proportion::Proportion;
pub use scores::Scores;
pub use set_summary::{Counted, GroupCount, MissingReason, SetSummary, SkippedGroup};
