package walls

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheTreeIsAsItIsDrawn(t *testing.T) {
	packages, err := list(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 40 {
		t.Fatalf("%d packages: the test does not see them", len(packages))
	}
	for _, w := range walls {
		for _, b := range breaches(w, packages) {
			t.Error(b)
		}
		for excused := range w.but {
			if !reaches(w, excused, packages) {
				t.Errorf("%s needs no exception any more from: %s", excused, w.why)
			}
		}
	}
	for _, name := range names(packages) {
		if !matches(name, noClock) {
			continue
		}
		found, err := clocks(packages[name])
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			t.Error(f)
		}
	}
}

// reaches reports whether a package behind a pattern reaches what it is excused for.
func reaches(w wall, pattern string, packages map[string]*listed) bool {
	for _, name := range names(packages) {
		if matches(name, []string{pattern}) && len(ways(name, w, packages)) > 0 {
			return true
		}
	}
	return false
}

// Each kind of breach is found, also behind packages that are let through themselves.
func TestABreachIsFoundAndItsWayTold(t *testing.T) {
	packages := map[string]*listed{
		"pkg/core/a":        {Imports: []string{"clockwork/pkg/core/b", "time"}},
		"pkg/core/b":        {Imports: []string{"clockwork/pkg/helper"}},
		"pkg/core/d":        {XTestImports: []string{"clockwork/pkg/core/b"}},
		"pkg/core/c":        {Imports: []string{"clockwork/pkg/words"}},
		"pkg/words":         {Imports: []string{"go.yaml.in/yaml/v3", "strings"}},
		"pkg/helper":        {Imports: []string{"clockwork/pkg/adapter/clock", "os"}},
		"pkg/adapter/clock": {Imports: []string{"time", "sync"}},
		"services/s":        {Imports: []string{"github.com/nats-io/nats.go", "clockwork/pkg/core/a"}},
	}
	for name, p := range packages {
		p.ImportPath = module + name
	}
	for want, w := range map[string]wall{
		"pkg/core/b -> pkg/helper -> os":                {of: []string{"pkg/core/b"}, not: []string{"os", "os/..."}},
		"pkg/helper -> pkg/adapter/clock":               {of: []string{"pkg/core/a"}, not: []string{"pkg/adapter/..."}},
		"pkg/helper -> pkg/adapter/clock -> sync":       {of: []string{"pkg/core/..."}, not: []string{"sync"}},
		"services/s -> github.com/nats-io/nats.go: why": {of: []string{"services/..."}, not: []string{"github.com/nats-io/nats.go"}, direct: true, why: "why"},
		"pkg/core/d -> pkg/core/b -> pkg/helper -> os":  {of: []string{"pkg/core/d"}, not: []string{"os"}, tests: true},
		"pkg/core/c -> pkg/words -> go.yaml.in/yaml/v3": {of: []string{"pkg/core/..."}, foreign: true},
		"": {of: []string{"services/...", "pkg/core/d"}, not: []string{"os"}, direct: true},
	} {
		found := strings.Join(breaches(w, packages), "\n")
		if want == "" && found != "" || !strings.Contains(found, want) {
			t.Errorf("%v of %v: found %q, want %q", w.not, w.of, found, want)
		}
	}
	excused := wall{of: []string{"pkg/core/..."}, not: []string{"os"}, but: map[string]string{"pkg/core/b": "a reason"}}
	if found := breaches(excused, packages); len(found) != 1 || !strings.HasPrefix(found[0], "pkg/core/a") {
		t.Errorf("with an exception for pkg/core/b: %q", found)
	}
}

func TestAClockIsFoundInTheSource(t *testing.T) {
	for source, want := range map[string]string{
		`import "time"; var t = time.Now()`:         "time.Now",
		`import "time"; func f() { time.Sleep(1) }`: "time.Sleep",
		`func f() { go f() }`:                       "no goroutine",
		`import "time"; var d = time.Second`:        "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("package a; "+source), 0o644); err != nil {
			t.Fatal(err)
		}
		found, err := clocks(&listed{ImportPath: module + "pkg/a", Dir: dir, GoFiles: []string{"a.go"}})
		if got := strings.Join(found, "\n"); err != nil || want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: found %q, %v, want %q", source, got, err, want)
		}
	}
}
