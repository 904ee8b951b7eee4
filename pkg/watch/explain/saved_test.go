package explain

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	saving    = regexp.MustCompile(`^an SLO of (\d+) ms`)
	submitted = regexp.MustCompile(`(?m)^(\S+ submit 1 \S+) (\S+)(?: (\S+))?$`)
)

// withSLO is a script whose request 1 has another SLO.
func withSLO(t *testing.T, commands string, slo float64) string {
	m := submitted.FindStringSubmatch(commands)
	if m == nil {
		t.Fatal("no submit 1")
	}
	elapsed := 0.0
	if m[3] != "" {
		var err error
		elapsed, err = strconv.ParseFloat(m[3], 64)
		must(t, err)
	}
	return strings.Replace(commands, m[0], fmt.Sprintf("%s %g %s", m[1], slo-elapsed, m[3]), 1)
}

// What a request is said to have lacked is what it lacked: with that SLO the
// scheduler takes it, with 2 ms less (the SLO is in whole ones) it does not.
func TestTheSLOThatWouldHaveSavedARequestDoes(t *testing.T) {
	for _, name := range []string{"tight", "cold", "lane_busy"} {
		for _, policy := range []string{"clockwork", "faithful", "simple"} {
			body, err := os.ReadFile("testdata/" + name + ".txt")
			must(t, err)
			commands, _, _ := strings.Cut(string(body), "explain\n")
			first := play(t, policy, commands)[0]
			if !strings.HasPrefix(first.Outcome, "refused") || len(first.WhatIf) == 0 {
				if policy == "clockwork" {
					t.Errorf("%s: %s, saved by %q", name, first.Outcome, first.WhatIf)
				}
				continue // the policy has no such refusal
			}
			m := saving.FindStringSubmatch(first.WhatIf[0])
			if m == nil {
				t.Errorf("%s, %s: saved by %q", name, policy, first.WhatIf)
				continue
			}
			slo, err := strconv.ParseFloat(m[1], 64)
			must(t, err)
			if with := play(t, policy, withSLO(t, commands, slo))[0]; strings.HasPrefix(with.Outcome, "refused") {
				t.Errorf("%s, %s: with an SLO of %g ms it is %s", name, policy, slo, with.Outcome)
			}
			if less := play(t, policy, withSLO(t, commands, slo-2))[0]; !strings.HasPrefix(less.Outcome, "refused") {
				t.Errorf("%s, %s: an SLO of %g ms would have done: it is %s", name, policy, slo-2, less.Outcome)
			}
		}
	}
}
