package figures

import (
	"bytes"
	"strings"
	"testing"

	"clockwork/pkg/testkit/hostile"
)

// FuzzRead checks that Read returns one cell per line or an error that names the
// line, and that Table accepts any cells.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"test":"TestKillMatrix","cell":"broker","sent":3,"codes":{"OK":3},"heal_s":0.5}` + "\n"))
	f.Add([]byte("{}\n{}\n"))
	f.Add([]byte(`{"heal_s":1e400}`))
	f.Add([]byte(`{"cell":"a|b\n","codes":{"":-1}}`))
	f.Add([]byte("[" + strings.Repeat("[", 1000)))
	f.Fuzz(func(t *testing.T, lines []byte) {
		hostile.Within(t, 512*len(lines)+1<<20, "cells", func() {
			cells, err := Read(bytes.NewReader(lines))
			if err == nil && len(cells) > bytes.Count(lines, []byte("\n"))+1 {
				t.Fatalf("%d cells", len(cells))
			}
			_ = Table(cells)
		})
	})
}
