package policies

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

func TestNewMakesEveryPolicy(t *testing.T) {
	if want := []string{"aimd", "clockwork", "deferred", "echo", "faithful", "fifo", "simple"}; !slices.Equal(Names(), want) {
		t.Errorf("the names are %v, expected %v", Names(), want)
	}
	for _, name := range Names() {
		config := Defaults()
		config.Without = Improvements()
		if _, err := New(name, config); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	unknown, zero := Defaults(), Config{}
	unknown.Without = []string{"edf", "luck"}
	for _, c := range []struct {
		name   string
		config Config
		says   string
	}{
		{"lottery", Defaults(), "none is called \"lottery\" (aimd, clockwork, deferred,"},
		{"clockwork", unknown, "no improvement is called \"luck\"; expected some of any, back, bounded, early, edf,"},
		{"simple", unknown, "no improvement is called \"luck\""},
		{"fifo", zero, "configure fifo: outstanding is 0; it must be at least 1"},
	} {
		if _, err := New(c.name, c.config); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.says)
		}
	}
}

// What is the laboratory's, a scheduler service does not run.
func TestTheCoreDoesNotKnowTheLaboratory(t *testing.T) {
	for name := range laboratory {
		if _, err := sched.New(name, sched.Defaults()); err == nil {
			t.Errorf("sched.New makes %s", name)
		}
	}
}

// Each improvement is one of policy clockwork's; without all of them it has the
// original's rules, with its own constants.
func TestImprovementsAreClockworks(t *testing.T) {
	bare, _ := sched.PlannerOptions("clockwork")
	for _, name := range Improvements() {
		before := bare
		if improvements[name](&bare); reflect.DeepEqual(before, bare) {
			t.Errorf("%s switches nothing off", name)
		}
	}
	original, _ := sched.PlannerOptions("faithful")
	original.Original = false
	if !reflect.DeepEqual(bare, original) {
		t.Errorf("without improvements it is %+v, expected %+v", bare, original)
	}
}

func TestAIMDFollowsTheLatency(t *testing.T) {
	bound := newAIMD()
	for i, c := range []struct {
		batch int
		late  bool
		most  int
	}{
		{1, false, 2}, {2, false, 3}, {2, false, 3}, // a batch that was not full says nothing
		{3, false, 4}, {4, false, 4}, // the model runs no more
		{4, true, 3}, {3, true, 3}, {3, true, 2}, // 3.6, 3.24, 2.916
		{2, false, 3}, {1, true, 3}, // 3.916, 3.524
	} {
		bound.Observe(sched.Execution{Model: 3, Batch: c.batch, Limit: 4, Late: c.late})
		if most := bound.Most(3); most != c.most {
			t.Errorf("after execution %d a batch has %d items at most, expected %d", i+1, most, c.most)
		}
	}
	for range 50 {
		bound.Observe(sched.Execution{Model: 3, Batch: 1, Limit: 4, Late: true})
	}
	if most := bound.Most(3); most != 1 {
		t.Errorf("after many late executions it has %d items at most, expected 1", most)
	}
	if most := bound.Most(5); most != 1 {
		t.Errorf("a model that has not run has %d items at most, expected 1", most)
	}
}

// A batch of 10 ms that has to begin at 50 ms has to end at 60; with one item more it
// takes 12, so it can wait until 48, and is sent 3 ms before that.
func TestDeferredWaitsUntilOneMoreWouldBeLate(t *testing.T) {
	at := func(ms int) protocol.Time { return protocol.Time(0).Add(time.Duration(ms) * time.Millisecond) }
	b := sched.GrowingBatch{Latest: at(50), Takes: 10 * time.Millisecond, TakesMore: 12 * time.Millisecond, Ahead: 3 * time.Millisecond}
	if until := untilItMustBegin(b); until != at(45) {
		t.Errorf("it waits until %v, expected %v", until, at(45))
	}
}
