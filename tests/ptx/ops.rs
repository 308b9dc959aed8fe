//! The kernels of the operations, every specialisation that each family names: assembled for every architecture that has
//! what it uses, without a spill.

use crate::ASSEMBLED;
use crate::assembler::Assembler;
use std::collections::BTreeMap;
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
                    let count = assemble(assembler, family, target, texts(Target::parse(target).unwrap()));
                    println!("{family}: {count} kernels for {target}");
                });
            }
        });
    }
}

/// One run of the assembler for all texts that share their first lines. How many there were.
fn assemble(assembler: &Assembler, family: &str, target: &str, texts: Vec<Result<Text>>) -> usize {
    let mut modules: BTreeMap<String, String> = BTreeMap::new();
    let mut count = 0;
    for text in texts {
        let text = match text {
            Ok(text) => text,
            Err(error) if error.status == WEFT_ERROR_UNSUPPORTED => continue,
            Err(error) => panic!("{family} for {target}: {error}"),
        };
        let head: String = text.text.lines().take(3).map(|line| format!("{line}\n")).collect();
        let body = text.text[head.len()..].to_owned();
        modules.entry(head).or_default().push_str(&body);
        count += 1;
    }
    assert!(count > 0, "{family} has no kernel for {target}");
    for (index, (head, body)) in modules.into_iter().enumerate() {
        let report = assembler.assemble(&format!("{family}-{target}-{index}"), target, &(head + &body));
        assert!(report.fine, "{family} for {target}: {}", report.text);
        assert_eq!(report.spilled(), 0, "{family} for {target} spills: {}", report.text);
    }
    count
}
