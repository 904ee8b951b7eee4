package lab

import (
	"slices"
	"strings"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// checkWorkload refuses values that no workload allows; command names the command in the
// error.
func (w *workloadFlags) checkWorkload(command string) error {
	refuse := func(format string, args ...any) error { return cli.Usagef(format, args...) }
	switch {
	case w.Workload == "" && w.Trace == "":
		return refuse("say which workload, or --trace FILE; clockwork %s --help lists the workloads", command)
	case w.Workload != "" && !slices.Contains(workload.Names(), w.Workload):
		return refuse("there is no workload %q; expected one of %s", w.Workload, strings.Join(workload.Names(), ", "))
	case w.Rate != nil && !(*w.Rate > 0 && *w.Rate <= maxSimRate):
		return refuse("--rate is %v; it must be more than 0 and at most %d, in requests a second", *w.Rate, maxSimRate)
	}
	return checkNumbers([]numberRange{{"copies", w.Copies, 1, protocol.MaxCopies}, {"clients", w.Clients, 1, workload.MaxClients}})
}

// checkTaken refuses flags that the workload ignores: the user would expect an effect.
func (w *workloadFlags) checkTaken() error {
	takes := func(option string) bool { return w.Workload == "" || workload.Takes(w.Workload, option) }
	switch {
	case w.Trace != "" && (w.Rate != nil || w.Clients != nil):
		return cli.Usagef("--rate and --clients are for named workloads; a trace says who asks when")
	case w.Rate != nil && !takes("rate"):
		return cli.Usagef("%s has no rate that can be set: leave --rate out", w.Workload)
	case w.Copies != nil && !takes("copies"):
		return cli.Usagef("%s has its own number of models: leave --copies out", w.Workload)
	case w.Clients != nil && !takes("clients"):
		return cli.Usagef("%s has no clients of closed loops: leave --clients out", w.Workload)
	case len(w.Model) > 1 && !takes("models"):
		return cli.Usagef("%s has copies of one model: give --model one path", w.Workload)
	}
	return nil
}

// numberRange is the allowed range of a number; value is nil if the flag was not given.
type numberRange struct {
	name        string
	value       *int
	least, most int
}

func checkNumbers(flags []numberRange) error {
	for _, flag := range flags {
		if flag.value != nil && (*flag.value < flag.least || *flag.value > flag.most) {
			return cli.Usagef("--%s is %d; it must be from %d to %d", flag.name, *flag.value, flag.least, flag.most)
		}
	}
	return nil
}
