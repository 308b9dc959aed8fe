//! The rules of the house, checked: imports go down, files are short and say what they are, functions are short,
//! unsafe blocks are argued, families do not know each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and the modules it may import, as `src/lib.rs` has it.
const LAYERS: &[(&str, &[&str])] = &[
    ("status", &[]),
    ("reserve", &["status"]),
    ("sync", &["status"]),
    ("dtype", &["status"]),
    ("layout", &["status", "dtype"]),
    ("handle", &["status", "reserve", "sync", "dtype", "layout"]),
    ("telemetry", &["status", "sync"]),
    ("ptx", &["status", "dtype", "layout"]),
    ("device", &["status", "sync", "dtype", "layout", "handle", "telemetry", "ptx"]),
    ("kernels", &["status", "dtype", "layout", "handle", "device", "ptx"]),
    ("op", &["status", "dtype", "layout", "handle", "telemetry", "device", "kernels"]),
    ("ops", &["status", "dtype", "layout", "telemetry", "ptx", "device", "kernels", "op"]),
    ("queue", &["status", "sync", "dtype", "layout", "telemetry", "device", "kernels", "op"]),
    (
        "api",
        &[
            "status",
            "reserve",
            "dtype",
            "layout",
            "handle",
            "telemetry",
            "ptx",
            "device",
            "kernels",
            "op",
            "ops",
            "queue",
        ],
    ),
];

/// Devices must not know handles either, though their layer lies above.
const FORBIDDEN: &[(&str, &str)] = &[("device", "handle"), ("kernels", "handle"), ("op", "handle")];

const MAX_LINES: usize = 600;

/// (file, text of each line that is code)
fn code(module: &str) -> Vec<(PathBuf, Vec<String>)> {
    let strip = |text: String| {
        text.lines()
            .map(|line| if line.trim_start().starts_with("//") { String::new() } else { line.into() })
            .collect()
    };
    sources(module)
        .into_iter()
        .map(|file| (file.clone(), strip(fs::read_to_string(&file).unwrap())))
        .collect()
}

fn sources(module: &str) -> Vec<PathBuf> {
    let file = PathBuf::from(format!("src/{module}.rs"));
    if file.exists() { vec![file] } else { walk(&Path::new("src").join(module)) }
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// The first path segment after each `crate::` on a line, braces opened: `crate::{a::b, c}` names a and c.
fn imports(line: &str) -> Vec<String> {
    let word =
        |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let after = |part: &str| match part.strip_prefix('{') {
        Some(list) => list.trim_end_matches(['}', ';']).split(',').map(word).collect(),
        None => vec![word(part)],
    };
    line.split("crate::").skip(1).flat_map(after).collect()
}

#[test]
fn imports_go_down() {
    let mut seen = 0;
    for (module, allowed) in LAYERS {
        for (file, lines) in code(module) {
            for used in lines.iter().flat_map(|line| imports(line)) {
                let known = LAYERS.iter().any(|(name, _)| *name == used);
                let fine = used == *module || allowed.contains(&used.as_str());
                let forbidden = FORBIDDEN.contains(&(module, used.as_str()));
                assert!(
                    !known || (fine && !forbidden),
                    "{}: `{module}` may not import `{used}`",
                    file.display()
                );
                seen += usize::from(known);
            }
        }
    }
    assert!(seen > 50, "the rule saw only {seen} imports: its parser is broken");
}

#[test]
fn families_do_not_know_each_other() {
    let families: Vec<String> = fs::read_dir("src/ops")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    for family in &families {
        for (file, lines) in code(&format!("ops/{family}")) {
            for line in &lines {
                let foreign =
                    families.iter().find(|other| *other != family && line.contains(&format!("ops::{other}")));
                assert!(foreign.is_none(), "{}: {family} imports {foreign:?}", file.display());
                assert!(
                    !line.contains("super::super::"),
                    "{}: reaches past its folder: {line}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn every_module_has_a_layer() {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let modules: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
        .map(|name| name.trim_end_matches(';'))
        .collect();
    assert_eq!(modules.len(), LAYERS.len() - 2, "`reserve` and `sync` are private");
    assert!(modules.iter().all(|name| LAYERS.iter().any(|(module, _)| module == name)), "{modules:?}");
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for file in walk(Path::new("src")) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{}: no head comment", file.display());
        assert!(text.lines().count() <= MAX_LINES, "{}: {} lines", file.display(), text.lines().count());
        let name = file.file_stem().unwrap().to_str().unwrap();
        let empty = ["utils", "util", "common", "base", "misc", "helpers", "manager"];
        assert!(!empty.contains(&name), "{}: a name that says nothing", file.display());
    }
}

/// Lengths of all functions: from the line of `fn` to the line of the closing brace at its indentation.
fn function_lengths() -> BTreeMap<String, usize> {
    let mut lengths = BTreeMap::new();
    for file in walk(Path::new("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let trimmed = line.trim_start();
            let is_fn = [
                "fn ",
                "pub fn ",
                "pub(super) fn ",
                "pub(crate) fn ",
                "pub const fn ",
                "unsafe fn ",
                "pub unsafe fn ",
                "const fn ",
                "pub extern",
                "pub unsafe extern",
                "extern \"C\" fn",
            ]
            .iter()
            .any(|head| trimmed.starts_with(head));
            // A row of a macro's table, `fn add(a: V, b: V) -> V = _mm512_add_ps(a, b);`, is no function of its own.
            let is_fn = is_fn && !trimmed.contains(" = ") && !trimmed.ends_with(" =");
            let indent = &line[..line.len() - trimmed.len()];
            let close = format!("{indent}}}");
            if is_fn && !line.trim_end().ends_with(';') && !line.trim_end().ends_with('}') {
                let end = lines[start..].iter().position(|line| *line == close).unwrap_or(0);
                lengths.insert(format!("{}:{}", file.display(), start + 1), end + 1);
            } else if is_fn {
                lengths.insert(format!("{}:{}", file.display(), start + 1), 1);
            }
        }
    }
    lengths
}

#[test]
fn functions_are_short() {
    let lengths = function_lengths();
    let mut sorted: Vec<usize> = lengths.values().copied().collect();
    sorted.sort_unstable();
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    println!("{} functions: median {}, 90 % {}, longest {}", sorted.len(), at(0.5), at(0.9), at(1.0));
    let longest: Vec<_> = lengths.iter().filter(|(_, length)| **length > 60).collect();
    assert!(at(0.5) <= 10 && at(0.9) <= 26, "median {}, 90 % {}", at(0.5), at(0.9));
    assert!(longest.is_empty(), "over 60 lines: {longest:?}");
}
