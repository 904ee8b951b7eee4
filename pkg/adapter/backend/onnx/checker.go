//go:build linux && !static

package onnx

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

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
	if refusal := inspect(model); refusal != nil {
		return refusal
	}
	s, err := newSession(lib, model, optimizeAll, save)
	if err != nil {
		return refusalOf(lib, err)
	}
	s.close()
	return nil
}

// notImplemented is OrtErrorCode's value for an operator without a kernel.
const notImplemented = 9

// notKnown is what ONNX Runtime says of a model that another version of it, or one with more
// operators, may run.
var notKnown = regexp.MustCompile(`(?s)(Unsupported model IR version|ONNX Runtime only \*guarantees\* support|No Op registered for |\S+ is not a registered function/op).*`)

// refusalOf says why ONNX Runtime made no session of a model: it is no model, or is one that
// this version does not run.
func refusalOf(lib *ort, err error) *protocol.Error {
	var refused *ortError
	if !errors.As(err, &refused) {
		return protocol.Errorf(protocol.ModelCorrupt, "ONNX Runtime refuses the model: %v", err)
	}
	said := notKnown.FindString(refused.message)
	if said == "" && refused.code == notImplemented {
		said = refused.message
	}
	if said == "" {
		return protocol.Errorf(protocol.ModelCorrupt, "ONNX Runtime refuses the model: %v", err)
	}
	return protocol.Errorf(protocol.UnsupportedModel, "ONNX Runtime %s does not run the model: %s", lib.version, tidy(said))
}
