package lab

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/lab/workload"
)

// readTrace replays --trace; its first bytes determine the format.
func (w *workloadFlags) readTrace(m *made) error {
	f, err := os.Open(w.Trace)
	if err != nil {
		return fmt.Errorf("read trace: %w", err)
	}
	defer f.Close()
	head := make([]byte, len(workload.ByteOrderMark)+len(countsHead))
	n, _ := f.ReadAt(head, 0)
	if bytes.HasPrefix(bytes.TrimPrefix(head[:n], []byte(workload.ByteOrderMark)), countsHead) {
		err = w.readCounts(m, f)
	} else {
		err = w.readTimestamps(m, f)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", w.Trace, err)
	}
	return nil
}

// countsHead is the beginning of a trace of counts: the header of the Azure schema.
var countsHead = []byte("HashOwner")

// countWorkloads are the workloads that replay counts, and wholeTrace the length that
// they replay by default: a day of the data set takes long.
var countWorkloads = []string{"azure", "paper-6.5", "paper-6.6"}

const wholeTrace = 10 * time.Minute

var errNothing = errors.New("there is no request in it")

// readCounts assigns the functions of a trace to the models of the zoo, as azure does,
// or as the given section of the paper does.
func (w *workloadFlags) readCounts(m *made, r io.Reader) (err error) {
	name := cmp.Or(w.Workload, "azure")
	if !slices.Contains(countWorkloads, name) {
		return fmt.Errorf("counts for each minute are replayed by %s; %s makes its own requests", strings.Join(countWorkloads, ", "), name)
	}
	if m.options.Trace, err = workload.ReadAzure(r); err != nil {
		return err
	}
	if span(m.options.Trace) == 0 {
		return errNothing
	}
	if whole := span(m.options.Trace); w.Length == nil && name != "paper-6.6" {
		m.options.Length = min(whole, wholeTrace)
		if whole > wholeTrace {
			m.notes = append(m.notes, fmt.Sprintf("The first %v of %v; --length makes it longer.", wholeTrace, whole))
		}
	}
	m.workload, err = workload.Named(name, m.options)
	return err
}

// span returns the end of the last minute with requests.
func span(t workload.Trace) time.Duration {
	minutes := uint32(0)
	for _, f := range t {
		for _, m := range f.Minutes {
			minutes = max(minutes, m.Minute+1)
		}
	}
	return time.Duration(minutes) * time.Minute
}

// readTimestamps replays each request at its recorded time.
func (w *workloadFlags) readTimestamps(m *made, r io.Reader) (err error) {
	if w.Workload != "" || w.Copies != nil {
		return fmt.Errorf("timestamps are a workload of their own: leave %s out", cmp.Or(w.Workload, "--copies"))
	}
	if len(w.Model) > 1 {
		return errors.New("one model stands for all that the zoo does not have: give --model one path")
	}
	var unknown []string
	m.workload, err = workload.ReadTimestamps(r, func(model string) string {
		if path := zoo.Prefix + model; zoo.Find(path) != nil {
			return path
		}
		unknown = append(unknown, model)
		return w.standIn()
	}, m.options.SLO)
	if err != nil {
		return err
	}
	if len(m.workload.Streams) == 0 {
		return errNothing
	}
	if len(unknown) > 0 {
		m.notes = append(m.notes, fmt.Sprintf("%s not in the zoo: %s in its place.", others(unknown), w.standIn()))
	}
	m.workload.Length = lastOf(m.workload)
	return nil
}

// standIn returns the network that replaces a model that is not in the zoo.
func (w *workloadFlags) standIn() string { return append(slices.Clip(w.Model), "zoo/resnet50_v2")[0] }

// others names the first of some models.
func others(names []string) string {
	if n := len(names); n > 1 {
		return fmt.Sprintf("%s and %d more are", names[0], n-1)
	}
	return names[0] + " is"
}

// lastOf returns the time just after the last request of a trace, in whole milliseconds.
func lastOf(w workload.Workload) time.Duration {
	last := time.Duration(0)
	for _, s := range w.Streams {
		if at := s.Process.(workload.Times).At; len(at) > 0 {
			last = max(last, time.Duration(at[len(at)-1]))
		}
	}
	return (last/time.Millisecond + 1) * time.Millisecond
}
