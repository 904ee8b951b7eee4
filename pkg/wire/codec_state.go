package wire

import (
	"math"
	"slices"

	"clockwork/pkg/protocol"
)

// maxModels bounds the models of a list, since a name of one byte takes the memory of a
// whole spec; a stack has at most 65,536.
const maxModels = 1 << 17

// modelRun is consecutive models that differ in nothing but their names, as copies do.
type modelRun struct {
	spec  protocol.ModelSpec
	names []string
}

// codeModels codes a list of models, what copies have in common once.
func codeModels(k *coder, models *[]protocol.ModelSpec) {
	var runs []modelRun
	if k.encoding {
		runs = runsOf(*models)
	}
	list(k, &runs, func(k *coder, r *modelRun) {
		k.array(2)
		list(k, &r.names, unique)
		codeModel(k, &r.spec)
	})
	if k.encoding {
		return
	}
	total := 0
	for i := range runs {
		total += len(runs[i].names)
	}
	if total > maxModels {
		k.fail("%d models, at most %d are read", total, maxModels)
	}
	if total == 0 || k.in.err != nil {
		return
	}
	*models = make([]protocol.ModelSpec, 0, total)
	for i := range runs {
		for _, name := range runs[i].names {
			spec := runs[i].spec
			spec.Name = name
			*models = append(*models, spec)
		}
	}
}

func runsOf(models []protocol.ModelSpec) (runs []modelRun) {
	for i := range models {
		m := &models[i]
		if last := len(runs) - 1; last < 0 || !sameButName(&runs[last].spec, m) {
			runs = append(runs, modelRun{spec: *m})
		}
		last := &runs[len(runs)-1]
		last.names = append(last.names, m.Name)
	}
	return runs
}

func sameButName(a, b *protocol.ModelSpec) bool {
	return a.Version == b.Version && a.WeightsBytes == b.WeightsBytes && slices.Equal(a.Notes, b.Notes) && a.Differs(b) == ""
}

// codeModel codes all of a model but its name.
func codeModel(k *coder, m *protocol.ModelSpec) {
	k.array(14)
	text(k, &m.Path)
	signed(k, &m.Version, 0, math.MaxInt)
	text(k, &m.Digest)
	text(k, &m.Backend)
	text(k, &m.BackendVersion)
	list(k, &m.Inputs, codeTensorSpec)
	list(k, &m.Outputs, codeTensorSpec)
	checkBytes(k, m.Inputs)
	checkBytes(k, m.Outputs)
	list(k, &m.BatchSizes, count)
	k.flag(&m.AnyBatch)
	k.flag(&m.Mixes)
	k.flag(&m.NoBatch)
	list(k, &m.Notes, text)
	size(k, &m.WeightsBytes)
	count(k, &m.Pages)
}

// checkBytes refuses tensors of more bytes than one item may have.
func checkBytes(k *coder, tensors []protocol.TensorSpec) {
	total := int64(0)
	for i := 0; !k.encoding && i < len(tensors) && k.in.err == nil; i++ {
		if total += tensors[i].Bytes(); total > protocol.MaxBytes {
			k.fail("an item of more than %d bytes", int64(protocol.MaxBytes))
		}
	}
}

// maxElement is the largest size of a data type, in bytes.
const maxElement = 8

func codeTensorSpec(k *coder, t *protocol.TensorSpec) {
	k.array(3)
	text(k, &t.Name)
	text(k, &t.Datatype)
	list(k, &t.Shape, size)
	if t.Shape == nil {
		t.Shape = []int64{} // of a scalar: a nil is shown as null to clients
	}
	if n := protocol.Elements(t.Shape); n < 0 || n > protocol.MaxBytes/maxElement {
		k.fail("a tensor of shape %.80s", protocol.ShapeString(t.Shape))
	}
}

func codeProfile(k *coder, p *protocol.Profile) {
	k.array(6)
	text(k, &p.Digest)
	text(k, &p.Backend)
	text(k, &p.BackendVersion)
	text(k, &p.GPUType)
	codeMeasurement(k, &p.LoadWeights)
	list(k, &p.Infer, func(k *coder, b *protocol.BatchMeasurement) {
		k.array(2)
		count(k, &b.Batch)
		codeMeasurement(k, &b.Measurement)
	})
}

func codeMeasurement(k *coder, m *protocol.Measurement) {
	k.array(5)
	count(k, &m.Samples)
	span(k, &m.Min)
	span(k, &m.P50)
	span(k, &m.P99)
	span(k, &m.Max)
}

func codeWorkerState(k *coder, w *protocol.WorkerState) {
	k.array(11)
	text(k, &w.ID)
	num(k, &w.Incarnation)
	num(k, &w.Epoch)
	text(k, &w.Backend)
	text(k, &w.BackendVersion)
	page(k, &w.PageSize)
	k.flag(&w.GenerateInputs)
	atMost(k, &w.GPUs, protocol.MaxGPUs, codeGPU)
	codeModels(k, &w.Models)
	list(k, &w.Profiles, codeProfile)
	list(k, &w.Lacks, func(k *coder, l *protocol.Lack) {
		k.array(3)
		text(k, &l.Model)
		text(k, &l.Code)
		text(k, &l.Message)
	})
}

func codeGPU(k *coder, g *protocol.GPUState) {
	k.array(10)
	count(k, &g.ID)
	text(k, &g.UUID)
	text(k, &g.Type)
	count(k, &g.PagesTotal)
	count(k, &g.PagesUsed)
	list(k, &g.Models, text[string])
	if g.Models == nil {
		g.Models = []string{} // JSON shows a list, not null
	}
	list(k, &g.Moving, text[string])
	text(k, &g.Stalled)
	num(k, &g.Executor)
	text(k, &g.Processor)
}

func codeClockworkState(k *coder, s *protocol.ClockworkState) {
	k.array(6)
	num(k, &s.Term)
	num(k, &s.Set)
	page(k, &s.PageSize)
	codeModels(k, &s.Models)
	list(k, &s.Profiles, codeProfile)
	list(k, &s.Workers, codeWorkerState)
}

func codeJob(k *coder, j *protocol.ProfileJob) {
	k.array(5)
	num(k, &j.ID)
	num(k, &j.Term)
	codeModels(k, &j.Models)
	list(k, &j.Workers, codeWorkerState)
	list(k, &j.Known, codeProfile)
}

func codeReport(k *coder, r *protocol.ProfileReport) {
	k.array(3)
	num(k, &r.ID)
	list(k, &r.Profiles, codeProfile)
	list(k, &r.Failures, func(k *coder, f *protocol.ProfileFailure) {
		k.array(3)
		text(k, &f.Digest)
		text(k, &f.GPUType)
		message(k, &f.Reason)
	})
}
