//! What the operating system says of processor and memory.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// A machine, as its operating system describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The operating system and its version.
    pub os: String,
    /// The processor's name.
    pub processor: String,
    /// Bytes of memory.
    pub memory: u64,
}

/// The machine that the program runs on.
pub fn machine() -> Machine {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    Machine {
        os: System::long_os_version().unwrap_or_else(|| std::env::consts::OS.into()),
        processor: processor(),
        memory: system.total_memory(),
    }
}

/// The name of the processor, as far as the system knows it.
pub(crate) fn processor() -> String {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let name = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default();
    if name.is_empty() { std::env::consts::ARCH.into() } else { name }
}

/// Bytes of memory that programs can still take, or `None` where the system does not tell. A limit that a container puts on
/// the process counts.
pub(crate) fn free_memory() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let free = match system.cgroup_limits() {
        Some(limits) => system.available_memory().min(limits.free_memory),
        None => system.available_memory(),
    };
    (free > 0).then_some(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_processor_and_memory() {
        assert!(!processor().is_empty());
        let Machine { os, memory, .. } = machine();
        assert!(!os.is_empty() && memory > 1 << 20);
        assert!(free_memory().is_some_and(|free| free > 1 << 20));
    }
}
