// Package purity keeps pure packages pure. A pure package decides; so it may
// not ask the clock, roll dice, log, or talk to anybody: the same inputs must
// give the same outputs in the live service, in the simulator and in a replay.
//
// Each pure package calls Check from one test. It reads source code only; it
// cannot see through an interface or a function that somebody hands in.
package purity

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// forbidden maps an import path (or a prefix that ends in a slash) to why a
// pure package may not have it.
var forbidden = map[string]string{
	"net":                     "talks to the network",
	"net/":                    "talks to the network",
	"os":                      "reads the machine it runs on",
	"os/":                     "reads the machine it runs on",
	"log":                     "logs; the shell logs (event, output) instead",
	"log/":                    "logs; the shell logs (event, output) instead",
	"math/rand":               "rolls dice",
	"math/rand/":              "rolls dice",
	"crypto/rand":             "rolls dice",
	"sync":                    "needs no lock, for one goroutine owns it",
	"sync/":                   "needs no lock, for one goroutine owns it",
	"runtime":                 "depends on the scheduler of goroutines",
	"github.com/nats-io/":     "talks to the broker; only shells do",
	"go.uber.org/":            "is wired by cmd and services; it wires nothing",
	"github.com/vmihailenco/": "encodes; only pkg/wire does",
}

// clock lists what of package time is more than a duration.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// Check fails the test for everything in the package of the current directory
// that a pure package may not have, and says why. A package may be allowed an
// import: the test's comment says why it is pure nevertheless.
func Check(t *testing.T, allowed ...string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		checked++
		for _, fault := range faults(t, name, allowed...) {
			t.Error(fault)
		}
	}
	if checked == 0 {
		t.Fatal("no source file here: the test would pass for nothing")
	}
}

func faults(t *testing.T, file string, allowed ...string) []string {
	t.Helper()
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, spec := range tree.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if contains(allowed, path) {
			continue
		}
		for bad, why := range forbidden {
			if path == bad || strings.HasSuffix(bad, "/") && strings.HasPrefix(path, bad) {
				found = append(found, set.Position(spec.Pos()).String()+": a pure package may not import "+path+": it "+why)
			}
		}
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, set.Position(n.Pos()).String()+": a pure package starts no goroutine")
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && contains(clock, n.Sel.Name) {
				found = append(found, set.Position(n.Pos()).String()+": a pure package may not call time."+n.Sel.Name+": time is an argument")
			}
		}
		return true
	})
	return found
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
