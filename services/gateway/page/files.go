package page

import (
	"embed"
	"fmt"
	"path"
)

//go:embed files
var embedded embed.FS

// Policy is the Content-Security-Policy of the page: nothing from elsewhere, no script and no
// style within the markup, and no other page around it.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// File is a file of the page.
type File struct {
	Type string // of its content
	Body []byte
}

var types = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// Files are the files by their names.
var Files = read()

func read() map[string]File {
	files := map[string]File{}
	entries, err := embedded.ReadDir("files")
	for _, e := range entries {
		var body []byte
		if body, err = embedded.ReadFile(path.Join("files", e.Name())); err != nil {
			break
		}
		files[e.Name()] = File{types[path.Ext(e.Name())], body}
	}
	if err != nil { // they are part of the binary
		panic(fmt.Sprintf("read the page: %v", err))
	}
	return files
}
