package bench

import (
	"sync"
	"testing"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// slowServer is a line to a server that answers each request after took.
type slowServer struct {
	took     time.Duration
	answered func(token uint64, o client.Outcome)

	mu         sync.Mutex
	open, most int
	within     []time.Duration
}

func (s *slowServer) Open(answered func(token uint64, o client.Outcome)) error {
	s.answered = answered
	return nil
}

func (s *slowServer) Send(token uint64, _ string, _ *Inputs, within time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	s.most, s.within = max(s.most, s.open), append(s.within, within)
	time.AfterFunc(s.took, func() {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
		s.answered(token, client.Outcome{Code: protocol.OK})
	})
	return nil
}

// pooled is 100 requests at once for a server, of which at most two are in flight.
func pooled(s *slowServer) Config {
	return Config{
		Workload: workload.Workload{
			Name: "test", Length: 100 * msec, Loads: []workload.Load{{Path: "zoo/m", Name: "m", Copies: 1}},
			Streams: []workload.Stream{{Process: workload.Fixed{Rate: workload.Always(1000.0)}, SLO: workload.Within(time.Minute)}},
		},
		Models: loaded("zoo/m", "m"), Payload: Generated(), Lines: []Line{s}, Pools: []Pool{{Streams: []int{0}, Places: 2}},
		DefaultSLO: time.Minute, Window: 100 * msec, Grace: time.Minute, Patience: time.Minute,
	}
}

// A request that waits for a place is sent later, tells the server that it has less time
// left, and its latency contains the wait.
func TestAPoolBoundsWhatIsInFlight(t *testing.T) {
	s := &slowServer{took: 5 * msec}
	c := pooled(s)
	c.Margin = time.Second
	r := measured(t, t.Context(), c)
	if n := len(arrivals(t, c.Workload)); r.Total.OK != n || len(s.within) != n || s.most > 2 {
		t.Fatalf("of %d, %d were answered; up to %d were in flight", n, r.Total.OK, s.most)
	}
	last := s.within[len(s.within)-1]
	if last > time.Minute-time.Second || time.Minute-time.Second-last > r.Lateness.Max {
		t.Errorf("the last has %v left; requests were sent up to %v late", last, r.Lateness.Max)
	}
	if r.Total.Latency.Max < r.Lateness.P50+s.took {
		t.Errorf("they waited %v and more, the longest latency is %v", r.Lateness.P50, r.Total.Latency.Max)
	}
}

// What has waited for too long is not sent, and counts.
func TestARequestThatWaitedTooLongIsNotSent(t *testing.T) {
	s := &slowServer{took: 20 * msec}
	c := pooled(s)
	c.Workload.Streams[0].SLO, c.Grace = workload.Within(msec), 30*msec
	r := measured(t, t.Context(), c)
	n := len(arrivals(t, c.Workload))
	if r.Total.Offered != n || r.Total.NoAnswer == 0 || r.Total.OK+r.Total.NoAnswer+r.Total.Unfinished != n || len(s.within)+r.Total.NoAnswer < n {
		t.Errorf("of %d, %d were sent: %+v", n, len(s.within), r.Total)
	}
	if s.within[len(s.within)-1] != leastWithin {
		t.Errorf("a late request has %v left", s.within[len(s.within)-1])
	}
}
