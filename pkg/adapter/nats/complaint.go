package bus

import (
	"log/slog"
	"time"
)

// The first repetitions of a Complaint are a second apart, the later ones a minute.
const (
	complainFirst = time.Second
	complainLast  = time.Minute
)

// Complaint logs a failure that repeats, many times a second perhaps, on few lines: at
// once, and then ever more rarely while the failure stays the same. Its zero value is
// ready; one goroutine may use it.
type Complaint struct {
	text  string
	every time.Duration
	next  time.Time
	count int // since the last line
}

// Warn logs a failure, if it is time to.
func (c *Complaint) Warn(log *slog.Logger, now time.Time, message string, err error, more ...any) {
	text := message + err.Error()
	if text != c.text {
		*c = Complaint{text: text}
	}
	c.count++
	if now.Before(c.next) {
		return
	}
	more = append(more, "error", err)
	if c.count > 1 {
		more = append(more, "times", c.count)
	}
	log.Warn(message, more...)
	c.every = min(max(complainFirst, 2*c.every), complainLast)
	c.next, c.count = now.Add(c.every), 0
}
