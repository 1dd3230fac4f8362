//! Line plots, as plain data.

mod axis_range;
mod drawing;
pub(crate) mod figure;
mod legend;
mod marker;
mod number;
pub(crate) mod palette;
mod placed;
mod ticks;

/// A plot of one or more series over the same two axes.
///
/// Each series has a colour and a marker shape of its own; no two of the first 64 series share both. The legend stands
/// below the plot, where it covers nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinePlot {
    /// The heading of the figure.
    pub title: String,
    /// What to know when reading it. How many points could not be drawn is added to it.
    pub caption: Option<String>,
    /// The axis along the bottom.
    pub x: Axis,
    /// The axis up the left side.
    pub y: Axis,
    /// What is plotted, first drawn first.
    pub series: Vec<Series>,
}

/// An axis of a plot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Axis {
    /// What is measured along it, with the unit.
    pub label: String,
    /// How values are placed.
    pub scale: Scale,
}

/// How values are placed along an axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scale {
    /// In proportion. Upwards it always includes zero, so that heights can be compared.
    ///
    /// Values beyond 1e300 either way cannot be placed.
    #[default]
    Linear,
    /// By the binary logarithm, with powers of two on the axis. Zero and below cannot be placed.
    Log2,
    /// By the decimal logarithm, with powers of ten on the axis. Zero and below cannot be placed.
    Log10,
}

/// Points that belong together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// The points, joined in this order.
    pub points: Vec<Point>,
    /// How they are joined.
    pub line: Line,
}

/// How the points of a series are joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Line {
    /// By a line: what was measured.
    #[default]
    Solid,
    /// By a dashed line: what was predicted.
    Dashed,
    /// Not at all.
    MarkersOnly,
}

/// One point of a series.
///
/// A point that an axis cannot place is left out, and its neighbours are joined.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// Where it lies along the bottom.
    pub x: f64,
    /// How high it lies.
    pub y: f64,
    /// The lowest and the highest `y` seen, drawn as an error bar.
    pub spread: Option<(f64, f64)>,
}

impl From<(f64, f64)> for Point {
    /// The point (x, y), without a spread.
    fn from((x, y): (f64, f64)) -> Self {
        Self { x, y, spread: None }
    }
}
