package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/lab/replay"
	"clockwork/pkg/watch/terminal"
)

// overload is a simulation that loses requests.
const overload = "paper-6.1-open --rate 1500 --length 500ms "

// recorded is the recording of a simulation, and what the simulation printed.
func recorded(t *testing.T, args string) (path string, d simDocument) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "recording")
	return path, simulate(t, args+" --record "+path)
}

// replayed is what replay --json prints.
func replayed(t *testing.T, args ...string) replayReport {
	t.Helper()
	code, out, stderr := invoke(t, append([]string{"replay", "--json"}, args...)...)
	var r replayReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		t.Fatalf("replay %q: exit code %d, %v, %s", args, code, err, stderr)
	}
	return r
}

func TestAReplayDecidesTheSameByteForByte(t *testing.T) {
	for _, policy := range simPolicies() {
		path, d := recorded(t, overload+"--policy "+policy)
		r := replayed(t, path)
		if !r.Same || r.Proven != r.Events || r.Events == 0 || r.Verdict.Hash == "" {
			t.Errorf("%s: same %v, %d of %d events proven, hash %q", policy, r.Same, r.Proven, r.Events, r.Verdict.Hash)
		}
		if run := d.Runs[0]; r.Outcome.Submitted != run.Offered || r.Outcome.Open > 0 {
			t.Errorf("%s: %d submitted of %d, %d open", policy, r.Outcome.Submitted, run.Offered, r.Outcome.Open)
		}
	}
	path, _ := recorded(t, overload)
	if code, out, _ := invoke(t, "replay", path); code != 0 || !strings.Contains(out, "the same decisions, byte for byte: hash ") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestAReplaySaysWhatAnotherPolicyOrSettingWouldHaveDone(t *testing.T) {
	path, _ := recorded(t, overload)
	for _, row := range []struct {
		flags string
		holds func(alike, changed *replay.Outcome) bool
		about string
	}{
		{"--policy fifo", func(a, c *replay.Outcome) bool { return c.Done < a.Done && c.MeanBatch() == 1 }, "changed: fifo"},
		{"--config max-batch=2", func(a, c *replay.Outcome) bool { return c.MeanBatch() <= 2 && a.MeanBatch() > 2 }, "changed: clockwork max-batch=2"},
		{"--policy faithful --config ahead=10ms --config max-batch=4", func(a, c *replay.Outcome) bool { return c.MeanBatch() <= 4 && c.Done < a.Done }, "changed: faithful ahead=10ms max-batch=4"},
		{"--config without=any", func(a, c *replay.Outcome) bool { return c.Infers != a.Infers }, "changed: clockwork without=any"},
		{"--config ahead=3ms", func(a, c *replay.Outcome) bool { return a.Done == c.Done && a.Infers == c.Infers }, "changed: clockwork ahead=3ms"},
	} {
		args := append([]string{path}, strings.Fields(row.flags)...)
		r := replayed(t, args...)
		if r.Alike == nil || r.Changed == nil || !row.holds(r.Alike, r.Changed) {
			t.Errorf("%s: alike %+v, changed %+v", row.flags, r.Alike, r.Changed)
		}
		_, out, _ := invoke(t, append([]string{"replay"}, args...)...)
		if !strings.Contains(out, row.about) || !strings.Contains(out, "recorded  emulated  changed  difference") {
			t.Errorf("%s: no %q in\n%s", row.flags, row.about, out)
		}
		if gain := r.Changed.Done - r.Alike.Done; !strings.Contains(out, fmt.Sprintf(" %s\n", signed(gain))) {
			t.Errorf("%s: the difference %d is not in\n%s", row.flags, gain, out)
		}
	}
}

// An emulation that changes nothing comes near what was recorded; else it would
// say nothing of a change.
func TestAnEmulationOfTheSameIsNearToWhatWasRecorded(t *testing.T) {
	path, _ := recorded(t, "paper-6.1-open --rate 600 --length 2s")
	r := replayed(t, path, "--config", "ahead=3ms")
	if off := float64(r.Alike.Done-r.Outcome.Done) / float64(r.Outcome.Done); off < -0.03 || off > 0.03 {
		t.Errorf("%d done in time, emulated %d", r.Outcome.Done, r.Alike.Done)
	}
}

// spoiled is a copy of a recording with something done to it.
func spoiled(t *testing.T, path string, spoil func([]byte) []byte) string {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, string(spoil(body)))
}

func TestAFileThatIsNoWholeRecordingSaysSo(t *testing.T) {
	path, _ := recorded(t, overload)
	long, _ := recorded(t, overload+"--length 2s") // several blocks
	for name, row := range map[string]struct {
		file string
		exit int
		says string
	}{
		"damaged":                     {spoiled(t, path, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), 1, "block before byte "},
		"damaged in its second block": {spoiled(t, long, func(b []byte) []byte { b[len(b)-1000] ^= 1; return b }), 1, "its checksum is wrong; "},
		"another version": {spoiled(t, path, func(b []byte) []byte {
			return []byte(strings.Replace(string(b), "clockwork-recording 3\n", "clockwork-recording 2\n", 1))
		}), 1, `its format is "clockwork-recording 2", this program reads "clockwork-recording 3"; use the version of Clockwork that made it`},
		"cut off at once":            {spoiled(t, path, func(b []byte) []byte { return b[:22] }), 1, "ends without a close after byte 22, before its first block was whole"},
		"cut off in its first block": {spoiled(t, path, func(b []byte) []byte { return b[:1000] }), 1, "ends without a close after byte 22, before its first block was whole"},
		"closed but of nothing":      {ofNothing(t), 1, "no scheduler's decisions are in it"},
		"something else":             {"sim.go", 1, "this is no recording"},
		"empty":                      {written(t, ""), 1, "this is no recording"},
		"missing":                    {filepath.Join(t.TempDir(), "none"), 2, "no such file"},
		"a directory":                {t.TempDir(), 1, "is a directory"},
	} {
		for _, command := range []string{"replay", "explain"} {
			code, out, stderr := invoke(t, command, row.file)
			if code != row.exit || out != "" || !strings.Contains(stderr, row.says) || !strings.Contains(stderr, filepath.Base(row.file)) {
				t.Errorf("%s of a file that is %s: exit code %d, wanted %d and %q in: %s%s", command, name, code, row.exit, row.says, out, stderr)
			}
			if code, out, _ := invoke(t, command, "--json", row.file); code != row.exit || !strings.Contains(out, `"error"`) {
				t.Errorf("%s --json of a file that is %s: exit code %d, %s", command, name, code, out)
			}
		}
	}
}

// ofNothing is a recording of a scheduler that only stood by.
func ofNothing(t *testing.T) string {
	t.Helper()
	var file bytes.Buffer
	w, err := record.NewWriter(&file)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return written(t, file.String())
}

// A process that was killed leaves a recording without its end: what is there
// counts.
func TestARecordingThatWasCutOffIsReplayedAsFarAsItGoes(t *testing.T) {
	path, d := recorded(t, overload+"--length 2s") // several blocks
	cut := spoiled(t, path, func(b []byte) []byte { return b[:len(b)-100] })
	r := replayed(t, cut)
	if !r.Cut || r.Outcome.Submitted == 0 || r.Outcome.Submitted >= d.Runs[0].Offered {
		t.Errorf("cut %v, %d requests of %d", r.Cut, r.Outcome.Submitted, d.Runs[0].Offered)
	}
	end := "The recording ends without a close, " + terminal.Duration(r.To.Sub(r.From)) + " after its first event"
	for _, command := range []string{"replay", "explain"} {
		if code, out, _ := invoke(t, command, cut); code != 0 || !strings.Contains(strings.ReplaceAll(out, "\n", " "), end) {
			t.Errorf("%s: exit code %d, no %q in\n%s", command, code, end, out)
		}
	}
	if e, _ := explanations(t, cut); !e.Cut || !e.Same {
		t.Errorf("explain --json: cut %v, same %v", e.Cut, e.Same)
	}
	if e, _ := explanations(t, path); e.Cut {
		t.Error("explain --json takes a whole recording for one that was cut")
	}
}

func TestAWrongSettingIsNamed(t *testing.T) {
	for _, setting := range []string{"ahead=0s", "ahead=5", "max-batch=-1", "max-batch=x", "without=luck", "luck=1", "ahead"} {
		code, _, stderr := invoke(t, "replay", "sim.go", "--config", setting)
		if code != 2 || !strings.Contains(stderr, "--config") || !strings.Contains(stderr, setting) {
			t.Errorf("--config %s: exit code %d, %s", setting, code, stderr)
		}
	}
}

func TestAComparisonLeavesOpenRequestsOut(t *testing.T) {
	path, _ := recorded(t, overload+"--length 2s")
	cut := spoiled(t, path, func(b []byte) []byte { return b[:len(b)-100] })
	plain, r := replayed(t, cut), replayed(t, cut, "--policy", "fifo")
	if plain.Outcome.Open == 0 || plain.Outcome.Apart > 0 || r.Outcome.Apart < plain.Outcome.Open || r.Outcome.Submitted+r.Outcome.Apart != plain.Outcome.Submitted {
		t.Errorf("%d submitted and %d open; compared %d, apart %d", plain.Outcome.Submitted, plain.Outcome.Open, r.Outcome.Submitted, r.Outcome.Apart)
	}
	if r.Alike.Submitted != r.Outcome.Submitted || r.Changed.Submitted != r.Outcome.Submitted {
		t.Errorf("%d, %d and %d requests are compared", r.Outcome.Submitted, r.Alike.Submitted, r.Changed.Submitted)
	}
	_, out, _ := invoke(t, "replay", cut, "--policy", "fifo")
	if want := fmt.Sprintf("%d requests were open when the recording ended", r.Outcome.Apart); !strings.Contains(out, want) {
		t.Errorf("no %q in\n%s", want, out)
	}
}

// A scheduler that decides otherwise than the recorded one is found out.
func TestAReplayThatDecidesOtherwiseFails(t *testing.T) {
	path, _ := recorded(t, overload)
	other := underAnotherPolicy(t, path)
	code, out, _ := invoke(t, "replay", other)
	if code != 1 || !strings.Contains(out, "OTHER DECISIONS than recorded") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if code, out, _ := invoke(t, "explain", other); code != 0 || !strings.Contains(out, "What follows is of the events before that.") {
		t.Errorf("explain: exit code %d\n%s", code, out)
	}
}

// underAnotherPolicy is a recording that claims another policy than the one
// that decided.
func underAnotherPolicy(t *testing.T, path string) string {
	t.Helper()
	r, in, err := openRecording(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	other := filepath.Join(t.TempDir(), "other")
	out, err := os.Create(other)
	if err != nil {
		t.Fatal(err)
	}
	w, err := record.NewWriter(out)
	if err != nil {
		t.Fatal(err)
	}
	var term *sched.Term
	for item, err := r.Next(); err == nil; item, err = r.Next() {
		switch item.Kind {
		case record.Begin:
			err = w.Begin("fifo", item.Config, item.Term)
			core, failed := policies.New(item.Policy, item.Config)
			term = sched.NewTerm(core, item.Term)
			err = errors.Join(err, failed)
		case record.Step:
			err = w.Step(item.Now, item.Event, term.Step(item.Now, item.Event))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return other
}
