//! A list of multiplications as one operation, one after another.

use super::check::checked;
use super::*;
use crate::ensure;
use crate::status::Error;

/// The most multiplications of a list.
const MOST: u64 = 1 << 16;

/// Checked multiplications, none of which writes what another reads or writes.
pub struct Grouped {
    all: Vec<Matmul>,
}

impl Grouped {
    /// Checks descriptors: `desc` reads the one with a number.
    pub fn checked(
        count: u64,
        desc: impl Fn(u64) -> Result<weft_matmul_desc>,
        bind: &Bind,
    ) -> Result<Box<dyn Op>> {
        ensure!(count <= MOST, "matmul_grouped: count is {count}; expected at most {MOST}");
        let mut all = Vec::new();
        let short = |_| Error::out_of_memory(count as usize * size_of::<Matmul>());
        all.try_reserve_exact(count as usize).map_err(short)?;
        for number in 0..count {
            let named =
                |error: Error| Error::new(error.status, format!("descs[{number}]: {}", error.message));
            all.push(*desc(number).and_then(|desc| checked(&desc, bind)).map_err(named)?);
        }
        check_apart(&all)?;
        Ok(Box::new(Self { all }))
    }
}

impl Op for Grouped {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        self.all.iter().try_for_each(|op| op.cpu(cpu))
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        self.all.iter().try_for_each(|op| op.cuda(stream))
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} of", self.all.len())?;
        self.all.iter().take(1).try_for_each(|op| write!(out, " {} x {}, ...", op.a, op.b))
    }
}

/// An operand of a group, and the addresses it spans; or those modulo a period.
struct Use<'a> {
    bytes: (i128, i128),
    group: usize,
    written: bool,
    operand: &'a Operand,
}

impl Matmul {
    fn outputs(&self) -> impl Iterator<Item = &Operand> {
        let extra = self.extra.iter().flat_map(|extra| extra.outputs(self.epilogue));
        std::iter::once(&self.d).chain(extra)
    }

    fn inputs(&self) -> impl Iterator<Item = &Operand> {
        let extra = self.extra.iter().flat_map(|extra| extra.inputs(self.epilogue));
        [&self.a, &self.b].into_iter().chain(&self.c).chain(&self.bias).chain(extra)
    }
}

/// No group may write what another reads or writes: each run of spans that reach into each other is looked at by itself.
fn check_apart(all: &[Matmul]) -> Result<()> {
    let mut uses: Vec<Use> = Vec::new();
    for (group, op) in all.iter().enumerate() {
        let outputs = op.outputs().map(|operand| (operand, true));
        for (operand, written) in outputs.chain(op.inputs().map(|operand| (operand, false))) {
            let Some(bytes) = operand.absolute().bytes() else { continue };
            push(&mut uses, Use { bytes, group, written, operand })?;
        }
    }
    uses.sort_unstable_by_key(|used| used.bytes.0);
    let mut end = i128::MIN;
    let meet = |before: &Use, next: &Use| {
        end = end.max(before.bytes.1);
        next.bytes.0 < end
    };
    uses.chunk_by_mut(meet).try_for_each(check_run)
}

/// Columns of one matrix, say, all reach into each other, but not modulo the bytes of a row: only what does is compared.
fn check_run(uses: &mut [Use]) -> Result<()> {
    let written = uses.iter().filter(|used| used.written);
    let Some(period) = written.map(|used| used.operand.absolute().period()).max() else { return Ok(()) };
    if period > 0 {
        let lane = |used: &Use| used.operand.absolute().lane(period).unwrap_or((0, period));
        uses.iter_mut().for_each(|used| used.bytes = lane(used));
        uses.sort_unstable_by_key(|used| used.bytes.0);
    }
    // Those that have begun; what is read is looked at only where something is written.
    let (mut read, mut written) = (Vec::new(), Vec::new());
    for used in uses.iter() {
        let here = |before: &&Use| before.bytes.1 > used.bytes.0;
        written.retain(here);
        written.iter().try_for_each(|before| expect_apart(before, used))?;
        if used.written {
            read.retain(here);
            read.iter().try_for_each(|before| expect_apart(before, used))?;
        }
        push(if used.written { &mut written } else { &mut read }, used)?;
    }
    Ok(())
}

fn push<T>(all: &mut Vec<T>, one: T) -> Result<()> {
    all.try_reserve(1).map_err(|_| Error::out_of_memory(size_of::<T>() * all.len()))?;
    all.push(one);
    Ok(())
}

fn expect_apart(first: &Use, next: &Use) -> Result<()> {
    ensure!(
        first.group == next.group || !first.operand.may_overlap(next.operand),
        "matmul_grouped: {} of descs[{}] and {} of descs[{}] overlap; expected separate memory",
        first.operand.name.argument(),
        first.group,
        next.operand.name.argument(),
        next.group
    );
    Ok(())
}
