//! Completions in an epoll loop in Zig, which reads weft.h itself: 1,000 matrix products and one mistake.
//!
//!   make -C examples-c run-zig          (Zig 0.15: pip install -r examples-c/zig/requirements.txt)
//!
//! The port's event handle is an eventfd that is readable while completions wait; taking the last one clears it.
const std = @import("std");
const posix = std.posix;
const EPOLL = std.os.linux.EPOLL;
const c = @cImport({
    @cInclude("stdio.h");
    @cInclude("weft.h");
});

const products = 1000;
const mistake = products;
const requests = products + 1;
const room = 64;
const most = 19 * 19;
const slot = 1024;

fn check(status: c.weft_status) void {
    if (status >= 0) return;
    _ = c.printf("%s: %s\n", c.weft_status_name(status), c.weft_last_error());
    std.process.exit(1);
}

/// A C struct with its size; the rest is 0, which means the default.
fn sized(comptime T: type) T {
    var value = std.mem.zeroes(T);
    value.struct_size = @sizeOf(T);
    return value;
}

fn tensor(buffer: c.weft_buffer, dtype: u32, dims: []const i64) c.weft_tensor {
    var view = std.mem.zeroes(c.weft_tensor);
    view.buffer = buffer;
    view.dtype = dtype;
    view.rank = @intCast(dims.len);
    for (dims, 0..) |size, axis| view.dims[axis] = size;
    return view;
}

/// Product i is [rows, inner] x [inner, columns]. Elements are small whole numbers, so that results are exact.
const Sizes = struct {
    rows: usize,
    inner: usize,
    columns: usize,

    fn of(i: usize) Sizes {
        return .{ .rows = 1 + i % 17, .inner = 1 + i % 19, .columns = 1 + i % 13 };
    }
};

fn aAt(j: usize) f32 {
    return @as(f32, @floatFromInt(j % 7)) - 3;
}

fn bAt(j: usize) f32 {
    return @as(f32, @floatFromInt(j % 5)) - 2;
}

fn right(i: usize, found: []const f32) bool {
    const size = Sizes.of(i);
    for (0..size.rows) |row| {
        for (0..size.columns) |column| {
            var sum: f32 = 0;
            for (0..size.inner) |k| sum += aAt(row * size.inner + k) * bAt(k * size.columns + column);
            if (found[row * size.columns + column] != sum) return false;
        }
    }
    return true;
}

const Job = struct {
    context: c.weft_context = 0,
    queue: c.weft_queue = 0,
    port: c.weft_port = 0,
    a: c.weft_buffer = 0,
    b: c.weft_buffer = 0,
    d: c.weft_buffer = 0,
    index: c.weft_buffer = 0,
    submitted: u64 = 0,
    completed: u64 = 0,
    batches: u32 = 0,
    mistakes: u32 = 0,

    fn begin(job: *Job) void {
        var desc = sized(c.weft_port_desc);
        desc.capacity = room;
        check(c.weft_context_create("auto", null, &job.context));
        check(c.weft_queue_create(job.context, null, &job.queue));
        check(c.weft_port_create(job.context, &desc, &job.port));
        job.upload(aAt, &job.a);
        job.upload(bAt, &job.b);
        check(c.weft_buffer_create(job.context, products * slot, null, &job.d));
        check(c.weft_buffer_create(job.context, 4, null, &job.index));
        check(c.weft_fill(job.queue, job.index, 0, 4, 99, 4, null, null));
        job.submit();
    }

    fn upload(job: *Job, at: *const fn (usize) f32, buffer: *c.weft_buffer) void {
        var values: [most]f32 = undefined;
        for (&values, 0..) |*value, j| value.* = at(j);
        var options = sized(c.weft_submit);
        options.flags = c.WEFT_SUBMIT_COPY_HOST;
        check(c.weft_buffer_create(job.context, @sizeOf(@TypeOf(values)), null, buffer));
        check(c.weft_write(job.queue, buffer.*, 0, &values, @sizeOf(@TypeOf(values)), &options, null));
    }

    fn product(job: *Job, i: u64, options: *const c.weft_submit) c.weft_status {
        const size = Sizes.of(i);
        const rows: i64 = @intCast(size.rows);
        const inner: i64 = @intCast(size.inner);
        const columns: i64 = @intCast(size.columns);
        var desc = sized(c.weft_matmul_desc);
        desc.a = tensor(job.a, c.WEFT_F32, &.{ rows, inner });
        desc.b = tensor(job.b, c.WEFT_F32, &.{ inner, columns });
        desc.d = tensor(job.d, c.WEFT_F32, &.{ rows, columns });
        desc.d.offset = i * slot;
        return c.weft_matmul(job.queue, &desc, options, null);
    }

    /// Row 99 of a table of one row. The index lies in a buffer, so that only the running request can know.
    fn mistaken(job: *Job, options: *const c.weft_submit) c.weft_status {
        var desc = sized(c.weft_rows_desc);
        var request: c.weft_request = 0;
        desc.table = tensor(job.a, c.WEFT_F32, &.{ 1, 1 });
        desc.indices = tensor(job.index, c.WEFT_I32, &.{1});
        desc.rows = tensor(job.b, c.WEFT_F32, &.{ 1, 1 });
        return c.weft_gather_rows(job.queue, &desc, options, &request);
    }

    /// Submits until all is submitted, or the port has no room for one more completion.
    fn submit(job: *Job) void {
        while (job.submitted < requests) : (job.submitted += 1) {
            var options = sized(c.weft_submit);
            options.user_data = job.submitted;
            options.port = job.port;
            const status = if (job.submitted == mistake) job.mistaken(&options) else job.product(job.submitted, &options);
            check(status);
            if (status == c.WEFT_WOULD_BLOCK) return;
        }
    }

    /// Takes the completions that wait, and submits as many anew. Never blocks.
    fn step(job: *Job) void {
        var records: [room]c.weft_completion = undefined;
        var count: u32 = 0;
        check(c.weft_port_poll(job.port, &records, room, &count));
        for (records[0..count]) |record| job.complete(record);
        job.batches += @intFromBool(count > 0);
        job.submit();
    }

    fn complete(job: *Job, record: c.weft_completion) void {
        job.completed += 1;
        if (record.status == c.WEFT_OK) return;
        var sentence: [1024]u8 = undefined;
        check(c.weft_request_error(record.request, &sentence, sentence.len, null));
        check(c.weft_request_release(record.request));
        _ = c.printf("%s: %s\n", c.weft_status_name(record.status), &sentence);
        if (record.user_data == mistake and record.status == c.WEFT_ERROR_OUT_OF_RANGE) job.mistakes += 1;
    }

    fn end(job: *Job) u8 {
        const floats = slot / @sizeOf(f32);
        const results = std.heap.c_allocator.alloc(f32, products * floats) catch return 1;
        defer std.heap.c_allocator.free(results);
        check(c.weft_read(job.queue, job.d, 0, results.ptr, products * slot, null, null));
        // A signal handler that runs meanwhile ends the wait.
        while (c.weft_queue_drain(job.queue, c.WEFT_FOREVER) == c.WEFT_INTERRUPTED) {}
        var good: u32 = 0;
        for (0..products) |i| good += @intFromBool(right(i, results[i * floats .. (i + 1) * floats]));
        _ = c.printf("zig: %u of %d products right, %u mistake answered, in %u batches\n", good, @as(c_int, products), job.mistakes, job.batches);
        for ([_]c.weft_buffer{ job.a, job.b, job.d, job.index }) |buffer| check(c.weft_buffer_release(buffer));
        check(c.weft_port_release(job.port));
        check(c.weft_queue_release(job.queue));
        check(c.weft_context_release(job.context));
        return if (good == products and job.mistakes == 1) 0 else 1;
    }
};

pub fn main() !u8 {
    var job = Job{};
    job.begin();
    var fd: i64 = -1;
    check(c.weft_port_event_handle(job.port, &fd));

    const epoll = try posix.epoll_create1(EPOLL.CLOEXEC);
    defer posix.close(epoll);
    var event = std.os.linux.epoll_event{ .events = EPOLL.IN, .data = .{ .fd = @intCast(fd) } };
    try posix.epoll_ctl(epoll, EPOLL.CTL_ADD, @intCast(fd), &event);
    while (job.completed < requests) {
        var events: [8]std.os.linux.epoll_event = undefined;
        const count = posix.epoll_wait(epoll, &events, -1);
        for (events[0..count]) |one| {
            if (one.data.fd == fd) job.step();
        }
    }
    return job.end();
}
