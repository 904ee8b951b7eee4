//go:build linux && !static

package onnx

import (
	"context"
	"testing"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/fetch"
)

// BenchmarkColdLoad loads a model that no cache holds: it is checked, optimised
// in a child process and warmed.
func BenchmarkColdLoad(b *testing.B) {
	b.Run("recognition", func(b *testing.B) { benchColdLoad(b, recognition(b, plainConfig), fetch.OCRModel) })
	b.Run("large", func(b *testing.B) {
		root := b.TempDir()
		writeModel(b, root, "large", affine(0, 5200, 5000), "max_batch: 1\n")
		benchColdLoad(b, root, "large")
	})
}

func benchColdLoad(b *testing.B, root, name string) {
	made := withModels(b, root, func(o *Options) {
		o.GPUs, o.Pages, o.PageSize, o.Checker = 1, 8, 16<<20, checker(b, "check")
	})
	for b.Loop() {
		made.cache.dir = b.TempDir()
		m, err := made.LoadModel(context.Background(), name, backend.LoadOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
