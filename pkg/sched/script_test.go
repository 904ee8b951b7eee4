package sched

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

var rewrite = flag.Bool("rewrite", false, "write what the core does into testdata")

// A script is blocks of lines "<ms> <event> <args>", each followed by ---- and
// what the core wants done. Before activation come "model <name> <pages>
// <load ms> <exec ms>..." and "config <field> <value>". Arguments:
//
//	activate <epoch>                     issuer is 7
//	join <worker> <incarnation> <gpus>[:type] <pages> [resident...]
//	                                     hosts all models; others take one page
//	lost <worker>      door-lost <door>      tick
//	submit <seq> <model> <batch> <budget ms>     door is 1
//	result <worker> <action> <code> [exec ms]
//	obeys <worker> <epoch>               a result that shows this epoch
//	state                                prints the state
//
// Actions are named by their number in the epoch.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no script found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(body), "# ") {
				t.Fatal("a script opens with why it exists")
			}
			got := play(t, string(body))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(body) {
				t.Errorf("the core does otherwise (-rewrite to accept):\n%s", got)
			}
		})
	}
}

// stage is what a script has set up.
type stage struct {
	config  Config
	state   protocol.ClockworkState
	core    Core
	actions map[protocol.ActionID]protocol.Action
}

func play(t *testing.T, body string) string {
	s := &stage{config: Defaults(), actions: map[protocol.ActionID]protocol.Action{}}
	var b strings.Builder
	blocks := strings.Split(strings.TrimRight(body, "\n"), "\n\n")
	for i, block := range blocks {
		commands, _, has := strings.Cut(block, "\n----")
		b.WriteString(commands + "\n")
		var done string
		for _, line := range strings.Split(commands, "\n") {
			if line != "" && line[0] != '#' {
				done += s.run(t, strings.Fields(line))
			}
		}
		if has {
			b.WriteString("----\n" + done)
		}
		if i < len(blocks)-1 {
			b.WriteString("\n")
		}
	}
	return b.String()
}

func (s *stage) run(t *testing.T, f []string) string {
	num := func(i int) int {
		n, err := strconv.Atoi(f[i])
		if err != nil {
			t.Fatalf("%v: %v", f, err)
		}
		return n
	}
	millis := func(text string) time.Duration {
		d, err := time.ParseDuration(text + "ms")
		if err != nil {
			t.Fatalf("%v: %v", f, err)
		}
		return d
	}
	switch f[0] {
	case "model":
		var exec []time.Duration
		for _, text := range f[4:] {
			exec = append(exec, millis(text))
		}
		m, p := spec(f[1], num(2), millis(f[3]), exec...)
		s.state.Models = append(s.state.Models, m)
		if len(exec) > 0 {
			s.state.Profiles = append(s.state.Profiles, p)
		}
		return ""
	case "config":
		s.config.Attempts = num(2)
		return ""
	}
	if s.core == nil {
		s.core, _ = New("simple", s.config)
	}
	if f[1] == "state" {
		return s.core.String()
	}
	return s.print(s.core.Step(protocol.Time(millis(f[0])), s.event(t, f[1:], num, millis)))
}

func (s *stage) event(t *testing.T, f []string, num func(int) int, millis func(string) time.Duration) Event {
	switch f[0] {
	case "activate":
		return &Activate{Epoch: uint64(num(2)), Issuer: 7, State: s.state}
	case "join":
		w := protocol.WorkerState{ID: f[1], Incarnation: uint64(num(3)), Models: s.state.Models}
		count, kind, has := strings.Cut(f[3], ":")
		if !has {
			kind = "t4"
		}
		gpus, err := strconv.Atoi(count)
		if err != nil {
			t.Fatalf("%v: %v", f, err)
		}
		for id := range gpus {
			g := protocol.GPUState{ID: id, Type: kind, PagesTotal: num(5), Models: f[5:]}
			for _, name := range f[5:] {
				pages := 1
				for _, m := range s.state.Models {
					if name == m.Name {
						pages = m.Pages
					}
				}
				g.PagesUsed += pages
			}
			w.GPUs = append(w.GPUs, g)
		}
		return &WorkerJoined{State: w}
	case "lost":
		return &WorkerLost{ID: f[1]}
	case "door-lost":
		return &DoorLost{Door: uint64(num(2))}
	case "submit":
		return &Submit{protocol.Submission{ID: protocol.RequestID{Door: 1, Seq: uint64(num(2))}, Model: f[2], Batch: num(4), Budget: millis(f[4])}}
	case "result":
		a := s.actions[protocol.ActionID(num(3))]
		r := protocol.Result{Action: a.ID, Issuer: a.Issuer, Epoch: a.Epoch, Worker: f[1], Kind: a.Kind, Code: protocol.Code(f[3])}
		if len(f) > 4 {
			r.Begin, r.End = 1, 1+protocol.Time(millis(f[4]))
		}
		return &Result{r}
	case "obeys":
		return &Result{protocol.Result{Worker: f[1], Epoch: uint64(num(3))}}
	case "tick":
		return &Tick{}
	}
	t.Fatalf("no event is called %q", f[0])
	return nil
}

func (s *stage) print(out Output) string {
	var b strings.Builder
	for _, o := range out.Actions {
		a := o.Action
		number := a.ID % (1 << epochShift)
		s.actions[number] = a
		fmt.Fprintf(&b, "%s#%d gpu %d: action %d %s %s", o.Worker, a.Incarnation, a.GPU, number, a.Kind, a.Model)
		for _, r := range a.Requests {
			fmt.Fprintf(&b, " request %d of %d at batch %d", r.ID.Seq, r.Batch, a.Batch)
		}
		fmt.Fprintf(&b, " in %v to %v, takes %v\n", a.Earliest, a.Latest, a.Expected)
	}
	for _, d := range out.Dispatches {
		fmt.Fprintf(&b, "dispatch %d to %s cold=%v\n", d.ID.Seq, d.Worker, d.Cold)
	}
	for _, d := range out.Refusals {
		fmt.Fprintf(&b, "refuse %d %v\n", d.ID.Seq, d.Refusal)
	}
	fmt.Fprintf(&b, "wake %v\n", out.Wake)
	return b.String()
}
