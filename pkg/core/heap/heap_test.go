package heap

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The twin is a list that is sorted each time.
func TestAgreesWithASortedList(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var h Heap[int]
		var twin []*Node[int]
		nodes := make([]Node[int], 30)
		for step := range 300 {
			n := &nodes[dice.IntN(len(nodes))]
			if dice.IntN(3) == 0 {
				h.Remove(n)
				twin = slices.DeleteFunc(twin, func(m *Node[int]) bool { return m == n })
			} else {
				if !n.In() {
					twin = append(twin, n)
				}
				h.Set(n, dice.Int64N(10), uint64(step))
			}
			slices.SortFunc(twin, func(a, b *Node[int]) int {
				if a.Key != b.Key {
					return int(a.Key - b.Key)
				}
				return int(a.Tie) - int(b.Tie)
			})
			if len(h) != len(twin) || len(h) > 0 && h.First() != twin[0] {
				t.Fatalf("step %d: the first of %d is not the least of %d", step, len(h), len(twin))
			}
			if n.In() != slices.Contains(twin, n) {
				t.Fatalf("step %d: In is %v", step, n.In())
			}
		}
	}
}

func TestAnEmptyHeapHasNoFirst(t *testing.T) {
	if (Heap[int]{}).First() != nil {
		t.Error("there is one")
	}
}
