//! Sizes and layouts that take each way a GPU's kernels have: vectors and tails, operands that are rows, columns or one element,
//! addresses that fit no vector, many rows, many axes.

use super::*;

/// Dims of y and of the second operand, whose missing axes are broadcast.
const SHAPES: [(&[i64], &[i64]); 12] = [
    (&[(1 << 17) + 13], &[(1 << 17) + 13]),
    (&[5], &[5]),
    (&[66_000, 8], &[8]),
    (&[66_000, 8], &[66_000, 1]),
    (&[130, 1031], &[1031]),
    (&[130, 1032], &[130, 1]),
    (&[33, 512], &[1]),
    (&[5, 24, 272], &[24, 272]),
    (&[5, 24, 272], &[5, 1, 272]),
    (&[5, 24, 272], &[24, 1]),
    (&[3, 2, 4, 5, 6, 32], &[3, 1, 4, 1, 6, 32]),
    (&[2, 40_000], &[2, 40_000]),
];

fn value(rng: &mut Rng, dtype: Dtype) -> f64 {
    match dtype {
        Bool => rng.range(0, 1) as f64,
        I8 | U16 | I32 | I64 => rng.range(0, 100) as f64,
        _ => rng.normal(),
    }
}

/// Operand `shift` (y is the third) begins an element later than its buffer.
fn run(session: &Session, rng: &mut Rng, code: u32, dtype: Dtype, shape: usize, shift: Option<usize>) {
    let function = Function::of(code).unwrap();
    let (to, other) = SHAPES[shape];
    // What is shifted is made a row longer.
    let longer = |dims: &[i64], number: usize| {
        let mut dims = dims.to_vec();
        dims[0] += i64::from(shift == Some(number));
        dims
    };
    let place = |tensor: Tensor, number: usize| if shift == Some(number) { tensor.shifted() } else { tensor };
    let mut inputs = Vec::new();
    for number in 0..function.arity {
        let of = if number == 0 && function.kind == Kind::Select { Bool } else { dtype };
        let dims = longer(if number == 1 { other } else { to }, number);
        let tensor = session.tensor(rng, of, &dims, Style::Packed, |rng| value(rng, of));
        inputs.push(place(tensor, number));
    }
    let result = if function.kind == Kind::Compare { Bool } else { dtype };
    let y = place(session.output(rng, result, &longer(to, 3), Style::Packed), 3);
    let desc = desc(code, &inputs.iter().collect::<Vec<_>>(), &y);
    let case = Case { function, inputs, y, place: None, desc, parameters: [1.0, 0.0] };
    check(session, &case);
    free(session, &case);
}

#[test]
fn every_shape_by_vectors() {
    let (session, mut rng) = (Session::new(2), Rng(41));
    for shape in 0..SHAPES.len() {
        for (code, dtype) in [(WEFT_EW_ADD, Bf16), (WEFT_EW_SWIGLU, F32), (WEFT_EW_SELECT, F16)] {
            run(&session, &mut rng, code, dtype, shape, None);
        }
        let (code, dtype) = rng.pick(&[
            (WEFT_EW_MAX, F64),
            (WEFT_EW_MUL, I8),
            (WEFT_EW_LESS, F32),
            (WEFT_EW_SUB, I64),
            (WEFT_EW_SILU, Bf16),
            (WEFT_EW_MIN, U16),
        ]);
        run(&session, &mut rng, code, dtype, shape, None);
    }
}

#[test]
fn addresses_that_fit_no_vector() {
    let (session, mut rng) = (Session::new(2), Rng(42));
    for shape in [0, 2, 4, 7, 9] {
        for number in [0, 1, 3] {
            // A row or one element is not shifted: it has no row to lose.
            if number == 1 && SHAPES[shape].1.len() < SHAPES[shape].0.len() {
                continue;
            }
            for dtype in [Bf16, F32, I8] {
                run(&session, &mut rng, WEFT_EW_ADD, dtype, shape, Some(number));
            }
        }
    }
}

#[test]
fn powers_of_what_is_no_number_and_of_what_is_huge() {
    let (session, mut rng) = (Session::new(1), Rng(43));
    let (nan, huge) = (f64::NAN, 1e300);
    let a = [nan, nan, 1.0, 2.0, 2.0, 0.5, 0.5, 3.0, -2.0, nan, 1e-310, 0.0, -0.0];
    let b = [2.0, 0.0, nan, huge, -huge, huge, -huge, 7e299, huge, nan, -1.0, -3.0, -3.0];
    for dtype in [F64, F32] {
        let inputs = [a, b].map(|x| session.exact(&mut rng, dtype, &[13], Style::Packed, &x));
        let y = session.output(&mut rng, dtype, &[13], Style::Packed);
        let function = Function::of(WEFT_EW_POW).unwrap();
        let desc = desc(WEFT_EW_POW, &[&inputs[0], &inputs[1]], &y);
        let inputs = Vec::from(inputs);
        check(&session, &Case { function, inputs, y, place: None, desc, parameters: [0.0; 2] });
    }
}
