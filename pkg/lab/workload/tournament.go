package workload

import "clockwork/pkg/protocol"

// tournament holds the next time of each of its leaves and yields the earliest;
// ties go to the lower leaf. Node i is the winner of nodes 2i and 2i+1; the
// leaves are the second half. Setting a leaf replays its matches up to the root
// without branches that depend on the times, which is several times as fast as a
// heap of thousands of entries.
type tournament []match

type match struct {
	at   protocol.Time
	leaf int
}

func newTournament(leaves int) tournament {
	size := 1
	for size < leaves {
		size *= 2
	}
	t := make(tournament, 2*size)
	for i := range t {
		t[i].at = protocol.Never
	}
	for i := range size {
		t[size+i].leaf = i
	}
	return t
}

// first returns the winner; its time is Never if no leaf has one.
func (t tournament) first() match { return t[1] }

func (t tournament) set(leaf int, at protocol.Time) {
	won := match{at, leaf}
	i := len(t)/2 + leaf
	t[i] = won
	for ; i > 1; i /= 2 {
		rival := t[i^1]
		left := protocol.Time(i & 1) // 1 if the rival has the lower index and so wins a tie
		if rival.at-left < won.at {
			won.at = rival.at
		}
		if rival.at-left < t[i].at {
			won.leaf = rival.leaf
		}
		t[i/2] = won
	}
}
