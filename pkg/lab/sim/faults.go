package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Faults describes the faults of a run; the zero value has none. Each kind has a
// seed of its own. Faults are injected while the workload lasts, and in the
// first 30 s of a startup; then everything heals, so that all started work can
// end. A run with faults has clocks that are synchronised as in production, and
// its workload starts when the workers have joined.
type Faults struct {
	// Loss, Duplicate and Reorder are the shares of the messages between services
	// that are lost, arrive twice, or arrive later by ReorderBy on average. Messages
	// of clients and accesses to the store are exempt.
	Loss, Duplicate, Reorder float64
	ReorderBy                time.Duration
	// Kill kills a worker's process; its successor starts empty, with a new
	// incarnation. Pause stops a worker as SIGSTOP does: messages wait, the GPUs
	// continue, and their completions are noticed late. Cut loses all messages of a
	// worker.
	Kill, Pause, Cut FaultTiming
	// Slow makes a GPU 2 to 10 times slower. On a hung GPU (Hang) no action ends.
	Slow, Hang FaultTiming
	// Poison is the share of the requests that end the executor of whoever executes
	// them, Endless of those whose execution never ends, so that its executor is ended
	// after the usual bound. The GPU has its next executor ExecutorAfter later.
	Poison, Endless float64
	ExecutorAfter   time.Duration
	// Scheduler kills the active scheduler. A standby detects that by heartbeats,
	// takes over after a further delay of For, and is activated.
	Scheduler FaultTiming
	// Sleep stops the active scheduler as SIGSTOP does. If a standby takes over
	// meanwhile, two schedulers think that they lead, until the deposed one learns of it.
	Sleep FaultTiming
	// Controller restarts the controller, in any stage; with a Startup only.
	Controller FaultTiming
	// FrontDoor kills a front door, with the answers that it has not given; another one
	// takes its place. Every third is only cut off, for four times as long. Broker restarts
	// the broker: whatever is under way is lost, and each process connects again at its own
	// time. Either has two front doors from the start.
	FrontDoor, Broker FaultTiming
	// Offset bounds the offsets of the workers' clocks, Drift their relative drift.
	Offset time.Duration
	Drift  float64
}

// FaultTiming is the timing of a recurring fault: the mean interval and the mean
// duration.
type FaultTiming struct{ Every, For time.Duration }

// Any reports whether any fault is enabled.
func (f Faults) Any() bool { return f != Faults{} }

// Validate returns an error that names the first invalid value.
func (f Faults) Validate() error {
	for _, share := range []float64{f.Loss, f.Duplicate, f.Reorder, f.Poison, f.Endless} {
		if !(share >= 0 && share <= 0.5) {
			return fmt.Errorf("validate faults: %v of the messages or requests: it must be from 0%% to 50%%", share)
		}
	}
	if f.ReorderBy < 0 || f.ReorderBy > maxFaults || f.Offset < 0 || f.Offset > time.Hour || !(f.Drift >= 0 && f.Drift <= 1e-3) {
		return fmt.Errorf("validate faults: reorder by %v, clock off by %v and %v: out of range", f.ReorderBy, f.Offset, f.Drift)
	}
	if f.ExecutorAfter < 0 || f.ExecutorAfter > maxFaults {
		return fmt.Errorf("validate faults: the next executor after %v: out of range", f.ExecutorAfter)
	}
	for _, t := range []FaultTiming{f.Kill, f.Pause, f.Cut, f.Slow, f.Hang, f.Scheduler, f.Sleep, f.Controller, f.FrontDoor, f.Broker} {
		if t != (FaultTiming{}) && (t.Every < minEvery || t.For <= 0 || t.For > maxFaults) {
			return fmt.Errorf("validate faults: every %v for %v: expected at most every %v, for at most %v", t.Every, t.For, minEvery, maxFaults)
		}
	}
	return nil
}

// These are the bounds of FaultTiming.
const (
	minEvery  = 100 * time.Millisecond
	maxFaults = time.Minute
)

// FaultNames lists the faults that ParseFaults knows, each with its default
// amount.
var FaultNames = []struct{ Name, Amount, About string }{
	{"loss", "0.1%", "of the messages are lost"},
	{"duplicate", "0.1%", "of the messages come twice"},
	{"reorder", "1%:20ms", "of the messages come so much later, on average"},
	{"kill", "20s:1s", "a worker dies every so often, and is away so long"},
	{"pause", "10s:300ms", "a worker stands still"},
	{"cut", "15s:500ms", "a worker is cut off"},
	{"slow", "10s:1s", "a GPU is 2 to 10 times slower"},
	{"hang", "15s:300ms", "a GPU hangs"},
	{"poison", "0.01%:300ms", "of the requests end their executor; the next is ready so much later"},
	{"endless", "0.01%:300ms", "of the requests never end, until their executor is ended"},
	{"clock", "100ms:100ppm", "the workers' clocks are off and drift, at most"},
	{"scheduler", "30s:100ms", "the scheduler dies; a standby takes over so long after it notices"},
	{"sleep", "30s:1s", "the scheduler stands still; a standby takes over if that is long, and two lead"},
	{"frontdoor", "20s:300ms", "a front door dies, and another takes its place so much later"},
	{"broker", "30s:200ms", "the broker is restarted, and away so long"},
	{"controller", "10s:300ms", "the controller is restarted, with a startup"},
}

// ParseFaults parses, e.g., "loss,kill=5s:1s,clock=50ms:20ppm": names with or
// without amounts. "all" enables every fault; a later entry replaces an earlier
// one with the same name.
func ParseFaults(text string) (Faults, error) {
	var f Faults
	for _, word := range strings.Split(text, ",") {
		name, amount, given := strings.Cut(strings.TrimSpace(word), "=")
		if name == "all" && !given {
			for _, fault := range FaultNames {
				if err := f.set(fault.Name, fault.Amount); err != nil {
					return f, err
				}
			}
			continue
		}
		i := slices.IndexFunc(FaultNames, func(fault struct{ Name, Amount, About string }) bool { return fault.Name == name })
		if i < 0 {
			return f, fmt.Errorf("read faults: there is no fault %q; expected all, or some of %s", name, strings.Join(faultNames(), ", "))
		}
		if !given {
			amount = FaultNames[i].Amount
		}
		if err := f.set(name, amount); err != nil {
			return f, fmt.Errorf("read faults: %s=%s: %w; expected as in %s=%s", name, amount, err, name, FaultNames[i].Amount)
		}
	}
	return f, f.Validate()
}

func faultNames() (names []string) {
	for _, fault := range FaultNames {
		names = append(names, fault.Name)
	}
	return names
}

// set sets the amount of one fault.
func (f *Faults) set(name, amount string) error {
	first, second, _ := strings.Cut(amount, ":")
	switch name {
	case "loss":
		return read(amount, percent(&f.Loss))
	case "duplicate":
		return read(amount, percent(&f.Duplicate))
	case "reorder":
		f.ReorderBy = 20 * time.Millisecond
		return errors.Join(read(first, percent(&f.Reorder)), read(second, duration(&f.ReorderBy)))
	case "poison", "endless":
		of := map[string]*float64{"poison": &f.Poison, "endless": &f.Endless}[name]
		f.ExecutorAfter = 300 * time.Millisecond
		return errors.Join(read(first, percent(of)), read(second, duration(&f.ExecutorAfter)))
	case "clock":
		return errors.Join(read(first, duration(&f.Offset)), read(second, ppm(&f.Drift)))
	}
	of := map[string]*FaultTiming{
		"kill": &f.Kill, "pause": &f.Pause, "cut": &f.Cut, "slow": &f.Slow, "hang": &f.Hang,
		"scheduler": &f.Scheduler, "sleep": &f.Sleep, "frontdoor": &f.FrontDoor, "broker": &f.Broker, "controller": &f.Controller,
	}[name]
	of.For = 300 * time.Millisecond
	return errors.Join(read(first, duration(&of.Every)), read(second, duration(&of.For)))
}

// read parses text, unless it is empty.
func read(text string, into func(string) error) error {
	if text == "" {
		return nil
	}
	return into(text)
}

func duration(into *time.Duration) func(string) error {
	return func(text string) (err error) {
		*into, err = time.ParseDuration(text)
		return err
	}
}

func percent(into *float64) func(string) error { return in("%", 100, into) }
func ppm(into *float64) func(string) error     { return in("ppm", 1e6, into) }

// in returns a parser of numbers with this unit; whole is the number that stands
// for 1.
func in(unit string, whole float64, into *float64) func(string) error {
	return func(text string) error {
		number, found := strings.CutSuffix(text, unit)
		if !found {
			return fmt.Errorf("%s is not in %s", text, unit)
		}
		value, err := strconv.ParseFloat(number, 64)
		*into = value / whole
		return err
	}
}

// DrawFaults draws random faults for a run of this length: each with probability
// 1/2, and with intervals such that it occurs a few times.
func DrawFaults(seed uint64, length time.Duration) Faults {
	d := newRNG(seed, seedOfFaults)
	share := func(most float64) float64 { return float64(d.IntN(2)) * most * d.Float64() }
	timing := func(most time.Duration) FaultTiming {
		every := max(minEvery, between(d, length/8, length/2))
		t := FaultTiming{Every: every, For: between(d, most/20, most)}
		if d.IntN(2) == 0 {
			return FaultTiming{}
		}
		return t
	}
	f := Faults{
		Loss: share(0.01), Duplicate: share(0.01), Reorder: share(0.03), ReorderBy: between(d, time.Millisecond, 40*time.Millisecond),
		Kill: timing(2 * time.Second), Pause: timing(1500 * time.Millisecond), Cut: timing(1500 * time.Millisecond),
		Slow: timing(time.Second), Hang: timing(700 * time.Millisecond), Controller: timing(time.Second),
	}
	if d.IntN(2) == 0 {
		f.Offset, f.Drift = between(d, 0, time.Second), share(200e-6)
	}
	f.Scheduler = timing(500 * time.Millisecond)
	f.Poison, f.Endless, f.ExecutorAfter = share(0.002), share(0.001), between(d, time.Millisecond, 500*time.Millisecond)
	f.Sleep, f.FrontDoor = timing(time.Second), timing(500*time.Millisecond)
	if f.Broker = timing(400 * time.Millisecond); d.IntN(2) == 0 {
		f.Broker = FaultTiming{} // it stops all other work, so it is rarer
	}
	return f
}

// between draws a duration between low and high.
func between(d *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(d.Int64N(int64(max(0, high-low))+1))
}
