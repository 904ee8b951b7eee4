package profiler

import (
	"errors"
	"fmt"
	"testing"

	"clockwork/pkg/core/measure"
	"clockwork/pkg/protocol"
)

// A store that does not answer costs seconds for each profile: a job of thousands of models
// begins nonetheless.
func TestAStoreThatDoesNotAnswerKeepsNoJobWaiting(t *testing.T) {
	silent := errors.New("no answer")
	keys := make([]measure.Wanted, 1000)
	for i := range keys {
		keys[i].Digest = fmt.Sprint(i)
	}
	for _, row := range []struct {
		fails       func(n int) bool
		asked, read int
	}{
		{func(int) bool { return false }, 1000, 1000},
		{func(int) bool { return true }, mostUnread, 0},
		{func(n int) bool { return n%mostUnread != 0 }, 1000, 334},
		{func(n int) bool { return n >= 10 }, 10 + mostUnread, 10},
	} {
		asked := 0
		profiles, err := readProfiles(keys, func(key measure.Wanted) (protocol.Profile, bool, error) {
			asked++
			if row.fails(asked - 1) {
				return protocol.Profile{}, false, silent
			}
			return protocol.Profile{Digest: key.Digest}, true, nil
		})
		if asked != row.asked || len(profiles) != row.read || (err != nil) != (row.read < len(keys)) {
			t.Errorf("asked %d times, %d profiles, %v; want %d, %d", asked, len(profiles), err, row.asked, row.read)
		}
	}
}
