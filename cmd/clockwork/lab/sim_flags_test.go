package lab

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clockwork/pkg/lab/policies"
)

// simulate runs clockwork sim with --json and returns what it printed.
func simulate(t *testing.T, args string) simDocument {
	t.Helper()
	code, out, stderr := invoke(t, append([]string{"sim", "--json"}, strings.Fields(args)...)...)
	if code != 0 {
		t.Fatalf("sim %s: exit code %d, %s%s", args, code, stderr, out)
	}
	var d simDocument
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

const short = "paper-6.1-open --rate 700 --length 500ms "

func TestTheSameSeedIsTheSameSimulation(t *testing.T) {
	first, again := simulate(t, short), simulate(t, short)
	if first.Runs[0].Hash != again.Runs[0].Hash || first.Runs[0].OK != again.Runs[0].OK {
		t.Errorf("hash %s and %s", first.Runs[0].Hash, again.Runs[0].Hash)
	}
	if other := simulate(t, short+"--seed 2"); other.Runs[0].Hash == first.Runs[0].Hash {
		t.Error("another seed is the same run")
	}
}

func TestSimFlagsDoWhatTheySay(t *testing.T) {
	plain := simulate(t, short).Runs[0]
	for flag, holds := range map[string]func(d simDocument) bool{
		"--rate 100":                        func(d simDocument) bool { return d.Runs[0].Offered < plain.Offered/3 },
		"--length 1s":                       func(d simDocument) bool { return d.Runs[0].Offered > plain.Offered*3/2 },
		"--copies 2":                        func(d simDocument) bool { return d.Models == 2 },
		"--slo 20ms":                        func(d simDocument) bool { return d.Runs[0].Latency.Max <= 20_100_000 },
		"--gpus 3 --workers 2":              func(d simDocument) bool { return d.GPUs == 6 && len(d.Runs[0].GPUs) == 6 },
		"--pages 14":                        func(d simDocument) bool { return d.Runs[0].GPUs[0].Evicted > 0 && plain.GPUs[0].Evicted == 0 },
		"--resident":                        func(d simDocument) bool { return d.Runs[0].GPUs[0].Loads == 0 && plain.GPUs[0].Loads == 15 },
		"--max-batch 1":                     func(d simDocument) bool { return d.Runs[0].MeanBatch == 1 && plain.MeanBatch > 1 },
		"--hardware " + slowHardware(t):     func(d simDocument) bool { return d.Runs[0].Latency.P50 > 2*plain.Latency.P50 },
		"--padded":                          func(d simDocument) bool { return d.Runs[0].Hash != plain.Hash },
		"--network 2ms":                     func(d simDocument) bool { return d.Runs[0].Latency.P50 > plain.Latency.P50 },
		"--ahead 10ms":                      func(d simDocument) bool { return d.Runs[0].Hash != plain.Hash },
		"--rate 1500 --buffer 1ms":          func(d simDocument) bool { return d.Runs[0].Latency.Max > 96_000_000 }, // 95 ms by default
		"--without any":                     func(d simDocument) bool { return onlyPowersOfTwo(d.Runs[0]) && !onlyPowersOfTwo(plain) },
		"--model zoo/resnet152_v2":          func(d simDocument) bool { return d.Runs[0].Goodput < plain.Goodput },
		"--policy fifo,clockwork":           func(d simDocument) bool { return d.Runs[0].Policy == "fifo" && d.Runs[1].Hash == plain.Hash },
		"--policy clockwork,fifo,clockwork": func(d simDocument) bool { return len(d.Runs) == 2 },
	} {
		if !holds(simulate(t, short+flag)) {
			t.Errorf("%s does not do what it says", flag)
		}
	}
	closed := "paper-6.1 --length 500ms --policy clockwork --slo 100ms "
	if few, many := simulate(t, closed+"--clients 1").Runs[0], simulate(t, closed+"--clients 8").Runs[0]; few.OK >= many.OK {
		t.Errorf("15 clients got %d answers, 120 got %d", few.OK, many.OK)
	}
}

func onlyPowersOfTwo(r simRun) bool {
	for _, b := range r.Batches {
		if b.Items&(b.Items-1) != 0 {
			return false
		}
	}
	return true
}

func TestEveryImprovementCanBeSwitchedOff(t *testing.T) {
	for _, name := range policies.Improvements() {
		simulate(t, "open --length 100ms --without "+name)
	}
	all := strings.Join(policies.Improvements(), ",")
	if with, without := simulate(t, short+"--rate 1500").Runs[0], simulate(t, short+"--rate 1500 --without "+all).Runs[0]; with.OK <= without.OK {
		t.Errorf("%d in SLO with all improvements, %d without", with.OK, without.OK)
	}
}

// Programs read these; a field may come, none may go or change its meaning.
func TestTheJSONOfASimulationHasTheseFields(t *testing.T) {
	_, out, _ := invoke(t, strings.Fields("sim --json "+short+"--rate 2000")...)
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	run := first(got["runs"])
	for _, level := range []struct {
		what   string
		in     map[string]any
		fields string
	}{
		{"the document", got, "workload models gpus length_ns seed runs"},
		{"a run", run, "policy offered ok share_in_slo offered_rps goodput_rps bound share_of_bound errors missed latency mean_batch cold gpu_use pcie_use " +
			"prediction_over prediction_under hash took_ns batches by_slo gpus window_ns series wall_s simulated_per_wall_s"},
		{"a latency", run["latency"].(map[string]any), "p50_ns p90_ns p99_ns p99_9_ns max_ns"},
		{"an error of predictions", run["prediction_over"].(map[string]any), "p50_ns p99_ns max_ns"},
		{"a batch size", first(run["batches"]), "items count"},
		{"an SLO", first(run["by_slo"]), "slo_ns offered ok"},
		{"a GPU", first(run["gpus"]), "name gpu_use pcie_use infers loads evictions"},
		{"a window", first(run["series"]), "at_ns offered ok refused missed cold slo_ns latency mean_batch gpu_use pcie_use loads evictions prediction_over_ns prediction_under_ns"},
	} {
		for field := range strings.FieldsSeq(level.fields) {
			if _, has := level.in[field]; !has {
				t.Errorf("%s has no %s", level.what, field)
			}
		}
	}
}

func first(list any) map[string]any { return list.([]any)[0].(map[string]any) }

func TestTheJSONOfAnExperimentHasItsTablesAndRuns(t *testing.T) {
	_, out, stderr := invoke(t, strings.Fields("sim paper-6.4 --length 1200ms --policy clockwork,fifo --json")...)
	var d paperDocument
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err, stderr)
	}
	if d.Experiment != "paper-6.4" || d.Short == "" || len(d.Tables) < 3 || len(d.Runs) != 3*2 || d.Runs[0].Trial != "none" || d.Runs[0].Policy != "clockwork" {
		t.Errorf("%s, shortened %q, %d tables, %d runs", d.Experiment, d.Short, len(d.Tables), len(d.Runs))
	}
}

func TestAnExperimentIsPrintedAndDrawn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	code, out, stderr := invoke(t, "sim", "paper-6.2", "--length", "3s", "--policy", "clockwork", "--html", path)
	if code != 0 {
		t.Fatal(stderr)
	}
	for _, want := range []string{"6.2 Can it serve thousands?", "Shortened: 3s a run", "The steady 200 r/s: % in SLO", "PCIe: % of the time", "~201"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<h3>The steady model", "<h3>PCIe use", "<h3>Prediction errors", "<h3>Timeline of clockwork"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q on the page", want)
		}
	}
}

// A page that cannot be written is known before the run, not after it.
func TestAPageThatCannotBeWrittenIsWrongUsage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nowhere", "page.html")
	for _, args := range []string{"paper-6.5 --length 8h", "paper-6.5 --length 8h --seed 2 --gpus 12"} {
		code, _, stderr := invoke(t, append(append([]string{"sim"}, strings.Fields(args)...), "--html", path)...)
		if code != 2 || !strings.Contains(stderr, "--html "+path+": no such file") {
			t.Errorf("sim %s: exit code %d, %s", args, code, stderr)
		}
	}
}

// slowHardware writes a file in which executions take a constant 60 ms, as profiled.
func slowHardware(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "slow.json")
	body := `{"format":1,"models":[{"path":"zoo/resnet50_v2","input_bytes":602112,"output_bytes":4000,"weights_bytes":100000000,
		"load_weights":{"samples":1,"min_ns":8000000,"p50_ns":8000000,"p99_ns":8000000,"max_ns":8000000},
		"infer":[{"batch":1,"samples":1,"min_ns":60000000,"p50_ns":60000000,"p99_ns":60000000,"max_ns":60000000,"took_ns":[60000000,60000000]}]}]}`
	if err := os.WriteFile(name, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
