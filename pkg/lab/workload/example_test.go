package workload_test

import (
	"fmt"
	"time"

	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// A driver without a clock: every request is answered after 5 ms.
func Example() {
	w, err := workload.Named("paper-6.1", workload.Options{Copies: 2, Clients: 1, Length: 12 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	source, err := w.Source(nil)
	if err != nil {
		panic(err)
	}
	instances := w.Instances()
	var sent []workload.Arrival // and not answered, oldest first
	for {
		answer := protocol.Never
		if len(sent) > 0 {
			answer = sent[0].At.Add(5 * time.Millisecond)
		}
		if source.Peek() == protocol.Never && answer == protocol.Never {
			return
		}
		if answer < source.Peek() {
			source.Done(sent[0], answer)
			sent = sent[1:]
			continue
		}
		a, _ := source.Next()
		fmt.Println(a.At, instances[a.Model].Name, a.SLO)
		sent = append(sent, a)
	}
	// Output:
	// 0.000ms resnet50_v2-1 100ms
	// 0.000ms resnet50_v2-2 100ms
	// 5.000ms resnet50_v2-1 100ms
	// 5.000ms resnet50_v2-2 100ms
	// 10.000ms resnet50_v2-1 100ms
	// 10.000ms resnet50_v2-2 100ms
}
