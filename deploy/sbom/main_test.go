package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"clockwork/pkg/adapter/fetch"
)

func TestTheListNamesWhatIsFetchedWithItsSums(t *testing.T) {
	var out bytes.Buffer
	if err := run(strings.NewReader(`{"bomFormat":"CycloneDX","components":[{"name":"a module","hashes":[]}]}`), &out); err != nil {
		t.Fatal(err)
	}
	var list struct {
		Format     string      `json:"bomFormat"`
		Components []component `json:"components"`
	}
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	if list.Format != "CycloneDX" || len(list.Components) != 1+len(fetch.Pinned) || list.Components[0].Name != "a module" {
		t.Fatalf("%+v", list)
	}
	for i, p := range fetch.Pinned {
		c := list.Components[i+1]
		if c.Name != p.Name || c.Version != p.Version || strings.Count(c.PURL, "@") != 1 || len(c.Components) != len(p.Files) {
			t.Errorf("%+v", c)
		}
		for j, f := range p.Files {
			if c.Components[j].Hashes[0].Content != f.SHA256 {
				t.Errorf("%s: %+v", f.Member, c.Components[j])
			}
		}
	}
}

func TestWhatIsNoListIsRefused(t *testing.T) {
	for _, in := range []string{"", "[]", "{}", `{"components":1}`} {
		if err := run(strings.NewReader(in), &bytes.Buffer{}); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
}
