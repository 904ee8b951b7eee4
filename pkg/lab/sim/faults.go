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

// Faults says what goes wrong in a run; of the zero value nothing does. Each
// concern has a seed of its own. Faults come while the workload lasts, and in
// the first half minute of a startup; then everything heals, so that what was
// begun can come to its end. A run with faults has clocks that are synchronised
// as in production, and its workload begins when the workers have joined.
type Faults struct {
	// Loss, Duplicate and Reorder are the parts of the messages between services
	// that are lost, arrive twice, and arrive behind later ones: by ReorderBy on
	// average. What clients send and get is not among them, nor what lies in the
	// store.
	Loss, Duplicate, Reorder float64
	ReorderBy                time.Duration
	// Kill ends a worker's process; the next one comes up empty, with a new
	// incarnation. Pause stops a worker as SIGSTOP does: messages wait, the GPUs
	// go on, and nobody notices their ends. Cut loses all messages of a worker.
	Kill, Pause, Cut FaultTiming
	// Slow makes a GPU take 2 to 10 times as long, Hang lets nothing end on it.
	Slow, Hang FaultTiming
	// Scheduler ends the active scheduler; a standby notices by its heartbeats, takes
	// over For after that, and is activated.
	Scheduler FaultTiming
	// Controller restarts the controller: with a Startup, in whatever stage.
	Controller FaultTiming
	// Offset bounds how far the workers' clocks are off, Drift how much too fast
	// or slow they are, as a part of the time.
	Offset time.Duration
	Drift  float64
}

// Trouble comes every so often on average, somewhere, and lasts For on average.
type FaultTiming struct{ Every, For time.Duration }

// Any reports whether anything goes wrong.
func (f Faults) Any() bool { return f != Faults{} }

// Validate reports the first field that makes no sense.
func (f Faults) Validate() error {
	for _, share := range []float64{f.Loss, f.Duplicate, f.Reorder} {
		if !(share >= 0 && share <= 0.5) {
			return fmt.Errorf("validate faults: %v of the messages: it must be from 0%% to 50%%", share)
		}
	}
	if f.ReorderBy < 0 || f.ReorderBy > maxFaults || f.Offset < 0 || f.Offset > time.Hour || !(f.Drift >= 0 && f.Drift <= 1e-3) {
		return fmt.Errorf("validate faults: reorder by %v, clock off by %v and %v: out of range", f.ReorderBy, f.Offset, f.Drift)
	}
	for _, t := range []FaultTiming{f.Kill, f.Pause, f.Cut, f.Slow, f.Hang, f.Scheduler, f.Controller} {
		if t != (FaultTiming{}) && (t.Every < minEvery || t.For <= 0 || t.For > maxFaults) {
			return fmt.Errorf("validate faults: every %v for %v: expected at most every %v, for at most %v", t.Every, t.For, minEvery, maxFaults)
		}
	}
	return nil
}

// The bounds of a trouble.
const (
	minEvery  = 100 * time.Millisecond
	maxFaults = time.Minute
)

// FaultNames are the faults that ParseFaults knows, each with what it stands for
// when no amount is given.
var FaultNames = []struct{ Name, Amount, About string }{
	{"loss", "0.1%", "of the messages are lost"},
	{"duplicate", "0.1%", "of the messages come twice"},
	{"reorder", "1%:20ms", "of the messages come so much later, on average"},
	{"kill", "20s:1s", "a worker dies every so often, and is away so long"},
	{"pause", "10s:300ms", "a worker stands still"},
	{"cut", "15s:500ms", "a worker is cut off"},
	{"slow", "10s:1s", "a GPU is 2 to 10 times slower"},
	{"hang", "15s:300ms", "a GPU hangs"},
	{"clock", "100ms:100ppm", "the workers' clocks are off and drift, at most"},
	{"scheduler", "30s:100ms", "the scheduler dies; a standby takes over so long after it notices"},
	{"controller", "10s:300ms", "the controller is restarted, with a startup"},
}

// ParseFaults reads "loss,kill=5s:1s,clock=50ms:20ppm": names with or without
// amounts. "all" stands for every one of them; a later word replaces an earlier
// one of the same name.
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

// set gives one fault its amount.
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
	case "clock":
		return errors.Join(read(first, duration(&f.Offset)), read(second, ppm(&f.Drift)))
	}
	of := map[string]*FaultTiming{
		"kill": &f.Kill, "pause": &f.Pause, "cut": &f.Cut, "slow": &f.Slow, "hang": &f.Hang,
		"scheduler": &f.Scheduler, "controller": &f.Controller,
	}[name]
	of.For = 300 * time.Millisecond
	return errors.Join(read(first, duration(&of.Every)), read(second, duration(&of.For)))
}

// read reads what is given; what is not stays as it is.
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

// in reads a number of a unit, of which there are so many in the whole.
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

// DrawFaults draws faults for a run of such a length: each one of every two, so
// often that it comes a few times.
func DrawFaults(seed uint64, length time.Duration) Faults {
	d := newRNG(seed, seedOfFaults)
	share := func(most float64) float64 { return float64(d.IntN(2)) * most * d.Float64() }
	trouble := func(most time.Duration) FaultTiming {
		every := max(minEvery, between(d, length/8, length/2))
		t := FaultTiming{Every: every, For: between(d, most/20, most)}
		if d.IntN(2) == 0 {
			return FaultTiming{}
		}
		return t
	}
	f := Faults{
		Loss: share(0.01), Duplicate: share(0.01), Reorder: share(0.03), ReorderBy: between(d, time.Millisecond, 40*time.Millisecond),
		Kill: trouble(2 * time.Second), Pause: trouble(1500 * time.Millisecond), Cut: trouble(1500 * time.Millisecond),
		Slow: trouble(time.Second), Hang: trouble(700 * time.Millisecond), Controller: trouble(time.Second),
	}
	if d.IntN(2) == 0 {
		f.Offset, f.Drift = between(d, 0, time.Second), share(200e-6)
	}
	f.Scheduler = trouble(500 * time.Millisecond)
	return f
}

// between draws a duration from low to high.
func between(d *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(d.Int64N(int64(max(0, high-low))+1))
}
