//go:build linux && !static

package onnx

import (
	"fmt"
	"io"
	"os"

	"clockwork/pkg/protocol"
)

// CheckModel tries out a model: its form, then whether ORT takes it. file "-"
// is the standard input. With save, the optimised graph is written to the file
// or pipe of that name. It runs in a process of its own (Options.Checker), for
// a hostile file may end it, and gives up what such a process has no use for:
// see confine. The error is a *protocol.Error where the model is at fault.
func CheckModel(library, file, save string) error {
	in := os.Stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("read model: %w", err)
		}
		defer opened.Close()
		in = opened
	}
	lib, err := openORT(library)
	if err != nil {
		return err
	}
	if err := sandbox(); err != nil {
		return fmt.Errorf("sandbox the model checker: %w", err)
	}
	model, err := io.ReadAll(io.LimitReader(in, DefaultMaxFile))
	if err != nil {
		return fmt.Errorf("read model: %w", err)
	}
	if refusal := tryModel(lib, model, save); refusal != nil {
		return refusal
	}
	return nil
}

func tryModel(lib *ort, model []byte, save string) *protocol.Error {
	if err := inspect(model); err != nil {
		return err
	}
	s, err := newSession(lib, model, optimizeAll, save)
	if err != nil {
		return protocol.Errorf(protocol.ModelCorrupt, "ONNX Runtime refuses the model: %v", err)
	}
	s.close()
	return nil
}
