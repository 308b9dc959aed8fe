//! Whether a file is a library that the loader can be given: it dies of one that was cut off, waits for ever for a pipe, and
//! tells of one for other machines that it were not there.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Of the ELF header: how it begins for 64 bits of little end, and where the machine and the program headers are told.
const MAGIC: [u8; 6] = *b"\x7fELF\x02\x01";
const MACHINE: usize = 18;
const HEADERS: usize = 32;
const HEADER_COUNT: usize = 56;
/// Of a program header: its bytes, and where in the file its content begins and how long it is.
const HEADER: usize = 56;
const OFFSET: usize = 8;
const LENGTH: usize = 32;

/// EM_AARCH64 and EM_X86_64.
const OWN_MACHINE: u64 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is for another kind of machine. The loader passes by.
    Machine,
    /// The loader must not see it, for this reason.
    Deadly(String),
}

/// Looks for what the loader does not survive or tells wrongly; everything else is left to it.
pub fn check(path: &Path) -> Result<(), Flaw> {
    let deadly = |why: String| Err(Flaw::Deadly(format!("{}: {why}", path.display())));
    let about = match path.metadata() {
        Ok(about) => about,
        Err(error) => return deadly(error.to_string()),
    };
    if !about.is_file() && !about.is_dir() {
        return deadly("it is no file".into());
    }
    let Some((machine, needed)) = File::open(path).ok().and_then(|file| read(&file)) else { return Ok(()) };
    if machine != OWN_MACHINE {
        return Err(Flaw::Machine);
    }
    match about.len() < needed {
        true => deadly(format!("the file was cut off: it has {} bytes, and speaks of {needed}", about.len())),
        false => Ok(()),
    }
}

/// The machine and the bytes that a library must have; `None` of what is none.
fn read(file: &File) -> Option<(u64, u64)> {
    let mut head = [0; 64];
    file.read_exact_at(&mut head, 0).ok()?;
    if head[..MAGIC.len()] != MAGIC {
        return None;
    }
    let (first, count) = (number(&head, HEADERS, 8), number(&head, HEADER_COUNT, 2) as usize);
    let mut table = vec![0; count * HEADER];
    file.read_exact_at(&mut table, first).ok()?;
    // 1: a part of the file that is mapped.
    let mapped = table.chunks_exact(HEADER).filter(|header| number(header, 0, 4) == 1);
    let ends = mapped.map(|header| number(header, OFFSET, 8).saturating_add(number(header, LENGTH, 8)));
    Some((number(&head, MACHINE, 2), ends.max().unwrap_or(0)))
}

/// `bytes` bytes from `at` on, the lowest first.
fn number(from: &[u8], at: usize, bytes: usize) -> u64 {
    from[at..at + bytes].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}
