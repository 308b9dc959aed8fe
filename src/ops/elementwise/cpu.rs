//! On the CPU: one way for every function, type and layout. y is cut into chunks; a chunk's operands are brought side by
//! side and the function's loop runs over them.

use super::chunk::{Chunk, Kernel, Port, Stages};
use super::{Elementwise, Kind, formulas, functions::*, integers};
use crate::device::Cpu;
use crate::dtype::Dtype;
use crate::fail;
use crate::kernels::walk::Walk;
use crate::op::{Choice, Operand};
use crate::status::Result;

/// Ways to compute.
pub(super) const CHOICES: &[Choice<Elementwise, Cpu>] =
    &[Choice { name: "chunks", accepts: |_, _| true, run: chunks }];

fn chunks(op: &Elementwise, cpu: &Cpu) -> Result<()> {
    let code = op.function.code;
    let dtype = op.inputs[op.inputs.len() - 1].dtype();
    match (op.function.kind, dtype) {
        (Kind::Select, _) => select(op, cpu),
        (_, Dtype::F64) => run(op, cpu, real::<f64>(code)),
        (_, Dtype::F32 | Dtype::F16 | Dtype::Bf16) => {
            run(op, cpu, formulas::waves(code).or_else(|| real::<f32>(code)))
        }
        (_, Dtype::Bool) => run::<u8>(op, cpu, integers::truths(code)),
        (_, Dtype::I8) => run(op, cpu, integer::<i8>(code)),
        (_, Dtype::I16) => run(op, cpu, integer::<i16>(code)),
        (_, Dtype::I32) => run(op, cpu, integer::<i32>(code)),
        (_, Dtype::I64) => run(op, cpu, integer::<i64>(code)),
        (_, Dtype::U8) => run(op, cpu, integer::<u8>(code)),
        (_, Dtype::U16) => run(op, cpu, integer::<u16>(code)),
        (_, Dtype::U32) => run(op, cpu, integer::<u32>(code)),
        (_, Dtype::U64) => run(op, cpu, integer::<u64>(code)),
        _ => run::<u8>(op, cpu, None),
    }
}

fn select(op: &Elementwise, cpu: &Cpu) -> Result<()> {
    match op.y.dtype().size() {
        1 => run::<u8>(op, cpu, integers::selections(WEFT_EW_SELECT)),
        2 => run::<u16>(op, cpu, integers::selections(WEFT_EW_SELECT)),
        4 => run::<u32>(op, cpu, integers::selections(WEFT_EW_SELECT)),
        8 => run::<u64>(op, cpu, integers::selections(WEFT_EW_SELECT)),
        _ => run::<u128>(op, cpu, integers::selections(WEFT_EW_SELECT)),
    }
}

fn real<T: super::real::Real>(code: u32) -> Option<Kernel<T>> {
    formulas::values(code).or_else(|| formulas::conditions(code))
}

fn integer<T: integers::Integer>(code: u32) -> Option<Kernel<T>> {
    integers::values(code).or_else(|| integers::conditions(code))
}

fn run<T: 'static>(op: &Elementwise, cpu: &Cpu, kernel: Option<Kernel<T>>) -> Result<()> {
    let Some(kernel) = kernel else {
        let (name, dtype) = (op.function.name, op.y.dtype().name());
        fail!(WEFT_ERROR_INTERNAL, "elementwise: WEFT_EW_{name} has no loop for {dtype}");
    };
    let plan = Plan::new(op, kernel);
    let count = op.y.layout().count();
    let chunk_ns = item_ns(op) * plan.chunk.min(count) as f64;
    cpu.parallel_ranges(count.div_ceil(plan.chunk), chunk_ns, |start, end| {
        let mut stages = Stages::new();
        for at in (start..end).map(|chunk| chunk * plan.chunk) {
            plan.chunk(&mut stages, at, plan.chunk.min(count - at));
        }
    });
    Ok(())
}

/// Rough nanoseconds an element.
fn item_ns(op: &Elementwise) -> f64 {
    let f64 = op.y.dtype() == Dtype::F64;
    match op.function.code {
        WEFT_EW_POW | WEFT_EW_MOD | WEFT_EW_TAN..=WEFT_EW_COSH | WEFT_EW_ASINH..=WEFT_EW_ATANH => 10.0,
        WEFT_EW_EXP..=WEFT_EW_CELU | WEFT_EW_SWIGLU..=WEFT_EW_GEGLU_TANH if f64 => 8.0,
        WEFT_EW_EXP..=WEFT_EW_CELU | WEFT_EW_SWIGLU..=WEFT_EW_GEGLU_TANH => 1.0,
        _ => 0.3,
    }
}

/// An operand or the result: where it starts and how it moves.
struct Side {
    origin: *mut u8,
    port: Port,
    /// Along a run.
    stride: isize,
    /// Whether results are written onto it.
    shared: bool,
    /// Whether its elements lie one after another across all runs.
    packed: bool,
    /// Whether every chunk has the same elements of it (but the last chunk, which may have fewer).
    constant: bool,
}

/// All that a chunk needs to know.
struct Plan<T> {
    kernel: Kernel<T>,
    /// Of the operands (y's for those that are missing), then y.
    walk: Walk<4>,
    /// The operands, then y.
    sides: [Side; 4],
    inputs: usize,
    /// Elements in a chunk.
    chunk: usize,
    parameters: [f64; 2],
}

// SAFETY: the pointers are to buffers that the request owns; threads write disjoint elements of y.
unsafe impl<T> Sync for Plan<T> {}

impl<T> Plan<T> {
    fn new(op: &Elementwise, kernel: Kernel<T>) -> Self {
        let side = |number: usize| op.inputs.get(number).unwrap_or(&op.y);
        let operands = [side(0), side(1), side(2), &op.y];
        let walk = Walk::new(operands.map(Operand::layout));
        let whole = op.function.kind == Kind::Select;
        let port = |operand: &Operand| match operand.dtype() {
            dtype if whole => Port::plain(dtype.size()),
            dtype => Port::of(dtype),
        };
        let largest = operands.iter().map(|operand| port(operand).staged).fold(1, usize::max);
        let most = Stages::count(largest);
        // Whole runs, so that operands that repeat need to be gathered only once.
        let chunk = if walk.run == 0 || walk.run > most { most } else { most / walk.run * walk.run };
        let sides = [0, 1, 2, 3].map(|number| Side {
            origin: operands[number].address(),
            port: port(operands[number]),
            stride: walk.strides[number],
            shared: operands[number].may_overlap(&op.y),
            packed: operands[number].layout().is_packed(),
            constant: walk.repeats(number) && (walk.strides[number] == 0 || chunk % walk.run.max(1) == 0),
        });
        let inputs = op.inputs.len();
        Self { kernel, walk, sides, inputs, chunk, parameters: [op.alpha, op.beta] }
    }

    /// Computes `count` elements from number `at` on.
    fn chunk(&self, stages: &mut Stages, at: usize, count: usize) {
        let mut x = [stages.at(0).cast::<T>().cast_const(); 3];
        for (number, x) in x.iter_mut().enumerate().take(self.inputs) {
            *x = self.operand(stages, number, at, count).cast();
        }
        let first = x[0];
        x[self.inputs..].fill(first);
        let direct = self.direct(3, at, count);
        let y = direct.unwrap_or(stages.at(3));
        let [alpha, beta] = self.parameters;
        (self.kernel)(&Chunk { x, y: y.cast(), count, alpha, beta });
        if direct.is_none() {
            self.scatter(y, at, count);
        }
    }

    /// Where the chunk's elements of an operand lie one after another, gathered if need be. Elements that the results
    /// overwrite are always gathered: the loops are compiled for separate memory.
    fn operand(&self, stages: &mut Stages, number: usize, at: usize, count: usize) -> *const u8 {
        if !self.sides[number].shared
            && let Some(direct) = self.direct(number, at, count)
        {
            return direct;
        }
        let (stage, port) = (stages.at(number), self.sides[number].port);
        if self.sides[number].constant && stages.filled(number) {
            return stage;
        }
        self.runs(number, at, count, |from, done, length, stride| {
            let to = stage.wrapping_add(done * port.staged);
            // SAFETY: the run's elements are inside the operand, the stage has room for a chunk, and is nowhere in it.
            unsafe { (port.gather)(from, to, stride, length) }
        });
        stage
    }

    fn scatter(&self, stage: *const u8, at: usize, count: usize) {
        let port = self.sides[3].port;
        self.runs(3, at, count, |to, done, length, stride| {
            let from = stage.wrapping_add(done * port.staged);
            // SAFETY: the run's elements are inside y, the stage holds a chunk, and is nowhere in y.
            unsafe { (port.scatter)(from, to, stride, length) }
        });
    }

    /// The address of the chunk's elements of a side, if they lie there as a kernel wants them.
    fn direct(&self, number: usize, at: usize, count: usize) -> Option<*mut u8> {
        let side = &self.sides[number];
        let one_run = || at % self.walk.run + count <= self.walk.run;
        let packed = side.packed || (side.stride == 1 && one_run());
        (side.port.plain && packed).then(|| self.address(number, at))
    }

    /// Calls `each(address, elements before, length, stride)` for every part of a run in the chunk.
    fn runs(&self, number: usize, at: usize, count: usize, each: impl Fn(*mut u8, usize, usize, isize)) {
        if self.sides[number].packed {
            return each(self.address(number, at), 0, count, 1);
        }
        let mut done = 0;
        while done < count {
            let length = (self.walk.run - (at + done) % self.walk.run).min(count - done);
            each(self.address(number, at + done), done, length, self.sides[number].stride);
            done += length;
        }
    }

    /// Where element `at` of a side lies.
    fn address(&self, number: usize, at: usize) -> *mut u8 {
        let side = &self.sides[number];
        let offset = if side.packed { at as isize } else { self.walk.at(at)[number] };
        side.origin.wrapping_offset(offset * side.port.size as isize)
    }
}
