package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"clockwork/pkg/lab/bench"
)

// comparison is the whole study.
type comparison struct {
	place
	choice
	settings []setting
	results  *results
	length   time.Duration
	out      io.Writer
}

// idleFor is how long a started server is watched doing nothing.
const idleFor = 5 * time.Second

// run measures all that is not measured yet: the workloads of one model, then those of
// twelve, then starts.
func (c *comparison) run(ctx context.Context) error {
	for _, many := range []bool{false, true} {
		var cells []cell
		for _, s := range studies {
			if s.many == many {
				cells = append(cells, c.cells(s)...)
			}
		}
		if err := c.inTurns(ctx, cells, many); err != nil {
			return err
		}
	}
	if len(c.workloads) > 0 && !slices.Contains(c.workloads, starts) {
		return ctx.Err()
	}
	return c.starts(ctx)
}

// inTurns gives each cell to all servers before the next, each time in the opposite order.
// Servers that may stand still are started once and stand still between their turns.
func (c *comparison) inTurns(ctx context.Context, cells []cell, many bool) error {
	kept := map[string]*server{}
	defer func() {
		for _, v := range kept {
			v.stop()
		}
	}()
	broken := map[string]bool{}
	for i, one := range cells {
		turn := slices.Clone(c.settings)
		if i%2 == 1 {
			slices.Reverse(turn)
		}
		for _, s := range turn {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !c.choice.takes(s) || !s.takes(one) || c.results.has(one, s.name) || broken[s.name] {
				continue
			}
			if err := c.turn(ctx, one, s, many, kept); err != nil {
				broken[s.name] = true // with these models; the others go on
				fmt.Fprintf(c.out, "%s: %v\n", s.name, err)
			}
		}
	}
	return ctx.Err()
}

// settle is how long a server is awake before its turn.
const settle = 700 * time.Millisecond

// turn measures one cell with one server.
func (c *comparison) turn(ctx context.Context, one cell, s setting, many bool, kept map[string]*server) error {
	v := kept[s.name]
	if v == nil {
		var err error
		if v, err = start(ctx, c.place, s, many); err != nil {
			return err
		}
		if s.freezable() {
			kept[s.name] = v
		} else {
			defer v.stop()
		}
	}
	v.thaw()
	time.Sleep(settle)
	r, err := v.measure(ctx, one, c.results.Bare, c.length)
	if kept[s.name] != nil {
		v.freeze()
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, r.line())
	return c.results.add(r)
}

// measure sends a cell's workload to a server that is ready.
func (v *server) measure(ctx context.Context, one cell, bare capacity, length time.Duration) (result, error) {
	s := studyOf(one.Workload)
	w := s.workload(bare, one.Load, one.Seed, length)
	lines, closeLines, err := protocols[v.Protocol](v.url)
	if err != nil {
		return result{}, err
	}
	defer closeLines()
	r := result{cell: one, Server: v.name, At: time.Now(), ReadyS: v.ready.Seconds(), LoadBefore: loadAverage()}
	family := v.family()
	server, own := processorTime(family), ownTime()
	r.Report, err = bench.Run(ctx, bench.Config{
		Workload: w, Models: served(w), Payload: bench.Random(), Lines: lines, Pools: s.bounds(len(w.Streams)), Margin: v.Margin,
		DefaultSLO: time.Second, Warmup: warmup, Window: point, Grace: grace, Patience: 2 * grace,
	}, nil)
	if err != nil || ctx.Err() != nil {
		return result{}, err
	}
	family = v.family()
	r.ServerS, r.ClientS, r.PSSMiB = (processorTime(family) - server).Seconds(), (ownTime() - own).Seconds(), memory(family)
	return r, nil
}

// starts starts each server with twelve models and watches it doing nothing.
func (c *comparison) starts(ctx context.Context) error {
	for _, seed := range c.seeds {
		for _, s := range c.settings {
			one := cell{Workload: starts, Load: 1, Seed: seed, sparse: seed == c.seeds[0]}
			if ctx.Err() != nil || !c.choice.takes(s) || !s.takes(one) || c.results.has(one, s.name) {
				continue
			}
			r, err := c.started(ctx, one, s)
			if err != nil {
				fmt.Fprintf(c.out, "%s: %v\n", s.name, err)
				continue
			}
			fmt.Fprintln(c.out, r.line())
			if err := c.results.add(r); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (c *comparison) started(ctx context.Context, one cell, s setting) (result, error) {
	v, err := start(ctx, c.place, s, true)
	if err != nil {
		return result{}, err
	}
	defer v.stop()
	time.Sleep(settle)
	family := v.family()
	before := processorTime(family)
	time.Sleep(idleFor)
	return result{
		cell: one, Server: s.name, At: time.Now(), ReadyS: v.ready.Seconds(),
		ServerS: (processorTime(family) - before).Seconds(), PSSMiB: memory(family),
	}, nil
}
