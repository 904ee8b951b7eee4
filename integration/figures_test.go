package integration

import (
	"encoding/json"
	"flag"
	"os"
	"testing"

	"clockwork/integration/figures"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

var recordTo = flag.String("record", "", "append the figures of every cell to this file, a JSON document a line")

// tell prints the result of a cell in one machine-readable line, and records it
// for the table of docs/guarantees.md. soon is the effect for clients that wait
// no longer than promptly.
func tell(t *testing.T, cell string, e, soon chaos.Effect) {
	t.Helper()
	c := figures.Cell{Test: t.Name(), Cell: cell, Failed: t.Failed(), Sent: e.Sent, Codes: map[protocol.Code]int{}, Late: e.Late,
		Unsent: e.Unsent, Unanswered: e.Unanswered, Duplicates: e.Duplicates, Delayed: soon.Lost}
	for code, n := range e.Errors {
		c.Codes[code] = n
	}
	c.Codes[protocol.OK] = e.OK + e.Late
	if soon.Before > 0 && soon.Healed {
		seconds := soon.Heal.Seconds()
		c.HealS = &seconds
	}
	line, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("figures %s", line)
	if *recordTo == "" {
		return
	}
	file, err := os.OpenFile(*recordTo, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(append(line, '\n')); err != nil {
		t.Error(err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
}
