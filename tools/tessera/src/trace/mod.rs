//! What the kernel wrote down while it ran: its trace rings, out of a machine's memory, as a picture in time.
//!
//! The kernel has a ring for each core if the description asks for it (the crate `tessera-trace` has the format). [`recorder`]
//! runs a machine and takes the [`ring`]s out of it; [`core`] and [`guest`] make tracks of them; [`chrome`] writes these in the
//! Chrome trace-event format, which <https://ui.perfetto.dev> and `chrome://tracing` show.

mod cause;
pub mod chrome;
mod core;
mod guest;
pub mod recorder;
pub mod ring;
pub mod track;
