//! Every check of a descriptor.

use super::mask::Mask;
use super::*;
use crate::dtype::Dtype::{self, Bf16, Bool, F16, F32, I32};
use crate::ensure;

/// The tensors of a descriptor, each checked on its own.
struct Tensors {
    q: Operand,
    k: Operand,
    v: Operand,
    o: Operand,
    lse: Option<Operand>,
    bias: Option<Operand>,
    slopes: Option<Operand>,
    sinks: Option<Operand>,
    q_lengths: Option<Operand>,
    kv_lengths: Option<Operand>,
    q_starts: Option<Operand>,
    kv_starts: Option<Operand>,
    block_table: Option<Operand>,
}

/// A checked request from a descriptor.
pub(super) fn check(desc: &weft_attention_desc, bind: &Bind) -> Result<Attention> {
    let tensors = Tensors::new(desc, bind)?;
    tensors.check_types()?;
    let shape = tensors.shape()?;
    tensors.check_dims(shape)?;
    tensors.check_apart()?;
    let (mask, dropout) = (mask(desc, bind)?, dropout(desc)?);
    bind.expect_finite("scale", desc.scale)?;
    let softcap = desc.softcap;
    ensure!(
        softcap >= 0.0 && softcap.is_finite(),
        "attention: softcap is {softcap:?}; expected 0 or more and finite"
    );
    let scale = if desc.scale == 0.0 { 1.0 / (shape.dim.max(1) as f64).sqrt() } else { desc.scale };
    let bias = tensors.bias_of(shape)?;
    let slopes = tensors.slopes_of(shape)?;
    let Tensors { q, k, v, o, lse, sinks, q_lengths, kv_lengths, q_starts, kv_starts, block_table, .. } =
        tensors;
    let attention = Attention {
        shape,
        q,
        k,
        v,
        o,
        lse,
        bias,
        slopes,
        sinks,
        q_lengths,
        kv_lengths,
        q_starts,
        kv_starts,
        block_table,
        mask,
        scale,
        softcap,
        dropout,
    };
    Ok(attention)
}

impl Tensors {
    fn new(desc: &weft_attention_desc, bind: &Bind) -> Result<Self> {
        Ok(Self {
            q: bind.input("q", &desc.q)?,
            k: bind.input("k", &desc.k)?,
            v: bind.input("v", &desc.v)?,
            o: bind.output("o", &desc.o)?,
            lse: bind.optional_output("lse", &desc.lse)?,
            bias: bind.optional("bias", &desc.bias)?,
            slopes: bind.optional("alibi_slopes", &desc.alibi_slopes)?,
            sinks: bind.optional("sink_logits", &desc.sink_logits)?,
            q_lengths: bind.optional("q_lengths", &desc.q_lengths)?,
            kv_lengths: bind.optional("kv_lengths", &desc.kv_lengths)?,
            q_starts: bind.optional("q_starts", &desc.q_starts)?,
            kv_starts: bind.optional("kv_starts", &desc.kv_starts)?,
            block_table: bind.optional("block_table", &desc.block_table)?,
        })
    }

    /// The operands that hold numbers of keys, queries or pages.
    fn integers(&self) -> [&Option<Operand>; 5] {
        [&self.q_lengths, &self.kv_lengths, &self.q_starts, &self.kv_starts, &self.block_table]
    }

    fn check_types(&self) -> Result<()> {
        self.q.expect_dtype(&[F32, F16, Bf16])?;
        for operand in [&self.k, &self.v, &self.o] {
            operand.expect_dtype(&[self.q.dtype()])?;
        }
        expect(&[&self.lse, &self.slopes, &self.sinks], &[F32])?;
        expect(&[&self.bias], &[F32, F16, Bf16, Bool])?;
        expect(&self.integers(), &[I32])
    }

    fn shape(&self) -> Result<Shape> {
        for operand in [&self.q, &self.k, &self.v, &self.o] {
            operand.expect_rank(4)?;
        }
        let (q, k, v) = (self.q.layout(), self.k.layout(), self.v.layout());
        let (heads, kv_heads) = (q.dim(1), k.dim(1));
        let divides = if kv_heads == 0 { heads == 0 } else { heads % kv_heads == 0 };
        ensure!(
            divides,
            "attention: k.dims[1] is {kv_heads} heads; expected a divisor of the {heads} heads of q"
        );
        Ok(Shape { batch: self.batch()?, heads, kv_heads, dim: q.dim(3), dim_v: v.dim(3) })
    }

    /// How many batch entries, or sequences of a packed q.
    fn batch(&self) -> Result<usize> {
        let Some(starts) = &self.q_starts else { return Ok(self.q.layout().dim(0)) };
        starts.expect_rank(1)?;
        ensure!(
            starts.dims()[0] >= 1,
            "attention: q_starts.dims are [0]; expected [B + 1], one more than the sequences"
        );
        ensure!(
            self.q.dims()[0] == 1,
            "attention: q.dims[0] is {}; expected 1, as q_starts makes q packed",
            self.q.dims()[0]
        );
        Ok(starts.layout().dim(0) - 1)
    }

    fn check_dims(&self, shape: Shape) -> Result<()> {
        let (q, k) = (self.q.dims(), self.k.dims());
        let batch = shape.batch as i64;
        ensure!(
            k[3] == q[3],
            "attention: k.dims[3] is {}; expected {} (the head dimension of q)",
            k[3],
            q[3]
        );
        self.v.expect_dims(&[k[0], k[1], k[2], shape.dim_v as i64], "those of k but for the last")?;
        self.o.expect_dims(&[q[0], q[1], q[2], shape.dim_v as i64], "those of q with the last of v")?;
        if let Some(lse) = &self.lse {
            lse.expect_dims(&q[..3], "the first three of q")?;
        }
        for lengths in [&self.q_lengths, &self.kv_lengths].into_iter().flatten() {
            lengths.expect_dims(&[batch], "one for each batch entry")?;
        }
        if let Some(sinks) = &self.sinks {
            sinks.expect_dims(&q[1..2], "the heads of q")?;
        }
        self.check_kv_dims(batch)
    }

    fn check_kv_dims(&self, batch: i64) -> Result<()> {
        let (have, paged) = (self.k.dims()[0], self.block_table.is_some());
        if let Some(table) = &self.block_table {
            table.expect_rank(2)?;
            ensure!(
                table.dims()[0] == batch,
                "attention: block_table.dims[0] is {}; expected {batch} (the batch entries)",
                table.dims()[0]
            );
            ensure!(self.kv_lengths.is_some(), "attention: kv_lengths is absent; block_table needs it");
            ensure!(
                self.kv_starts.is_none(),
                "attention: kv_starts is given; block_table makes k paged, not packed"
            );
        }
        if let Some(starts) = &self.kv_starts {
            starts.expect_dims(&[batch + 1], "one more than the sequences")?;
            ensure!(have == 1, "attention: k.dims[0] is {have}; expected 1, as kv_starts makes k packed");
        }
        let dense = !paged && self.kv_starts.is_none();
        ensure!(
            !dense || have == batch,
            "attention: k.dims[0] is {have}; expected {batch} (the batch entries)"
        );
        Ok(())
    }

    /// Outputs share memory with nothing.
    fn check_apart(&self) -> Result<()> {
        let optional = [&self.bias, &self.slopes, &self.sinks].into_iter().chain(self.integers()).flatten();
        for input in [&self.q, &self.k, &self.v].into_iter().chain(optional) {
            self.o.expect_apart(input)?;
            if let Some(lse) = &self.lse {
                lse.expect_apart(input)?;
            }
        }
        self.lse.iter().try_for_each(|lse| lse.expect_apart(&self.o))
    }

    /// The bias with four axes, repeated ones with stride 0.
    fn bias_of(&self, shape: Shape) -> Result<Option<Operand>> {
        let Some(bias) = &self.bias else { return Ok(None) };
        let rank = bias.dims().len();
        ensure!(rank <= 4, "attention: bias.rank is {rank}; expected 0 to 4");
        let mut dims = [1; 4];
        dims[4 - rank..].copy_from_slice(bias.dims());
        let mut want = [shape.batch as i64, shape.heads as i64, self.q.dims()[2], self.k.dims()[2]];
        if self.q_starts.is_some() {
            want[2] = dims[2];
        }
        if self.kv_starts.is_some() || self.block_table.is_some() {
            want[3] = dims[3];
        }
        bias.broadcast_to(&want).map(Some)
    }

    fn slopes_of(&self, shape: Shape) -> Result<Option<Operand>> {
        let Some(slopes) = &self.slopes else { return Ok(None) };
        let want = [shape.batch as i64, shape.heads as i64];
        let fits = slopes.dims() == want || slopes.dims() == &want[1..];
        ensure!(
            fits,
            "attention: alibi_slopes.dims are {:?}; expected {:?} or {want:?}",
            slopes.dims(),
            &want[1..]
        );
        slopes.broadcast_to(&want).map(Some)
    }
}

fn expect(operands: &[&Option<Operand>], allowed: &[Dtype]) -> Result<()> {
    operands.iter().copied().flatten().try_for_each(|operand| operand.expect_dtype(allowed))
}

fn mask(desc: &weft_attention_desc, bind: &Bind) -> Result<Mask> {
    const KNOWN: u32 = WEFT_ATTENTION_CAUSAL
        | WEFT_ATTENTION_TOP_LEFT
        | WEFT_ATTENTION_WINDOW_LEFT
        | WEFT_ATTENTION_WINDOW_RIGHT;
    bind.expect_flags(desc.flags, KNOWN)?;
    let has = |bit| desc.flags & bit != 0;
    let window = |name, bit, keys: i64| {
        ensure!(!has(bit) || keys >= 0, "attention: {name} is {keys}; expected 0 or more");
        Ok(has(bit).then_some(keys))
    };
    let left = window("window_left", WEFT_ATTENTION_WINDOW_LEFT, desc.window_left)?;
    let right = window("window_right", WEFT_ATTENTION_WINDOW_RIGHT, desc.window_right)?;
    let right = if has(WEFT_ATTENTION_CAUSAL) { Some(0) } else { right };
    let kept = desc.sink_tokens;
    ensure!(kept >= 0, "attention: sink_tokens is {kept}; expected 0 or more");
    Ok(Mask { top_left: has(WEFT_ATTENTION_TOP_LEFT), left, right, kept })
}

fn dropout(desc: &weft_attention_desc) -> Result<Dropout> {
    let rate = desc.dropout;
    ensure!((0.0..1.0).contains(&rate), "attention: dropout is {rate:?}; expected at least 0 and below 1");
    Ok(Dropout::new(rate, desc.seed, desc.offset))
}
