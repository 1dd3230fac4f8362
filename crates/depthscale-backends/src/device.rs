//! Devices that were found, and what they can hold.

use depthscale_types::{DecoderConfig, MemoryReport, WeightFormat};

use crate::{BackendError, BackendKind};

/// What a device is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceClass {
    /// The CPU, as such.
    Cpu,
    /// A GPU.
    Gpu,
    /// A GPU's interface computed by the CPU: right, and slow.
    Software,
}

impl DeviceClass {
    /// The name used in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
            Self::Software => "software",
        }
    }
}

/// A device that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The backend and device; never [`BackendKind::Auto`].
    pub kind: BackendKind,
    /// Its name, as the driver or the system gives it.
    pub name: String,
    /// What it is made of.
    pub class: DeviceClass,
    /// Bytes of memory free when it was looked at; `None` where the driver does not tell.
    pub free_memory: Option<u64>,
    /// The most bytes one tensor may have; `None` where memory is the only limit.
    pub largest_buffer: Option<u64>,
}

impl Device {
    /// Checks that a run fits before anything is allocated.
    ///
    /// burn ends the process where an allocation fails on a device, so this is the last place to turn back. An allocation
    /// that fails in spite of it, because another program took the memory or a driver does not tell what is free, is fatal.
    ///
    /// # Errors
    /// If the prediction is above what is free, or a parameter is larger than a buffer may be.
    pub fn check_memory(
        &self,
        config: &DecoderConfig,
        weights: WeightFormat,
        predicted: &MemoryReport,
    ) -> Result<(), BackendError> {
        if let Some(limit) = self.largest_buffer {
            let largest = config.parameters().into_iter().max_by_key(|spec| spec.bytes(weights));
            if let Some(spec) = largest.filter(|spec| spec.bytes(weights) > limit) {
                return Err(BackendError::BufferTooLarge {
                    kind: self.kind,
                    name: self.name.clone(),
                    needed: spec.bytes(weights),
                    tensor: spec.path,
                    limit,
                });
            }
        }
        match self.free_memory {
            Some(free) if predicted.total() > free => Err(BackendError::NotEnoughMemory {
                kind: self.kind,
                name: self.name.clone(),
                needed: predicted.total(),
                terms: terms(predicted),
                free,
            }),
            _ => Ok(()),
        }
    }
}

/// The terms that there are, in MiB: what is loaded already is not among them.
fn terms(report: &MemoryReport) -> String {
    let terms = [
        ("weights", report.weights),
        ("global keys and values", report.global_kv),
        ("keys and values of steps", report.per_step_kv),
        ("activations", report.activations),
    ];
    let told = terms.iter().filter(|(_, bytes)| *bytes > 0);
    told.map(|(name, bytes)| format!("{name} {}", bytes.div_ceil(1 << 20))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use depthscale_types::{
        AfterStep, BlockNorms, ComputeDtype, ExitGate, Family, InitialState, Injection, KvRetention, MemoryQuery,
        MixerKind, OutputHead, Positions, QueryKey, Readout, StackConfig,
    };

    /// An embedding of 1024 x 64, 262,144 bytes in f32, and one small layer.
    fn config() -> DecoderConfig {
        DecoderConfig {
            family: Family::Native,
            vocab_size: 1024,
            d_model: 64,
            norm_eps: 1e-6,
            embedding_scale: 1.0,
            max_positions: 128,
            depth: 2,
            initial_state: InitialState::Embedding,
            injection: Injection::None,
            prelude: None,
            core: StackConfig {
                n_layers: 1,
                n_heads: 4,
                n_kv_heads: 4,
                head_dim: 16,
                d_ffn: 64,
                mixer: MixerKind::FullAttention,
                positions: Positions::None,
                norms: BlockNorms::Pre,
                query_key: QueryKey::Plain,
            },
            after_step: AfterStep::Keep,
            readout: Readout::NormHead,
            head: OutputHead::Tied,
            exit_gate: ExitGate::None,
        }
    }

    fn device(free_memory: Option<u64>, largest_buffer: Option<u64>) -> Device {
        let (kind, name) = (BackendKind::Wgpu { index: 1 }, "a card".into());
        Device { kind, name, class: DeviceClass::Gpu, free_memory, largest_buffer }
    }

    fn check(device: &Device, dtype: ComputeDtype) -> Result<(), BackendError> {
        let predicted = config().predict_memory(&MemoryQuery {
            context: 64,
            batch: 1,
            depth: 2,
            chunk: 64,
            retention: KvRetention::PerStep,
            weights: dtype.into(),
            caches: dtype.into(),
        });
        device.check_memory(&config(), dtype.into(), &predicted)
    }

    #[test]
    fn a_run_that_does_not_fit_is_told_with_what_to_do() {
        assert_eq!(check(&device(None, None), ComputeDtype::F32), Ok(()));
        assert_eq!(check(&device(Some(1 << 30), Some(1 << 30)), ComputeDtype::F32), Ok(()));
        let error = check(&device(Some(1000), None), ComputeDtype::F32).expect_err("too little").to_string();
        assert!(
            error.starts_with("wgpu:1 (a card) has 0 MiB free, and the run is predicted to need 1 MiB:"),
            "{error}"
        );
        assert!(error.contains("--kv shared"), "{error}");
    }

    #[test]
    fn one_buffer_holds_the_largest_parameter() {
        let small = device(None, Some(200_000));
        let error = check(&small, ComputeDtype::F32).expect_err("262,144 bytes").to_string();
        assert!(error.contains("embedding needs 1 MiB"), "{error}");
        assert_eq!(check(&small, ComputeDtype::F16), Ok(()), "131,072 bytes");
    }
}
