package lab

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/sim"
)

// faultFlags select faults and startup for a simulation.
type faultFlags struct {
	Faults  string  `env:"-" placeholder:"NAME=AMOUNT" group:"Faults" help:"What goes wrong, as in loss=1%,kill=5s:1s; see above. Every guarantee is checked, and the first one that is broken ends the run."`
	Startup bool    `env:"-" group:"Faults" help:"Go through the startup first: loads, countdown, and measurements of the emulated GPUs, which the scheduler plans with. What is counted begins with the activation."`
	Early   float64 `env:"-" placeholder:"R/S" group:"Faults" help:"Requests a second that come during the startup and wait for its end."`
}

// randomFaults stands for faults drawn from the seed.
const randomFaults = "random"

// helpFaults explains the amounts.
func helpFaults() string {
	var out strings.Builder
	out.WriteString("--faults takes all, random (as --seed draws them), or names with or without amounts:\n\n")
	for _, f := range sim.FaultNames {
		out.WriteString(cli.Hanging(fmt.Sprintf("  %-10s %-14s ", f.Name, f.Amount), f.About, 76, 28) + "\n")
	}
	return out.String()
}

// checkFaults refuses what the grammar cannot detect.
func (s *Sim) checkFaults() error {
	_, err := s.faultFlags.faults(s.Seed, or0(s.Length))
	switch {
	case err != nil:
		return cli.Usagef("--faults %s: %s", s.Faults, err)
	case s.Early > 0 && !s.Startup:
		return cli.Usagef("--early is for a run with --startup")
	case !(s.Early >= 0 && s.Early <= 1e6):
		return cli.Usagef("--early is %v; it must be from 0 to 1000000, in requests a second", s.Early)
	}
	return nil
}

func (f faultFlags) faults(seed uint64, length time.Duration) (sim.Faults, error) {
	switch f.Faults {
	case "":
		return sim.Faults{}, nil
	case randomFaults:
		return sim.DrawFaults(seed, cmp.Or(length, 20*time.Second)), nil
	}
	return sim.ParseFaults(f.Faults)
}

// apply writes the flags into a configuration; they were checked.
func (f faultFlags) apply(c *sim.Config, length time.Duration) {
	c.Faults, _ = f.faults(c.Seed, length)
	c.Startup = sim.Startup{On: f.Startup, Early: f.Early}
}

// faultRows returns the rows of the faults that occurred in any of the runs.
func (d simDocument) faultRows() [][]string {
	var rows [][]string
	add := func(title string, of func(r simRun) int) {
		row := []string{title}
		for _, r := range d.Runs {
			row = append(row, strconv.Itoa(of(r)))
		}
		if slices.ContainsFunc(row[1:], func(cell string) bool { return cell != "0" }) {
			rows = append(rows, row)
		}
	}
	for i, count := range (sim.FaultCounts{}).Counts() {
		add(count.Name, func(r simRun) int {
			if r.Faults == nil {
				return 0
			}
			return r.Faults.Counts()[i].Count
		})
	}
	if d.Runs[0].Startup == nil {
		return rows
	}
	add("activated after, ms", func(r simRun) int { return int(r.Startup.Took.Milliseconds()) })
	add("early requests", func(r simRun) int { return r.Startup.Early })
	add("of these too early", func(r simRun) int { return r.Startup.TimedOut })
	add("of these OK", func(r simRun) int { return r.Startup.OK })
	return rows
}
