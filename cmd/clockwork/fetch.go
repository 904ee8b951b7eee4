package main

import (
	"fmt"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/adapter/fetch"
)

type fetchCommand struct {
	Models string `default:"./models" placeholder:"DIR" help:"Model directory to put the text recognition model into, as ocr_rec; by default ./models."`
}

// Run fetches the files that --backend onnx needs.
func (k *fetchCommand) Run(c *cli.Flags, con *cli.Console) error {
	ctx, cancel := cli.Interruptible()
	defer cancel()
	f := fetch.Fetcher{Progress: serve.FetchProgress(con.Display)}
	library, err := f.Library(ctx)
	if err == nil {
		err = f.Models(ctx, k.Models)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return cli.PrintJSON(con.Out, map[string]string{"onnx_library": library, "models": k.Models, "model": fetch.OCRModel})
	}
	con.Display.Line(fmt.Sprintf("library  %s\nmodel    %s in %s", library, fetch.OCRModel, k.Models))
	con.Display.Line("next     clockwork up --backend onnx, and clockwork load " + fetch.OCRModel)
	return con.Display.Done()
}
