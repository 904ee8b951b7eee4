package claim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestDevicesAreChosenInOrder(t *testing.T) {
	all := []string{"a", "b", "c"}
	others := []Claim{{Worker: "w2", Devices: []string{"b"}}}
	for n, want := range map[int]string{1: "a", 2: "a c"} {
		if got, ok := Choose(all, n, others); !ok || strings.Join(got, " ") != want {
			t.Errorf("%d: %v, %v", n, got, ok)
		}
	}
	if got, ok := Choose(all, 3, others); ok {
		t.Errorf("three of two: %v", got)
	}
	if who := Claimant("b", others); who != "w2" {
		t.Errorf("b is claimed by %q", who)
	}
}

func TestConflicts(t *testing.T) {
	own := Claim{Worker: "w", Stored: 5, Devices: []string{"a", "b"}}
	for what, c := range map[string]struct {
		other Claim
		want  string
	}{
		"an earlier claim":       {Claim{Worker: "x", Stored: 4, Devices: []string{"b"}}, "b"},
		"a later claim":          {Claim{Worker: "x", Stored: 6, Devices: []string{"b"}}, ""},
		"held, and stored later": {Claim{Worker: "x", Stored: 6, Devices: []string{"b"}, Held: true}, "b"},
		"of another device":      {Claim{Worker: "x", Stored: 4, Devices: []string{"c"}, Held: true}, ""},
		"its own":                {Claim{Worker: "w", Stored: 4, Devices: []string{"a"}, Held: true}, ""},
	} {
		if got := Conflict(own, []Claim{c.other}); got != c.want {
			t.Errorf("%s: %q, wanted %q", what, got, c.want)
		}
	}
}

// world is a store of claims and some workers in the middle of their steps.
type world struct {
	store   map[string]Claim
	last    uint64
	workers []worker
}

type worker struct {
	name string
	step step
	seen []Claim
	// own is its claim as it stored it.
	own Claim
	// uses: it works on the devices of own.
	uses bool
	// expired counts how often the store forgot its claim.
	expired int
}

// step is what a worker does next.
type step int

const (
	look step = iota
	store
	read
	decide
	hold
	renew
)

func (w *world) others(of string) (all []Claim) {
	for _, name := range slices.Sorted(maps.Keys(w.store)) {
		if name != of {
			all = append(all, w.store[name])
		}
	}
	return all
}

// move lets a worker take its next step.
func (w *world) move(i int) {
	x := &w.workers[i]
	put := func(c Claim) {
		w.last++
		c.Stored = w.last
		w.store[x.name], x.own = c, c
	}
	current := w.store[x.name].Stored == x.own.Stored && x.own.Stored != 0
	switch x.step {
	case look:
		x.seen, x.step = w.others(x.name), store
	case store:
		devices, ok := x.own.Devices, true
		if !x.uses {
			devices, ok = Choose([]string{"a", "b"}, 1, x.seen)
		}
		if x.step = look; ok {
			put(Claim{Worker: x.name, Devices: devices})
			x.step = read
		}
	case read:
		x.seen, x.step = w.others(x.name), decide
	case decide:
		if x.step = hold; Conflict(x.own, x.seen) != "" {
			if current {
				delete(w.store, x.name)
			}
			x.step, x.uses, x.own = look, false, Claim{}
		}
	case hold: // by a compare-and-swap
		if x.step = look; current {
			put(Claim{Worker: x.name, Devices: x.own.Devices, Held: true})
			x.step, x.uses = renew, true
		}
	case renew:
		if x.step = store; current {
			put(x.own)
			x.step = renew
		}
	}
}

// expire lets the store forget a claim, as of a worker that stands still.
func (w *world) expire(i int) {
	delete(w.store, w.workers[i].name)
	w.workers[i].expired++
}

func (w *world) clone() *world {
	c := &world{maps.Clone(w.store), w.last, slices.Clone(w.workers)}
	return c
}

// String says all that decides what can happen next: numbers by their order alone.
func (w *world) String() string {
	var numbers []uint64
	for _, c := range w.store {
		numbers = append(numbers, c.Stored)
	}
	for _, x := range w.workers {
		numbers = append(numbers, x.own.Stored)
		for _, c := range x.seen {
			numbers = append(numbers, c.Stored)
		}
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	rank := func(c Claim) string {
		at, _ := slices.BinarySearch(numbers, c.Stored)
		return fmt.Sprint(c.Worker, at, c.Devices, c.Held)
	}
	var b strings.Builder
	for _, c := range w.others("") {
		b.WriteString(rank(c))
	}
	for _, x := range w.workers {
		fmt.Fprint(&b, "|", x.name, x.step, x.uses, x.expired, rank(x.own))
		if x.step == store || x.step == decide {
			for _, c := range x.seen {
				b.WriteString(rank(c))
			}
		}
	}
	return b.String()
}

// overlap reports whether two workers use one device, neither of which has to learn yet that
// its claim expired.
func (w *world) overlap() bool {
	using := map[string]bool{}
	for _, x := range w.workers {
		if c, stored := w.store[x.name]; x.uses && stored && c.Held {
			for _, d := range c.Devices {
				if using[d] {
					return true
				}
				using[d] = true
			}
		}
	}
	return false
}

// explore visits every state that some order of steps reaches, with a number of claims that
// expire at any moment.
func explore(t *testing.T, workers, expiries int, check func(*world)) {
	t.Helper()
	first := &world{store: map[string]Claim{}}
	for i := range workers {
		first.workers = append(first.workers, worker{name: fmt.Sprint("w", i)})
	}
	seen, queue := map[string]bool{first.String(): true}, []*world{first}
	for len(queue) > 0 {
		w := queue[0]
		queue = queue[1:]
		check(w)
		visit := func(next *world) {
			if s := next.String(); !seen[s] {
				seen[s], queue = true, append(queue, next)
			}
		}
		for i, x := range w.workers {
			next := w.clone()
			next.move(i)
			visit(next)
			if _, stored := w.store[x.name]; stored && x.expired < expiries {
				next := w.clone()
				next.expire(i)
				visit(next)
			}
		}
	}
	t.Logf("%d workers, %d expiries each: %d states", workers, expiries, len(seen))
}

// TestNoDeviceIsHeldTwice in any order of the steps of two workers, whose claims may expire
// at any moment, and of three.
func TestNoDeviceIsHeldTwice(t *testing.T) {
	for workers, expiries := range map[int]int{2: 2, 3: 0} {
		explore(t, workers, expiries, func(w *world) {
			if w.overlap() {
				t.Fatalf("held twice: %s", w)
			}
		})
	}
}

// TestEachGetsADeviceWhereThereAreEnough: from every state, if the workers go on one after
// the other, each uses a device in the end.
func TestEachGetsADeviceWhereThereAreEnough(t *testing.T) {
	explore(t, 2, 1, func(w *world) {
		w = w.clone()
		for range 40 {
			for i := range w.workers {
				w.move(i)
			}
		}
		for _, x := range w.workers {
			if !x.uses || !w.store[x.name].Held {
				t.Fatalf("%s has no device: %s", x.name, w)
			}
		}
	})
}
