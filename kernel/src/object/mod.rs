//! The few kinds of objects that the kernel knows, all of them made at boot from the manifest.

mod partition;
mod vcpu;

pub use partition::{
    Crash, DeviceSlot, Model, Partition, Placed, Shared, Start, State, Target, VcpuLink, request,
};
pub use vcpu::{Job, Run, Vcpu, Vcpus};
