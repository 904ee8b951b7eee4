// Command size prints the size of each part of the tree, as in the table of
// docs/architecture.md:
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
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
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
	packages, lines, tests, functions, imports int
	lengths                                    []int // of functions, in lines
}

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(to io.Writer) error {
	out, err := exec.Command("go", "list", "-json", "./...").Output()
	if err != nil {
		return fmt.Errorf("list packages: %w", err)
	}
	wings := map[string]*wing{}
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("list packages: %w", err)
		}
		for _, name := range []string{wingOf(p.ImportPath), "all"} {
			if wings[name] == nil {
				wings[name] = &wing{}
			}
			if err := wings[name].add(&p); err != nil {
				return err
			}
		}
	}
	fmt.Fprintln(to, "| wing | packages | lines | of tests | functions | lines each, median | imports of ours |")
	fmt.Fprintln(to, "|---|---|---|---|---|---|---|")
	names := make([]string, 0, len(wings))
	for name := range wings {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return names[i] != "all" && (names[j] == "all" || names[i] < names[j]) })
	for _, name := range names {
		w := wings[name]
		sort.Ints(w.lengths)
		median := 0
		if n := len(w.lengths); n > 0 {
			median = w.lengths[n/2]
		}
		fmt.Fprintf(to, "| %s | %d | %d | %d | %d | %d | %d |\n", name, w.packages, w.lines, w.tests, w.functions, median, w.imports)
	}
	return nil
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
		lines, err := w.source(filepath.Join(p.Dir, file))
		if err != nil {
			return err
		}
		w.lines += lines
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

// source counts the lines and functions of a file.
func (w *wing) source(path string) (lines int, err error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, path, body, 0)
	if err != nil {
		return 0, err
	}
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			w.functions++
			w.lengths = append(w.lengths, set.Position(f.End()).Line-set.Position(f.Pos()).Line+1)
		}
	}
	return bytes.Count(body, []byte("\n")), nil
}
