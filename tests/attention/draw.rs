//! Random requests: every feature in random combination, NaN wherever nothing may look.

use super::oracle::*;
use super::support::*;
use weft::dtype::Dtype::*;
use weft::ops::attention::*;

pub const KNOBS: &[&str] = &["dense", "lengths", "packed", "paged"];

/// Sizes: mostly small, so that many cases fit; `large` ones cross the blocks of the fast choices.
pub fn sizes(rng: &mut Rng) -> (usize, usize, usize, usize) {
    let dims = [1, 2, 3, 8, 15, 16, 17, 32, 33, 48, 64, 64, 80];
    let (dim, other) = (rng.pick(&dims), rng.pick(&dims));
    let dim_v = if rng.chance(3) { other } else { dim };
    let (dim, dim_v) =
        if rng.chance(25) { rng.pick(&[(160, 130), (300, 16), (7, 260)]) } else { (dim, dim_v) };
    let (most_q, most_k) =
        rng.pick(&[(1, 40), (3, 300), (8, 70), (40, 40), (40, 80), (60, 30), (230, 17), (70, 560)]);
    (rng.range(1, most_q) as usize, rng.range(1, most_k) as usize, dim, dim_v)
}

pub fn random_lengths(rng: &mut Rng, batch: usize, most: usize) -> Vec<usize> {
    (0..batch).map(|_| if rng.chance(3) { most } else { rng.range(0, most as i64) as usize }).collect()
}

/// Starts of sequences of these rows, with rows in no sequence before and after: (starts, total).
pub fn random_starts(rng: &mut Rng, rows: &[usize]) -> (Vec<usize>, usize) {
    let mut at = rng.pick(&[0, 0, 3]);
    let mut starts = vec![at];
    for &n in rows {
        at += n;
        starts.push(at);
    }
    (starts, at + rng.pick(&[0usize, 0, 2]))
}

pub fn style(rng: &mut Rng) -> Style {
    rng.pick(&[Style::Packed, Style::Packed, Style::Hostile, Style::Repeated])
}

/// A case of random sizes, without tensors.
pub fn blank_case(rng: &mut Rng, decode: bool) -> Case {
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

pub fn integers(session: &Session, rng: &mut Rng, values: &[usize]) -> Tensor {
    let values: Vec<f64> = values.iter().map(|&x| x as f64).collect();
    let style = rng.pick(&[Style::Packed, Style::Hostile]);
    session.exact(rng, I32, &[values.len() as i64], style, &values)
}

/// Lengths of these at the most.
pub fn shortened(rng: &mut Rng, most: &[usize]) -> Vec<usize> {
    most.iter().map(|&n| if rng.chance(2) { n } else { rng.range(0, n as i64) as usize }).collect()
}

/// Starts and lengths of the queries; returns dims 0 and 2 of q.
pub fn random_queries(session: &Session, rng: &mut Rng, case: &mut Case) -> (usize, usize) {
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
pub fn random_keys(session: &Session, rng: &mut Rng, case: &mut Case, knob: &str) -> (usize, usize) {
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

pub fn random_case(session: &Session, rng: &mut Rng) -> Case {
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
pub fn random_values(
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

pub fn case_key(case: &Case, b: usize, j: usize, page_size: usize) -> (usize, usize) {
    match case.tensor("block_table") {
        Some(_) => {
            let page = case.at("block_table", &[b, j / page_size]);
            (page as usize, j % page_size)
        }
        None => case.key(b, j),
    }
}

/// A table of distinct pages; entries that no query sees are wild. Returns (pages, page size).
pub fn random_pages(session: &Session, rng: &mut Rng, case: &mut Case, most: usize) -> (usize, usize) {
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

pub fn random_mask(rng: &mut Rng, case: &mut Case) {
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

pub fn random_extras(session: &Session, rng: &mut Rng, case: &mut Case, sq: usize, skv: usize) {
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
