package serve

import (
	"path"

	"clockwork/pkg/adapter/fetch"
	"clockwork/pkg/watch/terminal"
)

// shower is a display, or forwards to one.
type shower interface {
	Line(text string)
	Bar(label string, done, total int, note string)
}

// FetchProgress shows files as bars, updated once per percent: unpacking reports
// thousands of small writes.
func FetchProgress(show shower) func(fetch.Event) {
	last := map[string]int64{}
	return func(e fetch.Event) {
		if e.File == "" {
			text := e.Text
			if text == "cached" {
				text = e.Package + " is cached"
			}
			show.Line(text)
			return
		}
		label := path.Base(e.File)
		percent := e.Done * 100 / max(1, e.Total)
		if before, seen := last[label]; seen && before == percent && e.Done < e.Total {
			return
		}
		last[label] = percent
		show.Bar(label, int(percent), 100, "% of "+terminal.Bytes(e.Total)+", checked")
	}
}
