package page

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/lab/plot"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
)

// simulated are runs of a named workload on these policies.
func simulated(t *testing.T, name string, o workload.Options, change func(*sim.Config), policies ...string) []*sim.Report {
	t.Helper()
	w, err := workload.Named(name, o)
	if err != nil {
		t.Fatal(err)
	}
	var runs []*sim.Report
	for _, policy := range policies {
		c := sim.Defaults(policy)
		c.Window, c.Timeline = 100*time.Millisecond, 100*time.Millisecond
		if change != nil {
			change(&c)
		}
		r, err := sim.Run(c, w, nil)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, r)
	}
	return runs
}

func second(policies ...string) func(*testing.T) []*sim.Report {
	return func(t *testing.T) []*sim.Report {
		return simulated(t, "paper-6.1-open", workload.Options{Seed: 1, Length: time.Second, Rate: 800}, nil, policies...)
	}
}

// written is the page of runs.
func written(t *testing.T, runs []*sim.Report) string {
	t.Helper()
	var out bytes.Buffer
	p := Page{Title: "a page", Cards: Cards(runs), Sections: Figures(runs)}
	if err := p.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// names of the elements of a page, which is to be well-formed.
func elementsOf(t *testing.T, text string) (names []string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok {
			names = append(names, e.Name.Local)
		}
	}
}

var heading = regexp.MustCompile(`<h3>([^<]*)</h3>`)

func headings(text string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

func TestAPageShowsWhatARunDid(t *testing.T) {
	text := written(t, second("clockwork", "fifo")(t))
	elementsOf(t, text)
	for _, figure := range []string{
		"clockwork", "fifo", "Goodput", "Not in SLO", "Latency against the SLO", "Latency over time, clockwork", "Latency over time, fifo",
		"Batch sizes", "Mean batch over time", "Cold starts", "Weights loaded", "GPU use over time", "PCIe use over time",
		"Prediction errors", "Worst errors over time", "Timeline of clockwork", "Timeline of fifo",
	} {
		if !slices.Contains(headings(text), figure) {
			t.Errorf("no %q among %q", figure, headings(text))
		}
	}
}

func TestWhatOneGPUOrOneSLOCannotShowIsLeftOut(t *testing.T) {
	one := headings(written(t, second("clockwork")(t)))
	several := headings(written(t, simulated(t, "slo-exp-1", workload.Options{Seed: 1, Length: 15 * time.Second}, func(c *sim.Config) {
		c.GPUs, c.Resident = 2, true
	}, "clockwork")))
	for _, figure := range []string{"GPU use by GPU", "PCIe use by GPU", "In SLO, by SLO"} {
		if slices.Contains(one, figure) || !slices.Contains(several, figure) {
			t.Errorf("%s: of one %v, of several %v", figure, slices.Contains(one, figure), slices.Contains(several, figure))
		}
	}
}

func TestAPageNeedsNothingFromElsewhereAndRunsNothing(t *testing.T) {
	text := written(t, second("clockwork")(t))
	for _, name := range elementsOf(t, text) {
		if slices.Contains([]string{"script", "link", "img", "iframe", "object", "embed", "image", "use"}, name) {
			t.Errorf("the page has a <%s>", name)
		}
	}
	// The name of SVG's vocabulary is no address that anybody asks.
	text = strings.ReplaceAll(text, `xmlns="http://www.w3.org/2000/svg"`, "")
	for _, word := range []string{"http:", "https:", "src=", "href=", "url(", "@import", " onclick", " onload"} {
		if strings.Contains(text, word) {
			t.Errorf("the page has %q", word)
		}
	}
}

func TestAPageFollowsTheReadersChoiceOfLightOrDark(t *testing.T) {
	text := written(t, second("clockwork")(t))
	for _, want := range []string{`name="color-scheme" content="light dark"`, "@media (prefers-color-scheme:dark)", "background:var(--ground)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	body := text[strings.Index(text, "<body>"):]
	if colour := regexp.MustCompile(`#[0-9a-fA-F]{3,6}\b|rgb\(`).FindString(body); colour != "" {
		t.Errorf("%s is the same in light and dark; the body should name variables and classes alone", colour)
	}
}

func TestNamesAreTextWhateverIsInThem(t *testing.T) {
	const hostile = `<script>alert("&")</script>`
	runs := second("clockwork")(t)
	runs[0].Policy = hostile
	for i := range runs[0].Timeline {
		runs[0].Timeline[i].Model = hostile
	}
	p := Page{
		Title: hostile, Notes: []string{hostile}, Cards: Cards(runs),
		Sections: append(Figures(runs), Section{Title: hostile, About: hostile, Tables: []Table{
			{Title: hostile, Columns: []string{hostile}, Rows: [][]string{{hostile}}, Note: hostile},
		}}),
	}
	var out bytes.Buffer
	if err := p.Write(&out); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(elementsOf(t, out.String()), "script") || strings.Contains(out.String(), "<script") {
		t.Error("a name became an element")
	}
	if strings.Contains(out.String(), "&amp;lt;script") {
		t.Error("a name is escaped twice: a reader would see &lt;")
	}
}

var noNumber = regexp.MustCompile(`\bNaN\b|\bInf\b`)

func TestRunsWithLittleToShowHaveAPage(t *testing.T) {
	for name, runs := range map[string][]*sim.Report{
		"nobody asks":          simulated(t, "open", workload.Options{Seed: 1, Length: 10 * time.Millisecond, Rate: 0.001}, nil, "clockwork"),
		"one request":          simulated(t, "closed", workload.Options{Seed: 1, Length: time.Millisecond}, nil, "clockwork"),
		"nothing is in SLO":    simulated(t, "open", workload.Options{Seed: 1, Length: time.Second, SLO: workload.Within(time.Millisecond)}, nil, "clockwork", "simple"),
		"shorter than windows": simulated(t, "open", workload.Options{Seed: 1, Length: 50 * time.Millisecond}, func(c *sim.Config) { c.Window = time.Hour }, "clockwork"),
		"no timeline":          simulated(t, "open", workload.Options{Seed: 1, Length: time.Second}, func(c *sim.Config) { c.Timeline = 0 }, "clockwork"),
		"many GPUs":            simulated(t, "open", workload.Options{Seed: 1, Length: 100 * time.Millisecond}, func(c *sim.Config) { c.GPUs = 40 }, "clockwork"),
	} {
		text := written(t, runs)
		elementsOf(t, text)
		if noNumber.MatchString(text) {
			t.Errorf("%s: the page has a number that is none", name)
		}
		if says := strings.Contains(text, "nothing was asked for") && !strings.Contains(text, "% of what was"); says != (name == "nobody asks") {
			t.Errorf("%s: that nothing was asked for is said: %v", name, says)
		}
	}
}

func TestTheSameRunsGiveTheSamePage(t *testing.T) {
	once, again := written(t, second("clockwork", "fifo")(t)), written(t, second("clockwork", "fifo")(t))
	if once != again {
		t.Error("two pages of the same runs differ")
	}
}

func TestAModelLooksTheSameInEveryTimelineAndUnlikeTheOthers(t *testing.T) {
	runs := second("clockwork", "fifo")(t)
	names := models(runs)
	if len(names) < 2 || names[0] >= names[1] {
		t.Fatalf("models %q", names)
	}
	type appearance struct {
		colour int
		faint  float64
	}
	seen := map[appearance]int{}
	for i := range shades * plot.Colours {
		colour, faint := look(i)
		if other, taken := seen[appearance{colour, faint}]; taken {
			t.Errorf("models %d and %d look alike", other, i)
		}
		seen[appearance{colour, faint}] = i
	}
}

func TestACardSays100PercentOnlyIfNothingIsMissing(t *testing.T) {
	r := second("clockwork")(t)[0]
	r.Offered = 1_000_000
	for missing, want := range map[int]string{0: "100.00%", 1: "99.99%", 20_000: "98.00%"} {
		r.Codes["OK"] = r.Offered - missing
		if lines := Cards([]*sim.Report{r})[0].Lines; !strings.HasPrefix(lines[0], want) {
			t.Errorf("%d of a million missing: %s", missing, lines[0])
		}
	}
}
