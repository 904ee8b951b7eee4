package protocol

import (
	"strings"
	"testing"
)

// FuzzSubjects: whatever subject a message came on, or is to be answered on, what
// is read of it cannot reach beyond one token, nor into the stack.
func FuzzSubjects(f *testing.F) {
	for _, seed := range []string{"", ".", "clockwork.", "clockwork.result.w1", "clockwork.result", "clockwork..", "clockwork.frontdoor.00ff.output.w", "$JS.API",
		"_INBOX.a", "_INBOX.a b", "a\r\nPUB x 0", "clockworks.load", "a.*", "a.>", "é", "\x00", strings.Repeat("a.", 5000)} {
		f.Add(seed, 1)
	}
	f.Fuzz(func(t *testing.T, subject string, i int) {
		s := Subjects{Prefix: DefaultPrefix}
		if token := s.Token(subject, i%8); strings.Contains(token, ".") || !strings.Contains(subject, token) {
			t.Fatalf("%q is one token of %q", token, subject)
		}
		if s.IsClients(subject) && (strings.ContainsAny(subject, " \t\r\n*>\x00") || strings.HasPrefix(subject, "$") || strings.HasPrefix(subject, s.Prefix+".") || subject == "") {
			t.Fatalf("a client may be answered on %q", subject)
		}
		if ValidName(subject) {
			for at, of := range []string{s.Result(subject), s.Heartbeat(Worker, subject), s.OutputOf(7, subject)} {
				if got := s.Token(of, []int{1, 2, 3}[at]); got != subject {
					t.Fatalf("%s is of %q, and %q was read", of, subject, got)
				}
				if s.IsClients(of) {
					t.Fatalf("a client may be answered on %s", of)
				}
			}
		}
	})
}

// FuzzNames: any text makes a name that can stand in a subject, and what is read
// by a name is written by the same.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"", "a", "Intel(R) Xeon(R)", "a.b", "*", ">", "\xff", strings.Repeat("x", 65), "00000000000000ff", "QUERYING", "Stage(0)", "ffffffffffffffffff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name := Name(text)
		if text != "" && !ValidName(name) || ValidName(text) && name != text {
			t.Fatalf("%q makes the name %q", text, name)
		}
		if door, err := ParseDoor(text); err == nil {
			if again, err := ParseDoor(DoorName(door)); err != nil || again != door || !ValidName(DoorName(door)) {
				t.Fatalf("door %q: %x, then %x, %v", text, door, again, err)
			}
		}
		var stage Stage
		if err := stage.UnmarshalText([]byte(text)); err == nil && stage.String() != text {
			t.Fatalf("stage %q is %v", text, stage)
		}
	})
}
