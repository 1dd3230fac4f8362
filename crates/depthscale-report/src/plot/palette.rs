//! Which colour and which marker a series has.
//!
//! The colours are those of Okabe and Ito, "Color Universal Design" (2008), which colour-blind readers can tell apart,
//! with the light ones darkened for white paper. The drawing names the light colours; on a dark page the style sheet
//! puts the dark ones in their place.

use std::fmt::Write as _;

use plotters::style::RGBColor;

use super::marker::Shape;

/// A colour on light and on dark ground.
struct Hue {
    light: RGBColor,
    dark: RGBColor,
}

const HUES: [Hue; 8] = [
    Hue { light: RGBColor(0x00, 0x72, 0xB2), dark: RGBColor(0x5B, 0x9D, 0xFF) }, // blue
    Hue { light: RGBColor(0xD5, 0x5E, 0x00), dark: RGBColor(0xFF, 0x8A, 0x3D) }, // vermilion
    Hue { light: RGBColor(0x00, 0x9E, 0x73), dark: RGBColor(0x2F, 0xC9, 0x9A) }, // green
    Hue { light: RGBColor(0xBF, 0x62, 0x98), dark: RGBColor(0xEB, 0xA5, 0xCB) }, // purple
    Hue { light: RGBColor(0x3A, 0x3A, 0x3A), dark: RGBColor(0xD8, 0xD8, 0xD8) }, // ink
    Hue { light: RGBColor(0xC9, 0x8A, 0x00), dark: RGBColor(0xE6, 0x9F, 0x00) }, // orange
    Hue { light: RGBColor(0x3D, 0x9C, 0xD9), dark: RGBColor(0xA3, 0xDD, 0xFF) }, // sky
    Hue { light: RGBColor(0x8C, 0x82, 0x00), dark: RGBColor(0xF0, 0xE4, 0x42) }, // yellow
];

/// The axes and the lines across the plot. What they are drawn with says only what they are: the style sheet has the
/// colours.
pub(super) const AXIS: RGBColor = RGBColor(0x7A, 0x83, 0x8D);
pub(super) const GRID: RGBColor = RGBColor(0xE6, 0xE9, 0xED);

/// The colour of the series at this place, from 0.
pub(super) fn colour(series: usize) -> RGBColor {
    HUES[series % HUES.len()].light
}

/// The marker of the series at this place, from 0. Where colours come round again, the markers have moved on by one.
pub(super) fn shape(series: usize) -> Shape {
    let n_shapes = Shape::ALL.len();
    Shape::ALL[(series + series / HUES.len()) % n_shapes]
}

/// The rules that put the colours of the scheme in place of those drawn with.
pub(crate) fn css() -> String {
    let mut css = String::new();
    for (colour, variable) in [(AXIS, "axis"), (GRID, "grid")] {
        let _ = writeln!(css, ".plot [stroke=\"{}\"] {{ stroke: var(--{variable}); }}", hex(colour));
    }
    css.push_str("@media screen and (prefers-color-scheme: dark) {\n");
    for Hue { light, dark } in HUES {
        let (light, dark) = (hex(light), hex(dark));
        let _ = writeln!(css, "  figure [stroke=\"{light}\"] {{ stroke: {dark}; }}");
        let _ = writeln!(css, "  figure [fill=\"{light}\"] {{ fill: {dark}; }}");
    }
    css.push_str("}\n");
    css
}

/// The colour as the SVG backend writes it; attributes are compared by the letter.
fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn sixty_four_series_differ_in_colour_or_marker() {
        let looks: HashSet<_> = (0..64).map(|series| (hex(colour(series)), shape(series))).collect();
        assert_eq!(looks.len(), 64);
        assert_eq!(shape(8), Shape::ALL[1], "the ninth series has the first colour and the second marker");
    }

    #[test]
    fn all_colours_are_different() {
        let mut colours: Vec<String> = HUES.iter().flat_map(|hue| [hex(hue.light), hex(hue.dark)]).collect();
        colours.extend([hex(AXIS), hex(GRID)]);
        assert_eq!(colours.iter().collect::<HashSet<_>>().len(), colours.len());
    }
}
