package workload

import "clockwork/pkg/protocol"

// tournament holds the next time of each of its leaves and knows the earliest;
// ties go to the lower leaf. Node i is the winner of nodes 2i and 2i+1; the
// leaves are the second half. To set a leaf replays its matches up to the
// root without a branch that depends on the times, which is several times as
// fast as a heap of thousands.
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

// first is the winner; its time is Never where no leaf has one.
func (t tournament) first() match { return t[1] }

func (t tournament) set(leaf int, at protocol.Time) {
	won := match{at, leaf}
	i := len(t)/2 + leaf
	t[i] = won
	for ; i > 1; i /= 2 {
		rival := t[i^1]
		left := protocol.Time(i & 1) // 1 where the rival is, who then wins a tie
		if rival.at-left < won.at {
			won.at = rival.at
		}
		if rival.at-left < t[i].at {
			won.leaf = rival.leaf
		}
		t[i/2] = won
	}
}
