//! On CUDA: planes turned through shared memory, dense operands, and everything else by the strided kernel.

use super::Cast;
use super::ptx::{Args, Conversion, Spec, THREADS, TILE, Way};
use crate::device::cuda::{Key, Stream};
use crate::kernels::gpu::Space;
use crate::layout::Layout;
use crate::op::Choice;
use crate::status::Result;

/// Best first.
pub(super) const CHOICES: &[Choice<Cast, Stream>] = &[
    Choice { name: "dense", accepts: |op, _| op.is_dense(), run: dense },
    Choice { name: "transpose", accepts: |op, _| op.turned().is_some(), run: transpose },
    Choice { name: "strided", accepts: |_, _| true, run: strided },
];

/// Blocks of a multiprocessor.
const BLOCKS: u64 = 8;

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

    fn is_dense(&self) -> bool {
        self.space().is_dense() && self.x.dtype().size().max(self.y.dtype().size()) <= 8 && !self.is_complex()
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
        let large = |axis: usize| y.dim(axis) >= TILE as usize / 2;
        let moves = self.x.dtype() == self.y.dtype() && self.x.dtype().size() <= 8;
        if !moves || across == along || !large(across) || !large(along) {
            return None;
        }
        let rest = |layout: &Layout| layout.without_axis(across.max(along)).without_axis(across.min(along));
        Some(Plane { across, along, outside: Space::new([&rest(x), &rest(y)]) })
    }

    fn launch(&self, stream: &Stream, way: Way, blocks: u64, arguments: &Args) -> Result<()> {
        let spec = self.spec(way);
        let most = stream.gpu().description.multiprocessors as u64 * BLOCKS;
        let kernel = stream.kernel(Key("cast", spec.key()), |target| spec.kernel(target))?;
        // SAFETY: the kernel reaches the elements of the checked layouts of operands that the request owns.
        unsafe { kernel.launch(stream, [blocks.clamp(1, most) as u32, 1, 1], arguments) }
    }

    fn arguments(&self, space: &Space<2>) -> Args {
        let at = [self.x.at(), self.y.at()];
        Args { count: space.count(), at, plane: [0; 2], steps: [0; 2], space: space.words() }
    }
}

fn dense(op: &Cast, stream: &Stream) -> Result<()> {
    let arguments = op.arguments(&op.space());
    op.launch(stream, Way::Dense, arguments.count.div_ceil(u64::from(THREADS) * 4), &arguments)
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
    let tiles: u64 = size.iter().map(|size| size.div_ceil(u64::from(TILE))).product();
    let arguments = Args {
        count: tiles * plane.outside.count(),
        plane: size,
        steps: [x.stride(plane.along) as u64, y.stride(plane.across) as u64],
        ..op.arguments(&plane.outside)
    };
    op.launch(stream, Way::Turned { rank: plane.outside.rank() }, arguments.count, &arguments)
}
