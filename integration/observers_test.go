package integration

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composed is the part of docker-compose.yml that concerns observability.
type composed struct {
	Services map[string]struct {
		Environment map[string]string
		Profiles    []string
		Volumes     []string
		Command     []string
	}
}

func TestPrometheusFindsTheServicesOfCompose(t *testing.T) {
	var compose composed
	read(t, "../docker-compose.yml", yaml.Unmarshal, &compose)
	var config struct {
		ScrapeConfigs []struct {
			DNS []struct {
				Names []string
				Type  string
				Port  string
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	read(t, "../deploy/prometheus.yml", yaml.Unmarshal, &config)
	found := config.ScrapeConfigs[0].DNS[0]
	if found.Type != "A" {
		t.Errorf("it asks for records of type %s; each container has one of type A", found.Type)
	}
	var serving []string
	for name, service := range compose.Services {
		if len(service.Command) == 0 || !slices.Contains([]string{"controller", "frontdoor", "gateway", "profiler", "scheduler", "worker"}, service.Command[0]) {
			continue
		}
		serving = append(serving, name)
		if at := service.Environment["CLOCKWORK_METRICS"]; !strings.HasSuffix(at, "-:"+found.Port+"}") {
			t.Errorf("%s serves metrics at %s, and Prometheus asks port %s", name, at, found.Port)
		}
	}
	slices.Sort(serving)
	if !slices.Equal(serving, slices.Sorted(slices.Values(found.Names))) {
		t.Errorf("Prometheus looks for %v; those that serve metrics are %v", found.Names, serving)
	}
}

func TestWhatObserversMountIsThere(t *testing.T) {
	var compose composed
	read(t, "../docker-compose.yml", yaml.Unmarshal, &compose)
	for _, name := range []string{"prometheus", "grafana"} {
		service := compose.Services[name]
		if !slices.Equal(service.Profiles, []string{"metrics"}) {
			t.Errorf("%s is in profiles %v", name, service.Profiles)
		}
		for _, volume := range service.Volumes {
			if file, ours := strings.CutPrefix(strings.Split(volume, ":")[0], "./"); ours {
				if _, err := os.Stat("../" + file); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestTheDashboardIsOneThatGrafanaShows(t *testing.T) {
	var board struct {
		UID, Title string
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
		Panels []struct {
			ID                       int
			Type, Title, Description string
			GridPos                  struct{ X, Y, W, H int }
			Datasource               struct{ UID string }
			Targets                  []struct{ RefID, LegendFormat string }
		}
	}
	read(t, "../deploy/grafana/dashboards/clockwork.json", json.Unmarshal, &board)
	if board.UID == "" || board.Title == "" || len(board.Templating.List) != 1 || board.Templating.List[0].Query != "prometheus" {
		t.Errorf("uid %q, title %q, variables %v", board.UID, board.Title, board.Templating.List)
	}
	ids, taken, rows := map[int]bool{}, map[[2]int]string{}, 0
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("%s has the id of another panel", p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s ends beyond the right edge", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" {
					t.Fatalf("%s lies over %s", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			rows++
			continue
		}
		if p.Description == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%s: description %q, data from %q, %d queries", p.Title, p.Description, p.Datasource.UID, len(p.Targets))
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			refs[target.RefID] = true
		}
		if len(refs) != len(p.Targets) {
			t.Errorf("%s: queries are called %v", p.Title, slices.Collect(maps.Keys(refs)))
		}
	}
	if rows < 9 {
		t.Errorf("it has %d rows", rows)
	}
}
