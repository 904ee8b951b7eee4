//go:build planted

package planted

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// source is a Go file in which each function that has a fault is there twice: as it is,
// and as its twin with the fault, which it calls where the environment names that fault.
type source struct {
	file  *token.File
	tree  *ast.File
	body  string
	edits []edit
	twins strings.Builder
	named map[*ast.FuncDecl]bool
}

// edit replaces the bytes [from, to) of the body.
type edit struct {
	from, to int
	by       string
}

func parse(t *testing.T, name, body string) *source {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, name, body, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return &source{file: set.File(tree.Pos()), tree: tree, body: body, named: map[*ast.FuncDecl]bool{}}
}

// plant gives the function with the fault its twin.
func (s *source) plant(f Fault, number int) error {
	at := strings.Index(s.body, f.Was)
	function := s.function(at, at+len(strings.TrimSuffix(f.Was, "\n")))
	if function == nil {
		return fmt.Errorf("planted bug %q: its text must be within one function", f.Name)
	}
	s.nameAll(function)
	twin := fmt.Sprintf("%s_planted%d", function.Name.Name, number)
	s.twins.WriteString("\n" + s.twin(function, twin, f) + "\n")
	brace := s.offset(function.Body.Lbrace) + 1
	s.edits = append(s.edits, edit{brace, brace, fmt.Sprintf("\nif planted == \"%d\" { %s }\n", number, call(function, twin))})
	return nil
}

// function returns the function that [from, to) is within.
func (s *source) function(from, to int) *ast.FuncDecl {
	for _, d := range s.tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && s.offset(f.Pos()) <= from && to <= s.offset(f.End()) {
			return f
		}
	}
	return nil
}

// twin returns the function with the fault, under another name.
func (s *source) twin(of *ast.FuncDecl, name string, f Fault) string {
	from, to := s.offset(of.Pos()), s.offset(of.End())
	text := strings.Replace(s.body[from:min(to+1, len(s.body))], f.Was, f.Is, 1)
	before := receiver.FindString(text)
	return before + name + text[len(before)+len(of.Name.Name):]
}

// receiver is what stands before a function's name.
var receiver = regexp.MustCompile(`^func (\([^)]*\) )?`)

// nameAll gives each parameter of a function a name by which it can be passed on.
func (s *source) nameAll(f *ast.FuncDecl) {
	if s.named[f] {
		return
	}
	s.named[f] = true
	for _, p := range parameters(f) {
		if len(p.Names) == 0 {
			at := s.offset(p.Type.Pos())
			p.Names = []*ast.Ident{ast.NewIdent(fmt.Sprintf("planted%d", at))}
			s.edits = append(s.edits, edit{at, at, p.Names[0].Name + " "})
		}
		for _, name := range p.Names {
			if name.Name == "_" {
				at := s.offset(name.Pos())
				name.Name = fmt.Sprintf("planted%d", at)
				s.edits = append(s.edits, edit{at, at + 1, name.Name})
			}
		}
	}
}

func parameters(f *ast.FuncDecl) []*ast.Field {
	if f.Recv == nil {
		return f.Type.Params.List
	}
	return slices.Concat(f.Recv.List, f.Type.Params.List)
}

// call returns the statements that have the twin do the function's work.
func call(f *ast.FuncDecl, twin string) string {
	var passed []string
	rest := "" // follows the last parameter where that is variadic
	for _, p := range f.Type.Params.List {
		if _, variadic := p.Type.(*ast.Ellipsis); variadic {
			rest = "..."
		}
		for _, name := range p.Names {
			passed = append(passed, name.Name)
		}
	}
	calls := fmt.Sprintf("%s(%s%s)", twin, strings.Join(passed, ", "), rest)
	if f.Recv != nil {
		calls = f.Recv.List[0].Names[0].Name + "." + calls
	}
	if f.Type.Results == nil {
		return calls + "; return"
	}
	return "return " + calls
}

// text returns the whole file, twins last.
func (s *source) text() string {
	slices.SortStableFunc(s.edits, func(a, b edit) int { return cmp.Compare(a.from, b.from) })
	var text strings.Builder
	done := 0
	for _, e := range s.edits {
		text.WriteString(s.body[done:e.from] + e.by)
		done = e.to
	}
	text.WriteString(s.body[done:])
	return text.String() + s.twins.String()
}

func (s *source) offset(p token.Pos) int { return s.file.Offset(p) }
