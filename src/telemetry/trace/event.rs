//! Events, as they wait in the ring and as they are written.

use super::super::clock;
use super::super::log::status_name;
use once_cell::sync::Lazy;
use std::fmt::{self, Write};

/// The process's number.
static PROCESS: Lazy<u32> = Lazy::new(std::process::id);

/// Bytes of a request's shape that are kept.
const SHAPE: usize = 96;

/// A request's shape in words, such as "f32 [64, 128] x [128, 256]"; cut when it is full. Quotes become apostrophes and
/// what is no ASCII a question mark: it stands in JSON as it is.
#[derive(Clone, Copy)]
pub struct Shape {
    bytes: [u8; SHAPE],
    length: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { bytes: [0; SHAPE], length: 0 }
    }
}

impl Shape {
    /// The words.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Write for Shape {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let place = self.bytes.get_mut(self.length).ok_or(fmt::Error)?;
            *place = match byte {
                b'"' | b'\\' => b'\'',
                b' '..=b'~' => byte,
                _ => b'?',
            };
            self.length += 1;
        }
        Ok(())
    }
}

/// What of a request stands in its events.
pub struct Request {
    pub op: &'static str,
    pub id: u64,
    pub handle: u64,
    pub queue: u64,
    pub shape: Shape,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A queue accepted it.
    Submit,
    /// Its work began.
    Begin,
    /// Its work ended.
    End(i32),
    /// It ended without having run.
    Dropped(i32),
    /// The first of its queue: gives the track its name.
    Name,
}

/// Something that happened to a request, from one tick to another.
pub struct Event {
    pub phase: Phase,
    pub track: u32,
    pub from: u64,
    pub until: u64,
    pub request: Request,
}

/// Nanoseconds as the format wants them: in microseconds.
struct Micros(u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// Where an event lies: process, track, time.
struct Place(u32, u64);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#""pid":{},"tid":{},"ts":{}"#, *PROCESS, self.0, Micros(clock::ns(self.1)))
    }
}

impl Event {
    /// Writes the event, and the arrow that begins or ends with it.
    pub fn write(&self, out: &mut impl Write) -> fmt::Result {
        let (place, op) = (Place(self.track, self.from), self.request.op);
        let took = Micros(clock::between(self.from, self.until));
        match self.phase {
            Phase::Submit => {
                write!(out, r#",{{"ph":"X","cat":"submit","name":"submit {op}",{place},"dur":{took},"#)?;
                self.arguments(out, None)?;
                self.arrow(out, r#""ph":"s""#, place)
            }
            Phase::Begin => {
                write!(out, r#",{{"ph":"B","cat":"run","name":"{op}",{place},"#)?;
                self.arguments(out, None)?;
                self.arrow(out, r#""ph":"f","bp":"e""#, place)
            }
            Phase::End(status) => {
                write!(out, r#",{{"ph":"E","cat":"run","name":"{op}",{place},"#)?;
                self.arguments(out, Some(status))
            }
            Phase::Dropped(status) => {
                write!(out, r#",{{"ph":"X","cat":"dropped","name":"{op}",{place},"dur":0.000,"#)?;
                self.arguments(out, Some(status))?;
                self.arrow(out, r#""ph":"f","bp":"e""#, place)
            }
            Phase::Name => self.name(out),
        }
    }

    fn arguments(&self, out: &mut impl Write, status: Option<i32>) -> fmt::Result {
        let Request { op, id, handle, queue, shape } = &self.request;
        write!(out, r#""args":{{"id":"{id:#x}","request":"{handle:#x}","queue":"{queue:#x}","op":"{op}""#)?;
        if !shape.text().is_empty() {
            write!(out, r#","shape":"{}""#, shape.text())?;
        }
        if let Some(status) = status {
            write!(out, r#","status":"{}""#, status_name(status))?;
        }
        out.write_str("}}\n")
    }

    fn arrow(&self, out: &mut impl Write, phase: &str, place: Place) -> fmt::Result {
        let id = self.request.id;
        writeln!(out, r#",{{{phase},"cat":"request","name":"request","id":"{id:#x}",{place}}}"#)
    }

    fn name(&self, out: &mut impl Write) -> fmt::Result {
        let (place, queue) = (Place(self.track, self.from), self.request.queue);
        writeln!(
            out,
            r#",{{"ph":"M","name":"thread_name",{place},"args":{{"name":"weft queue {queue:#x}"}}}}"#
        )
    }
}

/// The file's first event, which has no comma before it.
pub fn write_head(out: &mut impl Write) -> fmt::Result {
    let (place, version) = (Place(0, clock::now()), env!("CARGO_PKG_VERSION"));
    writeln!(out, r#"{{"ph":"M","name":"process_name",{place},"args":{{"name":"weft {version}"}}}}"#)
}

/// Says that events are missing here.
pub fn write_lost(out: &mut impl Write, count: u64) -> fmt::Result {
    let place = Place(0, clock::now());
    writeln!(
        out,
        r#",{{"ph":"i","s":"p","cat":"trace","name":"lost events",{place},"args":{{"count":{count}}}}}"#
    )
}
