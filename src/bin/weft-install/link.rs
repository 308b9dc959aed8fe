//! Links the shared library anew from the static one: rustc writes a version script of its own, beside which the
//! linker takes no other, so that symbol versions can only be had this way.

use super::declaration::{items, variable};
use super::package::{HEADERS, SONAME};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The bytes of a shared library made of `archive`.
pub fn shared(archive: &Path) -> Result<Vec<u8>, String> {
    let folder = Folder::new()?;
    let (script, output) = (folder.0.join("weft.map"), folder.0.join("libweft.so"));
    let failed = |error| format!("cannot write {}: {error}", script.display());
    fs::write(&script, version_script(HEADERS[0].1)).map_err(failed)?;
    let compiler = env::var("CC").ok().filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "cc".into());
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cc"));
    command.args(words);
    command
        .args(["-shared", "-static-libgcc", "-Wl,--whole-archive"])
        .arg(archive)
        .arg("-Wl,--no-whole-archive");
    command.arg(format!("-Wl,-soname,{SONAME}")).arg(format!("-Wl,--version-script={}", script.display()));
    command.args([
        "-Wl,-z,nodelete,-z,relro,-z,now,-z,noexecstack,-z,defs",
        "-Wl,--gc-sections,--strip-debug,--as-needed",
    ]);
    command.args(["-lpthread", "-ldl", "-lm", "-o"]).arg(&output);
    let made = command.output().map_err(|error| {
        format!("the C compiler {compiler} cannot be run: {error}; install gcc or clang, or name one in CC")
    })?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        return Err(format!("{compiler} could not link the shared library:\n{}", said.trim()));
    }
    fs::read(&output).map_err(|error| format!("cannot read {}: {error}", output.display()))
}

/// Each function under the version of the ABI that brought it; nothing else is exported.
fn version_script(header: &str) -> String {
    let mut versions = BTreeMap::<(u32, u32), Vec<String>>::new();
    for item in items(header).iter().filter(|item| !item.declaration.starts_with(['#', 't'])) {
        let (head, _) = item.declaration.split_once('(').unwrap_or((&item.declaration, ""));
        versions.entry(since(&item.doc)).or_default().push(variable(head).name);
    }
    let (mut script, mut before) = (String::new(), String::new());
    for ((major, minor), names) in versions {
        let local = if before.is_empty() { " local: *;" } else { "" };
        script += &format!("WEFT_{major}.{minor} {{ global: {};{local} }}{before};\n", names.join("; "));
        before = format!(" WEFT_{major}.{minor}");
    }
    script
}

fn since(doc: &str) -> (u32, u32) {
    let text = doc.lines().find_map(|line| line.strip_prefix("Since: "));
    let numbers = text.and_then(|text| text.trim_end_matches('.').split_once('.'));
    numbers.map_or((1, 0), |(major, minor)| (major.parse().unwrap_or(1), minor.parse().unwrap_or(0)))
}

/// A folder of our own for the linker, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let path = env::temp_dir().join(format!("weft-install.{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
