//! How much memory the process has held. The CPU backends keep no count of their own.

/// The most memory this process has held at once, in bytes: `VmHWM` of Linux. `None` on other systems.
pub fn peak_resident_bytes() -> Option<u64> {
    let status =
        if cfg!(target_os = "linux") { std::fs::read_to_string("/proc/self/status").ok()? } else { return None };
    parse_peak(&status)
}

/// `VmHWM:     1234 kB`, in which kB means 1024 bytes.
fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_among_the_others() {
        assert_eq!(parse_peak("Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 7 kB\n"), Some(1234 * 1024));
        assert_eq!(parse_peak("Name:\tx\n"), None);
        assert_eq!(parse_peak("VmHWM:\tmuch\n"), None);
    }

    #[test]
    fn a_process_has_held_something_on_linux() {
        assert_eq!(peak_resident_bytes().is_some_and(|bytes| bytes > 0), cfg!(target_os = "linux"));
    }
}
