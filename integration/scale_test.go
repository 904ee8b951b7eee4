package integration

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

var measureScale = flag.Bool("scale", false, "measure what three more workers add to one under full load (make scale)")

// The emulated GPUs take ten times as long as real ones, so that they are the
// bottleneck and not this machine's processors.
const (
	scaleFactor = 10
	scaleSLO    = time.Second
	// fullLoad is the load while workers join, as a share of one worker's capacity.
	fullLoad = 0.9
	// joined is how long after the arrival of the last worker the joining is
	// measured.
	joined = 3 * time.Second
)

// TestScaleOneToFour measures the capacity of one worker, the requests while
// three more join under full load, and the capacity of four.
func TestScaleOneToFour(t *testing.T) {
	if !*measureScale {
		t.Skip("measures for half a minute; make scale runs it")
	}
	m := newMatrix(t, scene{workers: 1})
	m.stack.Config.Model, m.stack.Config.Copies, m.stack.Config.GPUScale = "zoo/resnet50_v2", 8, scaleFactor
	m.active()
	one := m.peak(400, scaleSLO)
	m.traffic = m.startTraffic(chaos.Load{Rate: fullLoad * one, SLO: scaleSLO})
	time.Sleep(5 * time.Second) // earlier refusals have ended
	from := time.Since(m.traffic.Began)
	for i := 2; i <= 4; i++ {
		m.must(m.stack.StartWorker(fmt.Sprintf("worker-%d", i)))
	}
	m.must(m.stack.Await(m.ctx, "four workers", func(s *protocol.StackState) bool { return len(s.Workers) == 4 }))
	came := time.Since(m.traffic.Began)
	time.Sleep(joined)
	to := time.Since(m.traffic.Began)
	sent, good := within(m.traffic.Stop(2*time.Second), scaleSLO, from, to)
	four := m.peak(6*one, scaleSLO)
	share := float64(good) / float64(sent)
	t.Logf(`scale {"one_rps":%.1f,"four_rps":%.1f,"ratio":%.2f,"joining_sent":%d,"joining_in_slo":%d,"share":%.4f,"joined_after_s":%.1f}`,
		one, four, four/one, sent, good, share, (came - from).Seconds())
	if four < 3.5*one {
		t.Errorf("four workers serve %.2f times what one does", four/one)
	}
	if share < 0.99 {
		t.Errorf("%.2f %% of the requests were in SLO while workers joined", 100*share)
	}
}

// startTraffic sends requests for every model of the stack.
func (m *matrix) startTraffic(load chaos.Load) *chaos.Traffic {
	m.t.Helper()
	load.Models = m.models()
	traffic, err := chaos.StartTraffic(m.stack.URL, load)
	m.must(err)
	return traffic
}

// The first seconds of an overload load weights onto the GPUs; then the
// measurement starts.
const (
	overloadWarm  = 4 * time.Second
	overloadCount = 6 * time.Second
)

// peak returns how many requests per second are served in time under overload.
func (m *matrix) peak(rate float64, slo time.Duration) float64 {
	m.t.Helper()
	traffic := m.startTraffic(chaos.Load{Rate: rate, SLO: slo})
	time.Sleep(overloadWarm + overloadCount + time.Second)
	sent, good := within(traffic.Stop(2*time.Second), slo, overloadWarm, overloadWarm+overloadCount)
	m.t.Logf("of %d requests in %v %d were in SLO", sent, overloadCount, good)
	if good == sent {
		m.t.Fatalf("%.0f requests/s are no overload", rate)
	}
	return float64(good) / overloadCount.Seconds()
}

// within counts the requests that were due between two instants, and those of
// them that were served in time.
func within(outcomes []chaos.Outcome, slo, from, to time.Duration) (sent, good int) {
	for _, o := range outcomes {
		if o.At < from || o.At >= to {
			continue
		}
		if sent++; o.Replies > 0 && o.Code == protocol.OK && o.Answered <= o.At+slo {
			good++
		}
	}
	return sent, good
}
