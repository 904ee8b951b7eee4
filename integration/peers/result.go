package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/lab/bench"
)

// result is one measurement of one server: a line of the results. In the cell "start" the
// server did nothing, and there is no report.
type result struct {
	cell
	Server string    `json:"server"`
	At     time.Time `json:"at"`
	// ReadyS is the time from the server's start until its first and last model had
	// answered, in seconds.
	ReadyS float64 `json:"ready_s"`
	// ServerS and ClientS are processor times during the run, in seconds.
	ServerS float64 `json:"server_cpu_s"`
	ClientS float64 `json:"client_cpu_s"`
	// PSSMiB is the server's memory at the end of the run.
	PSSMiB float64 `json:"pss_mib"`
	// LoadBefore is the machine's load average before the run.
	LoadBefore float64       `json:"load_before"`
	Report     *bench.Report `json:"report,omitempty"`
}

// results are the lines of one study: of one binary, one set of settings and one length of
// runs. A study that was interrupted goes on where it was.
type results struct {
	file *os.File
	// Bare is what the machine's bare sessions need.
	Bare capacity
	all  []result
}

// sumOf is the beginning of a file's checksum.
func sumOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)[:4]), nil
}

// sumOfText is the same of a text.
func sumOfText(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4])
}

// openResults opens the results in a file. measure is called for the capacity if there are
// none yet.
func openResults(path string, measure func() (capacity, error)) (*results, error) {
	r := &results{}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if r.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	if len(text) > 0 {
		if !strings.HasSuffix(string(text), "\n") { // the last line was cut
			if _, err := r.file.WriteString("\n"); err != nil {
				return nil, err
			}
		}
		return r, r.read(string(text))
	}
	if r.Bare, err = measure(); err != nil {
		return nil, err
	}
	return r, r.write(r.Bare)
}

// read reads the capacity, which is the first line, and the results. A line that was cut is
// measured again.
func (r *results) read(text string) error {
	lines := bufio.NewReader(strings.NewReader(text))
	first, _ := lines.ReadString('\n')
	if err := json.Unmarshal([]byte(first), &r.Bare); err != nil {
		return fmt.Errorf("read results: %w", err)
	}
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		var one result
		if json.Unmarshal([]byte(line), &one) == nil {
			r.all = append(r.all, one)
		}
	}
}

func (r *results) write(line any) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = r.file.Write(append(text, '\n'))
	return err
}

func (r *results) add(one result) error {
	r.all = append(r.all, one)
	return r.write(one)
}

// has reports whether a cell was measured with a server.
func (r *results) has(c cell, server string) bool {
	return slices.ContainsFunc(r.all, func(one result) bool {
		return one.Workload == c.Workload && one.Load == c.Load && one.Seed == c.Seed && one.Server == server
	})
}

// refused is how many requests were refused, failed how many had another error or no answer.
func refusedAndFailed(s bench.Summary) (refused, failed int) {
	failed = s.NoAnswer + s.Unfinished
	for _, e := range s.Errors {
		if slices.Contains(refusals, e.Code) {
			refused += e.Count
		} else {
			failed += e.Count
		}
	}
	return refused, failed
}

// share is the share in SLO of all requests, in percent: those without an answer count.
func share(s bench.Summary) float64 {
	if s.Offered == 0 {
		return 0
	}
	return 100 * float64(s.InSLO) / float64(s.Offered)
}

// shareBetween is share of the requests due between two times since the warm-up.
func shareBetween(series []bench.Point, from, to time.Duration) float64 {
	offered, in := 0, 0
	for _, p := range series {
		if p.At >= from && p.At < to {
			offered, in = offered+p.Offered, in+p.InSLO
		}
	}
	return 100 * float64(in) / float64(max(offered, 1))
}

// recovery is how long after a burst's end the requests of half a second were in SLO again
// (99 %), less than 0 if they never were.
func recovery(series []bench.Point, end time.Duration) time.Duration {
	const enough = 99
	for _, p := range series {
		if p.At >= end && shareBetween(series, p.At, p.At+2*point) >= enough {
			return p.At - end
		}
	}
	return -1
}

// point is the length of one point of a report's series.
const point = 250 * time.Millisecond

// model returns the summary of a model; zero if it was not asked for.
func (r result) model(name string) bench.Summary {
	for _, m := range r.Report.Models {
		if m.Model == name {
			return m
		}
	}
	return bench.Summary{}
}

// line says in short what came out.
func (r result) line() string {
	head := fmt.Sprintf("%s  %-22s %-12s", r.At.Format(time.TimeOnly), r.cell, r.Server)
	if r.Report == nil {
		return fmt.Sprintf("%s ready %.2f s, %.0f MiB, %.1f %% of a processor", head, r.ReadyS, r.PSSMiB, 100*r.ServerS/idleFor.Seconds())
	}
	t := r.Report.Total
	refused, failed := refusedAndFailed(t)
	text := fmt.Sprintf("%s %6.2f %% in SLO of %d, p50 %s p99 %s ms, refused %d (p50 %s ms), failed %d, late %s ms, %.0f MiB, cpu %.1f/%.1f s, load %.1f",
		head, share(t), t.Offered, ms(t.Latency.P50), ms(t.Latency.P99), refused, ms(r.Report.Refused.P50), failed, ms(r.Report.Lateness.P99), r.PSSMiB, r.ServerS, r.ClientS, r.LoadBefore)
	for _, e := range t.Errors {
		text += fmt.Sprintf(" %s:%d", e.Code, e.Count)
	}
	if len(r.Report.Models) > 1 {
		for _, m := range r.Report.Models {
			text += fmt.Sprintf(" %s:%.1f", m.Model, share(m))
		}
	}
	return text
}

// ms is a duration in milliseconds.
func ms(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.0f", float64(d)/float64(time.Millisecond))
}
