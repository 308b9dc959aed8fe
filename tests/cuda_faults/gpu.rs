//! True faults on a GPU.

/// What a process of its own runs.
pub fn child() {
    unreachable!()
}
