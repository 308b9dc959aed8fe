//! Attention against a double-precision oracle that follows the documented formula word for word.

mod support;

use std::sync::Mutex;
use support::*;
use weft::api::operations::weft_attention;
use weft::dtype::Dtype;
use weft::dtype::Dtype::*;
use weft::kernels::philox::philox4x32;
use weft::layout::weft_tensor;
use weft::ops::attention::*;
use weft::status::*;

/// Forcing a choice is global: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A random request with everything that the oracle needs.
struct Case {
    desc: weft_attention_desc,
    tensors: Vec<(&'static str, Tensor)>,
    dtype: Dtype,
    batch: usize,
    heads: usize,
    group: usize,
    dim: usize,
    dim_v: usize,
    /// Rows and keys of each batch entry, and how many of them are in use.
    rows: Vec<usize>,
    queries: Vec<usize>,
    keys: Vec<usize>,
}

const KNOBS: &[&str] = &["dense", "lengths", "packed", "paged"];

impl Case {
    fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|entry| entry.0 == name).map(|entry| &entry.1)
    }

    /// Element at `index` of a tensor, whose axes are broadcast from the right.
    fn at(&self, name: &str, index: &[usize]) -> f64 {
        let tensor = self.tensor(name).unwrap();
        let index = &index[index.len() - tensor.dims().len()..];
        let number = index
            .iter()
            .zip(tensor.dims())
            .fold(0, |n, (&i, &dim)| n * dim as usize + if dim == 1 { 0 } else { i });
        tensor.values[number]
    }

    /// The elements at (batch, head, row) of q, k or v.
    fn row(&self, name: &str, batch: usize, head: usize, row: usize) -> &[f64] {
        let tensor = self.tensor(name).unwrap();
        let dims: Vec<usize> = tensor.dims().iter().map(|&dim| dim as usize).collect();
        &tensor.values[((batch * dims[1] + head) * dims[2] + row) * dims[3]..][..dims[3]]
    }

    fn has(&self, name: &str) -> bool {
        self.tensor(name).is_some()
    }

    /// (axis 0, axis 2) of row `i` of sequence `b` in q.
    fn query(&self, b: usize, i: usize) -> (usize, usize) {
        if self.has("q_starts") { (0, self.at("q_starts", &[b]) as usize + i) } else { (b, i) }
    }

    /// (axis 0, axis 2) of key `j` of sequence `b` in k and v.
    fn key(&self, b: usize, j: usize) -> (usize, usize) {
        if self.has("block_table") {
            let size = self.desc.k.dims[2] as usize;
            return (self.at("block_table", &[b, j / size]) as usize, j % size);
        }
        if self.has("kv_starts") { (0, self.at("kv_starts", &[b]) as usize + j) } else { (b, j) }
    }

    fn position(&self, b: usize, i: usize) -> i64 {
        let lower_right = self.desc.flags & WEFT_ATTENTION_TOP_LEFT == 0;
        i as i64 + if lower_right { self.keys[b] as i64 - self.queries[b] as i64 } else { 0 }
    }

    fn sees(&self, b: usize, i: usize, j: usize) -> bool {
        let (d, p, key) = (&self.desc, self.position(b, i), j as i64);
        let has = |bit| d.flags & bit != 0;
        let causal = !has(WEFT_ATTENTION_CAUSAL) || key <= p;
        let right = !has(WEFT_ATTENTION_WINDOW_RIGHT) || key <= p.saturating_add(d.window_right);
        let left =
            !has(WEFT_ATTENTION_WINDOW_LEFT) || key >= p.saturating_sub(d.window_left) || key < d.sink_tokens;
        causal && right && left
    }

    fn keeps(&self, b: usize, h: usize, i: usize, j: usize) -> bool {
        let d = &self.desc;
        let counter = [(j / 4) as u32, i as u32, (b * self.heads + h) as u32, d.offset as u32];
        let key = [d.seed as u32, (d.seed >> 32) as u32 ^ (d.offset >> 32) as u32];
        f64::from(philox4x32(counter, key)[j % 4]) / 4_294_967_296.0 >= d.dropout
    }
}

/// What a row should be, and by how much it may differ.
struct Want {
    o: Vec<f64>,
    o_bound: Vec<f64>,
    lse: Vec<f64>,
    lse_bound: Vec<f64>,
}

fn oracle(case: &Case) -> Want {
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

fn oracle_row(case: &Case, b: usize, h: usize, i: usize, want: &mut Want) {
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
fn logit(case: &Case, b: usize, h: usize, i: usize, j: usize) -> Option<(f64, f64)> {
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

/// Sizes: mostly small, so that many cases fit; `large` ones cross the blocks of the fast choices.
fn sizes(rng: &mut Rng) -> (usize, usize, usize, usize) {
    let dims = [1, 2, 3, 8, 15, 16, 17, 32, 33, 48, 64, 64, 80];
    let (dim, other) = (rng.pick(&dims), rng.pick(&dims));
    let dim_v = if rng.chance(3) { other } else { dim };
    let (dim, dim_v) =
        if rng.chance(25) { rng.pick(&[(160, 130), (300, 16), (7, 260)]) } else { (dim, dim_v) };
    let (most_q, most_k) =
        rng.pick(&[(1, 40), (3, 300), (8, 70), (40, 40), (40, 80), (60, 30), (230, 17), (70, 560)]);
    (rng.range(1, most_q) as usize, rng.range(1, most_k) as usize, dim, dim_v)
}

fn random_lengths(rng: &mut Rng, batch: usize, most: usize) -> Vec<usize> {
    (0..batch).map(|_| if rng.chance(3) { most } else { rng.range(0, most as i64) as usize }).collect()
}

/// Starts of sequences of these rows, with rows in no sequence before and after: (starts, total).
fn random_starts(rng: &mut Rng, rows: &[usize]) -> (Vec<usize>, usize) {
    let mut at = rng.pick(&[0, 0, 3]);
    let mut starts = vec![at];
    for &n in rows {
        at += n;
        starts.push(at);
    }
    (starts, at + rng.pick(&[0usize, 0, 2]))
}

fn style(rng: &mut Rng) -> Style {
    rng.pick(&[Style::Packed, Style::Packed, Style::Hostile, Style::Repeated])
}

/// A case of random sizes, without tensors.
fn blank_case(rng: &mut Rng, decode: bool) -> Case {
    let (mut sq, mut skv, mut dim, mut dim_v) = sizes(rng);
    if decode {
        sq = rng.range(1, 3) as usize;
        (dim, dim_v) = (rng.pick(&[16, 32, 64, 80]), rng.pick(&[16, 48, 64, 144]));
    }
    if rng.chance(40) {
        (sq, skv) = rng.pick(&[(0, skv), (sq, 0), (0, 0)]);
    }
    let batch = rng.pick(&[1usize, 1, 2, 3]);
    let (kv_heads, group) = rng.pick(&[(1usize, 1usize), (2, 1), (1, 2), (2, 4), (1, 8), (1, 12)]);
    let struct_size = size_of::<weft_attention_desc>() as u32;
    let desc = weft_attention_desc { struct_size, ..Default::default() };
    let (rows, queries, keys) = (vec![sq; batch], vec![sq; batch], vec![skv; batch]);
    let (dtype, heads) = (rng.pick(&[F32, F32, F16, Bf16]), kv_heads * group);
    Case { desc, tensors: Vec::new(), dtype, batch, heads, group, dim, dim_v, rows, queries, keys }
}

fn integers(session: &Session, rng: &mut Rng, values: &[usize]) -> Tensor {
    let values: Vec<f64> = values.iter().map(|&x| x as f64).collect();
    let style = rng.pick(&[Style::Packed, Style::Hostile]);
    session.exact(rng, I32, &[values.len() as i64], style, &values)
}

/// Lengths of these at the most.
fn shortened(rng: &mut Rng, most: &[usize]) -> Vec<usize> {
    most.iter().map(|&n| if rng.chance(2) { n } else { rng.range(0, n as i64) as usize }).collect()
}

/// Starts and lengths of the queries; returns dims 0 and 2 of q.
fn random_queries(session: &Session, rng: &mut Rng, case: &mut Case) -> (usize, usize) {
    let knob = rng.pick(&KNOBS[..3]);
    let mut dims = (case.batch, case.rows[0]);
    if knob == "packed" {
        case.rows = random_lengths(rng, case.batch, case.rows[0]);
        let (starts, total) = random_starts(rng, &case.rows);
        dims = (1, total);
        case.queries = case.rows.clone();
        case.tensors.push(("q_starts", integers(session, rng, &starts)));
    }
    if knob == "lengths" || (knob == "packed" && rng.chance(3)) {
        case.queries = shortened(rng, &case.rows);
        case.tensors.push(("q_lengths", integers(session, rng, &case.queries)));
    }
    dims
}

/// Starts and lengths of the keys; returns dims 0 and 2 of k, unless it is paged.
fn random_keys(session: &Session, rng: &mut Rng, case: &mut Case, knob: &str) -> (usize, usize) {
    let mut dims = (case.batch, case.keys[0]);
    if knob == "packed" {
        case.keys = random_lengths(rng, case.batch, case.keys[0]);
        let (starts, total) = random_starts(rng, &case.keys);
        dims = (1, total);
        case.tensors.push(("kv_starts", integers(session, rng, &starts)));
    }
    if knob != "dense" && (knob != "packed" || rng.chance(3)) {
        case.keys = shortened(rng, &case.keys);
        case.tensors.push(("kv_lengths", integers(session, rng, &case.keys)));
    }
    dims
}

fn random_case(session: &Session, rng: &mut Rng) -> Case {
    let decode = rng.chance(3);
    let mut case = blank_case(rng, decode);
    let (sq, skv) = (case.rows[0], case.keys[0]);
    let knob = rng.pick(KNOBS);
    let q = random_queries(session, rng, &mut case);
    let mut kv = random_keys(session, rng, &mut case, knob);
    random_mask(rng, &mut case);
    if knob == "paged" {
        kv = random_pages(session, rng, &mut case, skv);
    }
    random_extras(session, rng, &mut case, sq, skv);
    let any = [Style::Packed, Style::Hostile, Style::Repeated];
    // A repeated row cannot be both in use and NaN.
    let style = rng.pick(if decode { &any[..1] } else { &any[..if knob == "dense" { 3 } else { 2 }] });
    let broken = rng.chance(8);
    random_values(session, rng, &mut case, kv, style, broken);
    let dims = [q.0 as i64, case.heads as i64, q.1 as i64, case.dim as i64];
    let q_style = rng.pick(&any);
    let value = |rng: &mut Rng| if broken && rng.chance(100) { f64::NAN } else { rng.normal() };
    case.tensors.push(("q", session.tensor(rng, case.dtype, &dims, q_style, value)));
    let out = rng.pick(&any[..2]);
    let o = [dims[0], dims[1], dims[2], case.dim_v as i64];
    case.tensors.push(("o", session.output(rng, case.dtype, &o, out)));
    if !rng.chance(3) {
        case.tensors.push(("lse", session.output(rng, F32, &dims[..3], out)));
    }
    bind(&mut case);
    case
}

/// k and v: rows that no sequence uses are NaN, and where `broken` some that are in use.
fn random_values(
    session: &Session,
    rng: &mut Rng,
    case: &mut Case,
    kv: (usize, usize),
    style: Style,
    broken: bool,
) {
    let kv_heads = case.heads / case.group;
    let all = (0..case.batch).flat_map(|b| (0..case.keys[b]).map(move |j| (b, j)));
    let used: std::collections::HashSet<(usize, usize)> =
        all.map(|(b, j)| case_key(case, b, j, kv.1)).collect();
    for (name, width) in [("k", case.dim), ("v", case.dim_v)] {
        let dims = [kv.0 as i64, kv_heads as i64, kv.1 as i64, width as i64];
        let mut number = 0usize;
        let tensor = session.tensor(rng, case.dtype, &dims, style, |rng| {
            let row = number / width;
            number += 1;
            let place = (row / (kv.1.max(1) * kv_heads), row % kv.1.max(1));
            match style {
                Style::Repeated => rng.normal(),
                _ if broken && row % 13 == 5 => rng.pick(&[f64::NAN, f64::INFINITY, 1.0]),
                _ if !used.contains(&place) => f64::NAN,
                _ => rng.normal(),
            }
        });
        case.tensors.push((name, tensor));
    }
}

fn case_key(case: &Case, b: usize, j: usize, page_size: usize) -> (usize, usize) {
    match case.tensor("block_table") {
        Some(_) => {
            let page = case.at("block_table", &[b, j / page_size]);
            (page as usize, j % page_size)
        }
        None => case.key(b, j),
    }
}

/// A table of distinct pages; entries that no query sees are wild. Returns (pages, page size).
fn random_pages(session: &Session, rng: &mut Rng, case: &mut Case, most: usize) -> (usize, usize) {
    let size = rng.pick(&[1usize, 3, 16, 16, 37]);
    let each = most.div_ceil(size) + rng.pick(&[0, 0, 2]);
    let pages = case.batch * each + 1;
    let mut order: Vec<usize> = (0..pages).collect();
    (1..pages).for_each(|i| order.swap(i, rng.range(0, i as i64) as usize));
    let mut table = Vec::new();
    for b in 0..case.batch {
        for n in 0..each {
            let keys = n * size..((n + 1) * size).min(case.keys[b]);
            let seen = keys.clone().any(|j| (0..case.queries[b]).any(|i| case.sees(b, i, j)));
            table.push(if seen { order[b * each + n] as f64 } else { rng.pick(&[-1.0, 1e9, 0.0]) });
        }
    }
    let style = rng.pick(&[Style::Packed, Style::Hostile]);
    let tensor = session.exact(rng, I32, &[case.batch as i64, each as i64], style, &table);
    case.tensors.push(("block_table", tensor));
    (pages, size)
}

fn random_mask(rng: &mut Rng, case: &mut Case) {
    let desc = &mut case.desc;
    let mut flag = |bit, one_in| if rng.chance(one_in) { bit } else { 0 };
    desc.flags = flag(WEFT_ATTENTION_CAUSAL, 2)
        | flag(WEFT_ATTENTION_TOP_LEFT, 4)
        | flag(WEFT_ATTENTION_WINDOW_LEFT, 4)
        | flag(WEFT_ATTENTION_WINDOW_RIGHT, 6);
    desc.window_left = rng.pick(&[0, 1, 5, 20, 100, i64::MAX]);
    desc.window_right = rng.pick(&[0, 1, 7, 30, i64::MAX]);
    desc.sink_tokens = rng.pick(&[0, 0, 1, 4, 30, i64::MAX]);
}

fn random_extras(session: &Session, rng: &mut Rng, case: &mut Case, sq: usize, skv: usize) {
    let (batch, heads) = (case.batch as i64, case.heads as i64);
    if rng.chance(3) {
        let mut dims = [batch, heads, sq as i64, skv as i64];
        if case.has("q_starts") {
            dims[2] = *case.queries.iter().max().unwrap() as i64 + 1;
        }
        let dtype = rng.pick(&[F32, F16, Bf16, Bool, Bool]);
        dims.iter_mut().for_each(|dim| *dim = if rng.chance(4) { 1 } else { *dim });
        let skip = if dims[0] == 1 {
            rng.range(0, 3).min(dims.iter().take_while(|&&d| d == 1).count() as i64)
        } else {
            0
        };
        let styled = style(rng);
        let hidden = rng.pick(&[2, 8, 1000]);
        let value = |rng: &mut Rng| match dtype {
            Bool => f64::from(u8::from(!rng.chance(hidden))),
            _ if rng.chance(hidden) => f64::NEG_INFINITY,
            _ => rng.normal(),
        };
        case.tensors.push(("bias", session.tensor(rng, dtype, &dims[skip as usize..], styled, value)));
    }
    if rng.chance(5) {
        let dims = [batch, heads];
        let dims = if rng.chance(2) { &dims[..] } else { &dims[1..] };
        case.tensors.push((
            "alibi_slopes",
            session.tensor(rng, F32, dims, Style::Hostile, |rng| rng.uniform() * 0.3),
        ));
    }
    if rng.chance(5) {
        case.tensors.push(("sink_logits", session.normal(rng, F32, &[heads], Style::Hostile)));
    }
    let desc = &mut case.desc;
    desc.scale = rng.pick(&[0.0, 0.0, 0.3, -0.2]);
    desc.softcap = rng.pick(&[0.0, 0.0, 0.0, 0.7, 20.0]);
    desc.dropout = rng.pick(&[0.0, 0.0, 0.0, 0.25, 0.9]);
    (desc.seed, desc.offset) = (rng.next(), rng.next());
}

/// Puts the tensors into the descriptor.
fn bind(case: &mut Case) {
    for (name, tensor) in &case.tensors {
        *field(&mut case.desc, name) = tensor.desc;
    }
}

fn field<'a>(desc: &'a mut weft_attention_desc, name: &str) -> &'a mut weft_tensor {
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

fn judge(session: &Session, case: &Case, want: &Want, what: &str) {
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

fn cases() -> u64 {
    std::env::var("ATTENTION_CASES").map_or(1600, |n| n.parse().unwrap())
}

#[test]
fn against_the_oracle() {
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let (one, two) = (Session::new(1), Session::new(2));
    let mut decoded = 0;
    for number in 0..cases() {
        let mut rng = Rng(number);
        let session = if number % 2 == 0 { &one } else { &two };
        let case = random_case(session, &mut rng);
        let want = oracle(&case);
        for choice in ["", "plain", "tiled", "decode"] {
            weft::op::force(&if choice.is_empty() { String::new() } else { format!("attention={choice}") });
            // SAFETY: the descriptor and the locals of the closure outlive the call.
            let status = session
                .outcome(|out| unsafe { weft_attention(session.queue, &case.desc, std::ptr::null(), out) });
            if choice != "plain" && status == WEFT_ERROR_UNSUPPORTED {
                continue;
            }
            decoded += u64::from(choice == "decode");
            assert_eq!(status, WEFT_OK, "case {number} {choice}: {}", last_error());
            judge(session, &case, &want, &format!("case {number} {choice}"));
        }
        session.free(&case.tensors.iter().map(|entry| &entry.1).collect::<Vec<_>>());
    }
    weft::op::force("");
    assert!(decoded * 20 > cases(), "the decode choice took {decoded} cases only");
}

/// The same cases on lesser instruction sets, each in a process of its own.
#[test]
fn on_every_instruction_set() {
    for isa in ["scalar", "avx2", "avx512"] {
        let me = std::env::current_exe().unwrap();
        let run = std::process::Command::new(me)
            .args(["against_the_oracle", "--exact"])
            .envs([("WEFT_ISA", isa), ("ATTENTION_CASES", "250")])
            .output()
            .unwrap();
        assert!(run.status.success(), "{isa}: {}", String::from_utf8_lossy(&run.stdout));
    }
}

/// A small valid request: B 2, Hq 4, Hkv 2, Sq 3, Skv 5, D 8, Dv 6; packed or paged when asked for.
fn valid(session: &Session, rng: &mut Rng, kind: &str) -> Case {
    let ints =
        |rng: &mut Rng, dims: &[i64], values: &[f64]| session.exact(rng, I32, dims, Style::Packed, values);
    let packed = kind == "packed";
    let (b, sq, skv) = if packed { (1, 6, 10) } else { (2, 3, 5) };
    let kv = if kind == "paged" { (4, 2) } else { (b, skv) };
    let mut tensors = vec![
        ("q", session.normal(rng, F32, &[b, 4, sq, 8], Style::Packed)),
        ("k", session.normal(rng, F32, &[kv.0, 2, kv.1, 8], Style::Packed)),
        ("v", session.normal(rng, F32, &[kv.0, 2, kv.1, 6], Style::Packed)),
        ("o", session.output(rng, F32, &[b, 4, sq, 6], Style::Packed)),
        ("lse", session.output(rng, F32, &[b, 4, sq], Style::Packed)),
    ];
    match kind {
        "packed" => {
            tensors.push(("q_starts", ints(rng, &[3], &[0.0, 2.0, 6.0])));
            tensors.push(("kv_starts", ints(rng, &[3], &[0.0, 5.0, 10.0])));
        }
        "paged" => {
            tensors.push(("block_table", ints(rng, &[2, 3], &[3.0, 0.0, 1.0, 2.0, 1.0, 0.0])));
            tensors.push(("kv_lengths", ints(rng, &[2], &[5.0, 2.0])));
        }
        _ => {
            tensors.push(("q_lengths", ints(rng, &[2], &[3.0, 1.0])));
            tensors.push(("kv_lengths", ints(rng, &[2], &[5.0, 0.0])));
        }
    }
    let desc =
        weft_attention_desc { struct_size: size_of::<weft_attention_desc>() as u32, ..Default::default() };
    let (rows, queries, keys) = (vec![3; 2], vec![3; 2], vec![5; 2]);
    let mut case = Case {
        desc,
        tensors,
        dtype: F32,
        batch: 2,
        heads: 4,
        group: 2,
        dim: 8,
        dim_v: 6,
        rows,
        queries,
        keys,
    };
    bind(&mut case);
    case
}

#[test]
fn bad_numbers_in_buffers_end_the_request() {
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let (session, mut rng) = (Session::new(2), Rng(1));
    let bad: &[(&str, &str, &[f64])] = &[
        ("dense", "q_lengths", &[3.0, 4.0]),
        ("dense", "q_lengths", &[-1.0, 1.0]),
        ("dense", "kv_lengths", &[6.0, 1.0]),
        ("dense", "kv_lengths", &[1.0, -2147483648.0]),
        ("packed", "q_starts", &[0.0, 7.0, 6.0]),
        ("packed", "q_starts", &[-1.0, 2.0, 6.0]),
        ("packed", "q_starts", &[0.0, 2.0, 7.0]),
        ("packed", "kv_starts", &[0.0, 5.0, 2147483647.0]),
        ("packed", "kv_starts", &[5.0, 4.0, 10.0]),
        ("paged", "kv_lengths", &[7.0, 0.0]),
        ("paged", "block_table", &[3.0, 0.0, 4.0, 2.0, 1.0, 0.0]),
        ("paged", "block_table", &[3.0, -1.0, 1.0, 2.0, 1.0, 0.0]),
        ("paged", "block_table", &[3.0, 0.0, 1.0, 2147483647.0, 1.0, 0.0]),
    ];
    for &(kind, name, values) in bad {
        for choice in ["plain", "tiled", "decode"] {
            weft::op::force(&format!("attention={choice}"));
            let mut case = valid(&session, &mut rng, kind);
            let dims = case.tensor(name).unwrap().dims().to_vec();
            *field(&mut case.desc, name) = session.exact(&mut rng, I32, &dims, Style::Packed, values).desc;
            let (status, text) = session.refuse(weft_attention, &case.desc);
            if choice != "plain" && status == WEFT_ERROR_UNSUPPORTED {
                continue;
            }
            assert_eq!(status, WEFT_ERROR_OUT_OF_RANGE, "{kind} {name} {values:?}: {text}");
            assert!(session.untouched(case.tensor("o").unwrap()), "{kind} {name}: o was written");
            assert!(session.untouched(case.tensor("lse").unwrap()));
        }
    }
    weft::op::force("");
}

#[test]
fn the_sentence_names_what_the_buffer_holds() {
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let (session, mut rng) = (Session::new(1), Rng(2));
    let mut case = valid(&session, &mut rng, "dense");
    case.desc.kv_lengths = session.exact(&mut rng, I32, &[2], Style::Packed, &[5.0, 9.0]).desc;
    let mut request = 0;
    // SAFETY: locals that outlive the calls.
    unsafe {
        ok(weft_attention(session.queue, &case.desc, std::ptr::null(), &mut request));
        let status = weft::api::request::weft_request_wait(&request, 1, 0, FOREVER, std::ptr::null_mut());
        assert_eq!(status, WEFT_ERROR_OUT_OF_RANGE);
    }
    assert!(last_error().contains("attention: kv_lengths[1] is 9; expected 0 to 5"), "{}", last_error());
    ok(weft::api::request::weft_request_release(request));
}

#[test]
fn a_bias_must_cover_the_sequences() {
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let (session, mut rng) = (Session::new(1), Rng(3));
    for (dims, axis) in [([2, 4, 3, 5], 2), ([2, 4, 4, 4], 3)] {
        let mut case = valid(&session, &mut rng, "packed");
        case.desc.bias = session.normal(&mut rng, F16, &dims, Style::Packed).desc;
        let (status, text) = session.refuse(weft_attention, &case.desc);
        assert_eq!(status, WEFT_ERROR_OUT_OF_RANGE, "bias.dims[{axis}]: {text}");
    }
}

#[test]
fn bad_descriptors_get_a_sentence() {
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let (session, mut rng) = (Session::new(1), Rng(4));
    type Break = fn(&mut weft_attention_desc);
    let bad: &[(&str, &str, Break)] = &[
        ("dense", "attention: flags", |d| d.flags = 16),
        ("dense", "attention: q.buffer", |d| d.q = weft_tensor::default()),
        ("dense", "attention: o.buffer", |d| d.o = weft_tensor::default()),
        ("dense", "attention: q.dtype", |d| d.q.dtype = 9),
        ("dense", "attention: k.dtype", |d| d.k.dtype = 3),
        ("dense", "attention: lse.dtype", |d| d.lse.dtype = 9),
        ("dense", "attention: q.rank", |d| d.q.rank = 3),
        ("dense", "attention: k.dims[1]", |d| (d.q.dims[1], d.o.dims[1], d.lse.dims[1]) = (3, 3, 3)),
        ("dense", "attention: k.dims[3]", |d| (d.q.dims[3], d.o.dims[3]) = (4, 4)),
        ("dense", "attention: k.dims[0]", |d| (d.k.dims[0], d.v.dims[0]) = (1, 1)),
        ("dense", "attention: v.dims", |d| d.v.dims[2] = 4),
        ("dense", "attention: o.dims", |d| d.o.dims[3] = 5),
        ("dense", "attention: lse.dims", |d| d.lse.dims[2] = 2),
        ("dense", "attention: q_lengths.dims", |d| d.q_lengths.dims[0] = 1),
        ("dense", "attention: scale", |d| d.scale = f64::NAN),
        ("dense", "attention: softcap", |d| d.softcap = -1.0),
        ("dense", "attention: softcap", |d| d.softcap = f64::INFINITY),
        ("dense", "attention: dropout", |d| d.dropout = 1.0),
        ("dense", "attention: dropout", |d| d.dropout = f64::NAN),
        ("dense", "attention: window_left", |d| (d.flags, d.window_left) = (4, -1)),
        ("dense", "attention: window_right", |d| (d.flags, d.window_right) = (8, -1)),
        ("dense", "attention: sink_tokens", |d| d.sink_tokens = -1),
        ("dense", "attention: o and attention: q", |d| d.o = weft_tensor { dims: d.o.dims, ..d.q }),
        ("dense", "attention: lse and attention: o", |d| d.lse.buffer = d.o.buffer),
        ("dense", "attention: o", |d| d.o.strides = [0, 18, 6, 1, 0, 0, 0, 0]),
        ("dense", "attention: bias.dims", |d| {
            d.bias = weft_tensor { dims: [2, 0, 0, 0, 0, 0, 0, 0], rank: 1, ..d.q }
        }),
        ("dense", "attention: bias.rank", |d| d.bias = weft_tensor { dims: [1; 8], rank: 5, ..d.q }),
        ("dense", "attention: bias.dtype", |d| d.bias = d.q_lengths),
        ("dense", "attention: alibi_slopes.dims", |d| d.alibi_slopes = weft_tensor { rank: 1, ..d.q }),
        ("dense", "attention: sink_logits.dims", |d| d.sink_logits = weft_tensor { rank: 1, ..d.q }),
        ("packed", "attention: q.dims[0]", |d| {
            (d.q.dims[0], d.q.dims[2], d.o.dims[0], d.o.dims[2]) = (2, 3, 2, 3)
        }),
        ("packed", "attention: kv_starts.dims", |d| d.kv_starts.dims[0] = 2),
        ("packed", "attention: q_starts.dims", |d| d.q_starts.dims[0] = 0),
        ("packed", "attention: q_starts.dtype", |d| d.q_starts.dtype = 1),
        ("paged", "attention: kv_lengths", |d| d.kv_lengths = weft_tensor::default()),
        ("paged", "attention: block_table.dims[0]", |d| d.block_table.dims = [3, 2, 0, 0, 0, 0, 0, 0]),
        ("paged", "attention: block_table.rank", |d| d.block_table.rank = 1),
        ("paged", "attention: kv_starts", |d| d.kv_starts = d.kv_lengths),
    ];
    for &(kind, words, break_it) in bad {
        let mut case = valid(&session, &mut rng, kind);
        break_it(&mut case.desc);
        let (status, text) = session.refuse(weft_attention, &case.desc);
        assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT, "{words}: {text}");
        assert!(text.contains(words), "expected {words:?} in {text:?}");
    }
}

/// A request of these dims with packed tensors: the descriptor and o.
fn simple(session: &Session, rng: &mut Rng, dtype: Dtype, q: [i64; 4], kv: [i64; 4], dim_v: i64) -> Case {
    let tensors = vec![
        ("q", session.normal(rng, dtype, &q, Style::Packed)),
        ("k", session.normal(rng, dtype, &kv, Style::Packed)),
        ("v", session.normal(rng, dtype, &[kv[0], kv[1], kv[2], dim_v], Style::Packed)),
        ("o", session.output(rng, dtype, &[q[0], q[1], q[2], dim_v], Style::Packed)),
        ("lse", session.output(rng, F32, &q[..3], Style::Packed)),
    ];
    let desc =
        weft_attention_desc { struct_size: size_of::<weft_attention_desc>() as u32, ..Default::default() };
    let (b, heads) = (q[0] as usize, q[1] as usize);
    let (rows, keys) = (vec![q[2] as usize; b], vec![kv[2] as usize; b]);
    let (dim, dim_v, group) = (q[3] as usize, dim_v as usize, heads / (kv[1] as usize).max(1));
    let queries = rows.clone();
    let mut case = Case { desc, tensors, dtype, batch: b, heads, group, dim, dim_v, rows, queries, keys };
    bind(&mut case);
    case
}

#[test]
fn any_size_may_be_zero() {
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let (session, mut rng) = (Session::new(2), Rng(5));
    for zero in 0..7 {
        for (choice, dtype) in [("plain", F32), ("tiled", F32), ("tiled", Bf16), ("decode", F16), ("", Bf16)]
        {
            let mut n = [2, 2, 3, 16, 2, 5, 16];
            n[zero] = 0;
            // No heads of keys means no heads of queries.
            let heads = if n[4] == 0 { 0 } else { n[1] };
            let kv_heads = if heads == 0 { 0 } else { n[4] };
            let case = simple(
                &session,
                &mut rng,
                dtype,
                [n[0], heads, n[2], n[3]],
                [n[0], kv_heads, n[5], n[3]],
                n[6],
            );
            weft::op::force(&if choice.is_empty() { String::new() } else { format!("attention={choice}") });
            session.run(weft_attention, &case.desc);
            judge(&session, &case, &oracle(&case), &format!("zero {zero} {choice}"));
        }
    }
    weft::op::force("");
}

#[test]
fn results_do_not_depend_on_threads() {
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let shapes = [
        ([1, 2, 700, 64], [1, 2, 700, 64]),
        ([1, 8, 1, 64], [1, 2, 5000, 64]),
        ([2, 3, 130, 33], [2, 1, 300, 33]),
    ];
    for (q, kv) in shapes {
        for dtype in [F32, Bf16] {
            let results = [1, 2, 5].map(|threads| {
                let (session, mut rng) = (Session::new(threads), Rng(6));
                let mut case = simple(&session, &mut rng, dtype, q, kv, q[3]);
                case.desc.flags = WEFT_ATTENTION_CAUSAL;
                session.run(weft_attention, &case.desc);
                (session.read(case.tensor("o").unwrap()), session.read(case.tensor("lse").unwrap()))
            });
            assert!(results[0] == results[1] && results[0] == results[2], "{q:?} {dtype:?}");
        }
    }
}
