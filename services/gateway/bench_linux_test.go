package gateway

import (
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"clockwork/pkg/wire"
	"clockwork/services/gateway/grpcapi/oippb"
)

// BenchmarkIngress is a request with 8 and with 400,000 bytes, over HTTP with binary data and
// over gRPC; the stack behind answers each with its input over the broker.
func BenchmarkIngress(b *testing.B) {
	s := serving(b, nil)
	for _, c := range []struct {
		model, datatype string
		shape           []int64
		bytes           int
	}{{"a", "FP32", []int64{1, 2}, 8}, {"big", "UINT8", []int64{4, 100_000}, 400_000}} {
		head := fmt.Sprintf(`{"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[%d,%d],"datatype":"%s","parameters":{"binary_data_size":%d}}]}`, c.shape[0], c.shape[1], c.datatype, c.bytes)
		body := append([]byte(head), make([]byte, c.bytes)...)
		b.Run(fmt.Sprint("HTTP/", c.bytes), func(b *testing.B) {
			b.ReportAllocs()
			defer reportCPU(b)()
			for b.Loop() {
				if a := s.infer(c.model, body, wire.HeaderLength, strconv.Itoa(len(head))); a.status != http.StatusOK {
					b.Fatalf("%d %s", a.status, a.body)
				}
			}
		})
		r := &oippb.ModelInferRequest{ModelName: c.model, Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: c.datatype, Shape: c.shape}}, RawInputContents: [][]byte{make([]byte, c.bytes)}}
		b.Run(fmt.Sprint("gRPC/", c.bytes), func(b *testing.B) {
			b.ReportAllocs()
			defer reportCPU(b)()
			for b.Loop() {
				if _, err := s.inferOver(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// reportCPU reports the processor time of an operation, of clients, gateway and broker
// together: it says more than the time on a machine that others use as well.
func reportCPU(b *testing.B) (end func()) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Microseconds())/float64(b.N), "cpu-us/op") }
}

// BenchmarkIdleConnections is what a connection of gRPC without a call takes.
func BenchmarkIdleConnections(b *testing.B) {
	const many = 500
	s := serving(b, nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		var open []*frames
		for range many {
			f := s.dialFrames()
			if _, err := f.ReadFrame(); err != nil {
				b.Fatal(err)
			}
			open = append(open, f)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/many, "B/connection")
		for _, f := range open {
			_ = f.Close()
		}
	}
}
