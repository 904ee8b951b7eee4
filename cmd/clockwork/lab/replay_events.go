package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/protocol"
)

// shownItem is a line of replay --events: a machine begins, or is given an event.
type shownItem struct {
	Machine int             `json:"machine"`
	Begin   string          `json:"begin,omitempty"`
	Config  json.RawMessage `json:"config,omitempty"`
	Now     protocol.Time   `json:"now_ns,omitempty"`
	Event   string          `json:"event,omitempty"`
	About   uint64          `json:"about,omitempty"`
	Of      any             `json:"of,omitempty"`
	Missing uint64          `json:"missing,omitempty"`
}

// list shows the events of a recording, of one that was cut off as far as it goes.
func (k *Replay) list(con *cli.Console) error {
	if k.changes() {
		return cli.Usagef("--events shows what was recorded; --policy and --config change nothing in it")
	}
	r, file, err := openRecording(k.File)
	if err != nil {
		return err
	}
	defer file.Close()
	to := json.NewEncoder(con.Out)
	item, err := r.Next()
	for ; err == nil; item, err = r.Next() {
		shown := shownItem{Machine: item.Machine}
		switch item.Kind {
		case record.Begin:
			shown.Begin, shown.Config = item.Core.Name, item.Config
		case record.Step:
			shown.Now, shown.Event, shown.About, shown.Of = item.Now, item.EventName(), item.About, item.Event
		case record.Missing:
			shown.Missing = item.Events
		default:
			continue
		}
		if err := to.Encode(shown); err != nil {
			return err
		}
	}
	if err != io.EOF && !errors.Is(err, record.ErrCut) {
		return fmt.Errorf("%s: %w", k.File, err)
	}
	return nil
}
