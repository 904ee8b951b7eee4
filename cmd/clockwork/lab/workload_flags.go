package lab

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/paper"
	"clockwork/pkg/lab/workload"
)

// workloadFlags describe who sends requests when; sim and bench have them.
type workloadFlags struct {
	Workload string         `arg:"" optional:"" help:"The workload's name, see above; not needed with --trace."`
	Seed     uint64         `default:"1" env:"-" group:"Workload" help:"Another seed is another run; the same seed is the same one."`
	Length   *time.Duration `env:"-" placeholder:"TIME" group:"Workload" from:"1ms" to:"672h" help:"How long requests come, by default as long as the workload says, else 20s."`
	Trace    string         `type:"path" env:"-" placeholder:"FILE" group:"Workload" help:"Replay this file: lines of timestamp,model, the time in seconds or as in 2020-09-13T12:26:40.5Z; or counts for each minute as in the Azure Functions trace of 2019; those also as workload paper-6.5 or paper-6.6."`
	Rate     *float64       `env:"-" placeholder:"R/S" group:"Workload" help:"Requests a second of all open loops together, by default the workload's; of azure, the mean of a whole day, of which a part may have more or less."`
	Copies   *int           `env:"-" placeholder:"N" group:"Workload" help:"Instances of each model, by default the workload's."`
	Clients  *int           `aliases:"concurrency" env:"-" placeholder:"N" group:"Workload" help:"Clients of each closed loop, by default the workload's."`
	SLO      *time.Duration `name:"slo" env:"-" placeholder:"TIME" group:"Workload" from:"1us" to:"1h" help:"Latency target, by default the workload's, else 100ms."`
	Model    []string       `env:"-" placeholder:"zoo/NAME" group:"Workload" help:"The model that is copied, by default zoo/resnet50_v2; of mix, azure, paper-6.5 and paper-6.6 all their models."`
}

// made is a workload built from flags.
type made struct {
	workload workload.Workload
	// options are those of the workload; not used for a trace of timestamps.
	options workload.Options
	notes   []string
}

// helpWorkloads lists the workloads.
func helpWorkloads() string {
	var out strings.Builder
	for _, name := range workload.Names() {
		fmt.Fprintf(&out, "  %-17s %s\n", name, workload.About(name))
	}
	return out.String()
}

// make builds the workload for this many GPUs. Its errors are usage errors.
func (w *workloadFlags) make(gpus int) (m made, err error) {
	m.options = w.options(gpus)
	if w.Trace != "" {
		err = w.readTrace(&m)
	} else {
		m.workload, err = workload.Named(w.Workload, m.options)
	}
	if err != nil {
		return m, cli.Usage(err)
	}
	w.shorten(&m)
	return m, nil
}

// options returns a workload's options for this many GPUs.
func (w *workloadFlags) options(gpus int) workload.Options {
	o := workload.Options{
		Seed: w.Seed, Zoo: w.Model, Copies: or0(w.Copies), Rate: or0(w.Rate), Clients: or0(w.Clients), Length: or0(w.Length), GPUs: gpus,
	}
	if w.SLO != nil {
		o.SLO = workload.Within(*w.SLO)
	}
	if len(w.Model) > 0 {
		o.Path = w.Model[0]
	} else if o.Zoo = paper.Zoo(); w.Workload == "mix" {
		o.Zoo = paper.Mix()
	}
	if o.Length == 0 && unending[w.Workload] {
		o.Length = time.Minute
	}
	return o
}

// unending are workloads with hundreds of millions of requests.
var unending = map[string]bool{"azure": true, "paper-6.5": true}

// shorten bounds the length of a workload without one.
func (w *workloadFlags) shorten(m *made) {
	load := &m.workload
	part, longer := "", ""
	if load.Name == "azure" && w.Trace == "" && load.Length < aDay {
		part = fmt.Sprintf(" of a day that has %.0f r/s on average", meanOfDay(*load))
	}
	if w.Length == nil && w.Trace == "" && unending[load.Name] {
		longer = "; --length makes it longer"
	}
	if part+longer != "" {
		m.notes = append(m.notes, fmt.Sprintf("The first %v%s%s.", load.Length, part, longer))
	}
	load.Length = cmp.Or(or0(w.Length), load.Length, 20*time.Second)
}

const aDay = workload.DayMinutes * time.Minute

// meanOfDay returns the mean rate of a workload of counts over its whole day.
func meanOfDay(w workload.Workload) float64 {
	n := 0
	for _, stream := range w.Streams {
		if counts, ok := stream.Process.(workload.Counts); ok {
			n += workload.Function{Minutes: counts.Minutes}.Invocations()
		}
	}
	return float64(n) / aDay.Seconds()
}
