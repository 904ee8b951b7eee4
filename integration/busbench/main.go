// Command busbench measures the overhead of Clockwork over the message bus. It
// compares the live path with a bare ring, which sends as many messages of the
// same sizes over as many hops and does nothing else. Both run alternately in
// the same minutes on the same machine, so their ratio is meaningful where
// absolute numbers would not be.
//
//	busbench                    everything in this process, embedded broker
//	busbench -binary PATH       each service, station and the broker its own process
//	busbench -gateway -binary PATH   clients of a gateway beside clients of NATS
//
// The bench itself is the client of both. Throughput is a closed loop; latency
// is an open loop at a fixed rate, counted from the moment of sending.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"clockwork/cmd/clockwork/serve"
)

// size is one payload size and its load.
type size struct {
	name        string
	bytes       int
	model       string
	outstanding int // closed loop
	rate        int // open loop, requests per second
}

var sizes = []size{
	{"256 B", 256, "zoo/null", 256, 5000},
	{"4 kB", 4096, "zoo/null_4k", 256, 5000},
	{"600 kB", 602112, "zoo/null_600k", 16, 200},
}

// options are the flags.
type options struct {
	binary string
	rounds int
	length time.Duration
	// only and profile are for closer analysis.
	only, profile string
}

func main() {
	station := flag.String("station", "", "run one station of the ring (used by busbench itself)")
	url := flag.String("nats", "", "the broker of -station")
	var o options
	flag.StringVar(&o.binary, "binary", "", "the clockwork binary; measures separate processes")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each side is measured; medians are shown")
	flag.DurationVar(&o.length, "length", time.Second, "how long one measurement takes")
	flag.StringVar(&o.only, "only", "", "measure only rows whose path and payload contain this, such as \"simple 4\"")
	flag.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the live path's closed loop")
	gateway := flag.Bool("gateway", false, "measure the ingresses of a gateway beside NATS")
	flag.Parse()
	serve.TuneCollector() // as the clockwork binary
	var err error
	switch {
	case *station != "":
		err = runStation(*station, *url)
	case *gateway:
		err = benchGateway(o)
	default:
		err = bench(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "busbench:", err)
		os.Exit(1)
	}
}

// bench prints a table with a row per policy and size.
func bench(o options) error {
	where := "one process"
	if o.binary != "" {
		where = "separate processes"
	}
	fmt.Printf("%s, medians of %d rounds of %v\n\n", where, o.rounds, o.length)
	fmt.Println("| path | payload | ring req/s | live req/s | ratio | rate | ring p50/p99 us | live p50/p99 us | p50 ratio | p99 ratio |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	for _, policy := range []string{"echo", "simple"} {
		for _, s := range sizes {
			if !strings.Contains(policy+" "+s.name, o.only) {
				continue
			}
			row, err := compare(o, policy, s)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", policy, s.name, err)
			}
			fmt.Println(row)
		}
	}
	return nil
}

// compare measures ring and live path alternately.
func compare(o options, policy string, s size) (string, error) {
	ring, err := openRing(o, policy, s)
	if err != nil {
		return "", fmt.Errorf("open ring: %w", err)
	}
	defer ring.close()
	live, err := openLive(o, policy, s)
	if err != nil {
		return "", fmt.Errorf("open live path: %w", err)
	}
	defer live.close()
	sides := []*side{ring, live}
	for _, x := range sides { // warm up
		if _, err := x.closedLoop(s, o.length/2); err != nil {
			return "", err
		}
	}
	if o.profile != "" {
		if err := live.profiled(s, o); err != nil {
			return "", err
		}
	}
	for range o.rounds {
		for _, x := range sides {
			if err := x.measure(s, o.length); err != nil {
				return "", fmt.Errorf("%s: %w", x.name, err)
			}
		}
	}
	ratio := func(of func(*side) []float64) float64 {
		ratios := make([]float64, o.rounds)
		for i := range ratios {
			ratios[i] = of(live)[i] / of(ring)[i]
		}
		return median(ratios)
	}
	return strings.Join([]string{"| " + policy, s.name,
		fmt.Sprintf("%.0f", median(ring.throughput)), fmt.Sprintf("%.0f", median(live.throughput)),
		fmt.Sprintf("%.2f", ratio(func(x *side) []float64 { return x.throughput })),
		fmt.Sprintf("%d/s", s.rate),
		fmt.Sprintf("%.0f / %.0f", median(ring.p50), median(ring.p99)),
		fmt.Sprintf("%.0f / %.0f", median(live.p50), median(live.p99)),
		fmt.Sprintf("%.2f", ratio(func(x *side) []float64 { return x.p50 })),
		fmt.Sprintf("%.2f |", ratio(func(x *side) []float64 { return x.p99 }))}, " | "), nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
