//! The command line.

use std::path::{Component, Path, PathBuf};

pub const HELP: &str = "\
weft-install: installs Weft as a C library

  cargo run --release --bin weft-install -- [--prefix P] [--destdir D] [--libdir L]
  cargo run --release --bin weft-install -- --uninstall [--prefix P] [--destdir D]

  --prefix P    where to install; /usr/local unless given
  --destdir D   put before the prefix, for makers of packages
  --libdir L    folder of the libraries below the prefix; lib unless given (lib64, lib/x86_64-linux-gnu, ...)
  --uninstall   removes what share/weft/manifest.txt below the prefix lists
  --help        this text

What it installs may be moved: pkg-config and CMake find everything relative to their own files. The shared library is
linked by the C compiler: $CC (a command with its arguments), or cc. Exit status: 0 done, 1 failed, 2 wrong usage.
";

/// What the command line asks for.
pub enum Asked {
    Help,
    Install(Options),
    Uninstall(Options),
}

/// Where to install.
pub struct Options {
    prefix: PathBuf,
    destdir: Option<PathBuf>,
    pub libdir: String,
}

impl Options {
    /// The prefix with destdir before it.
    pub fn root(&self) -> PathBuf {
        let below = self.prefix.strip_prefix("/").unwrap_or(&self.prefix);
        self.destdir.as_ref().map_or_else(|| self.prefix.clone(), |destdir| destdir.join(below))
    }
}

/// Reads the arguments, or says what is wrong with them.
pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut options = Options { prefix: "/usr/local".into(), destdir: None, libdir: "lib".into() };
    let mut uninstall = false;
    while let Some(argument) = arguments.next() {
        let (name, given) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let mut value = || given.clone().or_else(|| arguments.next()).filter(|value| !value.is_empty());
        let mut path = || value().ok_or_else(|| format!("{name} needs a path"));
        match name {
            "--help" | "-h" => return Ok(Asked::Help),
            "--uninstall" => uninstall = true,
            "--prefix" => options.prefix = absolute(&path()?)?,
            "--destdir" => options.destdir = Some(absolute(&path()?)?),
            "--libdir" => options.libdir = below_prefix(path()?)?,
            _ => return Err(format!("unknown argument {argument:?}")),
        }
    }
    Ok(if uninstall { Asked::Uninstall(options) } else { Asked::Install(options) })
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{path:?} is no path: {error}"))
}

/// The pkg-config and CMake files count the folders up to the prefix, so the path must have no `..` and no root.
fn below_prefix(libdir: String) -> Result<String, String> {
    let plain = Path::new(&libdir).components().all(|part| matches!(part, Component::Normal(_)));
    if !plain {
        return Err(format!("--libdir is {libdir:?}; expected a folder below the prefix, such as lib64"));
    }
    Ok(libdir.trim_end_matches('/').to_owned())
}
