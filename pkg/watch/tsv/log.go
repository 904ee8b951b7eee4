package tsv

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"clockwork/pkg/watch"
)

// Config says where a log is written.
type Config struct {
	Path string
	// Rotate is the size in bytes from which the file is renamed to Path.1, the previous
	// one to Path.2, and so on up to Keep, at least 1; 0 disables rotation.
	Rotate int64
	Keep   int
}

const (
	// flushAfter is the longest time that a line waits before it is written.
	flushAfter = 500 * time.Millisecond
	// maxWaiting is how many bytes may wait to be written before lines are lost.
	maxWaiting = 8 << 20
	// spareRoom is the most memory, in bytes, kept while no lines wait.
	spareRoom = 1 << 20
	// reportEvery is the minimum interval between reports of lost lines.
	reportEvery = 10 * time.Second
)

// Log is a log in a file. Any goroutine may put lines into it, until Close.
type Log struct {
	log    *slog.Logger
	period *watch.Period
	lost   atomic.Int64

	mu      sync.Mutex
	waiting []byte // whole lines
	spare   []byte

	// Owned by the period's goroutine.
	file     *file
	failing  bool
	reported struct { // lost lines reported so far
		count int64
		at    time.Time
	}
}

// open opens a log with these columns.
func open(c Config, columns []string, log *slog.Logger) (*Log, error) {
	f := &file{Config: c, header: strings.Join(columns, "\t") + "\n", log: log}
	if err := f.open(); err != nil {
		return nil, err
	}
	l := &Log{log: log.With("file", c.Path), file: f}
	l.period = watch.NewPeriod(flushAfter, func(_, now time.Time) { l.flush(now) })
	return l, nil
}

// Lost returns how many lines have been lost.
func (l *Log) Lost() int64 { return l.lost.Load() }

// Close writes the waiting lines and closes the file.
func (l *Log) Close() error {
	l.period.Close()
	l.reportLoss(time.Now(), true)
	return l.file.close()
}

// put adds the line of an event, or counts it as lost if too many bytes are waiting.
func put[Event any](l *Log, event *Event, appendLine func([]byte, *Event) []byte) {
	l.mu.Lock()
	waits := len(l.waiting)
	if waits < maxWaiting {
		l.waiting = appendLine(l.waiting, event)
	}
	l.mu.Unlock()
	if waits >= maxWaiting {
		l.lost.Add(1)
	}
	l.period.Begin()
	if waits > maxWaiting/2 {
		l.period.Hurry()
	}
}

// flush writes the waiting lines.
func (l *Log) flush(now time.Time) {
	l.mu.Lock()
	lines := l.waiting
	l.waiting, l.spare = l.spare[:0], nil
	l.mu.Unlock()
	if err := l.file.write(lines); err != nil {
		l.lost.Add(int64(bytes.Count(lines, []byte{'\n'})))
		if !l.failing {
			l.log.Error("log file cannot be written; lines are lost until it can", "error", err)
		}
		l.failing = true
	} else if l.failing {
		l.failing = false
		l.log.Warn("log is written again")
	}
	if !l.failing {
		l.reportLoss(now, false)
	}
	if cap(lines) <= spareRoom {
		l.mu.Lock()
		l.spare = lines
		l.mu.Unlock()
	}
}

// reportLoss logs the lines lost since the last report, at the end without delay.
func (l *Log) reportLoss(now time.Time, end bool) {
	lost := l.Lost()
	if lost == l.reported.count || now.Sub(l.reported.at) < reportEvery && !end {
		return
	}
	l.log.Warn("log lines were lost", "count", lost-l.reported.count, "total", lost)
	l.reported.count, l.reported.at = lost, now
}
