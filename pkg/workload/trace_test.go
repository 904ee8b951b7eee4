package workload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"clockwork/pkg/protocol"
)

const azureSample = `HashOwner,HashApp,HashFunction,Trigger,1,2,3
o1,a1,f1,http,0,5,100
o1,a1,f2,timer,1,0,0
o2,a2,f3,queue,0,0,0
`

func TestAzureTraceIsReadAndReplayedOverInstancesInTurn(t *testing.T) {
	trace, err := ReadAzure(strings.NewReader(azureSample))
	if err != nil {
		t.Fatal(err)
	}
	want := Trace{
		{"o1", "a1", "f1", "http", []Count{{1, 5}, {2, 100}}},
		{"o1", "a1", "f2", "timer", []Count{{0, 1}}},
		{"o2", "a2", "f3", "queue", nil},
	}
	if !reflect.DeepEqual(trace, want) {
		t.Fatalf("got %+v", trace)
	}
	got := map[[2]int]int{} // by model and minute
	for _, a := range all(t, trace.Replay([]Load{{resnet, "m", 2}}, nil, nil), 0) {
		got[[2]int{a.Model, int(a.At / protocol.Time(time.Minute))}]++
	}
	if len(got) != 3 || got[[2]int{0, 1}] != 5 || got[[2]int{0, 2}] != 100 || got[[2]int{1, 0}] != 1 {
		t.Errorf("arrivals by model and minute: %v", got)
	}
	if later := trace.From(2); later[0].Invocations() != 100 || later[0].Minutes[0].Minute != 0 || later[1].Invocations() != 0 {
		t.Errorf("from minute 2 on: %+v", later)
	}
}

func TestAWholeDayIsReadAsItWasWritten(t *testing.T) {
	trace, err := Generate(Shape{Functions: 300, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := trace.WriteAzure(&file, DayMinutes); err != nil {
		t.Fatal(err)
	}
	again, err := ReadAzure(&file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range trace {
		if fmt.Sprint(again[i]) != fmt.Sprint(trace[i]) {
			t.Fatalf("function %d is %+v, was %+v", i, again[i], trace[i])
		}
	}
}

func TestAWriterThatFailsIsAnError(t *testing.T) {
	broken, w := io.Pipe()
	broken.CloseWithError(errors.New("disk full"))
	if err := (Trace{}).WriteAzure(w, 3); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}

func TestFaultsOfAzureTracesNameLineAndColumn(t *testing.T) {
	head := "HashOwner,HashApp,HashFunction,Trigger,1,2\n"
	long := strings.Repeat("1", MaxLine+1)
	for want, text := range map[string]string{
		"line 1: it has no header":        "",
		"line 1, column 2: \"App\" in":    "HashOwner,App\n",
		"line 1, column 4: the header":    "HashOwner,HashApp,HashFunction,Trigger\n",
		"line 1, column 6: \"3\" in":      "HashOwner,HashApp,HashFunction,Trigger,1,3\n",
		"line 1, column 1445: a day":      header(1441),
		"line 3, column 6: \"x\" is no":   head + "o,a,f,t,1,2\no,a,f,t,1,x\n",
		"line 2, column 5: \"-1\" is":     head + "o,a,f,t,-1,2\n",
		"line 2, column 5: \"\" is no":    head + "o,a,f,t,,2\n",
		"line 2, column 6: \"100000001\"": head + "o,a,f,t,1,100000001\n",
		"line 2, column 5: \"184467440":   head + "o,a,f,t,18446744073709551617,1\n",
		"line 2, column 5: the line ends": head + "o,a,f,t,1\n",
		"line 2, column 7: the header":    head + "o,a,f,t,1,2,3\n",
		"line 2, column 2: \"a b\" is":    head + "o,a b,f,t,1,2\n",
		"line 2, column 1: \"\\xff\"":     head + "\xff,a,f,t,1,2\n",
		"line 2: longer than":             head + long,
	} {
		if _, err := ReadAzure(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := ReadAzure(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

func header(minutes int) string {
	text := strings.Join(azureFields[:], ",")
	for m := range minutes {
		text += fmt.Sprint(",", m+1)
	}
	return text + "\n"
}

func TestTimestampsAreReplayedFromTheFirst(t *testing.T) {
	text := "timestamp,model\n10.5,a\n10.500000001,b\n\n11,a\n11.25,a\n"
	w, err := ReadTimestamps(strings.NewReader(text), func(model string) string { return "zoo/" + model }, Within(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, a := range all(t, w, 0) {
		got += fmt.Sprintf("%d %s %v\n", a.At, w.Instances()[a.Model], a.SLO)
	}
	if want := "0 {a zoo/a} 1s\n1 {b zoo/b} 1s\n500000000 {a zoo/a} 1s\n750000000 {a zoo/a} 1s\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestFaultsOfTimestampsNameLineAndColumn(t *testing.T) {
	for want, text := range map[string]string{
		"line 1, column 1: \"x\" are":         "x,m\n",
		"line 2, column 1: \"timestamp\" are": "1,m\ntimestamp,model\n",
		"line 1, column 1: \"-1\" are":        "-1,m\n",
		"line 1, column 1: \"1e3\" are":       "1e3,m\n",
		"line 1, column 1: \"1.\" are":        "1.,m\n",
		"line 1, column 1: \".5\" are":        ".5,m\n",
		"line 1, column 1: \"1.2.3\" are":     "1.2.3,m\n",
		"line 1, column 1: \"9999999999\"":    "9999999999,m\n",
		"line 1, column 1: \"0.1234567890\"":  "0.1234567890,m\n",
		"line 2, column 1: 1.9 is earlier":    "2,m\n1.9,m\n",
		"line 1, column 2: \"M\" is no model": "1,M\n",
		"line 1, column 1: \"\" is no model":  "1\n",
		"line 1, column 3: a line is":         "1,m,2\n",
		"line 1: longer":                      strings.Repeat("1", MaxLine+1),
	} {
		_, err := ReadTimestamps(strings.NewReader(text), func(string) string { return "" }, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// FuzzAzure: whatever is read can be written and read again, and is sound.
func FuzzAzure(f *testing.F) {
	f.Add([]byte(azureSample))
	f.Add([]byte("HashOwner,HashApp,HashFunction,Trigger,1\n,,,,0"))
	f.Add([]byte("HashOwner,HashApp,HashFunction,Trigger,1,2\r\no,a,f,t,100000000,0\r\n\r\n"))
	f.Add([]byte("HashOwner,HashApp,HashFunction,Trigger,1\no,a,f,\"t\",1\n"))
	f.Add([]byte("HashOwner,HashApp,HashFunction,Trigger,01\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		trace, err := ReadAzure(bytes.NewReader(text))
		if err != nil {
			namesALine(t, err)
			return
		}
		var file bytes.Buffer
		if err := trace.WriteAzure(&file, DayMinutes); err != nil {
			t.Fatal(err)
		}
		again, err := ReadAzure(&file)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(trace) {
			t.Fatalf("read %+v, then %+v (%v)", trace, again, err)
		}
		if w := trace.Replay([]Load{{resnet, "m", 2}}, nil, nil); len(w.Streams) > 0 && w.Validate() != nil {
			t.Fatal(w.Validate())
		}
	})
}

// FuzzTimestamps: what is read is a sound workload of as many arrivals.
func FuzzTimestamps(f *testing.F) {
	for _, seed := range []string{"timestamp,model\n0,a\n0.5,b\n", "1,a\r\n1,a", "8999999999.999999999,a\n", "0,a\n0,a,\n", "1.5", "\n\n,\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		w, err := ReadTimestamps(bytes.NewReader(text), func(m string) string { return m }, nil)
		if err != nil {
			namesALine(t, err)
			return
		}
		if len(w.Streams) == 0 {
			return
		}
		if got, lines := len(all(t, w, 0)), bytes.Count(text, []byte{'\n'})+1; got < 1 || got > lines {
			t.Fatalf("%d arrivals of %d lines", got, lines)
		}
	})
}

func namesALine(t *testing.T, err error) {
	t.Helper()
	if !strings.Contains(err.Error(), "line ") {
		t.Fatalf("the error names no line: %v", err)
	}
}
