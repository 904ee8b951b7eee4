package sched

import (
	"slices"
	"testing"

	"clockwork/pkg/protocol"
)

// waiting is a request of a batch case: its deadline in ms after the batch
// would begin, and its items.
type waiting struct {
	due   float64
	items int
}

// loose are n requests of one item with time enough.
func loose(n int) []waiting { return slices.Repeat([]waiting{{1000, 1}}, n) }

// busyAt is how a GPU has served of late, and the share of requests that are
// lost.
type busyAt struct{ served, busy, pressure float64 }

// batchCase: these requests wait, in this order of arrival, for a model with
// these durations at 1, 2, 4, 8; the batch has these members, by their order of
// arrival from 1, and runs at this size.
type batchCase struct {
	what    string
	policy  string
	any     bool
	exec    []float64
	most    int
	gpu     busyAt
	bound   int
	waits   []waiting
	members []uint64
	size    int
}

// The model of most cases takes 2, 3, 5 and 9 ms at 1, 2, 4 and 8.
var common = []float64{2, 3, 5, 9}

var batchCases = []batchCase{
	// Policy faithful: the largest compiled size of which there are enough.
	{what: "one", policy: "faithful", waits: loose(1), members: ids(1, 1), size: 1},
	{what: "three are a full two", policy: "faithful", waits: loose(3), members: ids(1, 2), size: 2},
	{what: "seven are a full four", policy: "faithful", waits: loose(7), members: ids(1, 4), size: 4},
	{what: "nine are a full eight", policy: "faithful", waits: loose(9), members: ids(1, 8), size: 8},
	{what: "any size or not", policy: "faithful", any: true, waits: loose(7), members: ids(1, 4), size: 4},
	{what: "eight would be late by 1 ms, four are not", policy: "faithful", waits: slices.Repeat([]waiting{{8, 1}}, 8), members: ids(1, 4), size: 4}, // 9, 5
	{what: "the head that a full four cannot meet is passed over", policy: "faithful",
		waits: append([]waiting{{4, 1}}, loose(4)...), members: ids(2, 5), size: 4}, // 5 ms
	{what: "where no four are left without it, it runs in a two", policy: "faithful",
		waits: append([]waiting{{4, 1}}, loose(3)...), members: ids(1, 2), size: 2}, // 3 ms
	{what: "the order of arrival, whatever the deadlines", policy: "faithful",
		waits: []waiting{{1000, 1}, {1000, 1}, {10, 1}}, members: ids(1, 2), size: 2},
	{what: "max batch", policy: "faithful", most: 2, waits: loose(8), members: ids(1, 2), size: 2},
	{what: "three items of one request make no full batch", policy: "faithful", waits: []waiting{{1000, 3}}, members: ids(1, 1), size: 4},
	{what: "nothing can be met", policy: "faithful", waits: slices.Repeat([]waiting{{1.9, 1}}, 4)},

	// Policy clockwork, any size: as many as wait and are met. 5 take 6, 6 take
	// 7, 7 take 8 ms by interpolation.
	{what: "one of any", policy: "clockwork", any: true, waits: loose(1), members: ids(1, 1), size: 1},
	{what: "five are five", policy: "clockwork", any: true, waits: loose(5), members: ids(1, 5), size: 5},
	{what: "no more than the largest", policy: "clockwork", any: true, waits: loose(12), members: ids(1, 8), size: 8},
	{what: "max batch between two sizes", policy: "clockwork", any: true, most: 4, waits: loose(12), members: ids(1, 4), size: 4},
	{what: "all due at 6 ms: five are met, six are not", policy: "clockwork", any: true,
		waits: slices.Repeat([]waiting{{6, 1}}, 6), members: ids(1, 5), size: 5},
	{what: "the first due binds the batch", policy: "clockwork", any: true,
		waits: append([]waiting{{5.5, 1}}, loose(5)...), members: ids(1, 4), size: 4}, // 4 in 5 ms, 5 in 6
	{what: "the earliest deadline is the first, whoever came first", policy: "clockwork", any: true, most: 2,
		waits: []waiting{{100, 1}, {50, 1}, {10, 1}}, members: []uint64{3, 2}, size: 2},
	{what: "equal deadlines go by arrival", policy: "clockwork", any: true, most: 2, waits: loose(3), members: ids(1, 2), size: 2},
	{what: "nothing of any can be met", policy: "clockwork", any: true, waits: slices.Repeat([]waiting{{1.9, 1}}, 4)},
	{what: "items count, not requests", policy: "clockwork", any: true, waits: []waiting{{1000, 3}, {1000, 3}, {1000, 3}}, members: ids(1, 2), size: 6},

	// What pays: where an item of a batch takes as long as alone, batches are of one; where
	// 8 take as long as 4 and 4, of 4.
	{what: "a flat model runs one by one", policy: "clockwork", any: true, exec: []float64{2, 4.1, 8.2, 16.3}, waits: loose(8), members: ids(1, 1), size: 1},
	{what: "a gain within the noise is none", policy: "clockwork", any: true, exec: []float64{2, 3.99, 7.98, 15.98}, waits: loose(8), members: ids(1, 1), size: 1},
	{what: "a model that gains up to four runs at four", policy: "clockwork", any: true, exec: []float64{2, 3, 5, 10}, waits: loose(8), members: ids(1, 4), size: 4},
	{what: "and six as four and two, not at once", policy: "clockwork", any: true, exec: []float64{2, 2.5, 5, 10}, waits: loose(6), members: ids(1, 2), size: 2},
	{what: "a flat model pays for its own items alone", policy: "clockwork", any: true, exec: []float64{2, 4, 8, 16},
		waits: []waiting{{1000, 3}, {1000, 3}}, members: ids(1, 1), size: 3},
	{what: "the laboratory batches all the same", policy: "deferred", any: true, exec: []float64{2, 4, 8, 16}, waits: loose(8), members: ids(1, 8), size: 8},

	// Compiled sizes alone: padded, if that is less work than two batches.
	{what: "three padded to four, 5 ms, save nothing over two and one, 3 + 2", policy: "clockwork", waits: loose(3), members: ids(1, 2), size: 2},
	{what: "padded to four in 4.9 ms they do", policy: "clockwork", exec: []float64{2, 3, 4.9, 9}, waits: loose(3), members: ids(1, 3), size: 4},
	{what: "five padded take 9 ms, four and one 5 + 2", policy: "clockwork", waits: loose(5), members: ids(1, 4), size: 4},
	{what: "six padded take 9 ms, four and two 5 + 3", policy: "clockwork", waits: loose(6), members: ids(1, 4), size: 4},
	{what: "seven padded take 9 ms, four and three padded 5 + 5", policy: "clockwork", waits: loose(7), members: ids(1, 7), size: 8},
	{what: "padding must not make anybody late", policy: "clockwork", waits: append([]waiting{{8, 1}}, loose(6)...), members: ids(1, 4), size: 4},

	// With prices. A GPU that serves 4 in 12 ms has a price of 1/3 for each ms
	// under full pressure. The model takes 10, 11 and 12 ms at 1, 2, 4; 11.5 at 3.
	{what: "without pressure the tight head is saved", policy: "clockwork", any: true, exec: []float64{10, 11, 12},
		gpu: busyAt{4, 12, 0}, waits: append([]waiting{{10.5, 1}}, loose(3)...), members: ids(1, 1), size: 1},
	// Alone 1 - 10/3 = -2.33, and three after it 3 - 11.5/3 = -0.83, which is not
	// worth it; the three without it -0.83.
	{what: "under pressure it is given up for the others", policy: "clockwork", any: true, exec: []float64{10, 11, 12},
		gpu: busyAt{4, 12, 1}, waits: append([]waiting{{10.5, 1}}, loose(3)...), members: ids(2, 4), size: 3},
	// At a 32nd, half the price: alone 1 - 10/6 = -0.67 and then 3 - 11.5/6 =
	// 1.08, together 0.42; the three without it 1.08.
	{what: "also where the others could wait, if time is dear enough", policy: "clockwork", any: true, exec: []float64{10, 11, 12},
		gpu: busyAt{4, 12, 1. / 32}, waits: append([]waiting{{10.5, 1}}, loose(3)...), members: ids(2, 4), size: 3},
	// At a 160th, a tenth of the price: 1 - 10/30 + 3 - 11.5/30 = 3.28; 2.62.
	{what: "not where it is cheap", policy: "clockwork", any: true, exec: []float64{10, 11, 12},
		gpu: busyAt{4, 12, 1. / 160}, waits: append([]waiting{{10.5, 1}}, loose(3)...), members: ids(1, 1), size: 1},

	// The others.
	{what: "fifo runs one at a time", policy: "fifo", any: true, waits: loose(5), members: ids(1, 1), size: 1},
	{what: "aimd runs up to its bound", policy: "aimd", any: true, bound: 3, waits: loose(5), members: ids(1, 3), size: 3},
	{what: "aimd knows of no deadlines", policy: "aimd", any: true, bound: 3, waits: append([]waiting{{3, 1}}, loose(4)...), members: ids(1, 3), size: 3},
}

// fixedBound is a BatchBound that learns nothing.
type fixedBound int

func (b fixedBound) Most(int) int    { return int(b) }
func (fixedBound) Observe(Execution) {}

// ids are first to last.
func ids(first, last uint64) (list []uint64) {
	for i := first; i <= last; i++ {
		list = append(list, i)
	}
	return list
}

func TestTheChoiceOfABatch(t *testing.T) {
	for _, c := range batchCases {
		t.Run(c.policy+": "+c.what, func(t *testing.T) {
			config := Defaults()
			config.MaxBatch = c.most
			if c.exec == nil {
				c.exec = common
			}
			r := newRig(t, c.policy, config, part{name: "a", any: c.any, exec: c.exec})
			r.join(0, "w", 1, "a")
			p, m := r.lanes(), r.core.models[0]
			if c.bound > 0 {
				p.bound = fixedBound(c.bound)
			}
			p.pressure = c.gpu.pressure
			g := r.core.gpus[0]
			g.served, g.busyTime = c.gpu.served, c.gpu.busy*1e6
			for i, w := range c.waits {
				m.put(waitingRequest(p, m, uint64(i+1), w))
			}
			size := choose(p, g.replicas[0])
			var members []uint64
			for _, q := range p.members[:min(size, len(p.members))] {
				members = append(members, q.ID.Seq)
			}
			if size != c.size || !slices.Equal(members, c.members) {
				t.Errorf("%v at batch %d, expected %v at %d", members, size, c.members, c.size)
			}
		})
	}
}

func waitingRequest(p *clockworkPolicy, m *model, seq uint64, w waiting) *request {
	q := &request{model: m, seq: seq, deadline: instant(w.due), size: m.spec.Fits(w.items)}
	q.ID, q.Batch = protocol.RequestID{Door: 1, Seq: seq}, w.items
	q.rank = p.rank(q)
	return q
}

// choose is what would run at 0, as run does it.
func choose(p *clockworkPolicy, on *replica) int {
	for q := on.model.head; q != nil; q = q.next {
		if protocol.Time(0).Add(on.exec(q.size)) <= q.deadline {
			return p.choose(on, q, 0)
		}
	}
	return 0
}

// A GPU that has the choice serves the model whose batch must begin first:
// deadline less what its batch takes. Under overload, of those that must begin
// within two executions of the usual length (here 2 * 6 ms), the one that yields
// most at the price of time, here 1/2 for each ms.
func TestWhoseTurnItIs(t *testing.T) {
	type queue struct {
		due   float64
		items int
	}
	for _, c := range []struct {
		what     string
		policy   string
		pressure float64
		queues   []queue
		turn     int // from 1
	}{
		{"must begin at 18, 15, 20", "clockwork", 0, []queue{{20, 1}, {20, 4}, {22, 1}}, 2},
		{"at the same time: the first model", "clockwork", 0, []queue{{22, 1}, {20, 1}, {20, 1}}, 2},
		{"fifo: who came first", "fifo", 0, []queue{{40, 1}, {20, 4}, {22, 1}}, 1},
		// 1 - 2/2 = 0; 4 - 5/2 = 1.5; 8 - 9/2 = 3.5, but it need not begin before 91.
		{"overload: what yields most of what must begin soon", "clockwork", 1, []queue{{10, 1}, {15, 4}, {100, 8}}, 2},
		{"below an eighth lost: urgency", "clockwork", 0.124, []queue{{10, 1}, {15, 4}, {100, 8}}, 1},
		{"faithful knows urgency alone", "faithful", 1, []queue{{10, 1}, {15, 4}, {100, 8}}, 1},
	} {
		t.Run(c.policy+": "+c.what, func(t *testing.T) {
			r := newRig(t, c.policy, Defaults(),
				part{name: "a", any: true, exec: common}, part{name: "b", any: true, exec: common}, part{name: "c", any: true, exec: common})
			r.join(0, "w", 3, "a", "b", "c")
			p, g := r.lanes(), r.core.gpus[0]
			p.pressure, p.config.Future = c.pressure, 0
			g.served, g.busyTime = 3, 6e6
			seq := uint64(0)
			for i, q := range c.queues {
				m := r.core.models[i]
				for range q.items {
					seq++
					m.put(waitingRequest(p, m, seq, waiting{q.due, 1}))
				}
				p.enqueueReplica(m.holders[0], m.head)
			}
			if turn := int(p.next(g).model.index) + 1; turn != c.turn {
				t.Errorf("it is the turn of queue %d, expected %d", turn, c.turn)
			}
		})
	}
}
