package main

import "clockwork/pkg/adapter/backend/onnx"

type executeCommand struct {
	Library string `arg:"" help:"ONNX Runtime's shared library."`
}

// Run executes models, which may end this process.
func (k *executeCommand) Run() error { return onnx.ExecuteModels(k.Library) }
