//! Adapters of WGPU, looked for before burn opens one: burn panics where there is none.

use std::sync::OnceLock;

use burn_wgpu::WgpuDevice;
use burn_wgpu::graphics::{AutoGraphicsApi, GraphicsApi};
use wgpu::DeviceType;

use crate::device::{Device, DeviceClass};
use crate::{BackendError, BackendKind, system};

/// An adapter, as burn names it and as we do.
struct Adapter {
    burn: WgpuDevice,
    name: String,
    class: DeviceClass,
    largest_buffer: u64,
}

/// Every adapter that burn can open: GPUs first, software last.
pub(crate) fn devices() -> Vec<Device> {
    let device = |(index, adapter): (usize, &Adapter)| Device {
        kind: BackendKind::Wgpu { index },
        name: adapter.name.clone(),
        class: adapter.class,
        // No graphics interface tells what is free on a card; what software takes is the program's own memory.
        free_memory: if adapter.class == DeviceClass::Software { system::free_memory() } else { None },
        largest_buffer: Some(adapter.largest_buffer),
    };
    adapters().iter().enumerate().map(device).collect()
}

/// burn's name of an adapter that [`devices`] gave an index.
pub(crate) fn open(index: usize) -> Option<WgpuDevice> {
    adapters().get(index).map(|adapter| adapter.burn.clone())
}

/// Why there is none.
pub(crate) fn none_found() -> BackendError {
    BackendError::NoDevice {
        kind: BackendKind::Wgpu { index: 0 },
        why: format!("no {:?} adapter was found", AutoGraphicsApi::backend()),
        advice: if cfg!(target_os = "linux") {
            "install the Vulkan loader and the card's driver (on Debian libvulkan1 and mesa-vulkan-drivers, which \
             bring a software adapter as well), or choose --backend flex"
        } else {
            "install the graphics card's driver, or choose --backend flex"
        },
    }
}

/// Looked for once: they stay what they are while the program runs.
fn adapters() -> &'static [Adapter] {
    static ADAPTERS: OnceLock<Vec<Adapter>> = OnceLock::new();
    ADAPTERS.get_or_init(enumerate)
}

fn enumerate() -> Vec<Adapter> {
    let backend = AutoGraphicsApi::backend();
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: backend.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let found = cubecl::future::block_on(instance.enumerate_adapters(backend.into()));
    // burn counts adapters within their type.
    let [mut discrete, mut integrated, mut virtual_gpus, mut software] = [const { Vec::new() }; 4];
    for adapter in found {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let (list, burn, class) = match info.device_type {
            DeviceType::DiscreteGpu => (&mut discrete, WgpuDevice::DiscreteGpu as fn(usize) -> _, DeviceClass::Gpu),
            DeviceType::IntegratedGpu => {
                (&mut integrated, WgpuDevice::IntegratedGpu as fn(usize) -> _, DeviceClass::Gpu)
            }
            DeviceType::VirtualGpu => (&mut virtual_gpus, WgpuDevice::VirtualGpu as fn(usize) -> _, DeviceClass::Gpu),
            // burn opens the first of these only.
            DeviceType::Cpu if software.is_empty() => {
                (&mut software, (|_| WgpuDevice::Cpu) as fn(usize) -> _, DeviceClass::Software)
            }
            DeviceType::Cpu | DeviceType::Other => continue,
        };
        let burn = burn(list.len());
        let largest_buffer = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        list.push(Adapter { burn, name: info.name, class, largest_buffer });
    }
    [discrete, integrated, virtual_gpus, software].into_iter().flatten().collect()
}
