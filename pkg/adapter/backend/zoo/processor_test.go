package zoo

import (
	"testing"
	"time"
)

// What makes a processor a case of its own: a batch takes at least as long as its items one
// by one.
func TestBatchesGainNothingOnAProcessor(t *testing.T) {
	for _, name := range []string{"cpu_squeezenet", "cpu_shufflenet", "cpu_resnet50"} {
		n := Find(Prefix + name)
		for _, b := range []int{2, 4, 8, 16} {
			if item := n.Execution(b) / time.Duration(b); float64(n.Execution(b)) < 0.97*float64(b)*float64(n.Execution(1)) {
				t.Errorf("%s: an item of a batch of %d takes %v, alone %v", name, b, item, n.Execution(1))
			}
		}
	}
}
