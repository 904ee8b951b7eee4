package frontdoor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// An answer about requests has room for the first id at least, and names the ids that it
// leaves out.
func TestAnAnswerAboutManyRequestsFitsIntoAMessage(t *testing.T) {
	l := &live{door: &FrontDoor{}, recent: newRecent()}
	var q protocol.Question
	for i := range protocol.MaxQuestionIDs {
		q.IDs = append(q.IDs, fmt.Sprintf("id-%d", i))
		for range protocol.MaxAlike {
			l.recent.add(answered{client: q.IDs[i], outcome: outcome{code: protocol.InvalidInput, why: strings.Repeat("<", 1<<20)}, arrived: time.Now()})
		}
	}
	found, questions := 0, 0
	for len(q.IDs) > 0 {
		answer, refusal := l.answer(q)
		if refusal != nil {
			t.Fatal(refusal)
		}
		record := answer.(protocol.DoorRecord)
		if n := len(wire.EncodeBody(protocol.JSON, record)); n > protocol.MinMessage || len(record.LeftOut) >= len(q.IDs) {
			t.Fatalf("%d bytes, %d of %d ids left out", n, len(record.LeftOut), len(q.IDs))
		}
		found, questions = found+len(record.Requests), questions+1
		q.IDs = record.LeftOut
	}
	if found != protocol.MaxQuestionIDs*protocol.MaxAlike || questions < 2 {
		t.Errorf("%d requests in %d answers", found, questions)
	}
}
