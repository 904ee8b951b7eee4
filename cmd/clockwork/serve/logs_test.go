package serve

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/command"
	"clockwork/pkg/watch"
	"clockwork/pkg/watch/terminal"
)

// table is a file of tab-separated values, read as the original's scripts do: columns
// by name, numbers where all are, and no line with a field missing.
type table struct {
	columns []string
	rows    [][]string
}

func readTable(t *testing.T, path string) table {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	read := table{columns: strings.Split(lines[0], "\t")}
	for _, line := range lines[1:] {
		row := strings.Split(line, "\t")
		if len(row) != len(read.columns) || slices.Contains(row, "") {
			t.Fatalf("%s: a field is missing in %q", filepath.Base(path), line)
		}
		read.rows = append(read.rows, row)
	}
	return read
}

// where are the rows that have such a value in a column.
func (tab table) where(t *testing.T, column string, is func(float64) bool) table {
	t.Helper()
	kept := table{columns: tab.columns}
	for i, x := range tab.numbers(t, column) {
		if is(x) {
			kept.rows = append(kept.rows, tab.rows[i])
		}
	}
	return kept
}

func (tab table) numbers(t *testing.T, column string) (list []float64) {
	t.Helper()
	for _, text := range tab.texts(t, column) {
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("column %s: %v", column, err)
		}
		list = append(list, x)
	}
	return list
}

func (tab table) texts(t *testing.T, column string) (list []string) {
	t.Helper()
	at := slices.Index(tab.columns, column)
	if at < 0 {
		t.Fatalf("no column %s", column)
	}
	for _, row := range tab.rows {
		list = append(list, row[at])
	}
	return list
}

func equals(want float64) func(float64) bool { return func(x float64) bool { return x == want } }
func over(bound float64) func(float64) bool  { return func(x float64) bool { return x > bound } }

// quantile is the nearest of the values.
func quantile(list []float64, q float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	slices.Sort(list)
	return list[int(q*float64(len(list)-1)+0.5)]
}

// loggedStack is a stack with both logs, and somebody who asks it.
type loggedStack struct {
	*Stack
	close             func()
	requests, actions string // paths
}

func startLogged(t *testing.T) *loggedStack {
	t.Helper()
	dir := t.TempDir()
	s := &loggedStack{requests: filepath.Join(dir, "requests.tsv"), actions: filepath.Join(dir, "actions.tsv")}
	var f struct {
		StackFlags
		TelemetryFlags
		RequestLogFlags
		ActionLogFlags
		RotateFlags
	}
	parser, err := kong.New(&f)
	if err == nil {
		_, err = parser.Parse([]string{"--load-idle=200ms", "--scale=0.1", "--profile-iterations=3", "--generate-inputs",
			"--request-log", s.requests, "--action-log", s.actions})
	}
	if err != nil {
		t.Fatal(err)
	}
	quiet, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	con := &cli.Console{Out: quiet, Err: quiet, Display: terminal.New(quiet, false, nil), Screen: &cli.Screen{Log: quiet}, Log: slog.New(slog.DiscardHandler)}
	hub := &watch.Hub{}
	listeners, err := listen(hub, con.Log, append(f.openers(con), f.OpenRequestLog(f.RotateFlags), f.OpenActionLog(f.RotateFlags)))
	if err != nil {
		t.Fatal(err)
	}
	c := &cli.Flags{Prefix: protocol.DefaultPrefix}
	s.Stack, err = OpenStack(c, con, "127.0.0.1:0", "", OpenFlag{})
	if err != nil {
		t.Fatal(err)
	}
	s.close = sync.OnceFunc(func() {
		if err := s.Stack.Close(); err != nil {
			t.Error(err)
		}
		for _, l := range listeners {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		quiet.Close()
	})
	t.Cleanup(s.close)
	parts, err := f.Parts(hub, nil, con.Log)
	if err == nil {
		err = s.Start(c, con, parts)
	}
	if err != nil {
		t.Fatal(err)
	}
	command.AwaitStage(t, s.Broker.ClientURL(), protocol.AwaitingModels)
	return s
}

// saw is what a client saw of a request.
type saw struct {
	code protocol.Code
	cold bool
}

// ask sends requests, a few at a time, and returns what each one's id came to.
func (s *loggedStack) ask(t *testing.T, model string, slo float64, times int) map[string]saw {
	t.Helper()
	all := map[string]saw{}
	var mu sync.Mutex
	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() {
			for i := range times / 4 {
				r := protocol.InferRequest{ID: fmt.Sprintf("%s %v %d %d", model, slo, worker, i), Parameters: protocol.InferParameters{SLOMS: &slo}}
				reply, refusal := s.Client.Infer(context.Background(), model, &r, 30*time.Second)
				x := saw{code: protocol.OK}
				if refusal != nil {
					x.code = refusal.Code
				} else {
					x.cold = reply.Parameters.ColdStart
				}
				mu.Lock()
				all[r.ID] = x
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return all
}

// TestLogsSayWhatClientsSaw has each request of a stack in the request log, once, as
// its client saw it, and computes from both logs what the original's scripts compute.
func TestLogsSayWhatClientsSaw(t *testing.T) {
	start := time.Now()
	s := startLogged(t)
	if _, refusal := s.Client.Load(t.Context(), protocol.LoadRequest{Path: "zoo/googlenet", Name: "m"}); refusal != nil {
		t.Fatal(refusal)
	}
	command.AwaitStage(t, s.Broker.ClientURL(), protocol.Active)
	seen := s.ask(t, "m", 5000, 40)
	maps.Copy(seen, s.ask(t, "m", 0.001, 8))
	unheard := s.ask(t, "unheard_of", 5000, 4)
	s.close()

	requests, actions := readTable(t, s.requests), readTable(t, s.actions)
	if len(requests.rows) != len(seen)+len(unheard) {
		t.Errorf("%d lines of %d requests", len(requests.rows), len(seen)+len(unheard))
	}
	requests.agree(t, seen)

	ok := requests.where(t, "result", equals(0))
	goodput := ok.where(t, "deadline_met", equals(1))
	if len(ok.rows) != 40 || len(goodput.rows) != 40 {
		t.Errorf("%d OK, %d of them in time, want 40", len(ok.rows), len(goodput.rows))
	}
	p50, p99 := quantile(ok.numbers(t, "latency"), 0.5)/1e6, quantile(ok.numbers(t, "latency"), 0.99)/1e6
	if p50 <= 0 || p99 < p50 || p99 > 5000 {
		t.Errorf("latency p50 %v ms, p99 %v ms", p50, p99)
	}
	hot, cold := ok.where(t, "arrival_count", over(0)), ok.where(t, "is_coldstart", equals(1))
	unknown := ok.where(t, "arrival_count", equals(-1)) // the answer came before word of its worker
	if len(hot.rows) == 0 || len(cold.rows) == 0 || len(hot.rows)+len(cold.rows)+len(unknown.rows) != len(ok.rows) {
		t.Errorf("%d warm, %d cold and %d not known, of %d", len(hot.rows), len(cold.rows), len(unknown.rows), len(ok.rows))
	}

	done := actions.where(t, "status", equals(0))
	infers, loads := done.where(t, "action_type", equals(2)), done.where(t, "action_type", equals(1))
	if len(loads.rows) != 1 || sum(infers.numbers(t, "batch_size")) != 40 {
		t.Errorf("%d loads, and infers of %v items", len(loads.rows), sum(infers.numbers(t, "batch_size")))
	}
	if !slices.Equal(slices.Compact(infers.texts(t, "model_id")), slices.Compact(ok.texts(t, "model_id"))) {
		t.Error("the logs number the model differently")
	}
	took, expected := infers.numbers(t, "worker_exec_duration"), infers.numbers(t, "expected_exec_duration")
	for i := range took {
		if took[i] <= 0 || expected[i] <= 0 {
			t.Errorf("an infer took %v ns, and was expected to take %v", took[i], expected[i])
		}
	}
	inOrder := []string{"worker_action_received", "worker_exec_complete", "worker_copy_output_complete", "worker_result_sent", "controller_result_enqueue"}
	for i := 1; i < len(inOrder); i++ {
		before, after := infers.numbers(t, inOrder[i-1]), infers.numbers(t, inOrder[i])
		for j := range before {
			if before[j] > after[j] {
				t.Errorf("%s at %v, %s at %v", inOrder[i-1], before[j], inOrder[i], after[j])
			}
		}
	}
	for _, tab := range []table{requests, actions} {
		for _, at := range tab.numbers(t, "t") {
			if at < float64(start.UnixNano()) || at > float64(time.Now().UnixNano()) {
				t.Errorf("t is %v, which was not while the stack ran", at)
			}
		}
	}
}

// agree compares each line with what the client of its id saw.
func (tab table) agree(t *testing.T, seen map[string]saw) {
	t.Helper()
	ids, codes, colds := tab.texts(t, "client_request"), tab.texts(t, "code"), tab.numbers(t, "is_coldstart")
	left := maps.Clone(seen)
	for i, id := range ids {
		if id == "-" { // it never became a request
			continue
		}
		x, asked := left[id]
		if !asked || string(x.code) != codes[i] || x.cold != (colds[i] == 1) {
			t.Errorf("line %q, code %s, cold start %v: its client saw %+v (once: %v)", id, codes[i], colds[i], x, asked)
		}
		delete(left, id)
	}
	for id := range left {
		t.Errorf("no line of %q", id)
	}
}

func sum(list []float64) (n float64) {
	for _, x := range list {
		n += x
	}
	return n
}
