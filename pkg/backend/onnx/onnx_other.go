//go:build !linux

package onnx

import (
	"errors"

	"clockwork/pkg/backend"
)

var errLinux = errors.New("the onnx backend runs on Linux only; use the emulated backend here")

// Backend is not available here.
type Backend struct{ backend.Backend }

// New always fails here.
func New(Options) (*Backend, error) { return nil, errLinux }

// CheckModel always fails here.
func CheckModel(library, file string) error { return errLinux }
