//! Attention against a double-precision oracle that follows the documented formula word for word.

#[path = "attention/draw.rs"]
mod draw;
#[path = "attention/oracle.rs"]
mod oracle;
mod support;

use draw::random_case;
use oracle::*;
use std::sync::Mutex;
use support::*;
use weft::api::operations::weft_attention;
use weft::dtype::Dtype;
use weft::dtype::Dtype::*;
use weft::layout::weft_tensor;
use weft::ops::attention::*;
use weft::status::*;

/// Forcing a choice is global: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

/// The choices of the device that tests run on, best first but for the first, which leaves it open; the last takes all.
fn choices() -> &'static [&'static str] {
    by_device(&["", "tiled", "decode", "plain"], &["", "simple"])
}

fn on_cpu() -> bool {
    by_device(true, false)
}

/// Runs by this choice from here on.
fn force(choice: &str) {
    weft::op::force(&if choice.is_empty() { String::new() } else { format!("attention={choice}") });
}

/// Whether a choice may refuse requests.
fn may_refuse(choice: &str) -> bool {
    matches!(choice, "tiled" | "decode")
}

#[test]
fn against_the_oracle() {
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let (one, two) = (Session::new(1), Session::new(2));
    let mut decoded = 0;
    for number in 0..cases(1600) as u64 {
        let mut rng = Rng(number);
        let session = if number % 2 == 0 { &one } else { &two };
        let case = random_case(session, &mut rng);
        let want = oracle(&case);
        for &choice in choices() {
            force(choice);
            // SAFETY: the descriptor and the locals of the closure outlive the call.
            let status = session
                .outcome(|out| unsafe { weft_attention(session.queue, &case.desc, std::ptr::null(), out) });
            if may_refuse(choice) && status == WEFT_ERROR_UNSUPPORTED {
                continue;
            }
            decoded += u64::from(choice == "decode");
            assert_eq!(status, WEFT_OK, "case {number} {choice}: {}", last_error());
            judge(session, &case, &want, &format!("case {number} {choice}"));
        }
        session.free(&case.tensors.iter().map(|entry| &entry.1).collect::<Vec<_>>());
    }
    weft::op::force("");
    assert!(!on_cpu() || decoded * 20 > cases(1600) as u64, "the decode choice took {decoded} cases only");
}

/// The same cases on lesser instruction sets, each in a process of its own.
#[test]
fn on_every_instruction_set() {
    on_each_isa(&["against_the_oracle"], ("WEFT_TEST_CASES", "250"));
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
        for &choice in choices() {
            force(choice);
            let mut case = valid(&session, &mut rng, kind);
            let dims = case.tensor(name).unwrap().dims().to_vec();
            *field(&mut case.desc, name) = session.exact(&mut rng, I32, &dims, Style::Packed, values).desc;
            let (status, text) = session.refuse(weft_attention, &case.desc);
            if may_refuse(choice) && status == WEFT_ERROR_UNSUPPORTED {
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
        ("dense", "attention: o and q", |d| d.o = weft_tensor { dims: d.o.dims, ..d.q }),
        ("dense", "attention: lse and o", |d| d.lse.buffer = d.o.buffer),
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
        let cpu = [("plain", F32), ("tiled", F32), ("tiled", Bf16), ("decode", F16), ("", Bf16)];
        let other = [("", F32), ("", Bf16), ("simple", F16)];
        for &(choice, dtype) in if on_cpu() { &cpu[..] } else { &other[..] } {
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
            force(choice);
            session.run(weft_attention, &case.desc);
            judge(&session, &case, &oracle(&case), &format!("zero {zero} {choice}"));
        }
    }
    weft::op::force("");
}

/// More rows than 2^16, more keys a row than warps share at once, columns in several pieces.
#[test]
fn sizes_that_cross_every_limit() {
    let _one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let (session, mut rng) = (Session::new(2), Rng(7));
    let shapes = [
        ([1, 1, 70_000, 4], [1, 1, 3, 4], 3),
        ([1, 2, 1500, 16], [1, 1, 200, 16], 40),
        ([1, 2, 1, 64], [1, 1, 3001, 64], 64),
        ([1, 1, 2, 8], [1, 1, 300, 8], 600),
    ];
    for (q, kv, dim_v) in shapes {
        for dtype in [F32, F16, Bf16] {
            let mut case = simple(&session, &mut rng, dtype, q, kv, dim_v);
            case.desc.flags = WEFT_ATTENTION_WINDOW_LEFT;
            case.desc.window_left = kv[2] - 1;
            session.run(weft_attention, &case.desc);
            judge(&session, &case, &oracle(&case), &format!("{q:?} {kv:?} {dim_v} {dtype:?}"));
            session.free(&case.tensors.iter().map(|entry| &entry.1).collect::<Vec<_>>());
        }
    }
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
