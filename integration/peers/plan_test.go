package main

import (
	"slices"
	"testing"
	"time"

	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

var bare = capacity{"squeezenet": 3.3, "shufflenet": 2.6, "resnet50": 36.7}

func choiceOf(t *testing.T, env map[string]string) (choice, time.Duration) {
	t.Helper()
	c, length, err := chosen(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	return c, length
}

func TestTheEnvironmentShortensARun(t *testing.T) {
	whole, length := choiceOf(t, nil)
	if n := len(whole.cells(studyOf("w1"))); n != 16 || length != fullLength {
		t.Errorf("%d cells of %v", n, length)
	}
	short, length := choiceOf(t, map[string]string{"PEERS_SECS": "2.5", "PEERS_SEEDS": "7", "PEERS_LOADS": "0.5,2", "PEERS_ONLY": "w1,w3:clockwork,triton"})
	want := []cell{{"w1", 0.5, 7, true}, {"w1", 2, 7, true}}
	if got := short.cells(studyOf("w1")); !slices.Equal(got, want) || length != 2500*time.Millisecond {
		t.Errorf("%v of %v, want %v", got, length, want)
	}
	if got := short.cells(studyOf("w3")); !slices.Equal(got, []cell{{"w3", 1, 7, true}}) {
		t.Errorf("a workload of one load has %v", got)
	}
	if got := short.cells(studyOf("w2")); got != nil {
		t.Errorf("%v was not asked for", got)
	}
	settings := settingsOf(t)
	if !short.takes(settings["triton"]) || short.takes(settings["ray"]) {
		t.Error("other servers than those asked for")
	}
	for _, wrong := range []map[string]string{{"PEERS_ONLY": "w9"}, {"PEERS_SECS": "x"}, {"PEERS_SECS": "1,2"}, {"PEERS_LOADS": "-1"}, {"PEERS_SEEDS": "a"}} {
		if _, _, err := chosen(func(name string) string { return wrong[name] }); err == nil {
			t.Errorf("%v is accepted", wrong)
		}
	}
}

// Slow servers get some loads of the first seed, others what they are for.
func TestServersTakeTheirCells(t *testing.T) {
	c, _ := choiceOf(t, nil)
	settings := settingsOf(t)
	for name, want := range map[string]int{"clockwork": 16, "ray": 3, "clockwork-2": 0} {
		n := 0
		for _, one := range c.cells(studyOf("w1")) {
			if settings[name].takes(one) {
				n++
			}
		}
		if n != want {
			t.Errorf("%s takes %d cells of W1, want %d", name, n, want)
		}
	}
}

// Each instance of a workload is a model of its network, each another one.
func TestModelsTakeThePlaceOfInstances(t *testing.T) {
	for _, s := range studies {
		w := s.workload(bare, 1, 1, time.Second)
		all := served(w)
		seen := map[string]bool{}
		for i, in := range w.Instances() {
			n := slices.IndexFunc(names(true), func(name string) bool { return name == all[i].Name })
			if n < 0 || seen[all[i].Name] || "zoo/cpu_"+networks[n%len(networks)] != in.Path {
				t.Errorf("%s: %s is asked in place of %s", s.name, all[i].Name, in.Path)
			}
			seen[all[i].Name] = true
			if !s.many && all[i].Name != names(false)[0] {
				t.Errorf("%s asks for %s, which is not loaded", s.name, all[i].Name)
			}
		}
	}
}

// W2's popular model is m01, and the warm-up is gentle.
func TestARunHasAWarmUp(t *testing.T) {
	s := studyOf("w2")
	w := s.workload(bare, 2, 1, 100*time.Second)
	warm, counted := count(t, w)
	if w.Length != 100*time.Second+warmup {
		t.Errorf("it lasts %v", w.Length)
	}
	rate := bare.ofTwelve()
	if n := float64(len(counted)) / 100; n < 1.9*rate || n > 2.1*rate {
		t.Errorf("%.0f r/s, want twice %.0f", n, rate)
	}
	if n := float64(len(warm)) / warmup.Seconds(); n > 0.8*rate {
		t.Errorf("%.0f r/s in the warm-up, want half of %.0f", n, rate)
	}
	asked := map[string]int{}
	for _, a := range counted {
		asked[served(w)[a.Model].Name]++
	}
	if asked["m01"] < 11*asked["m12"] || asked["m01"] > 14*asked["m12"] {
		t.Errorf("m01 %d times, m12 %d times, want 12 times as often", asked["m01"], asked["m12"])
	}
}

func count(t *testing.T, w workload.Workload) (warm, counted []workload.Arrival) {
	t.Helper()
	source, err := w.Source(nil)
	if err != nil {
		t.Fatal(err)
	}
	for a, more := source.Next(); more; a, more = source.Next() {
		if a.At < protocol.Time(warmup) {
			warm = append(warm, a)
		} else {
			counted = append(counted, a)
		}
	}
	return warm, counted
}

// Each stream is in one pool; a flood does not take the quick model's places.
func TestEachStreamIsInOnePool(t *testing.T) {
	for _, s := range studies {
		in := map[int]int{}
		streams := len(s.workload(bare, 1, 1, time.Second).Streams)
		for i, p := range s.bounds(streams) {
			if p.Places <= 0 {
				t.Errorf("%s: no places", s.name)
			}
			for _, stream := range p.Streams {
				if _, twice := in[stream]; twice {
					t.Errorf("%s: stream %d is in two pools", s.name, stream)
				}
				in[stream] = i
			}
		}
		if len(in) != streams || s.name == "w4" && in[0] == in[1] {
			t.Errorf("%s: %v", s.name, in)
		}
	}
}
