//! Gather and scatter of rows against loops over indices.

mod support;

use support::*;
use weft::api::operations::{weft_gather_rows, weft_scatter_rows};
use weft::dtype::Dtype::{self, *};
use weft::dtype::*;
use weft::ops::rows::*;
use weft::status::*;

const DTYPES: [Dtype; 13] = [F32, F64, F16, Bf16, I8, I16, I32, I64, U8, U16, U32, U64, Bool];

fn desc(table: &Tensor, indices: &Tensor, rows: &Tensor, flags: u32) -> weft_rows_desc {
    let struct_size = size_of::<weft_rows_desc>() as u32;
    weft_rows_desc { struct_size, flags, table: table.desc, indices: indices.desc, rows: rows.desc }
}

/// Dims of table, indices and rows.
struct Shape {
    table: Vec<i64>,
    indices: Vec<i64>,
    rows: Vec<i64>,
}

impl Shape {
    fn random(rng: &mut Rng) -> Self {
        let mut dims = |most: i64, size: i64| -> Vec<i64> {
            let rank = rng.range(0, most);
            (0..rank).map(|_| rng.size(size, true)).collect()
        };
        let (indices, row) = (dims(3, 13), dims(3, 9));
        // A table of no rows has no index that is right.
        let table = [vec![rng.size(61, false)], row.clone()].concat();
        Self { rows: [indices.clone(), row].concat(), table, indices }
    }

    fn row(&self) -> usize {
        self.table[1..].iter().product::<i64>() as usize
    }

    fn index_count(&self) -> usize {
        self.indices.iter().product::<i64>() as usize
    }
}

fn styles(rng: &mut Rng) -> (Style, Style, Style) {
    let input = [Style::Packed, Style::Hostile, Style::Repeated];
    (rng.pick(&input), rng.pick(&input), rng.pick(&input[..2]))
}

/// Values that are exact in every dtype, bool too.
fn whole(rng: &mut Rng) -> f64 {
    rng.range(0, 100) as f64
}

/// An index's row by the flags; `None` where it is skipped.
fn row_of(index: f64, count: i64, flags: u32) -> Option<usize> {
    match index < 0.0 {
        true if flags & WEFT_ROWS_SKIP_NEGATIVE != 0 => None,
        true => Some((index as i64 + count) as usize),
        false => Some(index as usize),
    }
}

#[test]
fn gather_takes_the_rows_that_indices_name() {
    let (session, mut rng) = (Session::new(2), Rng(1));
    for case in 0..800 {
        let (shape, dtype) = (Shape::random(&mut rng), rng.pick(&DTYPES));
        let (a, b, c) = styles(&mut rng);
        let flags = rng.pick(&[0, WEFT_ROWS_FROM_END, WEFT_ROWS_SKIP_NEGATIVE]);
        let count = shape.table[0];
        let low = if flags == 0 { 0 } else { -count };
        let table = session.tensor(&mut rng, dtype, &shape.table, a, |rng| {
            if dtype.is_float() { rng.normal() } else { whole(rng) }
        });
        let kind = rng.pick(&[I32, I64]);
        let indices =
            session.tensor(&mut rng, kind, &shape.indices, b, |rng| rng.range(low, count - 1) as f64);
        let rows = session.output(&mut rng, dtype, &shape.rows, c);
        let before = session.read(&rows);
        session.run(weft_gather_rows, &desc(&table, &indices, &rows, flags));
        let got = session.read(&rows);
        let length = shape.row();
        for (i, &index) in indices.values.iter().enumerate().filter(|_| length > 0) {
            let got = &got[i * length..(i + 1) * length];
            let same = |want: &[f64]| want.iter().zip(got).all(|(w, g)| w == g || w.is_nan() && g.is_nan());
            match row_of(index, count, flags) {
                Some(row) => assert!(same(&table.values[row * length..(row + 1) * length]), "case {case}"),
                None => assert!(same(&before[i * length..(i + 1) * length]), "case {case}"),
            }
        }
        session.free(&[&table, &indices, &rows]);
    }
}

/// One scatter case; the expected table is made by the loop that the documentation states.
fn scatter_case(session: &Session, rng: &mut Rng, dtype: Dtype, add: bool) {
    let shape = Shape::random(rng);
    let (a, b, c) = styles(rng);
    let flags = rng.pick(&[0, WEFT_ROWS_FROM_END, WEFT_ROWS_SKIP_NEGATIVE]);
    let flags = flags | if add { WEFT_ROWS_ADD } else { 0 };
    let count = shape.table[0];
    let low = if flags & !WEFT_ROWS_ADD == 0 { 0 } else { -count };
    let fill = |rng: &mut Rng| if dtype.is_float() { rng.normal() } else { whole(rng) };
    let table = session.tensor(rng, dtype, &shape.table, c, fill);
    let kind = rng.pick(&[I32, I64]);
    let indices = session.tensor(rng, kind, &shape.indices, b, |rng| rng.range(low, count - 1) as f64);
    let rows = session.tensor(rng, dtype, &shape.rows, a, fill);
    let mut want = table.values.clone();
    let length = shape.row();
    for i in 0..shape.index_count() {
        let Some(row) = row_of(indices.values[i], count, flags) else { continue };
        for j in 0..length {
            let (to, from) = (&mut want[row * length + j], rows.values[i * length + j]);
            *to = if add { sum(dtype, *to, from) } else { from };
        }
    }
    session.run(weft_scatter_rows, &desc(&table, &indices, &rows, flags));
    let what = format!("{dtype:?} {:?} {:?} flags {flags}", shape.table, shape.indices);
    close(&what, &session.read(&table), &want, |_| 0.0);
    session.free(&[&table, &indices, &rows]);
}

/// a + b, rounded or wrapped to `dtype`. Exact in f64 but for f64 itself, whose rounding is the expected one; twice the
/// bits of f32 and more make the double rounding of the halves harmless.
fn sum(dtype: Dtype, a: f64, b: f64) -> f64 {
    let mut bytes = [0; 8];
    let bytes = &mut bytes[..dtype.size()];
    let sum = match dtype {
        F16 | Bf16 => f64::from(a as f32 + b as f32),
        F32 | F64 => a + b,
        _ => wrapped(a + b, dtype),
    };
    encode(dtype, sum, bytes);
    decode(dtype, bytes)
}

/// An integer modulo the range of `dtype`.
fn wrapped(x: f64, dtype: Dtype) -> f64 {
    let range = 2f64.powi(8 * dtype.size() as i32);
    let x = x.rem_euclid(range);
    let signed = matches!(dtype, I8 | I16 | I32 | I64);
    if signed && x >= range / 2.0 { x - range } else { x }
}

#[test]
fn scatter_writes_in_the_order_of_the_indices() {
    let (session, mut rng) = (Session::new(3), Rng(2));
    for _ in 0..500 {
        let dtype = rng.pick(&DTYPES);
        scatter_case(&session, &mut rng, dtype, false);
    }
    for _ in 0..500 {
        let dtype = rng.pick(&DTYPES[..12]);
        scatter_case(&session, &mut rng, dtype, true);
    }
}

#[test]
fn large_requests_are_shared_by_threads() {
    // The other choice takes everything, so that tests running meanwhile only see another way to the same result.
    for forced in ["", by_device("gather_rows=strided", "scatter_rows=rows")] {
        weft::op::force(forced);
        large_requests(997, 1024, 1500);
        large_requests(11, 5001, 90);
        large_requests(11, 5004, 90);
    }
    weft::op::force("");
}

fn large_requests(height: i64, row: i64, count: i64) {
    let (session, mut rng) = (Session::new(4), Rng(3));
    let (shape, width) = ([height, row], row as usize);
    let table = session.normal(&mut rng, F32, &shape, Style::Packed);
    let indices =
        session.tensor(&mut rng, I32, &[count], Style::Packed, |rng| rng.range(0, height - 1) as f64);
    let rows = session.output(&mut rng, F32, &[count, row], Style::Packed);
    session.run(weft_gather_rows, &desc(&table, &indices, &rows, 0));
    let got = session.read(&rows);
    for (i, &index) in indices.values.iter().enumerate() {
        let want = &table.values[index as usize * width..][..width];
        assert!(got[i * width..][..width] == *want, "row {i}");
    }
    let sums = session.tensor(&mut rng, F32, &shape, Style::Packed, |_| 0.0);
    session.run(weft_scatter_rows, &desc(&sums, &indices, &rows, WEFT_ROWS_ADD));
    let mut want = vec![0f32; (height * row) as usize];
    for (i, &index) in indices.values.iter().enumerate() {
        let row = &mut want[index as usize * width..][..width];
        row.iter_mut().zip(&got[i * width..]).for_each(|(to, &from)| *to += from as f32);
    }
    let want: Vec<f64> = want.into_iter().map(f64::from).collect();
    close("sums", &session.read(&sums), &want, |_| 0.0);
}

/// More indices than are compared with each other, and fewer, in rows of every unit.
#[test]
fn rows_named_again_and_again() {
    let (session, mut rng) = (Session::new(2), Rng(8));
    for (count, height, row) in [(1, 5000, 64), (40, 9, 520), (1024, 300, 33), (1500, 97, 8), (3000, 5, 300)]
    {
        for (dtype, add) in [(F32, true), (Bf16, true), (U8, true), (F64, false), (U8, false), (I64, false)] {
            let values = |rng: &mut Rng| if dtype.is_float() { rng.normal() } else { whole(rng) };
            let table = session.tensor(&mut rng, dtype, &[height, row], Style::Packed, values);
            let indices =
                session.tensor(&mut rng, I32, &[count], Style::Packed, |rng| rng.range(0, height - 1) as f64);
            let rows = session.tensor(&mut rng, dtype, &[count, row], Style::Packed, values);
            let (mut want, row) = (table.values.clone(), row as usize);
            for (&index, from) in indices.values.iter().zip(rows.values.chunks(row)) {
                for (to, &from) in want[index as usize * row..][..row].iter_mut().zip(from) {
                    *to = if add { sum(dtype, *to, from) } else { from };
                }
            }
            let flags = if add { WEFT_ROWS_ADD } else { 0 };
            session.run(weft_scatter_rows, &desc(&table, &indices, &rows, flags));
            close(&format!("{count} of {height} {dtype:?}"), &session.read(&table), &want, |_| 0.0);
            session.free(&[&table, &indices, &rows]);
        }
    }
}

#[test]
fn eight_bit_floats_and_complex_numbers_move_too() {
    let (session, mut rng) = (Session::new(1), Rng(4));
    for (dtype, carrier, code) in [(F8E4m3, U8, WEFT_F8_E4M3), (C32, U64, WEFT_C32)] {
        assert_eq!(dtype.code(), code);
        let mut table = session.tensor(&mut rng, carrier, &[5, 3], Style::Hostile, whole);
        let indices = session.exact(&mut rng, I64, &[2], Style::Packed, &[4.0, 1.0]);
        let mut rows = session.output(&mut rng, carrier, &[2, 3], Style::Hostile);
        (table.desc.dtype, rows.desc.dtype) = (code, code);
        session.run(weft_gather_rows, &desc(&table, &indices, &rows, 0));
        assert_eq!(session.read(&rows), [&table.values[12..], &table.values[3..6]].concat());
        let (status, why) = session.refuse(weft_scatter_rows, &desc(&table, &indices, &rows, WEFT_ROWS_ADD));
        assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT);
        assert!(why.contains("scatter_rows: table.dtype is"), "{why}");
    }
    // 16 bytes an element.
    let values: Vec<f64> = (0..20).map(f64::from).collect();
    let mut table = session.exact(&mut rng, F64, &[5, 4], Style::Packed, &values);
    let indices = session.exact(&mut rng, I64, &[1], Style::Packed, &[3.0]);
    let mut rows = session.output(&mut rng, F64, &[1, 4], Style::Packed);
    (table.desc.dtype, table.desc.dims[1]) = (WEFT_C64, 2);
    (rows.desc.dtype, rows.desc.dims[1]) = (WEFT_C64, 2);
    session.run(weft_gather_rows, &desc(&table, &indices, &rows, 0));
    assert_eq!(session.read(&rows), values[12..16]);
}

#[test]
fn an_index_outside_ends_the_request_but_not_the_other_rows() {
    let (session, mut rng) = (Session::new(2), Rng(5));
    let table = session.normal(&mut rng, F32, &[4, 2], Style::Packed);
    let rows = session.output(&mut rng, F32, &[2, 3, 2], Style::Packed);
    let before = session.read(&rows);
    let indices = [0.0, 3.0, 9.0, -1.0, 2.0, 1e12];
    let picked = session.exact(&mut rng, I64, &[2, 3], Style::Hostile, &indices);
    let (status, why) = session.refuse(weft_gather_rows, &desc(&table, &picked, &rows, 0));
    assert_eq!(status, WEFT_ERROR_OUT_OF_RANGE);
    assert!(why.contains("gather_rows: indices[0, 2] is 9; expected 0 to 3"), "{why}");
    let got = session.read(&rows);
    for (i, &index) in indices.iter().enumerate() {
        let inside = (0.0..4.0).contains(&index);
        let want = if inside { &table.values[2 * index as usize..][..2] } else { &before[2 * i..2 * i + 2] };
        assert!(got[2 * i..2 * i + 2].iter().zip(want).all(|(g, w)| g.to_bits() == w.to_bits()));
    }
    let (status, why) = session.refuse(weft_gather_rows, &desc(&table, &picked, &rows, WEFT_ROWS_FROM_END));
    assert_eq!(status, WEFT_ERROR_OUT_OF_RANGE);
    assert!(why.contains("indices[0, 2] is 9; expected -4 to 3"), "{why}");

    let source = session.tensor(&mut rng, F32, &[2, 3, 2], Style::Packed, |_| 7.0);
    let (status, why) = session.refuse(weft_scatter_rows, &desc(&table, &picked, &source, 0));
    assert_eq!(status, WEFT_ERROR_OUT_OF_RANGE);
    assert!(why.contains("scatter_rows: indices[0, 2] is 9"), "{why}");
    let mut want = table.values.clone();
    [0, 3, 2].iter().for_each(|&row: &usize| want[2 * row..2 * row + 2].fill(7.0));
    assert_eq!(session.read(&table), want);
}

#[test]
fn extreme_indices_are_only_wrong() {
    let (session, mut rng) = (Session::new(1), Rng(6));
    let table = session.normal(&mut rng, F32, &[4, 2], Style::Packed);
    let rows = session.output(&mut rng, F32, &[1, 2], Style::Packed);
    for index in [i64::MIN as f64, -5.0, 4.0, 9e18] {
        let picked = session.exact(&mut rng, I64, &[1], Style::Packed, &[index]);
        let d = desc(&table, &picked, &rows, WEFT_ROWS_FROM_END);
        assert_eq!(session.refuse(weft_gather_rows, &d).0, WEFT_ERROR_OUT_OF_RANGE);
        assert!(session.untouched(&rows));
    }
    let empty = session.normal(&mut rng, F32, &[0, 2], Style::Packed);
    let picked = session.exact(&mut rng, I32, &[1], Style::Packed, &[0.0]);
    let (status, why) = session.refuse(weft_gather_rows, &desc(&empty, &picked, &rows, 0));
    assert_eq!(status, WEFT_ERROR_OUT_OF_RANGE);
    assert!(why.contains("table.dims[0] is 0"), "{why}");
}

#[test]
fn bad_input_is_named() {
    let (session, mut rng) = (Session::new(1), Rng(7));
    let table = session.normal(&mut rng, F32, &[4, 2], Style::Packed);
    let indices = session.exact(&mut rng, I32, &[3], Style::Packed, &[0.0, 1.0, 2.0]);
    let rows = session.output(&mut rng, F32, &[3, 2], Style::Packed);
    let good = desc(&table, &indices, &rows, 0);
    let refused = |d: &weft_rows_desc, part: &str| {
        for f in [weft_gather_rows, weft_scatter_rows] {
            let (status, why) = session.refuse(f, d);
            assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT, "{why}");
            assert!(why.contains(part), "{why}");
        }
        assert!(session.untouched(&rows) && session.untouched(&table));
    };
    refused(&weft_rows_desc { flags: 3, ..good }, "expected one of them at the most");
    refused(&weft_rows_desc { flags: 8, ..good }, "flags are 0x8");
    let mut bad = good;
    bad.indices.dtype = WEFT_F32;
    refused(&bad, "indices.dtype is WEFT_F32; expected WEFT_I32, WEFT_I64");
    bad = good;
    bad.rows.dtype = WEFT_I32;
    refused(&bad, "rows.dtype is WEFT_I32; expected WEFT_F32");
    bad = good;
    bad.rows.dims[0] = 2;
    refused(&bad, "rows.dims are [2, 2]; expected [3, 2]");
    bad = good;
    bad.table.rank = 0;
    refused(&bad, "table.rank is 0; expected 1 or more");
    bad = good;
    bad.indices.rank = 8;
    bad.indices.dims = [1; 8];
    refused(&bad, "ask for rows of rank 9");
    bad = good;
    bad.rows = table.desc;
    bad.rows.dims[0] = 3;
    refused(&bad, "overlap");
    let (status, why) = session.refuse(weft_gather_rows, &desc(&table, &indices, &rows, WEFT_ROWS_ADD));
    assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT);
    assert!(why.contains("gather_rows: flags are 0x4"), "{why}");
}
