package frontdoor

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/vmihailenco/msgpack/v5"
	"golang.org/x/sys/unix"

	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
)

// BenchmarkRefusal is what a refusal costs a front door, from the message to the
// reply on its connection. Every kind but large JSON must stay below 50 us; that is
// read beside the others, so that nobody waits for it (cpu-ns/op).
func BenchmarkRefusal(b *testing.B) {
	s := newStack(b)
	closed := quota.Unlimited
	closed.Requests = 0
	small := quota.Unlimited
	small.Bytes = 100
	slow := quota.Unlimited
	slow.Rate, slow.Burst = 1e-6, 1
	s.config.Limits.Tenants = map[string]quota.Limit{"closed": closed, "small": small, "slow": slow}
	s.frontDoor()
	d := s.door
	s.loaded("a")
	s.activate()
	s.awaitServing()
	s.ask("clockwork.infer.a.slow", `{"inputs":0}`) // its one token

	packed := func(shape []int, data any) string {
		body, err := msgpack.Marshal(map[string]any{"inputs": []any{map[string]any{"name": "x", "shape": shape, "datatype": "FP32", "data": data}}})
		if err != nil {
			b.Fatal(err)
		}
		return string(body)
	}
	numbers := make([]float32, 60_000)
	const large = 8_000_000
	for _, c := range []struct {
		name, subject, body string
		want                protocol.Code
	}{
		{"unknown model", "nobody", jsonInfer, protocol.UnknownModel},
		{"no model's name", "A", jsonInfer, protocol.UnknownModel},
		{"limit of requests", "a.closed", jsonInfer, protocol.LimitExceeded},
		{"limit of bytes", "a.small", jsonInfer, protocol.PayloadTooLarge},
		{"rate", "a.slow", jsonInfer, protocol.LimitExceeded},
		{"limit, 8 MB", "a.closed", packed([]int{1, 2}, make([]byte, large)), protocol.LimitExceeded},
		{"limit, 8 MB of JSON", "a.closed", largeJSON(large / 2), protocol.LimitExceeded},
		{"broken JSON", "a", `{"inputs":[`, protocol.BadMessage},
		{"broken msgpack", "a", "\x81\xa6inputs\xdd\xff\xff\xff\xff", protocol.BadMessage},
		{"bad deadline", "a", `{"parameters":{"slo_ms":-1},"inputs":[]}`, protocol.InvalidDeadline},
		{"wrong shape, JSON", "a", strings.Replace(jsonInfer, "[1,2]", "[1,3]", 1), protocol.InvalidInput},
		{"wrong shape, msgpack", "a", packed([]int{1, 3}, make([]byte, 12)), protocol.InvalidInput},
		{"wrong shape, 8 MB of msgpack", "a", packed([]int{1, 3}, make([]byte, large)), protocol.InvalidInput},
		{"too many items", "a", packed([]int{5, 2}, make([]byte, 40)), protocol.BatchTooLarge},
		{"long id, JSON", "a", `{"id":"` + strings.Repeat("x", 60_000) + `"}`, protocol.BadMessage},
		{"id of 1 MB, msgpack", "a", "\x81\xa2id\xdb\x00\x0f\x42\x40" + strings.Repeat("x", 1_000_000), protocol.BadMessage},
		{"60,000 numbers, msgpack", "a", packed([]int{1, 3}, numbers), protocol.InvalidInput},
		{"JSON of 64 KiB", "a", largeJSON(32_700), protocol.InvalidInput},
		{"JSON of 100,000 numbers", "a", largeJSON(100_000), protocol.InvalidInput},
		{"JSON of 8 MB", "a", largeJSON(large / 2), protocol.InvalidInput},
	} {
		b.Run(c.name, func(b *testing.B) {
			subject := "clockwork.infer." + c.subject
			if code := codeOf(b, s.ask(subject, c.body)); code != c.want {
				b.Fatalf("refused with %s, want %s", code, c.want)
			}
			m := &nats.Msg{Subject: subject, Reply: "nobodys", Data: []byte(c.body)}
			before := d.snapshot().Answered
			runtime.LockOSThread() // its time alone counts, whatever else the machine does
			defer runtime.UnlockOSThread()
			b.ResetTimer()
			began := threadTime(b)
			for range b.N {
				d.turn(m)
			}
			b.ReportMetric(float64((threadTime(b)-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
			b.StopTimer()
			if answered := d.snapshot().Answered - before; answered != int64(b.N) {
				b.Fatalf("%d of %d refused", answered, b.N)
			}
		})
	}
	bustest.Until(b, "nothing is in flight", func() bool {
		return d.snapshot().InFlight == 0
	})
}

// threadTime is the processor's time that this thread has had.
func threadTime(b *testing.B) time.Duration {
	b.Helper()
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at); err != nil {
		b.Fatal(err)
	}
	return time.Duration(at.Nano())
}

// turn is onInfer in one goroutine, however large the message is.
func (d *FrontDoor) turn(m *nats.Msg) {
	if r := d.broker.take(m, true); r != nil {
		d.read(r, false)
	}
}
