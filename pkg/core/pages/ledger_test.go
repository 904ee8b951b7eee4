package pages

import (
	"math/rand/v2"
	"slices"
	"testing"

	"clockwork/pkg/protocol"
)

func load(t *testing.T, l *Ledger, model string, n int) []int {
	t.Helper()
	frames, refusal := l.Begin(model, n)
	if refusal != nil {
		t.Fatalf("begin %s: %v", model, refusal)
	}
	l.Commit(model)
	return frames
}

func refused(t *testing.T, what string, got *protocol.Error, want protocol.Code) {
	t.Helper()
	if got == nil || got.Code != want {
		t.Errorf("%s: got %v, want %s", what, got, want)
	}
}

func TestFramesBelongToOneModelAtATime(t *testing.T) {
	l := New(4)
	a, b := load(t, l, "a", 2), load(t, l, "b", 2)
	all := slices.Sorted(slices.Values(append(slices.Clone(a), b...)))
	if !slices.Equal(all, []int{0, 1, 2, 3}) {
		t.Errorf("a has %v, b has %v", a, b)
	}
	_, refusal := l.Begin("c", 1)
	refused(t, "a fifth page of four", refusal, protocol.NoMemory)
	if l.Used() != 4 || !slices.Equal(l.Loaded(), []string{"a", "b"}) {
		t.Errorf("used %d, loaded %v", l.Used(), l.Loaded())
	}
}

func TestRefusals(t *testing.T) {
	l := New(4)
	refused(t, "evict nothing", l.Evict("a"), protocol.WeightsMissing)
	_, refusal := l.Use("a")
	refused(t, "use nothing", refusal, protocol.WeightsMissing)
	_, refusal = l.Begin("a", 0)
	refused(t, "load no page", refusal, protocol.InvalidAction)

	if _, refusal := l.Begin("a", 2); refusal != nil {
		t.Fatal(refusal)
	}
	_, refusal = l.Begin("a", 2)
	refused(t, "load while loading", refusal, protocol.WeightsInUse)
	refused(t, "evict while loading", l.Evict("a"), protocol.WeightsInUse)
	_, refusal = l.Use("a")
	refused(t, "use while loading", refusal, protocol.WeightsMissing)

	l.Commit("a")
	_, refusal = l.Begin("a", 2)
	refused(t, "load twice", refusal, protocol.AlreadyLoaded)
	if _, refusal := l.Use("a"); refusal != nil {
		t.Fatal(refusal)
	}
	refused(t, "evict while in use", l.Evict("a"), protocol.WeightsInUse)

	l.Done("a")
	if refusal := l.Evict("a"); refusal != nil {
		t.Fatal(refusal)
	}
	refused(t, "evict twice", l.Evict("a"), protocol.WeightsInUse)
	_, refusal = l.Begin("a", 2)
	refused(t, "load while evicting", refusal, protocol.WeightsInUse)
}

func TestAFailedCopyGivesItsPagesBack(t *testing.T) {
	l := New(2)
	if _, refusal := l.Begin("a", 2); refusal != nil {
		t.Fatal(refusal)
	}
	l.Abort("a")
	if l.Used() != 0 {
		t.Errorf("%d pages leaked", l.Used())
	}
	load(t, l, "b", 2)
}

func TestAFailedEvictionKeepsTheWeights(t *testing.T) {
	l := New(2)
	load(t, l, "a", 2)
	before := l.Version("a")
	if refusal := l.Evict("a"); refusal != nil {
		t.Fatal(refusal)
	}
	l.Keep("a")
	if l.Version("a") != before {
		t.Error("the same weights have another version")
	}
}

func TestWeightsThatCameBackHaveANewVersion(t *testing.T) {
	l := New(2)
	load(t, l, "a", 2)
	first := l.Version("a")
	if refusal := l.Evict("a"); refusal != nil {
		t.Fatal(refusal)
	}
	l.Free("a")
	if l.Version("a") != 0 {
		t.Error("weights that are gone have a version")
	}
	load(t, l, "a", 2)
	if l.Version("a") == first {
		t.Error("other weights have the same version")
	}
}

// TestG6RandomHistories plays random calls against a naive twin: a list of
// who owns each frame.
func TestG6RandomHistories(t *testing.T) {
	models := []string{"a", "b", "c", "d", "e"}
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		l, owner := New(10), make([]string, 10)
		state := map[string]string{}
		users := map[string]int{}
		for range 2000 {
			m := models[rng.IntN(len(models))]
			switch rng.IntN(7) {
			case 0:
				if frames, refusal := l.Begin(m, 1+rng.IntN(5)); refusal == nil {
					for _, f := range frames {
						if owner[f] != "" {
							t.Fatalf("seed %d: frame %d of %s given to %s", seed, f, owner[f], m)
						}
						owner[f] = m
					}
					state[m] = "loading"
				} else if state[m] == "" && refusal.Code != protocol.NoMemory {
					t.Fatalf("seed %d: %s refused with %v", seed, m, refusal)
				}
			case 1:
				if state[m] == "loading" {
					l.Commit(m)
					state[m] = "loaded"
				}
			case 2:
				if state[m] == "loading" {
					l.Abort(m)
					give(owner, m)
					delete(state, m)
				}
			case 3:
				if _, refusal := l.Use(m); (refusal == nil) != (state[m] == "loaded") {
					t.Fatalf("seed %d: use of %s, which is %q: %v", seed, m, state[m], refusal)
				} else if refusal == nil {
					users[m]++
				}
			case 4:
				if users[m] > 0 {
					l.Done(m)
					users[m]--
				}
			case 5:
				may := state[m] == "loaded" && users[m] == 0
				if refusal := l.Evict(m); (refusal == nil) != may {
					t.Fatalf("seed %d: eviction of %s, %q with %d users: %v", seed, m, state[m], users[m], refusal)
				} else if may {
					state[m] = "evicting"
				}
			case 6:
				if state[m] == "evicting" {
					l.Free(m)
					give(owner, m)
					delete(state, m)
				}
			}
			used := 0
			for _, o := range owner {
				if o != "" {
					used++
				}
			}
			if used != l.Used() || used > l.Total() {
				t.Fatalf("seed %d: %d pages used, the ledger says %d of %d\n%s", seed, used, l.Used(), l.Total(), l)
			}
		}
	}
}

func give(owner []string, model string) {
	for f, o := range owner {
		if o == model {
			owner[f] = ""
		}
	}
}

// TestWeightsThatAreLost: what nobody uses is dropped at once, and the rest by the end of
// its copy, eviction or execution, whatever that says. Nobody may begin to use it.
func TestWeightsThatAreLost(t *testing.T) {
	l := New(8)
	for i, name := range []string{"idle", "read", "evicted", "kept", "copied"} {
		if _, refusal := l.Begin(name, 1+i%2); refusal != nil {
			t.Fatal(refusal)
		}
		if name != "copied" && !l.Commit(name) {
			t.Fatalf("%s is not loaded", name)
		}
	}
	l.Use("read")
	l.Evict("evicted")
	l.Evict("kept")
	l.Lose()
	if len(l.Loaded()) > 0 || l.Holds("idle") || l.Version("read") != 0 {
		t.Errorf("lost, and there is %v", l)
	}
	if _, refusal := l.Use("read"); refusal == nil || refusal.Code != protocol.WeightsMissing {
		t.Errorf("lost weights may be read: %v", refusal)
	}
	if _, refusal := l.Begin("read", 1); refusal == nil || refusal.Code != protocol.WeightsInUse {
		t.Errorf("weights may be loaded over those that are still read: %v", refusal)
	}
	l.Done("read")
	l.Free("evicted")
	l.Keep("kept")
	if l.Commit("copied") {
		t.Error("a copy is there, and its process is gone")
	}
	if l.Used() != 0 {
		t.Errorf("nothing is left, and there is %v", l)
	}
}
