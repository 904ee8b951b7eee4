package bench

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

func loaded(path string, names ...string) (all []protocol.ModelState) {
	for _, name := range names {
		all = append(all, protocol.ModelState{ModelSpec: protocol.ModelSpec{Name: name, Path: path}})
	}
	return all
}

func TestAModelIsFoundForEachInstance(t *testing.T) {
	sick := loaded("zoo/a", "a-1", "a-2")
	sick[0].Quarantined = "it does not run"
	for _, row := range []struct {
		name    string
		loads   []workload.Load
		loaded  []protocol.ModelState
		want    string // the models in order, - where there is none
		missing string // the commands
	}{
		{"by its name", []workload.Load{{Path: "zoo/a", Name: "a", Copies: 2}}, loaded("zoo/a", "a-2", "a-1"), "a-1 a-2", ""},
		{"of more copies, those of the same names", []workload.Load{{Path: "zoo/a", Name: "a", Copies: 2}}, loaded("zoo/a", "a-10", "a-1", "a-2"), "a-1 a-2", ""},
		{"one copy of several", []workload.Load{{Path: "zoo/a", Name: "a", Copies: 1}}, loaded("zoo/a", "a-10", "a-9"), "a-9", ""},
		{"by its path, under another name", []workload.Load{{Path: "zoo/a", Name: "a", Copies: 2}}, loaded("zoo/a", "mine", "yours"), "mine yours", ""},
		{"by a name that was given as the path", []workload.Load{{Path: "mine", Name: "mine", Copies: 1}}, loaded("zoo/a", "mine"), "mine", ""},
		{"never twice", []workload.Load{{Path: "zoo/a", Name: "a", Copies: 2}}, loaded("zoo/a", "a-1"), "a-1 -", "load zoo/a --copies 2"},
		{"not of another path", []workload.Load{{Path: "zoo/a", Name: "a", Copies: 1}}, loaded("zoo/b", "a"), "-", "load zoo/a"},
		{"not in quarantine", []workload.Load{{Path: "zoo/a", Name: "a", Copies: 2}}, sick, "- a-2", "load zoo/a --copies 2"},
		{"each of its own load", []workload.Load{{Path: "zoo/a", Name: "a", Copies: 1}, {Path: "zoo/b", Name: "x", Copies: 1}},
			loaded("zoo/a", "a"), "a -", "load zoo/b --name x"},
	} {
		t.Run(row.name, func(t *testing.T) {
			models, missing := Match(workload.Workload{Loads: row.loads}, row.loaded)
			var got, commands []string
			for _, m := range models {
				got = append(got, cmp.Or(m.Name, "-"))
			}
			for _, m := range missing {
				commands = append(commands, m.Command())
			}
			if strings.Join(got, " ") != row.want || strings.Join(commands, "; ") != row.missing {
				t.Errorf("got %v and %q missing, want %s and %q", got, commands, row.want, row.missing)
			}
		})
	}
}

func TestWhatIsMissingSaysHowManyAreThereAndWhyNot(t *testing.T) {
	sick := loaded("zoo/a", "a-1", "a-2")
	sick[0].Quarantined = "it does not run"
	_, missing := Match(workload.Workload{Loads: []workload.Load{{Path: "zoo/a", Name: "a", Copies: 3}}}, sick)
	want := []Missing{{workload.Load{Path: "zoo/a", Name: "a", Copies: 3}, 1, "it does not run"}}
	if !slices.Equal(missing, want) {
		t.Errorf("got %+v, want %+v", missing, want)
	}
}
