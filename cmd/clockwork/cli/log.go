package cli

import (
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"clockwork/pkg/watch/terminal"
)

// LogFlags say what is logged, and how.
type LogFlags struct {
	LogLevel  string `enum:"auto,debug,info,warn,error" default:"auto" help:"What to log: debug, info, warn or error; by default info, and warn where progress is shown."`
	LogFormat string `enum:"auto,text,json" default:"auto" help:"How to log: text for people or json for programs; by default text on a terminal, and json elsewhere."`
}

// level returns the log level for a command.
func (f *LogFlags) level(command string) slog.Level {
	level := slog.LevelInfo
	switch {
	case f.LogLevel != "auto":
		_ = level.UnmarshalText([]byte(f.LogLevel)) // the enum was checked
	case command == "up" || command == "demo":
		level = slog.LevelWarn
	}
	return level
}

// format returns the log format for a file.
func (f *LogFlags) format(to *os.File) logFormat {
	tty := term.IsTerminal(int(to.Fd()))
	return logFormat{
		json:   f.LogFormat == "json" || f.LogFormat == "auto" && !tty,
		short:  tty,
		colour: tty && wantsColour(),
	}
}

// wantsColour reports whether the usual environment variables allow colours.
func wantsColour() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" }

// logFormat is the format of a log.
type logFormat struct {
	json bool
	// For text: short prints only the time of day, for people who are watching; colour
	// colours the levels.
	short, colour bool
}

func newLog(level slog.Level, format logFormat, w io.Writer) *slog.Logger {
	if format.json {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: plainDurations}))
	}
	clock := "2006-01-02T15:04:05.000Z07:00"
	if format.short {
		clock = "15:04:05.000"
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: clock, NoColor: !format.colour}))
}

// plainDurations writes durations with their unit, where slog would write a bare number.
func plainDurations(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().Round(time.Microsecond).String())
	}
	return a
}

// Screen receives log lines, and lines for people: they are printed above the bars while
// there are any.
type Screen struct {
	Log io.Writer
	// shared: the log shares the terminal with bars.
	shared bool
	Bars   atomic.Pointer[Progress]
}

// Write writes a line of the log.
func (s *Screen) Write(line []byte) (int, error) {
	if bars := s.Bars.Load(); bars != nil && s.shared {
		_, err := bars.Write(terminal.WithoutColours(line)) // a display replaces control characters
		return len(line), err
	}
	_, err := s.Log.Write(terminal.PlainColoured(line))
	return len(line), err
}

// Say shows a line to people, if there is a Progress.
func (s *Screen) Say(text string) {
	if bars := s.Bars.Load(); bars != nil {
		bars.Line(text)
	}
}
