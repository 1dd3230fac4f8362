//! `depthscale backends`

use std::io::{self, Write};

use anstyle::Style;
use clap::Args;
use depthscale::backends::{BackendError, BackendKind, Device, DeviceClass, ReportedFault, devices};
use depthscale::types::ComputeDtype;
use serde_json::json;

use crate::display::{Align, Cell, Paint, Table, bytes};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A device that was asked to compute.
struct Asked {
    device: Device,
    /// The dtypes that came out right, or why none did.
    dtypes: Result<Vec<ComputeDtype>, BackendError>,
}

impl Asked {
    fn new(device: Device) -> Self {
        let dtypes = device.check_dtype(ComputeDtype::F32).map(|()| device.dtypes());
        Self { device, dtypes }
    }
}

type Listing = Vec<(BackendKind, Result<Vec<Asked>, BackendError>)>;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let ask = |found: Vec<Device>| found.into_iter().map(Asked::new).collect();
    let listing: Listing = devices().into_iter().map(|(kind, found)| (kind, found.map(ask))).collect();
    if arguments.json { print_json(&listing) } else { print(&listing) }
}

fn print(listing: &Listing) -> anyhow::Result<()> {
    let paint = Paint::stdout();
    let dimmed = Style::new().dimmed();
    let chosen = BackendKind::Auto.probe().ok().map(|device| device.kind);
    let mut table = Table::new([Align::Left, Align::Left, Align::Left, Align::Right, Align::Left]);
    table.headings(&["--backend", "device", "dtypes", "free memory", ""]);
    for (kind, found) in listing {
        match found {
            Ok(found) => {
                for asked in found {
                    let style = if Some(asked.device.kind) == chosen { Style::new().bold() } else { Style::new() };
                    table.row(row(asked, style));
                }
            }
            Err(error) => {
                let why = error.to_string().replace('\n', " ");
                table.row([Cell::new(kind.name()), Cell::styled(dimmed, why)]);
            }
        }
    }
    let mut stdout = io::stdout().lock();
    for line in table.lines(paint) {
        writeln!(stdout, "{line}")?;
    }
    match chosen {
        Some(kind) => writeln!(stdout, "\n--backend auto chooses {kind} here.")?,
        None => writeln!(stdout, "\n--backend auto finds nothing here.")?,
    }
    let ways = run_features();
    if !ways.is_empty() {
        writeln!(stdout, "Built with {}.", ways.join(" and "))?;
    }
    for kind in BackendKind::compiled_in() {
        for ReportedFault { issue, what } in kind.reported_faults() {
            writeln!(stdout, "Reported to burn, issue {issue}: {what}.")?;
        }
    }
    let missing: Vec<&str> = missing().collect();
    if !missing.is_empty() {
        writeln!(stdout, "Not in this build: {}. To add them:", missing.join(", "))?;
        let all: Vec<&str> = features().into_iter().chain(missing).collect();
        writeln!(stdout, "  cargo build --release -p depthscale-cli --features {}", all.join(","))?;
    }
    Ok(())
}

fn row(asked: &Asked, style: Style) -> Vec<Cell> {
    let device = &asked.device;
    let remark = match (&asked.dtypes, device.class) {
        (Err(error), _) => error.to_string().replace('\n', " "),
        (Ok(_), DeviceClass::Software) => "computed by the CPU: right, and slow".into(),
        (Ok(_), DeviceClass::Cpu | DeviceClass::Gpu) => String::new(),
    };
    let dtypes = asked.dtypes.as_deref().unwrap_or_default();
    let dtypes: Vec<&str> = dtypes.iter().map(|dtype| dtype.name()).collect();
    vec![
        Cell::styled(style, device.kind.to_string()),
        Cell::styled(style, device.name.clone()),
        Cell::new(dtypes.join(" ")),
        Cell::new(device.free_memory.map_or_else(|| "not told".into(), bytes)),
        Cell::styled(Style::new().dimmed(), remark),
    ]
}

/// Backends that this build does not hold.
fn missing() -> impl Iterator<Item = &'static str> {
    BackendKind::ALL.into_iter().filter(|kind| !kind.is_compiled_in()).map(BackendKind::feature)
}

/// The cargo features that decide what runs: backends, and how WGPU and CUDA run.
pub(crate) fn features() -> Vec<&'static str> {
    BackendKind::compiled_in().into_iter().map(BackendKind::feature).chain(run_features()).collect()
}

/// How WGPU and CUDA run in this build.
fn run_features() -> Vec<&'static str> {
    [("fusion", cfg!(feature = "fusion")), ("autotune", cfg!(feature = "autotune"))]
        .into_iter()
        .filter_map(|(name, on)| on.then_some(name))
        .collect()
}

/// Numbers of the issues that are reported of this build's backends.
fn reported() -> impl Iterator<Item = u32> {
    BackendKind::compiled_in().into_iter().flat_map(|kind| kind.reported_faults()).map(|fault| fault.issue)
}

fn print_json(listing: &Listing) -> anyhow::Result<()> {
    let device = |asked: &Asked| {
        json!({
            "backend": asked.device.kind.to_string(),
            "name": asked.device.name,
            "class": asked.device.class.name(),
            "dtypes": asked.dtypes.as_deref().unwrap_or_default(),
            "error": asked.dtypes.as_ref().err().map(ToString::to_string),
            "free_memory": asked.device.free_memory,
            "largest_buffer": asked.device.largest_buffer,
        })
    };
    let backend = |(kind, found): &(BackendKind, Result<Vec<Asked>, BackendError>)| {
        json!({
            "backend": kind.name(),
            "devices": found.as_deref().unwrap_or_default().iter().map(device).collect::<Vec<_>>(),
            "error": found.as_ref().err().map(ToString::to_string),
        })
    };
    let report = json!({
        "compiled_in": listing.iter().map(backend).collect::<Vec<_>>(),
        "not_compiled_in": missing().collect::<Vec<_>>(),
        "features": run_features(),
        "reported": reported().collect::<Vec<_>>(),
        "auto": BackendKind::Auto.probe().ok().map(|device| device.kind.to_string()),
    });
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    Ok(())
}
