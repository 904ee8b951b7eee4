package wire

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/explain"
)

// harmless is what a package that decodes also offers and what decodes nothing.
// Whatever else is used of it counts as decoding.
var harmless = map[string][]string{
	"encoding/json":                     {"Marshal", "MarshalIndent", "NewEncoder", "Encoder", "RawMessage", "UnmarshalTypeError", "SyntaxError", "Indent", "Compact", "Marshaler"},
	"github.com/vmihailenco/msgpack/v5": {"Marshal", "NewEncoder", "Encoder"},
	"encoding/csv":                      {"NewWriter", "Writer"},
	"encoding/gob":                      nil,
	"encoding/xml":                      nil,
	"encoding/asn1":                     nil,
}

// decoders are all files that may decode, how often, and why nothing goes around
// the walk through the message there.
var decoders = map[string]struct {
	uses []string
	why  string
}{
	"pkg/wire/prescan_json.go":               {[]string{"json.Unmarshal"}, "decodeJSON walks through the text first"},
	"pkg/wire/client_request.go":             {[]string{"msgpack.NewDecoder"}, "decodeBody walks through the message first"},
	"pkg/lab/record/decoder.go":              {[]string{"json.Unmarshal"}, "a recording is a file that the operator names; a value in it has at most maxEvent bytes, into structs"},
	"pkg/lab/record/event_json.go":           {[]string{"json.Unmarshal"}, "a recording, as above; a value in it has at most maxEvent bytes"},
	"pkg/lab/record/core.go":                 {[]string{"json.Unmarshal", "json.Unmarshal"}, "the same, of what a core is made with, into its config"},
	"pkg/lab/hardware/hardware.go":           {[]string{"json.Unmarshal", "json.Unmarshal", "json.Unmarshal"}, "a file that the operator names, of bounded size, whose lists are bounded while they are read"},
	"services/gateway/httpapi/repository.go": {[]string{"json.Unmarshal"}, "a body of at most 4 kB, into a struct of one flag"},
	"pkg/lab/record/reader.go":               {[]string{"json.Unmarshal"}, "the same"},
	"pkg/core/quota/limit.go":                {[]string{"json.Unmarshal"}, "a recording asks a limit to read its own part of a line, into a struct"},
	"pkg/adapter/backend/onnx/channel.go":    {[]string{"json.Unmarshal"}, "a frame of an executor, of at most maxFrame bytes, into a struct: it may grow the worker by no more than a few times that"},
	"pkg/adapter/backend/onnx/cache.go":      {[]string{"json.Unmarshal"}, "a file that this user or root wrote, sealed, of at most maxDescription bytes, into a struct"},
	"pkg/adapter/backend/onnx/answer.go":     {[]string{"json.Unmarshal"}, "the same"},
	"pkg/adapter/backend/onnx/serve.go":      {[]string{"json.Unmarshal"}, "a frame of the worker, which the executor trusts"},
	"pkg/adapter/backend/zoo/zoo.go":         {[]string{"csv.NewReader"}, "the table is embedded in the binary"},
	"pkg/lab/chaos/cluster.go":               {[]string{"json.NewDecoder"}, "the broker's own monitor, which clockwork chaos started itself"},
	"integration/figures/figures.go":         {[]string{"json.Unmarshal"}, "a file that our own tests wrote"},
	"pkg/protocol/live_stats.go":             {[]string{"json.Unmarshal"}, "the library asks a histogram to read its own part of a text that was walked through"},
	"cmd/clockwork/lab/bench_result.go":      {[]string{"json.Unmarshal"}, "a file that the operator names, into a struct"},
	"deploy/sbom/main.go":                    {[]string{"json.Unmarshal", "json.Unmarshal"}, "make sbom, of the list that the generator wrote just before"},
	"integration/peers/main.go":              {[]string{"json.Unmarshal"}, "make bench-peers, of what its own script printed"},
	"integration/peers/result.go":            {[]string{"json.Unmarshal", "json.Unmarshal"}, "a file that make bench-peers wrote"},
	"integration/size/main.go":               {[]string{"json.NewDecoder"}, "make size, of the list that go list wrote just before"},
	"pkg/testkit/walls/check.go":             {[]string{"json.NewDecoder"}, "the same, in a test"},
	"pkg/testkit/browser/browser.go":         {[]string{"json.Unmarshal", "json.Unmarshal", "json.Unmarshal"}, "a browser that a test started itself"},
	"docs/examples/gohttp/main.go":           {[]string{"json.Unmarshal", "json.Unmarshal"}, "a client that has nothing of ours, to show what that takes; it is no part of the stack"},
	"integration/example/main.go":            {[]string{"msgpack.Unmarshal"}, "a client that has nothing of ours, to show what that takes; it is no part of the stack"},
}

// source is a Go file of this module that is no test.
type source struct {
	path string // from the module's root
	file *ast.File
}

func sources(t *testing.T) (all []source) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		path, err = filepath.Rel(root, path)
		all = append(all, source{filepath.ToSlash(path), file})
		return err
	})
	if err != nil || len(all) < 100 {
		t.Fatalf("%d files: %v", len(all), err)
	}
	return all
}

// decodes lists what a file uses of packages that decode.
func (s source) decodes() (uses []string) {
	names := map[string]string{} // what a package is called here -> its path
	for _, i := range s.file.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		if _, watched := harmless[path]; !watched {
			continue
		}
		name := strings.TrimSuffix(path, "/v5")
		name = name[strings.LastIndex(name, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		if name == "." || name == "_" {
			uses = append(uses, path+" without a name")
		}
		names[name] = path
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if x, ok := n.(*ast.SelectorExpr); ok {
			if on, ok := x.X.(*ast.Ident); ok {
				if path, watched := names[on.Name]; watched && !slices.Contains(harmless[path], x.Sel.Name) {
					uses = append(uses, on.Name+"."+x.Sel.Name)
				}
			}
		}
		return true
	})
	return uses
}

func TestEveryDecoderIsBehindThePrescan(t *testing.T) {
	used := map[string][]string{}
	for _, s := range sources(t) {
		if uses := s.decodes(); len(uses) > 0 {
			used[s.path] = uses
		}
	}
	for path, uses := range used {
		allowed, known := decoders[path]
		switch {
		case !known:
			t.Errorf("%s uses %s: what comes from a message or a store is read by pkg/wire, which walks through it first (decodeJSON, decodeBody, Codec.Decode); "+
				"what does not needs a line in decoders that says why", path, strings.Join(uses, ", "))
		case !slices.Equal(uses, allowed.uses):
			t.Errorf("%s uses %s, where %s is allowed, because: %s", path, strings.Join(uses, ", "), strings.Join(allowed.uses, ", "), allowed.why)
		}
	}
	for path := range decoders {
		if used[path] == nil {
			t.Errorf("%s decodes nothing any more: take it out of decoders", path)
		}
	}
}

// TestOurOwnReadersAreBehindThePrescan: whoever makes a reader of msgpack, or
// gives one a body, has walked through that body in the same function.
func TestOurOwnReadersAreBehindThePrescan(t *testing.T) {
	made := 0
	for _, s := range sources(t) {
		if filepath.Dir(s.path) != "pkg/wire" {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil || !givesABody(f) {
				continue
			}
			made++
			if !slices.ContainsFunc([]string{"prescan", "scanWhole", "scan"}, func(walk string) bool { return len(callsOf(f, walk)) > 0 }) {
				t.Errorf("%s: %s reads a body that it did not walk through (prescan, scanWhole)", s.path, f.Name.Name)
			}
		}
	}
	if made < 2 {
		t.Errorf("%d functions read msgpack: the test does not see them", made)
	}
}

// givesABody reports whether a function makes a reader of a body, or sets one's.
func givesABody(f *ast.FuncDecl) (gives bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if name, ok := n.Type.(*ast.Ident); ok && name.Name == "reader" && len(n.Elts) > 0 {
				gives = true
			}
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				if field, ok := left.(*ast.SelectorExpr); ok && field.Sel.Name == "body" && fmt.Sprint(field.X) == "w" {
					gives = true
				}
			}
		}
		return true
	})
	return gives
}

// callsOf are the calls of a function or method of this name.
func callsOf(in ast.Node, name string) (calls []*ast.CallExpr) {
	ast.Inspect(in, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch f := call.Fun.(type) {
		case *ast.Ident:
			if f.Name == name {
				calls = append(calls, call)
			}
		case *ast.SelectorExpr:
			if f.Sel.Name == name {
				calls = append(calls, call)
			}
		}
		return true
	})
	return calls
}

// into says which argument of a call is decoded into: of those of pkg/wire, and of
// those that hand such a pointer on.
var into = map[string]int{"DecodeBody": 1, "DecodeReply": 1, "decodeBody": 1, "decodeJSON": 1, "decodeObject": 1, "decodeRest": 0, "decodeList": 1, "decodeRequest": 1, "DecodeStored": 1, "decodeStored": 1, "control": 3, "query": 3, "readAnswer": 2, "decodeAnswer": 1}

// typed are all types that messages are decoded into by a library.
var typed = map[string]reflect.Type{
	"protocol.LoadRequest":   reflect.TypeFor[protocol.LoadRequest](),
	"protocol.LoadReply":     reflect.TypeFor[protocol.LoadReply](),
	"protocol.PageRequest":   reflect.TypeFor[protocol.PageRequest](),
	"protocol.ModelList":     reflect.TypeFor[protocol.ModelList](),
	"protocol.StackState":    reflect.TypeFor[protocol.StackState](),
	"protocol.Event":         reflect.TypeFor[protocol.Event](),
	"protocol.ModelSpec":     reflect.TypeFor[protocol.ModelSpec](),
	"protocol.Profile":       reflect.TypeFor[protocol.Profile](),
	"protocol.WorkerState":   reflect.TypeFor[protocol.WorkerState](),
	"protocol.LiveStats":     reflect.TypeFor[protocol.LiveStats](),
	"protocol.DoorRecord":    reflect.TypeFor[protocol.DoorRecord](),
	"protocol.Question":      reflect.TypeFor[protocol.Question](),
	"protocol.InferResponse": reflect.TypeFor[protocol.InferResponse](),
	"explain.Report":         reflect.TypeFor[explain.Report](),
	"inferJSON":              reflect.TypeFor[inferJSON](),
	"httpJSON":               reflect.TypeFor[httpJSON](),
	"httpInput":              reflect.TypeFor[httpInput](),
	"httpOutput":             reflect.TypeFor[httpOutput](),
	"tensorHead":             reflect.TypeFor[tensorHead](),
	"tensorJSON":             reflect.TypeFor[tensorJSON](),
	"objectJSON":             reflect.TypeFor[objectJSON](),
	"[]objectJSON":           reflect.TypeFor[[]objectJSON](),
	"responseJSON":           reflect.TypeFor[responseJSON](),
	"responseMsgpack":        reflect.TypeFor[responseMsgpack](),
	"errorBody":              reflect.TypeFor[errorBody](),
	"wire.StoredStage":       reflect.TypeFor[StoredStage](),
	"wire.StoredModel":       reflect.TypeFor[StoredModel](),
	"wire.StoredQuarantine":  reflect.TypeFor[StoredQuarantine](),
	"wire.StoredClaim":       reflect.TypeFor[StoredClaim](),
	"wire.StoredLease":       reflect.TypeFor[StoredLease](),
	"wire.StoredFence":       reflect.TypeFor[StoredFence](),
}

func TestMessagesAreDecodedIntoTypedStructsOnly(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			for name, at := range into {
				for _, call := range callsOf(f, name) {
					if at >= len(call.Args) {
						continue // another function of this name
					}
					for _, of := range targets(s, f, call.Args[at]) {
						seen[of] = true
						if typed[of] == nil {
							t.Errorf("%s: %s decodes into %s: give typed a row of a struct that it is", s.path, f.Name.Name, of)
						}
					}
				}
			}
		}
	}
	for name, of := range typed {
		if !seen[name] {
			t.Errorf("nothing is decoded into %s any more", name)
		}
		if where := untyped(of, name); where != "" {
			t.Errorf("%s may hold anything", where)
		}
	}
}

// targets are the types that an argument points to, as they are written: that of
// a variable of the function, or those that a generic function is used with.
// What a function was given itself counts where it was called.
func targets(s source, f *ast.FuncDecl, argument ast.Expr) []string {
	if made, ok := argument.(*ast.CallExpr); ok && fmt.Sprint(made.Fun) == "new" {
		return []string{written(made.Args[0])}
	}
	pointer, ok := argument.(*ast.UnaryExpr)
	if !ok {
		if _, forwards := into[f.Name.Name]; forwards && isParameter(f, argument) {
			return nil
		}
		return []string{"what was given to " + f.Name.Name}
	}
	var used []string
	for _, of := range declared(f, fmt.Sprint(pointer.X)) {
		if f.Type.TypeParams == nil || of != f.Type.TypeParams.List[0].Names[0].Name {
			used = append(used, of)
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if use, ok := n.(*ast.IndexExpr); ok && fmt.Sprint(use.X) == f.Name.Name {
				used = append(used, written(use.Index))
			}
			return true
		})
	}
	return used
}

func isParameter(f *ast.FuncDecl, e ast.Expr) bool {
	for _, p := range f.Type.Params.List {
		for _, name := range p.Names {
			if name.Name == fmt.Sprint(e) {
				return true
			}
		}
	}
	return false
}

// declared are the types of the variables and results of this name in a function.
func declared(f *ast.FuncDecl, name string) (types []string) {
	add := func(names []*ast.Ident, of ast.Expr) {
		for _, v := range names {
			if v.Name == name {
				types = append(types, written(of))
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			add(n.Names, n.Type)
		case *ast.Field:
			add(n.Names, n.Type)
		}
		return true
	})
	if types == nil {
		types = []string{name + ", whose type is not written"}
	}
	return types
}

// written is a type as it stands in the source.
func written(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return written(e.X) + "." + e.Sel.Name
	case *ast.ArrayType:
		return "[]" + written(e.Elt)
	case *ast.StarExpr:
		return "*" + written(e.X)
	}
	return fmt.Sprintf("a %T", e)
}

// untyped is where a type holds an interface, "" where it holds none.
func untyped(of reflect.Type, at string) string {
	switch of.Kind() {
	case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return at
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return untyped(of.Elem(), at)
	case reflect.Map:
		return untyped(of.Elem(), at) // of as many keys as elements are let pass
	case reflect.Struct:
		if of.PkgPath() == "time" {
			return ""
		}
		for i := range of.NumField() {
			field := of.Field(i)
			if where := untyped(field.Type, at+"."+field.Name); where != "" {
				return where
			}
		}
	}
	return ""
}
