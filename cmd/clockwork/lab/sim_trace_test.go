package lab

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestATraceOfTimestampsIsReplayedRequestByRequest(t *testing.T) {
	d := simulate(t, "--trace testdata/timestamps.csv")
	if d.Workload != "timestamps" || d.Models != 3 || d.Runs[0].Offered != 127 || d.Length != 1981*time.Millisecond {
		t.Errorf("%s: %d models, %d requests in %v", d.Workload, d.Models, d.Runs[0].Offered, d.Length)
	}
	if len(d.Notes) != 1 || d.Notes[0] != "mine is not in the zoo: zoo/resnet50_v2 in its place." {
		t.Errorf("notes %q", d.Notes)
	}
	if cut := simulate(t, "--trace testdata/timestamps.csv --length 1s --model zoo/resnet18_v2"); cut.Runs[0].Offered != 67 || !strings.Contains(cut.Notes[0], "resnet18_v2") {
		t.Errorf("%d requests in the first second; notes %q", cut.Runs[0].Offered, cut.Notes)
	}
}

func TestATraceOfCountsIsReplayedWhole(t *testing.T) {
	d := simulate(t, "--trace testdata/azure.csv --copies 1")
	if d.Workload != "azure" || d.Length != 2*time.Minute || d.Runs[0].Offered != 1333 || len(d.Notes) > 0 {
		t.Errorf("%s: %d requests in %v; notes %q", d.Workload, d.Runs[0].Offered, d.Length, d.Notes)
	}
	// The counts are those of a minute, whatever the moments in it.
	minute := 0
	for _, p := range d.Runs[0].Series {
		if p.At <= time.Minute {
			minute += p.Offered
		}
	}
	if minute != 600+60+0+1+2+0 {
		t.Errorf("%d requests in the first minute", minute)
	}
	if d := simulate(t, "paper-6.5 --trace testdata/azure.csv --copies 1 --length 1m"); d.GPUs != 12 || d.Runs[0].Offered != 663 {
		t.Errorf("as paper-6.5: %d GPUs, %d requests", d.GPUs, d.Runs[0].Offered)
	}
}

// The title says what the trace asks for, beside what the workload loads.
func TestATraceOfFewFunctionsSaysHowManyModelsItAsksFor(t *testing.T) {
	path := written(t, "HashOwner,HashApp,HashFunction,Trigger,1,2,3\na,b,c,http,1,0,2\na,b,d,http,2,1,0\na,b,e,http,0,0,9\na,b,f,http,0,0,0\n")
	for _, row := range []struct{ flags, says string }{
		{"", "azure: 3 functions over 3 of 4026 models on 1 GPU"}, {" --length 1m", "azure: 2 functions over 2 of 4026 models on 1 GPU"},
		{" --length 1m --copies 1 --model zoo/resnet18_v2", "azure: 2 functions over 1 of 1 model on 1 GPU"},
	} {
		_, out, _ := invoke(t, append([]string{"sim"}, strings.Fields("--trace "+path+row.flags)...)...)
		if !strings.HasPrefix(out, row.says) {
			t.Errorf("%s: wanted %s in:\n%s", row.flags, row.says, out)
		}
	}
}

// The rate of azure is the mean of a day, of which a part has more or less.
func TestAPartOfADaySaysTheMeanOfTheDay(t *testing.T) {
	d := simulate(t, "azure --copies 1 --rate 40 --length 2m")
	if len(d.Notes) != 1 || d.Notes[0] != "The first 2m0s of a day that has 40 r/s on average." || d.Runs[0].OfferedRate == 40 {
		t.Errorf("%.1f r/s offered; notes %q", d.Runs[0].OfferedRate, d.Notes)
	}
	if d := simulate(t, "azure --copies 1 --rate 40"); len(d.Notes) != 1 || !strings.HasSuffix(d.Notes[0], "40 r/s on average; --length makes it longer.") {
		t.Errorf("notes %q", d.Notes)
	}
}

// A day of the data set takes long; so its first minutes are the default.
func TestALongTraceIsCutAndSaysSo(t *testing.T) {
	path := written(t, "HashOwner,HashApp,HashFunction,Trigger,1,2,3,4,5,6,7,8,9,10,11\na,b,c,http,1,0,0,0,0,0,0,0,0,0,5\n")
	if d := simulate(t, "--copies 1 --trace "+path); d.Length != 10*time.Minute || d.Runs[0].Offered != 1 || len(d.Notes) != 1 || !strings.Contains(d.Notes[0], "10m0s of 11m0s") {
		t.Errorf("%d requests in %v; notes %q", d.Runs[0].Offered, d.Length, d.Notes)
	}
	if d := simulate(t, "--copies 1 --length 11m --trace "+path); d.Runs[0].Offered != 6 {
		t.Errorf("%d requests of all 6", d.Runs[0].Offered)
	}
}

// written is a file with this text.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestATraceThatCannotBeReplayedSaysWhy(t *testing.T) {
	const counts, times = "HashOwner,HashApp,HashFunction,Trigger,1\n", "timestamp,model\n"
	for _, row := range []struct{ text, flags, says string }{
		{"", "", "no request"},
		{times, "", "no request"},
		{counts, "", "no request"},
		{counts + "a,b,c,http,0\n", "", "no request"},
		{times + "1,a\n0,b\n", "", "line 3, column 1: 0 is earlier"},
		{times + "soon,a\n", "", "line 2, column 1"},
		{times + "1600000000000,a\n", "", "in seconds"},
		{times + "1,No Name\n", "", "line 2, column 2"},
		{times + "1,a,b\n", "", "timestamp,model"},
		{counts + "a,b,c,http,many\n", "", "line 2, column 5"},
		{"HashOwner,Other\n", "", "line 1, column 2"},
		{"\x89PNG\r\n\x1a\n", "", "line 1"},
		{counts + "a,b,c,http,1\n", "open", "azure, paper-6.5, paper-6.6"},
		{times + "1,a\n", "open", "leave open out"},
		{times + "1,a\n", "--copies 2", "leave --copies out"},
		{times + "1,a\n", "--model zoo/resnet18_v2,zoo/resnet50_v2", "one path"},
		{times + "1,a\n", "--rate 5", "a trace says who asks when"},
		{times + "1,a\n", "--peak", "--peak"},
	} {
		args := append([]string{"sim", "--trace", written(t, row.text)}, strings.Fields(row.flags)...)
		code, _, stderr := invoke(t, args...)
		if code != 2 || !strings.Contains(stderr, row.says) {
			t.Errorf("%q %s: exit code %d, wanted 2 and %q in: %s", row.text, row.flags, code, row.says, stderr)
		}
	}
	if code, out, _ := invoke(t, "sim", "--trace", "nowhere.csv", "--json"); code != 2 || !json.Valid([]byte(out)) {
		t.Errorf("no file: exit code %d, %s", code, out)
	}
}
