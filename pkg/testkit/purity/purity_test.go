package purity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFaultsAreFoundAndNamed(t *testing.T) {
	for source, want := range map[string]string{
		`import "time"; var t = time.Now()`:         "time.Now",
		`import "time"; func f() { time.Sleep(1) }`: "time.Sleep",
		`import _ "log/slog"`:                       "log/slog",
		`import _ "math/rand/v2"`:                   "rolls dice",
		`import _ "github.com/nats-io/nats.go"`:     "talks to the broker",
		`import _ "sync/atomic"`:                    "needs no lock",
		`func f() { go f() }`:                       "no goroutine",
		`import "time"; var d = time.Second`:        "",
		`import "strings"; func f(s string) string { return s + strings.ToUpper(s) }`: "",
	} {
		file := filepath.Join(t.TempDir(), "a.go")
		if err := os.WriteFile(file, []byte("package a; "+source), 0o644); err != nil {
			t.Fatal(err)
		}
		found := strings.Join(faults(t, file), "\n")
		if want == "" && found != "" || !strings.Contains(found, want) {
			t.Errorf("%s: found %q, want %q", source, found, want)
		}
	}
}
