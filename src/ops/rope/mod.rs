//! Rotary position embedding: pairs of elements turned by an angle that grows with the position.

mod cpu;
mod cuda;
mod ptx;
mod rows;
mod tables;
mod tiles;
mod tiling;

use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::dtype::Dtype::*;
use crate::layout::weft_tensor;
use crate::op::{Bind, Op, Operand};
use crate::ptx::{Target, Text};
use crate::status::Result;
use crate::{ensure, fail};

/// Pairs are elements i and i + rotary_dim / 2 (GPT-NeoX); else 2i and 2i + 1 (GPT-J, "interleaved").
pub const WEFT_ROPE_HALF_SPLIT: u32 = 1;
/// Turn backwards: undoes the rotation.
pub const WEFT_ROPE_INVERSE: u32 = 2;

/// What `weft_rope` computes: for pair i at position p, angle = p * frequency_scale * base^(-2i / rotary_dim) / factors[i].
///
/// x is f32, f64, f16 or bf16; f64 is turned in f64, the others in f32. Angles are computed and reduced in f64 whatever x is,
/// so that rows far into a sequence are turned as exactly as the first: within 2e-7 attention_factor (|a| + |b|) of the
/// value for a pair (a, b) (4e-16 and the rounding of the angle for f64), then rounded to y's dtype. With cos and sin,
/// base, frequency_scale, factors and position_start stay 0. With positions, a position outside the rows of cos ends
/// the request with WEFT_ERROR_OUT_OF_RANGE before anything is written.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_rope_desc {
    /// sizeof(weft_rope_desc).
    pub struct_size: u32,
    /// WEFT_ROPE bits.
    pub flags: u32,
    /// [B, H, S, D].
    pub x: weft_tensor,
    /// As x: the result. May be exactly x.
    pub y: weft_tensor,
    /// i32 or i64, broadcastable to [B, S]: the position of each row; optional: position_start + s without it.
    pub positions: weft_tensor,
    /// [P, rotary_dim / 2] with positions, broadcastable to [B, S, rotary_dim / 2] without: cosines to use in place of
    /// computed ones, of x's dtype or f32. Optional.
    pub cos: weft_tensor,
    /// As cos: sines.
    pub sin: weft_tensor,
    /// f32 [rotary_dim / 2]: divides each pair's frequency (Llama 3, LongRoPE). Optional.
    pub factors: weft_tensor,
    /// The base; 0 means 10000.
    pub base: f64,
    /// Scales all positions (linear scaling by 1 / context factor); 0 means 1.
    pub frequency_scale: f64,
    /// Scales cosines and sines (YaRN's attention factor); 0 means 1.
    pub attention_factor: f64,
    /// Position of the first row when positions is absent.
    pub position_start: i64,
    /// How many leading elements of a row are turned, even; the others are copied. 0 means D.
    pub rotary_dim: i64,
}

/// Where cosines and sines come from.
enum Waves {
    Computed {
        base: f64,
        frequency_scale: f64,
        factors: Option<Operand>,
    },
    /// [P, pairs] with positions, [B, S, pairs] without.
    Tables {
        cos: Operand,
        sin: Operand,
    },
}

/// A checked request.
pub struct Rope {
    x: Operand,
    y: Operand,
    /// [B, S]
    positions: Option<Operand>,
    position_start: i64,
    waves: Waves,
    attention_factor: f64,
    /// Half of rotary_dim.
    pairs: usize,
    half_split: bool,
    inverse: bool,
}

/// Checks a descriptor.
pub fn new(desc: &weft_rope_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_ROPE_HALF_SPLIT | WEFT_ROPE_INVERSE)?;
    let (x, y) = (bind.input("x", &desc.x)?, bind.output("y", &desc.y)?);
    x.expect_dtype(&[F32, F64, F16, Bf16])?;
    x.expect_rank(4)?;
    y.expect_dtype(&[x.dtype()])?;
    y.expect_dims(x.dims(), "x's")?;
    y.expect_apart_or_same(&x)?;
    let pairs = pairs(desc, &x)?;
    let positions = positions(desc, bind, &x)?;
    bind.expect_finite("attention_factor", desc.attention_factor)?;
    let rope = Rope {
        waves: waves(desc, bind, &x, pairs, positions.is_some())?,
        positions,
        position_start: desc.position_start,
        attention_factor: or(desc.attention_factor, 1.0),
        pairs: pairs as usize,
        half_split: desc.flags & WEFT_ROPE_HALF_SPLIT != 0,
        inverse: desc.flags & WEFT_ROPE_INVERSE != 0,
        x,
        y,
    };
    rope.check_memory()?;
    Ok(Box::new(rope))
}

fn or(value: f64, default: f64) -> f64 {
    if value == 0.0 { default } else { value }
}

fn pairs(desc: &weft_rope_desc, x: &Operand) -> Result<i64> {
    let width = x.dims()[3];
    let turned = if desc.rotary_dim == 0 { width } else { desc.rotary_dim };
    ensure!(
        (0..=width).contains(&turned) && turned % 2 == 0,
        "rope: rotary_dim is {turned}; expected an even number up to the {width} elements of a row"
    );
    Ok(turned / 2)
}

fn positions(desc: &weft_rope_desc, bind: &Bind, x: &Operand) -> Result<Option<Operand>> {
    let (start, length) = (desc.position_start, x.dims()[2]);
    let Some(positions) = bind.optional("positions", &desc.positions)? else {
        let fits = start.checked_add(length).is_some();
        ensure!(fits, "rope: position_start is {start}; expected room for {length} positions after it");
        return Ok(None);
    };
    ensure!(start == 0, "rope: position_start is {start}; expected 0 with positions");
    positions.expect_dtype(&[I32, I64])?;
    positions.broadcast_to(&[x.dims()[0], length]).map(Some)
}

fn waves(desc: &weft_rope_desc, bind: &Bind, x: &Operand, pairs: i64, indexed: bool) -> Result<Waves> {
    let (cos, sin) = (bind.optional("cos", &desc.cos)?, bind.optional("sin", &desc.sin)?);
    match (cos, sin) {
        (Some(cos), Some(sin)) => {
            expect_no_frequencies(desc, bind)?;
            let cos = table(cos, x, pairs, indexed)?;
            let sin = table(sin, x, pairs, indexed)?;
            sin.expect_dims(cos.dims(), "cos's")?;
            Ok(Waves::Tables { cos, sin })
        }
        (None, None) => computed(desc, bind, pairs),
        _ => {
            fail!(WEFT_ERROR_INVALID_ARGUMENT, "rope: one of cos and sin is given; expected both or neither")
        }
    }
}

fn expect_no_frequencies(desc: &weft_rope_desc, bind: &Bind) -> Result<()> {
    bind.expect_absent("factors", &desc.factors, "cos and sin say it all")?;
    let (base, scale, start) = (desc.base, desc.frequency_scale, desc.position_start);
    ensure!(base == 0.0, "rope: base is {base:?}; expected 0 with cos and sin");
    ensure!(scale == 0.0, "rope: frequency_scale is {scale:?}; expected 0 with cos and sin");
    ensure!(start == 0, "rope: position_start is {start}; expected 0 with cos and sin");
    Ok(())
}

fn computed(desc: &weft_rope_desc, bind: &Bind, pairs: i64) -> Result<Waves> {
    bind.expect_finite("base", desc.base)?;
    bind.expect_finite("frequency_scale", desc.frequency_scale)?;
    ensure!(
        (0.0..).contains(&desc.base),
        "rope: base is {:?}; expected a positive number, or 0 for 10000",
        desc.base
    );
    let factors = bind.optional("factors", &desc.factors)?;
    if let Some(factors) = &factors {
        factors.expect_dtype(&[F32])?;
        factors.expect_dims(&[pairs], "rotary_dim / 2")?;
    }
    let (base, frequency_scale) = (or(desc.base, 10_000.0), or(desc.frequency_scale, 1.0));
    Ok(Waves::Computed { base, frequency_scale, factors })
}

fn table(table: Operand, x: &Operand, pairs: i64, indexed: bool) -> Result<Operand> {
    table.expect_dtype(&[x.dtype(), F32])?;
    if !indexed {
        return table.broadcast_to(&[x.dims()[0], x.dims()[2], pairs]);
    }
    table.expect_rank(2)?;
    table.expect_dims(&[table.dims()[0], pairs], "[P, rotary_dim / 2]")?;
    Ok(table)
}

impl Rope {
    fn check_memory(&self) -> Result<()> {
        let waves = match &self.waves {
            Waves::Computed { factors, .. } => [factors.as_ref(), None],
            Waves::Tables { cos, sin } => [Some(cos), Some(sin)],
        };
        let inputs = waves.into_iter().chain([self.positions.as_ref()]).flatten();
        inputs.into_iter().try_for_each(|input| self.y.expect_apart(input))
    }

    /// The error of position `number`, which has no row in the tables and stays on the GPU.
    fn refuse(&self, number: usize) -> Result<()> {
        let (Some(positions), Waves::Tables { cos, .. }) = (&self.positions, &self.waves) else {
            return Ok(());
        };
        let value = positions.integer_on_device(positions.layout().offset_of(number)).ok().flatten();
        // It may have been overwritten since it was used: then its value says nothing.
        let value = value.filter(|value| !(0..cos.dims()[0]).contains(value));
        self.stray(number, value.map_or("out of range".into(), |value| value.to_string()))
    }

    /// The error of position `number`, which is `what`.
    fn stray(&self, number: usize, what: String) -> Result<()> {
        let (Some(positions), Waves::Tables { cos, .. }) = (&self.positions, &self.waves) else {
            return Ok(());
        };
        let length = positions.layout().dim(1);
        let at = [number / length, number % length];
        let last = cos.dims()[0] - 1;
        fail!(
            WEFT_ERROR_OUT_OF_RANGE,
            "rope: positions{at:?} is {what}; expected 0 to {last} (the rows of cos)"
        )
    }
}

impl Op for Rope {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        crate::op::first("rope", cpu::CHOICES, self, cpu)
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        crate::op::first("rope", cuda::CHOICES, self, stream)
    }

    fn conclude(&self, verdict: u32) -> Result<()> {
        let Some(number) = verdict.checked_sub(1) else { return Ok(()) };
        self.refuse(number as usize)
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{}", self.x)
    }
}

/// Its kernels, for tests that assemble them.
#[doc(hidden)]
pub fn texts(target: Target) -> Vec<Result<Text>> {
    [ptx::texts(target), tables::texts(target), tiles::texts(target)].into_iter().flatten().collect()
}
