//! Sets that share no problem.

use std::collections::{HashMap, HashSet};

use super::problem_set::{HeldOutProblem, ProblemSet};
use super::set_summary::MissingReason;

impl ProblemSet {
    /// The problems that are not in the other set. Groups left without any are listed in [`ProblemSet::skipped`]: where a
    /// difficulty has few problems the other set may hold all of them; [`Self::apart`] leaves each set some.
    pub fn without(self, other: &Self) -> Self {
        let taken: HashSet<&str> = other.problems.iter().map(|problem| problem.identity.as_str()).collect();
        self.keep(|problem| !taken.contains(problem.identity.as_str()))
    }

    /// Two sets without the problems that both hold, which are dealt out in turns: every other one of a group to each. So
    /// a difficulty of two problems or more stays in both.
    pub fn apart(self, other: Self) -> (Self, Self) {
        let of_other: HashSet<&str> = other.problems.iter().map(|problem| problem.identity.as_str()).collect();
        let mut dealt = vec![0_usize; self.groups.len()];
        let mut stays: HashMap<String, bool> = HashMap::new();
        for problem in self.problems.iter().filter(|problem| of_other.contains(problem.identity.as_str())) {
            let turn = &mut dealt[problem.group];
            stays.insert(problem.identity.clone(), turn.is_multiple_of(2));
            *turn += 1;
        }
        let own = self.keep(|problem| stays.get(&problem.identity).copied().unwrap_or(true));
        let other = other.keep(|problem| !stays.get(&problem.identity).copied().unwrap_or(false));
        (own, other)
    }

    /// The problems of which `stays` says so.
    fn keep(mut self, stays: impl Fn(&HeldOutProblem) -> bool) -> Self {
        let groups = std::mem::take(&mut self.groups);
        let mut left: Vec<Vec<_>> = vec![Vec::new(); groups.len()];
        for problem in std::mem::take(&mut self.problems).into_iter().filter(stays) {
            left[problem.group].push((problem.sequence, problem.identity));
        }
        for (group, left) in groups.into_iter().zip(left) {
            self.add_group(group, left, MissingReason::AllInOtherSet);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use depthscale_tasks::{HeldOut, TaskKind, TaskMix};

    use super::*;
    use crate::eval::{ProblemDraw, ProblemGroup, SkippedGroup};

    /// Sums of one digit, of which about ten are held out, and of two.
    fn sums(seed: u64) -> ProblemSet {
        let mixture = vec![TaskMix { task: TaskKind::Addition, difficulties: (1..=2).into(), weight: 1.0 }];
        let draw = ProblemDraw { mixture, held_out: HeldOut { seed: 0, share: 0.1 }, problems: 200, seed };
        ProblemSet::draw(&draw).expect("draws")
    }

    fn identities(set: &ProblemSet) -> HashSet<&str> {
        set.problems.iter().map(|problem| problem.identity.as_str()).collect()
    }

    #[test]
    fn what_another_set_holds_is_taken_out() {
        let (evaluation, calibration) = (sums(1), sums(2));
        let left = calibration.clone().without(&evaluation);
        let shared = identities(&calibration).intersection(&identities(&evaluation)).count();
        assert!(shared > 0);
        assert!(identities(&left).is_disjoint(&identities(&evaluation)));
        assert_eq!(left.len(), calibration.len() - shared);
        // The sums of one digit are so few that both sets hold all of them.
        let expected = SkippedGroup { task: "addition".into(), difficulty: 1, reason: MissingReason::AllInOtherSet };
        assert_eq!(left.skipped, [expected]);
        assert_eq!(left.groups, [ProblemGroup { task: "addition".into(), difficulty: 2 }]);
        assert!(left.problems.iter().all(|problem| problem.group == 0));
    }

    #[test]
    fn shared_problems_are_dealt_out() {
        let (evaluation, calibration) = (sums(1), sums(2));
        let union = identities(&evaluation).union(&identities(&calibration)).count();
        let (own, other) = evaluation.clone().apart(calibration.clone());
        assert!(identities(&own).is_disjoint(&identities(&other)));
        assert_eq!(own.len() + other.len(), union);
        // Both keep both groups, and what they share is halved.
        assert_eq!((own.groups.len(), other.groups.len()), (2, 2));
        let of_first = |set: &ProblemSet| set.problems.iter().filter(|problem| problem.group == 0).count();
        let (all, own, other) = (of_first(&evaluation), of_first(&own), of_first(&other));
        assert_eq!((own, other), (all.div_ceil(2), all / 2));
    }
}
