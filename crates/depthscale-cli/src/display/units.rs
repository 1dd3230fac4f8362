//! Numbers for people.

/// Thousands apart: `1,434,652,673`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in the largest binary unit that leaves at least one: `1.5 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Something per second: three digits are enough.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second >= 100.0 { grouped(per_second.round() as u64) } else { format!("{per_second:.1}") }
}

/// Three significant digits: `0.0312`, `1.25`, `3.1e-7`.
pub(crate) fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 {
        "0".into()
    } else if !(1e-3..1e6).contains(&magnitude) {
        format!("{value:.1e}")
    } else {
        let digits_before = magnitude.log10().floor() as i32 + 1;
        format!("{value:.*}", (3 - digits_before).max(0) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1_000, 1_434_652_673].map(grouped), ["0", "999", "1,000", "1,434,652,673"]);
        assert_eq!([1_023, 1_536, 5 << 30].map(bytes), ["1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!([7.04, 1210.4].map(rate), ["7.0", "1,210"]);
        assert_eq!([0.0, 0.0314, 1.25, 100.0, 3.14e-7].map(significant), ["0", "0.0314", "1.25", "100", "3.1e-7"]);
    }
}
