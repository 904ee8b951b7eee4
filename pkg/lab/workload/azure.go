package workload

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
)

// These bound a trace in the Azure schema. A day of the data set has about
// 46,000 functions.
const (
	DayMinutes   = 1440
	MaxFunctions = 1 << 18
	MaxHash      = 128
)

// Function is one function's day: its number of invocations in each minute.
// Owner, App and Name are hashes in the data set.
type Function struct {
	Owner, App, Name, Trigger string
	Minutes                   []Count
}

// Invocations returns the total number of invocations.
func (f Function) Invocations() int {
	n := 0
	for _, m := range f.Minutes {
		n += int(m.N)
	}
	return n
}

// Trace is a set of functions.
type Trace []Function

// azureFields are the columns before the minutes.
var azureFields = [...]string{"HashOwner", "HashApp", "HashFunction", "Trigger"}

// Azure iterates over the functions of a file
// invocations_per_function_md.anon.dNN.csv of the Azure Functions trace of 2019
// (Shahrad et al., ATC 2020): a header
// HashOwner,HashApp,HashFunction,Trigger,1,...,1440 and a line per function. A
// header that ends at an earlier minute makes a shorter trace. Azure holds one
// line at a time and ends with the first error, which names line and column.
func Azure(r io.Reader) iter.Seq2[Function, error] {
	return func(yield func(Function, error) bool) {
		l := newLines(r)
		minutes, err := readAzureHeader(l)
		for err == nil && l.next() {
			var f Function
			if f, err = readFunction(l, minutes); err == nil && !yield(f, nil) {
				return
			}
		}
		if err == nil {
			err = l.err()
		}
		if err != nil {
			yield(Function{}, fmt.Errorf("read azure trace: %w", err))
		}
	}
}

// ReadAzure reads a whole file, at most MaxFunctions functions.
func ReadAzure(r io.Reader) (Trace, error) {
	var t Trace
	for f, err := range Azure(r) {
		if err != nil {
			return nil, err
		}
		if t = append(t, f); len(t) > MaxFunctions {
			return nil, fmt.Errorf("read azure trace: more than %d functions", MaxFunctions)
		}
	}
	return t, nil
}

// readAzureHeader returns the number of minutes.
func readAzureHeader(l *lines) (int, error) {
	if !l.next() {
		if err := l.err(); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("line 1: it has no header")
	}
	minutes := 0
	for text, more := l.field(); more; text, more = l.field() {
		want := strconv.Itoa(minutes + 1)
		if l.column <= len(azureFields) {
			want = azureFields[l.column-1]
		} else if minutes++; minutes > DayMinutes {
			return 0, l.fault("a day has %d minutes", DayMinutes)
		}
		if string(text) != want {
			return 0, l.fault("%.40q in the place of %s", text, want)
		}
	}
	if minutes == 0 {
		return 0, l.fault("the header has no minutes")
	}
	return minutes, nil
}

func readFunction(l *lines, minutes int) (Function, error) {
	var f Function
	for _, to := range []*string{&f.Owner, &f.App, &f.Name, &f.Trigger} {
		text, ok := l.field()
		if !ok || !printable(text, MaxHash) {
			return f, l.fault("%.40q is no field of visible ASCII up to %d bytes", text, MaxHash)
		}
		*to = string(text)
	}
	for m := range minutes {
		text, ok := l.field()
		if !ok {
			return f, l.fault("the line ends before minute %d of %d", m+1, minutes)
		}
		n, ok := whole(text, MaxCount)
		if !ok {
			return f, l.fault("%.40q is no count up to %d", text, MaxCount)
		}
		if n > 0 {
			f.Minutes = append(f.Minutes, Count{uint32(m), uint32(n)})
		}
	}
	if _, more := l.field(); more {
		return f, l.fault("the header has fewer columns")
	}
	f.Minutes = slices.Clip(f.Minutes)
	return f, nil
}

// WriteAzure writes the first minutes of a trace in the same schema.
func (t Trace) WriteAzure(w io.Writer, minutes int) error {
	out := bufio.NewWriter(w)
	for _, name := range azureFields {
		out.WriteString(name + ",")
	}
	for m := range minutes {
		writeCount(out, m, m+1)
	}
	for _, f := range t {
		fmt.Fprintf(out, "\n%s,%s,%s,%s,", f.Owner, f.App, f.Name, f.Trigger)
		left := f.Minutes
		for m := range minutes {
			n := 0
			if len(left) > 0 && int(left[0].Minute) == m {
				n, left = int(left[0].N), left[1:]
			}
			writeCount(out, m, n)
		}
	}
	out.WriteByte('\n')
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write azure trace: %w", err)
	}
	return nil
}

func writeCount(out *bufio.Writer, minute, n int) {
	if minute > 0 {
		out.WriteByte(',')
	}
	out.Write(strconv.AppendInt(out.AvailableBuffer(), int64(n), 10))
}

// From returns the trace from a minute on.
func (t Trace) From(minute int) Trace {
	later := make(Trace, len(t))
	for i, f := range t {
		var rest []Count
		for _, m := range f.Minutes {
			if int(m.Minute) >= minute {
				rest = append(rest, Count{m.Minute - uint32(minute), m.N})
			}
		}
		f.Minutes = rest
		later[i] = f
	}
	return later
}

// Replay returns a workload with one stream per function, Poisson within the
// minutes, over the instances of loads in turn (paper, section 6.5). scale
// multiplies the counts; nil keeps them.
func (t Trace) Replay(loads []Load, scale Schedule[float64], slo Schedule[SLO]) Workload {
	w := Workload{Name: "replay", Loads: loads}
	n := len(w.Instances())
	for i, f := range t {
		if n > 0 && len(f.Minutes) > 0 {
			w.Streams = append(w.Streams, Stream{Seed: uint64(i), Model: i % n, Process: Counts{Minutes: f.Minutes, Scale: scale}, SLO: slo})
		}
	}
	return w
}
