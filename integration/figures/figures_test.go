package figures

import (
	"strings"
	"testing"
)

const recorded = `{"test":"T/a","cell":"a/kill","sent":10,"codes":{"OK":8,"WORKER_LOST":1},"unanswered":1,"delayed":3,"heal_s":0.6}
{"test":"T/b","cell":"b/pause","sent":5,"codes":{"OK":5},"heal_s":null}
{"test":"T/a","cell":"a/kill","sent":10,"codes":{"OK":7,"DEADLINE_EXCEEDED":2,"WORKER_LOST":1},"delayed":5,"heal_s":0.9}
{"test":"T/a","cell":"a/kill","sent":10,"codes":{"OK":10},"delayed":0,"heal_s":0.1}
`

func TestRunsOfACellAreARow(t *testing.T) {
	cells, err := Read(strings.NewReader(recorded))
	if err != nil {
		t.Fatal(err)
	}
	document, err := Put("above\n"+Begin+"\nold\n"+End+"\nbelow\n", Begin, End, Table(cells))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"above\n" + Begin + "\n| struck",
		"| a/kill | 3 | 30 | 25 | 2 `DEADLINE_EXCEEDED`, 2 `WORKER_LOST` | 1 |  | 3 / 5 | 0.6 / 0.9 s |\n",
		"| b/pause | 1 | 5 | 5 |  |  |  |  |  |\n" + End + "\nbelow\n",
	} {
		if !strings.Contains(document, want) {
			t.Errorf("no %q in\n%s", want, document)
		}
	}
	if strings.Contains(document, "old") {
		t.Error("the old table is there yet")
	}
	if _, err := Put("nothing", Begin, End, ""); err == nil {
		t.Error("a document without a place for it is accepted")
	}
	if _, err := Read(strings.NewReader("{")); err == nil {
		t.Error("half a line is accepted")
	}
}
