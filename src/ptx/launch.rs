//! Registers given to and taken from warpgroups, and kernels that begin before the last one has ended.

use super::Builder;
use super::target::Needs;

/// Registers move between warpgroups.
const MOVING: Needs = Needs::only(&[90, 100, 103, 110, 120, 121], 80);
/// Kernels that overlap.
const OVERLAP: Needs = Needs::new(90, 78);

impl Builder {
    /// This warpgroup takes registers until it has `count` a thread (24 to 256, a multiple of 8), waiting for them.
    pub fn registers_up(&self, count: u32) {
        self.move_registers("inc", count);
    }

    /// This warpgroup keeps `count` registers a thread (24 to 256, a multiple of 8).
    pub fn registers_down(&self, count: u32) {
        self.move_registers("dec", count);
    }

    fn move_registers(&self, how: &str, count: u32) {
        let fine = count.is_multiple_of(8) && (24..=256).contains(&count);
        self.check(fine, format_args!("{count} registers; expected a multiple of 8 from 24 to 256"));
        self.op(MOVING, &format!("setmaxnreg.{how}.sync.aligned.u32"), format_args!("{count}"));
    }

    /// Waits until the kernel before this one in the stream has ended and its memory is visible, where the launch let this one
    /// begin earlier.
    pub fn wait_for_previous_kernel(&self) {
        self.bare(OVERLAP, "griddepcontrol.wait");
    }

    /// Lets the next kernel of the stream begin, once all blocks have said so or ended.
    pub fn let_next_kernel_begin(&self) {
        self.bare(OVERLAP, "griddepcontrol.launch_dependents");
    }
}
