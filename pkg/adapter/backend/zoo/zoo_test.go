package zoo

import (
	"testing"
	"time"
)

func TestBatchSizesBetweenTheMeasuredOnesAreInterpolated(t *testing.T) {
	n := Network{exec: measured([]time.Duration{10, 20, 40, 80, 160})}
	for batch, want := range map[int]time.Duration{1: 10, 2: 20, 3: 30, 4: 40, 6: 60, 12: 120, 16: 160} {
		if got := n.Execution(batch); got != want {
			t.Errorf("batch %d takes %d, want %d", batch, got, want)
		}
	}
}

func TestNetworksAreFoundByTheirPaths(t *testing.T) {
	for _, path := range Paths() {
		if n := Find(path); n == nil || Prefix+n.Name != path {
			t.Errorf("%s leads to %+v", path, n)
		}
	}
	for _, path := range []string{"resnet50_v2", "zoo/nothing", "zoo/", ""} {
		if n := Find(path); n != nil {
			t.Errorf("%q leads to %s", path, n.Name)
		}
	}
}
