package main

import "clockwork/pkg/adapter/backend/onnx"

type checkModelCommand struct {
	Library string `arg:"" help:"ONNX Runtime's shared library."`
	File    string `arg:"" help:"The model, - for the standard input."`
	Save    string `arg:"" optional:"" help:"Where the optimised model goes, a file or a pipe; nowhere by default."`
}

// Run checks a model; a hostile one may crash this process.
func (k *checkModelCommand) Run() error { return onnx.CheckModel(k.Library, k.File, k.Save) }
