//! The PTX writer, judged by NVIDIA's own assembler: every instruction with every type and modifier that it offers is
//! accepted where its line says that it is there, and refused one architecture and one version below.

mod assembler;
mod chapters;
mod gpu;
mod kernels;
mod ops;

use assembler::Assembler;
use chapters::{Case, cases};
use std::collections::BTreeMap;
use weft::ptx::{Kernel, Shape, Target, params};
use weft::status::{Error, WEFT_ERROR_INVALID_ARGUMENT, WEFT_ERROR_UNSUPPORTED};

params! {
    /// No arguments.
    pub struct Nothing / NothingHere {}
}

/// What kernels are written for, oldest first. One that has all of an older one comes after it.
const TARGETS: &[&str] = &["sm_80", "sm_89", "sm_90", "sm_90a", "sm_100", "sm_100a", "sm_120", "sm_120a"];

/// Architectures that are assembled for.
const ASSEMBLED: &[&str] = &["sm_80", "sm_89", "sm_90a", "sm_100a", "sm_120a"];

/// Those with instructions of their own.
const SPECIFIC: &[&str] = &["sm_90a", "sm_100a", "sm_103a", "sm_110a", "sm_120a", "sm_121a"];

/// The newest version of PTX that the samples are given when it is not the version that is tested.
const NEWEST: &str = "9.0";

const VERSIONS: &[&str] = &[
    "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "7.7", "7.8", "8.0", "8.1", "8.2", "8.3", "8.4", "8.5",
    "8.6", "8.7", "8.8", "9.0",
];

fn write(case: &Case, index: usize, target: &str) -> Result<Kernel<Nothing>, Error> {
    let target = Target::parse(target)?;
    let shape = Shape::new(format!("case{index}"), target, [128, 1, 1]);
    Kernel::build(&shape, |k, _| (case.write)(k))
}

/// Texts that share a `.version` and a `.target`, put together.
#[derive(Clone, Default)]
struct Module {
    /// (the case's index, its first line, its last line), counted from 1.
    spans: Vec<(usize, usize, usize)>,
    entries: String,
}

impl Module {
    fn add(&mut self, index: usize, text: &str) {
        let entry: String = text.lines().skip(3).map(|line| format!("{line}\n")).collect();
        let first = 4 + self.entries.lines().count();
        self.entries += &entry;
        self.spans.push((index, first, first + entry.lines().count() - 1));
    }

    /// All entries but the one that `line` is in.
    fn without(&self, line: usize) -> Self {
        let mut rest = Self::default();
        let lines: Vec<&str> = self.entries.lines().collect();
        for &(index, first, last) in self.spans.iter().filter(|span| !(span.1..=span.2).contains(&line)) {
            rest.add(index, &format!("\n\n\n{}\n", lines[first - 4..=last - 4].join("\n")));
        }
        assert!(rest.spans.len() < self.spans.len(), "line {line} is in no entry");
        rest
    }

    fn text(&self, version: &str, target: &str) -> String {
        format!(".version {version}\n.target {target}\n.address_size 64\n{}", self.entries)
    }
}

fn header(text: &str) -> (String, String) {
    let word = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    let mut lines = text.lines();
    (word(lines.next().unwrap()), word(lines.next().unwrap()))
}

/// Every case with the oldest target that its lines accept, by what its text then asks for.
fn by_needs(cases: &[Case]) -> BTreeMap<(String, String), Module> {
    let mut modules: BTreeMap<_, Module> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        let kernel = TARGETS.iter().find_map(|target| write(case, index, target).ok());
        let kernel =
            kernel.unwrap_or_else(|| panic!("{}: {}", case.name, write(case, index, "sm_100a").unwrap_err()));
        modules.entry(header(&kernel.text)).or_default().add(index, &kernel.text);
    }
    modules
}

/// The cases in whose lines ptxas finds no error. An error that ends its run is taken out, and the rest is read again.
fn accepted(ptxas: &Assembler, name: &str, (version, target): (&str, &str), module: &Module) -> Vec<usize> {
    let mut module = module.clone();
    loop {
        let report = ptxas.assemble(name, target, &module.text(version, target));
        let Some(line) = report.fatal_line() else { return clean(&module, &report.wrong_lines()) };
        module = module.without(line);
    }
}

fn clean(module: &Module, wrong: &[usize]) -> Vec<usize> {
    let clean =
        |&&(_, first, last): &&(usize, usize, usize)| !wrong.iter().any(|line| (first..=last).contains(line));
    module.spans.iter().filter(clean).map(|span| span.0).collect()
}

fn names(cases: &[Case], indices: &[usize]) -> Vec<String> {
    indices.iter().map(|&index| cases[index].name.clone()).collect()
}

#[test]
fn every_instruction_is_there_from_what_its_line_says() {
    let Some(ptxas) = Assembler::find() else { return };
    let cases = cases();
    for ((version, target), module) in by_needs(&cases) {
        let name = format!("least-{version}-{target}");
        let report = ptxas.assemble(&name, &target, &module.text(&version, &target));
        assert!(report.fine, "{name}: {}", report.text);
        assert_eq!(report.spilled(), 0, "{name}: {}", report.text);
        println!("{name}: {} instructions", module.spans.len());
    }
}

/// The target below, which has all but what `target` adds.
fn below(target: &str) -> Option<&'static str> {
    match target {
        "sm_89" => Some("sm_87"),
        "sm_90" => Some("sm_89"),
        "sm_90a" => Some("sm_90"),
        "sm_100" => Some("sm_90"),
        "sm_100a" => Some("sm_100"),
        "sm_120a" => Some("sm_120"),
        _ => None,
    }
}

#[test]
fn no_instruction_is_there_one_architecture_below() {
    let Some(ptxas) = Assembler::find() else { return };
    let cases = cases();
    for ((version, target), module) in by_needs(&cases) {
        let Some(lower) = below(&target) else { continue };
        let too_high = accepted(&ptxas, &format!("below-{version}-{target}"), (NEWEST, lower), &module);
        assert!(too_high.is_empty(), "on {lower} already: {:?}", names(&cases, &too_high));
    }
}

#[test]
fn no_instruction_is_there_one_version_below() {
    let Some(ptxas) = Assembler::find() else { return };
    let cases = cases();
    for ((version, target), module) in by_needs(&cases) {
        let place = VERSIONS.iter().position(|known| *known == version).unwrap();
        let Some(lower) = place.checked_sub(1).map(|place| VERSIONS[place]) else { continue };
        let empty = ptxas.assemble("empty", &target, &Module::default().text(lower, &target));
        if !empty.fine {
            continue; // The target itself is as new as this version.
        }
        let too_high = accepted(&ptxas, &format!("older-{version}-{target}"), (lower, &target), &module);
        assert!(too_high.is_empty(), "in {lower} already: {:?}", names(&cases, &too_high));
    }
}

#[test]
fn every_instruction_assembles_for_every_newer_architecture() {
    let Some(ptxas) = Assembler::find() else { return };
    let cases = cases();
    for target in ASSEMBLED {
        let mut module = Module::default();
        for (index, case) in cases.iter().enumerate() {
            if let Ok(kernel) = write(case, index, target) {
                module.add(index, &kernel.text);
            }
        }
        let report = ptxas.assemble(&format!("all-{target}"), target, &module.text(NEWEST, target));
        let lines = module.text(NEWEST, target);
        let first = report.wrong_lines().first().map(|line| lines.lines().nth(line - 1).unwrap().to_owned());
        assert!(report.fine, "{target}: {first:?} {}", report.text);
        assert_eq!(report.spilled(), 0, "{target}");
        println!("{target}: {} of {}", module.spans.len(), cases.len());
    }
}

#[test]
fn what_one_architecture_has_alone_no_other_has() {
    let Some(ptxas) = Assembler::find() else { return };
    let cases = cases();
    let modules = by_needs(&cases).into_iter().filter(|((_, target), _)| target.ends_with('a'));
    for ((version, home), module) in modules {
        for target in SPECIFIC.iter().filter(|target| **target != home) {
            let name = format!("specific-{version}-{home}-{target}");
            let there = accepted(&ptxas, &name, (NEWEST, target), &module);
            for &(index, ..) in &module.spans {
                let ours = write(&cases[index], index, target).is_ok();
                assert_eq!(ours, there.contains(&index), "{} on {target}", cases[index].name);
            }
        }
    }
}

#[test]
fn a_target_that_lacks_an_instruction_is_a_sentence() {
    let cases = cases();
    let mut refused = 0;
    for (index, case) in cases.iter().enumerate() {
        if let Err(error) = write(case, index, "sm_80") {
            assert_eq!(error.status, WEFT_ERROR_UNSUPPORTED, "{}", error.message);
            assert!(error.message.ends_with("but the kernel is written for sm_80"), "{}", error.message);
            refused += 1;
        }
    }
    assert!(refused > 20);
    let old = Target::parse("sm_90a").unwrap().reading(7, 0);
    let shape = Shape::new("bf16", old, [32, 1, 1]);
    let error =
        Kernel::<Nothing>::build(&shape, |k, _| k.keep(k.any::<weft::dtype::bf16>() + k.any())).unwrap_err();
    let sentence = "kernel bf16: add.rn.bf16 needs PTX 7.8, but the driver reads no newer than PTX 7.0";
    assert_eq!(error.message, sentence);
}

#[test]
fn an_authors_mistake_is_a_sentence() {
    let say = |name: &str, block, write: fn(&weft::ptx::Builder)| {
        let shape = Shape::new(name, Target::parse("sm_80").unwrap(), block);
        let error = Kernel::<Nothing>::build(&shape, |k, _| write(k)).unwrap_err();
        assert_eq!(error.status, WEFT_ERROR_INVALID_ARGUMENT, "{}", error.message);
        error.message
    };
    assert!(say("a", [0, 1, 1], |_| ()).contains("expected 1 to 1024 threads"));
    assert!(say("a", [1 << 20, 1 << 20, 1 << 31], |_| ()).contains("expected 1 to 1024 threads"));
    assert!(say("9", [1, 1, 1], |_| ()).contains("expected a letter"));
    assert!(say("a", [1, 1, 1], |k| k.keep(k.shared::<f32>(u32::MAX).load())).contains("shared memory"));
    assert!(say("a", [1, 1, 1], |k| k.keep(k.shared::<u8>(200 << 10).load())).contains("sm_80 has 166912"));
    assert!(say("a", [1, 1, 1], |k| k.barrier_of(1u32, 33)).contains("multiple of 32"));
    let nested = |k: &weft::ptx::Builder| k.only(k.any(), || k.only(k.any(), || k.trap()));
    assert!(say("a", [1, 1, 1], nested).contains("`only` inside `only`"));
    for name in ["sm_75", "sm_", "sm_9x", "90", "", "sm_99999", "sm_80aa"] {
        let error = Target::parse(name).unwrap_err();
        assert!(error.message.contains("expected sm_80 or newer"), "{}", error.message);
    }
    for (major, minor) in [(7, 5), (0, 0), (8, 10), (u32::MAX, u32::MAX)] {
        assert!(Target::of_device(major, minor).is_err(), "{major}.{minor}");
    }
    assert_eq!(Target::of_device(8, 9).unwrap().to_string(), "sm_89");
    assert_eq!(Target::of_device(9, 0).unwrap().to_string(), "sm_90a");
}
