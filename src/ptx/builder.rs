//! The kernel being written: its text so far, its registers and labels, and the first mistake made.

use super::kernel::Shape;
use super::params::Declared;
use super::shared::Region;
use super::target::{EVERY, Needs, Target, Used};
use super::ty::{CLASSES, Operand, Reg, Ty};
use crate::status::{Error, WEFT_ERROR_INVALID_ARGUMENT, WEFT_ERROR_UNSUPPORTED, weft_status};
use std::cell::RefCell;
use std::fmt::{self, Write};

/// The kernel being written. Every instruction is a method; it is shared by reference so that expressions nest.
///
/// Nothing fails while a kernel is being written: the first mistake is kept, and `Kernel::build` returns it.
pub struct Builder {
    pub(super) state: RefCell<State>,
    target: Target,
}

/// What has been written.
pub(super) struct State {
    pub(super) shape: Shape,
    pub(super) used: Used,
    pub(super) params: Vec<Declared>,
    pub(super) shared: Vec<Region>,
    pub(super) constants: Vec<String>,
    pub(super) constant_bytes: usize,
    pub(super) regs: [u32; CLASSES.len()],
    pub(super) body: String,
    pub(super) error: Option<Error>,
    labels: u32,
    guard: Option<String>,
}

/// A place in the text.
#[derive(Clone, Copy)]
pub(super) struct Label(u32);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}", self.0)
    }
}

impl Builder {
    pub(super) fn new(shape: Shape) -> Self {
        let target = shape.target;
        let state = State {
            shape,
            used: Used::default(),
            params: Vec::new(),
            shared: Vec::new(),
            constants: Vec::new(),
            constant_bytes: 0,
            regs: [0; CLASSES.len()],
            body: String::new(),
            error: None,
            labels: 0,
            guard: None,
        };
        Self { state: RefCell::new(state), target }
    }

    /// The architecture that the kernel is written for, to choose instructions by.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Runs `body`, each of whose instructions takes effect only in threads where `condition` holds: no branch is made.
    /// A register that `body` makes holds nothing in the other threads.
    pub fn only(&self, condition: Reg<'_, bool>, body: impl FnOnce()) {
        self.guarded(format!("@{condition} "), body);
    }

    /// The same where `condition` does not hold.
    pub(super) fn only_not(&self, condition: Reg<'_, bool>, body: impl FnOnce()) {
        self.guarded(format!("@!{condition} "), body);
    }

    fn guarded(&self, guard: String, body: impl FnOnce()) {
        if self.state.borrow().guard.is_some() {
            self.mistake("`only` inside `only`: combine the two conditions with `&`");
        }
        let before = self.state.borrow_mut().guard.replace(guard);
        body();
        self.state.borrow_mut().guard = before;
    }

    /// Writes `mnemonic operands;`.
    pub(super) fn op(&self, needs: Needs, mnemonic: &str, operands: fmt::Arguments<'_>) {
        self.line(needs, mnemonic, format_args!(" {operands}"));
    }

    fn line(&self, needs: Needs, mnemonic: &str, operands: fmt::Arguments<'_>) {
        self.require(needs, mnemonic);
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let guard = state.guard.as_deref().unwrap_or("");
        let _ = writeln!(state.body, "\t{guard}{mnemonic}{operands};");
    }

    /// Writes `mnemonic d, operands;` and returns `d`, a new register.
    pub(super) fn value<T: Ty>(
        &self,
        needs: Needs,
        mnemonic: &str,
        operands: fmt::Arguments<'_>,
    ) -> Reg<'_, T> {
        let d = self.fresh::<T>();
        self.op(needs, mnemonic, format_args!("{d}, {operands}"));
        d
    }

    /// Writes an instruction without operands.
    pub(super) fn bare(&self, needs: Needs, mnemonic: &str) {
        self.line(needs, mnemonic, format_args!(""));
    }

    /// What `mnemonic` needs, beyond what the instruction that follows says itself.
    pub(super) fn require(&self, needs: Needs, mnemonic: &str) {
        self.state.borrow_mut().used.add(needs);
        if let Some(lack) = self.target.lacks(needs) {
            self.fail(WEFT_ERROR_UNSUPPORTED, &format!("{mnemonic} {lack}"));
        }
    }

    /// Keeps the first mistake of the kernel's author.
    pub(super) fn mistake(&self, what: &str) {
        self.fail(WEFT_ERROR_INVALID_ARGUMENT, what);
    }

    /// Keeps `what` as a mistake unless `fine`.
    pub(super) fn check(&self, fine: bool, what: fmt::Arguments<'_>) {
        if !fine {
            self.mistake(&what.to_string());
        }
    }

    fn fail(&self, status: weft_status, what: &str) {
        let mut state = self.state.borrow_mut();
        let message = format!("kernel {}: {what}", state.shape.name);
        state.error.get_or_insert_with(|| Error::new(status, message));
    }

    /// A register that nothing has been written to.
    pub(super) fn fresh<T: Ty>(&self) -> Reg<'_, T> {
        let count = &mut self.state.borrow_mut().regs[T::CLASS];
        *count += 1;
        Reg::new(self, *count - 1)
    }

    /// `N` of them.
    pub(super) fn fresh_array<T: Ty, const N: usize>(&self) -> [Reg<'_, T>; N] {
        std::array::from_fn(|_| self.fresh())
    }

    pub(super) fn label(&self) -> Label {
        let count = &mut self.state.borrow_mut().labels;
        *count += 1;
        Label(*count - 1)
    }

    /// Writes the label itself.
    pub(super) fn place(&self, label: Label) {
        if self.state.borrow().guard.is_some() {
            self.mistake("a branch or loop inside `only`: use `when` there");
        }
        let _ = writeln!(self.state.borrow_mut().body, "{label}:");
    }

    /// A new register that starts as `value`: for what [`Reg::set`] will change, or to name a constant once.
    pub fn var<T: Ty>(&self, value: impl Operand<T>) -> Reg<'_, T> {
        self.moved(&value.digits())
    }

    /// A line of comment in the text.
    pub fn comment(&self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.state.borrow_mut().body, "\t// {line}");
        }
    }

    pub(super) fn moved<T: Ty>(&self, digits: &(String, bool)) -> Reg<'_, T> {
        let d = self.fresh();
        self.mov(d, digits);
        d
    }

    pub(super) fn mov<T: Ty>(&self, to: Reg<'_, T>, digits: &(String, bool)) {
        let bits = CLASSES[T::CLASS].1;
        self.op(EVERY, &format!("mov.{bits}"), format_args!("{to}, {}", digits.0));
    }
}

/// `{a, b}`, as vectors of registers are written.
pub(super) fn braces<T: Ty>(registers: &[Reg<'_, T>]) -> String {
    let names: Vec<String> = registers.iter().map(Reg::to_string).collect();
    format!("{{{}}}", names.join(", "))
}
