//! Numbers as axes show them.

/// Prefixes of the numbers from ten thousand on, with their exponents of ten, largest first.
const PREFIXES: [(i32, &str); 4] = [(12, "T"), (9, "G"), (6, "M"), (3, "k")];

/// Numbers from here on are shown with a prefix.
const PREFIXED_FROM: f64 = 1e4;
/// Numbers from here on, and those below [`SCIENTIFIC_BELOW`], are shown with a power of ten.
const SCIENTIFIC_FROM: f64 = 1e15;
const SCIENTIFIC_BELOW: f64 = 1e-3;

/// The value with all the digits that a step of `10^step_exponent` calls for, in the unit that suits `largest`, the
/// largest magnitude on the axis: the numbers of one axis are written alike.
pub(super) fn on_axis(value: f64, largest: f64, step_exponent: i32) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(SCIENTIFIC_BELOW..SCIENTIFIC_FROM).contains(&largest) {
        let digits = (value.abs().log10() + 1e-9).floor() as i32 - step_exponent;
        return format!("{value:.digits$e}", digits = digits.clamp(0, 15) as usize);
    }
    let (unit_exponent, prefix) = prefix(largest);
    let digits = (unit_exponent - step_exponent).clamp(0, 15) as usize;
    format!("{:.digits$}{prefix}", value / 10f64.powi(unit_exponent))
}

/// The value on its own, for axes on which it stands beside others of other magnitudes.
pub(super) fn alone(value: f64) -> String {
    let magnitude = value.abs();
    if value != 0.0 && !(SCIENTIFIC_BELOW..SCIENTIFIC_FROM).contains(&magnitude) {
        return format!("{value:e}");
    }
    let (unit_exponent, prefix) = prefix(magnitude);
    format!("{}{prefix}", value / 10f64.powi(unit_exponent))
}

/// Two to this power: written out while that is short, else as a power.
pub(super) fn power_of_two(exponent: i32) -> String {
    match exponent {
        -4..=20 => 2f64.powi(exponent).to_string(),
        _ => format!("2^{exponent}"),
    }
}

fn prefix(magnitude: f64) -> (i32, &'static str) {
    let fits = |(exponent, _): &(i32, &str)| magnitude >= PREFIXED_FROM && magnitude >= 10f64.powi(*exponent);
    PREFIXES.into_iter().find(fits).unwrap_or((0, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_ten_thousand_are_plain() {
        assert_eq!(on_axis(9_000.0, 9_000.0, 3), "9000");
        assert_eq!(on_axis(0.25, 1.0, -2), "0.25");
        assert_eq!(on_axis(0.0, 1.0, -2), "0");
        assert_eq!(alone(500.0), "500");
        assert_eq!(alone(0.05), "0.05");
    }

    #[test]
    fn large_numbers_carry_a_prefix() {
        // Steps of 2000 and of 500 up to 12,000: whole thousands, and one decimal.
        assert_eq!(on_axis(2_000.0, 12_000.0, 3), "2k");
        assert_eq!(on_axis(1_500.0, 12_000.0, 2), "1.5k");
        assert_eq!(on_axis(3_400_000.0, 4e6, 5), "3.4M");
        assert_eq!(alone(20_000.0), "20k");
        assert_eq!(alone(-5e9), "-5G");
    }

    #[test]
    fn extreme_numbers_carry_a_power_of_ten() {
        assert_eq!(on_axis(2.5e-5, 1e-4, -6), "2.5e-5");
        assert_eq!(on_axis(1e-5, 1e-4, -5), "1e-5");
        assert_eq!(alone(1e20), "1e20");
        assert_eq!(alone(5e-324), "5e-324");
    }

    #[test]
    fn powers_of_two_are_written_out_while_short() {
        assert_eq!(power_of_two(-2), "0.25");
        assert_eq!(power_of_two(0), "1");
        assert_eq!(power_of_two(15), "32768");
        assert_eq!(power_of_two(30), "2^30");
        assert_eq!(power_of_two(-7), "2^-7");
    }
}
