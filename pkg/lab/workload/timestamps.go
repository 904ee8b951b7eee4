package workload

import (
	"fmt"
	"io"
	"iter"

	"clockwork/pkg/protocol"
)

// These bound a trace of timestamps.
const (
	MaxRequests = 50_000_000
	MaxTraced   = 1 << 16 // models
)

// Request is one line of a trace: its time in nanoseconds on the trace's own
// clock, and its model.
type Request struct {
	At    protocol.Time
	Model string
}

// Timestamps iterates over the requests of a file of lines timestamp,model; the
// header timestamp,model may precede them. Timestamps are seconds or dates (see
// instant) and never decrease. The iterator holds one line at a time and ends
// with the first error, which names line and column.
func Timestamps(r io.Reader) iter.Seq2[Request, error] {
	return func(yield func(Request, error) bool) {
		l, names, last := newLines(r), map[string]string{}, protocol.Time(0)
		var err error
		for err == nil && l.next() {
			if l.line == 1 && string(l.rest) == "timestamp,model" {
				continue
			}
			var q Request
			if q, err = readRequest(l, names, last); err == nil && !yield(q, nil) {
				return
			}
			last = q.At
		}
		if err == nil {
			err = l.err()
		}
		if err != nil {
			yield(Request{}, fmt.Errorf("read trace of timestamps: %w", err))
		}
	}
}

func readRequest(l *lines, names map[string]string, last protocol.Time) (Request, error) {
	text, _ := l.field()
	at, err := instant(text)
	if err != nil && l.line == 1 {
		return Request{}, l.fault("%v; a header is timestamp,model", err)
	}
	if err != nil {
		return Request{}, l.fault("%v", err)
	}
	if at < last {
		return Request{}, l.fault("%s is earlier than the line before it: sort the trace", text)
	}
	text, _ = l.field()
	name, known := names[string(text)]
	if !known {
		name = string(text)
		if !protocol.ValidName(name) {
			return Request{}, l.fault("%.80q is no model name: expected 1 to %d of [a-z0-9_-]", text, protocol.MaxName)
		}
		if len(names) == MaxTraced {
			return Request{}, l.fault("%s is one model more than %d", name, MaxTraced)
		}
		names[name] = name
	}
	if _, more := l.field(); more {
		return Request{}, l.fault("a line is timestamp,model")
	}
	return Request{at, name}, nil
}

// ReadTimestamps makes a workload of such a trace, with at most MaxRequests
// requests. The first request is at the start; each model name is one instance
// of the model at the path that load returns.
func ReadTimestamps(r io.Reader, load func(model string) (path string), slo Schedule[SLO]) (Workload, error) {
	w := Workload{Name: "timestamps"}
	places := map[string]int{}
	var times [][]protocol.Time
	var first protocol.Time
	n := 0
	for q, err := range Timestamps(r) {
		if n++; err != nil {
			return Workload{}, err
		} else if n > MaxRequests {
			return Workload{}, fmt.Errorf("read trace of timestamps: more than %d requests", MaxRequests)
		}
		i, known := places[q.Model]
		if !known {
			i, places[q.Model] = len(times), len(times)
			times = append(times, nil)
			w.Loads = append(w.Loads, Load{Path: load(q.Model), Name: q.Model, Copies: 1})
		}
		if n == 1 {
			first = q.At
		}
		times[i] = append(times[i], q.At-first)
	}
	for i, at := range times {
		w.Streams = append(w.Streams, Stream{Seed: uint64(i), Model: i, Process: Times{at}, SLO: slo})
	}
	return w, nil
}
