package integration

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/lab/chaos"
)

var (
	soakFor  = flag.Duration("soak", 0, "serve half of what can be served for so long, and compare the memory of each process (make soak)")
	soakRate = flag.Float64("soak-rate", 0, "requests/s of the soak, instead of half of what can be served")
)

const (
	soakSLO = 100 * time.Millisecond
	// soakWarm is the time before memory is measured.
	soakWarm  = time.Minute
	soakEvery = 2 * time.Second
	// soakGrowth bounds by how much the median of the last quarter may exceed that
	// of the first.
	soakGrowth = 0.05
)

// TestSoak checks that under half load the memory of no process grows.
func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("takes 20 minutes; make soak runs it")
	}
	rate := *soakRate
	if rate == 0 {
		rate = soakHalf(t)
	}
	m := newSoak(t)
	traffic := m.startTraffic(chaos.Load{Rate: rate, SLO: soakSLO})
	time.Sleep(soakWarm)
	resident := make([][]int64, len(m.stack.Services))
	for end := time.Now().Add(*soakFor); time.Now().Before(end); time.Sleep(soakEvery) {
		for i, service := range m.stack.Services {
			bytes, err := service.Process.Resident()
			m.must(err)
			resident[i] = append(resident[i], bytes)
		}
	}
	e := chaos.EffectOf(traffic.Stop(2*time.Second), soakSLO, 0)
	t.Logf("%.0f requests/s for %v: sent %d, served in SLO %d, errors %v, unanswered %d", rate, *soakFor+soakWarm, e.Sent, e.OK, e.Errors, e.Unanswered)
	for i, service := range m.stack.Services {
		quarter := len(resident[i]) / 4
		first, last := median(resident[i][:quarter]), median(resident[i][len(resident[i])-quarter:])
		growth := float64(last)/float64(first) - 1
		t.Logf(`soak {"process":%q,"samples":%d,"first_quarter_mib":%.1f,"last_quarter_mib":%.1f,"growth":%.4f,"curve_mib":[%s]}`,
			service.Name, len(resident[i]), mib(first), mib(last), growth, soakCurve(resident[i]))
		if growth > soakGrowth {
			t.Errorf("%s grew by %.1f %%", service.Name, 100*growth)
		}
	}
	if e.Unanswered > 0 || e.Duplicates > 0 {
		t.Errorf("%d requests had no answer, %d more than one", e.Unanswered, e.Duplicates)
	}
}

// newSoak returns an active stack without a time limit.
func newSoak(t *testing.T) *matrix {
	m := newMatrix(t, scene{})
	m.ctx = t.Context()
	m.active()
	return m
}

// soakHalf measures half of the capacity of a separate stack.
func soakHalf(t *testing.T) (rate float64) {
	t.Run("half of what can be served", func(t *testing.T) { rate = newSoak(t).peak(8000, soakSLO) / 2 })
	if rate == 0 {
		t.Fatal("it is not known what can be served; see --soak-rate")
	}
	return rate
}

func median(values []int64) int64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// soakCurve formats the memory in twenty steps, the median of each.
func soakCurve(values []int64) string {
	var points []string
	for part := range slices.Chunk(values, max(1, (len(values)+19)/20)) {
		points = append(points, fmt.Sprintf("%.1f", mib(median(part))))
	}
	return strings.Join(points, ",")
}
