//! A use of every instruction: the tables' own samples, and those of the chapters that are no tables.

use weft::dtype::{bf16, f16};
use weft::ptx::compare::Compares;
use weft::ptx::convert::{Rounding, Whole};
use weft::ptx::integers::integer;
use weft::ptx::memory::{Load, Policy, Scope, Store, Strength};
use weft::ptx::mma::{A, B};
use weft::ptx::warp::Shuffle;
use weft::ptx::*;

#[path = "hopper.rs"]
mod hopper;

const E4M3: E4m3 = E4m3(0x7E);

/// An instruction, or a few, to be written into a kernel of its own.
pub struct Case {
    pub name: String,
    pub write: Box<dyn Fn(&Builder)>,
}

type Cases = Vec<Case>;

fn case(cases: &mut Cases, name: impl Into<String>, write: impl Fn(&Builder) + 'static) {
    cases.push(Case { name: name.into(), write: Box::new(write) });
}

/// All of them.
pub fn cases() -> Cases {
    let table = samples()
        .into_iter()
        .map(|sample| Case { name: format!("{} {}", sample.name, sample.ty), write: Box::new(sample.write) });
    let mut cases: Cases = table.collect();
    let chapters = [integers, choices, conversions, constants, loads, stores, addresses, warps, barriers];
    chapters.iter().for_each(|chapter| chapter(&mut cases));
    let chapters = [atomics, matrices, copies, flow];
    chapters.iter().for_each(|chapter| chapter(&mut cases));
    hopper::chapters(&mut cases);
    cases
}

macro_rules! each {
    ($cases:ident, $function:ident: $($ty:ty)+) => { $($function::<$ty>($cases);)+ };
}

fn integers(cases: &mut Cases) {
    case(cases, "mul_wide", |k| {
        k.keep(k.mul_wide(k.any::<u16>(), k.any::<u16>()));
        k.keep(k.mul_wide(k.any::<i16>(), 7i16));
        k.keep(k.mul_wide(k.any::<u32>(), k.any::<u32>()));
        k.keep(k.mul_wide(k.any::<i32>(), k.any::<i32>()));
        k.keep(k.mad_wide(k.any::<u16>(), k.any::<u16>(), k.any::<u32>()));
        k.keep(k.mad_wide(k.any::<u32>(), 5u32, k.any::<u64>()));
        k.keep(k.mad_wide(k.any::<i32>(), k.any::<i32>(), k.any::<i64>()));
    });
    each!(cases, shifts: u16 i16 u32 i32 u64 i64);
    each!(cases, words: u32 i32 u64 i64);
    case(cases, "lop3", |k| k.keep(k.lop3(k.any::<u32>(), k.any::<u32>(), 3u32, 0xEA)));
    case(cases, "dp4a", |k| k.keep(k.dp4a(k.any::<I8x4>(), k.any::<I8x4>(), k.any::<i32>())));
}

fn shifts<T>(cases: &mut Cases)
where
    T: Element + Has<integer::and> + Has<integer::or> + Has<integer::xor> + Has<integer::not>,
{
    case(cases, format!("shifts {}", T::NAME), |k| {
        k.keep(k.any::<T>() << k.any::<u32>());
        k.keep(k.any::<T>() >> 3u32);
        k.keep((k.any::<T>() & k.any::<T>()) ^ (k.any::<T>() | !k.any::<T>()));
    });
}

fn words<T: integers::Words>(cases: &mut Cases) {
    case(cases, format!("bits of {}", T::NAME), |k| {
        k.keep(k.popc(k.any::<T>()));
        k.keep(k.clz(k.any::<T>()));
        k.keep(k.bfind(k.any::<T>()));
        k.keep(k.bfe(k.any::<T>(), k.any::<u32>(), 8u32));
        k.keep(k.bfi(k.any::<T>(), k.any::<T>(), 3u32, k.any::<u32>()));
    });
}

fn choices(cases: &mut Cases) {
    each!(cases, choice: u16 i16 u32 i32 u64 i64 f32 f64 f16);
    case(cases, "select halves", |k| {
        k.keep(k.select(k.any::<bool>(), k.any::<Bf16x2>(), k.any::<Bf16x2>()));
        k.keep(k.select(k.any::<bool>(), k.any::<u8>(), k.any::<u8>()));
    });
    case(cases, "testp", |k| k.keep(k.is_finite(k.any::<f32>()) ^ k.is_nan(k.any::<f32>())));
}

fn choice<T: Compares + Element>(cases: &mut Cases) {
    let chosen = |k: &Builder| k.keep(k.select(k.any::<T>().lt(k.any::<T>()), k.any::<T>(), k.any::<T>()));
    case(cases, format!("select {}", T::NAME), chosen);
}

fn conversions(cases: &mut Cases) {
    const ROUNDINGS: [Rounding; 4] = [Rounding::Nearest, Rounding::Zero, Rounding::Down, Rounding::Up];
    for rounding in ROUNDINGS {
        case(cases, format!("round {rounding:?}"), move |k| {
            k.keep(k.any::<f32>().round_to::<i32>(rounding));
            k.keep(k.any::<f64>().round_to::<u64>(rounding));
            k.keep(k.any::<f16>().round_to::<i8>(rounding));
            k.keep(k.any::<f32>().round_to::<u8>(rounding));
        });
        case(cases, format!("round bf16 {rounding:?}"), move |k| {
            k.keep(k.any::<bf16>().round_to::<i32>(rounding))
        });
        each!(cases, whole_numbers: f32 f64 f16);
    }
    case(cases, "saturate", |k| {
        k.keep(k.any::<i32>().saturate_to::<i8>());
        k.keep(k.any::<i64>().saturate_to::<u32>());
        k.keep(k.any::<u32>().saturate_to::<u8>());
        k.keep(k.any::<u64>().saturate_to::<i64>());
    });
    case(cases, "cut", |k| {
        k.keep(k.any::<f32>().cut::<f16>());
        k.keep(k.any::<f32>().cut::<bf16>());
        k.keep(k.any::<f32>().unit());
    });
    case(cases, "widen", |k| {
        k.keep(k.any::<bf16>().widen());
        keep_all(k, &k.any::<Bf16x2>().widen());
        keep_all(k, &k.any::<F16x2>().widen());
    });
    each!(cases, bytes: E4m3x2 E5m2x2);
}

fn whole_numbers<T: Whole>(cases: &mut Cases) {
    case(cases, format!("whole {}", T::NAME), |k| {
        k.keep(k.any::<T>().whole(Rounding::Nearest));
        k.keep(k.any::<T>().whole(Rounding::Down));
        k.keep(k.any::<T>().whole(Rounding::Up));
        k.keep(k.any::<T>().whole(Rounding::Zero));
    });
}

fn bytes<T: convert::PairOfBytes>(cases: &mut Cases) {
    case(cases, format!("{} of halves", T::NAME), |k| k.keep(k.pair_of_halves::<T>(k.any())));
    case(cases, format!("halves of {}", T::NAME), |k| k.keep(k.halves_of_pair::<T>(k.any())));
}

fn constants(cases: &mut Cases) {
    fn of<T: Constant + Element>(cases: &mut Cases, value: T) {
        case(cases, format!("constant {}", T::NAME), move |k| {
            Ptr::<Global<T>>::new(k.any()).store(value);
            let changing = k.any::<T>();
            changing.set(value);
            k.keep(changing);
            k.keep(k.select(k.any::<bool>(), value, k.any::<T>()));
        });
    }
    of(cases, 200u8);
    of(cases, -3i8);
    of(cases, E4m3(0x7E));
    of(cases, E5m2(1));
    of(cases, u16::MAX);
    of(cases, i16::MIN);
    of(cases, f16::from_f32(1.5));
    of(cases, bf16::from_f32(-2.5));
    of(cases, u32::MAX);
    of(cases, i32::MIN);
    of(cases, f32::NAN);
    of(cases, f32::NEG_INFINITY);
    of(cases, F16x2::new(f16::ONE, f16::MAX));
    of(cases, Bf16x2::new(bf16::ONE, bf16::NEG_ONE));
    of(cases, u64::MAX);
    of(cases, i64::MIN);
    of(cases, -0.0f64);
    case(cases, "tables", |k| {
        k.keep(k.constants(&[1.5f32, f32::NAN, -0.0]).at(k.any::<u32>()).load());
        k.keep(k.constants(&[f16::ONE, f16::MAX]).plus(1).load());
        k.keep(k.constants(&[i32::MIN, 5]).at(k.any::<u32>()).load());
        k.keep(k.constants(&[u64::MAX, 5, 6, 7]).load_vec::<2>()[1]);
        k.keep(k.constants(&[200u8, 7, 9]).at(k.any::<u32>()).load());
        k.keep(k.constants(&[-1i8, E4M3.0 as i8]).at(k.any::<u32>()).load());
        k.keep(k.constants(&[E4M3, E4M3]).at(k.any::<u32>()).load());
        k.keep(k.constants(&[Bf16x2::new(bf16::ONE, bf16::ONE); 4]).load_vec::<4>()[3]);
        k.keep(k.constants(&[1e300f64]).load());
    });
    case(cases, "constants in arithmetic", |k| {
        k.keep(k.any::<f32>() * 0.5f32 + 1e-40f32);
        k.keep(k.add(2.0f64, k.any::<f64>()));
        k.keep(k.any::<i32>() % 7i32 - i32::MAX);
        k.keep(k.any::<u64>() / u64::MAX);
        k.keep(k.any::<f16>() * f16::PI);
        k.keep(k.fma(k.any::<bf16>(), bf16::ONE, k.any::<bf16>()));
        k.keep(k.any::<bool>() & true);
        k.keep(-k.any::<f32>());
    });
}

fn global<T: Element>(k: &Builder) -> Ptr<'_, Global<T>> {
    Ptr::new(k.any())
}

fn keep_all<T: Ty>(k: &Builder, registers: &[Reg<'_, T>]) {
    registers.iter().for_each(|register| k.keep(*register));
}

fn loads(cases: &mut Cases) {
    each!(cases, scalars: u8 i8 E4m3 E5m2 u16 i16 f16 bf16 u32 i32 f32 F16x2 Bf16x2 u64 i64 f64);
    each!(cases, pairs_of: u8 i8 u16 f16 bf16 u32 i32 f32 F16x2 Bf16x2 u64 i64 f64);
    each!(cases, fours: u8 i8 u16 f16 bf16 u32 i32 f32 F16x2 Bf16x2);
    case(cases, "v8 f32", |k| global::<f32>(k).plus(8).store_vec(global::<f32>(k).load_vec::<8>()));
    case(cases, "v4 f64", |k| global::<f64>(k).plus(8).store_vec(global::<f64>(k).load_vec::<4>()));
    for load in Load::all() {
        case(cases, format!("load {load:?}"), move |k| {
            k.keep(global::<f32>(k).loading(load).load());
            k.keep(global::<u8>(k).plus(1).loading(load).load_if(k.any(), 7u8));
            keep_all(k, &global::<Bf16x2>(k).loading(load).load_vec::<4>());
        });
    }
    for policy in Policy::all() {
        case(cases, format!("policy {policy:?}"), move |k| {
            let at = global::<f32>(k).policy(k.policy(policy));
            at.plus(4).store_vec(at.load_vec::<4>());
        });
    }
    for strength in [Strength::Volatile, Strength::Relaxed, Strength::Acquire] {
        for scope in Scope::all() {
            case(cases, format!("load {strength:?} {scope:?}"), move |k| {
                k.keep(global::<u32>(k).load_strong(strength, scope));
                k.keep(k.shared::<u64>(8).load_strong(strength, scope));
            });
        }
    }
}

fn scalars<T: Element>(cases: &mut Cases) {
    case(cases, format!("ld st {}", T::NAME), |k| {
        let value = global::<T>(k).at(k.any::<u32>()).load();
        let there = k.shared::<T>(64).at(k.any::<u32>());
        there.store(value);
        k.barrier();
        global::<T>(k).at_far(k.any::<u64>()).store_if(k.any(), there.plus(1).load_if(k.any(), k.any::<T>()));
        k.keep(Ptr::<Generic<T>>::new(k.any()).load());
    });
}

fn pairs_of<T: Element>(cases: &mut Cases) {
    vectors::<T, 2>(cases);
}

fn fours<T: Element>(cases: &mut Cases) {
    vectors::<T, 4>(cases);
}

fn vectors<T: Element, const N: usize>(cases: &mut Cases) {
    case(cases, format!("v{N} {}", T::NAME), |k| {
        let there = k.shared::<T>(64);
        there.store_vec(global::<T>(k).load_vec::<N>());
        k.barrier();
        global::<T>(k).plus(4).store_vec(there.plus(4).load_vec_if::<N>(k.any(), k.any::<T>()));
    });
}

fn stores(cases: &mut Cases) {
    for store in Store::all() {
        case(cases, format!("store {store:?}"), move |k| {
            global::<f32>(k).storing(store).store(1.0f32);
            global::<f16>(k).storing(store).store_if(k.any(), k.any::<f16>());
            global::<Bf16x2>(k).storing(store).store_vec([k.any(), k.any(), k.any(), k.any()]);
        });
    }
    for strength in [Strength::Volatile, Strength::Relaxed, Strength::Release] {
        for scope in Scope::all() {
            case(cases, format!("store {strength:?} {scope:?}"), move |k| {
                global::<u32>(k).store_strong(strength, scope, 1u32);
                k.shared::<f64>(8).store_strong(strength, scope, 1.0f64);
            });
        }
    }
    case(cases, "prefetch", |k| {
        global::<f32>(k).prefetch_l1();
        global::<f32>(k).plus(32).prefetch_l2();
    });
    case(cases, "prefetch to stay", |k| global::<f32>(k).prefetch_l2_last());
}

fn addresses(cases: &mut Cases) {
    case(cases, "addresses", |k| {
        let shared = k.shared::<f32>(64).plus(3);
        let generic = shared.generic();
        k.keep(generic.is_shared() ^ generic.is_global());
        generic.shared().store(global::<f32>(k).generic().load());
        generic.global().store(2.0f32);
        k.keep(shared.plus(-1).address());
        k.keep(shared.displaced(k.any::<u32>()).cast::<u8>().load());
        let walk = global::<f64>(k).walking();
        walk.advance(64u64);
        walk.store(1.0f64);
    });
    case(cases, "shared beyond 48 KB", |k| {
        k.shared::<f32>(40 << 8).at(k.any::<u32>()).store(1.0f32);
        let more = k.shared_aligned::<u8>(40 << 10, 1024);
        k.keep(more.at(k.any::<u32>()).load());
        k.keep(k.dynamic_shared_bytes());
    });
}

fn warps(cases: &mut Cases) {
    for how in [Shuffle::Index, Shuffle::Up, Shuffle::Down, Shuffle::Xor] {
        for width in [1, 8, 32] {
            case(cases, format!("shuffle {how:?} {width}"), move |k| {
                k.keep(k.shuffle(how, k.any::<bool>(), 1u32, width, u32::MAX));
                k.keep(k.shuffle(how, k.any::<u8>(), k.any::<u32>(), width, u32::MAX));
                k.keep(k.shuffle(how, k.any::<bf16>(), 1u32, width, u32::MAX));
                k.keep(k.shuffle(how, k.any::<f32>(), 3u32, width, k.any::<u32>()));
                k.keep(k.shuffle(how, k.any::<f64>(), k.any::<u32>(), width, u32::MAX));
            });
        }
    }
    case(cases, "warp reductions", |k| {
        k.keep(k.warp_sum(k.any::<f32>()));
        k.keep(k.warp_max(k.any::<F16x2>()));
        k.keep(k.warp_min(k.any::<i64>()));
        k.keep(k.reduce_lanes(k.any::<f64>(), 4, |a, b| k.min(a, b)));
        k.keep(k.broadcast(k.shuffle_up(k.shuffle_down(k.any::<i32>(), 2), 1), k.any::<u32>()));
        k.keep(k.active_lanes());
    });
    case(cases, "elect", |k| k.keep(k.elect()));
}

fn barriers(cases: &mut Cases) {
    case(cases, "barriers", |k| {
        k.barrier();
        k.barrier_of(1u32, 64);
        k.barrier_of(k.any::<u32>(), 128);
        k.barrier_arrive(3u32, 96);
        k.keep(k.barrier_count(k.any()));
        k.keep(k.barrier_all(k.any()) ^ k.barrier_any(k.any()));
        k.warp_sync(u32::MAX);
        k.warp_sync(k.any::<u32>());
    });
    for scope in Scope::all() {
        case(cases, format!("fence {scope:?}"), move |k| {
            k.fence(scope);
            k.fence_total(scope);
        });
    }
    case(cases, "fence async shared", |k| k.fence_async_shared());
    case(cases, "fence async global", |k| k.fence_async_global());
    case(cases, "fence async", |k| k.fence_async());
}

fn atomics(cases: &mut Cases) {
    use weft::ptx::atomic::Order;
    for order in [Order::Relaxed, Order::Acquire, Order::Release, Order::AcqRel] {
        for scope in Scope::all() {
            case(cases, format!("atomic {order:?} {scope:?}"), move |k| {
                k.keep(global::<u32>(k).atomic().order(order).scope(scope).fetch_add(1u32));
                if matches!(order, Order::Relaxed | Order::Release) {
                    global::<f32>(k).atomic().order(order).scope(scope).add(1.0f32);
                }
            });
        }
    }
    each!(cases, replacements: u16 i16 f16 bf16 u32 i32 f32 u64 i64 f64);
    case(cases, "red v2", |k| global::<f32>(k).atomic().add_vec([k.any(), k.any()]));
    case(cases, "red v4", |k| global::<f32>(k).atomic().add_vec([k.any(), k.any(), k.any(), k.any()]));
    case(cases, "atomic generic", |k| Ptr::<Generic<u64>>::new(k.any()).atomic().max(5u64));
}

fn replacements<T: Element + atomic::HasAtomic<atomic::operation::Replace>>(cases: &mut Cases) {
    case(cases, format!("replace {}", T::NAME), |k| {
        k.keep(global::<T>(k).atomic().replace(k.any::<T>(), k.any::<T>()));
        k.keep(k.shared::<T>(8).atomic().replace(k.any::<T>(), k.any::<T>()));
    });
}

fn matrices(cases: &mut Cases) {
    for turn in [Turn::Straight, Turn::Transposed] {
        case(cases, format!("ldmatrix {turn:?}"), move |k| {
            let tile = k.shared::<bf16>(1024).at(k.any::<u32>());
            let acc = k.acc::<f32>();
            acc.mma(&A::<bf16, 16>::load(&tile, turn), &B::load(&tile.plus(256), turn));
            acc.mma(&A::<bf16, 8>::load(&tile, turn), &B::load(&tile.plus(256), turn));
            let a = A::<bf16, 16>::new(tile.load_matrix::<Bf16x2, 4>(turn));
            B::<bf16, 16>::load_two(&tile, turn).iter().for_each(|b| acc.mma(&a, b));
            keep_all(k, acc.registers());
        });
        case(cases, format!("stmatrix {turn:?}"), move |k| {
            let tile = k.shared::<f16>(1024).at(k.any::<u32>());
            tile.store_matrix::<F16x2, 1>(turn, [k.any()]);
            tile.store_matrix::<F16x2, 2>(turn, [k.any(), k.any()]);
            tile.plus(64).store_matrix::<F16x2, 4>(turn, [k.any(), k.any(), k.any(), k.any()]);
        });
    }
    case(cases, "ldmatrix of bytes", |k| {
        let tile = k.shared::<i8>(1024).at(k.any::<u32>());
        let acc = k.acc::<i32>();
        let (a, b) = (A::<i8, 32>::load(&tile, Turn::Straight), B::<i8, 32>::load(&tile, Turn::Straight));
        acc.mma_sat(&a, &b);
        keep_all(k, acc.registers());
    });
    case(cases, "mma f64 8x8x4", |k| {
        let acc = [k.any::<f64>(), k.any()];
        k.mma_f64(acc, k.any(), k.any());
        keep_all(k, &acc);
    });
}

fn copies(cases: &mut Cases) {
    case(cases, "cp.async", |k| {
        let (to, from) = (k.shared::<f32>(256).at(k.any::<u32>()), global::<f32>(k).at(k.any::<u32>()));
        to.copy_from::<4>(&from);
        to.copy_from::<8>(&from);
        to.plus(4).copy_from::<16>(&from.plus(8));
        to.copy_some_from::<16>(&from, k.any::<u32>());
        to.copy_some_from::<4>(&from, 0u32);
        to.copy_or_zero_from::<8>(&from, k.any());
        k.copies_commit();
        k.copies_wait(1);
        k.copies_wait_all();
    });
    for load in [Load::Ahead64, Load::Ahead128, Load::Ahead256] {
        case(cases, format!("cp.async {load:?}"), move |k| {
            k.shared::<f32>(256).copy_from::<16>(&global::<f32>(k).loading(load));
            k.shared::<f32>(256)
                .copy_from::<4>(&global::<f32>(k).loading(load).policy(k.policy(Policy::EvictLast)));
        });
    }
}

fn flow(cases: &mut Cases) {
    case(cases, "flow", |k| {
        let sum = k.var(0u32);
        k.when(k.any(), || sum.set(sum + 1u32));
        k.unless(k.any(), || sum.set(sum + 2u32));
        k.if_else(
            k.any(),
            || sum.set(sum + 3u32),
            || k.steps(0u32, k.any::<u32>(), 2u32, |i| sum.set(sum + i)),
        );
        k.forever(|exit| {
            exit.again_if(k.any());
            exit.leave_if(sum.gt(99u32));
            sum.set(sum * 3u32);
        });
        k.scope(|exit| k.when(k.any(), || exit.leave()));
        k.only(k.any(), || sum.set(7u32));
        k.repeat_while(|| sum.lt(5u32), || sum.set(sum + k.any::<u32>()));
        k.ret_if(k.any());
        k.unless(sum.ne(0u32), || k.trap());
        k.grid_stride(sum, |i| k.keep(i));
        k.comment("the end\nof it");
        k.ret();
    });
}
