//! The ABI promise: whatever programs compiled against the released header rely on stays as it is. `tests/abi/abi.txt`
//! has it in lines (functions, types, fields with offsets, constants), `tests/abi/weft.abi` as abidw sees a C stub
//! compiled from the header. Adding is allowed, and reported; WEFT_BLESS=1 takes the additions up.

#[path = "../src/build/declaration.rs"]
mod declaration;
#[path = "../src/build/description.rs"]
mod description;
#[path = "../src/build/layout.rs"]
mod layout;
#[path = "support/programs.rs"]
mod programs;

use declaration::items;
use programs::{run, succeeded};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::{env, fs};

const HEADER: &str = include_str!(concat!(env!("OUT_DIR"), "/weft.h"));
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/abi");

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

fn rows<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// All that a program compiled against `header` relies on, a line each.
fn lines(header: &str) -> BTreeSet<String> {
    let api = description::describe(header, &Default::default());
    let list =
        |row: &Value| rows(row, "parameters").map(|each| text(each, "type")).collect::<Vec<_>>().join(", ");
    let mut lines = BTreeSet::new();
    for row in rows(&api, "functions") {
        lines.insert(format!("function {}({}) -> {}", text(row, "name"), list(row), row["returns"]["type"]));
    }
    for row in rows(&api, "constants").filter(|row| row["name"] != "WEFT_ABI_VERSION") {
        lines.insert(format!("constant {} = {}", text(row, "name"), row["value"]));
    }
    for row in rows(&api, "types") {
        let name = text(row, "name");
        lines.insert(match text(row, "kind") {
            "struct" => frozen(row),
            "callback" => format!("callback {name}({}) -> {}", list(row), row["returns"]),
            _ => format!("type {name} = {}", text(row, "type")),
        });
        let field = |each: &Value| {
            format!(
                "field {name}.{} = {} x {} at {}",
                text(each, "name"),
                text(each, "type"),
                each["count"].as_u64().unwrap_or(1),
                each["offset"]
            )
        };
        lines.extend(rows(row, "fields").map(field));
    }
    lines
}

/// A struct that says its size may grow; any other is as long as it is for ever.
fn frozen(row: &Value) -> String {
    let grows = row["fields"][0]["name"] == "struct_size";
    let size = format!("{} aligned to {}", row["size"], row["align"]);
    format!("struct {} of {}", text(row, "name"), if grows { "its struct_size" } else { &size })
}

fn bless() -> bool {
    env::var_os("WEFT_BLESS").is_some()
}

/// The promise; refreshed first if that is asked for.
static PROMISED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let file = Path::new(FOLDER).join("abi.txt");
    if bless() {
        fs::write(&file, lines(HEADER).iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }
    fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
});

#[test]
fn nothing_promised_has_changed() {
    let (promised, now) = (&*PROMISED, lines(HEADER));
    let broken: Vec<_> = promised.difference(&now).collect();
    assert!(
        broken.is_empty(),
        "changed or removed: programs compiled against the released header break: {broken:#?}"
    );
    let added: Vec<_> = now.difference(promised).collect();
    println!("{} promises kept, {} additions: {added:#?}", promised.len(), added.len());
    assert!(promised.len() > 300, "the list is cut");
}

/// The header with one change; the change must be there to be made.
fn planted(from: &str, to: &str) -> String {
    assert_eq!(HEADER.matches(from).count(), 1, "{from:?} is not in the header once");
    HEADER.replacen(from, to, 1)
}

/// (what, header, whether it breaks programs)
fn changes() -> Vec<(&'static str, String, bool)> {
    let units = "  /**\n   * Cores (CPU) or multiprocessors (GPU).\n   */\n  uint32_t units;\n";
    vec![
        ("a parameter", planted("weft_abi_check(uint32_t", "weft_abi_check(uint64_t"), true),
        ("a result", planted("uint32_t weft_abi_version(", "uint64_t weft_abi_version("), true),
        ("a field removed", planted(units, ""), true),
        ("a field's type", planted("  weft_complete_fn callback;\n", "  uint32_t callback;\n"), true),
        (
            "a function removed",
            planted(
                "weft_status weft_port_arm(weft_port port);",
                "weft_status weft_port_alarm(weft_port port);",
            ),
            true,
        ),
        (
            "a frozen struct",
            planted("} weft_tensor;", "  /**\n   * New.\n   */\n  uint64_t more;\n} weft_tensor;"),
            true,
        ),
        ("a constant", planted("#define WEFT_TIMEOUT 2\n", "#define WEFT_TIMEOUT 7\n"), true),
        (
            "a field added",
            planted("} weft_port_desc;", "  /**\n   * New.\n   */\n  uint64_t more;\n} weft_port_desc;"),
            false,
        ),
        (
            "a function added",
            planted(
                "weft_status weft_port_arm(",
                "weft_status weft_new(uint32_t x);\n\n/**\n * Old.\n */\nweft_status weft_port_arm(",
            ),
            false,
        ),
    ]
}

#[test]
fn what_breaks_a_program_is_seen() {
    let before = lines(HEADER);
    for (what, header, breaks) in changes() {
        let now = lines(&header);
        assert_ne!(now, before, "{what}: not seen at all");
        assert_eq!(before.difference(&now).next().is_some(), breaks, "{what}");
    }
}

/// A shared library of the header's functions, all empty: its debugging information is the header's and no compiler's.
fn stub(name: &str, header: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abi").join(name.replace(' ', "-"));
    fs::create_dir_all(&folder).unwrap();
    let functions = items(header).into_iter().map(|item| item.declaration);
    let functions = functions.filter(|text| !text.starts_with("typedef") && !text.starts_with('#'));
    let bodies: String = functions.map(|text| format!("{text} {{ return 0; }}\n")).collect();
    fs::write(folder.join("weft.h"), header).unwrap();
    fs::write(folder.join("stub.c"), format!("#include \"weft.h\"\n{bodies}")).unwrap();
    let (source, library) = (folder.join("stub.c"), folder.join("libstub.so"));
    // The dump must not tell where it was made.
    let nowhere = format!("-fdebug-prefix-map={}=.", folder.display());
    let (source, shared) = (source.to_str().unwrap(), library.to_str().unwrap());
    let arguments = ["-g", &nowhere, "-w", "-shared", "-fPIC", "-o", shared, source];
    let output = run(Command::new("gcc").args(arguments)).expect("gcc");
    succeeded(name, &output);
    library
}

/// What abidiff has to say of a library beside the released ABI, additions of functions aside; empty: nothing.
fn abidiff(library: &Path) -> Option<String> {
    let options = ["--no-architecture", "--no-added-syms"];
    let output = run(Command::new("abidiff").args(options).args([DUMP.as_path(), library]))?;
    assert_eq!(output.status.code().unwrap() & 3, 0, "abidiff: {}", String::from_utf8_lossy(&output.stderr));
    Some(if output.status.success() { String::new() } else { String::from_utf8(output.stdout).unwrap() })
}

/// The released ABI as abidw dumps it; refreshed first if that is asked for.
static DUMP: LazyLock<PathBuf> = LazyLock::new(|| {
    let file = Path::new(FOLDER).join("weft.abi");
    if bless() {
        let (library, file) = (stub("released", HEADER), file.to_str().unwrap());
        let quiet = [
            "--no-show-locs",
            "--no-corpus-path",
            "--no-comp-dir-path",
            "--no-elf-needed",
            "--no-architecture",
        ];
        let output = run(Command::new("abidw").args(quiet).args(["--out-file", file]).arg(&library));
        succeeded("abidw", &output.expect("abidw is installed (Debian: abigail-tools)"));
    }
    file
});

#[test]
fn abidiff_sees_no_change() {
    let Some(told) = abidiff(&stub("now", HEADER)) else { return };
    // Structs that say their size may grow at the end, which abidiff cannot know.
    let (promised, now) = (&*PROMISED, lines(HEADER));
    let grown = now.difference(promised).any(|line| line.starts_with("field "));
    println!("{told}");
    assert!(told.is_empty() || grown, "{told}");
}

#[test]
fn abidiff_sees_what_breaks_a_program() {
    for (what, header, breaks) in changes().into_iter().filter(|change| change.0 != "a constant") {
        let Some(told) = abidiff(&stub(what, &header)) else { return };
        let seen = !told.is_empty();
        assert!(seen || !breaks, "{what}: not seen");
    }
}
