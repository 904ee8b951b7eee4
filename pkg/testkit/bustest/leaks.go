package bustest

import (
	"testing"

	"go.uber.org/goleak"
)

// VerifyNoLeaks runs the tests of a package, which fail if goroutines are left at the end.
//
// A broker that stops does not wait for requests that make streams: such a stream's store is
// never closed, and its goroutines stay. They are nats-server's and do not count.
func VerifyNoLeaks(m *testing.M) {
	const broker = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction(broker+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreTopFunction(broker+"/ats.Register.func1"))
}
