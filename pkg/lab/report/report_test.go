package report

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clockwork/pkg/protocol"
)

const ms = time.Millisecond

func upTo(n int) []time.Duration {
	values := make([]time.Duration, n)
	for i := range values {
		values[i] = time.Duration(i + 1)
	}
	return values
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	for _, row := range []struct {
		name             string
		values, perMille int
		want             time.Duration
	}{
		{"none", 0, 500, 0},
		{"one is every percentile", 1, 1, 1},
		{"the median of an even count is the lower middle", 4, 500, 2},
		{"the median of an odd count is the middle", 5, 500, 3},
		{"p99 of 100 is the 99th", 100, 990, 99},
		{"p99 of 101 is the 100th", 101, 990, 100},
		{"p99.9 of 1000 is the 999th", 1000, 999, 999},
		{"p99.9 of fewer is the maximum", 999, 999, 999},
		{"the whole is the maximum", 7, 1000, 7},
		{"more than the whole is the maximum", 7, 2000, 7},
		{"nothing is the minimum", 7, 0, 1},
		{"less than nothing is the minimum", 7, -5, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := Percentile(upTo(row.values), row.perMille); got != row.want {
				t.Errorf("got %d, want %d", got, row.want)
			}
		})
	}
}

func TestInSLO(t *testing.T) {
	for _, row := range []struct {
		name   string
		sample Sample
		want   bool
	}{
		{"exactly the target is in time", Sample{Code: protocol.OK, Latency: 5 * ms, SLO: 5 * ms}, true},
		{"one nanosecond more is not", Sample{Code: protocol.OK, Latency: 5*ms + 1, SLO: 5 * ms}, false},
		{"a refusal is never good", Sample{Code: protocol.Overloaded, Latency: ms, SLO: 5 * ms}, false},
		{"without a target all that is served is good", Sample{Code: protocol.OK, Latency: time.Hour}, true},
		{"no outcome is not good", Sample{}, false},
	} {
		if got := row.sample.InSLO(); got != row.want {
			t.Errorf("%s: got %v", row.name, got)
		}
	}
}

var run = []Sample{
	{Model: "b", Latency: 40 * ms, SLO: 100 * ms, Code: protocol.OK, Cold: true, Batch: 4},
	{Model: "a", Latency: 10 * ms, SLO: 15 * ms, Code: protocol.OK, Batch: 1},
	{Model: "b", Latency: 900 * ms, SLO: 100 * ms, Code: protocol.WorkerLost},
	{Model: "a", Latency: 20 * ms, SLO: 15 * ms, Code: protocol.OK, Batch: 2},
	{Model: "b", Latency: ms, SLO: 100 * ms, Code: protocol.Overloaded},
	{Model: "c", Latency: ms, SLO: 100 * ms, Code: protocol.WorkerLost},
}

func level(d time.Duration) Percentiles { return Percentiles{d, d, d, d, d} }

func TestReportPerModelAndInTotal(t *testing.T) {
	want := Report{
		Window: 2 * time.Second,
		Models: []Summary{
			{Model: "a", Requests: 2, OK: 2, InSLO: 1, Goodput: 0.5, MeanBatch: 1.5,
				Latency: Percentiles{10 * ms, 20 * ms, 20 * ms, 20 * ms, 20 * ms}},
			{Model: "b", Requests: 3, OK: 1, InSLO: 1, Goodput: 0.5, Cold: 1, MeanBatch: 4,
				Errors: []ErrorCount{{protocol.Overloaded, 1}, {protocol.WorkerLost, 1}}, Latency: level(40 * ms)},
			{Model: "c", Requests: 1, Errors: []ErrorCount{{protocol.WorkerLost, 1}}},
		},
		Total: Summary{Requests: 6, OK: 3, InSLO: 2, Goodput: 1, Cold: 1, MeanBatch: 7.0 / 3,
			Errors:  []ErrorCount{{protocol.Overloaded, 1}, {protocol.WorkerLost, 2}},
			Latency: Percentiles{20 * ms, 40 * ms, 40 * ms, 40 * ms, 40 * ms}},
	}
	before := slices.Clone(run)
	if diff := cmp.Diff(want, New(run, 2*time.Second)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, run); diff != "" {
		t.Error("the samples were changed:", diff)
	}
	backwards := slices.Clone(run)
	slices.Reverse(backwards)
	if diff := cmp.Diff(want, New(backwards, 2*time.Second)); diff != "" {
		t.Error("the order of samples matters:", diff)
	}
}

func TestWithoutAWindowThereIsNoGoodput(t *testing.T) {
	for _, window := range []time.Duration{0, -time.Second} {
		if got := New(run, window).Total.Goodput; got != 0 {
			t.Errorf("window %v: goodput %v", window, got)
		}
	}
}

func TestJSON(t *testing.T) {
	got, err := json.Marshal(New(run[1:2], time.Second))
	if err != nil {
		t.Fatal(err)
	}
	latency := `"latency":{"p50_ns":10000000,"p90_ns":10000000,"p99_ns":10000000,"p99_9_ns":10000000,"max_ns":10000000}`
	body := `"requests":1,"ok":1,"in_slo":1,"goodput_rps":1,"cold":0,"mean_batch":1,` + latency
	want := `{"window_ns":1000000000,"models":[{"model":"a",` + body + `}],"total":{` + body + `}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	empty, err := json.Marshal(New(nil, time.Second))
	if err != nil || !strings.Contains(string(empty), `"models":[]`) {
		t.Errorf("no models are %s, %v; want an empty array", empty, err)
	}
}
