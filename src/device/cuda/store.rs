//! A store of byte strings by key, in one private folder that any number of processes share. What it hands out is what was
//! put in, byte for byte: an entry that is torn, damaged, foreign or of another version is a miss, and is removed.
//!
//! An entry is written under a name of its own, brought to the disk, and renamed: readers see all of it or nothing. The
//! digest finds accidents; against people there are the folder's permissions, for whoever writes there can write digests.

use sha2::{Digest, Sha256};
use std::ffi::{CStr, CString};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What an entry is found by.
pub type Key = [u8; 32];

/// An entry's first bytes, and the version of what follows: 4 zero bytes, the length of the content, the key, the digest of
/// all of these and the content, the content.
const MAGIC: [u8; 8] = *b"weft\0bin";
const VERSION: u32 = 1;
const HEAD: usize = 88;
const DIGEST: usize = 56;

/// The most bytes of content.
const LONGEST: usize = 256 << 20;
/// A temporary file that is older was left behind, even if some process still holds it.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A folder of entries.
pub struct Store {
    folder: File,
    limit: u64,
}

/// The digest of several byte strings, told apart by their lengths.
pub fn digest(parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn name_of(key: &Key) -> CString {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    CString::new(hex + ".cubin").unwrap_or_default()
}

fn refuse(why: &'static str) -> Error {
    Error::new(ErrorKind::PermissionDenied, why)
}

impl Store {
    /// Opens the folder, which is made if it is not there. It must be a folder of this user's that nobody else can enter, and
    /// no link. Its entries have at most `limit` bytes together.
    pub fn open(path: &Path, limit: u64) -> Result<Self> {
        if !path.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        }
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let folder = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let about = folder.metadata()?;
        if !ours(&about) {
            return Err(refuse("the folder belongs to another user"));
        }
        if about.mode() & 0o077 != 0 {
            return Err(refuse("other users can enter the folder; expected permissions 0700"));
        }
        Ok(Self { folder, limit })
    }

    /// What was put in under `key`, if all of it is there as it was.
    pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let name = name_of(key);
        // Not blocking: somebody may have left a pipe under that name.
        let entry = match self.open_at(&name, libc::O_RDONLY | libc::O_NONBLOCK) {
            Ok(file) => read(&file, key),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => None,
            Err(_) => return None,
        };
        if entry.is_none() {
            self.remove(key);
        }
        entry
    }

    /// Forgets an entry.
    pub fn remove(&self, key: &Key) {
        self.unlink(&name_of(key));
    }

    /// Keeps `content` under `key`; the oldest entries go if there is no room. A failure leaves everything as it was.
    pub fn put(&self, key: &Key, content: &[u8]) -> Result<()> {
        if content.len() > LONGEST || (content.len() + HEAD) as u64 > self.limit {
            return Err(Error::new(ErrorKind::FileTooLarge, "the entry is larger than the store"));
        }
        let (temporary, file) = self.create()?;
        let kept = fill(&file, key, content).and_then(|()| self.rename(&temporary, &name_of(key)));
        if kept.is_err() {
            self.unlink(&temporary);
        }
        self.tidy();
        kept
    }

    /// A file of a name of its own, whose lock this writer has: one that another took for a dead writer's, in the moment
    /// before it was locked, is given up for a new one.
    fn create(&self) -> Result<(CString, File)> {
        for _ in 0..16 {
            let name = temporary()?;
            let file = self.open_at(&name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)?;
            // Some file systems have no locks: there files are swept by age.
            let contended = !lock(&file) && Error::last_os_error().kind() == ErrorKind::WouldBlock;
            if !contended && file.metadata()?.nlink() > 0 {
                return Ok((name, file));
            }
        }
        Err(Error::other("the file of a writer was swept again and again"))
    }

    fn fd(&self) -> RawFd {
        self.folder.as_raw_fd()
    }

    fn open_at(&self, name: &CStr, flags: i32) -> Result<File> {
        let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: an open folder, a C string, a mode for what may be created.
        let fd = unsafe { libc::openat(self.fd(), name.as_ptr(), flags, 0o600 as libc::c_uint) };
        // SAFETY: just opened, and nobody else's.
        if fd < 0 { Err(Error::last_os_error()) } else { Ok(unsafe { File::from_raw_fd(fd) }) }
    }

    fn rename(&self, from: &CStr, to: &CStr) -> Result<()> {
        // SAFETY: an open folder and C strings.
        let code = unsafe { libc::renameat(self.fd(), from.as_ptr(), self.fd(), to.as_ptr()) };
        if code == 0 { Ok(()) } else { Err(Error::last_os_error()) }
    }

    fn unlink(&self, name: &CStr) {
        // SAFETY: an open folder and a C string. A file that is gone already is as good.
        unsafe { libc::unlinkat(self.fd(), name.as_ptr(), 0) };
    }

    /// Removes what dead writers left, and the oldest entries as long as all have more bytes than the limit.
    fn tidy(&self) {
        let mut entries = Vec::new();
        for name in self.names() {
            let temporary = name.to_bytes().ends_with(b".tmp");
            match self.about(&name) {
                Some(about) if temporary => self.sweep(&name, &about),
                Some(about) if name.to_bytes().ends_with(b".cubin") => {
                    entries.push(((about.mtime(), about.mtime_nsec()), name, about.len()));
                }
                _ => {}
            }
        }
        let mut total: u64 = entries.iter().map(|entry| entry.2).sum();
        entries.sort();
        for (_, name, size) in entries {
            if total <= self.limit {
                return;
            }
            self.unlink(&name);
            total -= size;
        }
    }

    /// Removes a temporary file that nobody writes any more: whoever does holds its lock.
    fn sweep(&self, name: &CStr, about: &Metadata) {
        let age = about.modified().ok().and_then(|then| SystemTime::now().duration_since(then).ok());
        // The lock is kept until the name is gone: a writer that gets it later finds its file without a name.
        let file = self.open_at(name, libc::O_RDONLY | libc::O_NONBLOCK);
        if file.as_ref().is_ok_and(lock) || age.is_some_and(|age| age > ABANDONED) {
            self.unlink(name);
        }
    }

    fn about(&self, name: &CStr) -> Option<Metadata> {
        self.open_at(name, libc::O_RDONLY | libc::O_NONBLOCK).ok()?.metadata().ok()
    }

    /// The names in the folder.
    fn names(&self) -> Vec<CString> {
        use std::os::fd::IntoRawFd;
        let mut names = Vec::new();
        // Opened anew, for a reader has its own place in the list.
        let Ok(folder) = self.open_at(c".", libc::O_RDONLY | libc::O_DIRECTORY) else { return names };
        // SAFETY: an open folder, which the stream takes over; closed below. An entry is valid until the next is asked for.
        unsafe {
            let fd = folder.into_raw_fd();
            let stream = libc::fdopendir(fd);
            if stream.is_null() {
                libc::close(fd);
                return names;
            }
            while let Some(entry) = libc::readdir(stream).as_ref() {
                names.push(CStr::from_ptr(entry.d_name.as_ptr()).to_owned());
            }
            libc::closedir(stream);
        }
        names
    }
}

fn ours(about: &Metadata) -> bool {
    // SAFETY: asks for a number of the process.
    about.uid() == unsafe { libc::geteuid() }
}

/// Takes a file's lock, unless somebody has it. It goes with the file.
fn lock(file: &File) -> bool {
    // SAFETY: an open file.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

/// A name that no other writer has, here or on another machine that shares the folder.
fn temporary() -> Result<CString> {
    let mut random = [0u8; 16];
    // SAFETY: a local of this size.
    let got = unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), 0) };
    if got != random.len() as isize {
        return Err(Error::other("no random numbers for a name"));
    }
    let number = u128::from_ne_bytes(random);
    Ok(CString::new(format!(".{number:032x}.tmp")).unwrap_or_default())
}

/// The bytes before an entry's content.
fn head(key: &Key, content: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[16..24].copy_from_slice(&(content.len() as u64).to_le_bytes());
    head[24..DIGEST].copy_from_slice(key);
    let digest = digest(&[&head[..DIGEST], content]);
    head[DIGEST..].copy_from_slice(&digest);
    head
}

fn fill(mut file: &File, key: &Key, content: &[u8]) -> Result<()> {
    file.write_all(&head(key, content))?;
    file.write_all(content)?;
    file.sync_all()
}

/// The content of an entry, if it is whole and of this key.
fn read(mut file: &File, key: &Key) -> Option<Vec<u8>> {
    let about = file.metadata().ok()?;
    let private = about.is_file() && ours(&about) && about.mode() & 0o022 == 0;
    let size = usize::try_from(about.len()).ok()?.checked_sub(HEAD).filter(|&size| size <= LONGEST)?;
    if !private {
        return None;
    }
    let (mut found, mut content) = ([0; HEAD], Vec::new());
    file.read_exact(&mut found).ok()?;
    content.try_reserve_exact(size).ok()?;
    file.take(size as u64).read_to_end(&mut content).ok()?;
    (content.len() == size && found == head(key, &content)).then_some(content)
}
