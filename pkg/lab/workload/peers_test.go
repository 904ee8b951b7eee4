package workload

import (
	"testing"
	"time"
)

// The shares of the models are 1, 1/2, 1/3 and so on, by turns of the three networks.
func TestPeersW2AsksPopularModelsMost(t *testing.T) {
	w := PeersW2(Options{Seed: 1, Rate: 300})
	instances := w.Instances()
	paths := []string{squeezenet, shufflenet, resnet50}
	count := rates(t, w, 0, 1000*time.Second)
	for i, s := range w.Streams {
		if got := instances[s.Model].Path; got != paths[i%3] {
			t.Errorf("stream %d is of %s, expected %s", i, got, paths[i%3])
		}
		near(t, "stream", count[s.Model], 300_000/3.1032/float64(i+1))
	}
	if len(count) != 12 {
		t.Errorf("%d models are asked, expected 12", len(count))
	}
}

func TestPeersW3IsABurst(t *testing.T) {
	w := PeersW3(Options{Seed: 1})
	for from, rate := range map[time.Duration]float64{0: 150.5, 10 * time.Second: 903, 15 * time.Second: 150.5} {
		near(t, "rate", rates(t, w, from, from+5*time.Second)[0], 5*rate)
	}
	if w.Length != 25*time.Second {
		t.Errorf("it lasts %v", w.Length)
	}
}

func TestPeersW4FloodsAQuickModel(t *testing.T) {
	w := PeersW4(Options{Seed: 1, SLO: Within(25 * time.Millisecond)})
	count := rates(t, w, 0, 100*time.Second)
	near(t, "quick", count[0], 15050)
	near(t, "slow", count[1], 5440)
	if quick, slow := w.Streams[0].SLO[0].Value.Fixed, w.Streams[1].SLO[0].Value.Fixed; quick != 25*time.Millisecond || slow != slowSLO {
		t.Errorf("their SLOs are %v and %v", quick, slow)
	}
}

func TestTheWorkloadsOfAProcessorSaySo(t *testing.T) {
	for name, want := range map[string]bool{"peers-w1": true, "peers-w4": true, "peers-w6": true, "poisson": false, "paper-6.2": false, "none": false} {
		if got := OnProcessor(name); got != want {
			t.Errorf("%s is on a processor: %v", name, got)
		}
	}
}

func TestPeersW5HasThreeSLOs(t *testing.T) {
	w := PeersW5(Options{Seed: 1})
	count := rates(t, w, 0, 100*time.Second)
	for i, slo := range []time.Duration{25 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond} {
		near(t, "model", count[i], 30100.0/3)
		if got := w.Streams[i].SLO[0].Value.Fixed; got != slo {
			t.Errorf("SLO %v, expected %v", got, slo)
		}
	}
}

// The popularity of the models changes over the day, the sum hardly; the crowd comes and goes.
func TestPeersW6IsADayWithACrowd(t *testing.T) {
	w := PeersW6(Options{Seed: 1, Rate: 1000})
	if w.Length != 24*time.Second {
		t.Errorf("it lasts %v", w.Length)
	}
	night, noon, afternoon := rates(t, w, 0, time.Second), rates(t, w, 12*time.Second, 13*time.Second), rates(t, w, 15*time.Second, 16*time.Second)
	popular, rare := w.Streams[0].Model, w.Streams[crowdModel].Model
	share := 600 / 3.1032
	near(t, "the first model at midnight", night[popular], 1.8*share)
	near(t, "the first model at noon", noon[popular], 0.2*share)
	if before, then := noon[rare], afternoon[rare]; before > 100 || then < 1800 || then > 2200 {
		t.Errorf("a crowd of %v, before it %v", then, before)
	}
}
