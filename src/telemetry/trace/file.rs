//! The trace's file. A regular file is valid JSON whenever it is looked at: each piece is written over the closing
//! bracket of the one before, and ends with its own. A pipe gets no closing bracket, as the format allows.

use super::event::{Event, write_head, write_lost};
use super::{ring, stop};
use crate::status::{Error, Result, WEFT_ERROR_UNAVAILABLE};
use parking_lot::Mutex;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A piece is written when it has this many bytes; no event is longer than what is left of `ROOM`.
const PIECE: usize = 60 << 10;
const ROOM: usize = 64 << 10;

struct Trace {
    file: File,
    /// Where the next piece begins, for a file that has places.
    place: Option<u64>,
    text: Vec<u8>,
    batch: Vec<Event>,
}

static TRACE: Mutex<Option<Trace>> = Mutex::new(None);

/// Whether it is a regular file, which holds nobody up.
static REGULAR: AtomicBool = AtomicBool::new(false);

/// Text that never grows past its room.
struct Piece<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Piece<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > self.0.capacity() {
            return Err(std::fmt::Error);
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Opens the file and writes its head. "%p" in the name becomes the process's number.
pub fn open(name: &OsStr) -> Result<()> {
    let refused = |error: io::Error| Error::new(WEFT_ERROR_UNAVAILABLE, format!("{error}"));
    let (file, regular) = create(name).map_err(refused)?;
    let mut text = Vec::new();
    text.try_reserve_exact(ROOM).map_err(|_| Error::out_of_memory(ROOM))?;
    text.extend_from_slice(b"[\n");
    let place = regular.then_some(0);
    let mut trace = Trace { file, place, text, batch: ring::list()? };
    // A piece has room for an event.
    let _ = write_head(&mut Piece(&mut trace.text));
    trace.flush().map_err(refused)?;
    REGULAR.store(regular, Relaxed);
    *TRACE.lock() = Some(trace);
    Ok(())
}

/// The file, and whether it is a regular one: empty, and written by no other process.
fn create(name: &OsStr) -> io::Result<(File, bool)> {
    let name = name.as_bytes();
    let mut path = Vec::new();
    for (index, part) in name.split(|&byte| byte == b'%').enumerate() {
        match part.strip_prefix(b"p").filter(|_| index > 0) {
            Some(rest) => path.extend([std::process::id().to_string().as_bytes(), rest].concat()),
            None if index > 0 => path.extend([b"%", part].concat()),
            None => path.extend(part),
        }
    }
    let mut options = OpenOptions::new();
    // Not truncated here: another process may be writing it. Non-blocking: a pipe without a reader must not hold us.
    options.write(true).create(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(OsStr::from_bytes(&path))?;
    let regular = file.metadata()?.is_file();
    // SAFETY: calls on our own descriptor.
    let locked = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0;
    if regular && !locked && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
        return Err(io::Error::other("another process writes its trace there (%p in the name helps)"));
    }
    if regular {
        file.set_len(0)?;
    }
    Ok((file, regular))
}

/// Forgets the file.
pub fn close() {
    *TRACE.lock() = None;
}

/// Writes all that waits.
pub fn drain() {
    let mut guard = TRACE.lock();
    let result = match guard.as_mut() {
        Some(trace) => trace.drain(),
        None => {
            ring::discard();
            Ok(())
        }
    };
    if let Err(error) = result {
        stop();
        *guard = None;
        drop(guard);
        crate::tell!(WEFT_LOG_WARN, "the trace could not be written: {error}; it ends here");
    }
}

/// As `drain`, for a thread of the program's: a pipe's reader must not hold it up.
pub fn settle() {
    if REGULAR.load(Relaxed) {
        drain();
    }
}

impl Trace {
    fn drain(&mut self) -> io::Result<()> {
        let mut batch = std::mem::take(&mut self.batch);
        let lost = ring::take(&mut batch);
        let result = self.write(&batch, lost);
        batch.clear();
        self.batch = batch;
        result
    }

    fn write(&mut self, batch: &[Event], lost: u64) -> io::Result<()> {
        for event in batch {
            let _ = event.write(&mut Piece(&mut self.text));
            if self.text.len() > PIECE {
                self.flush()?;
            }
        }
        if lost > 0 {
            let _ = write_lost(&mut Piece(&mut self.text), lost);
        }
        self.flush()
    }

    /// Writes the piece. On an error the file ends with the piece before.
    fn flush(&mut self) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let result = match self.place {
            None => write_all(&self.file, &self.text),
            Some(place) => self.write_at(place),
        };
        self.text.clear();
        result
    }

    fn write_at(&mut self, place: u64) -> io::Result<()> {
        let length = self.text.len() as u64;
        self.text.extend_from_slice(b"]\n");
        let result = self.file.write_all_at(&self.text, place);
        match result {
            Ok(()) => self.place = Some(place + length),
            Err(_) => {
                // What is there already needs its bracket back, which has its place on the disk.
                let _ = self.file.set_len(place);
                let _ = self.file.write_all_at(b"]\n", place);
            }
        }
        result
    }
}

/// Writes to what does not block, waiting for room.
fn write_all(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match io::Write::write(&mut file, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => await_room(file),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn await_room(file: &File) {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one local record.
    unsafe { libc::poll(&mut poll, 1, 1000) };
}
