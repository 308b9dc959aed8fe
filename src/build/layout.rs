//! Where C puts the fields of a struct where pointers have 64 bits: each at the next multiple of its alignment.

use super::declaration::Variable;
use std::collections::BTreeMap;

/// Size and alignment of every type met so far.
pub struct Layouts(BTreeMap<String, (u64, u64)>);

impl Default for Layouts {
    fn default() -> Self {
        let sizes = [("char", 1), ("float", 4), ("double", 8), ("size_t", 8)];
        let integers = [8, 16, 32, 64]
            .into_iter()
            .flat_map(|bits| ["int", "uint"].map(|kind| (format!("{kind}{bits}_t"), (bits / 8, bits / 8))));
        let others = sizes.into_iter().map(|(name, size)| (name.to_owned(), (size, size)));
        Self(integers.chain(others).collect())
    }
}

impl Layouts {
    /// Size and alignment of a type; pointers are 8 bytes.
    fn of(&self, kind: &str) -> (u64, u64) {
        let known = if kind.ends_with('*') { Some((8, 8)) } else { self.0.get(kind).copied() };
        known.unwrap_or_else(|| panic!("the size of {kind} is not known before its use"))
    }

    /// Another name of a type.
    pub fn alias(&mut self, name: &str, kind: &str) {
        let layout = self.of(kind);
        self.0.insert(name.to_owned(), layout);
    }

    /// (offset, size) of each field, and the struct's own (size, alignment), which is known from here on.
    pub fn place(&mut self, name: &str, fields: &[Variable]) -> (Vec<(u64, u64)>, (u64, u64)) {
        let (mut end, mut most, mut places) = (0u64, 1, Vec::new());
        for field in fields {
            let (size, align) = self.of(&field.kind);
            let (offset, size) = (end.next_multiple_of(align), size * field.count.unwrap_or(1));
            places.push((offset, size));
            (end, most) = (offset + size, most.max(align));
        }
        let layout = (end.next_multiple_of(most), most);
        self.0.insert(name.to_owned(), layout);
        (places, layout)
    }
}
