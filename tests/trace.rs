//! The log and the trace of whole processes: what WEFT_LOG and WEFT_TRACE make of a C program, also when it ends without
//! releasing anything or by abort, and that nothing is printed without them.

use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;

fn dir() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("trace");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// The C program, built once.
fn program() -> PathBuf {
    static BUILT: Once = Once::new();
    let (dir, program) = (dir(), dir().join("telemetry"));
    BUILT.call_once(|| {
        let library = std::env::current_exe().unwrap().with_file_name("libweft.so");
        std::fs::copy(library, dir.join("libweft.so.1")).unwrap();
        let done = Command::new("cc")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-Iinclude", "tests/c/telemetry.c"])
            .arg(format!("-L{}", dir.display()))
            .args(["-l:libweft.so.1", &format!("-Wl,-rpath,{}", dir.display()), "-o"])
            .arg(&program)
            .status()
            .unwrap();
        assert!(done.success());
    });
    program
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("timeout");
    command.arg("60").arg(program()).args(arguments).env_remove("WEFT_LOG").env_remove("WEFT_TRACE");
    command.envs(environment.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// name -> (handle, status) of the lines that the program printed; names that come twice as name, name+.
fn printed(output: &Output) -> BTreeMap<String, (String, String)> {
    let mut lines = BTreeMap::new();
    for line in text(&output.stdout).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, handle, status] = words[..] else { panic!("the program printed {line}") };
        let name = if lines.contains_key(name) { format!("{name}+") } else { name.to_owned() };
        lines.insert(name, (handle.to_owned(), status.to_owned()));
    }
    lines
}

/// The events of a file that must be valid JSON as it is.
fn events(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    value.as_array().unwrap().clone()
}

fn word<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or("")
}

fn argument<'a>(event: &'a Value, key: &str) -> &'a str {
    event["args"][key].as_str().unwrap_or("")
}

fn time(event: &Value) -> f64 {
    event["ts"].as_f64().unwrap()
}

/// The one event of this phase and category that speaks of request `handle`.
fn one<'a>(events: &'a [Value], phase: &str, category: &str, handle: &str) -> &'a Value {
    let of = |event: &&Value| {
        word(event, "ph") == phase && word(event, "cat") == category && argument(event, "request") == handle
    };
    let found: Vec<&Value> = events.iter().filter(of).collect();
    assert_eq!(found.len(), 1, "{phase} {category} of {handle}: {found:#?}");
    found[0]
}

/// The one end of the arrow of this name.
fn arrow<'a>(events: &'a [Value], phase: &str, id: &str) -> &'a Value {
    let of = |event: &&Value| word(event, "ph") == phase && word(event, "id") == id;
    let found: Vec<&Value> = events.iter().filter(of).collect();
    assert_eq!(found.len(), 1, "arrow {phase} {id}");
    found[0]
}

const SHAPES: &[(&str, &str)] = &[
    ("write", "16384 bytes"),
    ("fill", "67108864 bytes"),
    ("matmul", "f32 [32, 32] x f32 [32, 32]"),
    ("gather_rows", "table f32 [4, 4] indices i32 [2]"),
    ("read", "16384 bytes"),
];

/// Every request of the program's work, event by event.
fn check_work(events: &[Value], lines: &BTreeMap<String, (String, String)>) {
    let (first, second) = (&lines["first"].0, &lines["second"].0);
    for (name, shape) in SHAPES {
        let (handle, status) = &lines[*name];
        let submit = one(events, "X", "submit", handle);
        let (begin, end) = (one(events, "B", "run", handle), one(events, "E", "run", handle));
        assert_eq!((word(submit, "name"), word(begin, "name")), (&*format!("submit {name}"), *name));
        for event in [submit, begin] {
            let told = (argument(event, "shape"), argument(event, "queue"), argument(event, "op"));
            assert_eq!(told, (*shape, &**first, *name));
        }
        assert_eq!(argument(end, "status"), status);
        assert!(time(submit) <= time(begin) && time(begin) <= time(end), "{submit} {begin} {end}");
        assert_eq!((&begin["tid"], &begin["pid"]), (&end["tid"], &submit["pid"]));
        assert_ne!(begin["tid"], submit["tid"]);
        let id = argument(submit, "id");
        let (start, finish) = (arrow(events, "s", id), arrow(events, "f", id));
        assert_eq!((time(start), &start["tid"]), (time(submit), &submit["tid"]));
        assert_eq!((time(finish), &finish["tid"], word(finish, "bp")), (time(begin), &begin["tid"], "e"));
    }
    for (name, status) in [
        ("barrier", "WEFT_ERROR_DEPENDENCY_FAILED"),
        ("barrier+", "WEFT_ERROR_CANCELLED"),
        ("overdue", "WEFT_ERROR_DEADLINE_EXCEEDED"),
    ] {
        let (handle, told) = &lines[name];
        let (submit, dropped) = (one(events, "X", "submit", handle), one(events, "X", "dropped", handle));
        assert_eq!((argument(dropped, "status"), &**told), (status, status));
        assert_eq!((argument(dropped, "queue"), word(dropped, "name")), (&**second, "barrier"));
        assert!(time(submit) <= time(arrow(events, "f", argument(submit, "id"))));
    }
    for queue in [first, second] {
        let name = format!("weft queue {queue}");
        let named = events.iter().filter(|event| argument(event, "name") == name && word(event, "ph") == "M");
        assert_eq!(named.count(), 1, "{name}");
    }
    let known = ["M", "X", "s", "f", "B", "E"];
    assert!(
        events.iter().all(|event| known.contains(&word(event, "ph"))),
        "no event is lost, none is strange"
    );
}

#[test]
fn a_trace_tells_every_request_however_the_process_ends() {
    for mode in ["release", "exit", "abort"] {
        let file = dir().join(format!("{mode}.json"));
        let output = run(&[mode], &[("WEFT_TRACE", file.to_str().unwrap())]);
        // `timeout` ends by its program's signal, or tells of it in its status.
        let aborted = output.status.signal() == Some(6) || output.status.code() == Some(134);
        assert!(if mode == "abort" { aborted } else { output.status.success() }, "{mode}: {output:?}");
        assert!(mode == "abort" || output.stderr.is_empty(), "{mode}: {}", text(&output.stderr));
        check_work(&events(&file), &printed(&output));
    }
}

#[test]
fn what_the_ring_cannot_hold_is_counted_in_the_trace() {
    const COUNT: usize = 100_000;
    let file = dir().join("flood.json");
    let output = run(&["flood", &COUNT.to_string()], &[("WEFT_TRACE", file.to_str().unwrap())]);
    assert!(output.status.success(), "{output:?}");
    let events = events(&file);
    let of = |phase: &str, category: &str| {
        events.iter().filter(|event| word(event, "ph") == phase && word(event, "cat") == category).count()
    };
    let (submits, begins, ends) = (of("X", "submit"), of("B", "run"), of("E", "run"));
    let lost: u64 = events
        .iter()
        .filter(|event| word(event, "name") == "lost events")
        .map(|event| event["args"]["count"].as_u64().unwrap())
        .sum();
    println!("{submits} submissions and {begins} runs in the trace, {lost} events lost");
    assert_eq!(begins, ends, "what begins, ends");
    assert_eq!((of("s", "request"), of("f", "request")), (submits, begins));
    assert_eq!(submits + begins + lost as usize, 2 * COUNT);
}

#[test]
fn a_name_can_hold_the_process_number_and_two_processes_do_not_mix() {
    let folder = dir().join("numbered");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let name = folder.join("100%-%p.json");
    for _ in 0..2 {
        assert!(run(&["release"], &[("WEFT_TRACE", name.to_str().unwrap())]).status.success());
    }
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in &files {
        let pid: u64 =
            file.file_stem().unwrap().to_str().unwrap().strip_prefix("100%-").unwrap().parse().unwrap();
        assert!(events(file).iter().all(|event| event["pid"] == pid));
    }
    // A file that somebody writes is left alone.
    let held = std::fs::File::create(folder.join("held.json")).unwrap();
    held.lock().unwrap();
    let name = folder.join("held.json");
    let output = run(&["release"], &[("WEFT_TRACE", name.to_str().unwrap()), ("WEFT_LOG", "warn")]);
    assert!(output.status.success() && text(&output.stderr).contains("another process"), "{output:?}");
    assert_eq!(held.metadata().unwrap().len(), 0);
}

#[test]
fn a_pipe_takes_a_trace_without_its_closing_bracket() {
    let output = run(&["release"], &[("WEFT_TRACE", "/dev/stderr")]);
    assert!(output.status.success(), "{output:?}");
    let told = text(&output.stderr);
    // The process may have ended in the middle of a line.
    let whole = &told[..told.rfind('\n').unwrap()];
    let events: Value =
        serde_json::from_str(&format!("{whole}]")).unwrap_or_else(|error| panic!("{error}: {told}"));
    let events = events.as_array().unwrap();
    assert_eq!(word(&events[0], "name"), "process_name");
    assert!(events.iter().any(|event| word(event, "name") == "submit write"), "{told}");
}

#[test]
fn a_trace_that_cannot_be_written_is_told_once_and_changes_nothing() {
    for (name, reason) in
        [("/nonexistent/weft.json", "No such file"), ("/dev/full", "No space"), ("/", "directory")]
    {
        let output = run(&["release"], &[("WEFT_TRACE", name), ("WEFT_LOG", "warn")]);
        assert!(output.status.success(), "{name}: {output:?}");
        assert_eq!(printed(&output).len(), 10);
        let told = text(&output.stderr);
        let lines: Vec<&str> = told.lines().filter(|line| line.contains("race")).collect();
        let told_once = lines.len() == 1 && lines[0].contains(reason);
        assert!(told_once && lines[0].starts_with("weft: warn: "), "{name}: {told}");
        let output = run(&["release"], &[("WEFT_TRACE", name)]);
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
    }
}

#[test]
fn stderr_hears_what_weft_log_asks_for() {
    let levels = |output: &Output| -> Vec<String> {
        let told = text(&output.stderr);
        told.lines()
            .map(|line| line.strip_prefix("weft: ").unwrap().split(':').next().unwrap().to_owned())
            .collect()
    };
    for (level, heard, silent) in [
        ("error", vec![], vec!["warn", "info", "debug"]),
        ("warn", vec!["warn"], vec!["info", "debug"]),
        ("info", vec!["warn", "info"], vec!["debug"]),
        ("debug", vec!["warn", "info", "debug"], vec![]),
    ] {
        let output = run(&["release"], &[("WEFT_LOG", level)]);
        assert!(output.status.success());
        let levels = levels(&output);
        assert!(heard.iter().all(|level| levels.iter().any(|line| line == level)), "{level}: {levels:?}");
        assert!(silent.iter().all(|level| levels.iter().all(|line| line != level)), "{level}: {levels:?}");
    }
    let told = text(&run(&["release"], &[("WEFT_LOG", "debug")]).stderr);
    for word in ["kernels", "matmul runs by its choice", "gather_rows", "was cancelled", "DEPENDENCY_FAILED"]
    {
        assert!(told.contains(word), "{word}: {told}");
    }
    let output = run(&["release"], &[("WEFT_LOG", "loud")]);
    let told = text(&output.stderr);
    assert_eq!(
        told.lines().filter(|line| line.contains("WEFT_LOG is \"loud\"; expected")).count(),
        1,
        "{told}"
    );
    assert!(told.contains("OUT_OF_RANGE"), "taken as warn: {told}");
    let told = text(&run(&["release"], &[("WEFT_LOG", "warn"), ("WEFT_ISA", "mmx")]).stderr);
    assert_eq!(
        told.lines().filter(|line| line.contains("WEFT_ISA is \"mmx\"; expected")).count(),
        1,
        "{told}"
    );
}

#[test]
fn nothing_is_printed_unless_it_is_asked_for() {
    for environment in [&[][..], &[("WEFT_LOG", ""), ("WEFT_TRACE", "")]] {
        let output = run(&["release"], environment);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(printed(&output).len(), 10);
    }
}
