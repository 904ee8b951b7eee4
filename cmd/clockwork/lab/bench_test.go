package lab

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/lab/bench"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/command"
	"clockwork/pkg/watch/terminal"
)

func TestBenchRefusesWhatCannotBeMeant(t *testing.T) {
	for _, row := range []struct{ args, says string }{
		{"", "clockwork bench --help lists the workloads"},
		{"lottery", "there is no workload"},
		{"poisson --rate 0", "--rate is 0"},
		{"poisson --clients 2", "leave --clients out"},
		{"poisson --gpus 2", "--gpus is for the stack of --up"},
		{"poisson --up --load", "leave --load out"},
		{"poisson --up --gpus 0", "from 1 to 256"},
		{"poisson --connections 0", "from 1 to 256"},
		{"poisson --length 1s --warmup 1s", "nothing is left to measure"},
		{"poisson --warmup -1s", "--warmup: it is -1s"},
		{"poisson --require-slo 101", "from 0 to 100"},
		{"poisson --unlike", "--compare"},
		{"poisson --compare bench.go", "not what bench --json prints"},
		{"poisson --report nowhere/page.html", "nowhere/page.html: no such"},
		{"poisson --hdr nowhere/x.hgrm", "nowhere/x.hgrm: no such"},
		{"poisson --input nowhere", "no such file"},
		{"poisson --input bench.go --payload random", "both say what requests bring"},
		{"--trace nowhere.csv", "no such file"},
	} {
		code, _, stderr := invoke(t, append([]string{"bench"}, strings.Fields(row.args)...)...)
		if code != 2 || !strings.Contains(stderr, row.says) {
			t.Errorf("bench %s: exit code %d, wanted 2 and %q in:\n%s", row.args, code, row.says, stderr)
		}
	}
	code, _, stderr := invoke(t, "bench", "poisson", "--nats", "nats://127.0.0.1:1")
	if code != 1 || !strings.HasPrefix(stderr, "STATE_UNAVAILABLE") {
		t.Errorf("without a stack: exit code %d, %s", code, stderr)
	}
}

// live starts a stack, as up with these flags, until the test ends; the other
// commands reach it.
func live(t *testing.T, args ...string) {
	t.Helper()
	var f serve.StackFlags
	parser, err := kong.New(&f)
	if err == nil {
		_, err = parser.Parse(args)
	}
	if err != nil {
		t.Fatal(err)
	}
	quiet, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	con := &cli.Console{Out: quiet, Err: quiet, Display: terminal.New(quiet, false, nil), Screen: &cli.Screen{Log: quiet}, Log: slog.New(slog.DiscardHandler)}
	c := &cli.Flags{Prefix: protocol.DefaultPrefix}
	s, err := serve.OpenStack(c, con, "127.0.0.1:0", "", serve.OpenFlag{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		quiet.Close()
	})
	parts, err := f.Parts(nil, nil, con.Log)
	if err == nil {
		err = s.Start(c, con, parts)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NATS_URL", s.Broker.ClientURL())
	command.AwaitStage(t, s.Broker.ClientURL(), protocol.AwaitingModels)
}

func TestBenchSaysWhatIsMissingAndMeasuresWhatIsThere(t *testing.T) {
	live(t, "--load-idle=200ms", "--scale=0.1", "--profile-iterations=3")
	dir := t.TempDir()
	page, hdr, then := filepath.Join(dir, "page.html"), filepath.Join(dir, "x.hgrm"), filepath.Join(dir, "then.json")
	const closed = "closed --copies 2 --clients 2 --slo 10s --length 700ms --warmup 0s --payload random"
	for _, row := range []struct {
		args string
		code int
		says string // on either stream
	}{
		{"poisson", 1, "INVALID_INPUT: worker "},
		{"poisson --payload random --copies 2", 1, " load zoo/resnet50_v2 --copies 2"},
		{"poisson --payload random", 1, "run this again with --load"},
		{closed + " --connections 1 --load", 0, "resnet50_v2-2"},
		{"poisson --payload random --model zoo/googlenet", 1, "Loading is closed"},
		{closed + " --report " + page + " --hdr " + hdr, 0, "sent after they were due"},
		{"fixed --model resnet50_v2-2 --length 300ms --warmup 0s --slo 1us --payload random", 0, "x DEADLINE_"},
		{"fixed --model resnet50_v2-2 --length 300ms --slo 1us --payload random --require-slo 50", 1, "--require-slo asks for 50%"},
		{"fixed --length 300ms --slo 10s --input bench.go", 1, "neither a request nor a multiple"},
	} {
		code, stdout, stderr := invoke(t, append([]string{"bench"}, strings.Fields(row.args)...)...)
		if code != row.code || !strings.Contains(stdout+stderr, row.says) {
			t.Errorf("bench %s: exit code %d, wanted %d and %q in:\n%s%s", row.args, code, row.code, row.says, stdout, stderr)
		}
	}
	holds(t, page, "<h3>Goodput", "<h3>Outcomes", "<h3>Latency over time", "<h3>Latency by percentile", "resnet50_v2-1")
	holds(t, hdr, "1/(1-Percentile)")

	code, out, stderr := invoke(t, append([]string{"bench", "--json"}, strings.Fields(closed)...)...)
	var r bench.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v, %s%s", code, err, out, stderr)
	}
	if s := r.Total; s.OK == 0 || s.OK != s.Offered || s.InSLO != s.OK || len(r.Models) != 2 || r.Setting.Payload != "random" {
		t.Errorf("%+v", r)
	}
	if err := os.WriteFile(then, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args string
		code int
		says string
	}{
		{closed + " --compare " + then, 0, "ratio"},
		{closed + " --seed 2 --compare " + then, 2, "seed: 1 then, 2 now"},
		{closed + " --seed 2 --unlike --compare " + then, 0, "These are not the same workload:\n  seed: 1 then, 2 now"},
		{closed + " --json --compare " + then, 0, `"ratio": `},
	} {
		code, stdout, stderr := invoke(t, append([]string{"bench"}, strings.Fields(row.args)...)...)
		if code != row.code || !strings.Contains(stdout+stderr, row.says) {
			t.Errorf("bench %s: exit code %d, wanted %d and %q in:\n%s%s", row.args, code, row.code, row.says, stdout, stderr)
		}
	}
}

func holds(t *testing.T, path string, parts ...string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s has no %q", path, part)
		}
	}
}

func TestBenchRunsAStackOfItsOwn(t *testing.T) {
	code, stdout, stderr := invoke(t, "bench", "poisson", "--up", "--gpus", "2", "--copies", "12", "--slo", "10s", "--length", "1s")
	if code != 0 || !strings.HasPrefix(stdout, "poisson: 12 models") || !strings.Contains(stdout, "10 of 12 models") || !strings.Contains(stdout, "100.00%") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for line := range strings.SplitSeq(stdout, "\n") {
		table := strings.Contains(line, "  ") // as wide as its cells, where no terminal bounds it
		if terminal.Columns(line) > 80 && !table {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
}
