// Completions in the event loop of Node.js: `await` for each of 1,000 matrix products and one mistake.
//
//   make -C examples-c run-node          (needs npm, which installs koffi, a foreign function interface, into build/node)
//
// The port's event handle is an eventfd. Node's own streams would read its counter, which belongs to the library, and a
// blocking weft_port_wait would take a thread of libuv's pool; koffi.node.poll is libuv's uv_poll, which only looks: it is
// level-triggered, so that the callback runs as long as completions wait. (That part of koffi is young, therefore
// package.json names one version of it.)
'use strict';
const koffi = require('koffi');
const path = require('path');

const lib = koffi.load(process.env.WEFT_LIB || path.join(__dirname, '..', 'build', 'libweft.so.1'));

// ---- What the example needs of weft.h ----
const OK = 0, WOULD_BLOCK = 3, OUT_OF_RANGE = -10, F32 = 1, I32 = 9, COPY_HOST = 1, FOREVER = 2n ** 64n - 1n, ABI = 1 << 16;
koffi.struct('weft_tensor', {
  buffer: 'uint64_t', offset: 'uint64_t', dtype: 'uint32_t', rank: 'uint32_t', dims: 'int64_t[8]', strides: 'int64_t[8]',
});
const MatmulDesc = koffi.struct('weft_matmul_desc', {
  struct_size: 'uint32_t', flags: 'uint32_t', a: 'weft_tensor', b: 'weft_tensor', c: 'weft_tensor', d: 'weft_tensor',
  bias: 'weft_tensor', alpha: 'double', beta: 'double', epilogue: 'uint32_t', compute: 'uint32_t', a_scale: 'weft_tensor',
  b_scale: 'weft_tensor', d_scale: 'weft_tensor', aux: 'weft_tensor',
});
const RowsDesc = koffi.struct('weft_rows_desc', {
  struct_size: 'uint32_t', flags: 'uint32_t', table: 'weft_tensor', indices: 'weft_tensor', rows: 'weft_tensor',
});
const PortDesc = koffi.struct('weft_port_desc', { struct_size: 'uint32_t', capacity: 'uint32_t' });
const Submit = koffi.struct('weft_submit', {
  struct_size: 'uint32_t', flags: 'uint32_t', user_data: 'uint64_t', timeout_ns: 'uint64_t', after: 'void *',
  after_count: 'uint32_t', reserved: 'uint32_t', port: 'uint64_t', callback: 'void *', deadline_ns: 'uint64_t',
});
const out = '_Out_ uint64_t *out', how = 'weft_submit *options';
const weft = Object.fromEntries([
  'int weft_abi_check(uint32_t version)',
  'const char *weft_status_name(int status)',
  'const char *weft_last_error()',
  `int weft_context_create(const char *device, void *options, ${out})`,
  `int weft_queue_create(uint64_t context, void *options, ${out})`,
  `int weft_port_create(uint64_t context, weft_port_desc *options, ${out})`,
  `int weft_buffer_create(uint64_t context, uint64_t size, void *options, ${out})`,
  `int weft_write(uint64_t queue, uint64_t buffer, uint64_t offset, void *from, uint64_t size, ${how}, void *out)`,
  `int weft_read(uint64_t queue, uint64_t buffer, uint64_t offset, void *to, uint64_t size, ${how}, ${out})`,
  `int weft_fill(uint64_t queue, uint64_t buffer, uint64_t offset, uint64_t size, uint64_t pattern, uint32_t bytes, ${how},
     void *out)`,
  `int weft_matmul(uint64_t queue, weft_matmul_desc *desc, ${how}, ${out})`,
  `int weft_gather_rows(uint64_t queue, weft_rows_desc *desc, ${how}, ${out})`,
  'int weft_port_event_handle(uint64_t port, _Out_ int64_t *fd)',
  'int weft_port_poll(uint64_t port, void *completions, uint32_t capacity, _Out_ uint32_t *count)',
  'int weft_request_error(uint64_t request, void *buffer, size_t capacity, void *needed)',
  ...['request', 'buffer', 'port', 'queue', 'context'].map((kind) => `int weft_${kind}_release(uint64_t handle)`),
].map((signature) => [/weft_(\w+)\(/.exec(signature)[1], lib.func(signature)]));

class WeftError extends Error {
  constructor(status, sentence) {
    super(`${weft.status_name(status)}: ${sentence}`);
    this.status = status;
  }
}

function check(status) {
  if (status < 0) throw new WeftError(status, weft.last_error());
  return status;
}

// The handle that call(..., &handle) gives.
function create(call, ...values) {
  const handle = [0n];
  if (check(call(...values, handle)) === WOULD_BLOCK) throw new Error('the queue or the port is full');
  return handle[0];
}

// A struct with its size; what is not given is 0.
const blank = { buffer: 0n, offset: 0n, dtype: 0, rank: 0, dims: Array(8).fill(0), strides: Array(8).fill(0) };
function sized(type, fields) {
  const zero = (member) => (member.type.name === 'weft_tensor' ? blank : member.type.primitive === 'Pointer' ? null : 0);
  const values = Object.fromEntries(Object.entries(type.members).map(([name, member]) => [name, zero(member)]));
  return { ...values, struct_size: koffi.sizeof(type), ...fields };
}

function tensor(buffer, dtype, dims, offset = 0) {
  return { ...blank, buffer, offset, dtype, rank: dims.length, dims: [...dims, ...Array(8 - dims.length).fill(0)] };
}

// ---- A port in the event loop: its completions settle promises ----
class Port {
  constructor(context, capacity) {
    this.handle = create(weft.port_create, context, sized(PortDesc, { capacity }));
    this.records = Buffer.alloc(64 * capacity);
    this.pending = new Map();
    this.waiting = [];
    this.room = capacity;
    this.next = this.batches = 0;
    const fd = [0];
    check(weft.port_event_handle(this.handle, fd));
    this.poll = koffi.node.poll(Number(fd[0]), { readable: true }, () => this.take());
  }

  // Takes the completions that wait: weft_completion is user_data, request, status, ... in 64 bytes.
  take() {
    const count = [0];
    check(weft.port_poll(this.handle, this.records, this.records.length / 64, count));
    this.batches++;
    for (let at = 0; at < 64 * count[0]; at += 64) {
      const key = this.records.readBigUInt64LE(at), request = this.records.readBigUInt64LE(at + 8);
      this.complete(key, request, this.records.readInt32LE(at + 16));
    }
  }

  complete(key, request, status) {
    const { resolve, reject } = this.pending.get(key), sentence = Buffer.alloc(1024);
    this.pending.delete(key);
    check(weft.request_error(request, sentence, sentence.length, null));
    check(weft.request_release(request));
    if (status === OK) resolve();
    else reject(new WeftError(status, sentence.toString('utf8', 0, sentence.indexOf(0))));
    this.leave();
  }

  // A place is free: for who waits the longest.
  leave() {
    const next = this.waiting.shift();
    if (next) next();
    else this.room++;
  }

  // Submits an operation; resolves when it is complete, rejects if it was refused or failed.
  async submit(call, ...values) {
    if (this.room > 0) this.room--;
    else await new Promise((resolve) => this.waiting.push(resolve));
    const key = BigInt(this.next++);
    try {
      create(call, ...values, sized(Submit, { user_data: key, port: this.handle }));
    } catch (error) {
      this.leave();
      throw error;
    }
    // Completions are taken by the loop, so not before this function returns to it.
    return new Promise((resolve, reject) => this.pending.set(key, { resolve, reject }));
  }

  close() {
    this.poll.close();
    check(weft.port_release(this.handle));
  }
}

// ---- The job ----
const PRODUCTS = 1000, ROOM = 64, MOST = 19 * 19, SLOT = 1024;
// Small whole numbers, so that results are exact.
const A = Float32Array.from({ length: MOST }, (_, j) => (j % 7) - 3);
const B = Float32Array.from({ length: MOST }, (_, j) => (j % 5) - 2);
// Product i is [rows, inner] x [inner, columns].
const sizes = (i) => ({ rows: 1 + (i % 17), inner: 1 + (i % 19), columns: 1 + (i % 13) });

function product(i, a, b, d) {
  const { rows, inner, columns } = sizes(i);
  return sized(MatmulDesc, {
    a: tensor(a, F32, [rows, inner]), b: tensor(b, F32, [inner, columns]), d: tensor(d, F32, [rows, columns], i * SLOT),
  });
}

function right(i, found) {
  const { rows, inner, columns } = sizes(i);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) sum += A[row * inner + k] * B[k * columns + column];
      if (found[row * columns + column] !== sum) return false;
    }
  }
  return true;
}

function upload(context, queue, values) {
  const buffer = create(weft.buffer_create, context, values.byteLength, null);
  check(weft.write(queue, buffer, 0, values, values.byteLength, sized(Submit, { flags: COPY_HOST }), null));
  return buffer;
}

// Row 99 of a table of one row. The index lies in a buffer, so that only the running request can know.
async function mistake(port, queue, a, b, index) {
  const desc = sized(RowsDesc, { table: tensor(a, F32, [1, 1]), indices: tensor(index, I32, [1]), rows: tensor(b, F32, [1, 1]) });
  try {
    await port.submit(weft.gather_rows, queue, desc);
    return false;
  } catch (error) {
    console.log(error.message);
    return error.status === OUT_OF_RANGE;
  }
}

async function main() {
  check(weft.abi_check(ABI));
  const context = create(weft.context_create, 'auto', null), queue = create(weft.queue_create, context, null);
  const port = new Port(context, ROOM), a = upload(context, queue, A), b = upload(context, queue, B);
  const d = create(weft.buffer_create, context, PRODUCTS * SLOT, null), index = create(weft.buffer_create, context, 4, null);
  check(weft.fill(queue, index, 0, 4, 99, 4, null, null));

  const products = Array.from({ length: PRODUCTS }, (_, i) => port.submit(weft.matmul, queue, product(i, a, b, d)));
  const answered = await mistake(port, queue, a, b, index);
  await Promise.all(products);

  // The results come by a request, too: koffi.alloc gives memory that the garbage collector does not move.
  const memory = koffi.alloc('float', PRODUCTS * SLOT / 4);
  await port.submit(weft.read, queue, d, 0, memory, PRODUCTS * SLOT);
  const results = new Float32Array(koffi.view(memory, PRODUCTS * SLOT));
  let good = 0;
  for (let i = 0; i < PRODUCTS; i++) good += right(i, results.subarray(i * SLOT / 4, (i + 1) * SLOT / 4));
  console.log(`node: ${good} of ${PRODUCTS} products right, ${Number(answered)} mistake answered, in ${port.batches} batches`);
  port.close();
  for (const buffer of [a, b, d, index]) check(weft.buffer_release(buffer));
  check(weft.queue_release(queue));
  check(weft.context_release(context));
  process.exitCode = good === PRODUCTS && answered ? 0 : 1;
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
