//! The calls of one core.

use crate::context::{CallError, Context, DEPTH, Fate, Refusal};
use sched::Time;

/// What is known of one context.
#[derive(Clone, Copy)]
struct Link {
    /// The context that it has called and waits for.
    server: Option<Context>,
    /// The context that it serves.
    caller: Option<Context>,
    /// It waits for calls.
    receives: bool,
    /// When its call is over at the latest.
    until: Time,
    /// The priority at which it serves.
    ceiling: u8,
    fate: Option<Fate>,
}

impl Link {
    const NONE: Self = Self {
        server: None,
        caller: None,
        receives: false,
        until: Time::NEVER,
        ceiling: 0,
        fate: None,
    };
}

/// The calls of one core with up to `N` contexts.
pub struct Calls<const N: usize> {
    links: [Link; N],
}

impl<const N: usize> Calls<N> {
    /// No calls; nobody waits for any.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N <= 255, "a context is a byte") };
        Self {
            links: [Link::NONE; N],
        }
    }

    /// Says at which priority a server runs for its callers: the highest of theirs.
    pub fn set_ceiling(&mut self, server: Context, ceiling: u8) {
        if let Some(link) = self.link_mut(server) {
            link.ceiling = ceiling;
        }
    }

    /// A server begins to wait for calls. One that serves a caller replies instead; for it this does nothing.
    pub fn receive(&mut self, server: Context) {
        if let Some(link) = self.link_mut(server) {
            link.receives = link.caller.is_none() && link.server.is_none();
        }
    }

    /// A server does something of its own: it waits for no calls until it says so again.
    pub fn leave_loop(&mut self, server: Context) {
        if let Some(link) = self.link_mut(server) {
            link.receives = false;
        }
    }

    /// `caller`, which runs, calls `server`, and waits until `until` at the latest. From now on [`end`](Calls::end) of its root is
    /// the server.
    ///
    /// # Errors
    ///
    /// See [`Refusal`]; nothing has changed then.
    pub fn call(&mut self, caller: Context, server: Context, until: Time) -> Result<(), Refusal> {
        let from = self.link(caller).ok_or(Refusal::Nobody(caller))?;
        let to = self.link(server).ok_or(Refusal::Nobody(server))?;
        if from.server.is_some() {
            return Err(Refusal::Waiting(caller));
        }
        // Whoever calls does not wait for calls, so nobody can call itself, or somebody whom it serves.
        if !to.receives || caller == server {
            return Err(Refusal::Busy(server));
        }
        if self.depth(caller) >= DEPTH {
            return Err(Refusal::TooDeep);
        }
        if let Some(link) = self.link_mut(caller) {
            link.server = Some(server);
            link.until = until;
            link.receives = false;
        }
        if let Some(link) = self.link_mut(server) {
            link.caller = Some(caller);
            link.receives = false;
        }
        Ok(())
    }

    /// `server`, which runs, replies to its caller and waits for the next call. Returns the caller, which goes on; `None` if there
    /// is none to reply to: then the server only waits for calls.
    pub fn reply(&mut self, server: Context) -> Option<Context> {
        // It runs, so it waits for nobody.
        let link = self.link_mut(server).filter(|l| l.server.is_none())?;
        link.receives = true;
        let caller = link.caller.take()?;
        if let Some(link) = self.link_mut(caller) {
            link.server = None;
            link.until = Time::NEVER;
        }
        Some(caller)
    }

    /// A context ends: it faults, restarts or stops. Its caller gets an error; whoever works for it begins its loop anew.
    /// It waits for no calls until it says so, and learns nothing of what was.
    pub fn end_context(&mut self, context: Context) {
        self.unwind_servers(context);
        if let Some(caller) = self.link_mut(context).and_then(|l| l.caller.take()) {
            self.fail(caller, CallError::Ended);
        }
        if let Some(link) = self.link_mut(context) {
            link.receives = false;
            link.fate = None;
        }
    }

    /// Ends a call that has lasted until `now` and may not; returns its caller, which has
    /// [`CallError::TimedOut`] before it. Called until it says `None`. Of several in one chain the outermost ends first, and with it
    /// those within.
    pub fn expire(&mut self, now: Time) -> Option<Context> {
        let due = |link: &Link| link.server.is_some() && link.until <= now;
        let late = (0u8..).zip(&self.links).filter(|(_, link)| due(link));
        let caller = late
            .map(|(n, _)| Context(n))
            .min_by_key(|c| self.depth(*c))?;
        self.unwind_servers(caller);
        self.fail(caller, CallError::TimedOut);
        Some(caller)
    }

    /// When [`expire`](Calls::expire) must be called, if nothing else happens; [`Time::NEVER`] if no call has an end.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        let waiting = self.links.iter().filter(|l| l.server.is_some());
        waiting.map(|l| l.until).min().unwrap_or(Time::NEVER)
    }

    /// What a context must be told now that it runs, once.
    pub fn take_fate(&mut self, context: Context) -> Option<Fate> {
        self.link_mut(context).and_then(|link| link.fate.take())
    }

    /// Who runs in the turn of `context`: itself, or whoever works for it.
    #[must_use]
    pub fn end(&self, context: Context) -> Context {
        let mut end = context;
        for _ in 0..DEPTH {
            match self.link(end).and_then(|l| l.server) {
                Some(server) => end = server,
                None => break,
            }
        }
        end
    }

    /// On whose time `context` runs: its own, or that of the first of those for whom it works.
    #[must_use]
    pub fn root(&self, context: Context) -> Context {
        let mut root = context;
        for _ in 0..DEPTH {
            match self.link(root).and_then(|l| l.caller) {
                Some(caller) => root = caller,
                None => break,
            }
        }
        root
    }

    /// The priority that the calls of `root` need: the highest ceiling in its chain. `None` if it has called nobody.
    #[must_use]
    pub fn ceiling(&self, root: Context) -> Option<u8> {
        let mut highest = None;
        let mut at = root;
        for _ in 0..DEPTH {
            let Some(server) = self.link(at).and_then(|l| l.server) else {
                break;
            };
            highest = highest.max(self.link(server).map(|l| l.ceiling));
            at = server;
        }
        highest
    }

    /// Whether it waits for a reply.
    #[must_use]
    pub fn waits(&self, context: Context) -> bool {
        self.link(context).is_some_and(|l| l.server.is_some())
    }

    /// Whom it serves.
    #[must_use]
    pub fn caller(&self, server: Context) -> Option<Context> {
        self.link(server).and_then(|l| l.caller)
    }

    /// Calls between the root and `context`.
    fn depth(&self, context: Context) -> usize {
        let mut at = context;
        let mut depth = 0usize;
        while depth < DEPTH
            && let Some(caller) = self.link(at).and_then(|l| l.caller)
        {
            at = caller;
            depth = depth.wrapping_add(1);
        }
        depth
    }

    /// Whoever works for `context` loses its caller and begins its loop anew.
    fn unwind_servers(&mut self, context: Context) {
        let mut at = context;
        for _ in 0..DEPTH {
            let Some(link) = self.link_mut(at) else {
                return;
            };
            link.until = Time::NEVER;
            let Some(server) = link.server.take() else {
                return;
            };
            if let Some(link) = self.link_mut(server) {
                link.caller = None;
                link.receives = false;
                link.fate = Some(Fate::Unwound);
            }
            at = server;
        }
    }

    /// The call of `caller` has ended without a reply.
    fn fail(&mut self, caller: Context, error: CallError) {
        if let Some(link) = self.link_mut(caller) {
            link.server = None;
            link.until = Time::NEVER;
            link.fate = Some(Fate::Failed(error));
        }
    }

    fn link(&self, context: Context) -> Option<&Link> {
        self.links.get(usize::from(context.0))
    }

    fn link_mut(&mut self, context: Context) -> Option<&mut Link> {
        self.links.get_mut(usize::from(context.0))
    }
}

impl<const N: usize> Default for Calls<N> {
    fn default() -> Self {
        Self::new()
    }
}
