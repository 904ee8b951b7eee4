package lab

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestSimulationsArePrintedAsTableAndAsJSON(t *testing.T) {
	code, out, stderr := invoke(t, strings.Fields("sim paper-6.1-open --policy clockwork,faithful --length 1s")...)
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, want := range []string{"clockwork  faithful", "offered", "goodput r/s", "in SLO", "of upper bound", "p99.9", "mean batch", "cold starts", "GPU use", "PCIe use", "hash of events"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	_, out, _ = invoke(t, strings.Fields("sim paper-6.1-open --rate 2000 --length 1s --json")...)
	var d simDocument
	if err := json.Unmarshal([]byte(out), &d); err != nil || len(d.Runs) != 1 {
		t.Fatalf("%v, %d runs", err, len(d.Runs))
	}
	r := d.Runs[0]
	sum, offered := r.OK, 0
	for _, e := range r.Errors {
		sum += e.Count
	}
	for _, p := range r.Series {
		offered += p.Offered
	}
	if sum != r.Offered || offered != r.Offered || r.OK == r.Offered {
		t.Errorf("%d offered, %d by code, %d by window, %d OK", r.Offered, sum, offered, r.OK)
	}
	if r.OK > r.Bound || r.OfBound > 1 {
		t.Errorf("%d OK, the bound is %d", r.OK, r.Bound)
	}
}

// Of no request, none was in its SLO, and none was not.
func TestARunWithoutRequestsHasNoShareInTheSLO(t *testing.T) {
	_, out, _ := invoke(t, "sim", "open", "--rate", "0.001", "--length", "1s")
	if !regexp.MustCompile(`(?m)^offered +0$`).MatchString(out) || !regexp.MustCompile(`(?m)^in SLO +-$`).MatchString(out) {
		t.Error(out)
	}
}

func TestThePageOfASimulationIsWholeAndAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	if code, _, stderr := invoke(t, "sim", "paper-6.1-open", "--length", "1s", "--html", path); code != 0 {
		t.Fatal(stderr)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := xml.NewDecoder(strings.NewReader(string(text)))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, figure := range []string{"Goodput", "Not in SLO", "Latency over time, clockwork", "Batch sizes", "Cold starts", "GPU use over time", "PCIe use over time", "Prediction errors", "Timeline of clockwork"} {
		if !strings.Contains(string(text), "<h3>"+figure) {
			t.Errorf("no figure %s", figure)
		}
	}
	if strings.Contains(string(text), "<script") || strings.Contains(string(text), "NaN") {
		t.Error("the page has a script, or a number that is none")
	}
}

// A run that ends without a page, as an interrupted one does, leaves no file,
// and one that was there as it was.
func TestARunWithoutAnEndLeavesNoPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	if err := canWrite("html", path); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := invoke(t, "sim", "open", "--html", path, "--record", "sim.go"); code != 2 {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	if err := os.WriteFile(path, []byte("an older page"), 0o600); err != nil {
		t.Fatal(err)
	}
	invoke(t, "sim", "open", "--html", path, "--record", "sim.go")
	if text, err := os.ReadFile(path); err != nil || string(text) != "an older page" {
		t.Errorf("the older page is now %q, %v", text, err)
	}
	if code, _, stderr := invoke(t, "sim", "open", "--length", "100ms", "--html", path); code != 0 {
		t.Error(stderr)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if text, _ := os.ReadFile(path); err != nil || len(left) != 1 || !strings.Contains(string(text), "<html") {
		t.Errorf("beside the new page of %d bytes there are %v, %v", len(text), left, err)
	}
}

func TestThePeakIsFound(t *testing.T) {
	_, out, stderr := invoke(t, strings.Fields("sim paper-6.1-open --copies 4 --length 1s --peak --json")...)
	var d peakDocument
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err, stderr)
	}
	at := slices.IndexFunc(d.Peaks, func(p simPeak) bool { return p.Policy == "clockwork" })
	if p := d.Peaks[at]; len(d.Peaks) != 2 || p.Rate < 200 || p.Rate > 2000 || p.Share < peakShare || p.OfFaithful <= 0 {
		t.Errorf("peaks %+v", d.Peaks)
	}
}

func TestWrongSimulationsAreRefusedWithTheirBounds(t *testing.T) {
	for _, row := range []struct{ args, says string }{
		{"", "--trace FILE"}, {"lottery", "paper-6.1"}, {"open --policy best", "faithful"}, {"open --policy echo", "faithful"},
		{"open --rate -1", "at most 10000000"}, {"open --copies 5000", "from 1 to 4096"}, {"open --workers 0", "from 1 to"},
		{"open --slo 2h", "from 1us to 1h"}, {"open --network 2s", "from 0s to 1s"}, {"open --model zoo/none", "zoo/NAME"},
		{"closed --peak", "closed"}, {"open --pages 0", "from 1"},
		{"open --without luck", "expected some of any, back, bounded, early"}, {"open --faults luck", "--faults luck: "}, {"open --record .", "is a directory"},
		// Zero is a value, and not the default.
		{"open --rate 0", "--rate is 0; it must be more than 0"}, {"open --rate NaN", "expected a number"}, {"open --copies 0", "from 1 to 4096"},
		{"closed --clients 0", "from 1 to 1048576"}, {"open --gpus 0", "from 1 to 256"}, {"open --max-batch 0", "from 1 to"}, {"open --slo 0s", "from 1us to 1h"},
		{"open --length 0s", "from 1ms to 672h"}, {"open --ahead 0s", "--ahead: it is 0s, and must be from 1us to 1s"},
		// What would do nothing is not taken for done.
		{"open --clients 5", "leave --clients out"}, {"closed --rate 5", "leave --rate out"}, {"fill-memory --copies 5", "leave --copies out"},
		{"open --model zoo/resnet18_v2,zoo/resnet50_v2", "one path"}, {"open --timeline 1s", "--html"}, {"open --peak --rate 5", "searches the rate"}, {"fill-memory --peak", "no rate"},
	} {
		code, _, stderr := invoke(t, append([]string{"sim"}, strings.Fields(row.args)...)...)
		if code != 2 || !strings.Contains(stderr, row.says) {
			t.Errorf("sim %s: exit code %d, wanted 2 and %q in:\n%s", row.args, code, row.says, stderr)
		}
	}
}

// An unset variable of a script is not the default either.
func TestAnEmptyValueIsWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{"sim", "open", "--policy", ""}, {"sim", "open", "--model="}, {"sim", "open", "--without", ""}, {"sim", "open", "--network", ""},
		{"sim", "open", "--faults", ""}, {"replay", "sim.go", "--policy", ""},
	} {
		if code, _, stderr := invoke(t, args...); code != 2 || !strings.Contains(stderr, "its value is empty") {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
}

// Where a duration may be 0, it is: no buffer is not the default one.
func TestAZeroThatIsAllowedIsTaken(t *testing.T) {
	const busy = short + "--rate 1500 "
	plain := simulate(t, busy).Runs[0].Hash
	for _, flag := range []string{"--buffer 0s", "--network 0s"} {
		if simulate(t, busy+flag).Runs[0].Hash == plain {
			t.Errorf("%s is taken for the default", flag)
		}
	}
}
