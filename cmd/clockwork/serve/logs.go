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
	LogRotate cli.ByteSize `default:"1GiB" placeholder:"SIZE" from:"0 or 4KiB" to:"1024GiB" help:"Put such a log aside as FILE.1 from this size on, by default 1GiB; 0 for never." group:"Telemetry"`
	LogKeep   int          `default:"5" help:"How many of them to keep, FILE.1 being the latest." group:"Telemetry"`
}

// maxKeep bounds --log-keep: each of the files is renamed when the next is put aside.
const maxKeep = 1000

// at returns a log's configuration.
func (f RotateFlags) at(path string) (tsv.Config, error) {
	if f.LogKeep < 1 || f.LogKeep > maxKeep {
		return tsv.Config{}, cli.Usagef("--log-keep is %d; it must be from 1 to %d", f.LogKeep, maxKeep)
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
