//go:build linux && !static

package onnx

import (
	"fmt"
	"io"
	"os"

	"clockwork/pkg/protocol"
)

// CheckModel checks a model: its structure, then whether ORT accepts it. file "-" is the
// standard input. With save, the optimised graph is written to the file or pipe of that
// name. CheckModel runs in a process of its own (Options.Checker), since a hostile file
// may crash it, and drops the privileges that the check does not need: see sandbox. The
// error is a *protocol.Error if the model is at fault.
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
