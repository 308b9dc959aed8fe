//! What a kernel is written for, and what its instructions need: architectures and versions of the PTX language.

use crate::ensure;
use crate::status::Result;
use std::fmt;

/// The oldest architecture that the library runs on; what every older one has too is also listed under it.
const OLDEST: u16 = 80;

/// The first version of PTX that knows each architecture: (architecture, version, version for its `a` form).
const FIRST: &[(u16, u16, u16)] = &[
    (80, 70, 70),
    (86, 71, 71),
    (87, 74, 74),
    (88, 90, 90),
    (89, 78, 78),
    (90, 78, 80),
    (100, 86, 86),
    (103, 88, 88),
    (110, 90, 90),
    (120, 87, 87),
    (121, 88, 88),
];

/// The architecture that a kernel is written for, and the newest PTX that its driver reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    sm: u16,
    specific: bool,
    version: u16,
}

impl Target {
    /// The target of a name in NVIDIA's words: `sm_80`, `sm_90a`.
    pub fn parse(name: &str) -> Result<Self> {
        let digits = name.strip_prefix("sm_").unwrap_or("");
        let (digits, specific) = match digits.strip_suffix('a') {
            Some(digits) => (digits, true),
            None => (digits, false),
        };
        let sm = digits.parse().unwrap_or(0);
        ensure!(
            sm >= OLDEST,
            "the PTX target is {name:?}; expected sm_{OLDEST} or newer, as in sm_90 or sm_90a"
        );
        Ok(Self { sm, specific, version: u16::MAX })
    }

    /// The target of a device of compute capability `major.minor`, with all that is particular to it.
    pub fn of_device(major: u32, minor: u32) -> Result<Self> {
        let sm = u16::try_from(u64::from(major) * 10 + u64::from(minor)).unwrap_or(0);
        let fits = sm >= OLDEST && minor < 10;
        ensure!(fits, "the compute capability is {major}.{minor}; expected 8.0 or newer");
        Ok(Self { sm, specific: sm >= 90, version: u16::MAX })
    }

    /// The same, for a driver that reads PTX up to version `major.minor` (CUDA 12.x reads 8.x, CUDA 13.x reads 9.x).
    pub fn reading(self, major: u16, minor: u16) -> Self {
        Self { version: major.saturating_mul(10).saturating_add(minor.min(9)), ..self }
    }

    /// The number in `sm_90`.
    pub fn sm(self) -> u32 {
        u32::from(self.sm)
    }

    /// Why `needs` is not met here, as the end of a sentence; `None` when it is.
    pub(super) fn lacks(self, needs: Needs) -> Option<String> {
        let particular = self.specific && needs.only.contains(&self.sm);
        if !needs.only.is_empty() && !particular {
            let list: Vec<String> = needs.only.iter().map(|sm| format!("sm_{sm}a")).collect();
            return Some(format!("needs {}, but the kernel is written for {self}", list.join(" or ")));
        }
        if self.sm < needs.sm {
            return Some(format!("needs sm_{} or newer, but the kernel is written for {self}", needs.sm));
        }
        let (needed, read) = (Version(needs.version), Version(self.version));
        (self.version < needs.version)
            .then(|| format!("needs PTX {needed}, but the driver reads no newer than PTX {read}"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sm_{}{}", self.sm, if self.specific { "a" } else { "" })
    }
}

/// A version of PTX, times ten.
struct Version(u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// The least that an instruction asks for.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// The least architecture.
    sm: u16,
    /// Not empty: the architectures whose `a` form alone has it.
    only: &'static [u16],
    /// The least version of PTX, times ten.
    version: u16,
}

impl Needs {
    pub(super) const fn new(sm: u16, version: u16) -> Self {
        Self { sm, only: &[], version }
    }

    pub(super) const fn only(only: &'static [u16], version: u16) -> Self {
        Self { sm: OLDEST, only, version }
    }
}

/// What every architecture and every version of PTX in use has.
pub(super) const EVERY: Needs = Needs::new(OLDEST, 70);

/// The most that any of a kernel's instructions asked for: what `.target` and `.version` will say.
pub(super) struct Used {
    sm: u16,
    specific: bool,
    version: u16,
}

impl Default for Used {
    fn default() -> Self {
        Self { sm: EVERY.sm, specific: false, version: EVERY.version }
    }
}

impl Used {
    pub(super) fn add(&mut self, needs: Needs) {
        self.sm = self.sm.max(needs.sm);
        self.version = self.version.max(needs.version);
        self.specific |= !needs.only.is_empty();
    }

    /// The architecture to name and the version to name, for a kernel written for `target`.
    pub(super) fn names(&self, target: Target) -> (String, String) {
        let (sm, specific) = if self.specific { (target.sm, true) } else { (self.sm, false) };
        let row = FIRST.iter().find(|row| row.0 == sm);
        let first = row.map_or(self.version, |row| if specific { row.2 } else { row.1 });
        let suffix = if specific { "a" } else { "" };
        (format!("sm_{sm}{suffix}"), Version(self.version.max(first)).to_string())
    }
}
