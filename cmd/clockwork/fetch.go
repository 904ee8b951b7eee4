package main

import (
	"context"
	"fmt"
	"path"

	"clockwork/pkg/adapter/fetch"
	"clockwork/pkg/watch/terminal"
)

type fetchCommand struct {
	Models string `default:"./models" placeholder:"DIR" help:"Model directory to put the text recognition model into, as ocr_rec; by default ./models."`
}

// Run fetches what --backend onnx needs.
func (k *fetchCommand) Run(c *cli, con *console) error {
	ctx, cancel := interruptible()
	defer cancel()
	f := fetch.Fetcher{Progress: fetchProgress(con.display)}
	library, err := f.Library(ctx)
	if err == nil {
		err = f.Models(ctx, k.Models)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(con.out, map[string]string{"onnx_library": library, "models": k.Models, "model": fetch.OCRModel})
	}
	con.display.Line(fmt.Sprintf("library  %s\nmodel    %s in %s", library, fetch.OCRModel, k.Models))
	con.display.Line("next     clockwork up --backend onnx, and clockwork load " + fetch.OCRModel)
	return con.display.Done()
}

// shower is a display, or what passes on to one.
type shower interface {
	Line(text string)
	Bar(label string, done, total int, note string)
}

// fetchProgress shows files as bars, once for each percent: unpacking reports
// thousands of small writes.
func fetchProgress(show shower) func(fetch.Event) {
	last := map[string]int64{}
	return func(e fetch.Event) {
		if e.File == "" {
			text := e.Text
			if text == "cached" {
				text = e.Package + " is cached"
			}
			show.Line(text)
			return
		}
		label := path.Base(e.File)
		percent := e.Done * 100 / max(1, e.Total)
		if before, seen := last[label]; seen && before == percent && e.Done < e.Total {
			return
		}
		last[label] = percent
		show.Bar(label, int(percent), 100, "% of "+terminal.Bytes(e.Total)+", checked")
	}
}

// ensure fetches what was not given, and returns the library and a model
// directory that holds the recognition model.
func (k *demoCommand) ensure(ctx context.Context, s *stack) (library, models string, err error) {
	f := fetch.Fetcher{Progress: fetchProgress(s)}
	library, models = k.ONNXLibrary, k.Models
	if library == "" {
		if library, err = f.Library(ctx); err != nil {
			return "", "", err
		}
	}
	if models == "" {
		models = path.Join(s.scratch, "models")
		if err = f.Models(ctx, models); err != nil {
			return "", "", err
		}
	}
	return library, models, nil
}
