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

func TestInstantsAreReadAsProgramsWriteThem(t *testing.T) {
	const at = 1_600_000_000 * protocol.Time(time.Second) // 2020-09-13T12:26:40Z
	for text, want := range map[string]protocol.Time{
		"0": 0, "0.5": 5e8, "9000000000": 9e18, "1600000000": at, "1600000000.000000001": at + 1, "00001600000000": at,
		// Python's and C's decimals: finer than a nanosecond is cut off.
		"1600000000.1234567890123": at + 123456789, "1600000000.9999999999": at + 999999999, "0.0000000001": 0,
		// pandas and numpy.
		"1.6e9": at, "1.6e+09": at, "1.6E9": at, "1.6000000001234568e+09": at + 123456800, "1.600000000000000000e+09": at,
		"1e-05": 10_000, "2.5e-9": 2, "1e-400": 0, "16000000000e-1": at, "0e400": 0, "123.456e0": 123456000000,
		// ISO 8601.
		"2020-09-13T12:26:40": at, "2020-09-13 12:26:40": at, "2020-09-13T12:26:40Z": at, "2020-09-13T12:26:40.5Z": at + 5e8,
		"2020-09-13T12:26:40.123456+00:00": at + 123456000, "2020-09-13 12:26:40.123456": at + 123456000, "2020-09-13T14:26:40+02:00": at,
		"2020-09-13T14:26:40+0200": at, "2020-09-13T14:26:40+02": at, "2020-09-13T08:56:40.25-03:30": at + 25e7,
		"2020-09-13T12:26:40.1234567899": at + 123456789, "1970-01-01T00:00:00Z": 0,
	} {
		if got, err := instant([]byte(text)); err != nil || got != want {
			t.Errorf("%s is %d, want %d (%v)", text, got, want, err)
		}
	}
}

// The same requests are the same workload, however their times are written and
// whoever saved the file.
func TestTheSameTraceInOtherFormsIsTheSameWorkload(t *testing.T) {
	read := func(text string) Workload {
		w, err := ReadTimestamps(strings.NewReader(text), func(m string) string { return m }, Within(time.Second))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return w
	}
	want := read("timestamp,model\n1600000000.25,a\n1600000001,b\n")
	for _, text := range []string{
		"1.60000000025e9,a\n1.600000001e9,b\n", "2020-09-13T12:26:40.25Z,a\n2020-09-13 12:26:41,b\n", "1600000000.25,a\n2020-09-13T14:26:41+02:00,b",
		"\ufefftimestamp,model\r\n1600000000.250000000000001,a\r\n1600000001,b\r\n",
	} {
		if got := read(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %+v", text, got)
		}
	}
	if trace, err := ReadAzure(strings.NewReader("\ufeff" + azureSample)); err != nil || len(trace) != 3 {
		t.Errorf("%d functions after a byte order mark: %v", len(trace), err)
	}
}

func TestFaultsOfTimestampsNameLineAndColumn(t *testing.T) {
	for want, text := range map[string]string{
		"line 1, column 1: \"x\" is no time":  "x,m\n",
		"header is timestamp,model":           "time,model\n",
		"line 2, column 1: \"timestamp\" is":  "1,m\ntimestamp,model\n",
		"line 1, column 1: \"-1\" is no time": "-1,m\n",
		"line 1, column 1: \"1.\" is no time": "1.,m\n",
		"line 1, column 1: \".5\" is no time": ".5,m\n",
		"line 1, column 1: \"1.2.3\" is no":   "1.2.3,m\n",
		"line 1, column 1: \"1e\" is no time": "1e,m\n",
		"line 1, column 1: \"1e+\" is no":     "1e+,m\n",
		"line 1, column 1: \"e5\" is no time": "e5,m\n",
		"line 1, column 1: \"1e5.5\" is no":   "1e5.5,m\n",
		"line 1, column 1: \"1e401\" is no":   "1e401,m\n",
		"line 1, column 1: \"1e18\" is after": "1e18,m\n",
		"\"9999999999\" is after the year":    "9999999999,m\n",
		"\"27670116110.5644\" is after the":   "27670116110.5644,m\n", // wraps round 64 bits
		"\"9000000000.000000001\" is after":   "9000000000.000000001,m\n",
		"\"1600000000000\" is after the":      "1600000000000,m\n",
		"\"2020-09-13\" is no date":           "2020-09-13,m\n",
		"\"2020-02-30T00:00:00\" is no":       "2020-02-30T00:00:00,m\n",
		"\"2020-09-13_00:00:00\" is no":       "2020-09-13_00:00:00,m\n",
		"\"2020-09-13T00:00:00.\" is no":      "2020-09-13T00:00:00.,m\n",
		"\"2020-09-13T00:00:00+\" is no":      "2020-09-13T00:00:00+,m\n",
		"\"2020-09-13T00:00:00+1\" is":        "2020-09-13T00:00:00+1,m\n",
		"\"2020-09-13T00:00:00+24\" is":       "2020-09-13T00:00:00+24,m\n",
		"\"2020-09-13T00:00:00+00_00\"":       "2020-09-13T00:00:00+00_00,m\n",
		"\"2020-09-13T00:00:00+00600\"":       "2020-09-13T00:00:00+00600,m\n",
		"\"2020-09-13T00:00:00 UTC\" is":      "2020-09-13T00:00:00 UTC,m\n",
		"\"1969-12-31T23:59:59Z\" is before":  "1969-12-31T23:59:59Z,m\n",
		"\"1970-01-01T00:30:00+01:00\" is":    "1970-01-01T00:30:00+01:00,m\n",
		"\"2300-01-01T00:00:00Z\" is after":   "2300-01-01T00:00:00Z,m\n",
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
	f.Add([]byte("\ufeffHashOwner,HashApp,HashFunction,Trigger,1\no,a,f,t,1\n"))
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
	for _, seed := range []string{"timestamp,model\n0,a\n0.5,b\n", "1,a\r\n1,a", "8999999999.999999999,a\n", "0,a\n0,a,\n", "1.5", "\n\n,\n",
		"1600000000.1234567890123,a\n1.6000000002e+09,b\n", "1e-400,a\n0e400,a\n", "2020-09-13T12:26:40.123456+00:00,a\n2020-09-13 12:26:41,a\n",
		"2020-09-13T12:26:40Z,a\n2020-09-13T14:26:40.999999999999+0200,b\n", "2020-09-13T12:26:40-00:30,a", "\ufefftimestamp,model\n1,a", "1970-01-01T00:00:00+23:59,a",
	} {
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
