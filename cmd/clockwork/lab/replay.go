package lab

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/lab/replay"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

type Replay struct {
	File   string   `arg:"" help:"A recording: a file of --record of a service or of clockwork sim, or of up --journal."`
	Events bool     `env:"-" help:"Show what each core was given instead, a line of JSON for each event."`
	Policy string   `env:"-" placeholder:"NAME" help:"What would this policy have done? Those of clockwork sim, and echo. With emulated workers."`
	Config []string `env:"-" placeholder:"KEY=VALUE" sep:"none" help:"What would this setting have done? Such as ahead=10ms or max-batch=8; may be given several times. With emulated workers."`
}

// replayReport is the output of replay --json.
type replayReport struct {
	Same bool `json:"same"`
	*replay.Verdict
	// Alike and Changed are emulations: with the policy and configuration of the
	// recording, and with those of the flags. If they are set, requests that are open at
	// the end of one of the three are counted apart in all three.
	Alike   *replay.Outcome `json:"emulated_alike,omitempty"`
	Changed *replay.Outcome `json:"emulated_changed,omitempty"`
	change  string
	samples int
}

// Help says where recordings come from.
func (k *Replay) Help() string {
	return "Proves that a service decides again what it decided: exit code 0 if it does, 1 if\nnot, 2 for wrong usage. A recording without an end, of a process that was killed, is\nreplayed as far as it goes, which is said; a damaged one fails. To make a recording and ask of it:\n\n" +
		"  clockwork sim paper-6.1-open --record FILE\n  clockwork replay FILE --policy faithful\n  clockwork replay FILE --config ahead=10ms --config max-batch=4"
}

// AfterApply is called by the parser.
func (k *Replay) AfterApply(parsed *kong.Context) error { return noEmptyValue(parsed) }

// Run replays a recording, and emulates a change if there is one.
func (k *Replay) Run(c *cli.Flags, con *cli.Console) error {
	if k.Policy != "" && !slices.Contains(policies.Names(), k.Policy) {
		return cli.Usagef("there is no policy %q; expected one of %s", k.Policy, strings.Join(policies.Names(), ", "))
	}
	if config := policies.Defaults(); k.apply(&config) != nil { // before a long replay
		return cli.Usage(k.apply(&config))
	}
	if k.Events {
		return k.list(con)
	}
	material := replay.NewMaterial()
	var observe []sched.Observer
	if k.changes() {
		observe = append(observe, material)
	}
	verdict, err := verified(k.File, observe...)
	if err != nil {
		return err
	}
	if k.changes() && !verdict.OfScheduler() {
		return cli.Usagef("%s has no scheduler's decisions: --policy and --config change nothing in it", k.File)
	}
	report := &replayReport{Same: verdict.Same(), Verdict: verdict, samples: material.Samples}
	if k.changes() {
		if err := k.emulate(report, material); err != nil {
			return err
		}
	}
	if c.JSON {
		err = cli.PrintJSON(con.Out, report)
	} else {
		err = report.print(con.Out, con.Display.Width(), k.File)
	}
	if err == nil && !report.Same {
		return cli.ErrShown
	}
	return err
}

func (k *Replay) changes() bool { return k.Policy != "" || len(k.Config) > 0 }

func (k *Replay) apply(config *policies.Config) error {
	for _, setting := range k.Config {
		key, value, ok := strings.Cut(setting, "=")
		if !ok {
			return fmt.Errorf("--config %q is not KEY=VALUE", setting)
		}
		err := replay.Set(config, key, value)
		if err == nil {
			err = config.Validate()
		}
		if err != nil {
			return fmt.Errorf("--config %s: %w", setting, err)
		}
	}
	return nil
}

func (k *Replay) emulate(r *replayReport, m *replay.Material) (err error) {
	policy, config := r.Policy, r.Config
	if r.Alike, err = m.Emulate(policy, config); err != nil {
		return err
	}
	if k.Policy != "" {
		policy = k.Policy
	}
	if err := k.apply(&config); err != nil {
		return cli.Usage(err)
	}
	if r.Changed, err = m.Emulate(policy, config); err != nil {
		return err
	}
	replay.Settle(&r.Outcome, r.Alike, r.Changed)
	r.change = strings.Join(append([]string{policy}, k.Config...), " ")
	return nil
}

func (r *replayReport) print(w io.Writer, width int, file string) error {
	span := r.To.Sub(r.From)
	about := fmt.Sprintf("%s, %s, %s over %s", r.cores(), cli.Count(len(r.Machines), "core"), cli.Count(int(r.Events+r.Skipped), "event"), terminal.Duration(span))
	fmt.Fprintf(w, "%s\n%s\n", cli.Folded(file+": "+about, width), r.verdict(width))
	if !r.OfScheduler() {
		return nil
	}
	fmt.Fprintln(w)
	columns := []terminal.Column{{Title: ""}, {Title: "recorded", Right: true}}
	all := []*replay.Outcome{&r.Outcome}
	if r.Changed != nil {
		fmt.Fprintf(w, "%s\n\n%s\n\n", cli.Folded("changed: "+r.change, width), cli.Folded(r.emulation(), width))
		columns = append(columns, terminal.Column{Title: "emulated", Right: true}, terminal.Column{Title: "changed", Right: true},
			terminal.Column{Title: "difference", Right: true})
		all = append(all, r.Alike, r.Changed)
	}
	if err := terminal.WriteTable(w, width, columns, outcomeRows(all)); err != nil || r.Outcome.Apart == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", cli.Folded(apart(r.Outcome.Apart), width))
	return err
}

// cores names the kinds of cores that began; of a scheduler, the policy too.
func (r *replayReport) cores() string {
	var names []string
	for _, m := range r.Machines {
		if m.Core == record.Scheduler {
			m.Core = "policy " + r.Policy
		}
		names = append(names, m.Core)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " and ")
}

// apart says which requests are not compared.
func apart(n int) string {
	were := "were open when the recording ended, in it or in an emulation; they are"
	if n == 1 {
		were = "was open when the recording ended, in it or in an emulation; it is"
	}
	return fmt.Sprintf("%s %s left out of the counts of requests in all columns, for nobody knows how each would have ended.", cli.Count(n, "request"), were)
}

// emulation explains the columns next to the recorded one.
func (r *replayReport) emulation() string {
	return fmt.Sprintf("Both emulations take arrivals, workers and losses from the recording and draw durations from its %s; no worker fails in them. "+
		"\"emulated\" changes nothing else: how far it is from \"recorded\" is how far to trust \"changed\".", cli.Count(r.samples, "measurement"))
}

// verdict describes in a line or two what was proven.
func (r *replayReport) verdict(width int) string {
	var said []string
	switch {
	case r.Same && r.Events == 0:
		said = append(said, "no event was recorded")
	case r.Same:
		said = append(said, fmt.Sprintf("the same decisions, byte for byte: hash %s after %s", r.Hash, cli.Count(int(r.Events), "event")))
	case r.Differs != nil:
		said = append(said, fmt.Sprintf("OTHER DECISIONS than recorded, %s; replayed no further in that core", place(r.Differs)),
			"The recording is of another version of that core, or the core depends on more than its events.")
	case r.Missing > 0:
		said = append(said, fmt.Sprintf("NOT PROVEN: %d events are missing from the recording, %d more follow them; the %d before have the same decisions", r.Missing, r.Skipped, r.Proven))
	default:
		said = append(said, fmt.Sprintf("NOT PROVEN: only %d of %d events stand before a hash", r.Proven, r.Events))
	}
	if r.Cut {
		said = append(said, unclosed(r.Verdict))
	}
	for i := range said {
		said[i] = cli.Folded(said[i], width)
	}
	return strings.Join(said, "\n")
}

// place says where decisions differ.
func place(d *replay.Difference) string {
	if d.After == d.Before {
		return fmt.Sprintf("at event %d of core %d (%s), %s", d.Before, d.Machine, d.Core, d.Event)
	}
	return fmt.Sprintf("within events %d to %d of core %d (%s)", d.After, d.Before, d.Machine, d.Core)
}

// outcomeRows returns a column for each outcome, and if there are three the difference
// of the last two.
func outcomeRows(all []*replay.Outcome) [][]string {
	var rows [][]string
	number := func(name string, of func(*replay.Outcome) int) {
		row := []string{name}
		some := false
		for _, o := range all {
			row = append(row, strconv.Itoa(of(o)))
			some = some || of(o) != 0
		}
		if len(all) == 3 {
			row = append(row, signed(of(all[2])-of(all[1])))
		}
		if some || name == "done in time" {
			rows = append(rows, row)
		}
	}
	submitted := "submitted"
	if all[0].Apart > 0 {
		submitted = "compared"
	}
	number(submitted, func(o *replay.Outcome) int { return o.Submitted })
	number("done in time", func(o *replay.Outcome) int { return o.Done })
	number("done late", func(o *replay.Outcome) int { return o.Late })
	number("answered without a GPU", func(o *replay.Outcome) int { return o.Answered })
	number("front door lost", func(o *replay.Outcome) int { return o.Forgotten })
	for _, code := range codesOf(all, func(o *replay.Outcome) map[protocol.Code]int { return o.Refused }) {
		number("refused "+string(code), func(o *replay.Outcome) int { return o.Refused[code] })
	}
	number("open at the end", func(o *replay.Outcome) int { return o.Open })
	number("batches", func(o *replay.Outcome) int { return o.Infers })
	rows = append(rows, figures("items a batch", all, func(o *replay.Outcome) string { return strconv.FormatFloat(o.MeanBatch(), 'f', 2, 64) }))
	number("weights loaded", func(o *replay.Outcome) int { return o.Loads })
	number("weights evicted", func(o *replay.Outcome) int { return o.Evicts })
	for _, code := range codesOf(all, func(o *replay.Outcome) map[protocol.Code]int { return o.Failures }) {
		number("actions "+string(code), func(o *replay.Outcome) int { return o.Failures[code] })
	}
	rows = append(rows, figures("executing", all, func(o *replay.Outcome) string { return terminal.Duration(o.Busy.Round(time.Microsecond)) }),
		figures("transferring", all, func(o *replay.Outcome) string { return terminal.Duration(o.Moved.Round(time.Microsecond)) }))
	return rows
}

func figures(name string, all []*replay.Outcome, of func(*replay.Outcome) string) []string {
	row := []string{name}
	for _, o := range all {
		row = append(row, of(o))
	}
	return row
}

func signed(n int) string {
	if n > 0 {
		return "+" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

func codesOf(all []*replay.Outcome, of func(*replay.Outcome) map[protocol.Code]int) []protocol.Code {
	set := map[protocol.Code]bool{}
	for _, o := range all {
		for code := range of(o) {
			set[code] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}
