package protocol

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestNoTwoPrefixesShareANameOrASubject(t *testing.T) {
	names := map[string]string{}
	for _, p := range []string{"clockwork", "team_a", "team.a", "team-a", "team_dot_a", "a.b.c", "a.b_c", "a_b.c", "a_b_c", "a__b", "a._b", "a_.b"} {
		if err := CheckPrefix(p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		name := StoreName(p)
		if other, taken := names[name]; taken {
			t.Errorf("%s and %s share %s", p, other, name)
		}
		names[name] = p
		if !strings.Contains(p, ".") && name != p {
			t.Errorf("data kept under %s is called %s now", p, name)
		}
		if strings.ContainsFunc(name, func(r rune) bool { return r == '.' || r == '*' || r == '>' || r <= ' ' }) {
			t.Errorf("%s is no name of a stream", name)
		}
	}
	for _, p := range []string{"", ".", "a.", ".a", "a..b", "A", "a b", "a.>", "$js", "clockwork.infer", "clockwork.infer.x", "a.b.heartbeat", "a.worker.b",
		strings.Repeat("a.", 70) + "a"} {
		if CheckPrefix(p) == nil {
			t.Errorf("%q is taken", p)
		}
	}
	if err := CheckPrefix("infer.load"); err == nil { // inside the prefix infer
		t.Error("infer.load is taken")
	}
	if err := CheckPrefix("infer"); err != nil {
		t.Error(err)
	}
}

// Every subject begins with a token that no prefix may have after its first.
func TestPrefixesKnowAllKindsOfSubjects(t *testing.T) {
	s := reflect.ValueOf(Subjects{Prefix: "p"})
	seen := map[string]bool{}
	for i := range s.NumMethod() {
		m := s.Method(i)
		if m.Type().NumOut() != 1 || m.Type().Out(0).Kind() != reflect.String {
			continue
		}
		args := make([]reflect.Value, m.Type().NumIn())
		for j := range args {
			args[j] = reflect.New(m.Type().In(j)).Elem()
		}
		rest, ours := strings.CutPrefix(m.Call(args)[0].String(), "p.")
		if !ours {
			continue
		}
		kind, _, _ := strings.Cut(rest, ".")
		seen[kind] = true
		if !slices.Contains(kinds, kind) {
			t.Errorf("%s gives %s, which is not in kinds", s.Type().Method(i).Name, rest)
		}
	}
	for _, kind := range kinds {
		if !seen[kind] {
			t.Errorf("no subject begins with %s", kind)
		}
	}
}
