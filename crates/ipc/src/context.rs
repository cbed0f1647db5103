//! What a context is called, and what can become of it.

use thiserror::Error;

/// The most calls that a chain can have. `check` refuses a description that needs more.
pub const DEPTH: usize = 4;

/// A vCPU or thread: its place on its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Context(pub u8);

/// Why a call is not accepted. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no such context on this core.
    #[error("no context {} on this core", .0.0)]
    Nobody(Context),
    /// The caller waits for a reply already.
    #[error("context {} waits for a reply already", .0.0)]
    Waiting(Context),
    /// The server does not wait for calls: it has a caller, has not begun its loop, or has stopped.
    #[error("context {} does not wait for calls", .0.0)]
    Busy(Context),
    /// The chain would have more than [`DEPTH`] calls.
    #[error("more than {DEPTH} calls in a chain")]
    TooDeep,
}

/// How a call ends for its caller if not by the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// It lasted longer than its channel allows.
    #[error("the call took too long")]
    TimedOut,
    /// The server faulted, restarted or stopped.
    #[error("the server has ended")]
    Ended,
}

/// What a context learns when it next runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its call has ended without a reply.
    Failed(CallError),
    /// The call that it served is over: it begins its loop anew.
    Unwound,
}
