//! Any multiplication: tiles of A and B go through shared memory, each thread sums up 4 x 4 elements of D in f32, f64 or i32.
//! Sums are fused steps in the order of k. A product of complex numbers is one of their parts: A of twice as many columns, B
//! of twice as many rows and columns.

use super::Task;
use super::arguments::{Place, each};
use super::fetch::{Factor, Panel};
use super::full::{FullArgs, FullVals, Largest, Spot, Values};
use super::real::{is_complex, sum_of};
use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype;
use crate::ptx::{Builder, Kernel, Ptr, Reg, Shape, Shared, Target};
use crate::status::Result;

/// Threads of a block: 16 x 16, each with 4 x 4 elements.
pub(super) const THREADS: u32 = 256;
/// Rows and columns of D that a block computes at once.
pub(super) const EDGE: u32 = 64;
/// Columns of A and rows of B that lie in shared memory at once.
pub(super) const DEPTH: u32 = 16;

/// What a kernel is specialised on.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Of A and B.
    pub types: [Dtype; 2],
    /// What sums are: F32, F64 or I32.
    pub sum: Dtype,
    /// Whether the elements are scaled on their way in.
    pub scaled: bool,
    /// Whether D may ask for all that there is, and whether sums of its columns are wanted.
    pub full: bool,
    pub columns: bool,
}

impl Form {
    /// The one that a task asks for.
    pub fn of(task: &Task) -> Self {
        let p = &task.problem;
        let types = [p.a.dtype, p.b.dtype];
        let sum = sum_of(types[0], p.d.dtype == Dtype::I32);
        let scaled = task.has_block_scales();
        Self { types, sum, scaled, full: !task.is_plain(), columns: task.sums_columns() }
    }

    /// Parts of an element.
    fn parts(&self) -> u32 {
        1 + u32::from(is_complex(self.types[0]))
    }

    fn key(&self) -> Key {
        let [a, b] = self.types.map(|dtype| dtype as u32);
        let [scaled, full, columns] = [self.scaled, self.full, self.columns].map(u32::from);
        Key("matmul_simt", [a, b, self.sum as u32, scaled, full, columns, 0, 0])
    }

    fn name(&self) -> String {
        let types = self.types.map(|dtype| dtype.name().to_lowercase()).join("_");
        let flags = [(self.sum == Dtype::I32, "_i32"), (self.scaled, "_scaled"), (self.full, "_full")];
        let flags = flags.into_iter().chain([(self.columns, "_columns")]);
        let flags: String = flags.filter(|flag| flag.0).map(|flag| flag.1).collect();
        format!("matmul_simt_{types}{flags}")
    }
}

/// Tiles one below the other.
pub fn down(rows: usize) -> u64 {
    (rows as u64).div_ceil(u64::from(EDGE))
}

/// Multiplies.
pub fn run(task: &Task, stream: &Stream) -> Result<()> {
    let (p, form) = (&task.problem, Form::of(task));
    let down = down(p.m);
    let across = (p.n as u64 * u64::from(form.parts())).div_ceil(u64::from(EDGE));
    // Neighbouring threads fetch along k where A's columns, or B's rows, are the nearer ones.
    let along_k = [nearer(p.a.col, p.a.row), nearer(p.b.row, p.b.col)].map(u32::from);
    let columns = task.column_sums(stream, down)?;
    let mut args = FullArgs { columns, down, ..task.arguments() };
    args.base.more = [across as u32, along_k[0], along_k[1]];
    let kernel = stream.kernel(form.key(), |target| write(target, form))?;
    task.begin(stream)?;
    each(p, stream, down * across, &args.base, |stream, grid, base| {
        let args = args.of(base);
        // SAFETY: the operands live as long as the request's work; the kernel stays inside them.
        unsafe { kernel.launch(stream, grid, &args) }
    })?;
    task.end(stream, columns, down)
}

fn nearer(stride: isize, other: isize) -> bool {
    stride.unsigned_abs() <= other.unsigned_abs()
}

/// The kernel of a form.
pub fn write(target: Target, form: Form) -> Result<Kernel<FullArgs>> {
    let shape = Shape::new(form.name(), target, [THREADS, 1, 1]);
    match form.sum {
        Dtype::F64 => build::<f64>(&shape.min_blocks(1), form),
        Dtype::I32 => build::<i32>(&shape, form),
        _ if form.full => build::<f32>(&shape.min_blocks(1), form),
        _ => build::<f32>(&shape, form),
    }
}

fn build<R: Values>(shape: &Shape, form: Form) -> Result<Kernel<FullArgs>> {
    Kernel::build(shape, |k, v: FullVals<'_>| {
        let block = Block::<R>::new(k, &v, form);
        v.base.each_place(k, |place| block.tile(place));
        if form.full {
            block.largest.tell(k, &v);
        }
    })
}

/// Elements from one k to the next in shared memory: rows that are stored by 16 threads at once lie in different banks.
pub fn line<R: Values>() -> u32 {
    EDGE + 16 / R::SIZE
}

/// What a block keeps from tile to tile.
pub struct Block<'v, 'k, R: Values> {
    pub k: &'k Builder,
    pub v: &'v FullVals<'k>,
    pub form: Form,
    /// Tiles of A and B, DEPTH lines each; later a tile of sums.
    pub shared: Ptr<'k, Shared<R>>,
    pub thread: Reg<'k, u32>,
    /// Columns of B, and of A: parts of them.
    pub n: Reg<'k, u64>,
    pub depth: Reg<'k, u64>,
    /// The first of the four columns and rows that are this thread's.
    corner: [Reg<'k, u32>; 2],
    sums: Vec<Reg<'k, R>>,
    largest: Largest<'k>,
}

impl<'v, 'k, R: Values> Block<'v, 'k, R> {
    fn new(k: &'k Builder, v: &'v FullVals<'k>, form: Form) -> Self {
        let thread = k.thread_x();
        let shared = k.shared::<R>((2 * DEPTH * line::<R>()).max(EDGE * EDGE));
        let corner = [(thread & 15u32) * 4u32, (thread >> 4u32) * 4u32];
        let sums = (0..16).map(|_| k.var(R::ZERO)).collect();
        let [n, depth] = [v.base.n, v.base.k].map(|size| size * u64::from(form.parts()));
        Self { k, v, form, shared, thread, n, depth, corner, sums, largest: Largest::new(k) }
    }

    /// One tile of D.
    fn tile(&self, place: &Place<'k>) {
        let (k, base) = (self.k, &self.v.base);
        let [across, ..] = base.more;
        let down = k.div(place.part, across);
        let across = place.part - down * across;
        let [row, col] = [down, across].map(|tile| tile.to::<u64>() * u64::from(EDGE));
        let number = base.first + place.matrix.to::<u64>();
        let more = if self.form.full { self.v.locate_more(k, number) } else { self.v.more_at };
        self.sums.iter().for_each(|sum| sum.set(R::ZERO));
        let factor =
            |operand, from| Factor { operand, from, at: place.at[operand], scales: more[operand + 1] };
        let a = Panel::new(self, &factor(0, row), self.shared);
        let b = Panel::new(self, &factor(1, col), self.shared.plus((DEPTH * line::<R>()) as i32));
        self.sum_up(&a, &b);
        self.put();
        match self.form {
            Form { full: false, .. } => self.finish_plain(place, [row, col]),
            form if form.parts() == 2 => self.finish_complex(place, [row, col]),
            _ => self.finish_whole(place, more, [row, col]),
        }
        if self.form.columns {
            self.sum_columns(number * self.v.down + down.to::<u64>(), col);
        }
        k.barrier(); // so that the next tile does not overwrite what others still read
    }

    /// The sums over all of k. What comes next is fetched while what is there is multiplied.
    fn sum_up(&self, a: &Panel<'k, R>, b: &Panel<'k, R>) {
        let k = self.k;
        let at = k.var(0u64);
        let fetch = || [a, b].iter().for_each(|panel| panel.fetch(k, at, self.depth));
        fetch();
        k.repeat_while(
            || at.lt(self.depth),
            || {
                [a, b].iter().for_each(|panel| panel.put(k));
                k.barrier();
                at.set(at + u64::from(DEPTH));
                fetch();
                self.multiply();
                k.barrier(); // so that the next elements do not overwrite what others still read
            },
        );
    }

    /// Adds the products of what lies in shared memory.
    fn multiply(&self) {
        let [col, row] = self.corner;
        let (a, b) = (self.shared.at(row), self.shared.plus((DEPTH * line::<R>()) as i32).at(col));
        for depth in 0..DEPTH {
            let offset = (depth * line::<R>()) as i32;
            let (a, b) = (R::load4(a.plus(offset)), R::load4(b.plus(offset)));
            for (sum, index) in self.sums.iter().zip(0..) {
                sum.set(R::step(self.k, a[index / 4], b[index % 4], *sum));
            }
        }
    }

    /// Brings the sums to shared memory, so that neighbouring threads write neighbouring columns.
    fn put(&self) {
        let corner = self.shared.at(self.k.mad(self.corner[1], EDGE, self.corner[0]));
        for (line, sums) in self.sums.chunks(4).enumerate() {
            R::store4(corner.plus(line as i32 * EDGE as i32), [sums[0], sums[1], sums[2], sums[3]]);
        }
        self.k.barrier();
    }

    /// The row and the column of number `number` of a tile.
    fn place(&self, [row, col]: [Reg<'k, u64>; 2], number: Reg<'k, u32>) -> [Reg<'k, u64>; 2] {
        [row + (number >> EDGE.ilog2()).to::<u64>(), col + (number & (EDGE - 1)).to::<u64>()]
    }

    fn finish_plain(&self, place: &Place<'k>, corner: [Reg<'k, u64>; 2]) {
        let (k, base) = (self.k, &self.v.base);
        k.steps(self.thread, EDGE * EDGE, THREADS, |number| {
            let [row, col] = self.place(corner, number);
            let sum = self.shared.at(number).load();
            k.when(row.lt(base.m) & col.lt(base.n), || R::plain(k, base, place, [row, col], sum));
        });
    }

    fn finish_whole(&self, place: &Place<'k>, more: [Reg<'k, u64>; 3], corner: [Reg<'k, u64>; 2]) {
        let (k, base) = (self.k, &self.v.base);
        k.steps(self.thread, EDGE * EDGE, THREADS, |number| {
            let [row, col] = self.place(corner, number);
            let inside = row.lt(base.m) & col.lt(base.n);
            let (spot, at) = (Spot { row, col, inside, at: place.at, more }, self.shared.at(number));
            let value = R::whole(k, self.v, &spot, at.load(), &self.largest);
            if self.form.columns {
                at.store(value);
            }
        });
    }

    /// Half as many elements, each of two sums.
    fn finish_complex(&self, place: &Place<'k>, [row, col]: [Reg<'k, u64>; 2]) {
        let (k, base) = (self.k, &self.v.base);
        k.steps(self.thread, EDGE * EDGE / 2, THREADS, |number| {
            let [row, col] = self.place([row, col], number * 2u32);
            let (col, at) = (col >> 1u32, self.shared.at(number * 2u32));
            k.when(row.lt(base.m) & col.lt(base.n), || {
                let spot = Spot { row, col, inside: row.lt(base.m), at: place.at, more: self.v.more_at };
                R::complex(k, self.v, &spot, [at.load(), at.plus(1).load()]);
            });
        });
    }

    /// The sums of the values' columns, to line `line`.
    fn sum_columns(&self, line: Reg<'k, u64>, col: Reg<'k, u64>) {
        let (k, v) = (self.k, self.v);
        k.barrier();
        let col = col + self.thread.to::<u64>();
        k.when(self.thread.lt(EDGE) & col.lt(v.base.n), || {
            let sum = k.var(R::ZERO);
            let one = k.var(R::ONE);
            for row in 0..EDGE {
                let value = self.shared.at(self.thread).plus((row * EDGE) as i32).load();
                sum.set(R::step(k, value, one, sum));
            }
            let at = k.mad(k.mad(line, v.base.n, col), u64::from(R::SIZE), v.columns);
            Ptr::<crate::ptx::Global<R>>::new(at).store(sum);
        });
    }
}
