//! On CUDA: planes turned through shared memory, dense operands, and everything else by the strided kernel.

use super::Cast;
use super::ptx::{Args, Conversion, Spec, THREADS, Way, squares};
use crate::device::cuda::{Key, Stream};
use crate::kernels::gpu::Space;
use crate::layout::Layout;
use crate::op::{Choice, Operand};
use crate::status::Result;

/// Best first.
pub(super) const CHOICES: &[Choice<Cast, Stream>] = &[
    Choice { name: "dense", accepts: |op, _| op.is_dense(), run: dense },
    Choice { name: "transpose", accepts: |op, _| op.turned().is_some(), run: transpose },
    Choice { name: "strided", accepts: |_, _| true, run: strided },
];

/// Blocks of a grid: one for each tile as far as that goes, so that the last ones to finish are few.
const BLOCKS: u64 = 1 << 20;
/// The least side of a plane that is worth being turned in tiles.
const SIDE: usize = 16;

/// Two axes to be swapped, and what lies outside of them.
struct Plane {
    across: usize,
    along: usize,
    outside: Space<2>,
}

impl Cast {
    fn spec(&self, way: Way) -> Spec {
        Spec { conversion: self.conversion(), way }
    }

    fn conversion(&self) -> Conversion {
        Conversion { from: self.x.dtype(), to: self.y.dtype(), saturate: self.saturate }
    }

    fn space(&self) -> Space<2> {
        Space::new([self.x.layout(), self.y.layout()])
    }

    /// Whether both are dense and begin where a vector may.
    fn is_dense(&self) -> bool {
        let (space, spec) = (self.space(), self.spec(Way::Dense));
        let short = self.x.dtype().size().max(self.y.dtype().size()) <= 8 && !self.is_complex();
        let begins = |operand: &Operand| {
            operand.at().is_multiple_of(u64::from(spec.lanes()) * operand.dtype().size() as u64)
        };
        short && space.is_dense() && begins(&self.x) && begins(&self.y) && space.count() >> 32 == 0
    }

    /// Complex numbers whose parts are converted.
    fn is_complex(&self) -> bool {
        let conversion = self.conversion();
        conversion.parts().from != conversion.from
    }

    /// The plane, where elements only move and x and y run along different axes of a tile's size at least.
    fn turned(&self) -> Option<Plane> {
        let (x, y) = (self.x.layout(), self.y.layout());
        let run =
            |layout: &Layout| (0..layout.rank()).rev().find(|&a| layout.dim(a) > 1 && layout.stride(a) == 1);
        let (across, along) = (run(x)?, run(y)?);
        let large = |axis: usize| y.dim(axis) >= SIDE;
        let moves = self.x.dtype() == self.y.dtype() && self.x.dtype().size() <= 8;
        if !moves || across == along || !large(across) || !large(along) {
            return None;
        }
        let rest = |layout: &Layout| layout.without_axis(across.max(along)).without_axis(across.min(along));
        Some(Plane { across, along, outside: Space::new([&rest(x), &rest(y)]) })
    }

    /// How the plane is turned: by vectors where each line of both begins where one may.
    fn way(&self, plane: &Plane) -> Way {
        let rank = plane.outside.rank();
        let spec = self.spec(Way::Turned { rank, vectors: true });
        let (x, y) = (self.x.layout(), self.y.layout());
        let lanes = spec.lanes() as isize;
        let dims = [y.dim(plane.across), y.dim(plane.along)];
        let steps = [x.stride(plane.along), y.stride(plane.across)];
        let mut outer = (0..2).flat_map(|n| plane.outside.strides(n));
        let vectors = dims.iter().all(|&dim| dim % lanes as usize == 0 && dim >= spec.side() as usize / 2)
            && steps.iter().all(|step| step % lanes == 0)
            && outer.all(|stride| stride % lanes == 0)
            && [self.x.at(), self.y.at()].iter().all(|at| at.is_multiple_of(16));
        Way::Turned { rank, vectors }
    }

    fn launch(&self, stream: &Stream, way: Way, blocks: u64, arguments: &Args) -> Result<()> {
        let spec = self.spec(way);
        let kernel = stream.kernel(Key("cast", spec.key()), |target| spec.kernel(target))?;
        // SAFETY: the kernel reaches the elements of the checked layouts of operands that the request owns.
        unsafe { kernel.launch(stream, [blocks.clamp(1, BLOCKS) as u32, 1, 1], arguments) }
    }

    fn arguments(&self, space: &Space<2>) -> Args {
        let at = [self.x.at(), self.y.at()];
        Args {
            count: space.count(),
            vectors: 0,
            at,
            plane: [0; 2],
            band: 0,
            steps: [0; 2],
            space: space.words(),
        }
    }
}

fn dense(op: &Cast, stream: &Stream) -> Result<()> {
    let (space, spec) = (op.space(), op.spec(Way::Dense));
    let vectors = (space.count() / u64::from(spec.lanes())) as u32;
    let blocks = u64::from(vectors.div_ceil(THREADS * spec.unroll()));
    op.launch(stream, Way::Dense, blocks, &Args { vectors, ..op.arguments(&space) })
}

fn strided(op: &Cast, stream: &Stream) -> Result<()> {
    let space = op.space();
    let arguments = op.arguments(&space);
    let way = Way::Strided { rank: space.rank(), wide: arguments.count >> 32 != 0 };
    op.launch(stream, way, arguments.count.div_ceil(u64::from(THREADS)), &arguments)
}

fn transpose(op: &Cast, stream: &Stream) -> Result<()> {
    let Some(plane) = op.turned() else { return strided(op, stream) };
    let (x, y) = (op.x.layout(), op.y.layout());
    let size = [y.dim(plane.across), y.dim(plane.along)].map(|dim| dim as u64);
    let way = op.way(&plane);
    let side = u64::from(op.spec(way).side());
    let [across, along] = size.map(|size| size.div_ceil(side));
    let together =
        if matches!(way, Way::Turned { vectors: true, .. }) { u64::from(squares::TOGETHER) } else { 1 };
    let band = if together > 1 { along.next_multiple_of(together).min(squares::BAND) } else { 1 };
    let arguments = Args {
        count: across * along.next_multiple_of(band) * plane.outside.count(),
        plane: size,
        band: band as u32,
        steps: [x.stride(plane.along) as u64, y.stride(plane.across) as u64],
        ..op.arguments(&plane.outside)
    };
    op.launch(stream, way, arguments.count / together, &arguments)
}
