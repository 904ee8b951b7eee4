package bench

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/client"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// door answers requests in place of a stack.
type door struct {
	t   testing.TB
	url string
	nc  *nats.Conn
}

func newDoor(t testing.TB) *door {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &door{t, s.ClientURL(), nc}
}

// answers calls handle, from one goroutine, for each request.
func (d *door) answers(handle func(m *nats.Msg)) {
	d.t.Helper()
	if _, err := d.nc.Subscribe("clockwork.infer.>", handle); err != nil {
		d.t.Fatal(err)
	}
	if err := d.nc.Flush(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *door) serve(m *nats.Msg) {
	if err := m.Respond(wire.EncodeResponse(protocol.Msgpack, &protocol.InferResponse{ModelName: "m", Parameters: protocol.ResponseParameters{BatchSize: 2}})); err != nil {
		d.t.Error(err)
	}
}

// config runs a workload of one model over so many connections.
func (d *door) config(connections int, process workload.Process) Config {
	d.t.Helper()
	c := Config{
		Workload: workload.Workload{
			Name: "test", Seed: 1, Length: 300 * msec, Loads: []workload.Load{{Path: "zoo/m", Name: "m", Copies: 1}},
			Streams: []workload.Stream{{Process: process}},
		},
		Models: loaded("zoo/m", "m"), Payload: Generated(),
		DefaultSLO: time.Minute, Window: 100 * msec, Grace: time.Minute, Patience: time.Minute,
	}
	for range connections {
		connection, err := client.Connect(d.url, "")
		if err != nil {
			d.t.Fatal(err)
		}
		d.t.Cleanup(connection.Close)
		c.Lines = append(c.Lines, Lines(connection)...)
	}
	return c
}

// arrivals are what the workload sends, with its closed loops answered at once.
func arrivals(t *testing.T, w workload.Workload) (all []workload.Arrival) {
	t.Helper()
	s, err := w.Source(nil)
	if err != nil {
		t.Fatal(err)
	}
	for a, more := s.Next(); more; a, more = s.Next() {
		all = append(all, a)
	}
	return all
}

func measured(t *testing.T, ctx context.Context, c Config) *Report {
	t.Helper()
	r, err := Run(ctx, c, func(Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryArrivalOfAWorkloadIsSentAndAnswered(t *testing.T) {
	d := newDoor(t)
	d.answers(d.serve)
	c := d.config(3, workload.Poisson{Rate: workload.Always(2000.0)})
	r := measured(t, t.Context(), c)
	want := len(arrivals(t, c.Workload))
	if r.Total.Offered != want || r.Total.OK != want || r.Total.InSLO != want || r.Total.MeanBatch != 2 || r.Interrupted || r.Window != c.Workload.Length {
		t.Errorf("want %d of all, got %+v", want, r)
	}
	if r.Lateness.Samples != int64(want) || r.Total.Latency.Samples != int64(want) {
		t.Errorf("lateness of %d, latency of %d", r.Lateness.Samples, r.Total.Latency.Samples)
	}
}

// The door keeps its answers until it has most of the requests: were one of
// them held back for an answer, the run would not end. The first is answered
// after the last of them was due, and its latency must say so.
func TestAnOpenLoopIsNotHeldBackByAnswersAndCountsTheWait(t *testing.T) {
	d := newDoor(t)
	c := d.config(1, workload.Fixed{Rate: workload.Always(500.0)})
	all := arrivals(t, c.Workload)
	var kept []*nats.Msg
	d.answers(func(m *nats.Msg) {
		if kept = append(kept, m); len(kept) == len(all)-1 {
			for _, m := range kept {
				d.serve(m)
			}
		} else if len(kept) == len(all) {
			d.serve(m)
		}
	})
	r := measured(t, t.Context(), c)
	if r.Total.OK != len(all) {
		t.Fatalf("%d of %d answered", r.Total.OK, len(all))
	}
	if wait := all[len(all)-2].At.Sub(all[0].At); r.Total.Latency.Max < wait {
		t.Errorf("the first waited %v at least, the longest latency is %v", wait, r.Total.Latency.Max)
	}
}

func TestAClosedLoopHasAsManyRequestsOpenAsClients(t *testing.T) {
	const clients, requests = 3, 60
	d := newDoor(t)
	var mu sync.Mutex
	open, most := 0, 0
	d.answers(func(m *nats.Msg) {
		mu.Lock()
		open++
		most = max(most, open)
		mu.Unlock()
		go func() { // ends at once, and before the connection does: the run waits for it
			mu.Lock()
			open--
			mu.Unlock()
			d.serve(m)
		}()
	})
	c := d.config(2, workload.Closed{Clients: clients, Requests: requests})
	c.Workload.Length = 0
	r := measured(t, t.Context(), c)
	if r.Total.Offered != requests || r.Total.OK != requests || most > clients {
		t.Errorf("%d offered, %d OK, %d open at once", r.Total.Offered, r.Total.OK, most)
	}
}

func TestWhatIsRefusedOrNotAnsweredIsCounted(t *testing.T) {
	d := newDoor(t)
	n := 0
	d.answers(func(m *nats.Msg) {
		switch n++; n % 3 {
		case 0:
			d.serve(m)
		case 1:
			if err := m.RespondMsg(bus.ErrorReply(protocol.Msgpack, m.Reply, protocol.Errorf(protocol.Overloaded, "come back later"))); err != nil {
				t.Error(err)
			}
		}
	})
	c := d.config(2, workload.Fixed{Rate: workload.Always(300.0)})
	c.DefaultSLO, c.Grace = msec, time.Second
	r := measured(t, t.Context(), c)
	s, want := r.Total, len(arrivals(t, c.Workload))
	refused := 0
	for _, e := range s.Errors {
		if e.Code != protocol.Overloaded {
			t.Errorf("%d x %s", e.Count, e.Code)
		}
		refused += e.Count
	}
	if s.Offered != want || s.OK+refused+s.NoAnswer != want || refused == 0 || s.NoAnswer < want/3 {
		t.Errorf("of %d: %+v", want, s)
	}
	if len(r.Refusals) != 1 || r.Refusals[0].Message != "come back later" {
		t.Errorf("%+v", r.Refusals)
	}
}

func TestWithoutAFrontDoorEveryRequestIsRefused(t *testing.T) {
	d := newDoor(t)
	c := d.config(1, workload.Fixed{Rate: workload.Always(100.0)})
	r := measured(t, t.Context(), c)
	if len(r.Total.Errors) != 1 || r.Total.Errors[0].Code != protocol.StateUnavailable || r.Total.Errors[0].Count != r.Total.Offered {
		t.Errorf("%+v", r.Total)
	}
}

func TestAnInterruptedRunReportsWhatItHas(t *testing.T) {
	d := newDoor(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	n := 0
	d.answers(func(m *nats.Msg) {
		if n++; n == 20 {
			interrupt()
		}
		if n != 5 { // it stays open
			d.serve(m)
		}
	})
	c := d.config(1, workload.Fixed{Rate: workload.Always(500.0)})
	c.Workload.Length, c.Grace = time.Hour, 100*msec
	r := measured(t, ctx, c)
	s := r.Total
	if !r.Interrupted || r.Window >= time.Hour || s.Offered < 20 || s.Unfinished < 1 || s.OK+s.Unfinished != s.Offered {
		t.Errorf("interrupted %v, window %v, %+v", r.Interrupted, r.Window, s)
	}
}

func TestABrokenConfigIsRefused(t *testing.T) {
	d := newDoor(t)
	for name, change := range map[string]func(*Config){
		"no connection":     func(c *Config) { c.Lines = nil },
		"a model too few":   func(c *Config) { c.Models = nil },
		"no SLO":            func(c *Config) { c.DefaultSLO = 0 },
		"no window":         func(c *Config) { c.Window = 0 },
		"a negative grace":  func(c *Config) { c.Grace = -1 },
		"a broken workload": func(c *Config) { c.Workload.Streams = nil },
		"an SLO of an execution time that is not known": func(c *Config) {
			c.Workload.Streams[0].SLO = workload.Factors(workload.Always(2.0))
		},
	} {
		c := d.config(1, workload.Fixed{Rate: workload.Always(100.0)})
		change(&c)
		if _, err := Run(t.Context(), c, nil); err == nil {
			t.Errorf("%s was run", name)
		}
	}
}
