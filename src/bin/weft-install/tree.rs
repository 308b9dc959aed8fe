//! Writes files below a root, each under another name first: a program that runs with the old library keeps it whole.

use std::fs::{self, Permissions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const MANIFEST: &str = "share/weft/manifest.txt";

/// What was installed so far.
pub struct Tree {
    root: PathBuf,
    files: Vec<String>,
}

impl Tree {
    /// Nothing yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root, files: Vec::new() }
    }

    /// Installs a file that holds `bytes`.
    pub fn file(&mut self, path: &str, bytes: &[u8]) -> Result<(), String> {
        let mode = if path.contains(".so") { 0o755 } else { 0o644 };
        self.place(path, |at| {
            fs::write(at, bytes).and_then(|()| fs::set_permissions(at, Permissions::from_mode(mode)))
        })
    }

    /// Installs a copy of the file `from`.
    pub fn copy(&mut self, path: &str, from: &Path) -> Result<(), String> {
        let mode = Permissions::from_mode(0o644);
        self.place(path, |at| fs::copy(from, at).and_then(|_| fs::set_permissions(at, mode)))
    }

    /// Installs a symbolic link to `target`, which lies beside it.
    pub fn link(&mut self, path: &str, target: &str) -> Result<(), String> {
        self.place(path, |at| symlink(target, at))
    }

    /// Writes the manifest, and says how many files there are.
    pub fn finish(mut self) -> Result<usize, String> {
        let list = self.files.join("\n") + "\n" + MANIFEST + "\n";
        self.file(MANIFEST, list.as_bytes())?;
        Ok(self.files.len())
    }

    fn place(&mut self, path: &str, make: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), String> {
        let at = self.root.join(path);
        let folder = at.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        let new = folder.join(format!(".weft-install.{}", std::process::id()));
        let placed = make(&new).and_then(|()| fs::rename(&new, &at));
        placed.map_err(|error| {
            let _ = fs::remove_file(&new);
            format!("cannot write {}: {error}", at.display())
        })?;
        self.files.push(path.to_owned());
        Ok(())
    }
}

/// Removes what the manifest below `root` lists, and the folders that are empty then: how many files.
pub fn remove(root: &Path) -> Result<usize, String> {
    let manifest = root.join(MANIFEST);
    let list = fs::read_to_string(&manifest)
        .map_err(|error| format!("cannot read {}: {error}", manifest.display()))?;
    let mut count = 0;
    for path in list.lines().filter(|path| is_ours(path)) {
        let at = root.join(path);
        match fs::remove_file(&at) {
            Ok(()) => count += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(format!("cannot remove {}: {error}", at.display())),
        }
        // Stops at the first folder that others use too.
        let inside = at.ancestors().skip(1).take_while(|folder| *folder != root);
        let _ = inside.map(fs::remove_dir).take_while(Result::is_ok).count();
    }
    Ok(count)
}

/// A manifest that was tampered with must not lead out of the root.
fn is_ours(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && !path.split('/').any(|part| part == "..")
}
