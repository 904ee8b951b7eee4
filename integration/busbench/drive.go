package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// side is one of the two measured systems, as its client sees it: requests are
// sent on subjects in turn, replies arrive at one inbox, and a table of slots
// records when each was sent.
type side struct {
	name     string
	nc       *nats.Conn
	models   []string // of the live path
	subjects []string // or models, where it is not NATS
	// send1 sends one request on a subject; its slot is given to done when it is answered.
	send1 func(slot int, subject string) error
	body  []byte
	stops []func()

	inbox   string
	sent    [slots]atomic.Int64 // nanoseconds since began; 0: free
	began   time.Time
	next    int
	done    chan int // the slot of each reply
	refused atomic.Int64
	refusal atomic.Value // string: the message of the first refusal

	throughput, p50, p99 []float64
}

const (
	slots    = 1 << 14
	patience = 10 * time.Second
)

func (x *side) open(nc *nats.Conn) error {
	x.nc, x.inbox, x.began, x.done = nc, nc.NewInbox(), time.Now(), make(chan int, slots)
	x.send1 = func(slot int, subject string) error {
		return nc.PublishRequest(subject, x.inbox+"."+strconv.Itoa(slot), x.body)
	}
	sub, err := nc.Subscribe(x.inbox+".*", x.onReply)
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	return nc.Flush()
}

func (x *side) onReply(m *nats.Msg) {
	slot, err := strconv.Atoi(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	if err != nil || slot < 0 || slot >= slots {
		return
	}
	if m.Header.Get("Nats-Service-Error-Code") != "" || m.Header.Get("Status") != "" {
		x.fail(m.Header.Get("Nats-Service-Error"))
	}
	x.done <- slot
}

// fail notes a refusal.
func (x *side) fail(why string) {
	x.refused.Add(1)
	x.refusal.CompareAndSwap(nil, why)
}

// send sends one request and returns its slot.
func (x *side) send() (int, error) {
	slot := x.next % slots
	subject := x.subjects[x.next%len(x.subjects)]
	x.next++
	x.sent[slot].Store(int64(time.Since(x.began)))
	return slot, x.send1(slot, subject)
}

// wait receives one reply and returns its latency.
func (x *side) wait(limit <-chan time.Time) (time.Duration, error) {
	select {
	case slot := <-x.done:
		return time.Since(x.began) - time.Duration(x.sent[slot].Load()), nil
	case <-limit:
		return 0, fmt.Errorf("a reply is missing after %v", patience)
	}
}

// closedLoop keeps a constant number of requests outstanding and returns the
// requests per second.
func (x *side) closedLoop(s size, length time.Duration) (float64, error) {
	begin, limit := time.Now(), time.After(length+patience)
	for range s.outstanding {
		if _, err := x.send(); err != nil {
			return 0, err
		}
	}
	count, outstanding := 0, s.outstanding
	var elapsed time.Duration
	for outstanding > 0 {
		if _, err := x.wait(limit); err != nil {
			return 0, err
		}
		if elapsed = time.Since(begin); elapsed > length {
			outstanding--
			continue
		}
		count++
		if _, err := x.send(); err != nil {
			return 0, err
		}
	}
	return float64(count) / length.Seconds(), x.failures()
}

// profiled runs a closed loop under the CPU profiler.
func (x *side) profiled(s size, o options) error {
	file, err := os.Create(o.profile)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	_, err = x.closedLoop(s, 5*time.Second)
	return err
}

// openLoop sends at a fixed rate and returns the latencies in microseconds,
// sorted.
func (x *side) openLoop(s size, length time.Duration) ([]float64, error) {
	total := int(length.Seconds() * float64(s.rate))
	latencies := make([]float64, 0, total)
	collected := make(chan error, 1)
	go func() {
		limit := time.After(length + patience)
		for len(latencies) < total {
			took, err := x.wait(limit)
			if err != nil {
				collected <- err
				return
			}
			latencies = append(latencies, float64(took)/1e3)
		}
		collected <- nil
	}()
	begin := time.Now()
	for sent := 0; sent < total; {
		due := min(total, int(time.Since(begin).Seconds()*float64(s.rate))+1)
		for ; sent < due; sent++ {
			if _, err := x.send(); err != nil {
				return nil, err
			}
		}
		time.Sleep(time.Duration(float64(time.Second) / float64(s.rate)))
	}
	if err := <-collected; err != nil {
		return nil, err
	}
	slices.Sort(latencies)
	return latencies, x.failures()
}

// measure adds one value to each list.
func (x *side) measure(s size, length time.Duration) error {
	rate, err := x.closedLoop(s, length)
	if err != nil {
		return err
	}
	latencies, err := x.openLoop(s, length)
	if err != nil {
		return err
	}
	x.throughput = append(x.throughput, rate)
	x.p50 = append(x.p50, latencies[len(latencies)/2])
	x.p99 = append(x.p99, latencies[len(latencies)*99/100])
	return nil
}

// failures returns an error if replies were refusals: then the measurement is
// void.
func (x *side) failures() error {
	if n := x.refused.Load(); n > 0 {
		return fmt.Errorf("%d requests were refused, the first with %v", n, x.refusal.Load())
	}
	return nil
}

func (x *side) close() {
	for i := len(x.stops) - 1; i >= 0; i-- {
		x.stops[i]()
	}
}

// inferBody returns an encoded request for a model of the zoo, as msgpack: raw
// bytes of the given size, and an SLO that no request here misses.
func inferBody(bytes int) []byte {
	text := func(out []byte, s string) []byte { return append(append(out, 0xa0|byte(len(s))), s...) }
	out := []byte{0x82}
	out = text(out, "parameters")
	out = text(append(out, 0x81), "slo_ms")
	out = append(out, 0xcd, 0x27, 0x10) // 10,000
	out = text(out, "inputs")
	out = text(append(out, 0x91, 0x84), "name")
	out = text(out, "input")
	out = text(out, "datatype")
	out = text(out, "FP32")
	out = text(out, "shape")
	out = append(out, 0x92, 1, 0xce)
	out = binary.BigEndian.AppendUint32(out, uint32(bytes/4))
	out = text(out, "data")
	out = append(out, 0xc6)
	out = binary.BigEndian.AppendUint32(out, uint32(bytes))
	return append(out, make([]byte, bytes)...)
}
