//! Streams beside a stream: parts of a request that need no order run at once, where each alone is too small for the device.

use super::stream::Stream;
use super::timing::Event;
use crate::status::Result;
use std::sync::Arc;

/// Streams beside one: what is queued on more of them costs the host more than the device gains.
const BESIDE: usize = 3;
/// CU_EVENT_DISABLE_TIMING.
const ORDER_ALONE: u32 = 2;

/// Streams, and what orders them: an event of the stream that they are beside, and one of each.
pub(super) struct Sides {
    begun: Event,
    streams: Vec<(Arc<Stream>, Event)>,
}

impl Sides {
    fn new(of: &Stream) -> Result<Self> {
        let event = || of.gpu().with(|driver| Event::new(driver, ORDER_ALONE));
        let side = || Ok((Stream::with_priority(of.gpu().clone(), of.owned.unwrap_or(0))?, event()?));
        Ok(Self { begun: event()?, streams: (0..BESIDE).map(|_| side()).collect::<Result<_>>()? })
    }
}

impl Stream {
    /// Has `work` queue parts 0 to `count`, each on the stream that it is given. They run in any order, after what this stream was
    /// told before and ahead of what it is told next.
    pub fn beside(&self, count: usize, work: impl Fn(usize, &Stream) -> Result<()>) -> Result<()> {
        if count < 2 {
            return (0..count).try_for_each(|part| work(part, self));
        }
        self.take_time()?;
        self.touch()?;
        let sides = self.sides.get_or_try_init(|| Sides::new(self))?;
        let streams = &sides.streams[..BESIDE.min(count - 1)];
        sides.begun.record(self)?;
        let begin = |side: &Stream| side.begin(0).and_then(|()| sides.begun.hold(side));
        let done = streams.iter().try_for_each(|(side, _)| begin(side)).and_then(|()| {
            (0..count).try_for_each(|part| match part % (streams.len() + 1) {
                0 => work(part, self),
                number => work(part, &streams[number - 1].0),
            })
        });
        streams.iter().for_each(|(side, end)| self.follow(side, end));
        done
    }

    /// What is queued next waits for all that `side` was told.
    fn follow(&self, side: &Stream, end: &Event) {
        if end.record(side).and_then(|()| end.hold(self)).is_err() {
            // Whoever uses the memory next must not be too early.
            let _ = side.synchronize().inspect_err(|error| self.gpu().lose(error.clone()));
        }
    }
}
