//! What lengths, starts and page table say, read once when the request runs and checked: nothing below reads them again,
//! so no later change of their buffers can lead astray.

use super::{Attention, Operand};
use crate::fail;
use crate::status::{Error, Result};

/// One batch entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sequence {
    /// Index into axis 0 of q.
    pub q_batch: usize,
    /// Its first row of q.
    pub q_first: usize,
    /// Its rows of q, in use or not.
    pub rows: usize,
    /// Rows in use.
    pub queries: usize,
    /// Index into axis 0 of k and v; unused when paged.
    pub kv_batch: usize,
    /// Its first row of k and v.
    pub kv_first: usize,
    /// Keys in use.
    pub keys: usize,
}

/// All batch entries and, where keys are paged, the pages.
pub(super) struct Plan {
    pub sequences: Vec<Sequence>,
    /// A row of `pages_each` page numbers for each sequence; those that no query needs are 0 and not used.
    pub pages: Vec<usize>,
    pub pages_each: usize,
    /// Rows of a packed q before the first sequence, and where those after the last begin.
    pub outside: (usize, usize),
}

impl Plan {
    pub fn new(op: &Attention) -> Result<Self> {
        let batch = op.shape.batch;
        let mut sequences = reserve(batch)?;
        for b in 0..batch {
            sequences.push(sequence(op, b)?);
        }
        let mut plan = Self { sequences, pages: Vec::new(), pages_each: 0, outside: (0, usize::MAX) };
        if op.q_starts.is_some() {
            ensure_in_order(&plan.sequences)?;
            plan.outside = match (plan.sequences.first(), plan.sequences.last()) {
                (Some(first), Some(last)) => (first.q_first, last.q_first + last.rows),
                _ => (0, 0),
            };
        }
        op.block_table.as_ref().map_or(Ok(()), |table| plan.read_pages(op, table))?;
        Ok(plan)
    }

    /// Reads the entries of pages that some query sees.
    fn read_pages(&mut self, op: &Attention, table: &Operand) -> Result<()> {
        let (page_size, pages) = (op.k.layout().dim(2).max(1), op.k.layout().dim(0));
        let most = self.sequences.iter().map(|sequence| sequence.keys).max().unwrap_or(0);
        self.pages_each = most.div_ceil(page_size);
        let count = self.pages_each.checked_mul(self.sequences.len());
        let count = count.ok_or_else(|| Error::out_of_memory(usize::MAX))?;
        self.pages = reserve(count)?;
        self.pages.resize(count, 0);
        for (b, sequence) in self.sequences.iter().enumerate() {
            let seen = op.mask.visible_to_any(0, sequence.queries, sequence);
            for n in 0..sequence.keys.div_ceil(page_size) {
                if seen.meets(n * page_size, (n + 1) * page_size) {
                    let page = integer(table, &[b, n]);
                    ensure_page(b, n, page, pages)?;
                    self.pages[b * self.pages_each + n] = page as usize;
                }
            }
        }
        Ok(())
    }
}

fn ensure_page(b: usize, n: usize, page: i64, pages: usize) -> Result<()> {
    if page < 0 || page >= pages as i64 {
        fail!(
            WEFT_ERROR_OUT_OF_RANGE,
            "attention: block_table[{b}, {n}] is {page}; expected 0 or more and less than the {pages} pages of k"
        );
    }
    Ok(())
}

fn reserve<T>(count: usize) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    let bytes = count.saturating_mul(size_of::<T>());
    vec.try_reserve_exact(count).map_err(|_| Error::out_of_memory(bytes))?;
    Ok(vec)
}

/// Batch entry `b`.
fn sequence(op: &Attention, b: usize) -> Result<Sequence> {
    let (q, k) = (op.q.layout(), op.k.layout());
    let (q_first, rows) = rows_of("q", &op.q_starts, b, q.dim(2))?;
    let (kv_first, mut capacity) = rows_of("kv", &op.kv_starts, b, k.dim(2))?;
    if let Some(table) = &op.block_table {
        capacity = table.layout().dim(1).saturating_mul(k.dim(2));
    }
    let queries = length("q", &op.q_lengths, b, rows)?;
    let keys = length("kv", &op.kv_lengths, b, capacity)?;
    covered(op, 2, b, queries)?;
    covered(op, 3, b, keys)?;
    let q_batch = if op.q_starts.is_some() { 0 } else { b };
    let kv_batch = if op.kv_starts.is_some() { 0 } else { b };
    Ok(Sequence { q_batch, q_first, rows, queries, kv_batch, kv_first, keys })
}

/// First row and number of rows of entry `b`: by the starts, or all `total` rows.
fn rows_of(of: &str, starts: &Option<Operand>, b: usize, total: usize) -> Result<(usize, usize)> {
    let Some(starts) = starts else { return Ok((0, total)) };
    let (first, end) = (integer(starts, &[b]), integer(starts, &[b + 1]));
    if first < 0 || end < first || end > total as i64 {
        fail!(
            WEFT_ERROR_OUT_OF_RANGE,
            "attention: {of}_starts[{b}] and [{}] are {first} and {end}; expected 0 <= first <= second <= {total} \
             (the packed rows)",
            b + 1
        );
    }
    Ok((first as usize, (end - first) as usize))
}

/// Rows in use of entry `b`: its length, or all `capacity` rows.
fn length(of: &str, lengths: &Option<Operand>, b: usize, capacity: usize) -> Result<usize> {
    let Some(lengths) = lengths else { return Ok(capacity) };
    let length = integer(lengths, &[b]);
    if length < 0 || length as usize > capacity {
        fail!(
            WEFT_ERROR_OUT_OF_RANGE,
            "attention: {of}_lengths[{b}] is {length}; expected 0 to {capacity} (the rows there are)"
        );
    }
    Ok(length as usize)
}

/// An error unless axis `axis` of the bias has `needed` elements or repeats one.
fn covered(op: &Attention, axis: usize, b: usize, needed: usize) -> Result<()> {
    let Some(bias) = &op.bias else { return Ok(()) };
    let have = bias.layout().dim(axis);
    if have != 1 && have < needed {
        fail!(
            WEFT_ERROR_OUT_OF_RANGE,
            "attention: bias.dims[{axis}] is {have}; expected 1 or at least the {needed} rows of sequence {b}"
        );
    }
    Ok(())
}

/// An element of an i32 operand.
fn integer(operand: &Operand, index: &[usize]) -> i64 {
    let layout = operand.layout();
    let at: isize = index.iter().enumerate().map(|(axis, &i)| i as isize * layout.stride(axis)).sum();
    // SAFETY: the callers' indices are inside the operand's dims, so the element is inside its buffer.
    i64::from(unsafe { operand.ptr::<i32>().wrapping_offset(at).read() })
}

/// An error where sequences of a packed q would meet, which only a change of the starts while they are read can bring.
fn ensure_in_order(sequences: &[Sequence]) -> Result<()> {
    if !sequences.windows(2).all(|pair| pair[0].q_first + pair[0].rows == pair[1].q_first) {
        fail!(
            WEFT_ERROR_OUT_OF_RANGE,
            "attention: q_starts changed while they were read; expected them to stay"
        );
    }
    Ok(())
}
