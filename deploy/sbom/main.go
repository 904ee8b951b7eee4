// Command sbom adds what clockwork fetch downloads to a list of a binary's
// modules: it reads CycloneDX JSON from the standard input and writes it again.
//
//	make sbom
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"clockwork/pkg/adapter/fetch"
)

// component is what CycloneDX calls one.
type component struct {
	Ref        string      `json:"bom-ref"`
	Type       string      `json:"type"`
	Name       string      `json:"name"`
	Version    string      `json:"version,omitempty"`
	Scope      string      `json:"scope,omitempty"`
	PURL       string      `json:"purl,omitempty"`
	Hashes     []hash      `json:"hashes,omitempty"`
	Licenses   []license   `json:"licenses,omitempty"`
	Components []component `json:"components,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type license struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	body, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read list: %w", err)
	}
	var list map[string]json.RawMessage // what is not looked at stays as it is
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("read list: %w", err)
	}
	var components []json.RawMessage
	if err := json.Unmarshal(list["components"], &components); err != nil {
		return fmt.Errorf("read components: %w", err)
	}
	for _, p := range fetch.Pinned {
		one, err := json.Marshal(packageOf(p))
		if err != nil {
			return fmt.Errorf("write %s: %w", p.Name, err)
		}
		components = append(components, one)
	}
	if list["components"], err = json.Marshal(components); err != nil {
		return fmt.Errorf("write components: %w", err)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(list)
}

// packageOf is an npm package of which some files are taken, each with its sha256.
// It is optional: emulated GPUs need none.
func packageOf(p fetch.Package) component {
	purl := "pkg:npm/" + strings.ReplaceAll(p.Name, "@", "%40") + "@" + p.Version
	c := component{Ref: purl, Type: "library", Name: p.Name, Version: p.Version, Scope: "optional", PURL: purl}
	var l license
	l.License.ID = p.License
	c.Licenses = []license{l}
	for _, f := range p.Files {
		c.Components = append(c.Components, component{Ref: purl + "#" + f.Member, Type: "file", Name: f.Member, Hashes: []hash{{"SHA-256", f.SHA256}}})
	}
	return c
}
