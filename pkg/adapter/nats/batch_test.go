package bus

import (
	"sync"
	"testing"
)

func TestBatchSendsInOrderAndInPieces(t *testing.T) {
	var sent [][]int
	b := NewBatch(3, func(items []int) { sent = append(sent, append([]int(nil), items...)) })
	b.Flush() // of nothing
	b.Add(1, 2)
	b.Add(3, 4)
	b.Flush()
	b.Add(5)
	b.Flush()
	if len(sent) != 3 || len(sent[0]) != 3 || sent[1][0] != 4 || sent[2][0] != 5 {
		t.Errorf("sent %v", sent)
	}
}

// TestBatchLosesNothing: many goroutines add and flush; everything is sent
// once, each goroutine's items in their order.
func TestBatchLosesNothing(t *testing.T) {
	const senders, each = 8, 5000
	last, total := [senders]int{}, 0
	b := NewBatch(64, func(items [][2]int) {
		for _, it := range items {
			if it[1] != last[it[0]]+1 {
				t.Errorf("sender %d: %d after %d", it[0], it[1], last[it[0]])
			}
			last[it[0]] = it[1]
			total++
		}
	})
	var work sync.WaitGroup
	for s := range senders {
		work.Go(func() {
			for n := range each {
				b.Add([2]int{s, n + 1})
				b.Flush()
			}
		})
	}
	work.Wait()
	if total != senders*each {
		t.Errorf("%d of %d were sent", total, senders*each)
	}
}
