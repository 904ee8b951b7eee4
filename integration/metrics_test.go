package integration

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/pkg/watch/metrics"
)

// scrape is one scrape of a process: the type of each metric and the value of
// each series.
type scrape struct {
	kinds  map[string]string
	series []series
}

type series struct {
	name   string
	labels map[string]string
	value  float64
}

var (
	typeLine   = regexp.MustCompile(`^# TYPE (\S+) (\S+)$`)
	seriesLine = regexp.MustCompile(`^([a-z_0-9]+)(?:\{(.*)\})? (\S+)$`)
	labelPair  = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
)

func scraped(t *testing.T, handler http.Handler) scrape {
	t.Helper()
	to := httptest.NewRecorder()
	handler.ServeHTTP(to, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if to.Code != http.StatusOK {
		t.Fatalf("scrape is answered %d: %s", to.Code, to.Body)
	}
	s := scrape{kinds: map[string]string{}}
	for line := range strings.Lines(to.Body.String()) {
		line = strings.TrimSuffix(line, "\n")
		if m := typeLine.FindStringSubmatch(line); m != nil {
			s.kinds[m[1]] = m[2]
			continue
		}
		m := seriesLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		labels := map[string]string{}
		for _, pair := range labelPair.FindAllStringSubmatch(m[2], -1) {
			labels[pair[1]] = pair[2]
		}
		s.series = append(s.series, series{m[1], labels, value})
	}
	return s
}

// sum adds up a metric's series.
func (s scrape) sum(name string) (sum float64) {
	for _, one := range s.series {
		if one.name == name {
			sum += one.value
		}
	}
	return sum
}

// onTheirWay returns the difference that is 0 once no request is under way
// (G13).
func (s scrape) onTheirWay() float64 {
	return s.sum("clockwork_frontdoor_received_total") - s.sum("clockwork_frontdoor_answered_total") - s.sum("clockwork_frontdoor_left_total") -
		s.sum("clockwork_frontdoor_requests_in_flight") - s.sum("clockwork_frontdoor_requests_stored")
}

// watched is a stack whose services all have metrics.
func watched(t *testing.T) (*stack, http.Handler) {
	config := quick()
	hub := &watch.Hub{}
	m := metrics.New(hub, metrics.Config{Models: 100})
	hub.ReportLoss("nobody", func() int64 { return 0 })
	config.hub, config.controller.Telemetry, config.profiler.Telemetry, config.scheduler.Telemetry = hub, hub, hub, hub
	return startStack(t, config), m.Handler(slog.New(slog.DiscardHandler))
}

// awaitScrape scrapes until it matches.
func awaitScrape(t *testing.T, what string, handler http.Handler, match func(scrape) bool) scrape {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		s := scraped(t, handler)
		if match(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v; %v on their way", what, patience, s.onTheirWay())
		}
	}
}

func TestG13AccountsCloseAtEveryScrape(t *testing.T) {
	s, handler := watched(t)
	s.load("zoo/resnet50_v2", 2)
	const early, then = 20, 400
	answers := make(chan *protocol.Error, early+then)
	ask := func(n int) {
		for i := range n {
			go func() {
				_, refusal := s.infer([]string{"resnet50_v2-0", "resnet50_v2-1", "no-such-model"}[i%3], 20*time.Millisecond, patience)
				answers <- refusal
			}()
		}
	}
	ask(early)
	stored := awaitScrape(t, "requests are stored", handler, func(s scrape) bool {
		return s.sum("clockwork_frontdoor_requests_stored") == early && s.onTheirWay() == 0
	})
	if received := stored.sum("clockwork_frontdoor_received_total"); received != early {
		t.Errorf("%v are received before activation, of %d", received, early)
	}
	s.activated()
	ask(then)
	codes := map[protocol.Code]float64{}
	for i := range early + then {
		if i%10 == 0 {
			if x := scraped(t, handler).onTheirWay(); x < 0 || x > early+then {
				t.Fatalf("%v requests are on their way", x)
			}
		}
		code := protocol.OK
		if refusal := <-answers; refusal != nil {
			code = refusal.Code
		}
		codes[code]++
	}
	end := awaitScrape(t, "the accounts close", handler, func(s scrape) bool {
		return s.onTheirWay() == 0 && s.sum("clockwork_requests_total") == early+then
	})
	for _, one := range end.series {
		if one.name == "clockwork_requests_total" && codes[protocol.Code(one.labels["code"])] != one.value {
			t.Errorf("%v are counted as %s, clients had %v", one.value, one.labels["code"], codes[protocol.Code(one.labels["code"])])
		}
	}
	if got := end.sum("clockwork_frontdoor_answered_total"); got != early+then {
		t.Errorf("%v are answered, of %d", got, early+then)
	}
}

// served returns the metrics of a stack that has been through all stages and has
// served requests.
func served(t *testing.T) scrape {
	s, handler := watched(t)
	s.load("zoo/resnet50_v2", 1)
	s.activated()
	for range 10 {
		if _, refusal := s.infer("resnet50_v2", time.Second, patience); refusal != nil {
			t.Fatal(refusal)
		}
	}
	_, _ = s.plain().Request("clockwork.infer.resnet50_v2.acme", []byte("{}"), patience)
	return awaitScrape(t, "everything was told", handler, func(s scrape) bool {
		return s.sum("clockwork_requests_total") == 11 && s.sum("clockwork_batch_size_count") > 0 && s.sum("clockwork_tenant_requests_total") == 1
	})
}

// queries returns the queries of the dashboard and of the alerts, by their
// source.
func queries(t *testing.T) map[string]string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	read(t, "../deploy/grafana/dashboards/clockwork.json", json.Unmarshal, &dashboard)
	var alerts struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	read(t, "../deploy/prometheus-alerts.yml", yaml.Unmarshal, &alerts)
	all := map[string]string{}
	for _, p := range dashboard.Panels {
		for i, target := range p.Targets {
			all[p.Title+" "+strconv.Itoa(i)] = target.Expr
		}
	}
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			all[r.Alert] = r.Expr
		}
	}
	return all
}

// TestEveryAlertIsTested: promtool test rules (docs/metrics.md) says whether it fires when it
// should, and this whether it is asked.
func TestEveryAlertIsTested(t *testing.T) {
	var alerts struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	read(t, "../deploy/prometheus-alerts.yml", yaml.Unmarshal, &alerts)
	var tests struct {
		Tests []struct {
			Expected []struct {
				Samples []struct{ Labels string } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	read(t, "../deploy/prometheus-alerts.test.yml", yaml.Unmarshal, &tests)
	fires := map[string]bool{}
	for _, test := range tests.Tests {
		for _, at := range test.Expected {
			for _, s := range at.Samples {
				fires[s.Labels] = true
			}
		}
	}
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			if !fires[fmt.Sprintf("{alertname=%q}", r.Alert)] {
				t.Errorf("%s fires in no test", r.Alert)
			}
		}
	}
	if len(alerts.Groups) == 0 {
		t.Error("there are no alerts")
	}
}

func read(t *testing.T, file string, decode func([]byte, any) error, into any) {
	t.Helper()
	body, err := os.ReadFile(file)
	if err == nil {
		err = decode(body, into)
	}
	if err != nil {
		t.Fatalf("read %s: %v", file, err)
	}
}

var (
	selector = regexp.MustCompile(`\b((?:clockwork|go|process)_\w+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)\s*(!?=~?)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|on)\s*\(([^)]*)\)`)
)

// ofTargets are labels that Prometheus adds to everything.
var ofTargets = []string{"job", "instance"}

func TestEveryQueryNamesMetricsAndLabelsThatExist(t *testing.T) {
	seen := served(t)
	all := queries(t)
	if len(all) < 80 {
		t.Fatalf("there are only %d queries", len(all))
	}
	for who, query := range all {
		names := selector.FindAllStringSubmatch(grouping.ReplaceAllString(query, ""), -1)
		if len(names) == 0 && !strings.HasPrefix(query, "up{") {
			t.Errorf("%s asks for nothing: %s", who, query)
		}
		for _, name := range names {
			labels := seen.labels(name[1])
			if labels == nil {
				t.Errorf("%s asks for %s, which there is not", who, name[1])
				continue
			}
			for _, m := range matcher.FindAllStringSubmatch(name[2], -1) {
				if !slices.Contains(ofTargets, m[1]) && !labels[m[1]][m[3]] {
					t.Errorf("%s asks for %s with %s=%q, which there is not", who, name[1], m[1], m[3])
				}
			}
			for _, group := range grouping.FindAllStringSubmatch(query, -1) {
				for label := range strings.SplitSeq(group[1], ",") {
					label = strings.TrimSpace(label)
					if label != "" && label != "le" && !slices.Contains(ofTargets, label) && labels[label] == nil {
						t.Errorf("%s groups %s by %s, which it has not", who, name[1], label)
					}
				}
			}
		}
	}
}

// labels returns the labels of a metric with their values, nil if there is no
// such metric. A histogram is found by its own name too, as a native one.
func (s scrape) labels(name string) map[string]map[string]bool {
	if s.kinds[name] == "" {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && slices.Contains([]string{"histogram", "summary"}, s.kinds[base]) {
				return s.labels(base)
			}
		}
		return nil
	}
	labels := map[string]map[string]bool{}
	for _, one := range s.series {
		if one.name != name && (s.kinds[name] != "histogram" || one.name != name+"_count") {
			continue
		}
		for label, value := range one.labels {
			if labels[label] == nil {
				labels[label] = map[string]bool{}
			}
			labels[label][value] = true
		}
	}
	return labels
}

func TestEveryMetricIsInTheDocumentation(t *testing.T) {
	body, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^- `(clockwork_\\w+)`(?:,\\s+`(clockwork_\\w+)`)?\\s+\\((\\w+)(?:;\\s+labels\\s+([^)]*))?\\):")
	documented := map[string]string{}
	labels := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(body), -1) {
		for _, name := range m[1:3] {
			if name != "" {
				documented[name], labels[name] = m[3], m[4]
			}
		}
	}
	seen := served(t)
	for _, name := range slices.Sorted(maps.Keys(seen.kinds)) {
		if !strings.HasPrefix(name, "clockwork_") {
			continue
		}
		if documented[name] != seen.kinds[name] {
			t.Errorf("%s is a %s; docs/metrics.md says %q", name, seen.kinds[name], documented[name])
		}
		for label := range seen.labels(name) {
			if !strings.Contains(labels[name], "`"+label+"`") {
				t.Errorf("%s has a label %s, which docs/metrics.md does not name", name, label)
			}
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("docs/metrics.md names %s, which there is not", name)
	}
}
