package serve

import (
	"log/slog"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/watch"
	"clockwork/pkg/watch/tsv"
)

// RequestLogFlags are for commands with a front door.
type RequestLogFlags struct {
	RequestLog string `placeholder:"FILE" help:"Write a line of each request into FILE: the original's request log, tab-separated." group:"Telemetry"`
}

// ActionLogFlags are for commands with a scheduler.
type ActionLogFlags struct {
	ActionLog string `placeholder:"FILE" help:"Write a line of each action into FILE: the original's action log, tab-separated." group:"Telemetry"`
}

// RotateFlags are for commands with one of these logs.
type RotateFlags struct {
	LogRotate SizeOrNone `default:"1GiB" placeholder:"SIZE" help:"Put such a log aside as FILE.1 from this size on, by default 1GiB; 0 for never." group:"Telemetry"`
	LogKeep   int        `default:"5" help:"How many of them to keep, FILE.1 being the latest." group:"Telemetry"`
}

// at returns a log's configuration.
func (f RotateFlags) at(path string) (tsv.Config, error) {
	if f.LogKeep < 1 {
		return tsv.Config{}, cli.Usagef("--log-keep is %d; it must be at least 1", f.LogKeep)
	}
	return tsv.Config{Path: path, Rotate: int64(f.LogRotate), Keep: f.LogKeep}, nil
}

// OpenRequestLog returns the opener of the request log.
func (f RequestLogFlags) OpenRequestLog(rotate RotateFlags) opener {
	return rotate.opener(f.RequestLog, tsv.Requests)
}

// OpenActionLog returns the opener of the action log.
func (f ActionLogFlags) OpenActionLog(rotate RotateFlags) opener {
	return rotate.opener(f.ActionLog, tsv.Actions)
}

func (f RotateFlags) opener(path string, open func(tsv.Config, *watch.Hub, *slog.Logger) (*tsv.Log, error)) opener {
	return func(hub *watch.Hub, log *slog.Logger) (listener, error) {
		config, err := f.at(path)
		if err != nil || path == "" {
			return nil, err
		}
		l, err := open(config, hub, log)
		if err != nil {
			return nil, err // a nil *tsv.Log would make a non-nil listener
		}
		return l, nil
	}
}

// SizeOrNone is a cli.ByteSize, or 0.
type SizeOrNone int64

// UnmarshalText parses a number of bytes.
func (b *SizeOrNone) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		*b = 0
		return nil
	}
	return (*cli.ByteSize)(b).UnmarshalText(text)
}
