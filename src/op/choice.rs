//! Choices: the ways in which an operation can run, best first; the last accepts everything. `WEFT_CHOICE=matmul=naive`
//! (or several, separated by commas) forces one by name.

use crate::status::Result;
use crate::{fail, tell};
use once_cell::sync::Lazy;
use parking_lot::RwLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// One way to run `O` on a device `D`: the CPU, or a stream of a GPU. Choosing is a pure function of the request and the
/// machine.
pub struct Choice<O, D> {
    /// As written in the log and in `WEFT_CHOICE`.
    pub name: &'static str,
    /// Whether this way can run this request here.
    pub accepts: fn(&O, &D) -> bool,
    /// Runs it.
    pub run: fn(&O, &D) -> Result<()>,
}

/// Pairs of family and choice.
type Forced = Vec<(String, String)>;

static FORCED: Lazy<RwLock<Forced>> =
    Lazy::new(|| RwLock::new(parse(&std::env::var("WEFT_CHOICE").unwrap_or_default())));

fn parse(text: &str) -> Forced {
    let pair =
        |part: &str| part.split_once('=').map(|(family, name)| (family.trim().into(), name.trim().into()));
    text.split(',').filter_map(pair).collect()
}

/// Whether nothing is forced, once that is known: looked at for every request.
static FREE: AtomicBool = AtomicBool::new(false);

/// What is forced for a family.
fn forced(family: &str) -> Option<String> {
    if FREE.load(Relaxed) {
        return None;
    }
    let forced = FORCED.read();
    FREE.store(forced.is_empty(), Relaxed);
    forced.iter().find(|row| row.0 == family).map(|row| row.1.clone())
}

/// Forces (or, with an empty text, frees) choices from here on, for tests: `"matmul=naive,attention=tiled"`.
pub fn force(text: &str) {
    let mut forced = FORCED.write();
    *forced = parse(text);
    FREE.store(forced.is_empty(), Relaxed);
}

/// Runs `op` by the forced choice of its family, else by the first that accepts it.
pub fn first<O, D>(family: &str, choices: &[Choice<O, D>], op: &O, device: &D) -> Result<()> {
    let forced = forced(family);
    let wanted = |choice: &&Choice<O, D>| forced.as_ref().is_none_or(|name| name == choice.name);
    match choices.iter().filter(wanted).find(|choice| (choice.accepts)(op, device)) {
        Some(choice) => {
            tell!(WEFT_LOG_DEBUG, "{family} runs by its choice {:?}", choice.name);
            (choice.run)(op, device)
        }
        None => fail!(
            WEFT_ERROR_UNSUPPORTED,
            "{family}: WEFT_CHOICE forces {forced:?}, which does not accept this request"
        ),
    }
}
