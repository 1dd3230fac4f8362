//! The shapes that mark the points of a series.

use plotters::prelude::{Circle, PathElement, Polygon, RGBColor, ShapeStyle};
use plotters::style::Color;

use super::drawing::{Canvas, Refusal};

/// Half the width of a marker, in units of the drawing.
const RADIUS: i32 = 8;

/// How thick the lines of open markers are.
const STROKE: u32 = 4;

/// A shape, told from the others without its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Shape {
    Disc,
    Square,
    TriangleUp,
    Diamond,
    TriangleDown,
    Cross,
    Ring,
    Plus,
}

impl Shape {
    pub(super) const ALL: [Self; 8] = [
        Self::Disc,
        Self::Square,
        Self::TriangleUp,
        Self::Diamond,
        Self::TriangleDown,
        Self::Cross,
        Self::Ring,
        Self::Plus,
    ];

    /// Draws the shape around a place on the canvas.
    pub(super) fn draw(self, canvas: &Canvas<'_>, centre: (i32, i32), colour: RGBColor) -> Result<(), Refusal> {
        let filled = ShapeStyle::from(&colour).filled();
        let open = colour.stroke_width(STROKE);
        let around = |offsets: &[(i32, i32)]| -> Vec<(i32, i32)> {
            offsets.iter().map(|(right, down)| (centre.0 + right, centre.1 + down)).collect()
        };
        let polygon = |corners: &[(i32, i32)]| canvas.draw(&Polygon::new(around(corners), filled));
        let strokes = |ends: [[(i32, i32); 2]; 2]| {
            ends.iter().try_for_each(|ends| canvas.draw(&PathElement::new(around(ends), open)))
        };
        let r = RADIUS;
        match self {
            Self::Disc => canvas.draw(&Circle::new(centre, r, filled)),
            Self::Ring => canvas.draw(&Circle::new(centre, r - 1, open)),
            Self::Square => polygon(&[(1 - r, 1 - r), (r - 1, 1 - r), (r - 1, r - 1), (1 - r, r - 1)]),
            Self::Diamond => polygon(&[(0, -r - 2), (r + 2, 0), (0, r + 2), (-r - 2, 0)]),
            Self::TriangleUp => polygon(&[(0, -r - 2), (r + 1, r - 2), (-r - 1, r - 2)]),
            Self::TriangleDown => polygon(&[(0, r + 2), (r + 1, 2 - r), (-r - 1, 2 - r)]),
            Self::Cross => strokes([[(-r, -r), (r, r)], [(-r, r), (r, -r)]]),
            Self::Plus => strokes([[(-r - 1, 0), (r + 1, 0)], [(0, -r - 1), (0, r + 1)]]),
        }
    }
}
