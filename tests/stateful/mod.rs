//! Sequences of calls against a reference model. The same bytes mean the same calls everywhere: in the test, in the
//! fuzzer, in a replay.

mod bytes;
mod create;
mod look;
mod model;
mod submit;
mod world;

use bytes::Bytes;
use world::World;

/// The most calls that one input makes.
const LONGEST: usize = 64;

/// Makes the calls that `input` stands for; panics where an answer is not the model's. The number of calls.
pub fn run(input: &[u8], log: bool) -> usize {
    let (mut bytes, mut world) = (Bytes::new(input), World::new(log));
    start(&mut world);
    while !bytes.is_empty() && world.model.calls < LONGEST {
        world.model.calls += 1;
        step(&mut world, &mut bytes);
        world.settle();
        world.check_events();
    }
    world.model.calls += 1;
    world.end();
    world.model.calls
}

/// A context with a queue of three places, a port of two, and a buffer of 64 bytes: enough for short inputs to matter.
fn start(world: &mut World) {
    world.create_context(&mut Bytes::new(&[0, 1]));
    world.create_queue(&mut Bytes::new(&[0, 0, 0, 3]));
    world.create_port(&mut Bytes::new(&[0, 0, 2]));
    world.create_buffer(&mut Bytes::new(&[0, 0, 64]));
}

fn step(world: &mut World, bytes: &mut Bytes) {
    match bytes.byte() {
        0..=95 => {
            let kind = bytes.byte();
            world.submit(bytes, kind);
        }
        96..=107 => world.submit(bytes, 4),
        108..=119 => world.let_go(bytes),
        120..=135 => world.poll(bytes),
        136..=151 => world.cancel(bytes),
        152..=167 => world.wait(bytes),
        168..=183 => world.take(bytes),
        184..=191 => world.dispatch(bytes),
        192..=201 => world.event(bytes),
        202..=209 => world.drain(bytes),
        210..=217 => world.infos(bytes),
        218..=223 => world.create_buffer(bytes),
        224..=227 => world.create_queue(bytes),
        228..=231 => world.create_port(bytes),
        232..=233 => world.create_context(bytes),
        _ => world.release_any(bytes),
    }
}
