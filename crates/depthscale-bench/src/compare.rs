//! Results beside earlier ones.

use crate::record::{Key, Record};
use crate::statistics::Spread;

/// A case that both sides measured.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<'r> {
    /// The earlier result.
    pub old: &'r Record,
    /// The later one.
    pub new: &'r Record,
    /// How many times faster the later one is: medians, and the least and the most that the quartiles of both allow.
    pub speed: Spread,
    /// What the spread of the ratio says.
    pub verdict: Verdict,
}

/// What the spread of a ratio says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Faster by more than the samples spread.
    Faster,
    /// Slower by more than the samples spread.
    Slower,
    /// No further apart than the samples spread.
    Within,
}

impl Verdict {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Within => "within spread",
        }
    }
}

/// Results beside earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Compared<'r> {
    /// The cases that both measured, in the order of the later.
    pub both: Vec<Comparison<'r>>,
    /// Earlier cases that were not measured again.
    pub only_old: Vec<&'r Record>,
    /// Cases that were not measured before.
    pub only_new: Vec<&'r Record>,
    /// What differs beside the code and makes ratios say less: machine, device or optimisation.
    pub differences: Vec<String>,
}

/// Compares results with earlier ones. Where a side measured a case more than once, its last result counts.
pub fn compare<'r>(old: &'r [Record], new: &'r [Record]) -> Compared<'r> {
    let (old, new) = (latest(old), latest(new));
    let mut compared = Compared::default();
    for record in &new {
        match find(&old, &record.key()) {
            Some(before) => compared.both.push(comparison(before, record)),
            None => compared.only_new.push(record),
        }
    }
    compared.only_old = old.iter().copied().filter(|record| find(&new, &record.key()).is_none()).collect();
    for Comparison { old, new, .. } in &compared.both {
        let pairs = [
            (
                "machine",
                format!("{}, {}", old.machine.processor, old.machine.os),
                format!("{}, {}", new.machine.processor, new.machine.os),
            ),
            ("threads", old.machine.threads.to_string(), new.machine.threads.to_string()),
            ("device", old.device.name.clone(), new.device.name.clone()),
            ("optimisation", old.build.opt_level.clone(), new.build.opt_level.clone()),
        ];
        for (what, before, now) in pairs {
            let difference = format!("{what}: {before} before, {now} now");
            if before != now && !compared.differences.contains(&difference) {
                compared.differences.push(difference);
            }
        }
    }
    compared
}

fn comparison<'r>(old: &'r Record, new: &'r Record) -> Comparison<'r> {
    let speed = old.time().over(new.time());
    let verdict = match speed {
        Spread { lower, .. } if lower > 1.0 => Verdict::Faster,
        Spread { upper, .. } if upper < 1.0 => Verdict::Slower,
        _ => Verdict::Within,
    };
    Comparison { old, new, speed, verdict }
}

fn find<'r>(records: &[&'r Record], key: &Key) -> Option<&'r Record> {
    records.iter().copied().find(|record| record.key() == *key)
}

/// The last record of each case, where the first stood.
pub fn latest(records: &[Record]) -> Vec<&Record> {
    let mut kept: Vec<&Record> = Vec::new();
    for record in records {
        match kept.iter_mut().find(|earlier| earlier.key() == record.key()) {
            Some(earlier) => *earlier = record,
            None => kept.push(record),
        }
    }
    kept
}
