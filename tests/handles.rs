//! Handles against forgery: tens of millions of stale, damaged and random handles, none accepted; generations that wrap
//! are forced, and slots that are used up never come back.

mod support;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use support::Rng;
use weft::handle::{Kind, Registry};
use weft::status::*;

const PROBES: u64 = 12_000_000;

/// One bit, one step or one field away from a handle that was issued, or any number.
fn probe(rng: &mut Rng, issued: &[u64]) -> u64 {
    let near = issued[rng.next() as usize % issued.len()];
    match rng.next() % 8 {
        0 => near,
        1 => near ^ 1 << (rng.next() % 64),
        2 => near.wrapping_add(rng.range(-3, 3) as u64),
        3 => near.wrapping_add((rng.range(-3, 3) as u64) << 28),
        4 => near & !((1 << 28) - 1) | rng.next() & 15,
        5 => near ^ rng.next() << 52,
        6 => near.wrapping_add(1 << 60),
        _ => rng.next(),
    }
}

/// A table of few slots and few generations, so that every wrap happens, under random inserts, removes and probes.
#[test]
fn no_stale_or_forged_handle_is_ever_accepted() {
    let mut rng = Rng(7);
    let (mut probes, mut hits, mut retired, mut tables) = (0u64, 0u64, 0usize, 0);
    while probes < PROBES {
        tables += 1;
        let (capacity, last) = (rng.range(1, 40) as usize, rng.range(1, 12) as u32);
        let table = Registry::with_limits(Kind::Buffer, capacity, last);
        let mut live = HashMap::new();
        let mut issued = vec![0];
        let mut ever = HashSet::new();
        // As often as all slots with all their generations can be issued, and a few times more.
        for number in 0..capacity as u64 * u64::from(last) + 5 {
            let slot = rng.next() as u8;
            match table.insert(slot, Arc::new(number)) {
                Ok(handle) => {
                    assert!(ever.insert(handle), "{handle:#x} was issued twice");
                    assert_eq!(handle >> 60, Kind::Buffer as u64);
                    assert!(handle & 0xfff_ffff <= u64::from(last) && handle & 0xfff_ffff > 0);
                    issued.push(handle);
                    live.insert(handle, number);
                }
                Err(error) => assert_eq!(error.status, WEFT_ERROR_OUT_OF_MEMORY),
            }
            for _ in 0..rng.next() % 150 {
                let handle = probe(&mut rng, &issued);
                let (found, expected) = (table.get("probe", handle), live.get(&handle));
                assert_eq!(found.as_deref().ok(), expected, "{handle:#x}");
                assert!(found.is_ok() || found.unwrap_err().status == refusal(handle), "{handle:#x}");
                (probes, hits) = (probes + 1, hits + u64::from(expected.is_some()));
            }
            while live.len() >= capacity || (!live.is_empty() && rng.chance(2)) {
                let handle = probe(&mut rng, &issued);
                let removed = table.remove("probe", handle);
                assert_eq!(removed.as_deref().ok(), live.remove(&handle).as_ref(), "{handle:#x}");
                probes += 1;
            }
        }
        live.drain().for_each(|(handle, _)| drop(table.remove("probe", handle).unwrap()));
        // Use up what is left: in the end every slot has had every generation, and the table is closed for good.
        while let Ok(handle) = table.insert(0, Arc::new(0)) {
            assert!(ever.insert(handle), "{handle:#x} was issued twice");
            table.remove("probe", handle).unwrap();
        }
        assert_eq!(ever.len(), distinct_slots(&ever) * last as usize, "a slot retired early or came back");
        retired += distinct_slots(&ever);
        assert_eq!((distinct_slots(&ever), table.live()), (capacity, 0));
    }
    println!(
        "{probes} probes of {tables} tables, {hits} of live handles found, 0 others; {retired} slots used up"
    );
    assert!(hits > 1000 && retired > 1000);
}

fn refusal(handle: u64) -> i32 {
    match handle {
        0 => WEFT_ERROR_INVALID_ARGUMENT,
        _ if handle >> 60 != Kind::Buffer as u64 => WEFT_ERROR_WRONG_KIND,
        _ => WEFT_ERROR_STALE_HANDLE,
    }
}

fn distinct_slots(handles: &HashSet<u64>) -> usize {
    handles.iter().map(|handle| handle >> 28 & 0xff_ffff).collect::<HashSet<_>>().len()
}

/// The same while other threads insert and remove: what a thread removed stays gone, whoever holds its slot now.
#[test]
fn stale_handles_miss_while_other_threads_reuse_their_slots() {
    let table = Registry::with_limits(Kind::Request, 8, 1 << 27);
    let work = |thread: u64| {
        let (mut rng, mut dead, mut probes) = (Rng(thread), vec![0], 0u64);
        for number in 0..250_000 {
            let own = Arc::new(thread << 32 | number);
            let Ok(handle) = table.insert(thread as u8, own.clone()) else { continue };
            assert!(Arc::ptr_eq(&table.get("own", handle).unwrap(), &own));
            for _ in 0..2 {
                let stale = dead[rng.next() as usize % dead.len()];
                assert!(table.get("stale", stale).is_err(), "{stale:#x} came back");
                assert!(table.remove("stale", stale).is_err(), "{stale:#x} came back");
                probes += 2;
            }
            assert!(Arc::ptr_eq(&table.remove("own", handle).unwrap(), &own));
            dead.push(handle);
        }
        probes
    };
    let probes: u64 = std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{probes} probes under four threads, 0 accepted");
    assert!(probes > 2_000_000 && table.live() == 0);
}
