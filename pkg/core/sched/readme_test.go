package sched

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheReadmeNamesEveryFile, and no other: who looks for a stage finds its files there.
func TestTheReadmeNamesEveryFile(t *testing.T) {
	body, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	var named []string
	for _, m := range regexp.MustCompile("`(\\w+\\.go)`").FindAllStringSubmatch(string(body), -1) {
		named = append(named, m[1])
	}
	for _, name := range files {
		if !slices.Contains(named, name) {
			t.Errorf("README.md does not say of which stage %s is", name)
		}
	}
	for _, name := range named {
		if !slices.Contains(files, name) {
			t.Errorf("README.md names %s, which is not there", name)
		}
	}
	if len(named) < 30 {
		t.Errorf("%d files: the test does not see them", len(named))
	}
}
