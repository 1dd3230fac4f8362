//! The names of backends.

use std::str::FromStr;

use depthscale_types::Error;

/// A backend, whether compiled in or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// burn-flex on the CPU.
    Flex,
    /// burn-ndarray on the CPU.
    Ndarray,
}

impl BackendKind {
    /// Every backend, the one to prefer first.
    pub const ALL: [Self; 2] = [Self::Flex, Self::Ndarray];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Ndarray => "ndarray",
        }
    }

    /// The cargo feature that compiles it in.
    pub fn feature(self) -> &'static str {
        self.name()
    }

    /// Whether this build holds it.
    pub fn is_compiled_in(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::Ndarray => cfg!(feature = "ndarray"),
        }
    }

    /// The backends this build holds, the one to prefer first.
    pub fn compiled_in() -> Vec<Self> {
        Self::ALL.into_iter().filter(|kind| kind.is_compiled_in()).collect()
    }
}

impl Default for BackendKind {
    /// The best one compiled in; [`BackendKind::Flex`] in a build without any.
    fn default() -> Self {
        Self::compiled_in().first().copied().unwrap_or(Self::ALL[0])
    }
}

impl std::fmt::Display for BackendKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BackendKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| Error::UnknownName {
            what: "backend",
            value: text.into(),
            allowed: Self::ALL.map(Self::name).join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in BackendKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let error = "cpu".parse::<BackendKind>().expect_err("no such backend").to_string();
        assert_eq!(error, "backend \"cpu\" is not known; known are: flex, ndarray");
    }

    #[test]
    fn the_default_is_compiled_in_where_anything_is() {
        let kinds = BackendKind::compiled_in();
        assert!(kinds.is_empty() || kinds[0] == BackendKind::default());
    }
}
