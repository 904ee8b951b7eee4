package bench

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/report"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

const (
	msec    = time.Millisecond
	second  = protocol.Time(time.Second)
	aSecond = time.Second
)

func served(batch int, cold bool) client.Outcome {
	return client.Outcome{Code: protocol.OK, Parameters: protocol.ResponseParameters{BatchSize: batch, ColdStart: cold}}
}

func refusedWith(code protocol.Code) client.Outcome { return client.Outcome{Code: code} }

func TestEachRequestAfterTheWarmupIsCountedOnce(t *testing.T) {
	tally := NewTally(2, second, 500*msec)
	due := func(model int, at time.Duration) workload.Arrival {
		a := workload.Arrival{At: second.Add(at), Model: model, SLO: 100 * msec}
		tally.Sent(a, 20*time.Microsecond)
		return a
	}
	tally.Done(due(0, -msec), 0, msec, served(1, true)) // of the warm-up
	tally.NoAnswer(due(0, -msec))
	tally.Done(due(0, 0), 0, 100*msec, served(1, true))
	tally.Done(due(0, 10*msec), 0, 100*msec+1, served(3, false)) // late by a nanosecond
	tally.Done(due(1, 600*msec), msec, 5*msec, refusedWith(protocol.Overloaded))
	tally.Done(due(1, 700*msec), 0, 5*msec, refusedWith(protocol.Overloaded))
	tally.Done(due(1, 710*msec), 0, 5*msec, refusedWith(protocol.WorkerLost))
	tally.NoAnswer(due(1, 1200*msec))
	tally.Unfinished(due(1, 1900*msec))
	tally.Stray()

	want := &Report{
		Window: 2 * time.Second,
		Total: Summary{
			Offered: 7, OK: 2, InSLO: 1, NoAnswer: 1, Unfinished: 1, Errors: []report.ErrorCount{{Code: protocol.Overloaded, Count: 2}, {Code: protocol.WorkerLost, Count: 1}},
			OfferedRate: 3.5, Goodput: 0.5, Share: 1.0 / 6, Cold: 1, MeanBatch: 2,
		},
		Models: []Summary{
			{Model: "a", Offered: 2, OK: 2, InSLO: 1, OfferedRate: 1, Goodput: 0.5, Share: 0.5, Cold: 1, MeanBatch: 2},
			{Model: "b", Offered: 5, NoAnswer: 1, Unfinished: 1, OfferedRate: 2.5,
				Errors: []report.ErrorCount{{Code: protocol.Overloaded, Count: 2}, {Code: protocol.WorkerLost, Count: 1}}},
		},
		Strays: 1,
		Refusals: []Refusal{
			{protocol.Overloaded, protocol.Refusal(protocol.Overloaded).Message}, {protocol.WorkerLost, protocol.Refusal(protocol.WorkerLost).Message},
		},
		Series: []Point{
			{At: 0, Window: 500 * msec, Offered: 2, InSLO: 1, Late: 1},
			{At: 500 * msec, Window: 500 * msec, Offered: 3, Refused: 3},
			{At: time.Second, Window: 500 * msec, Offered: 1, NoAnswer: 1},
			{At: 1500 * msec, Window: 500 * msec, Offered: 1},
		},
	}
	got := tally.Report([]string{"a", "b"}, 2*time.Second)
	latencies := cmp.FilterPath(func(p cmp.Path) bool {
		name := p.Last().String()
		return name == ".P50" || name == ".P99" || name == ".Max" || name == ".Latency" || name == ".Lateness" || name == ".Refused"
	}, cmp.Ignore())
	if diff := cmp.Diff(want, got, latencies, cmpopts.IgnoreUnexported(Report{})); diff != "" {
		t.Error(diff)
	}
	if got.Refused.Samples != 3 || got.Refused.P50 < 5*msec || got.Refused.P50 > 5*msec+10*time.Microsecond {
		t.Errorf("refused after %+v", got.Refused)
	}
	if got.Total.Latency.Samples != 2 || got.Lateness.Samples != 7 || got.Lateness.Max != 20*time.Microsecond {
		t.Errorf("latency %+v, lateness %+v", got.Total.Latency, got.Lateness)
	}
}

// Whatever becomes of requests, the sums come out, of each model and of all.
func TestTheSumsComeOut(t *testing.T) {
	const models, requests = 7, 5000
	dice := rand.New(rand.NewPCG(1, 2))
	tally := NewTally(models, second, 100*msec)
	codes := []protocol.Code{protocol.Overloaded, protocol.DeadlineExceeded, protocol.BadMessage}
	measured := 0
	for range requests {
		a := workload.Arrival{At: protocol.Time(dice.Int64N(int64(3 * second))), Model: dice.IntN(models), SLO: 50 * msec}
		if a.At >= second {
			measured++
		}
		tally.Sent(a, time.Duration(dice.Int64N(1e6)))
		switch dice.IntN(5) {
		case 0:
			tally.NoAnswer(a)
		case 1:
			tally.Unfinished(a)
		case 2:
			tally.Done(a, 0, msec, refusedWith(codes[dice.IntN(len(codes))]))
		default:
			tally.Done(a, 0, time.Duration(dice.Int64N(1e8)), served(1, dice.IntN(2) == 0))
		}
	}
	names := make([]string, models)
	for i := range names {
		names[i] = fmt.Sprint("m", i)
	}
	r := tally.Report(names, 2*time.Second)
	if r.Total.Offered != measured || len(r.Models) != models {
		t.Errorf("%d offered after the warm-up, want %d; %d models", r.Total.Offered, measured, len(r.Models))
	}
	sum := Summary{}
	for _, s := range append(r.Models, r.Total) {
		errors := 0
		for _, e := range s.Errors {
			errors += e.Count
		}
		if s.Offered != s.OK+errors+s.NoAnswer+s.Unfinished || s.InSLO > s.OK || int64(s.OK) != s.Latency.Samples {
			t.Errorf("the sums of %+v do not come out", s)
		}
		if s.Model != "" {
			sum.Offered, sum.OK, sum.InSLO = sum.Offered+s.Offered, sum.OK+s.OK, sum.InSLO+s.InSLO
		}
	}
	if sum.Offered != r.Total.Offered || sum.OK != r.Total.OK || sum.InSLO != r.Total.InSLO {
		t.Errorf("all models come to %+v, the total is %+v", sum, r.Total)
	}
	inWindows := 0
	for _, p := range r.Series {
		inWindows += p.Offered
	}
	if inWindows != measured {
		t.Errorf("%d in the windows, %d in all", inWindows, measured)
	}
}

func TestPercentilesAreShownWhereThereAreEnoughSamples(t *testing.T) {
	for _, row := range []struct {
		samples     int
		p999, p9999 bool
	}{{1, false, false}, {9_999, false, false}, {10_000, true, false}, {99_999, true, false}, {100_000, true, true}} {
		h := newHistogram(fine)
		for i := range row.samples {
			h.add(time.Duration(i+1) * time.Microsecond)
		}
		p := h.percentiles()
		if p.P999 > 0 != row.p999 || p.P9999 > 0 != row.p9999 || p.Samples != int64(row.samples) {
			t.Errorf("%d samples: %+v", row.samples, p)
		}
		for _, at := range []struct {
			share float64
			got   time.Duration
		}{{0.5, p.P50}, {0.9, p.P90}, {0.99, p.P99}, {0.999, p.P999}, {0.9999, p.P9999}, {1, p.Max}} {
			want := at.share * float64(row.samples) * 1e3 // ns
			if off := float64(at.got) - want; at.got > 0 && (off < -1e3 || off > want*0.002+1e3) {
				t.Errorf("%d samples: %v at %v, want %v", row.samples, at.got, at.share, time.Duration(want))
			}
		}
	}
}

func TestWithoutAnswersThereAreNoPercentiles(t *testing.T) {
	r := NewTally(1, 0, aSecond).Report([]string{"m"}, 0)
	if r.Total.Latency != (Percentiles{}) || r.Total.Share != 0 || r.Total.OfferedRate != 0 || len(r.Models) != 0 {
		t.Errorf("%+v", r)
	}
	if percent, _ := r.Curve([]float64{50}); percent != nil {
		t.Errorf("a curve of nothing: %v", percent)
	}
}

func TestProgressIsOfWhatHappenedSinceTheOneBefore(t *testing.T) {
	tally := NewTally(1, second, aSecond)
	a := workload.Arrival{SLO: 10 * msec} // the warm-up shows too
	for range 4 {
		tally.Sent(a, 0)
	}
	tally.Done(a, 0, msec, served(1, false))
	tally.Done(a, 0, 11*msec, served(1, false))
	tally.NoAnswer(a)
	p := tally.Progress(2 * time.Second)
	if p.Offered != 2 || p.Goodput != 0.5 || p.Share != 1.0/3 || p.P99 < 11*msec {
		t.Errorf("%+v", p)
	}
	if p = tally.Progress(time.Second); p.Offered != 0 || p.Share == p.Share { // NaN
		t.Errorf("%+v", p)
	}
}

func TestTheWorstModelsComeFirst(t *testing.T) {
	r := Report{Models: []Summary{{Model: "a", Share: 0.9}, {Model: "b", Share: 0.1}, {Model: "c", Share: 0.9}, {Model: "d"}}}
	var names []string
	for _, m := range r.Worst(3) {
		names = append(names, m.Model)
	}
	if got := strings.Join(names, " "); got != "d b a" {
		t.Errorf("got %s", got)
	}
}

func TestTheHistogramIsInThePercentileFormatInMilliseconds(t *testing.T) {
	tally := NewTally(1, 0, aSecond)
	for i := range 100 {
		a := workload.Arrival{SLO: 100 * msec}
		tally.Sent(a, 0)
		tally.Done(a, 0, time.Duration(i+1)*msec, served(1, false))
	}
	var out strings.Builder
	if err := tally.Report([]string{"m"}, aSecond).WriteHistogram(&out); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"Value", "Percentile", "TotalCount", "1/(1-Percentile)", "#[Max     =      100", "Total count    =          100"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %q in\n%s", part, out.String())
		}
	}
}

// Programs read these, and --compare does; a field may come, none may go or
// change its meaning.
func TestTheJSONOfAReportHasTheseFields(t *testing.T) {
	tally := NewTally(1, 0, aSecond)
	a := workload.Arrival{SLO: 100 * msec}
	for range enoughFor9999 {
		tally.Sent(a, msec)
		tally.Done(a, 0, msec, served(1, false))
	}
	tally.Sent(a, 0)
	tally.Done(a, 0, msec, refusedWith(protocol.Overloaded))
	body, err := json.Marshal(tally.Report([]string{"m"}, aSecond))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	inner := func(key string) map[string]any { return got[key].(map[string]any) }
	element := func(key string) map[string]any { return got[key].([]any)[0].(map[string]any) }
	for _, level := range []struct {
		what   string
		in     map[string]any
		fields string
	}{
		{"the report", got, "setting began window_ns total models lateness refusals series"},
		{"the setting", inner("setting"), "workload seed loads length_ns warmup_ns payload connections"},
		{"the total", inner("total"), "offered ok in_slo errors offered_rps goodput_rps share_in_slo cold mean_batch latency"},
		{"a model", element("models"), "model offered ok in_slo errors offered_rps goodput_rps share_in_slo cold mean_batch latency"},
		{"a latency", inner("total")["latency"].(map[string]any), "samples p50_ns p90_ns p99_ns p99_9_ns p99_99_ns max_ns"},
		{"a refusal", element("refusals"), "code message"},
		{"a window", element("series"), "at_ns window_ns offered in_slo late refused no_answer p50_ns p99_ns max_ns"},
	} {
		for field := range strings.FieldsSeq(level.fields) {
			if _, has := level.in[field]; !has {
				t.Errorf("%s has no %s", level.what, field)
			}
		}
	}
}
