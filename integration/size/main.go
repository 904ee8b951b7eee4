// Command size prints the size of each part of the tree, or writes it into the table of a
// document between its marks; its test holds that the one in docs/architecture.md is not stale:
//
//	make size
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"clockwork/integration/figures"
)

// listed is a package in go list's output.
type listed struct {
	ImportPath, Dir                    string
	Imports                            []string
	GoFiles, TestGoFiles, XTestGoFiles []string
	IgnoredGoFiles                     []string // of other systems and tags
}

// wing sums up the packages below a folder.
type wing struct {
	name                                                 string
	packages, lines, comments, tests, functions, imports int
	lengths                                              []int // of functions, in lines
}

// The marks of the table in a document.
const (
	tableBegin = "<!-- size: begin -->"
	tableEnd   = "<!-- size: end -->"
)

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run prints the table, or writes it into the document that is named.
func run(to io.Writer, args []string) error {
	wings, err := measure(".")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		_, err := io.WriteString(to, table(wings))
		return err
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	with, err := figures.Put(string(text), tableBegin, tableEnd, table(wings))
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return os.WriteFile(args[0], []byte(with), 0o644)
}

// measure returns the wings of the module of a directory by name, and all of them together at
// the end.
func measure(dir string) ([]*wing, error) {
	list := exec.Command("go", "list", "-json", "./...")
	list.Dir = dir
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	byName, all := map[string]*wing{}, &wing{name: "all"}
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("list packages: %w", err)
		}
		name := wingOf(p.ImportPath)
		if byName[name] == nil {
			byName[name] = &wing{name: name}
		}
		for _, w := range []*wing{byName[name], all} {
			if err := w.add(&p); err != nil {
				return nil, err
			}
		}
	}
	wings := slices.SortedFunc(maps.Values(byName), func(a, b *wing) int { return strings.Compare(a.name, b.name) })
	return append(wings, all), nil
}

func table(wings []*wing) string {
	var to strings.Builder
	fmt.Fprintln(&to, "| wing | packages | lines | comments | of tests | functions | lines each, median | imports of ours |")
	fmt.Fprintln(&to, "|---|---|---|---|---|---|---|---|")
	for _, w := range wings {
		fmt.Fprintf(&to, "| %s | %d | %d | %d | %d | %d | %d | %d |\n", w.name, w.packages, w.lines, w.comments, w.tests, w.functions, w.median(), w.imports)
	}
	return to.String()
}

// median is that of the functions' lengths.
func (w *wing) median() int {
	if len(w.lengths) == 0 {
		return 0
	}
	slices.Sort(w.lengths)
	return w.lengths[len(w.lengths)/2]
}

// wingOf returns the first folder of a package's path, for pkg the first two.
func wingOf(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "clockwork/"), "/")
	if parts[0] == "pkg" && len(parts) > 1 {
		return "pkg/" + parts[1]
	}
	return parts[0]
}

func (w *wing) add(p *listed) error {
	w.packages++
	for _, path := range p.Imports {
		if strings.HasPrefix(path, "clockwork/") {
			w.imports++
		}
	}
	for _, file := range append(p.GoFiles, p.IgnoredGoFiles...) {
		if err := w.source(filepath.Join(p.Dir, file)); err != nil {
			return err
		}
	}
	for _, file := range append(p.TestGoFiles, p.XTestGoFiles...) {
		body, err := os.ReadFile(filepath.Join(p.Dir, file))
		if err != nil {
			return err
		}
		w.tests += bytes.Count(body, []byte("\n"))
	}
	return nil
}

// source counts the lines, comments and functions of a file.
func (w *wing) source(path string) error {
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, path, body, parser.ParseComments)
	if err != nil {
		return err
	}
	line := func(at token.Pos) int { return set.Position(at).Line }
	w.lines += bytes.Count(body, []byte("\n"))
	for _, group := range tree.Comments {
		if alone(body, set.Position(group.Pos()).Offset) {
			w.comments += line(group.End()) - line(group.Pos()) + 1
		}
	}
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			w.functions++
			w.lengths = append(w.lengths, line(f.End())-line(f.Pos())+1)
		}
	}
	return nil
}

// alone reports whether nothing but space stands before this place in its line.
func alone(body []byte, at int) bool {
	before := body[bytes.LastIndexByte(body[:at], '\n')+1 : at]
	return len(bytes.TrimSpace(before)) == 0
}
