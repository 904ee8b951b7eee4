package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func settingsOf(t *testing.T) map[string]setting {
	t.Helper()
	all, err := readSettings(settingsFile)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]setting{}
	for _, s := range all {
		byName[s.name] = s
	}
	return byName
}

func TestSettingsAreReadInTheirOrder(t *testing.T) {
	all, err := readSettings([]byte("servers:\n  b: {kind: kserve, protocol: raw}\n  a: {kind: ray, protocol: raw, sparse: true}\n"))
	if err != nil || len(all) != 2 || all[0].name != "b" || all[1].name != "a" || !all[1].Sparse {
		t.Errorf("%+v, %v", all, err)
	}
	for _, wrong := range []string{"servers: {a: {kind: none, protocol: raw}}", "servers: {a: {kind: ray, protocol: raw, tuned: 1}}", "others: {}", "servers: 1"} {
		if _, err := readSettings([]byte(wrong)); err == nil {
			t.Errorf("%s is accepted", wrong)
		}
	}
}

// What one model and many have in common holds for both.
func TestATuningIsThatOfBothAndItsOwn(t *testing.T) {
	triton := settingsOf(t)["triton"]
	one, many := triton.tuned(false), triton.tuned(true)
	if one.Env["TRITON_BATCH"] != "8" || many.Env["TRITON_BATCH"] != "4" || one.Env["TRITON_QUEUE_US"] != many.Env["TRITON_QUEUE_US"] {
		t.Errorf("one: %v, many: %v", one, many)
	}
	if one.Margin != 50*time.Millisecond || many.Margin != 18*time.Millisecond {
		t.Errorf("margins of %v and %v", one.Margin, many.Margin)
	}
}

// pinned is a requirement of one version of one package.
var pinned = regexp.MustCompile(`^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$`)

// Every peer has an environment in which each package has one version, also those that it
// needs only indirectly, and all execute with the same ONNX Runtime.
func TestRequirementsArePinned(t *testing.T) {
	files, err := filepath.Glob("requirements/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var environments []string
	runtimes := map[string]bool{}
	for _, file := range files {
		environments = append(environments, strings.TrimSuffix(filepath.Base(file), ".txt"))
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if !pinned.MatchString(line) {
				t.Errorf("%s: %q is not pinned", file, line)
			}
			if version, is := strings.CutPrefix(line, "onnxruntime=="); is {
				runtimes[version] = true
			}
		}
	}
	for _, s := range settingsOf(t) {
		if s.Kind != "clockwork" && !slices.Contains(environments, s.Kind) {
			t.Errorf("%s has no requirements", s.name)
		}
	}
	if len(runtimes) != 1 {
		t.Errorf("servers execute with %v", runtimes)
	}
}

func TestTritonsModelsAreAsTheSettingsSay(t *testing.T) {
	env := settingsOf(t)["triton"].tuned(true).Env
	for network, want := range map[string][]string{
		"squeezenet": {"max_batch_size: 4\n", "dims: [ 1000, 1, 1 ]", "timeout_action: REJECT default_timeout_microseconds: 1000000 "},
		"shufflenet": {"max_batch_size: 4\n", "dims: [ 1000 ]"},
		"resnet50":   {"max_batch_size: 1\n", "dims: [ 1000 ]", "count: 1 kind: KIND_CPU"},
	} {
		got := tritonConfig("m01", network, env)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s without %q:\n%s", network, w, got)
			}
		}
	}
}
