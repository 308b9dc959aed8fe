//! The functions: their numbers in C and the one table that says what each takes.

use Kind::*;

/// a + b; integers wrap.
pub const WEFT_EW_ADD: u32 = 1;
/// a - b; integers wrap.
pub const WEFT_EW_SUB: u32 = 2;
/// a b; integers wrap.
pub const WEFT_EW_MUL: u32 = 3;
/// a / b; integers truncate, by zero gives 0.
pub const WEFT_EW_DIV: u32 = 4;
/// The larger of a and b; NaN if either is.
pub const WEFT_EW_MAX: u32 = 5;
/// The smaller of a and b; NaN if either is.
pub const WEFT_EW_MIN: u32 = 6;
/// a to the power of b, as C's pow.
pub const WEFT_EW_POW: u32 = 7;
/// The remainder of a / b with the sign of a, as C's fmod; an integer by zero gives 0.
pub const WEFT_EW_MOD: u32 = 8;
/// a where a >= 0, else a b.
pub const WEFT_EW_PRELU: u32 = 9;
/// a == b; y is WEFT_BOOL.
pub const WEFT_EW_EQUAL: u32 = 10;
/// a < b; y is WEFT_BOOL.
pub const WEFT_EW_LESS: u32 = 11;
/// a > b; y is WEFT_BOOL.
pub const WEFT_EW_GREATER: u32 = 12;
/// a <= b; y is WEFT_BOOL.
pub const WEFT_EW_LESS_EQUAL: u32 = 13;
/// a >= b; y is WEFT_BOOL.
pub const WEFT_EW_GREATER_EQUAL: u32 = 14;
/// Both of two WEFT_BOOL.
pub const WEFT_EW_AND: u32 = 15;
/// Either of two WEFT_BOOL.
pub const WEFT_EW_OR: u32 = 16;
/// One of two WEFT_BOOL alone.
pub const WEFT_EW_XOR: u32 = 17;
/// silu(a) b.
pub const WEFT_EW_SWIGLU: u32 = 18;
/// gelu(a) b, with erf.
pub const WEFT_EW_GEGLU: u32 = 19;
/// gelu_tanh(a) b.
pub const WEFT_EW_GEGLU_TANH: u32 = 20;
/// relu(a) b.
pub const WEFT_EW_REGLU: u32 = 21;
/// b where a, a WEFT_BOOL, else c; any dtype.
pub const WEFT_EW_SELECT: u32 = 22;
/// a b + c, rounded once for floats and wrapped for integers.
pub const WEFT_EW_FMA: u32 = 23;
/// min(max(a, b), c): c where b > c. NaN if any is.
pub const WEFT_EW_CLIP: u32 = 24;
/// -a; integers wrap.
pub const WEFT_EW_NEG: u32 = 25;
/// The magnitude of a; integers wrap.
pub const WEFT_EW_ABS: u32 = 26;
/// Square root.
pub const WEFT_EW_SQRT: u32 = 27;
/// 1 / sqrt(a).
pub const WEFT_EW_RSQRT: u32 = 28;
/// 1 / a.
pub const WEFT_EW_RECIPROCAL: u32 = 29;
/// a a; integers wrap.
pub const WEFT_EW_SQUARE: u32 = 30;
/// e^a.
pub const WEFT_EW_EXP: u32 = 31;
/// Natural logarithm.
pub const WEFT_EW_LOG: u32 = 32;
/// Sine.
pub const WEFT_EW_SIN: u32 = 33;
/// Cosine.
pub const WEFT_EW_COS: u32 = 34;
/// Tangent.
pub const WEFT_EW_TAN: u32 = 35;
/// Arc sine.
pub const WEFT_EW_ASIN: u32 = 36;
/// Arc cosine.
pub const WEFT_EW_ACOS: u32 = 37;
/// Arc tangent.
pub const WEFT_EW_ATAN: u32 = 38;
/// Hyperbolic sine.
pub const WEFT_EW_SINH: u32 = 39;
/// Hyperbolic cosine.
pub const WEFT_EW_COSH: u32 = 40;
/// Hyperbolic tangent.
pub const WEFT_EW_TANH: u32 = 41;
/// Inverse hyperbolic sine.
pub const WEFT_EW_ASINH: u32 = 42;
/// Inverse hyperbolic cosine.
pub const WEFT_EW_ACOSH: u32 = 43;
/// Inverse hyperbolic tangent.
pub const WEFT_EW_ATANH: u32 = 44;
/// The error function.
pub const WEFT_EW_ERF: u32 = 45;
/// 1 / (1 + e^-a).
pub const WEFT_EW_SIGMOID: u32 = 46;
/// max(a, 0); NaN for NaN.
pub const WEFT_EW_RELU: u32 = 47;
/// a/2 (1 + erf(a / sqrt 2)).
pub const WEFT_EW_GELU: u32 = 48;
/// a/2 (1 + tanh(sqrt(2/pi) (a + 0.044715 a^3))).
pub const WEFT_EW_GELU_TANH: u32 = 49;
/// a sigmoid(alpha a): swish; alpha is 1 by default.
pub const WEFT_EW_SILU: u32 = 50;
/// log(1 + e^a).
pub const WEFT_EW_SOFTPLUS: u32 = 51;
/// a / (1 + |a|).
pub const WEFT_EW_SOFTSIGN: u32 = 52;
/// a tanh(softplus(a)).
pub const WEFT_EW_MISH: u32 = 53;
/// a where a >= 0, else alpha (e^a - 1); alpha is 1 by default.
pub const WEFT_EW_ELU: u32 = 54;
/// beta a where a >= 0, else beta alpha (e^a - 1); alpha is 1.67326324..., beta 1.05070098... by default.
pub const WEFT_EW_SELU: u32 = 55;
/// a where a >= 0, else alpha (e^(a / alpha) - 1); alpha is 1 by default.
pub const WEFT_EW_CELU: u32 = 56;
/// a where a >= 0, else alpha a; alpha is 0.01 by default.
pub const WEFT_EW_LEAKY_RELU: u32 = 57;
/// min(max(alpha a + beta, 0), 1); alpha is 0.2, beta 0.5 by default.
pub const WEFT_EW_HARD_SIGMOID: u32 = 58;
/// a min(max(a / 6 + 1/2, 0), 1).
pub const WEFT_EW_HARD_SWISH: u32 = 59;
/// a where a > alpha, else 0 (NaN for NaN); alpha is 1 by default.
pub const WEFT_EW_THRESHOLDED_RELU: u32 = 60;
/// a + beta where a < -alpha, a - beta where a > alpha, else 0 (NaN for NaN); alpha is 0.5, beta 0 by
/// default.
pub const WEFT_EW_SHRINK: u32 = 61;
/// Rounded down.
pub const WEFT_EW_FLOOR: u32 = 62;
/// Rounded up.
pub const WEFT_EW_CEIL: u32 = 63;
/// Rounded to the nearest, halves to even.
pub const WEFT_EW_ROUND: u32 = 64;
/// -1, 0 or 1; NaN for NaN.
pub const WEFT_EW_SIGN: u32 = 65;
/// Not a WEFT_BOOL.
pub const WEFT_EW_NOT: u32 = 66;
/// Whether a is NaN; y is WEFT_BOOL.
pub const WEFT_EW_IS_NAN: u32 = 67;
/// Whether a is an infinity; y is WEFT_BOOL.
pub const WEFT_EW_IS_INF: u32 = 68;

/// What a function takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Floats, and y of their dtype.
    Float,
    /// Floats or integers, and y of their dtype.
    Number,
    /// Floats or integers; y is WEFT_BOOL.
    Compare,
    /// Floats; y is WEFT_BOOL.
    Test,
    /// WEFT_BOOL, and y too.
    Logic,
    /// WEFT_BOOL first, then two of y's dtype, which may be any.
    Select,
}

/// One function.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its number in C.
    pub code: u32,
    /// Its name in C without WEFT_EW_.
    pub name: &'static str,
    /// How many operands it takes.
    pub arity: usize,
    /// Their dtypes.
    pub kind: Kind,
    /// The defaults of alpha and beta, as far as it takes them.
    pub defaults: &'static [f64],
}

/// Every function, in the order of the numbers.
pub const FUNCTIONS: &[Function] = &[
    row(WEFT_EW_ADD, "ADD", 2, Number, &[]),
    row(WEFT_EW_SUB, "SUB", 2, Number, &[]),
    row(WEFT_EW_MUL, "MUL", 2, Number, &[]),
    row(WEFT_EW_DIV, "DIV", 2, Number, &[]),
    row(WEFT_EW_MAX, "MAX", 2, Number, &[]),
    row(WEFT_EW_MIN, "MIN", 2, Number, &[]),
    row(WEFT_EW_POW, "POW", 2, Float, &[]),
    row(WEFT_EW_MOD, "MOD", 2, Number, &[]),
    row(WEFT_EW_PRELU, "PRELU", 2, Float, &[]),
    row(WEFT_EW_EQUAL, "EQUAL", 2, Compare, &[]),
    row(WEFT_EW_LESS, "LESS", 2, Compare, &[]),
    row(WEFT_EW_GREATER, "GREATER", 2, Compare, &[]),
    row(WEFT_EW_LESS_EQUAL, "LESS_EQUAL", 2, Compare, &[]),
    row(WEFT_EW_GREATER_EQUAL, "GREATER_EQUAL", 2, Compare, &[]),
    row(WEFT_EW_AND, "AND", 2, Logic, &[]),
    row(WEFT_EW_OR, "OR", 2, Logic, &[]),
    row(WEFT_EW_XOR, "XOR", 2, Logic, &[]),
    row(WEFT_EW_SWIGLU, "SWIGLU", 2, Float, &[]),
    row(WEFT_EW_GEGLU, "GEGLU", 2, Float, &[]),
    row(WEFT_EW_GEGLU_TANH, "GEGLU_TANH", 2, Float, &[]),
    row(WEFT_EW_REGLU, "REGLU", 2, Float, &[]),
    row(WEFT_EW_SELECT, "SELECT", 3, Select, &[]),
    row(WEFT_EW_FMA, "FMA", 3, Number, &[]),
    row(WEFT_EW_CLIP, "CLIP", 3, Number, &[]),
    row(WEFT_EW_NEG, "NEG", 1, Number, &[]),
    row(WEFT_EW_ABS, "ABS", 1, Number, &[]),
    row(WEFT_EW_SQRT, "SQRT", 1, Float, &[]),
    row(WEFT_EW_RSQRT, "RSQRT", 1, Float, &[]),
    row(WEFT_EW_RECIPROCAL, "RECIPROCAL", 1, Float, &[]),
    row(WEFT_EW_SQUARE, "SQUARE", 1, Number, &[]),
    row(WEFT_EW_EXP, "EXP", 1, Float, &[]),
    row(WEFT_EW_LOG, "LOG", 1, Float, &[]),
    row(WEFT_EW_SIN, "SIN", 1, Float, &[]),
    row(WEFT_EW_COS, "COS", 1, Float, &[]),
    row(WEFT_EW_TAN, "TAN", 1, Float, &[]),
    row(WEFT_EW_ASIN, "ASIN", 1, Float, &[]),
    row(WEFT_EW_ACOS, "ACOS", 1, Float, &[]),
    row(WEFT_EW_ATAN, "ATAN", 1, Float, &[]),
    row(WEFT_EW_SINH, "SINH", 1, Float, &[]),
    row(WEFT_EW_COSH, "COSH", 1, Float, &[]),
    row(WEFT_EW_TANH, "TANH", 1, Float, &[]),
    row(WEFT_EW_ASINH, "ASINH", 1, Float, &[]),
    row(WEFT_EW_ACOSH, "ACOSH", 1, Float, &[]),
    row(WEFT_EW_ATANH, "ATANH", 1, Float, &[]),
    row(WEFT_EW_ERF, "ERF", 1, Float, &[]),
    row(WEFT_EW_SIGMOID, "SIGMOID", 1, Float, &[]),
    row(WEFT_EW_RELU, "RELU", 1, Number, &[]),
    row(WEFT_EW_GELU, "GELU", 1, Float, &[]),
    row(WEFT_EW_GELU_TANH, "GELU_TANH", 1, Float, &[]),
    row(WEFT_EW_SILU, "SILU", 1, Float, &[1.0]),
    row(WEFT_EW_SOFTPLUS, "SOFTPLUS", 1, Float, &[]),
    row(WEFT_EW_SOFTSIGN, "SOFTSIGN", 1, Float, &[]),
    row(WEFT_EW_MISH, "MISH", 1, Float, &[]),
    row(WEFT_EW_ELU, "ELU", 1, Float, &[1.0]),
    row(WEFT_EW_SELU, "SELU", 1, Float, &[1.673_263_242_354_377_2, 1.050_700_987_355_480_5]),
    row(WEFT_EW_CELU, "CELU", 1, Float, &[1.0]),
    row(WEFT_EW_LEAKY_RELU, "LEAKY_RELU", 1, Float, &[0.01]),
    row(WEFT_EW_HARD_SIGMOID, "HARD_SIGMOID", 1, Float, &[0.2, 0.5]),
    row(WEFT_EW_HARD_SWISH, "HARD_SWISH", 1, Float, &[]),
    row(WEFT_EW_THRESHOLDED_RELU, "THRESHOLDED_RELU", 1, Float, &[1.0]),
    row(WEFT_EW_SHRINK, "SHRINK", 1, Float, &[0.5, 0.0]),
    row(WEFT_EW_FLOOR, "FLOOR", 1, Float, &[]),
    row(WEFT_EW_CEIL, "CEIL", 1, Float, &[]),
    row(WEFT_EW_ROUND, "ROUND", 1, Float, &[]),
    row(WEFT_EW_SIGN, "SIGN", 1, Number, &[]),
    row(WEFT_EW_NOT, "NOT", 1, Logic, &[]),
    row(WEFT_EW_IS_NAN, "IS_NAN", 1, Test, &[]),
    row(WEFT_EW_IS_INF, "IS_INF", 1, Test, &[]),
];

const fn row(code: u32, name: &'static str, arity: usize, kind: Kind, defaults: &'static [f64]) -> Function {
    Function { code, name, arity, kind, defaults }
}

impl Function {
    /// The function of this number.
    pub fn of(code: u32) -> Option<&'static Self> {
        FUNCTIONS.get((code as usize).wrapping_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_numbers() {
        assert!(FUNCTIONS.iter().zip(1..).all(|(function, code)| function.code == code));
        assert!(Function::of(0).is_none() && Function::of(FUNCTIONS.len() as u32 + 1).is_none());
    }
}
