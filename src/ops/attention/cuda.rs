//! Attention on CUDA devices. Lengths, starts and pages are in the device's memory, so a first kernel reads and checks
//! them; those that follow do nothing where it found an error, and leave a verdict that becomes the CPU's sentence here.

use super::ptx::kind;
use super::ptx::{self, Args, Spec, TENSOR, at};
use super::{Attention, Operand};
use crate::device::cuda::{Key, Stream};
use crate::fail;
use crate::op::Choice;
use crate::status::Result;

/// Best first; the last takes everything.
pub(super) const CHOICES: &[Choice<Attention, Stream>] =
    &[Choice { name: "simple", accepts: |_, _| true, run: simple }];

/// Blocks of the kernel of pages, at most.
const PAGE_BLOCKS: u64 = 1024;
/// Blocks of the kernel of rows, at most; more rows are taken in turns.
const ROW_BLOCKS: u64 = 1 << 30;
/// Warps that share a row where rows are few.
const SHARING: u32 = 8;
/// No window reaches further; sums with positions stay below 2^63.
const FAR: i64 = 1 << 61;

fn simple(op: &Attention, stream: &Stream) -> Result<()> {
    let multiprocessors = u64::from(stream.gpu().description.multiprocessors);
    let spec = op.spec(multiprocessors);
    let args = op.args(stream, &spec)?;
    let plan = stream.kernel(Key("attention", [0; 8]), ptx::plan)?;
    // SAFETY: the words describe tensors that were checked; records and the first error are this request's scratch memory,
    // one record more than sequences. Every index that the device reads is checked there before it is used.
    unsafe { plan.launch(stream, [1, 1, 1], &args)? };
    if op.block_table.is_some() {
        let pages = stream.kernel(Key("attention", [2, 0, 0, 0, 0, 0, 0, 0]), ptx::pages)?;
        let entries = args.words[at::BATCH].saturating_mul(args.words[at::PAGES_EACH]);
        let blocks = entries.div_ceil(u64::from(ptx::PAGE_THREADS)).clamp(1, PAGE_BLOCKS);
        // SAFETY: as above; the records are written.
        unsafe { pages.launch(stream, [blocks as u32, 1, 1], &args)? };
    }
    let rows = stream.kernel(Key("attention", spec.key()), |target| ptx::simple(target, spec))?;
    let blocks = args.words[at::TASKS].clamp(1, ROW_BLOCKS);
    // SAFETY: as above; rows run only where no error was found.
    unsafe { rows.launch(stream, [blocks as u32, 1, 1], &args) }
}

/// Rows of q and k are whole vectors of 16 bytes.
fn is_wide(op: &Attention) -> bool {
    let whole = |operand: &Operand| {
        let (layout, size) = (operand.layout(), operand.dtype().size() as i64);
        let steps = layout.axes().take(3).filter(|axis| axis.0 > 1).map(|axis| axis.1);
        let mut bytes = steps.chain([layout.dims()[3]]).map(|elements| elements.wrapping_mul(size));
        layout.stride(3) == 1 && operand.at().is_multiple_of(16) && bytes.all(|bytes| bytes % 16 == 0)
    };
    whole(&op.q) && whole(&op.k)
}

/// Address and strides in bytes; zeros where there is none.
fn tensor(operand: Option<&Operand>) -> [u64; TENSOR] {
    let mut words = [0; TENSOR];
    let Some(operand) = operand else { return words };
    let (layout, size) = (operand.layout(), operand.dtype().size() as i64);
    words[0] = operand.at();
    for (word, (_, stride)) in words[1..].iter_mut().zip(layout.axes()) {
        *word = stride.wrapping_mul(size).cast_unsigned();
    }
    words
}

/// The same, where an axis of one element is one for every index.
fn repeated(operand: Option<&Operand>) -> [u64; TENSOR] {
    let mut words = tensor(operand);
    let Some(operand) = operand else { return words };
    for (word, (dim, _)) in words[1..].iter_mut().zip(operand.layout().axes()) {
        *word = if dim == 1 { 0 } else { *word };
    }
    words
}

impl Attention {
    fn spec(&self, multiprocessors: u64) -> Spec {
        let columns = self.shape.dim_v.div_ceil(32).clamp(1, 8).next_power_of_two() as u32;
        let few = self.tasks(32 * u64::from(columns)) < 16 * multiprocessors;
        Spec {
            dtype: self.q.dtype(),
            bias: self.bias.as_ref().map(Operand::dtype),
            warps: if few && self.capacity() > 64 { SHARING } else { 1 },
            columns,
            wide: is_wide(self),
            packed: self.q_starts.is_some(),
            paged: self.block_table.is_some(),
            slopes: self.slopes.is_some(),
            softcap: self.softcap > 0.0,
            dropout: self.dropout.is_on(),
        }
    }

    /// Keys that a sequence can have at most.
    fn capacity(&self) -> u64 {
        let rows = self.k.layout().dim(2) as u64;
        let pages = self.block_table.as_ref().map_or(1, |table| table.layout().dim(1) as u64);
        rows.saturating_mul(pages).min(i64::MAX.cast_unsigned())
    }

    /// Pieces of `width` columns that a row has; one where it has none, for lse.
    fn pieces(&self, width: u64) -> u64 {
        (self.shape.dim_v as u64).div_ceil(width).max(1)
    }

    /// Pieces of all rows of all heads; none where there is nothing to write.
    fn tasks(&self, width: u64) -> u64 {
        if self.o.layout().is_empty() && self.lse.as_ref().is_none_or(|lse| lse.layout().is_empty()) {
            return 0;
        }
        let rows = self.q.dims()[..3].iter().map(|&dim| dim.cast_unsigned());
        rows.fold(self.pieces(width), u64::saturating_mul)
    }

    fn args(&self, stream: &Stream, spec: &Spec) -> Result<Args> {
        let mut words = [0; at::COUNT];
        self.put_tensors(&mut words);
        self.put_sizes(&mut words, u64::from(spec.width()));
        let records = (self.shape.batch + 1).saturating_mul(ptx::RECORD as usize);
        words[at::RECORDS] = stream.scratch(records)?;
        words[at::FAILED] = stream.scratch(size_of::<u64>())?;
        words[at::VERDICT] = stream.verdict();
        let softcap = (self.softcap as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
        Ok(Args { words, scale: self.scale as f32, softcap, gain: self.dropout.gain as f32 })
    }

    fn put_tensors(&self, words: &mut [u64; at::COUNT]) {
        let mut put = |place: usize, tensor: [u64; TENSOR]| words[place..][..TENSOR].copy_from_slice(&tensor);
        let packed = self.kv_starts.is_some();
        for (place, operand) in [(at::Q, &self.q), (at::K, &self.k), (at::V, &self.v), (at::O, &self.o)] {
            let mut of = tensor(Some(operand));
            // The sequence is the index of axis 0 of k and v, which has one element where they are packed.
            of[1] = if packed && matches!(place, at::K | at::V) { 0 } else { of[1] };
            put(place, of);
        }
        let optional = [
            (at::LSE, &self.lse),
            (at::SLOPES, &self.slopes),
            (at::SINKS, &self.sinks),
            (at::Q_LENGTHS, &self.q_lengths),
            (at::KV_LENGTHS, &self.kv_lengths),
            (at::Q_STARTS, &self.q_starts),
            (at::KV_STARTS, &self.kv_starts),
            (at::TABLE, &self.block_table),
        ];
        optional.iter().for_each(|(place, operand)| put(*place, tensor(operand.as_ref())));
        put(at::BIAS, repeated(self.bias.as_ref()));
    }

    fn put_sizes(&self, words: &mut [u64; at::COUNT], width: u64) {
        let Self { shape, mask, q, k, .. } = self;
        let table = self.block_table.as_ref().map_or(0, |table| table.layout().dim(1) as u64);
        let covered = |axis: usize| self.bias.as_ref().map_or(1, |bias| bias.layout().dim(axis) as u64);
        let window = |keys: Option<i64>| keys.unwrap_or(FAR).min(FAR).cast_unsigned();
        let ([key_low, key_high], offset, threshold) = self.dropout.words();
        let sizes = [
            (at::TASKS, self.tasks(width)),
            (at::PIECES, self.pieces(width)),
            (at::ROWS, q.layout().dim(2) as u64),
            (at::HEADS, shape.heads as u64),
            (at::GROUP, shape.group() as u64),
            (at::DIM, shape.dim as u64),
            (at::DIM_V, shape.dim_v as u64),
            (at::BATCH, shape.batch as u64),
            (at::PAGE_SIZE, (k.layout().dim(2) as u64).clamp(1, u64::from(u32::MAX))),
            (at::PAGES, (k.layout().dim(0) as u64).min(1 << 31)),
            (at::PAGES_EACH, table),
            (at::CAPACITY, self.capacity()),
            (at::LEFT, window(mask.left)),
            (at::RIGHT, window(mask.right)),
            (at::KEPT, mask.kept.cast_unsigned()),
            (at::TOP_LEFT, u64::from(mask.top_left)),
            (at::BIAS_ROWS, covered(2)),
            (at::BIAS_KEYS, covered(3)),
            (at::THRESHOLD, threshold),
            (at::KEY_LOW, u64::from(key_low)),
            (at::KEY_HIGH, u64::from(key_high)),
            (at::OFFSET, u64::from(offset)),
        ];
        sizes.iter().for_each(|(place, size)| words[*place] = *size);
    }
}

/// A number that may have been cut to what fits a verdict.
fn cut(number: i64, low: i64, high: i64) -> String {
    match number {
        n if n >= high => format!("{n} or more"),
        n if n <= low => format!("{n} or less"),
        n => n.to_string(),
    }
}

/// The error that a verdict of the device tells of: kind, sequence and value.
pub(super) fn conclude(op: &Attention, verdict: u32) -> Result<()> {
    if verdict == 0 {
        return Ok(());
    }
    let (kind, b) = (verdict >> 29, i64::from(verdict >> 16 & 0x1FFF));
    let value = i64::from((verdict as u16).cast_signed());
    let place = (b < 8191 && (0..32767).contains(&value)).then_some([b, value]);
    let (b, value) = (cut(b, -1, 8191), cut(value, -32768, 32767));
    match kind {
        kind::Q_STARTS | kind::KV_STARTS => starts(op, kind, &b, &value),
        kind::Q_LENGTHS | kind::KV_LENGTHS => lengths(op, kind, &b, &value),
        kind::BIAS_ROWS | kind::BIAS_KEYS => {
            let axis = if kind == kind::BIAS_ROWS { 2 } else { 3 };
            let have = op.bias.as_ref().map_or(1, |bias| bias.layout().dim(axis));
            fail!(
                WEFT_ERROR_OUT_OF_RANGE,
                "attention: bias.dims[{axis}] is {have}; expected 1 or at least the {value} rows of sequence {b}"
            )
        }
        _ => {
            let pages = op.k.layout().dim(0);
            let page = place.and_then(|at| page_at(op, at)).filter(|page| !(0..pages as i64).contains(page));
            let what = page.map_or("out of range".into(), |page| page.to_string());
            fail!(
                WEFT_ERROR_OUT_OF_RANGE,
                "attention: block_table[{b}, {value}] is {what}; expected 0 or more and less than the {pages} pages of k"
            )
        }
    }
}

/// The entry of block_table at this place, as the device has it now.
fn page_at(op: &Attention, [b, n]: [i64; 2]) -> Option<i64> {
    let table = op.block_table.as_ref()?;
    let [row, column] = [0, 1].map(|axis| table.layout().stride(axis));
    table.integer_on_device(b as isize * row + n as isize * column).ok()?
}

fn starts(op: &Attention, kind: u32, b: &str, end: &str) -> Result<()> {
    let (of, total) = match kind {
        kind::Q_STARTS => ("q", op.q.layout().dim(2)),
        _ => ("kv", op.k.layout().dim(2)),
    };
    fail!(
        WEFT_ERROR_OUT_OF_RANGE,
        "attention: {of}_starts[{b}] and the one after it, {end}, are out of order; expected \
         0 <= first <= second <= {total} (the packed rows)"
    )
}

fn lengths(op: &Attention, kind: u32, b: &str, length: &str) -> Result<()> {
    let (of, most) = match kind {
        kind::Q_LENGTHS if op.q_starts.is_none() => ("q", op.q.layout().dim(2).to_string()),
        kind::Q_LENGTHS => ("q", format!("q_starts[{b} + 1] - q_starts[{b}]")),
        _ if op.kv_starts.is_none() => ("kv", op.capacity().to_string()),
        _ => ("kv", format!("kv_starts[{b} + 1] - kv_starts[{b}]")),
    };
    fail!(
        WEFT_ERROR_OUT_OF_RANGE,
        "attention: {of}_lengths[{b}] is {length}; expected 0 to {most} (the rows there are)"
    )
}
