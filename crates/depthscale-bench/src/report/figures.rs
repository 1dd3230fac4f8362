//! Plots of results: one quantity against one setting, a line for each way of computing.

use depthscale_report::{Axis, Line, LinePlot, Point, Scale, Series};
use depthscale_types::{CacheDtype, ComputeDtype, KvRetention, MeasuredMemory, MemoryQuery, WeightFormat};

use super::distinct;
use crate::record::{Phase, Record};
use crate::statistics::Spread;

/// The plots of one model's results; those that would be of a single point are left out.
pub(super) fn all(records: &[&Record]) -> Vec<LinePlot> {
    let mut plots = Vec::new();
    for phase in [Phase::Decode, Phase::Prefill] {
        let own: Vec<&Record> = records.iter().copied().filter(|record| record.case.phase == phase).collect();
        plots.extend(against_depth(&own, phase, "tokens per second", Scale::Log10, speed));
        plots.extend(against_context(&own, phase));
        plots.extend(against_batch(&own, phase));
    }
    plots.extend(memory(records));
    for phase in [Phase::Decode, Phase::Prefill] {
        let own: Vec<&Record> = records.iter().copied().filter(|record| record.case.phase == phase).collect();
        let (label, share): (_, fn(&Record) -> Point) = match phase {
            Phase::Decode => ("% of the device's bandwidth", |record| share(record, record.share_of_bandwidth())),
            Phase::Prefill => ("% of a large product's rate", |record| share(record, record.share_of_product())),
        };
        plots.extend(against_depth(&own, phase, label, Scale::Linear, share));
    }
    plots
}

/// Tokens per second, placed by depth.
fn speed(record: &Record) -> Point {
    rate_at(record.case.depth, record.tokens_per_second())
}

fn rate_at(x: usize, rate: Spread) -> Point {
    Point { x: x as f64, y: rate.median, spread: Some((rate.lower, rate.upper)) }
}

fn share(record: &Record, share: f64) -> Point {
    Point::from((record.case.depth as f64, 100.0 * share))
}

fn against_depth(
    records: &[&Record],
    phase: Phase,
    label: &str,
    scale: Scale,
    point: impl Fn(&Record) -> Point,
) -> Option<LinePlot> {
    let group = |record: &Record| (record.case.context, record.case.batch);
    let ((context, batch), own) = most_varied(records, group, |record| record.case.depth)?;
    let title = format!("{}: {label} by depth", capital(phase));
    let caption = format!("Context {context}, {}.", sequences(batch));
    plot(title, caption, "steps", (label, scale), lines(&own, point))
}

fn against_context(records: &[&Record], phase: Phase) -> Option<LinePlot> {
    let group = |record: &Record| (not_its_own(record), record.case.depth, record.case.batch);
    let ((_, depth, batch), own) = most_varied(records, group, |record| record.case.context)?;
    let title = format!("{}: tokens per second by context", capital(phase));
    let caption = format!("{}, {}.", steps(depth), sequences(batch));
    let point = |record: &Record| rate_at(record.case.context, record.tokens_per_second());
    plot(title, caption, "tokens of context", ("tokens per second", Scale::Log10), lines(&own, point))
}

fn against_batch(records: &[&Record], phase: Phase) -> Option<LinePlot> {
    let group = |record: &Record| (not_its_own(record), record.case.depth, record.case.context);
    let ((_, depth, context), own) = most_varied(records, group, |record| record.case.batch)?;
    let title = format!("{}: tokens per second by batch", capital(phase));
    let caption = format!("{}, context {context}; all sequences together.", steps(depth));
    let point = |record: &Record| rate_at(record.case.batch, record.tokens_per_second());
    plot(title, caption, "sequences", ("tokens per second", Scale::Log10), lines(&own, point))
}

/// Memory while decoding by depth: what was measured, and what is predicted under every retention policy.
fn memory(records: &[&Record]) -> Option<LinePlot> {
    let decode: Vec<&Record> = records.iter().copied().filter(|record| record.case.phase == Phase::Decode).collect();
    let group = |record: &Record| (record.case.context, record.case.batch);
    let vary = |record: &Record| (record.case.depth, record.case.retention.name());
    let ((context, batch), own) = most_varied(&decode, group, vary)?;
    let mut depths = distinct(&own, |record| record.case.depth);
    depths.sort_unstable();
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let measured: Vec<&Record> = own.iter().copied().filter(|record| record.memory.measured.is_some()).collect();
    let mut series = lines(&measured, |record| {
        let bytes = record.memory.measured.as_ref().map_or(0, MeasuredMemory::total);
        Point::from((record.case.depth as f64, mebibytes(bytes)))
    });
    for line in &mut series {
        line.line = Line::MarkersOnly;
        line.name.push_str(", measured");
    }
    for dtype in distinct(&own, formats) {
        let Some(like) = own.iter().find(|record| formats(record) == dtype) else { continue };
        let config = &like.model.config;
        for retention in KvRetention::ALL.into_iter().filter(|retention| retention.validate(config).is_ok()) {
            let point = |&depth: &usize| {
                let query = MemoryQuery { depth, retention, ..like.memory.query };
                Point::from((depth as f64, mebibytes(config.predict_memory(&query).total())))
            };
            let name = format!("{}, {retention}, predicted", name_of(dtype));
            series.push(Series { name, points: depths.iter().map(point).collect(), line: Line::Dashed });
        }
    }
    let caption = format!(
        "Context {context}, {}. Weights are the same at every depth: all steps share them. What grows is a slot for every \
         step under per-step retention.",
        sequences(batch)
    );
    plot("Decode: memory by depth".into(), caption, "steps", ("MiB", Scale::Linear), series)
}

/// The group of records in which a setting takes the most values, and those records; the least such group.
fn most_varied<'r, G: Ord, V: PartialEq>(
    records: &[&'r Record],
    group: impl Fn(&Record) -> G,
    setting: impl Fn(&Record) -> V,
) -> Option<(G, Vec<&'r Record>)> {
    let mut groups = distinct(records, &group);
    groups.sort();
    let of = |wanted: &G| records.iter().copied().filter(|record| group(record) == *wanted).collect::<Vec<_>>();
    // The first of the largest: `max_by_key` takes the last.
    let best = groups.into_iter().rev().max_by_key(|wanted| distinct(&of(wanted), &setting).len())?;
    let own = of(&best);
    Some((best, own))
}

/// What a model was computed in and kept in.
fn formats(record: &Record) -> Formats {
    (record.case.dtype, record.case.weights, record.case.cached_in())
}

/// What is computed in, and what weights and caches are kept in.
type Formats = (ComputeDtype, WeightFormat, CacheDtype);

/// The dtype alone where weights and caches are kept in it; else what is kept in others.
fn name_of((dtype, weights, caches): Formats) -> String {
    let weights = if weights == dtype.into() { dtype.to_string() } else { format!("weights {weights}") };
    if caches == dtype.into() { weights } else { format!("{weights}, caches {caches}") }
}

/// Sorts records of the model's own depth first.
fn not_its_own(record: &Record) -> bool {
    record.case.depth != record.model.config.depth
}

/// A line for each backend, dtype and retention policy; what does not differ is left out of the names.
fn lines(records: &[&Record], point: impl Fn(&Record) -> Point) -> Vec<Series> {
    let way = |record: &Record| (record.device.backend.clone(), formats(record), record.case.retention);
    let several_dtypes = distinct(records, formats).len() > 1;
    let several_retentions = distinct(records, |record| record.case.retention).len() > 1;
    let series = |(backend, dtype, retention): (String, Formats, KvRetention)| {
        let own = records.iter().filter(|record| way(record) == (backend.clone(), dtype, retention));
        let mut points: Vec<Point> = own.map(|record| point(record)).collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        let mut name = backend;
        if several_dtypes {
            name.push_str(&format!(", {}", name_of(dtype)));
        }
        if several_retentions {
            name.push_str(&format!(", {retention}"));
        }
        Series { name, points, line: Line::Solid }
    };
    distinct(records, way).into_iter().map(series).collect()
}

/// `None` where no line has two points: nothing is seen of one.
fn plot(title: String, caption: String, x: &str, (y, scale): (&str, Scale), series: Vec<Series>) -> Option<LinePlot> {
    let worth_it = series.iter().any(|series| series.points.len() > 1);
    worth_it.then(|| LinePlot {
        title,
        caption: Some(caption),
        x: Axis { label: x.into(), scale: Scale::Log2 },
        y: Axis { label: y.into(), scale },
        series,
    })
}

fn steps(depth: usize) -> String {
    if depth == 1 { "One step".into() } else { format!("{depth} steps") }
}

fn sequences(batch: usize) -> String {
    if batch == 1 { "one sequence".into() } else { format!("{batch} sequences") }
}

fn capital(phase: Phase) -> &'static str {
    match phase {
        Phase::Prefill => "Prefill",
        Phase::Decode => "Decode",
    }
}
