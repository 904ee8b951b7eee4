package walls

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// listed is a package in go list's output.
type listed struct {
	ImportPath, Dir           string
	Imports                   []string
	TestImports, XTestImports []string
	GoFiles                   []string
}

func (p *listed) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// imports are those that a wall is about: of the package, or of its tests.
func (p *listed) imports(tests bool) []string {
	if tests {
		return slices.Concat(p.TestImports, p.XTestImports)
	}
	return p.Imports
}

// list returns the packages of the module, by name.
func list(dir string) (map[string]*listed, error) {
	command := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports,GoFiles", "./...")
	command.Dir = dir
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	packages := map[string]*listed{}
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("list packages: %w", err)
		}
		packages[p.name()] = &p
	}
}

// matches reports whether a name matches one of the patterns, of which "a/..."
// means a and all packages below it.
func matches(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		above, tree := strings.CutSuffix(pattern, "/...")
		return name == above || tree && strings.HasPrefix(name, above+"/")
	})
}

// breaches returns the import chains that violate a wall, sorted.
func breaches(w wall, packages map[string]*listed) (found []string) {
	excused := make([]string, 0, len(w.but))
	for pattern := range w.but {
		excused = append(excused, pattern)
	}
	for _, name := range names(packages) {
		if !matches(name, w.of) || matches(name, excused) {
			continue
		}
		for _, way := range ways(name, w, packages) {
			found = append(found, strings.Join(way, " -> ")+": "+w.why)
		}
	}
	return found
}

// ways returns the shortest import chain from a package to each package that it
// may not reach. The exception of an excused package does not extend to its
// importers.
func ways(from string, w wall, packages map[string]*listed) (found [][]string) {
	seen := map[string]bool{from: true}
	for queue := [][]string{{from}}; len(queue) > 0; queue = queue[1:] {
		way := queue[0]
		p := packages[way[len(way)-1]]
		if p == nil {
			continue // not in the module
		}
		for _, path := range p.imports(w.tests && len(way) == 1) {
			name := strings.TrimPrefix(path, module)
			if seen[name] {
				continue
			}
			seen[name] = true
			next := append(slices.Clone(way), name)
			switch {
			case matches(name, w.not) || w.foreign && isForeign(path):
				found = append(found, next)
			case !w.direct:
				queue = append(queue, next)
			}
		}
	}
	return found
}

// isForeign reports whether an import path begins with the name of a host.
func isForeign(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".")
}

func names(packages map[string]*listed) []string {
	list := make([]string, 0, len(packages))
	for name := range packages {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// clocks returns the places in a package's source that read the time or start a
// goroutine.
func clocks(p *listed) (found []string, err error) {
	for _, file := range p.GoFiles {
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, filepath.Join(p.Dir, file), nil, 0)
		if err != nil {
			return nil, fmt.Errorf("read source: %w", err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			at := func() string { return fmt.Sprintf("%s/%s:%d: ", p.name(), file, set.Position(n.Pos()).Line) }
			switch n := n.(type) {
			case *ast.GoStmt:
				found = append(found, at()+"what decides starts no goroutine")
			case *ast.SelectorExpr:
				if on, ok := n.X.(*ast.Ident); ok && on.Name == "time" && slices.Contains(asksTheTime, n.Sel.Name) {
					found = append(found, at()+"what decides does not call time."+n.Sel.Name+": time is an argument")
				}
			}
			return true
		})
	}
	return found, nil
}
