//! The report of results, with plots.

mod figures;

use depthscale_report::{Align, Heading, Item, Report, Section, Table};
use depthscale_types::ComputeDtype;
use jiff::Timestamp;

use crate::compare::{Compared, latest};
use crate::record::{MeasuredDevice, Record};
use crate::summary::{COLUMNS, ColumnKind, significant};

/// A report of results, and of how they compare with earlier ones. Where a case was measured more than once, its last
/// result counts.
pub fn report(records: &[Record], compared: Option<&Compared<'_>>) -> Report {
    let records = latest(records);
    let models = distinct(&records, |record| record.model.name.clone());
    let mut sections = vec![conditions(&records)];
    for model in &models {
        let own: Vec<&Record> = records.iter().copied().filter(|record| record.model.name == *model).collect();
        sections.push(Section {
            heading: format!("{model}: {} parameters", grouped(own[0].model.parameters)),
            text: Some(describe(own[0])),
            items: figures::all(&own).into_iter().map(Item::Figure).collect(),
        });
        sections.push(Section {
            heading: format!("{model}: every case"),
            text: None,
            items: vec![Item::Table(table(&own))],
        });
    }
    sections.extend(compared.map(comparison));
    sections.push(reading());
    Report {
        title: format!("DepthScale benchmark: {}", models.join(", ")),
        lead:
            "Speed and memory of looped language models by backend, depth and context. Every figure is a median over \
               samples; bars show the quartiles."
                .into(),
        sections,
    }
}

/// The values of records that differ, in the order in which they come.
fn distinct<T: PartialEq>(records: &[&Record], value: impl Fn(&Record) -> T) -> Vec<T> {
    let mut values = Vec::new();
    for value in records.iter().map(|record| value(record)) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

fn conditions(records: &[&Record]) -> Section {
    let mut items = Vec::new();
    for (machine, build) in distinct(records, |record| (record.machine.clone(), record.build.clone())) {
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let on_it = |record: &&&Record| record.machine == machine && record.build == build;
        let runs = distinct(&records.iter().filter(on_it).copied().collect::<Vec<_>>(), |record| record.started);
        items.push(Item::Facts(vec![
            fact("processor", format!("{}, {} threads, {}", machine.processor, machine.threads, machine.arch)),
            fact("memory", gibibytes(machine.memory)),
            fact("system", machine.os.clone()),
            fact("measured", span(&runs)),
            fact(
                "DepthScale",
                format!("{}, revision {}", build.version, build.revision.as_deref().unwrap_or("unknown")),
            ),
            fact("features", build.features.join(", ")),
            fact("burn", build.burn.clone()),
            fact("compiler", format!("rustc {}, {}, opt-level {}", build.rustc, build.target, build.opt_level)),
        ]));
    }
    let headings = ["backend", "device", "dtype", "memory, GB/s", "large product, GFLOP/s"];
    let site = |record: &Record| (record.device.clone(), record.case.dtype);
    let row = |(device, dtype): (MeasuredDevice, ComputeDtype)| {
        let own = || records.iter().filter(|record| record.device == device && record.case.dtype == dtype);
        vec![
            device.backend.clone(),
            match device.class.as_str() {
                "software" => format!("{} (computed by the processor)", device.name),
                _ => device.name.clone(),
            },
            dtype.to_string(),
            range(own().map(|record| record.ceiling.bytes_per_second / 1e9)),
            range(own().map(|record| record.ceiling.flops_per_second / 1e9)),
        ]
    };
    let rows = distinct(records, site).into_iter().map(row).collect();
    let align = |index| if index < 3 { Align::Left } else { Align::Right };
    items.push(Item::Table(Table {
        headings: headings.iter().enumerate().map(|(at, text)| heading(text, align(at))).collect(),
        rows,
        caption: Some(
            "Ceilings, measured on the same device in the same run: memory in every case, products once".into(),
        ),
    }));
    Section { heading: "Where and how".into(), text: None, items }
}

/// The least and the most, or what both are.
fn range(values: impl Iterator<Item = f64>) -> String {
    let (least, most) =
        values.fold((f64::INFINITY, 0.0f64), |(least, most), value| (least.min(value), most.max(value)));
    let (least, most) = (significant(least), significant(most));
    if least == most { least } else { format!("{least} to {most}") }
}

/// From the first run to the last.
fn span(runs: &[Timestamp]) -> String {
    match (runs.iter().min(), runs.iter().max()) {
        (Some(first), Some(last)) if first != last => format!("{} runs, {first:.0} to {last:.0}", runs.len()),
        (Some(only), _) => format!("{only:.0}"),
        _ => String::new(),
    }
}

fn describe(record: &Record) -> String {
    let config = &record.model.config;
    let weights = if record.model.random { "random weights" } else { "weights of its checkpoint" };
    let outside = config.prelude.iter().chain(config.readout_stack()).map(|stack| stack.n_layers).sum::<usize>();
    let layers = match outside {
        0 => format!("{} layers in the loop", config.core.n_layers),
        _ => format!("{} layers in the loop and {outside} outside", config.core.n_layers),
    };
    format!(
        "Family {}, {weights}, width {}, {layers}, vocabulary {}, {} steps by its own config.",
        record.model.family,
        config.d_model,
        grouped(config.vocab_size as u64),
        config.depth
    )
}

fn table(records: &[&Record]) -> Table {
    let columns = COLUMNS.iter().filter(|column| column.heading != "model");
    let align = |kind| if kind == ColumnKind::Name { Align::Left } else { Align::Right };
    Table {
        headings: columns.clone().map(|column| heading(column.heading, align(column.kind))).collect(),
        rows: records.iter().map(|record| columns.clone().map(|column| (column.text)(record)).collect()).collect(),
        caption: None,
    }
}

fn comparison(compared: &Compared<'_>) -> Section {
    let columns = COLUMNS.iter().filter(|column| column.kind != ColumnKind::Figure);
    let figures = ["before, tokens/s", "now, tokens/s", "times as fast", "from", "to", "verdict"];
    let headings = columns.clone().map(|column| heading(column.heading, Align::Left));
    let headings = headings.chain(figures.iter().map(|text| heading(text, Align::Right))).collect();
    let row = |comparison: &crate::compare::Comparison<'_>| {
        let (old, new) = (comparison.old.tokens_per_second(), comparison.new.tokens_per_second());
        let cells = columns.clone().map(|column| (column.text)(comparison.new));
        cells
            .chain([
                significant(old.median),
                significant(new.median),
                significant(comparison.speed.median),
                significant(comparison.speed.lower),
                significant(comparison.speed.upper),
                comparison.verdict.name().into(),
            ])
            .collect()
    };
    let mut text = format!(
        "{} cases were measured before and now; {} only before, {} only now. The range of a ratio is what the quartiles \
         of both sides allow.",
        compared.both.len(),
        compared.only_old.len(),
        compared.only_new.len()
    );
    for difference in &compared.differences {
        text.push_str(&format!("\n\nNot the code alone differs: {difference}."));
    }
    Section {
        heading: "Compared with earlier results".into(),
        text: Some(text),
        items: vec![Item::Table(Table { headings, rows: compared.both.iter().map(row).collect(), caption: None })],
    }
}

fn reading() -> Section {
    Section {
        heading: "How to read this".into(),
        text: Some(
            "A sample is one prefill of the whole context, or one decoded token of every sequence. Tokens per second count \
             all sequences; milliseconds per token are those of one.\n\nBytes and operations are the least that the model \
             needs, counted from its config: weights once for every chunk of rows and every step, keys and values written \
             and read, two operations for a multiplication and an addition. GB/s and GFLOP/s are these over the median \
             time, so that no implementation looks busier for moving more. A share above 100% means that part of it stayed in \
             caches that the large buffers of the ceiling do not fit, or was read faster than a plain sum reads.\n\nMemory is \
             what was in use at the most (on devices with pools: after the run, without activations), and in brackets what \
             was predicted. Reserved is what such pools have taken from the driver."
                .into(),
        ),
        items: Vec::new(),
    }
}

fn heading(text: &str, align: Align) -> Heading {
    Heading { text: text.into(), align }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Thousands apart.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let all: Vec<String> = (!head.is_empty()).then(|| head.to_owned()).into_iter().chain(groups).collect();
    all.join(",")
}
