package integration

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"clockwork/pkg/protocol"
)

// maxDocLine bounds a line of the documentation, so that it is readable in a
// terminal and in a diff. Output of programs in fences, and the table written by
// make matrix, are exempt.
const maxDocLine = 120

// docPages returns the pages of the documentation by their paths relative to
// this directory.
func docPages(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/adr/*.md", "../pkg/*/*/README.md", "../pkg/*/*/*/README.md", "../integration/*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range found {
			body, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			pages[page] = string(body)
		}
	}
	if len(pages) < 20 {
		t.Fatalf("%d pages: the test does not see them", len(pages))
	}
	return pages
}

func TestLinesOfTheDocumentationFit(t *testing.T) {
	for page, body := range docPages(t) {
		fenced, written := false, false
		for i, line := range strings.Split(body, "\n") {
			switch {
			case strings.HasPrefix(strings.TrimSpace(line), "```"):
				fenced = !fenced
			case strings.HasPrefix(line, "<!--"):
				written = strings.Contains(line, "writes what follows")
			}
			if n := utf8.RuneCountInString(line); n > maxDocLine && !fenced && !written {
				t.Errorf("%s:%d has %d characters; at most %d", page, i+1, n, maxDocLine)
			}
		}
	}
}

// TestTheTableOfCodesIsThatOfTheDocumentation, with the status of each over HTTP and gRPC.
func TestTheTableOfCodesIsThatOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	seenBy := map[protocol.Audience]string{protocol.ForClients: "client", protocol.ForWorkers: "worker", protocol.ForClients | protocol.ForWorkers: "both"}
	for _, row := range protocol.Codes {
		retry := "no"
		if row.Retryable {
			retry = "yes"
		}
		want := fmt.Sprintf("- `%s`\n  - number: %d\n  - gRPC: %s\n  - retry: %s\n  - seen by: %s\n  - meaning: ", row.Code, row.Number, row.GRPC, retry, seenBy[row.Audience])
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/protocol.md lacks\n%s", want)
		}
	}
}

func TestTheReadmeFitsOnAFewScreens(t *testing.T) {
	body, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(body), "\n"); n > 150 {
		t.Errorf("README.md has %d lines; at most 150: what is beyond them belongs into docs", n)
	}
}

// These match references in the documentation. Go's expressions take time linear
// in the text.
var (
	docTest = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9_]*(?:\.\.\.)?`)
	docPath = regexp.MustCompile(`(?:^|[^A-Za-z0-9_/.@-])(?:\./)?((?:pkg|services|cmd|integration|deploy)/[A-Za-z0-9_./*-]*)`)
	docLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)

	// A test, a package at the start of a bracket, or the end of a sentence.
	docHome = regexp.MustCompile(docTest.String() + `|\((?:integration|(?:pkg|services|cmd)/[a-z/]+)[,:)]|[.:;](?:\s|$)`)
	// An item that lists the tests of a package.
	docItem = regexp.MustCompile(`^\s*- ((?:integration|(?:pkg|services|cmd)/[a-z/]+)(?:, [a-z/]+)*): `)
)

func TestThePathsThatTheDocumentationNamesExist(t *testing.T) {
	seen := 0
	for page, body := range docPages(t) {
		for i, line := range strings.Split(body, "\n") {
			for _, m := range docPath.FindAllStringSubmatch(line, -1) {
				path := strings.TrimSuffix(strings.TrimRight(m[1], "."), "/")
				seen++
				if found, err := filepath.Glob(filepath.Join("..", path)); err != nil || len(found) == 0 {
					t.Errorf("%s:%d names %s, which is not there", page, i+1, path)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("%d paths: the test does not see them", seen)
	}
}

// docMethod is a method in the documentation, and the file that it is said to be in; "there"
// is the one before.
var docMethod = regexp.MustCompile("`\\(\\*?(\\w+)\\)\\.(\\w+)`\\s+(?:in\\s+`([A-Za-z0-9_./-]+)`|there)?")

// TestTheMethodsThatTheArchitectureNamesExist, where it says that they are.
func TestTheMethodsThatTheArchitectureNamesExist(t *testing.T) {
	body, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	methods := methodsOfTheTree(t)
	found, home := docMethod.FindAllStringSubmatch(string(body), -1), ""
	for _, m := range found {
		if m[3] != "" {
			home = m[3]
		} else if !strings.HasSuffix(m[0], "there") {
			home = "(no file)"
		}
		if files := methods[m[1]+"."+m[2]]; !slices.Contains(files, home) {
			t.Errorf("docs/architecture.md names (*%s).%s in %s; it is in %v", m[1], m[2], home, files)
		}
	}
	if len(found) < 8 {
		t.Errorf("%d methods: the test does not see them", len(found))
	}
}

// methodsOfTheTree returns the files of each method, as Type.method, tests excepted.
func methodsOfTheTree(t *testing.T) map[string][]string {
	t.Helper()
	method := regexp.MustCompile(`(?m)^func \(\w* ?\*?(\w+)(?:\[[^\]]*\])?\) (\w+)\(`)
	methods := map[string][]string{}
	for _, top := range []string{"pkg", "services", "cmd"} {
		err := fs.WalkDir(os.DirFS(".."), top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			body, err := os.ReadFile(filepath.Join("..", path))
			for _, m := range method.FindAllStringSubmatch(string(body), -1) {
				methods[m[1]+"."+m[2]] = append(methods[m[1]+"."+m[2]], path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return methods
}

// TestTheArchitectureDrawsEachPackage: each folder of pkg stands in the drawing of the tree.
func TestTheArchitectureDrawsEachPackage(t *testing.T) {
	body, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, drawing, _ := strings.Cut(string(body), "\n## Folders\n")
	drawing, _, _ = strings.Cut(drawing, "\n## ")
	files, err := filepath.Glob("../pkg/*/*/*.go")
	if err != nil || len(files) < 100 {
		t.Fatalf("%v, %d files", err, len(files))
	}
	seen := map[string]bool{}
	for _, doc := range files {
		name := filepath.Base(filepath.Dir(doc))
		if seen[name] {
			continue
		}
		if seen[name] = true; !regexp.MustCompile(`\b` + name + `/`).MatchString(drawing) {
			t.Errorf("%s is not in the drawing of docs/architecture.md", filepath.Dir(doc))
		}
	}
}

// TestThePathsThatPackageCommentsNameExist.
func TestThePathsThatPackageCommentsNameExist(t *testing.T) {
	docs, err := filepath.Glob("../*/*/*/doc.go")
	if err != nil || len(docs) < 20 {
		t.Fatalf("%v, %d comments", err, len(docs))
	}
	for _, doc := range docs {
		body, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range docPath.FindAllStringSubmatch(string(body), -1) {
			path := strings.TrimSuffix(strings.TrimRight(m[1], "."), "/")
			if found, err := filepath.Glob(filepath.Join("..", path)); err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which is not there", doc, path)
			}
		}
	}
}

func TestTheTestsThatTheDocumentationNamesExist(t *testing.T) {
	homes := testsOfTheTree(t)
	seen, placed := 0, 0
	for page, body := range docPages(t) {
		for _, item := range docItems(body) {
			item.page = page
			seen += len(docTest.FindAllString(item.text, -1))
			placed += item.check(t, homes)
		}
	}
	if seen < 150 || placed < 100 {
		t.Errorf("%d tests, %d of them with a package: the test does not see them", seen, placed)
	}
}

// docText is a paragraph or a list item, its lines joined by blanks.
type docText struct {
	page string
	line int
	text string
}

func docItems(body string) []docText {
	var items []docText
	begun := false
	for i, line := range strings.Split(body, "\n") {
		bare := strings.TrimSpace(line)
		switch {
		case bare == "":
			begun = false
		case !begun, strings.HasPrefix(bare, "- "), strings.HasPrefix(bare, "|"):
			items = append(items, docText{line: i + 1, text: line})
			begun = true
		default:
			items[len(items)-1].text += " " + bare
		}
	}
	return items
}

// check checks that each test named by the item exists and, if a package follows
// in brackets or opens the item, that the test is in that package. It returns
// how many tests had a package.
func (d docText) check(t *testing.T, homes map[string][]string) int {
	t.Helper()
	placed := 0
	stands := func(names []string, packages ...string) {
		for _, name := range names {
			placed++
			for _, p := range packages {
				if !slices.Contains(homes[name], p) {
					t.Errorf("%s:%d: %s does not stand in %s (but in %v)", d.page, d.line, name, p, homes[name])
				}
			}
		}
	}
	if m := docItem.FindStringSubmatch(d.text); m != nil {
		packages := strings.Split(m[1], ", ")
		for i := range packages {
			if i > 0 && !strings.Contains(packages[i], "/") && packages[i] != "integration" {
				packages[i] = filepath.Join(filepath.Dir(packages[0]), packages[i])
			}
		}
		for _, name := range docTest.FindAllString(d.text, -1) {
			stands([]string{name}, packages...)
		}
		return placed
	}
	var names []string
	for _, word := range docHome.FindAllString(d.text, -1) {
		switch {
		case strings.HasPrefix(word, "("):
			stands(names, strings.Trim(word, "(),:"))
			names = nil
		case docTest.MatchString(word):
			if prefix, cut := strings.CutSuffix(word, "..."); cut {
				if !begins(homes, prefix) {
					t.Errorf("%s:%d: no test begins with %s", d.page, d.line, prefix)
				}
			} else if homes[word] == nil {
				t.Errorf("%s:%d: there is no %s", d.page, d.line, word)
			} else {
				names = append(names, word)
			}
		default:
			names = nil
		}
	}
	return placed
}

func begins(homes map[string][]string, prefix string) bool {
	for name := range homes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// testsOfTheTree returns the directories of the functions that go test runs, by
// name.
func testsOfTheTree(t *testing.T) map[string][]string {
	t.Helper()
	declared := regexp.MustCompile(`^func (` + docTest.String() + `)\(`)
	homes := map[string][]string{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		dir, err := filepath.Rel("..", filepath.Dir(path))
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if m := declared.FindStringSubmatch(lines.Text()); m != nil && !slices.Contains(homes[m[1]], dir) {
				homes[m[1]] = append(homes[m[1]], filepath.ToSlash(dir))
			}
		}
		return lines.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return homes
}

func TestLinksOfTheDocumentationResolve(t *testing.T) {
	pages := docPages(t)
	anchors := map[string]map[string]bool{}
	for page, body := range pages {
		anchors[page] = docAnchors(body)
	}
	seen := 0
	for page, body := range pages {
		for i, line := range strings.Split(withoutFences(body), "\n") {
			for _, m := range docLink.FindAllStringSubmatch(line, -1) {
				target, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				seen++
				file := page
				if target != "" {
					file = filepath.Join(filepath.Dir(page), target)
				}
				if _, err := os.Stat(file); err != nil {
					t.Errorf("%s:%d links to %s, which is not there", page, i+1, m[1])
				} else if anchor != "" && !anchors[file][anchor] {
					t.Errorf("%s:%d links to %s: no heading is called so", page, i+1, m[1])
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("%d links: the test does not see them", seen)
	}
}

// docAnchors returns GitHub's anchors of a page's headings.
func docAnchors(body string) map[string]bool {
	anchors := map[string]bool{}
	for _, line := range strings.Split(withoutFences(body), "\n") {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		slug := strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, strings.TrimSpace(heading))
		name := slug
		for n := 1; anchors[name]; n++ {
			name = fmt.Sprintf("%s-%d", slug, n)
		}
		anchors[name] = true
	}
	return anchors
}

// withoutFences returns the text with its fenced lines empty.
func withoutFences(body string) string {
	lines := strings.Split(body, "\n")
	fenced := false
	for i, line := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if fence {
			fenced = !fenced
		}
		if fence || fenced {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "\n")
}
