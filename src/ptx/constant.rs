//! Tables of constants that come with the kernel, in the constant space: quick where all lanes read the same element.

use super::Builder;
use super::pointer::{Const, Ptr};
use super::target::EVERY;
use super::ty::{Constant, Element, Ty};

impl Builder {
    /// A table of `values` (64 KB in all at most).
    pub fn constants<T: Constant + Element>(&self, values: &[T]) -> Ptr<'_, Const<T>> {
        let digits: Vec<String> = values.iter().map(|value| value.digits().0).collect();
        // Hexadecimal digits are bits; all others are numbers of the type.
        let ty = if digits.iter().any(|text| text.starts_with("0x")) { T::BITS } else { <T as Ty>::NAME };
        let (list, count) = (digits.join(", "), values.len());
        let name = {
            let mut state = self.state.borrow_mut();
            let name = format!("{}_c{}", state.shape.name, state.constants.len());
            state.constants.push(format!(".const .align 16 .{ty} {name}[{count}] = {{{list}}};\n"));
            state.constant_bytes = state.constant_bytes.saturating_add(values.len() * T::SIZE as usize);
            name
        };
        let bytes = self.state.borrow().constant_bytes;
        let fine = count > 0 && bytes <= 64 << 10;
        self.check(fine, format_args!("{count} constants, {bytes} bytes in all; expected 1 to 65536 bytes"));
        Ptr::new(self.value(EVERY, "mov.b64", format_args!("{name}")))
    }
}
