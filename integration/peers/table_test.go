package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/lab/bench"
	"clockwork/pkg/lab/report"
	"clockwork/pkg/protocol"
)

// measuredOf is a run in which of a hundred requests so many were in SLO, one had no answer
// and the others were refused.
func measuredOf(workload, server string, load float64, seed uint64, inSLO int) result {
	return result{cell: cell{Workload: workload, Load: load, Seed: seed}, Server: server, ServerS: 1, PSSMiB: 2048, Report: &bench.Report{
		Total: bench.Summary{Offered: 100, OK: inSLO, InSLO: inSLO, NoAnswer: 1, Share: 1,
			Errors:  []report.ErrorCount{{Code: protocol.Overloaded, Count: 99 - inSLO}},
			Latency: bench.Percentiles{P99: 42 * time.Millisecond}},
		Refused: bench.Percentiles{P50: 1500 * time.Microsecond},
	}}
}

func TestSeedsStandBesideEachOther(t *testing.T) {
	all := []result{
		measuredOf("w1", "triton", 0.5, 1, 80), measuredOf("w1", "clockwork", 0.5, 2, 97), measuredOf("w1", "clockwork", 0.5, 1, 98), measuredOf("w1", "clockwork", 1.25, 1, 70),
	}
	got := report1(all)
	for _, want := range []string{
		"serves 303 squeezenets a second",
		"W1, one model, SLO 100 ms: in SLO, %:\n\n| | 50 % | 125 % |\n|---|---|---|\n| clockwork | 98.0 / 97.0 | 70.0 |\n| triton | 80.0 |  |\n",
		"W1: p50 of refusals, ms:\n\n| | 50 % | 125 % |\n|---|---|---|\n| clockwork | 1.5 / 1.5 | 1.5 |\n",
		"W1: without an answer, or failed:\n\n| | 50 % | 125 % |\n|---|---|---|\n| clockwork | 1 / 1 | 1 |\n",
		"| clockwork | 10.2 / 10.3 | 14.3 |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("without %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "W2") && strings.Contains(got, "W2, twelve") {
		t.Error("a table without results is written")
	}
}

func report1(all []result) string { return tablesOf(bare, all, []string{"clockwork", "triton"}) }

// series is a burst after which requests are in SLO again from a time on.
func series(again time.Duration) (all []bench.Point) {
	for at := time.Duration(0); at < 25*time.Second; at += point {
		p := bench.Point{At: at, Offered: 10, InSLO: 10}
		if at >= 10*time.Second && at < again {
			p.InSLO = 5
		}
		all = append(all, p)
	}
	return all
}

func TestABurstHasThreePartsAndAnEnd(t *testing.T) {
	r := measuredOf("w3", "clockwork", 1, 1, 100)
	r.Report.Series = series(15750 * time.Millisecond)
	if got := report1([]result{r}); !strings.Contains(got, "| clockwork | 100.0 | 50.0 | 96.2 | 0.75 |\n") {
		t.Error(got)
	}
	if got := recovery(series(25*time.Second), 15*time.Second); got >= 0 {
		t.Errorf("it is back after %v, and never was", got)
	}
	if got := recovery(series(0), 15*time.Second); got != 0 {
		t.Errorf("it is back after %v, and was never away", got)
	}
}

// What was written is read again; a cut last line is not. Another study has no results.
func TestAStudyGoesOnWhereItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	measured := 0
	open := func() *results {
		r, err := openResults(path, func() (capacity, error) { measured++; return bare, nil })
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := open()
	one := measuredOf("w1", "clockwork", 0.5, 1, 98)
	if err := first.add(one); err != nil {
		t.Fatal(err)
	}
	if _, err := first.file.WriteString(`{"workload":"w1","lo`); err != nil {
		t.Fatal(err)
	}
	again := open()
	if measured != 1 || again.Bare["resnet50"] != bare["resnet50"] || len(again.all) != 1 {
		t.Fatalf("%d measurements of bare sessions; %+v", measured, again)
	}
	if !again.has(one.cell, "clockwork") || again.has(one.cell, "triton") || again.has(cell{Workload: "w1", Load: 0.5, Seed: 2}, "clockwork") {
		t.Error("it does not know what was measured")
	}
	if got := again.all[0].Report.Total; got.InSLO != 98 || share(got) != 98 {
		t.Errorf("read %+v", got)
	}
}

func TestTablesAreWrittenBetweenTheirLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte("above\n"+begin+"\nold\n"+end+"\nbelow\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeTables(path, "new\n"); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "above\n"+begin+"\nnew\n"+end+"\nbelow\n" {
		t.Errorf("%s", text)
	}
	document, err := os.ReadFile("../../docs/performance.md")
	if err != nil || !strings.Contains(string(document), begin) || !strings.Contains(string(document), end) {
		t.Errorf("docs/performance.md has no place for the tables: %v", err)
	}
}
