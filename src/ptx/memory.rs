//! Loads, stores and prefetches: scalars and vectors, with what the caches shall do, and only where a condition holds.

use super::builder::braces;
use super::pointer::{Global, Ptr, Space, Writable};
use super::target::{EVERY, Needs};
use super::{Builder, Element, Operand, Reg, Ty};

/// Priorities of cache lines and prefetches by loads.
const PRIORITIES: Needs = Needs::new(80, 74);
/// 32 bytes in one access.
const WIDE: Needs = Needs::new(100, 88);

/// `Name => ".modifier", needs;`
macro_rules! modifiers {
    ($(#[$meta:meta])* $enum:ident { $($(#[$doc:meta])* $name:ident => $text:literal, $needs:expr;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $enum { $($(#[$doc])* $name),* }

        impl $enum {
            /// Every one.
            #[doc(hidden)]
            pub fn all() -> Vec<Self> {
                vec![$(Self::$name),*]
            }

            fn row(self) -> (&'static str, Needs) {
                match self { $(Self::$name => ($text, $needs)),* }
            }
        }
    };
}

modifiers! {
    /// How a load of global memory goes through the caches.
    Load {
        /// As the hardware likes it.
        #[default]
        Plain => "", EVERY;
        /// Kept in both caches.
        Ca => ".ca", EVERY;
        /// Kept in L2 alone.
        Cg => ".cg", EVERY;
        /// Likely to be used once.
        Cs => ".cs", EVERY;
        /// The last use.
        Lu => ".lu", EVERY;
        /// Fetched again each time.
        Cv => ".cv", EVERY;
        /// Nobody writes it while the kernel runs.
        ReadOnly => ".nc", EVERY;
        /// Read only, and not kept in L1: for streams.
        Stream => ".nc.L1::no_allocate", PRIORITIES;
        /// The same, fetching 256 bytes to L2.
        StreamAhead => ".nc.L1::no_allocate.L2::256B", PRIORITIES;
        /// Read only, first to leave L1.
        ReadOnlyFirst => ".nc.L1::evict_first", PRIORITIES;
        /// Read only, last to leave L1.
        ReadOnlyLast => ".nc.L1::evict_last", PRIORITIES;
        /// First to leave L1.
        EvictFirst => ".L1::evict_first", PRIORITIES;
        /// Last to leave L1.
        EvictLast => ".L1::evict_last", PRIORITIES;
        /// Leaves L1's order as it is.
        EvictUnchanged => ".L1::evict_unchanged", PRIORITIES;
        /// Not kept in L1.
        NoAllocate => ".L1::no_allocate", PRIORITIES;
        /// Fetches 64 bytes to L2.
        Ahead64 => ".L2::64B", PRIORITIES;
        /// Fetches 128 bytes to L2.
        Ahead128 => ".L2::128B", PRIORITIES;
        /// Fetches 256 bytes to L2.
        Ahead256 => ".L2::256B", PRIORITIES;
    }
}

modifiers! {
    /// How a store to global memory goes through the caches.
    Store {
        /// As the hardware likes it.
        #[default]
        Plain => "", EVERY;
        /// Written back.
        Wb => ".wb", EVERY;
        /// Kept in L2 alone.
        Cg => ".cg", EVERY;
        /// Likely to be used once.
        Cs => ".cs", EVERY;
        /// Written through.
        Wt => ".wt", EVERY;
        /// First to leave L1.
        EvictFirst => ".L1::evict_first", PRIORITIES;
        /// Last to leave L1.
        EvictLast => ".L1::evict_last", PRIORITIES;
        /// Not kept in L1.
        NoAllocate => ".L1::no_allocate", PRIORITIES;
    }
}

modifiers! {
    /// How strongly a load or store is ordered; the scope is that of [`Scope`].
    Strength {
        /// Not left out, merged or moved among its like.
        #[default]
        Volatile => ".volatile", EVERY;
        /// Seen by other threads, in no order.
        Relaxed => ".relaxed", EVERY;
        /// A load before everything after it.
        Acquire => ".acquire", EVERY;
        /// A store after everything before it.
        Release => ".release", EVERY;
    }
}

modifiers! {
    /// Which threads see an effect in order.
    Scope {
        /// Those of the block.
        Block => ".cta", EVERY;
        /// Those of the cluster.
        Cluster => ".cluster", Needs::new(90, 78);
        /// Those of the device.
        #[default]
        Device => ".gpu", EVERY;
        /// All, and the host.
        System => ".sys", EVERY;
    }
}

impl Scope {
    /// As written, and what that needs.
    pub(super) fn parts(self) -> (&'static str, Needs) {
        self.row()
    }
}

modifiers! {
    /// Which lines of L2 go first.
    Policy {
        /// As the hardware likes it.
        #[default]
        EvictNormal => "evict_normal", PRIORITIES;
        /// Go first.
        EvictFirst => "evict_first", PRIORITIES;
        /// Stay longest.
        EvictLast => "evict_last", PRIORITIES;
        /// Leave the order as it is.
        EvictUnchanged => "evict_unchanged", PRIORITIES;
    }
}

impl Builder {
    /// A cache policy for [`Ptr::policy`] and the copies of the tensor memory accelerator.
    pub fn policy(&self, policy: Policy) -> Reg<'_, u64> {
        let (name, needs) = policy.row();
        self.value(needs, &format!("createpolicy.fractional.L2::{name}.b64"), format_args!("1.0"))
    }
}

/// What an access is called, and what it needs.
struct Form {
    mnemonic: String,
    needs: Vec<Needs>,
}

fn form<S: Space>(verb: &str, before: &str, after: (&str, Needs), policy: bool, count: usize) -> Form {
    let bytes = count as u32 * S::Item::SIZE;
    let vector = if count > 1 { format!(".v{count}") } else { String::new() };
    let hint = if policy { ".L2::cache_hint" } else { "" };
    let mnemonic = format!("{verb}{before}{}{}{hint}{vector}.{}", S::NAME, after.0, S::Item::BITS);
    let mut needs = vec![S::NEEDS, after.1];
    needs.extend(policy.then_some(PRIORITIES));
    needs.extend((bytes > 16).then_some(WIDE));
    Form { mnemonic, needs }
}

impl<'k, S: Space> Ptr<'k, S> {
    /// The element here.
    pub fn load(&self) -> Reg<'k, S::Item> {
        let [d] = self.load_vec::<1>();
        d
    }

    /// `N` elements from here on, aligned to all of them: 16 bytes at most, 32 on sm_100 and newer.
    pub fn load_vec<const N: usize>(&self) -> [Reg<'k, S::Item>; N] {
        let d = self.k().fresh_array();
        self.load_to("", &d);
        d
    }

    /// The element here where `condition` holds; elsewhere nothing is read, and it is `otherwise`.
    pub fn load_if(&self, condition: Reg<'k, bool>, otherwise: impl Operand<S::Item>) -> Reg<'k, S::Item> {
        let [d] = self.load_vec_if::<1>(condition, otherwise);
        d
    }

    /// `N` elements where `condition` holds; elsewhere nothing is read, and each is `otherwise`.
    pub fn load_vec_if<const N: usize>(
        &self,
        condition: Reg<'k, bool>,
        otherwise: impl Operand<S::Item>,
    ) -> [Reg<'k, S::Item>; N] {
        self.load_vec_or(condition, std::array::from_fn(|_| otherwise.reg(self.k())))
    }

    /// `N` elements where `condition` holds; elsewhere nothing is read, and they are those of `otherwise`.
    pub fn load_vec_or<const N: usize>(
        &self,
        condition: Reg<'k, bool>,
        otherwise: [impl Operand<S::Item>; N],
    ) -> [Reg<'k, S::Item>; N] {
        let d = otherwise.map(|value| self.k().var(value.reg(self.k())));
        self.k().only(condition, || self.load_to("", &d));
        d
    }

    /// The element here, by a load that other threads' stores are ordered with.
    pub fn load_strong(&self, strength: Strength, scope: Scope) -> Reg<'k, S::Item> {
        let fine = strength != Strength::Release;
        self.k().check(fine, format_args!("a load cannot release"));
        let d = self.k().fresh();
        self.load_to(&self.strong(strength, scope), &[d]);
        d
    }

    fn strong(&self, strength: Strength, scope: Scope) -> String {
        let (scope, needs) = if strength == Strength::Volatile { ("", EVERY) } else { scope.row() };
        self.k().require(needs, "an access of this scope");
        format!("{}{scope}", strength.row().0)
    }

    fn load_to<const N: usize>(&self, before: &str, d: &[Reg<'k, S::Item>; N]) {
        const { assert!(is_vector(N, S::Item::SIZE), "no such vector") };
        let form = form::<S>("ld", before, self.load.row(), self.policy.is_some(), N);
        let names = if N == 1 { d[0].to_string() } else { braces(d) };
        self.access(&form, format_args!("{names}, {self}"));
    }

    fn access(&self, form: &Form, operands: std::fmt::Arguments<'_>) {
        for needs in &form.needs[1..] {
            self.k().require(*needs, &form.mnemonic);
        }
        match self.policy {
            Some(policy) => self.k().op(form.needs[0], &form.mnemonic, format_args!("{operands}, {policy}")),
            None => self.k().op(form.needs[0], &form.mnemonic, operands),
        }
    }
}

/// Whether memory is reached in vectors of `count` elements of `size` bytes.
const fn is_vector(count: usize, size: u32) -> bool {
    matches!(count, 1 | 2 | 4) || count == 8 && size == 4
}

impl<'k, S: Writable> Ptr<'k, S> {
    /// Writes the element here.
    pub fn store(&self, value: impl Operand<S::Item>) {
        self.store_vec([value.reg(self.k())]);
    }

    /// Writes `N` elements, aligned to all of them: 16 bytes at most, 32 on sm_100 and newer.
    pub fn store_vec<const N: usize>(&self, values: [Reg<'k, S::Item>; N]) {
        self.store_from("", &values);
    }

    /// Writes the element where `condition` holds.
    pub fn store_if(&self, condition: Reg<'k, bool>, value: impl Operand<S::Item>) {
        let value = value.reg(self.k());
        self.k().only(condition, || self.store(value));
    }

    /// Writes the element, by a store that other threads' loads are ordered with.
    pub fn store_strong(&self, strength: Strength, scope: Scope, value: impl Operand<S::Item>) {
        let fine = strength != Strength::Acquire;
        self.k().check(fine, format_args!("a store cannot acquire"));
        let value = value.reg(self.k());
        self.store_from(&self.strong(strength, scope), &[value]);
    }

    fn store_from<const N: usize>(&self, before: &str, values: &[Reg<'k, S::Item>; N]) {
        const { assert!(is_vector(N, S::Item::SIZE), "no such vector") };
        let form = form::<S>("st", before, self.store.row(), self.policy.is_some(), N);
        let names = if N == 1 { values[0].to_string() } else { braces(values) };
        self.access(&form, format_args!("{self}, {names}"));
    }
}

impl<'k, T: Element> Ptr<'k, Global<T>> {
    /// The same place, whose loads go through the caches so.
    pub fn loading(&self, load: Load) -> Self {
        Self { load, ..*self }
    }

    /// The same place, whose stores go through the caches so.
    pub fn storing(&self, store: Store) -> Self {
        Self { store, ..*self }
    }

    /// The same place, whose accesses keep this policy of L2.
    pub fn policy(&self, policy: Reg<'k, u64>) -> Self {
        Self { policy: Some(policy), ..*self }
    }

    /// Fetches the line here to L1.
    pub fn prefetch_l1(&self) {
        self.k().op(EVERY, "prefetch.global.L1", format_args!("{self}"));
    }

    /// Fetches the line here to L2.
    pub fn prefetch_l2(&self) {
        self.k().op(EVERY, "prefetch.global.L2", format_args!("{self}"));
    }

    /// Fetches the line here to L2, to stay.
    pub fn prefetch_l2_last(&self) {
        self.k().op(PRIORITIES, "prefetch.global.L2::evict_last", format_args!("{self}"));
    }
}
