package integration

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// takes are what commands cannot do without.
var takes = map[string][]string{
	"load": {"zoo/googlenet"}, "infer": {"m"}, "bench": {"open"}, "sim": {"open"}, "replay": {"../README.md"}, "chaos": {"kill", "scheduler"}, "keys": {"/nowhere"}, "token": {"alice", "/nowhere/tokens"},
}

// meant are values that mean something after all, with what.
var meant = map[string]string{"--seed=-1": "any number is a seed", "--fault-seed=-1": "any number is a seed", "--clock-step=-1s": "a step backwards"}

// flagOf matches a flag of the help that takes a number or a duration: those have a default
// or a placeholder that is one.
var flagOf = regexp.MustCompile(`(?m)^\s+(?:-\w, )?(--[a-z][a-z-]+)=(\S+)`)

// numeric reports what a placeholder stands for, "" for text.
func numeric(placeholder string) string {
	placeholder = strings.Trim(placeholder, `",`)
	switch _, err := time.ParseDuration(placeholder); {
	case placeholder == "D", placeholder == "DURATION", err == nil && placeholder != "0":
		return "duration"
	case placeholder == "INT", placeholder == "N", placeholder == "UINT", placeholder == "FLOAT", placeholder == "FLOAT-64", placeholder == "SIZE", placeholder == "RATE":
		return "number"
	}
	if json.Unmarshal([]byte(placeholder), new(float64)) == nil || regexp.MustCompile(`^\d+[KMG]iB$`).MatchString(placeholder) {
		return "number"
	}
	return ""
}

// names reports whether an error says which flag it is about, at least by its last word: a
// setting of a core is validated there.
func names(text, flag string) bool {
	words := strings.Split(flag, "-")
	return strings.Contains(strings.ToLower(text), words[len(words)-1])
}

// TestNoFlagTakesWhatCannotWork gives every number and duration of every command, as its help
// names them, what can mean nothing there.
func TestNoFlagTakesWhatCannotWork(t *testing.T) {
	out, err := exec.Command(binary, "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(out), "Commands:")
	type trial struct{ command, flag, value string }
	var trials []trial
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+)\s`).FindAllStringSubmatch(list, -1) {
		help, err := exec.Command(binary, m[1], "--help").CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v", m[1], err)
		}
		for _, f := range flagOf.FindAllStringSubmatch(string(help), -1) {
			values := map[string][]string{"duration": {"-1s", "2562047h", "NaN", ""}, "number": {"-1", "NaN", "1e400", ""}}[numeric(f[2])]
			for _, value := range values {
				if meant[f[1]+"="+value] == "" {
					trials = append(trials, trial{m[1], f[1], value})
				}
			}
		}
	}
	if len(trials) < 200 {
		t.Errorf("only %d trials: the help is not read as it is", len(trials))
	}
	t.Logf("%d trials", len(trials))
	work := make(chan trial)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for x := range work {
				args := slices.Concat([]string{x.command}, takes[x.command], []string{x.flag + "=" + x.value, "--nats", "nats://127.0.0.1:1"})
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				said, err := exec.CommandContext(ctx, binary, args...).CombinedOutput()
				cancel()
				var code *exec.ExitError
				if !errors.As(err, &code) || code.ExitCode() != 2 || !names(string(said), x.flag) {
					first, _, _ := strings.Cut(string(said), "\n")
					t.Errorf("%s %s=%s: %v: %s", x.command, x.flag, x.value, err, first)
				}
			}
		})
	}
	for _, x := range trials {
		work <- x
	}
	close(work)
	workers.Wait()
}
