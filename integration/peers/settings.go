package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed settings.yaml
var settingsFile []byte

// setting is a server of settings.yaml, which says what the fields mean.
type setting struct {
	name            string
	Kind, Protocol  string
	Both, One, Many tuning
	Only            []string
	Sparse          bool
}

// tuning is what may differ between one model and many.
type tuning struct {
	Margin time.Duration
	Flags  []string
	Env    map[string]string
}

// readSettings returns the servers in the order of the file.
func readSettings(text []byte) ([]setting, error) {
	var file struct{ Servers yaml.Node }
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	byName := map[string]setting{}
	if err := strict(&file.Servers, &byName); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	var all []setting
	for i := 0; i+1 < len(file.Servers.Content); i += 2 {
		s := byName[file.Servers.Content[i].Value]
		s.name = file.Servers.Content[i].Value
		if kinds[s.Kind] == nil || protocols[s.Protocol] == nil {
			return nil, fmt.Errorf("read settings: %s has the kind %q and the protocol %q", s.name, s.Kind, s.Protocol)
		}
		all = append(all, s)
	}
	return all, nil
}

// strict decodes a node and refuses unknown fields.
func strict(n *yaml.Node, into any) error {
	text, err := yaml.Marshal(n)
	if err != nil {
		return err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	return decoder.Decode(into)
}

// tuned is the tuning for one model or for many.
func (s setting) tuned(many bool) tuning {
	special := s.One
	if many {
		special = s.Many
	}
	t := tuning{Margin: max(s.Both.Margin, special.Margin), Env: map[string]string{}}
	t.Flags = append(slices.Clone(s.Both.Flags), special.Flags...)
	maps.Copy(t.Env, s.Both.Env)
	maps.Copy(t.Env, special.Env)
	return t
}

// takes reports whether a cell is measured with this server.
func (s setting) takes(c cell) bool {
	if len(s.Only) > 0 && !slices.Contains(s.Only, c.Workload) && c.Workload != starts {
		return false
	}
	return !s.Sparse || c.sparse
}
