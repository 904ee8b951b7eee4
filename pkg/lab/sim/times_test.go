package sim

import (
	"testing"
	"time"
)

// drawTimes replaces the times that the stack is built with by others.
func drawTimes(c *Config, seed uint64) {
	d := newRNG(seed, 99)
	ms := func(low, high float64) time.Duration {
		return between(d, time.Duration(low*1e6), time.Duration(high*1e6))
	}
	core := &c.Core.Config
	core.Lag, core.LoadWindow, core.EvictRetry = ms(20, 3000), ms(50, 3000), ms(1, 100)
	core.Late, core.Ahead, core.Silent = ms(1, 40), ms(1, 20), ms(1, 60)
	c.Network.Base, c.Network.Jitter = ms(0.05, 5), ms(0, 3)
	c.pace = pace{heartbeat: ms(20, 400), campaign: ms(20, 400), clock: ms(5, 200)}
}

// The same rules hold whatever the times are: what seems to work may work only because one
// time is longer than another. A result lag of 750 ms once showed a failover that left
// weights on a GPU that no scheduler knew of.
func TestWorldsOfOtherTimesKeepEveryGuarantee(t *testing.T) {
	seeds := []uint64{98} // the load of a dead scheduler goes on while its successor mirrors the GPU
	for seed := uint64(1); seed <= 10; seed++ {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		faulty(t, seed, func(c *Config) {
			c.Policy, c.Faults = []string{"clockwork", "simple"}[seed%2], DrawFaults(seed, 4*time.Second)
			c.Startup.On = seed%3 == 0
			c.Pages = []int{13, 20, 27, 41}[seed/2%4]
			drawTimes(c, seed)
		})
	}
}
