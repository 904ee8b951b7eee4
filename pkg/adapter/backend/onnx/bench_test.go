//go:build linux && !static

package onnx

import (
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/fetch"
)

// threadTime returns the CPU time of the calling thread in nanoseconds.
func threadTime(b *testing.B) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return t.Nano()
}

// compare runs two things by turns and reports the median thread CPU time of
// each, and the ratio. reset undoes the subject, and is not timed.
func compare(b *testing.B, subject, yardstick, reset func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var times [2][]int64
	for i := 0; b.Loop(); i++ {
		for j := range 2 { // who goes first changes
			which := (i + j) % 2
			begin := threadTime(b)
			if which == 0 {
				subject()
			} else {
				yardstick()
			}
			times[which] = append(times[which], threadTime(b)-begin)
			if which == 0 {
				reset()
			}
		}
	}
	var median [2]float64
	for i := range times {
		slices.Sort(times[i])
		median[i] = float64(times[i][len(times[i])/2])
	}
	b.ReportMetric(median[0]/1e3, "us/subject")
	b.ReportMetric(median[1]/1e3, "us/yardstick")
	b.ReportMetric(median[0]/median[1], "ratio")
}

// benchBackend has pages of 16 MiB, as workers do.
func benchBackend(b *testing.B, root string) *Backend {
	return withModels(b, root, func(o *Options) { o.GPUs, o.Pages, o.PageSize = 1, 8, 16<<20 })
}

// BenchmarkLoadWeights compares LoadWeights of the recognition model, and of
// 104 MB in scattered pages, with a bare copy of as many bytes into memory
// that was touched. Evict is not timed.
func BenchmarkLoadWeights(b *testing.B) {
	b.Run("recognition", func(b *testing.B) {
		benchLoad(b, recognition(b, plainConfig), fetch.OCRModel, []int{3})
	})
	b.Run("scattered", func(b *testing.B) {
		root := b.TempDir()
		writeModel(b, root, "large", affine(0, 5200, 5000), "max_batch: 1\n")
		benchLoad(b, root, "large", []int{6, 0, 3, 1, 7, 2, 5})
	})
}

func benchLoad(b *testing.B, root, name string, frames []int) {
	made := benchBackend(b, root)
	m := load(b, made, name)
	d := made.Devices()[0]
	bare, err := newRegion(m.spec.WeightsBytes, true)
	if err != nil {
		b.Fatal(err)
	}
	defer bare.close()
	var w backend.Weights
	var failures [2]error
	b.SetBytes(m.spec.WeightsBytes)
	compare(b, func() { w, failures[0] = d.LoadWeights(m, frames) },
		func() { copy(bare.bytes(), m.block.bytes()[:m.spec.WeightsBytes]) },
		func() {
			if failures[0] == nil {
				failures[1] = w.Evict()
			}
			if err := errors.Join(failures[:]...); err != nil {
				b.Fatal(err)
			}
		})
}

// BenchmarkInfer compares the lifted session with a plain one, whose weights
// are constants, at batch 1 of the recognition model. What the lifted one lacks
// is that ORT packs constant matrices when it makes a session: a plain session
// without that (session.disable_prepacking) takes as long as the lifted one.
func BenchmarkInfer(b *testing.B) {
	root := recognition(b, plainConfig)
	made := benchBackend(b, root)
	m := load(b, made, fetch.OCRModel)
	d := made.Devices()[0]
	w := loadWeights(b, d, m, 0)
	defer evict(b, w)
	plain := plainSession(b, made.lib, filepath.Join(root, "ocr_rec/1/model.onnx"))
	stage, err := m.newStage(1)
	if err != nil {
		b.Fatal(err)
	}
	defer stage.close(made.lib)
	m.fillGenerated(stage, 1)
	x := newNames([]string{"x"})
	r, err := d.Stage(m, 1, []int{1}, [][]byte{nil})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Release()
	var failures [2]error
	compare(b, func() { failures[0] = r.Execute(w) }, func() {
		failures[1] = plain.run(x, stage.values[:1], m.outputNames, stage.results)
	}, func() {})
	for _, err := range failures {
		if err != nil {
			b.Fatal(err)
		}
	}
}
