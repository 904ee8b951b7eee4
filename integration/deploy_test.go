package integration

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// setting is a variable of docker-compose.yml as docs/deploy.md lists it. Default is "" where
// the list does not give one for each variable.
type setting struct{ name, value, who string }

// deploySettings reads the list of docs/deploy.md.
func deploySettings(t *testing.T) (settings []setting) {
	t.Helper()
	page, err := os.ReadFile("../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## What can be set\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, section, _ = strings.Cut(section, "\n- ")
	section, _, _ = strings.Cut(section, "\n\n")
	upper := regexp.MustCompile("`([A-Z_]+)`")
	defaults := regexp.MustCompile(`\(default:\s+([^);]*)`)
	for item := range strings.SplitSeq(section, "\n- ") {
		item = strings.Join(strings.Fields(item), " ")
		head, who := item[:strings.LastIndex(item, "):")+1], strings.TrimSpace(item[strings.LastIndex(item, "):")+2:])
		names := upper.FindAllStringSubmatch(head, -1)
		values := strings.Split(strings.ReplaceAll(defaults.FindStringSubmatch(head)[1], "`", ""), ", ")
		for i, name := range names {
			s := setting{name: name[1], who: who}
			if len(values) == len(names) {
				s.value = values[i]
			}
			settings = append(settings, s)
		}
	}
	if len(settings) < 20 {
		t.Fatalf("docs/deploy.md lists %d settings: the test does not see them", len(settings))
	}
	return settings
}

// of are the services that the words of docs/deploy.md mean.
var of = map[string]func(service string) bool{
	"controller":                           func(s string) bool { return s == "controller" },
	"controller and front doors":           func(s string) bool { return s == "controller" || s == "frontdoor" },
	"controller, front doors and gateways": func(s string) bool { return s == "controller" || s == "frontdoor" || s == "gateway" },
	"scheduler":                            func(s string) bool { return s == "scheduler" },
	"workers":                              func(s string) bool { return strings.HasPrefix(s, "worker") },
	"all":                                  func(string) bool { return true },
	"all but the broker":                   func(s string) bool { return !strings.HasPrefix(s, "nats") },
}

// TestComposePassesTheSettingsThatTheDocumentationLists holds docs/deploy.md and
// docker-compose.yml together.
func TestComposePassesTheSettingsThatTheDocumentationLists(t *testing.T) {
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Command     []string          `yaml:"command"`
			Environment map[string]string `yaml:"environment"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	used := map[string]string{} // its default, by name
	for _, use := range regexp.MustCompile(`\$\{([A-Z_]+):?-([^}]*)\}`).FindAllStringSubmatch(string(text), -1) {
		used[use[1]] = use[2]
	}
	listed := deploySettings(t)
	for name := range used {
		if !slices.ContainsFunc(listed, func(s setting) bool { return s.name == name }) {
			t.Errorf("docker-compose.yml takes %s, and docs/deploy.md does not list it", name)
		}
	}
	for _, s := range listed {
		value, there := used[s.name]
		if !there || s.value != "" && s.value != value {
			t.Errorf("docs/deploy.md says that %s is %q by default; in docker-compose.yml it is %q", s.name, s.value, value)
		}
		who, _, _ := strings.Cut(s.who, ";")
		for name, service := range compose.Services {
			third := name == "prometheus" || name == "grafana" || name == "cli"
			if means := of[who]; means != nil && means(name) && !third && !strings.Contains(service.Environment[s.name], "${"+s.name) {
				t.Errorf("docs/deploy.md says that %s is for %s; docker-compose.yml does not pass it to %s", s.name, who, name)
			}
		}
	}
}
