//! The kernels of the operations, every specialisation that each family names: assembled for every architecture that has
//! what it uses, without a spill. A text that two targets of one generation share is assembled for one of them.

use crate::ASSEMBLED;
use crate::assembler::Assembler;
use std::collections::{BTreeMap, BTreeSet};
use weft::ptx::{Target, Text};
use weft::status::{Result, WEFT_ERROR_UNSUPPORTED};

/// What a family writes for a target.
type Texts = fn(Target) -> Vec<Result<Text>>;

/// The families whose kernels run on CUDA.
const FAMILIES: &[(&str, Texts)] = &[
    ("attention", weft::ops::attention::texts),
    ("blas", weft::ops::blas::texts),
    ("cast", weft::ops::cast::texts),
    ("elementwise", weft::ops::elementwise::texts),
    ("matmul", weft::ops::matmul::texts),
    ("norm", weft::ops::norm::texts),
    ("rank", weft::ops::rank::texts),
    ("reduce", weft::ops::reduce::texts),
    ("rope", weft::ops::rope::texts),
    ("rows", weft::ops::rows::texts),
    ("softmax", weft::ops::softmax::texts),
    ("transfer", weft::ops::transfer::texts),
];

#[test]
fn kernels_of_operations_assemble_without_spills() {
    let Some(assembler) = Assembler::find() else { return };
    for (family, texts) in FAMILIES {
        // The assembler is a process of one thread: one for each target side by side.
        std::thread::scope(|scope| {
            for target in ASSEMBLED {
                let assembler = &assembler;
                scope.spawn(move || {
                    let count = assemble(assembler, family, *texts, target);
                    println!("{family}: {count} kernels for {target}");
                });
            }
        });
    }
}

/// The target of the same generation, whose assembler has nothing new to say of the same text.
fn kin(target: &str) -> Option<&'static str> {
    match target {
        "sm_89" => Some("sm_80"),
        "sm_120a" => Some("sm_100a"),
        _ => None,
    }
}

/// The kernels of a family that a target has: their first lines, which name the target, and what follows.
fn kernels(family: &str, texts: Texts, target: &str) -> Vec<[String; 2]> {
    let split = |text: Result<Text>| match text {
        Ok(text) => {
            let head: String = text.text.lines().take(3).map(|line| format!("{line}\n")).collect();
            let body = text.text[head.len()..].to_owned();
            Some([head, body])
        }
        Err(error) if error.status == WEFT_ERROR_UNSUPPORTED => None,
        Err(error) => panic!("{family} for {target}: {error}"),
    };
    texts(Target::parse(target).unwrap()).into_iter().filter_map(split).collect()
}

/// One run of the assembler for all texts that share their first lines. How many there were.
fn assemble(assembler: &Assembler, family: &str, texts: Texts, target: &str) -> usize {
    let all = kernels(family, texts, target);
    assert!(!all.is_empty(), "{family} has no kernel for {target}");
    let known: BTreeSet<String> =
        kin(target).into_iter().flat_map(|kin| kernels(family, texts, kin)).map(|[_, body]| body).collect();
    let mut modules: BTreeMap<String, String> = BTreeMap::new();
    let new = all.into_iter().filter(|[_, body]| !known.contains(body));
    let count = new.map(|[head, body]| modules.entry(head).or_default().push_str(&body)).count();
    for (index, (head, body)) in modules.into_iter().enumerate() {
        let report = assembler.assemble(&format!("{family}-{target}-{index}"), target, &(head + &body));
        assert!(report.fine, "{family} for {target}: {}", report.text);
        assert_eq!(report.spilled(), 0, "{family} for {target} spills: {}", report.text);
    }
    count
}
