// Completions among goroutines: 50 of them wait for 1,000 matrix products and one mistake.
//
//	make -C examples-c run-go
//
// One goroutine takes completions. While there are none it is parked on the port's event handle by Go's own poller, as a
// goroutine that reads from a socket is: no thread is blocked. The handle stays the library's, so the poller gets a
// duplicate, which is watched and never read. Go's poller is told of edges alone; that suffices for a loop that takes
// completions until there are none before it waits.
package main

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: -L${SRCDIR}/../build -l:libweft.so.1 -Wl,-rpath,${SRCDIR}/../build
#include <stdlib.h>
#include <weft.h>
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

const (
	products = 1000
	room     = 64
	most     = 19 * 19
	slot     = 1024
)

// weftError is a status below zero and the sentence that explains it.
type weftError struct {
	status   C.weft_status
	sentence string
}

func (e weftError) Error() string {
	return C.GoString(C.weft_status_name(e.status)) + ": " + e.sentence
}

// call runs a function of the library on one thread, so that weft_last_error speaks of it.
func call(function func() C.weft_status) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if status := function(); status < 0 {
		return weftError{status, C.GoString(C.weft_last_error())}
	}
	return nil
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(status C.weft_status) {
	must(call(func() C.weft_status { return status }))
}

// port delivers each completion to the channel that its submission waits on.
type port struct {
	handle  C.weft_port
	events  *os.File
	places  chan struct{} // one for each completion that the port has room for
	mutex   sync.Mutex
	pending map[uint64]chan error
	next    uint64
	batches int
}

func newPort(context C.weft_context) *port {
	p := &port{places: make(chan struct{}, room), pending: map[uint64]chan error{}}
	desc := C.weft_port_desc{capacity: room}
	desc.struct_size = C.uint32_t(unsafe.Sizeof(desc))
	must(call(func() C.weft_status { return C.weft_port_create(context, &desc, &p.handle) }))
	var fd C.int64_t
	must(call(func() C.weft_status { return C.weft_port_event_handle(p.handle, &fd) }))
	duplicate, err := syscall.Dup(int(fd))
	must(err)
	syscall.CloseOnExec(duplicate)
	p.events = os.NewFile(uintptr(duplicate), "weft port")
	return p
}

// serve takes completions until the file is closed.
func (p *port) serve(done *sync.WaitGroup) {
	defer done.Done()
	raw, err := p.events.SyscallConn()
	must(err)
	for raw.Read(func(uintptr) bool { return p.take() > 0 }) == nil {
	}
}

// take takes what waits. With 0 the poller waits for the next edge: it comes when the port stops being empty.
func (p *port) take() int {
	var records [room]C.weft_completion
	var count C.uint32_t
	must(call(func() C.weft_status { return C.weft_port_poll(p.handle, &records[0], room, &count) }))
	for _, record := range records[:count] {
		p.complete(&record)
	}
	if count > 0 {
		p.batches++
	}
	return int(count)
}

func (p *port) complete(record *C.weft_completion) {
	var err error
	if record.status != C.WEFT_OK {
		var text [1024]C.char
		check(C.weft_request_error(record.request, &text[0], C.size_t(len(text)), nil))
		err = weftError{record.status, C.GoString(&text[0])}
	}
	check(C.weft_request_release(record.request))
	p.mutex.Lock()
	waiting := p.pending[uint64(record.user_data)]
	delete(p.pending, uint64(record.user_data))
	p.mutex.Unlock()
	<-p.places
	waiting <- err
}

// run submits by function and waits until the request is complete; what failed is the error.
func (p *port) run(function func(options *C.weft_submit, out *C.weft_request) C.weft_status) error {
	p.places <- struct{}{}
	waiting := make(chan error, 1)
	p.mutex.Lock()
	p.next++
	key := p.next
	p.pending[key] = waiting
	p.mutex.Unlock()
	options := C.weft_submit{user_data: C.uint64_t(key), port: p.handle}
	options.struct_size = C.uint32_t(unsafe.Sizeof(options))
	var request C.weft_request
	if err := call(func() C.weft_status { return function(&options, &request) }); err != nil {
		p.mutex.Lock()
		delete(p.pending, key)
		p.mutex.Unlock()
		<-p.places
		return err
	}
	return <-waiting
}

// Product i is [rows, inner] x [inner, columns]. Elements are small whole numbers, so that results are exact.
func sizes(i int) (rows, inner, columns int) { return 1 + i%17, 1 + i%19, 1 + i%13 }
func aAt(j int) float32                      { return float32(j%7 - 3) }
func bAt(j int) float32                      { return float32(j%5 - 2) }

func tensor(buffer C.weft_buffer, dtype C.uint32_t, offset int, dims ...int) C.weft_tensor {
	view := C.weft_tensor{buffer: buffer, offset: C.uint64_t(offset), dtype: dtype, rank: C.uint32_t(len(dims))}
	for axis, size := range dims {
		view.dims[axis] = C.int64_t(size)
	}
	return view
}

func product(i int, a, b, d C.weft_buffer) C.weft_matmul_desc {
	rows, inner, columns := sizes(i)
	desc := C.weft_matmul_desc{a: tensor(a, C.WEFT_F32, 0, rows, inner), b: tensor(b, C.WEFT_F32, 0, inner, columns),
		d: tensor(d, C.WEFT_F32, i*slot, rows, columns)}
	desc.struct_size = C.uint32_t(unsafe.Sizeof(desc))
	return desc
}

func right(i int, found []float32) bool {
	rows, inner, columns := sizes(i)
	for row := 0; row < rows; row++ {
		for column := 0; column < columns; column++ {
			var sum float32
			for k := 0; k < inner; k++ {
				sum += aAt(row*inner+k) * bAt(k*columns+column)
			}
			if found[row*columns+column] != sum {
				return false
			}
		}
	}
	return true
}

func newBuffer(context C.weft_context, size int) (buffer C.weft_buffer) {
	must(call(func() C.weft_status { return C.weft_buffer_create(context, C.uint64_t(size), nil, &buffer) }))
	return buffer
}

func upload(context C.weft_context, queue C.weft_queue, at func(int) float32) C.weft_buffer {
	var values [most]float32
	for j := range values {
		values[j] = at(j)
	}
	// Go's memory must not be kept by C after the call: the library copies.
	options := C.weft_submit{flags: C.WEFT_SUBMIT_COPY_HOST}
	options.struct_size = C.uint32_t(unsafe.Sizeof(options))
	buffer := newBuffer(context, 4*most)
	must(call(func() C.weft_status {
		return C.weft_write(queue, buffer, 0, unsafe.Pointer(&values[0]), 4*most, &options, nil)
	}))
	return buffer
}

// mistake asks for row 99 of a table of one row. The index lies in a buffer: only the running request can know.
func mistake(p *port, queue C.weft_queue, a, b, index C.weft_buffer) bool {
	desc := C.weft_rows_desc{table: tensor(a, C.WEFT_F32, 0, 1, 1), indices: tensor(index, C.WEFT_I32, 0, 1),
		rows: tensor(b, C.WEFT_F32, 0, 1, 1)}
	desc.struct_size = C.uint32_t(unsafe.Sizeof(desc))
	err := p.run(func(options *C.weft_submit, out *C.weft_request) C.weft_status {
		return C.weft_gather_rows(queue, &desc, options, out)
	})
	fmt.Println(err)
	failure, failed := err.(weftError)
	return failed && failure.status == C.WEFT_ERROR_OUT_OF_RANGE
}

func main() {
	var context C.weft_context
	var queue C.weft_queue
	device := C.CString("auto")
	defer C.free(unsafe.Pointer(device))
	must(call(func() C.weft_status { return C.weft_context_create(device, nil, &context) }))
	must(call(func() C.weft_status { return C.weft_queue_create(context, nil, &queue) }))
	p := newPort(context)
	var loop, workers sync.WaitGroup
	loop.Add(1)
	go p.serve(&loop)

	a, b := upload(context, queue, aAt), upload(context, queue, bAt)
	d, index := newBuffer(context, products*slot), newBuffer(context, 4)
	must(call(func() C.weft_status { return C.weft_fill(queue, index, 0, 4, 99, 4, nil, nil) }))
	for first := 0; first < 50; first++ {
		workers.Add(1)
		go func(first int) {
			defer workers.Done()
			for i := first; i < products; i += 50 {
				desc := product(i, a, b, d)
				must(p.run(func(options *C.weft_submit, out *C.weft_request) C.weft_status {
					return C.weft_matmul(queue, &desc, options, out)
				}))
			}
		}(first)
	}
	answered := 0
	if mistake(p, queue, a, b, index) {
		answered = 1
	}
	workers.Wait()

	// The results go to C's memory, which stays where it is until the request completes.
	memory := C.malloc(products * slot)
	must(p.run(func(options *C.weft_submit, out *C.weft_request) C.weft_status {
		return C.weft_read(queue, d, 0, memory, products*slot, options, out)
	}))
	results := unsafe.Slice((*float32)(memory), products*slot/4)
	good := 0
	for i := 0; i < products; i++ {
		if right(i, results[i*slot/4:]) {
			good++
		}
	}
	must(p.events.Close())
	loop.Wait()
	fmt.Printf("go: %d of %d products right, %d mistake answered, in %d batches\n", good, products, answered, p.batches)
	C.free(memory)
	for _, buffer := range []C.weft_buffer{a, b, d, index} {
		check(C.weft_buffer_release(buffer))
	}
	check(C.weft_port_release(p.handle))
	check(C.weft_queue_release(queue))
	check(C.weft_context_release(context))
	if good != products || answered != 1 {
		os.Exit(1)
	}
}
