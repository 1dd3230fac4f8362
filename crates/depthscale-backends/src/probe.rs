//! Finding devices, and making sure that they compute.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, IntDType, Tensor, TensorData};
use depthscale_types::{CacheDtype, ComputeDtype, WeightFormat};

use crate::device::{Device, DeviceClass};
use crate::task::dispatch;
use crate::{BackendError, BackendKind, BackendTask, system};

/// What every backend of this build finds here, the one to prefer first: its devices, or why there is none. Nothing is
/// computed on them; see [`BackendKind::probe`].
pub fn devices() -> Vec<(BackendKind, Result<Vec<Device>, BackendError>)> {
    BackendKind::compiled_in().into_iter().map(|kind| (kind, found(kind))).collect()
}

impl BackendKind {
    /// Finds the device and has it multiply two small matrices. [`BackendKind::Auto`] goes through the backends of this
    /// build and takes the first GPU that answers, else the first that answers at all.
    ///
    /// # Errors
    /// If the backend is not compiled in, there is no such device, or it does not compute.
    pub fn probe(self) -> Result<Device, BackendError> {
        if self == Self::Auto {
            return choose();
        }
        let device = find(self)?;
        check(&device, ComputeDtype::F32)?;
        Ok(device)
    }
}

impl Device {
    /// Whether the device computes in a dtype: it says so itself, and a product comes out right.
    ///
    /// # Errors
    /// If it does not; the error names the dtypes that do.
    pub fn check_dtype(&self, dtype: ComputeDtype) -> Result<(), BackendError> {
        check(self, dtype).map_err(|error| match error {
            BackendError::UnsupportedDtype { kind, name, dtype, .. } => {
                BackendError::UnsupportedDtype { kind, name, dtype, works: self.dtypes() }
            }
            other => other,
        })
    }

    /// Whether the device computes in a dtype with weights kept in a format.
    ///
    /// # Errors
    /// If it does not, or the two do not go together.
    pub fn check_weights(&self, dtype: ComputeDtype, weights: WeightFormat) -> Result<(), BackendError> {
        weights.check_dtype(dtype)?;
        if weights != dtype.into() && !self.kind.keeps_packed() {
            return Err(BackendError::UnsupportedWeights { kind: self.kind, name: self.name.clone(), weights });
        }
        self.check_dtype(dtype)
    }

    /// Whether the device keeps keys and values in a dtype.
    ///
    /// # Errors
    /// If it does not.
    pub fn check_caches(&self, dtype: CacheDtype) -> Result<(), BackendError> {
        match dtype.floats() {
            Some(floats) => self.check_dtype(floats),
            None => check(self, dtype),
        }
    }

    /// The same device with what is free now.
    ///
    /// # Errors
    /// If it has gone away.
    pub fn refreshed(&self) -> Result<Self, BackendError> {
        find(self.kind)
    }

    /// The dtypes that work.
    pub fn dtypes(&self) -> Vec<ComputeDtype> {
        ComputeDtype::ALL.into_iter().filter(|&dtype| check(self, dtype).is_ok()).collect()
    }
}

/// The first GPU that answers, else the first device that does; software that poses as a GPU last of all.
fn choose() -> Result<Device, BackendError> {
    let mut why = BackendError::NothingCompiledIn;
    let mut candidates = Vec::new();
    for (_, found) in devices() {
        match found {
            Ok(devices) => candidates.extend(devices),
            Err(error) => why = error,
        }
    }
    candidates.sort_by_key(|device| device.class == DeviceClass::Software);
    for device in candidates {
        match check(&device, ComputeDtype::F32) {
            Ok(()) => return Ok(device),
            Err(error) => why = error,
        }
    }
    Err(why)
}

fn find(kind: BackendKind) -> Result<Device, BackendError> {
    let devices = found(kind)?;
    let names: Vec<String> = devices.iter().map(|device| format!("{} ({})", device.kind, device.name)).collect();
    match devices.into_iter().find(|device| device.kind == kind) {
        Some(device) => Ok(device),
        None => Err(BackendError::NoSuchDevice { kind, found: names.join(", ") }),
    }
}

/// The devices of a backend; an error where there is none.
fn found(kind: BackendKind) -> Result<Vec<Device>, BackendError> {
    match kind {
        #[cfg(feature = "cuda")]
        BackendKind::Cuda { .. } => match crate::cuda_devices::devices()? {
            devices if devices.is_empty() => Err(crate::cuda_devices::none_found()),
            devices => Ok(devices),
        },
        #[cfg(feature = "wgpu")]
        BackendKind::Wgpu { .. } => match crate::wgpu_adapters::devices() {
            devices if devices.is_empty() => Err(crate::wgpu_adapters::none_found()),
            devices => Ok(devices),
        },
        kind if kind.is_cpu() && kind.is_compiled_in() => Ok(vec![Device {
            kind,
            name: system::processor(),
            class: DeviceClass::Cpu,
            free_memory: system::free_memory(),
            largest_buffer: None,
        }]),
        kind => Err(BackendError::NotCompiledIn { kind, feature: kind.feature() }),
    }
}

type Outcome = Result<(), BackendError>;

/// Has a device compute, once in the life of the program for each dtype.
fn check(device: &Device, dtype: impl Into<CacheDtype>) -> Outcome {
    static KNOWN: Mutex<Option<HashMap<(BackendKind, CacheDtype), Outcome>>> = Mutex::new(None);
    let dtype = dtype.into();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    known.entry((device.kind, dtype)).or_insert_with(|| compute(device, dtype)).clone()
}

/// A product, or bytes for caches, a sync and a fallible read. burn panics where a driver refuses, so panics are caught.
fn compute(device: &Device, dtype: CacheDtype) -> Outcome {
    let (kind, name) = (device.kind, device.name.clone());
    let failed = |message: String| BackendError::ProbeFailed { kind, name: device.name.clone(), message };
    match catch_unwind(AssertUnwindSafe(|| dispatch(kind, Probe(dtype)))) {
        Ok(Ok(Answer::Right)) => Ok(()),
        Ok(Ok(Answer::Unsupported)) => Err(match dtype.floats() {
            Some(dtype) => BackendError::UnsupportedDtype { kind, name, dtype, works: Vec::new() },
            None => BackendError::UnsupportedCaches { kind, name, dtype },
        }),
        Ok(Ok(Answer::Wrong(message))) => Err(failed(message)),
        Ok(Err(error)) => Err(error),
        Err(panic) => Err(failed(message(&*panic))),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").into()
}

struct Probe(CacheDtype);

enum Answer {
    Right,
    Unsupported,
    Wrong(String),
}

impl BackendTask for Probe {
    type Output = Answer;

    fn run<B: Backend>(self, device: B::Device) -> Answer {
        // [[1, 2], [3, 4]] squared, or the numbers themselves: all are exact in every dtype.
        let expected = [7.0, 10.0, 15.0, 22.0];
        let floats = match self.0 {
            CacheDtype::F32 => Some(FloatDType::F32),
            CacheDtype::F16 => Some(FloatDType::F16),
            CacheDtype::Bf16 => Some(FloatDType::BF16),
            CacheDtype::Q8 => None,
        };
        if !B::supports_dtype(&device, floats.map_or(DType::I8, DType::from)) {
            return Answer::Unsupported;
        }
        let found = match floats {
            Some(dtype) => {
                let a = Tensor::<B, 2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device).cast(dtype);
                a.clone().matmul(a).cast(FloatDType::F32)
            }
            None => {
                let numbers = Tensor::<B, 2>::from_data(TensorData::new(expected.to_vec(), [2, 2]), &device);
                numbers.int().cast(IntDType::I8).cast(FloatDType::F32)
            }
        };
        if let Err(error) = B::sync(&device) {
            return Answer::Wrong(error.to_string());
        }
        match found.try_into_data() {
            Ok(data) if data.iter::<f32>().eq(expected) => Answer::Right,
            Ok(data) => Answer::Wrong(format!("four small numbers came out as {data}")),
            Err(error) => Answer::Wrong(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_compiled_in_says_which_feature_to_add() {
        for kind in BackendKind::ALL.into_iter().filter(|kind| !kind.is_compiled_in()) {
            let error = kind.probe().expect_err("not compiled in");
            assert_eq!(error, BackendError::NotCompiledIn { kind, feature: kind.feature() });
            assert!(error.to_string().contains(&format!("cargo feature {:?}", kind.feature())), "{error}");
        }
    }

    #[test]
    fn the_processor_answers_in_f32() {
        for kind in BackendKind::compiled_in().into_iter().filter(|kind| kind.is_cpu()) {
            let device = kind.probe().expect("the processor is there");
            assert_eq!((device.kind, device.class), (kind, DeviceClass::Cpu));
            assert!(device.dtypes().contains(&ComputeDtype::F32));
        }
    }

    #[test]
    fn caches_in_bytes_are_kept_or_refused() {
        for device in devices().into_iter().filter_map(|(_, found)| found.ok()).flatten() {
            if let Err(error) = device.check_caches(CacheDtype::Q8) {
                let error = error.to_string();
                assert!(!device.kind.is_cpu() && error.contains("keeps no keys and values in q8"), "{error}");
            }
        }
    }

    #[test]
    fn auto_is_the_best_that_answers() {
        match BackendKind::Auto.probe() {
            Ok(device) => {
                assert!(device.kind.is_compiled_in() && device.kind != BackendKind::Auto);
                let cpu = BackendKind::compiled_in().into_iter().any(BackendKind::is_cpu);
                assert!(!cpu || device.class != DeviceClass::Software, "software instead of the processor");
            }
            // Nothing compiled in, or no GPU for the GPU backends that are.
            Err(error) => assert!(!BackendKind::compiled_in().into_iter().any(BackendKind::is_cpu), "{error}"),
        }
    }

    #[cfg(feature = "ndarray")]
    #[test]
    fn a_dtype_that_does_not_work_is_told_with_those_that_do() {
        let device = BackendKind::Ndarray.probe().expect("the processor is there");
        let error = device.check_dtype(ComputeDtype::F16).expect_err("burn-ndarray has no 16-bit floats").to_string();
        assert!(error.ends_with("does not compute in f16; it does in f32"), "{error}");
    }

    #[test]
    fn an_index_past_the_last_is_told_with_what_there_is() {
        for kind in [BackendKind::Wgpu { index: 99 }, BackendKind::Cuda { index: 99 }] {
            match kind.probe().expect_err("nobody has a hundred") {
                BackendError::NoSuchDevice { found, .. } => assert!(found.contains(":0 ("), "{found}"),
                BackendError::NoDevice { why, advice, .. } => assert!(!why.is_empty() && advice.contains("install")),
                other => assert_eq!(other, BackendError::NotCompiledIn { kind, feature: kind.feature() }),
            }
        }
    }
}
