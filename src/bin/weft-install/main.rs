//! Installs Weft as a C library: headers, shared and static library, pkg-config and CMake files, all relocatable.

mod link;
mod options;
mod package;
mod tree;

#[path = "../../build/declaration.rs"]
#[allow(dead_code)]
mod declaration;

use options::{Asked, Options};
use std::path::PathBuf;
use std::process::ExitCode;
use tree::Tree;

fn main() -> ExitCode {
    match options::parse(std::env::args().skip(1)) {
        Ok(Asked::Help) => {
            print!("{}", options::HELP);
            ExitCode::SUCCESS
        }
        Ok(Asked::Install(options)) => report(install(&options)),
        Ok(Asked::Uninstall(options)) => report(uninstall(&options)),
        Err(sentence) => {
            eprintln!("weft-install: {sentence} (see weft-install --help)");
            ExitCode::from(2)
        }
    }
}

fn report(result: Result<String, String>) -> ExitCode {
    match result {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("weft-install: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn install(options: &Options) -> Result<String, String> {
    let archive = archive()?;
    // Linked first: where that fails, nothing is installed.
    let shared = link::shared(&archive)?;
    let mut tree = Tree::new(options.root());
    let libdir = &options.libdir;
    for (name, text) in package::HEADERS {
        tree.file(&format!("include/{name}"), text.as_bytes())?;
    }
    tree.file(&format!("{libdir}/{}", package::FILE), &shared)?;
    tree.link(&format!("{libdir}/{}", package::SONAME), package::FILE)?;
    tree.link(&format!("{libdir}/libweft.so"), package::SONAME)?;
    tree.copy(&format!("{libdir}/libweft.a"), &archive)?;
    for (name, text) in package::texts(libdir) {
        tree.file(&format!("{libdir}/{name}"), text.as_bytes())?;
    }
    let count = tree.finish()?;
    Ok(format!("installed {count} files below {}", options.root().display()))
}

fn uninstall(options: &Options) -> Result<String, String> {
    let count = tree::remove(&options.root())?;
    Ok(format!("removed {count} files below {}", options.root().display()))
}

/// libweft.a as cargo built it with this program: the newer one, where an older build left one beside it.
fn archive() -> Result<PathBuf, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("this program's own path is unknown: {error}"))?;
    let folder = program.parent().map(PathBuf::from).unwrap_or_default();
    let built = |path: &PathBuf| path.metadata().and_then(|file| file.modified()).ok();
    let places = [folder.join("libweft.a"), folder.join("deps/libweft.a")];
    let newest = places.iter().filter(|path| path.is_file()).max_by_key(|path| built(path));
    newest.cloned().ok_or_else(|| {
        format!("{} is missing; run: cargo run --release --bin weft-install", places[0].display())
    })
}
