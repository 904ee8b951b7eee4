package main

import (
	"fmt"

	"clockwork/pkg/adapter/fetch"
)

type fetchCommand struct {
	Models string `default:"./models" placeholder:"DIR" help:"Model directory to put the text recognition model into, as ocr_rec; by default ./models."`
}

// Run fetches what --backend onnx needs.
func (k *fetchCommand) Run(c *flags, con *console) error {
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
