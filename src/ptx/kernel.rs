//! A finished kernel: its text, and everything that loading and launching it takes.

use super::builder::{Builder, State};
use super::params::Params;
use super::shared::STATIC_LIMIT;
use super::target::Target;
use super::ty::CLASSES;
use crate::status::Result;
use crate::{ensure, fail};
use std::fmt::Write;
use std::marker::PhantomData;

/// What is fixed of a kernel before its first instruction.
#[derive(Clone, Debug)]
pub struct Shape {
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) block: [u32; 3],
    pub(super) min_blocks: u32,
    pub(super) max_registers: u32,
    pub(super) cluster: [u32; 3],
}

impl Shape {
    /// A kernel of this name, for this target, in blocks of `block` threads (x, y, z).
    pub fn new(name: impl Into<String>, target: Target, block: [u32; 3]) -> Self {
        Self { name: name.into(), target, block, min_blocks: 0, max_registers: 0, cluster: [0; 3] }
    }

    /// At least so many blocks fit on a multiprocessor at once: registers are limited for it.
    pub fn min_blocks(self, blocks: u32) -> Self {
        Self { min_blocks: blocks, ..self }
    }

    /// At most so many registers a thread.
    pub fn max_registers(self, registers: u32) -> Self {
        Self { max_registers: registers, ..self }
    }

    /// Blocks come in clusters of this size (sm_90 and newer).
    pub fn cluster(self, blocks: [u32; 3]) -> Self {
        Self { cluster: blocks, ..self }
    }

    fn check(&self) -> Result<()> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named = self.name.starts_with(|c: char| c.is_ascii_alphabetic()) && self.name.chars().all(word);
        ensure!(named, "the kernel's name is {:?}; expected a letter, then letters, digits and _", self.name);
        let [x, y, z] = self.block.map(u64::from);
        let threads = x.saturating_mul(y).saturating_mul(z);
        let fits = (1..=1024).contains(&threads) && z <= 64;
        ensure!(
            fits,
            "kernel {}: block is {:?}; expected 1 to 1024 threads, at most 64 in z",
            self.name,
            self.block
        );
        ensure!(
            self.max_registers <= 255,
            "kernel {}: max_registers is {}; expected at most 255",
            self.name,
            self.max_registers
        );
        Ok(())
    }

    /// The directives between the entry's head and its body.
    fn directives(&self) -> String {
        let [x, y, z] = self.block;
        let mut text = format!(".maxntid {x}, {y}, {z}\n");
        if self.min_blocks > 0 {
            let _ = writeln!(text, ".minnctapersm {}", self.min_blocks);
        }
        if self.max_registers > 0 {
            let _ = writeln!(text, ".maxnreg {}", self.max_registers);
        }
        if self.cluster != [0; 3] {
            let [x, y, z] = self.cluster;
            let _ = writeln!(text, ".reqnctapercluster {x}, {y}, {z}");
        }
        text
    }
}

/// A finished kernel, launched with arguments of type `P` and no other.
#[derive(Clone, Debug)]
pub struct Kernel<P> {
    /// The entry point.
    pub name: String,
    /// The whole module.
    pub text: String,
    /// Threads of a block: x, y, z.
    pub block: [u32; 3],
    /// Blocks of a cluster, or zeros.
    pub cluster: [u32; 3],
    /// Bytes of shared memory that the text declares itself.
    pub static_shared: u32,
    /// Bytes of shared memory to ask for at launch, after setting the kernel's attribute for it if they are over 48 KB.
    pub dynamic_shared: u32,
    /// Bytes of each argument.
    pub argument_sizes: Vec<usize>,
    params: PhantomData<fn(P)>,
}

/// A kernel's name and text alone, for whoever assembles it without launching it.
#[derive(Clone, Debug)]
pub struct Text {
    /// The entry point.
    pub name: String,
    /// The whole module.
    pub text: String,
}

impl<P> From<Kernel<P>> for Text {
    fn from(kernel: Kernel<P>) -> Self {
        Self { name: kernel.name, text: kernel.text }
    }
}

impl<P: Params> Kernel<P> {
    /// Runs `body` once to write the kernel.
    pub fn build(shape: &Shape, body: impl for<'k> FnOnce(&'k Builder, P::Device<'k>)) -> Result<Self> {
        shape.check()?;
        let k = Builder::new(shape.clone());
        k.cluster_of_shape();
        body(&k, P::declare(&k));
        k.check_shared();
        Self::finish(k.state.into_inner())
    }

    fn finish(state: State) -> Result<Self> {
        if let Some(error) = state.error {
            return Err(error);
        }
        let argument_sizes: Vec<usize> = state.params.iter().map(|param| param.size).collect();
        let argument_bytes: usize = argument_sizes.iter().sum();
        if argument_bytes > 4000 {
            fail!(
                WEFT_ERROR_UNSUPPORTED,
                "kernel {}: {argument_bytes} bytes of arguments; at most 4000 fit",
                state.shape.name
            );
        }
        let (fixed, dynamic) = state.shared_bytes();
        Ok(Self {
            text: state.text(),
            name: state.shape.name,
            block: state.shape.block,
            cluster: state.shape.cluster,
            static_shared: fixed,
            dynamic_shared: dynamic,
            argument_sizes,
            params: PhantomData,
        })
    }

    /// Whether the launch attribute for more than 48 KB of shared memory must be set first.
    pub fn wants_large_shared(&self) -> bool {
        self.dynamic_shared > STATIC_LIMIT
    }
}

impl State {
    /// The module.
    fn text(&self) -> String {
        let (target, version) = self.used.names(self.shape.target);
        let mut text = format!(".version {version}\n.target {target}\n.address_size 64\n\n");
        text += &self.shared_outside();
        text += &self.constants.concat();
        let _ = writeln!(text, ".visible .entry {}({})", self.shape.name, self.param_list());
        let _ = writeln!(text, "{}{{", self.shape.directives());
        text += &self.registers();
        text += &self.shared_inside();
        text += &self.body;
        text + "\tret;\n}\n"
    }

    fn param_list(&self) -> String {
        let params: Vec<String> = self.params.iter().map(|param| format!("\n\t{}", param.text)).collect();
        params.join(",") + if params.is_empty() { "" } else { "\n" }
    }

    fn registers(&self) -> String {
        let rows = CLASSES.iter().zip(self.regs).filter(|(_, count)| *count > 0);
        rows.map(|((prefix, bits), count)| format!("\t.reg .{bits} %{prefix}<{count}>;\n")).collect()
    }
}
