//! An installed Weft works from wherever it is moved to: by pkg-config, shared and static, by CMake, and by plain
//! compiler flags; its shared library has a soname, symbol versions, and needs the C library alone.

#[path = "support/programs.rs"]
mod programs;

use programs::{run, succeeded};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::{env, fs};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const LIBDIR: &str = "lib/here";
const SUMS: &str = "11 22 33 44\n";

/// A prefix that was installed as a package would be, and moved since.
static PREFIX: LazyLock<PathBuf> = LazyLock::new(|| {
    let (stage, moved) = (folder("stage"), folder("moved"));
    let destdir = stage.to_str().unwrap();
    let output = install(&["--destdir", destdir, "--prefix", "/opt/weft", &format!("--libdir={LIBDIR}")]);
    succeeded("weft-install", &output);
    fs::rename(stage.join("opt/weft"), moved.join("weft")).unwrap();
    moved.join("weft")
});

/// An empty folder of this name.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("install").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn install(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weft-install")).args(arguments).output().unwrap()
}

/// Compiles 01_hello.c with these flags behind it: the program.
fn compile(name: &str, flags: &str) -> PathBuf {
    let program = folder(name).join("program");
    let source = Path::new(ROOT).join("examples-c/01_hello.c");
    let mut cc = Command::new("cc");
    cc.arg("-o").arg(&program).arg(source).args(flags.split_whitespace());
    succeeded(&format!("{cc:?}"), &cc.output().expect("a C compiler"));
    program
}

fn prints(program: &Path, library_path: &str) -> String {
    let mut command = Command::new(program);
    command.env_remove("LD_LIBRARY_PATH");
    if !library_path.is_empty() {
        command.env("LD_LIBRARY_PATH", library_path);
    }
    succeeded(&format!("{}", program.display()), &command.output().unwrap())
}

fn libraries() -> String {
    PREFIX.join(LIBDIR).to_str().unwrap().to_owned()
}

/// What pkg-config says of the moved prefix.
fn pkg_config(arguments: &[&str]) -> Option<String> {
    let folder = PREFIX.join(LIBDIR).join("pkgconfig");
    let output = run(Command::new("pkg-config").env("PKG_CONFIG_PATH", folder).args(arguments).arg("weft"))?;
    Some(succeeded("pkg-config", &output))
}

#[test]
fn plain_flags_link_the_shared_library() {
    let (include, lib) = (PREFIX.join("include"), libraries());
    let program = compile("plain", &format!("-I{} -L{lib} -lweft -Wl,-rpath,{lib}", include.display()));
    assert_eq!(prints(&program, ""), SUMS);
}

#[test]
fn plain_flags_link_the_static_library() {
    let (include, lib) = (PREFIX.join("include"), libraries());
    let flags = format!("-I{} {lib}/libweft.a -lpthread -ldl -lm", include.display());
    assert_eq!(prints(&compile("archive", &flags), ""), SUMS);
}

#[test]
fn pkg_config_finds_a_moved_prefix() {
    let Some(flags) = pkg_config(&["--cflags", "--libs"]) else { return };
    assert_eq!(prints(&compile("shared", &flags), &libraries()), SUMS);
    let version = pkg_config(&["--modversion"]).unwrap();
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn pkg_config_links_a_static_program() {
    let Some(flags) = pkg_config(&["--static", "--cflags", "--libs"]) else { return };
    let program = compile("static", &format!("-static {flags}"));
    assert_eq!(prints(&program, ""), SUMS);
    let Some(output) = run(Command::new("readelf").arg("-d").arg(&program)) else { return };
    assert!(!succeeded("readelf", &output).contains("(NEEDED)"), "a static program needs a shared library");
}

#[test]
fn cmake_finds_a_moved_prefix() {
    let build = folder("cmake");
    let source = Path::new(ROOT).join("examples-c/cmake");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(source).arg("-B").arg(&build);
    configure.arg(format!("-DWeft_DIR={}", PREFIX.join(LIBDIR).join("cmake/Weft").display()));
    let Some(output) = run(&mut configure) else { return };
    succeeded("cmake", &output);
    succeeded("cmake --build", &run(Command::new("cmake").arg("--build").arg(&build)).unwrap());
    for (program, printed) in [("hello", SUMS), ("hello_static", SUMS), ("hello_cpp", "1.5 1.5 1.5 1.5\n")] {
        assert_eq!(prints(&build.join(program), ""), printed, "{program}");
    }
}

#[test]
fn cmake_finds_a_prefix_by_its_path_and_minds_the_version() {
    let prefix = folder("plain-prefix");
    succeeded("weft-install", &install(&["--prefix", prefix.to_str().unwrap()]));
    for (wanted, found) in
        [("", true), ("1.0", true), ("1", true), ("0.9", false), ("1.99", false), ("2.0", false)]
    {
        let project = folder("versions");
        let text = format!(
            "cmake_minimum_required(VERSION 3.16)\nproject(p C)\nfind_package(Weft {wanted} REQUIRED)\n"
        );
        fs::write(project.join("CMakeLists.txt"), text).unwrap();
        let mut cmake = Command::new("cmake");
        cmake.arg("-S").arg(&project).arg("-B").arg(project.join("build"));
        cmake.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
        let Some(output) = run(&mut cmake) else { return };
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), found, "find_package(Weft {wanted}): {text}");
    }
}

/// A tool of binutils over the installed shared library.
fn inspect(tool: &str, arguments: &[&str], library: &Path) -> Option<String> {
    run(Command::new(tool).args(arguments).arg(library)).map(|output| succeeded(tool, &output))
}

/// The versions of the symbols that a library takes from the C library, highest last.
fn glibc(symbols: &str) -> BTreeSet<(u32, u32)> {
    let words = symbols.split("GLIBC_").skip(1);
    let versions = words.map(|word| word.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap());
    versions
        .filter_map(|version| version.split_once('.'))
        .map(|(a, b)| (a.parse().unwrap(), b.split('.').next().unwrap().parse().unwrap()))
        .collect()
}

/// Loads an installed library by its description, in a process that has nothing of ours, and computes.
fn loads(prefix: &Path, libdir: &str) {
    let (script, library) =
        (Path::new(ROOT).join("tests/python/binding.py"), prefix.join(libdir).join("libweft.so.1"));
    let description = prefix.join("include/weft_api.json");
    let Some(output) = run(Command::new("python3").args([&script, &description, &library])) else { return };
    assert!(succeeded("binding.py", &output).contains(" functions"));
}

/// What must hold of the shared library, whoever linked it; `None` where readelf is missing.
fn examine(library: &Path) -> Option<(u32, u32)> {
    let dynamic = inspect("readelf", &["-dW"], library)?;
    let major = env!("CARGO_PKG_VERSION_MAJOR");
    for word in [&format!("soname: [libweft.so.{major}]"), "NODELETE", "NOW"] {
        assert!(dynamic.contains(word), "not {word}:\n{dynamic}");
    }
    let known = ["libc.so", "libm.so", "libpthread.so", "libdl.so", "ld-linux"];
    for line in dynamic.lines().filter(|line| line.contains("(NEEDED)")) {
        assert!(
            known.iter().any(|name| line.contains(&format!("[{name}"))),
            "more than the C library: {line}"
        );
    }
    assert!(inspect("readelf", &["-lW"], library)?.contains("GNU_RELRO"));
    let symbols = inspect("readelf", &["--dyn-syms", "-W"], library)?;
    let exported = symbols
        .lines()
        .filter(|line| !line.contains(" UND "))
        .filter_map(|line| line.split_whitespace().nth(7));
    let exported: BTreeSet<_> = exported.filter(|name| name.contains('@')).map(str::to_owned).collect();
    let versioned =
        |line: &str| line.strip_prefix("function ").map(|rest| rest.split('(').next().unwrap().to_owned());
    let abi = fs::read_to_string(Path::new(ROOT).join("tests/abi/abi.txt")).unwrap();
    let promised: BTreeSet<_> =
        abi.lines().filter_map(versioned).map(|name| format!("{name}@@WEFT_1.0")).collect();
    let missing: Vec<_> = promised.difference(&exported).collect();
    assert!(promised.len() > 40 && missing.is_empty(), "not exported with their version: {missing:?}");
    assert!(
        exported.iter().all(|name| name.starts_with("weft_") && name.contains("@@WEFT_")),
        "{exported:?}"
    );
    glibc(&symbols).last().copied()
}

#[test]
fn the_shared_library_loads_by_itself() {
    loads(&PREFIX, LIBDIR);
}

#[test]
fn the_shared_library_has_a_soname_and_symbol_versions() {
    let Some((major, minor)) = examine(&PREFIX.join(LIBDIR).join("libweft.so")) else { return };
    // SAFETY: a constant of the C library.
    let here = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) }.to_str().unwrap();
    assert!(
        Some(&(major, minor)) <= glibc(&format!("GLIBC_{here}")).first(),
        "more than this machine's glibc {here}"
    );
    println!("glibc {major}.{minor} or newer is needed by what this machine's compiler links");
}

/// The linker of the ziglang package knows older C libraries: its output runs where this machine's would not.
#[test]
fn an_older_c_library_can_be_aimed_at() {
    let python = Path::new(ROOT).join(".venv/bin/python");
    let python = if python.exists() { python } else { "python3".into() };
    let zig = run(Command::new(&python).args(["-m", "ziglang", "version"]));
    if !zig.is_some_and(|output| output.status.success()) {
        eprintln!("skipped: the Python package ziglang is not installed");
        return;
    }
    let prefix = folder("older");
    let compiler =
        format!("{} -m ziglang cc -target {}-linux-gnu.2.31 -lunwind", python.display(), env::consts::ARCH);
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft-install"));
    command.env("CC", compiler).arg("--prefix").arg(&prefix);
    succeeded("weft-install with ziglang", &command.output().unwrap());
    let Some(floor) = examine(&prefix.join("lib/libweft.so")) else { return };
    assert!(floor <= (2, 31), "needs glibc {floor:?}");
    loads(&prefix, "lib");
    let lib = prefix.join("lib");
    let flags = format!("-I{} -L{} -lweft", prefix.join("include").display(), lib.display());
    assert_eq!(prints(&compile("old", &flags), lib.to_str().unwrap()), SUMS);
}

#[test]
fn what_is_installed_can_be_removed() {
    let prefix = folder("removed");
    fs::create_dir_all(prefix.join("include")).unwrap();
    fs::write(prefix.join("include/other.h"), "").unwrap();
    let place = ["--prefix", prefix.to_str().unwrap()];
    // Twice: installing over an installed one is an update.
    succeeded("install", &install(&place));
    succeeded("install", &install(&place));
    let manifest = fs::read_to_string(prefix.join("share/weft/manifest.txt")).unwrap();
    assert!(manifest.lines().all(|file| prefix.join(file).exists()), "{manifest}");
    let link = |name: &str| fs::read_link(prefix.join("lib").join(name)).unwrap();
    assert_eq!(link("libweft.so"), Path::new("libweft.so.1"));
    assert_eq!(link("libweft.so.1"), Path::new(concat!("libweft.so.", env!("CARGO_PKG_VERSION"))));
    succeeded("uninstall", &install(&["--uninstall", place[0], place[1]]));
    let left: Vec<_> = fs::read_dir(&prefix).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["include"]);
    assert!(prefix.join("include/other.h").exists() && !prefix.join("include/weft.h").exists());
    let again = install(&["--uninstall", place[0], place[1]]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("share/weft/manifest.txt"));
}

#[test]
fn wrong_use_is_told() {
    let told = |arguments: &[&str], code: i32, word: &str| {
        let output = install(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(word), "{arguments:?}: {word} is not in: {text}");
    };
    told(&["--prefix"], 2, "--prefix needs a path");
    told(&["--prefix="], 2, "--prefix needs a path");
    told(&["--perfix", "/x"], 2, "\"--perfix\"");
    told(&["--libdir", "/usr/lib"], 2, "--libdir is \"/usr/lib\"");
    told(&["--libdir", "../lib"], 2, "--libdir is \"../lib\"");
    // A file stands where a folder would have to be: not even root can write there.
    told(&["--prefix", "/dev/null/weft"], 1, "/dev/null/weft");
    told(&["--uninstall", "--prefix", "/dev/null/weft"], 1, "/dev/null/weft");
    assert!(succeeded("--help", &install(&["--help"])).contains("--destdir"));
}

#[test]
fn a_compiler_that_is_missing_or_fails_is_told() {
    let prefix = folder("nothing");
    for (compiler, word) in [("/no/such/cc", "cannot be run"), ("false", "could not link")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft-install"));
        let output = command.env("CC", compiler).arg("--prefix").arg(&prefix).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(compiler) && text.contains(word), "{text}");
        assert_eq!(fs::read_dir(&prefix).unwrap().count(), 0, "nothing is installed");
    }
}
