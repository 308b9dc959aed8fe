//! What the header's comments say is there and is true: fixed lines on every function; no call, however it is made,
//! answers with a status that its function does not list; from a callback exactly those work that say so.

mod arguments;
mod library;

use arguments::{Maker, World};
use library::{Api, Function, LINES, Library};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

#[test]
fn every_function_has_the_fixed_lines() {
    let api = Api::read();
    for function in api.functions() {
        let name = function.name();
        let found: Vec<_> = function
            .comment_lines()
            .filter_map(|line| LINES.into_iter().find(|label| line.starts_with(label)))
            .collect();
        for label in LINES {
            assert!(found.contains(&label), "{name}: its comment lacks a line that begins with {label:?}");
        }
        assert_eq!(found, LINES, "{name}: its fixed lines are out of order or there twice");
        assert!(
            !function.comment().contains('#'),
            "{name}: a heading of Rust's documentation leaked into it"
        );
    }
}

#[test]
fn the_fixed_lines_say_what_can_be() {
    let api = Api::read();
    for function in api.functions() {
        let (name, codes) = (function.name(), function.codes());
        for code in &codes {
            assert!(api.status(code).is_some(), "{name}: its Returns line names {code}, which is no status");
        }
        let callable = function.line("Callable from callback:");
        let refused = "no (WEFT_ERROR_IN_CALLBACK).";
        assert!(callable == "yes." || callable == refused, "{name}: Callable from callback: is {callable:?}");
        let lists = |code: &str| codes.iter().any(|listed| listed == code);
        assert_eq!(
            lists("WEFT_ERROR_IN_CALLBACK"),
            callable == refused,
            "{name}: Returns and Callable from callback differ"
        );
        let waits = function.line("Blocks:").contains("options->timeout_ns");
        assert!(
            !waits || lists("WEFT_INTERRUPTED"),
            "{name}: a signal ends its wait, says weft_submit.timeout_ns"
        );
        if function.gives_status() {
            for code in ["WEFT_OK", "WEFT_ERROR_FORKED", "WEFT_ERROR_INTERNAL"] {
                assert!(lists(code), "{name}: its Returns line lacks {code}");
            }
        }
        let since = function.line("Since:");
        let version: Vec<u64> =
            since.trim_end_matches('.').split('.').map(|part| part.parse().unwrap_or(u64::MAX)).collect();
        let [major, minor] = version[..] else {
            panic!("{name}: Since: is {since:?}; expected such as 1.0.")
        };
        let now = api.version();
        assert!(
            (major, minor) <= (now >> 16, now & 0xffff),
            "{name}: Since: {since} is after the ABI's version"
        );
    }
}

/// What the calls of one phase answered, by function.
#[derive(Default)]
struct Answers {
    seen: BTreeMap<String, BTreeSet<i32>>,
    wrong: BTreeSet<String>,
    /// "function: parameter" where NULL was taken.
    taken: BTreeSet<String>,
    calls: usize,
}

impl Answers {
    /// Calls a function `rounds` times; `fine` says which answers it may give.
    fn call(&mut self, maker: &mut Maker, function: Function, rounds: usize, fine: impl Fn(i32) -> bool) {
        let mut world = World::new(maker.library, maker.api);
        for round in 0..rounds {
            // A release leaves little to call with; other calls may fill a queue.
            if function.name().ends_with("_release") || round % 32 == 31 {
                world = World::new(maker.library, maker.api);
            }
            let arguments = maker.arguments(&function, &world, round % 2 == 0);
            let answer = maker.library.call(function.name(), &arguments);
            maker.release(&function, &arguments, answer);
            if answer == 0 {
                self.nulls(&function, &arguments);
            }
            self.calls += 1;
            if function.gives_status() {
                self.seen.entry(function.name().into()).or_default().insert(answer);
                if !fine(answer) {
                    let (text, code) = (maker.library.last_error(), maker.api.status_name(answer));
                    self.wrong.insert(format!("{} answered {code} ({text})", function.name()));
                }
            }
        }
    }
}

impl Answers {
    /// Notes which NULLs a call has taken; only those may be that are said to.
    fn nulls(&mut self, function: &Function, arguments: &[u64]) {
        let value = |name: &Value| {
            function.parameters().iter().position(|row| row["name"] == *name).map(|at| arguments[at])
        };
        for (row, _) in function.parameters().iter().zip(arguments).filter(|pair| *pair.1 == 0) {
            let place = format!("{}: {}", function.name(), row["name"]);
            // With a length of 0 there is nothing to point to.
            if row["nullable"] == false && value(&row["length"]) != Some(0) {
                self.wrong.insert(format!("{place} was NULL and taken; say that it may be NULL"));
            }
            self.taken.insert(place);
        }
    }

    /// Parameters that may be NULL by the description, and never were where the function succeeded.
    fn untaken(&self, api: &Api) -> Vec<String> {
        let succeeds =
            |function: &Function| self.seen.get(function.name()).is_some_and(|seen| seen.contains(&0));
        let nullable = |function: Function| {
            let rows = function.parameters().iter().filter(|row| row["nullable"] == true);
            rows.map(|row| format!("{}: {}", function.name(), row["name"])).collect::<Vec<_>>()
        };
        let all = api.functions().filter(succeeds).flat_map(nullable);
        all.filter(|place| !self.taken.contains(place)).collect()
    }
}

fn lists(api: &Api, function: &Function, answer: i32) -> bool {
    function.codes().iter().any(|code| api.status(code) == Some(answer))
}

/// One test, as its parts change the whole library: a shutdown comes last.
#[test]
fn no_call_answers_with_a_status_that_is_not_listed() {
    let (api, library) = (Api::read(), Library::open());
    let mut maker = Maker::new(&api, &library);
    let mut answers = Answers::default();
    let shuts_down = |function: &Function| function.name() == "weft_shutdown";
    for function in api.functions().filter(|function| !shuts_down(function)) {
        answers.call(&mut maker, function, 400, |answer| lists(&api, &function, answer));
    }
    let untaken = answers.untaken(&api);
    assert!(untaken.is_empty(), "said to take NULL, but never did: {untaken:#?}");
    in_a_callback(&api, &library, &mut answers);
    in_a_child(&api, &library);
    assert_eq!(library.call("weft_shutdown", &[u64::MAX]), 0);
    for function in api.functions() {
        answers.call(&mut maker, function, 20, |answer| lists(&api, &function, answer));
    }
    assert!(
        answers.wrong.is_empty(),
        "not in its Returns line, or not as Callable from callback says: {:#?}",
        answers.wrong
    );
    let kinds: usize = answers.seen.values().map(BTreeSet::len).sum();
    for (name, seen) in &answers.seen {
        println!("{name}: {:?}", seen.iter().map(|&code| api.status_name(code)).collect::<Vec<_>>());
    }
    println!("{} calls of {} functions, {kinds} answers, all listed", answers.calls, answers.seen.len());
    assert!(kinds > 5 * answers.seen.len() / 2, "too few different answers: the calls are all alike");
}

/// What the callback needs: it gets a number alone.
static INSIDE: Mutex<Option<(Api, Library, Answers)>> = Mutex::new(None);

extern "C" fn call_everything(_: u64, _: *const u8) {
    let mut inside = INSIDE.lock().unwrap();
    let (api, library, answers) = inside.as_mut().unwrap();
    let mut maker = Maker::new(api, library);
    for function in api.functions() {
        let refused = |answer| api.status("WEFT_ERROR_IN_CALLBACK") == Some(answer);
        answers.call(&mut maker, function, 20, |answer| refused(answer) != function.callable());
    }
}

fn in_a_callback(api: &Api, library: &Library, answers: &mut Answers) {
    *INSIDE.lock().unwrap() = Some((Api::read(), Library::open(), Answers::default()));
    let world = World::new(library, api);
    world.barrier_with_callback(call_everything as *const () as u64);
    assert_eq!(library.call("weft_queue_drain", &[world.queue, u64::MAX]), 0);
    let mut count = 0u32;
    assert_eq!(library.call("weft_port_dispatch", &[world.port, 0, &raw mut count as u64]), 0);
    assert_eq!(count, 1, "the callback ran");
    let (_, _, inside) = INSIDE.lock().unwrap().take().unwrap();
    let said = |line| format!("in a callback: {line}");
    answers.wrong.extend(inside.wrong.into_iter().map(said));
    answers.calls += inside.calls;
}

/// A fork's child is told so by every function that lists WEFT_ERROR_FORKED.
fn in_a_child(api: &Api, library: &Library) {
    let forked = api.status("WEFT_ERROR_FORKED").unwrap();
    let arguments = [0; 8];
    let functions: Vec<_> = api.functions().filter(|function| lists(api, function, forked)).collect();
    // SAFETY: the child calls functions of the library and _exit alone.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let wrong = functions.iter().position(|function| library.call(function.name(), &arguments) != forked);
        // SAFETY: ends the child at once, its number is that of the function that failed.
        unsafe { libc::_exit(wrong.map_or(0, |index| index as i32 + 1)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child of above.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status), "the child died: {status:#x}");
    let wrong = libc::WEXITSTATUS(status) as usize;
    assert_eq!(
        wrong,
        0,
        "{} does not answer WEFT_ERROR_FORKED",
        functions.get(wrong.wrapping_sub(1)).map_or("?", |f| f.name())
    );
}
