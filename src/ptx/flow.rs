//! Control flow: branches and loops on the device. A Rust `if` or `for` chooses and unrolls while writing.

use super::builder::Label;
use super::target::EVERY;
use super::{Builder, Operand, Reg};

/// The way out of a [`Builder::scope`] or a [`Builder::forever`] loop, and back to the loop's head.
pub struct Exit<'k> {
    k: &'k Builder,
    head: Label,
    end: Label,
}

impl Exit<'_> {
    /// Leaves.
    pub fn leave(&self) {
        self.k.jump(self.end);
    }

    /// Leaves where `condition` holds.
    pub fn leave_if(&self, condition: Reg<'_, bool>) {
        self.k.only(condition, || self.leave());
    }

    /// Begins anew.
    pub fn again(&self) {
        self.k.jump(self.head);
    }

    /// Begins anew where `condition` holds.
    pub fn again_if(&self, condition: Reg<'_, bool>) {
        self.k.only(condition, || self.again());
    }
}

impl Builder {
    fn jump(&self, to: Label) {
        self.op(EVERY, "bra", format_args!("{to}"));
    }

    fn jump_unless(&self, condition: Reg<'_, bool>, to: Label) {
        self.only_not(condition, || self.jump(to));
    }

    fn jump_if(&self, condition: Reg<'_, bool>, to: Label) {
        self.only(condition, || self.jump(to));
    }

    /// Runs `body` where `condition` holds.
    pub fn when(&self, condition: Reg<'_, bool>, body: impl FnOnce()) {
        let end = self.label();
        self.jump_unless(condition, end);
        body();
        self.place(end);
    }

    /// Runs `body` where `condition` does not hold.
    pub fn unless(&self, condition: Reg<'_, bool>, body: impl FnOnce()) {
        let end = self.label();
        self.jump_if(condition, end);
        body();
        self.place(end);
    }

    /// Runs `yes` where `condition` holds, and `no` elsewhere.
    pub fn if_else(&self, condition: Reg<'_, bool>, yes: impl FnOnce(), no: impl FnOnce()) {
        let (other, end) = (self.label(), self.label());
        self.jump_unless(condition, other);
        yes();
        self.jump(end);
        self.place(other);
        no();
        self.place(end);
    }

    /// Runs `body` for `i` from `start` on, below `end`, by `step`. `end + step` must be below 2^32.
    pub fn steps<'k>(
        &'k self,
        start: impl Operand<u32>,
        end: impl Operand<u32>,
        step: impl Operand<u32>,
        body: impl FnOnce(Reg<'k, u32>),
    ) {
        let (i, end) = (self.var(start), end.reg(self));
        self.repeat_while(
            || i.lt(end),
            || {
                body(i);
                i.set(i + step);
            },
        );
    }

    /// Runs `body` for as long as `condition`, computed before each turn, holds.
    pub fn repeat_while<'k>(&'k self, condition: impl Fn() -> Reg<'k, bool>, body: impl FnOnce()) {
        let (head, end) = (self.label(), self.label());
        self.place(head);
        self.jump_unless(condition(), end);
        body();
        self.jump(head);
        self.place(end);
    }

    /// Runs `body` again and again until it leaves.
    pub fn forever<'k>(&'k self, body: impl FnOnce(&Exit<'k>)) {
        let exit = Exit { k: self, head: self.label(), end: self.label() };
        self.place(exit.head);
        body(&exit);
        self.jump(exit.head);
        self.place(exit.end);
    }

    /// Runs `body` once; it may leave early.
    pub fn scope<'k>(&'k self, body: impl FnOnce(&Exit<'k>)) {
        let exit = Exit { k: self, head: self.label(), end: self.label() };
        self.place(exit.head);
        body(&exit);
        self.place(exit.end);
    }

    /// Runs `body` for every index below `count`, spread over all threads of the grid.
    pub fn grid_stride<'k>(&'k self, count: impl Operand<u32>, body: impl FnOnce(Reg<'k, u32>)) {
        let start = self.global_x();
        let count = self.var(count);
        let step = self.grid_blocks_x() * self.block_threads_x();
        let i = self.var(start);
        let turn = self.scope_of_stride(i, count, step);
        body(i);
        turn();
    }

    /// The head of a strided loop, and what closes it: it ends when the index passes `count` or would overflow.
    fn scope_of_stride<'k>(
        &'k self,
        i: Reg<'k, u32>,
        count: Reg<'k, u32>,
        step: Reg<'k, u32>,
    ) -> impl FnOnce() {
        let (head, end) = (self.label(), self.label());
        self.place(head);
        self.jump_if(i.ge(count), end);
        move || {
            let left = count - i;
            i.set(i + step);
            self.jump_if(left.gt(step), head);
            self.place(end);
        }
    }

    /// Ends this thread.
    pub fn ret(&self) {
        self.bare(EVERY, "ret");
    }

    /// Ends this thread where `condition` holds.
    pub fn ret_if(&self, condition: Reg<'_, bool>) {
        self.only(condition, || self.ret());
    }

    /// Fails the kernel: the device is lost.
    pub fn trap(&self) {
        self.bare(EVERY, "trap");
    }
}
