//! Results beside earlier ones.

use crate::record::Record;
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
    /// What differs beside DepthScale's code and makes ratios say less: machine, device, features, versions.
    pub differences: Vec<String>,
}

/// Compares results with earlier ones. Where a side measured a case more than once, its last result counts, one under the
/// same conditions before others.
pub fn compare<'r>(old: &'r [Record], new: &'r [Record]) -> Compared<'r> {
    let (old, new) = (latest(old), latest(new));
    let mut compared = Compared::default();
    for &record in &new {
        let same = || old.iter().rev().copied().filter(|before| before.measures_the_same(record));
        let before = same().find(|before| before.under_the_same_conditions(record)).or_else(|| same().next());
        match before {
            Some(before) => compared.both.push(comparison(before, record)),
            None => compared.only_new.push(record),
        }
    }
    let again = |before: &Record| new.iter().any(|record| record.measures_the_same(before));
    compared.only_old = old.iter().copied().filter(|before| !again(before)).collect();
    for Comparison { old, new, .. } in &compared.both {
        for (what, value) in CONDITIONS {
            let (before, now) = (value(old), value(new));
            let difference = format!("{what}: {before} before, {now} now");
            if before != now && !compared.differences.contains(&difference) {
                compared.differences.push(difference);
            }
        }
    }
    compared
}

/// A condition's name and its value in a record.
type Condition = (&'static str, fn(&Record) -> String);

/// What may differ beside DepthScale's code.
const CONDITIONS: [Condition; 8] = [
    ("machine", |record| format!("{}, {}", record.machine.processor, record.machine.os)),
    ("threads", |record| record.machine.threads.to_string()),
    ("device", |record| record.device.name.clone()),
    ("features", |record| record.build.features.join("+")),
    ("burn", |record| record.build.burn.clone()),
    ("compiler", |record| format!("rustc {} for {}", record.build.rustc, record.build.target)),
    ("optimisation", |record| record.build.opt_level.clone()),
    ("timing", |record| format!("{:?}", record.timing)),
];

fn comparison<'r>(old: &'r Record, new: &'r Record) -> Comparison<'r> {
    let speed = old.time().over(new.time());
    let verdict = match speed {
        Spread { lower, .. } if lower > 1.0 => Verdict::Faster,
        Spread { upper, .. } if upper < 1.0 => Verdict::Slower,
        _ => Verdict::Within,
    };
    Comparison { old, new, speed, verdict }
}

/// The last record of each case under the same conditions, where the first stood.
pub fn latest(records: &[Record]) -> Vec<&Record> {
    let mut kept: Vec<&Record> = Vec::new();
    for record in records {
        let again =
            |earlier: &&mut &Record| earlier.measures_the_same(record) && earlier.under_the_same_conditions(record);
        match kept.iter_mut().find(again) {
            Some(earlier) => *earlier = record,
            None => kept.push(record),
        }
    }
    kept
}
