//go:build !linux || static

package onnx

import (
	"errors"

	"clockwork/pkg/adapter/backend"
)

// errAbsent: opening the runtime's shared library needs the system's loader, which a
// static binary does not have.
var errAbsent = errors.New("this build has no onnx backend, which takes Linux and a build without the tag static; use the emulated backend here")

// Available returns why this build has no onnx backend.
func Available() error { return errAbsent }

// Backend is not available in this build.
type Backend struct{ backend.Backend }

// New always fails in this build.
func New(Options) (*Backend, error) { return nil, errAbsent }

// Models finds none in this build, which could load none.
func Models(string) []string { return nil }

// Inventory always fails in this build.
func Inventory() (backend.Inventory, error) { return backend.Inventory{}, errAbsent }

// CheckModel always fails in this build.
func CheckModel(library, file, save string) error { return errAbsent }

// ExecuteModels always fails in this build.
func ExecuteModels(library string) error { return errAbsent }
