//go:build !linux || static

package onnx

import (
	"errors"

	"clockwork/pkg/adapter/backend"
)

// Opening the runtime's shared library takes the system's own loader, so a
// static binary cannot.
var errAbsent = errors.New("this build has no onnx backend, which takes Linux and a build without the tag static; use the emulated backend here")

// Available is why this build has no onnx backend.
func Available() error { return errAbsent }

// Backend is not available here.
type Backend struct{ backend.Backend }

// New always fails here.
func New(Options) (*Backend, error) { return nil, errAbsent }

// Inventory always fails here.
func Inventory() (backend.Inventory, error) { return backend.Inventory{}, errAbsent }

// CheckModel always fails here.
func CheckModel(library, file, save string) error { return errAbsent }
