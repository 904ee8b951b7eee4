package sched

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// What slowed a GPU for a while leaves high estimates behind. Those of sizes that
// are not run because of it would stay for ever; so they follow what the sizes
// that are run show.
func TestASizeThatIsNotRunFollowsTheOthers(t *testing.T) {
	const slow, ms = 3, time.Millisecond
	for _, c := range []struct {
		what  string
		one   time.Duration // what batch 1 takes now, by the profile 2 ms
		after time.Duration // since batch 4 was measured
		four  time.Duration // what batch 4, by the profile 5 ms, is expected to take then
	}{
		{"the slowness is over", 2 * ms, 150 * ms, 5 * ms},
		{"it goes on", slow * 2 * ms, 150 * ms, slow * 5 * ms},
		{"batch 4 was measured just before", 2 * ms, 50 * ms, slow * 5 * ms},
	} {
		t.Run(c.what, func(t *testing.T) {
			_, p := spec("a", 1, 8*ms, 2*ms, 3*ms, 5*ms)
			cost := newCost(Defaults(), p, true)
			now := protocol.Time(time.Second)
			for range 10 {
				cost.learn(now, 4, slow*5*ms)
			}
			if cost.exec(4) != slow*5*ms {
				t.Fatalf("the slow batches left %v", cost.exec(4))
			}
			cost.learn(now.Add(c.after), 1, c.one)
			if cost.exec(4) != c.four {
				t.Errorf("batch 4 is expected to take %v, want %v", cost.exec(4), c.four)
			}
		})
	}
}
