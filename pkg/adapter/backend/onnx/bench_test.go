//go:build linux && !static

package onnx

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/fetch"
)

// compare runs two things by turns and reports the median time of each, their
// difference and their ratio. What undoes each is not timed.
func compare(b *testing.B, subject, yardstick, undoSubject, undoYardstick func()) {
	var times [2][]time.Duration
	for i := 0; b.Loop(); i++ {
		for j := range 2 { // who goes first changes
			which := (i + j) % 2
			begin := time.Now()
			if which == 0 {
				subject()
			} else {
				yardstick()
			}
			times[which] = append(times[which], time.Since(begin))
			if which == 0 {
				undoSubject()
			} else {
				undoYardstick()
			}
		}
	}
	var median, tail [2]float64
	for i := range times {
		slices.Sort(times[i])
		median[i] = float64(times[i][len(times[i])/2].Nanoseconds()) / 1e3
		tail[i] = float64(times[i][len(times[i])*99/100].Nanoseconds()) / 1e3
	}
	b.ReportMetric(median[0], "us/subject")
	b.ReportMetric(median[1], "us/yardstick")
	b.ReportMetric(median[0]-median[1], "us/added")
	b.ReportMetric(tail[0]-tail[1], "us/added-p99")
	b.ReportMetric(median[0]/median[1], "ratio")
}

// benchBackend has pages of 16 MiB, as workers do.
func benchBackend(b *testing.B, root string) *Backend {
	return withModels(b, root, func(o *Options) { o.GPUs, o.Pages, o.PageSize = 1, 8, 16<<20 })
}

// BenchmarkLoadWeights compares LoadWeights of the recognition model, and of
// 104 MB in scattered pages, by the executor's process and by an engine in this one.
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
	e := engineWith(b, m)
	var w backend.Weights
	b.SetBytes(m.spec.WeightsBytes)
	compare(b, func() {
		var err error
		if w, err = d.LoadWeights(m, frames); err != nil {
			b.Fatal(err)
		}
	}, func() {
		if refusal := e.load(&loadTask{1, m.id, frames}); refusal != nil {
			b.Fatal(refusal)
		}
	}, func() { evict(b, w) }, func() {
		if refusal := e.evict(&evictTask{1}); refusal != nil {
			b.Fatal(refusal)
		}
	})
}

// BenchmarkExecute compares what a batch takes, from its inputs to its outputs, with the
// executor in a process of its own and with its engine in this process: a tiny model, one
// that hardly computes on 600 kB, and the recognition model with its head (110 kB in, 192 B
// out).
func BenchmarkExecute(b *testing.B) {
	b.Run("tiny", func(b *testing.B) {
		root := b.TempDir()
		writeModel(b, root, "affine", affine(0, in, out), "max_batch: 1\n")
		benchExecute(b, root, "affine")
	})
	b.Run("600kB", func(b *testing.B) {
		root := b.TempDir()
		file := onnxModel(13, onnxGraph([][]byte{node("Relu", []string{"x"}, "y")}, nil,
			[][]byte{openBatch("x", 150_000)}, [][]byte{valueInfo("y", 1, nil)}))
		writeModel(b, root, "relu", file, "max_batch: 1\n")
		benchExecute(b, root, "relu")
	})
	b.Run("recognition", func(b *testing.B) { benchExecute(b, recognition(b, plainConfig+"head: argmax\n"), fetch.OCRModel) })
}

func benchExecute(b *testing.B, root, name string) {
	made := benchBackend(b, root)
	m := load(b, made, name)
	d := made.Devices()[0]
	w := loadWeights(b, d, m, 0)
	defer evict(b, w)
	e := engineWith(b, m)
	if refusal := e.load(&loadTask{1, m.id, []int{0}}); refusal != nil {
		b.Fatal(refusal)
	}
	defer e.evict(&evictTask{1})
	s, err := m.newStage(1)
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	if refusal := e.bind(&bindTask{s.id, m.id, 1}, s.file); refusal != nil {
		b.Fatal(refusal)
	}
	input := slices.Clone(m.generated)
	compare(b, func() { infer(b, d, m, w, 1, []int{1}, [][]byte{input}) }, func() {
		s.tensors.fill(&m.spec, 0, 1, input)
		if refusal := e.run(s.id, 1); refusal != nil {
			b.Fatal(refusal)
		}
		s.tensors.payload(&m.spec, 0, 1)
	}, func() {}, func() {})
}

// BenchmarkInfer compares the lifted model with a plain one, whose weights are constants,
// at batch 1 of the recognition model, both in this process. What the lifted one lacks
// is that ORT packs constant matrices when it makes a session: a plain session
// without that (session.disable_prepacking) takes as long as the lifted one.
func BenchmarkInfer(b *testing.B) {
	root := recognition(b, plainConfig)
	m := load(b, benchBackend(b, root), fetch.OCRModel)
	e := engineWith(b, m)
	if refusal := e.load(&loadTask{1, m.id, []int{0}}); refusal != nil {
		b.Fatal(refusal)
	}
	defer e.evict(&evictTask{1})
	s, err := m.newStage(1)
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	if refusal := e.bind(&bindTask{s.id, m.id, 1}, s.file); refusal != nil {
		b.Fatal(refusal)
	}
	plain := plainModel(b, filepath.Join(root, "ocr_rec/1/model.onnx"), m)
	bare, refusal := plain.generatedBatch(1)
	if refusal != nil {
		b.Fatal(refusal)
	}
	defer bare.close()
	s.tensors.fill(&m.spec, 0, 1, m.generated)
	compare(b, func() {
		if refusal := e.run(s.id, 1); refusal != nil {
			b.Fatal(refusal)
		}
	}, func() {
		if err := bare.run(nil); err != nil {
			b.Fatal(err)
		}
	}, func() {}, func() {})
}

// BenchmarkRestart is from the end of an executor until the next one has a model's weights,
// on a device of 512 MiB as a worker's is by default.
func BenchmarkRestart(b *testing.B) {
	root := recognition(b, plainConfig+"head: argmax\n")
	made := withModels(b, root, func(o *Options) { o.GPUs, o.Pages, o.PageSize = 1, 32, 16<<20 })
	m := load(b, made, fetch.OCRModel)
	d := made.devices[0]
	var times []time.Duration
	for b.Loop() {
		begin := time.Now()
		p := d.executor.now()
		p.end("the benchmark wants it")
		<-p.lost
		w, err := d.LoadWeights(m, []int{0})
		if err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(begin))
		evict(b, w)
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Milliseconds()), "ms/restart")
}
