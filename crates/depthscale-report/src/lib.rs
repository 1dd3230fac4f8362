//! Self-contained HTML reports: facts, tables and line plots in one file.
//!
//! A [`Report`] is plain data: sections, and in them facts, tables, texts and plots. [`Report::to_html`] makes one page
//! of it that loads nothing and runs no script, so it can be mailed, archived and opened years later. Plots are inline
//! SVG in colours that colour-blind readers can tell apart, with a marker shape of their own for each series; the page
//! follows the reader's light or dark scheme, fits a narrow screen and prints.
//!
//! Everything measured is shown or accounted for: a point that an axis cannot place, a NaN or a zero on a logarithmic
//! axis, is left out and the caption says how many were. A plot without points says "nothing measured". The same report
//! always gives the same bytes.
//!
//! ```
//! use depthscale_report::{Axis, Item, LinePlot, Point, Report, Scale, Section, Series};
//!
//! let throughput = LinePlot {
//!     title: "Throughput by depth".to_owned(),
//!     x: Axis { label: "depth".to_owned(), scale: Scale::Log2 },
//!     y: Axis { label: "tokens/s".to_owned(), scale: Scale::Linear },
//!     series: vec![Series {
//!         name: "flex".to_owned(),
//!         points: vec![
//!             Point { x: 1.0, y: 410.0, spread: Some((402.0, 415.0)) },
//!             Point::from((2.0, 233.0)),
//!             Point::from((4.0, f64::NAN)),
//!         ],
//!         ..Series::default()
//!     }],
//!     ..LinePlot::default()
//! };
//! let report = Report {
//!     title: "Benchmark of <tiny>".to_owned(),
//!     lead: "One thread, three repeats.".to_owned(),
//!     sections: vec![Section {
//!         heading: "Speed".to_owned(),
//!         items: vec![Item::Facts(vec![("device".to_owned(), "cpu".to_owned())]), Item::Figure(throughput)],
//!         ..Section::default()
//!     }],
//! };
//!
//! let html = report.to_html()?;
//! assert!(html.contains("<h1>Benchmark of &lt;tiny&gt;</h1>"));
//! assert!(html.contains("1 point not drawn"));
//! # Ok::<(), depthscale_report::ReportError>(())
//! ```

mod error;
mod page;
mod plot;
mod report;
mod style;
mod table;

pub use error::ReportError;
pub use plot::{Axis, Line, LinePlot, Point, Scale, Series};
pub use report::{Item, Report, Section};
pub use table::{Align, Heading, Table};
