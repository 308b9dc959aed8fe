//! A request as the test knows it, and what the documented formula makes of it in double precision.

use super::support::*;
use weft::dtype::Dtype;
use weft::dtype::Dtype::*;
use weft::kernels::philox::philox4x32;
use weft::layout::weft_tensor;
use weft::ops::attention::*;

/// A random request with everything that the oracle needs.
pub struct Case {
    pub desc: weft_attention_desc,
    pub tensors: Vec<(&'static str, Tensor)>,
    pub dtype: Dtype,
    pub batch: usize,
    pub heads: usize,
    pub group: usize,
    pub dim: usize,
    pub dim_v: usize,
    /// Rows and keys of each batch entry, and how many of them are in use.
    pub rows: Vec<usize>,
    pub queries: Vec<usize>,
    pub keys: Vec<usize>,
}

impl Case {
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|entry| entry.0 == name).map(|entry| &entry.1)
    }

    /// Element at `index` of a tensor, whose axes are broadcast from the right.
    pub fn at(&self, name: &str, index: &[usize]) -> f64 {
        let tensor = self.tensor(name).unwrap();
        let index = &index[index.len() - tensor.dims().len()..];
        let number = index
            .iter()
            .zip(tensor.dims())
            .fold(0, |n, (&i, &dim)| n * dim as usize + if dim == 1 { 0 } else { i });
        tensor.values[number]
    }

    /// The elements at (batch, head, row) of q, k or v.
    pub fn row(&self, name: &str, batch: usize, head: usize, row: usize) -> &[f64] {
        let tensor = self.tensor(name).unwrap();
        let dims: Vec<usize> = tensor.dims().iter().map(|&dim| dim as usize).collect();
        &tensor.values[((batch * dims[1] + head) * dims[2] + row) * dims[3]..][..dims[3]]
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensor(name).is_some()
    }

    /// (axis 0, axis 2) of row `i` of sequence `b` in q.
    pub fn query(&self, b: usize, i: usize) -> (usize, usize) {
        if self.has("q_starts") { (0, self.at("q_starts", &[b]) as usize + i) } else { (b, i) }
    }

    /// (axis 0, axis 2) of key `j` of sequence `b` in k and v.
    pub fn key(&self, b: usize, j: usize) -> (usize, usize) {
        if self.has("block_table") {
            let size = self.desc.k.dims[2] as usize;
            return (self.at("block_table", &[b, j / size]) as usize, j % size);
        }
        if self.has("kv_starts") { (0, self.at("kv_starts", &[b]) as usize + j) } else { (b, j) }
    }

    pub fn position(&self, b: usize, i: usize) -> i64 {
        let lower_right = self.desc.flags & WEFT_ATTENTION_TOP_LEFT == 0;
        i as i64 + if lower_right { self.keys[b] as i64 - self.queries[b] as i64 } else { 0 }
    }

    pub fn sees(&self, b: usize, i: usize, j: usize) -> bool {
        let (d, p, key) = (&self.desc, self.position(b, i), j as i64);
        let has = |bit| d.flags & bit != 0;
        let causal = !has(WEFT_ATTENTION_CAUSAL) || key <= p;
        let right = !has(WEFT_ATTENTION_WINDOW_RIGHT) || key <= p.saturating_add(d.window_right);
        let left =
            !has(WEFT_ATTENTION_WINDOW_LEFT) || key >= p.saturating_sub(d.window_left) || key < d.sink_tokens;
        causal && right && left
    }

    pub fn keeps(&self, b: usize, h: usize, i: usize, j: usize) -> bool {
        let d = &self.desc;
        let counter = [(j / 4) as u32, i as u32, (b * self.heads + h) as u32, d.offset as u32];
        let key = [d.seed as u32, (d.seed >> 32) as u32 ^ (d.offset >> 32) as u32];
        f64::from(philox4x32(counter, key)[j % 4]) / 4_294_967_296.0 >= d.dropout
    }
}

/// What a row should be, and by how much it may differ.
pub struct Want {
    pub o: Vec<f64>,
    pub o_bound: Vec<f64>,
    pub lse: Vec<f64>,
    pub lse_bound: Vec<f64>,
}

pub fn oracle(case: &Case) -> Want {
    let rows: usize = case.tensor("o").unwrap().dims()[..3].iter().product::<i64>() as usize;
    let mut want = Want {
        o: vec![0.0; rows * case.dim_v],
        o_bound: vec![0.0; rows * case.dim_v],
        lse: vec![f64::NEG_INFINITY; rows],
        lse_bound: vec![0.0; rows],
    };
    for b in 0..case.batch {
        for h in 0..case.heads {
            (0..case.queries[b]).for_each(|i| oracle_row(case, b, h, i, &mut want));
        }
    }
    want
}

pub fn oracle_row(case: &Case, b: usize, h: usize, i: usize, want: &mut Want) {
    let u = 2f64.powi(-24);
    let (batch, row) = case.query(b, i);
    let number = (batch * case.heads + h) * case.desc.q.dims[2] as usize + row;
    let seen: Vec<usize> = (0..case.keys[b]).filter(|&j| case.sees(b, i, j)).collect();
    let logits: Vec<(usize, f64, f64)> =
        seen.iter().filter_map(|&j| logit(case, b, h, i, j).map(|(x, size)| (j, x, size))).collect();
    let sink = if case.has("sink_logits") { case.at("sink_logits", &[h]) } else { f64::NEG_INFINITY };
    let top = logits.iter().map(|x| x.1).fold(sink, f64::max);
    if top == f64::NEG_INFINITY && !logits.iter().any(|x| x.1.is_nan()) {
        return;
    }
    let total = logits.iter().map(|x| (x.1 - top).exp()).sum::<f64>() + (sink - top).exp();
    let size = logits.iter().map(|x| x.2).fold(0.0, f64::max);
    let slack = (2 * case.dim + 16) as f64 * u * size + (logits.len() + 32) as f64 * u;
    want.lse[number] = top + total.ln();
    want.lse_bound[number] = slack + u * want.lse[number].abs();
    let weights: Vec<(usize, f64)> = logits
        .iter()
        .filter(|x| case.desc.dropout == 0.0 || case.keeps(b, h, i, x.0))
        .map(|x| (x.0, (x.1 - top).exp() / total / (1.0 - case.desc.dropout)))
        .filter(|x| x.1 != 0.0)
        .collect();
    let value_of = |j| {
        let (batch, row) = case.key(b, j);
        case.row("v", batch, h / case.group, row)
    };
    let values: Vec<(f64, &[f64])> = weights.iter().map(|&(j, weight)| (weight, value_of(j))).collect();
    for d in 0..case.dim_v {
        // NaN in one weight is NaN in the sum that divides all.
        let none = if total.is_nan() { f64::NAN } else { 0.0 };
        let sum: f64 = none + values.iter().map(|&(weight, value)| weight * value[d]).sum::<f64>();
        let most =
            values.iter().map(|value| value.1[d].abs()).fold(0.0, f64::max) / (1.0 - case.desc.dropout);
        let rounding = unit(case.dtype) * sum.abs() + if case.dtype == F16 { 2f64.powi(-25) } else { 1e-37 };
        let weight = if case.dtype == Bf16 { 2f64.powi(-8) } else { 0.0 };
        want.o[number * case.dim_v + d] = sum;
        want.o_bound[number * case.dim_v + d] = (2.0 * slack + weight) * most + rounding;
    }
}

/// The final logit and the size of what it is made of; none where the bias hides the key.
pub fn logit(case: &Case, b: usize, h: usize, i: usize, j: usize) -> Option<(f64, f64)> {
    let desc = &case.desc;
    let scale = if desc.scale == 0.0 { 1.0 / (case.dim as f64).sqrt() } else { desc.scale };
    let ((qb, row), (kb, key)) = (case.query(b, i), case.key(b, j));
    let (q, k) = (case.row("q", qb, h, row), case.row("k", kb, h / case.group, key));
    let product = |d| q[d] * k[d] * scale;
    let mut logit: f64 = (0..case.dim).map(product).sum();
    let mut size: f64 = (0..case.dim).map(|d| product(d).abs()).sum();
    if desc.softcap > 0.0 {
        logit = desc.softcap * (logit / desc.softcap).tanh();
    }
    if let Some(bias) = case.tensor("bias") {
        let x = case.at("bias", &[b, h, i, j]);
        let x = if bias.dtype != Bool {
            x
        } else if x == 0.0 {
            f64::NEG_INFINITY
        } else {
            0.0
        };
        if x == f64::NEG_INFINITY {
            return None;
        }
        (logit, size) = (logit + x, size + x.abs());
    }
    if case.has("alibi_slopes") {
        let x = case.at("alibi_slopes", &[b, h]) * (case.position(b, i) - j as i64).abs() as f64;
        (logit, size) = (logit - x, size + x.abs());
    }
    Some((logit, size))
}

/// Puts the tensors into the descriptor.
pub fn bind(case: &mut Case) {
    for (name, tensor) in &case.tensors {
        *field(&mut case.desc, name) = tensor.desc;
    }
}

pub fn field<'a>(desc: &'a mut weft_attention_desc, name: &str) -> &'a mut weft_tensor {
    match name {
        "q" => &mut desc.q,
        "k" => &mut desc.k,
        "v" => &mut desc.v,
        "o" => &mut desc.o,
        "lse" => &mut desc.lse,
        "bias" => &mut desc.bias,
        "alibi_slopes" => &mut desc.alibi_slopes,
        "sink_logits" => &mut desc.sink_logits,
        "q_lengths" => &mut desc.q_lengths,
        "kv_lengths" => &mut desc.kv_lengths,
        "q_starts" => &mut desc.q_starts,
        "kv_starts" => &mut desc.kv_starts,
        _ => &mut desc.block_table,
    }
}

pub fn judge(session: &Session, case: &Case, want: &Want, what: &str) {
    let o = case.tensor("o").unwrap();
    let given: Vec<_> = case.tensors.iter().map(|(name, t)| (name, t.dtype, t.layout)).collect();
    let (d, lengths) = (&case.desc, (&case.queries, &case.keys));
    let what = format!(
        "{what}: flags {} windows {} {} kept {} scale {} cap {} dropout {} of {lengths:?} {given:?}",
        d.flags, d.window_left, d.window_right, d.sink_tokens, d.scale, d.softcap, d.dropout
    );
    close(&what, &session.read(o), &want.o, |i| want.o_bound[i]);
    if let Some(lse) = case.tensor("lse") {
        close(&format!("lse of {what}"), &session.read(lse), &want.lse, |i| want.lse_bound[i]);
    }
}
