package bus

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// serverLog writes what an embedded server says to our log. Clients can cause its lines at
// any rate, so there is at most one warning or error a second; it says how many there were.
type serverLog struct {
	log      *slog.Logger
	warnings logLimiter
	errors   logLimiter
}

// slowConsumer is how the notices begin that a connection does not take what it is sent:
// the server is about to close it, or has just not closed it.
const slowConsumer = "Slow Consumer"

// Noticef implements server.Logger.
func (l *serverLog) Noticef(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if strings.Contains(text, slowConsumer) {
		l.warn(text)
		return
	}
	l.log.Debug("the broker says", "text", text) // text is never the message: it names what clients send
}

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, args ...any) { l.warn(fmt.Sprintf(format, args...)) }

func (l *serverLog) warn(text string) {
	if n := l.warnings.Add(time.Now()); n > 0 {
		l.log.Warn("the broker warns", "count", n, "latest", text)
	}
}

// Errorf implements server.Logger.
func (l *serverLog) Errorf(format string, args ...any) {
	if n := l.errors.Add(time.Now()); n > 0 {
		l.log.Error("the broker reports an error", "count", n, "latest", fmt.Sprintf(format, args...))
	}
}

// Fatalf implements server.Logger. The server ends by itself.
func (l *serverLog) Fatalf(format string, args ...any) {
	l.log.Error("the broker fails", "error", fmt.Sprintf(format, args...))
}

// Debugf implements server.Logger; the server does not call it, as Tracef.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (l *serverLog) Tracef(string, ...any) {}
