//! Transfers and the first path from C call to completion.

mod support;

use std::ptr;
use support::*;
use weft::api::transfer::*;

#[test]
fn bytes_go_in_and_come_out() {
    let session = Session::new(0);
    for size in [0, 1, 7, 4096, 3 << 20] {
        let buffer = session.buffer(size + 3);
        let bytes: Vec<u8> = (0..size + 3).map(|i| (i * 31 + 7) as u8).collect();
        session.write_bytes(buffer, &bytes);
        assert_eq!(session.read_bytes(buffer, size + 3), bytes);
        let copy = session.buffer(size + 3);
        // SAFETY: handles and locals alone.
        session.wait(|out| unsafe {
            weft_copy(session.queue, buffer, 1, copy, 2, size as u64, ptr::null(), out)
        });
        assert_eq!(session.read_bytes(copy, size + 3)[2..size + 2], bytes[1..size + 1]);
    }
}

#[test]
fn fill_repeats_the_pattern() {
    let session = Session::new(0);
    let buffer = session.buffer(64);
    // SAFETY: handles and locals alone.
    session.wait(|out| unsafe { weft_fill(session.queue, buffer, 8, 16, 0x1122_3344, 4, ptr::null(), out) });
    let bytes = session.read_bytes(buffer, 64);
    assert_eq!(bytes[8..16], [0x44, 0x33, 0x22, 0x11, 0x44, 0x33, 0x22, 0x11]);
    assert!(bytes[..8].iter().chain(&bytes[24..]).all(|&byte| byte == 0));
}

#[test]
fn fills_of_every_period_begin_and_end_anywhere() {
    let session = Session::new(2);
    let pattern = 0x8877_6655_4433_2211u64;
    for (offset, size) in
        [(0, 64), (8, 8), (8, 16), (8, 72), (24, 4096), (40, 1 << 20), (16, 8), (8, 0), (56, 100_008)]
    {
        for period in [1, 2, 4, 8] {
            let room = offset + size + 24;
            let buffer = session.buffer(room);
            session.write_bytes(buffer, &vec![0xDB; room]);
            // SAFETY: handles and locals alone.
            session.wait(|out| unsafe {
                weft_fill(
                    session.queue,
                    buffer,
                    offset as u64,
                    size as u64,
                    pattern,
                    period,
                    ptr::null(),
                    out,
                )
            });
            let bytes = session.read_bytes(buffer, room);
            let right = |(i, &byte): (usize, &u8)| {
                let inside = (offset..offset + size).contains(&i);
                let want = if inside { pattern.to_le_bytes()[(i - offset) % period as usize] } else { 0xDB };
                byte == want
            };
            assert!(bytes.iter().enumerate().all(right), "{size} bytes from {offset} on, period {period}");
        }
    }
}
