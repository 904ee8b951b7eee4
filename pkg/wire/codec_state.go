package wire

import "clockwork/pkg/protocol"

func codeModel(k *coder, m *protocol.ModelSpec) {
	k.array(12)
	text(k, &m.Name)
	text(k, &m.Path)
	num(k, &m.Version)
	text(k, &m.Digest)
	text(k, &m.Backend)
	text(k, &m.BackendVersion)
	list(k, &m.Inputs, codeTensorSpec)
	list(k, &m.Outputs, codeTensorSpec)
	list(k, &m.BatchSizes, num[int])
	k.flag(&m.AnyBatch)
	num(k, &m.WeightsBytes)
	num(k, &m.Pages)
}

func codeTensorSpec(k *coder, t *protocol.TensorSpec) {
	k.array(3)
	text(k, &t.Name)
	text(k, &t.Datatype)
	list(k, &t.Shape, num[int64])
	if t.Shape == nil {
		t.Shape = []int64{} // of a scalar: a nil is shown as null to clients
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
		num(k, &b.Batch)
		codeMeasurement(k, &b.Measurement)
	})
}

func codeMeasurement(k *coder, m *protocol.Measurement) {
	k.array(5)
	num(k, &m.Samples)
	num(k, &m.Min)
	num(k, &m.P50)
	num(k, &m.P99)
	num(k, &m.Max)
}

func codeWorkerState(k *coder, w *protocol.WorkerState) {
	k.array(11)
	text(k, &w.ID)
	num(k, &w.Incarnation)
	num(k, &w.Epoch)
	text(k, &w.Backend)
	text(k, &w.BackendVersion)
	num(k, &w.PageSize)
	k.flag(&w.GenerateInputs)
	list(k, &w.GPUs, codeGPU)
	list(k, &w.Models, codeModel)
	list(k, &w.Profiles, codeProfile)
	list(k, &w.Lacks, func(k *coder, l *protocol.Lack) {
		k.array(3)
		text(k, &l.Model)
		text(k, &l.Code)
		text(k, &l.Message)
	})
}

func codeGPU(k *coder, g *protocol.GPUState) {
	k.array(8)
	num(k, &g.ID)
	text(k, &g.UUID)
	text(k, &g.Type)
	num(k, &g.PagesTotal)
	num(k, &g.PagesUsed)
	list(k, &g.Models, text[string])
	if g.Models == nil {
		g.Models = []string{} // JSON shows a list, not null
	}
	text(k, &g.Stalled)
	num(k, &g.Executor)
}

func codeClockworkState(k *coder, s *protocol.ClockworkState) {
	k.array(5)
	num(k, &s.Term)
	num(k, &s.PageSize)
	list(k, &s.Models, codeModel)
	list(k, &s.Profiles, codeProfile)
	list(k, &s.Workers, codeWorkerState)
}

func codeJob(k *coder, j *protocol.ProfileJob) {
	k.array(5)
	num(k, &j.ID)
	num(k, &j.Term)
	list(k, &j.Models, codeModel)
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
		text(k, &f.Reason)
	})
}
