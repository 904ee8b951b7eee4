//go:build linux

package onnx

import (
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"clockwork/pkg/fetch"
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
// each, and the ratio.
func compare(b *testing.B, subject, yardstick func()) {
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
	backend := benchBackend(b, root)
	m := load(b, backend, name)
	d := backend.Devices()[0]
	bare, err := newRegion(m.spec.WeightsBytes, true)
	if err != nil {
		b.Fatal(err)
	}
	defer bare.close()
	var failure error
	b.SetBytes(m.spec.WeightsBytes)
	evicted := make(chan error) // elsewhere, so that no CPU time of it counts
	loaded := make(chan func() error)
	go func() {
		for drop := range loaded {
			evicted <- drop()
		}
	}()
	defer close(loaded)
	pending := false
	compare(b, func() {
		w, err := d.LoadWeights(m, frames)
		if err != nil {
			failure = err
			b.FailNow()
		}
		loaded <- w.Evict
		pending = true
	}, func() {
		if pending {
			pending, failure = false, <-evicted
		}
		copy(bare.bytes(), m.block.bytes()[:m.spec.WeightsBytes])
	})
	if pending {
		failure = <-evicted
	}
	if failure != nil {
		b.Fatal(failure)
	}
}

// BenchmarkInfer compares the lifted session with a plain one, whose weights
// are constants, at batch 1 of the recognition model.
func BenchmarkInfer(b *testing.B) {
	root := recognition(b, plainConfig)
	backend := benchBackend(b, root)
	m := load(b, backend, fetch.OCRModel)
	d := backend.Devices()[0]
	w := loadWeights(b, d, m, 0)
	defer evict(b, w)
	plain := plainSession(b, backend.lib, filepath.Join(root, "ocr_rec/1/model.onnx"))
	stage, err := m.newStage(1)
	if err != nil {
		b.Fatal(err)
	}
	defer stage.close(backend.lib)
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
	})
	for _, err := range failures {
		if err != nil {
			b.Fatal(err)
		}
	}
}
