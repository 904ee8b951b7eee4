package replay

import (
	"slices"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Material is what a recording has for emulations of it.
type Material struct {
	cores []*input
	// Samples is how many durations were measured.
	Samples int
	sent    map[protocol.ActionID]protocol.Time
	freed   map[place]protocol.Time // when a GPU's last execution ended
	kinds   map[place]string        // types of GPUs
	digests map[string]string       // of models
	profile map[string][]protocol.Profile
	infers  map[size][]time.Duration
	loads   map[size][]time.Duration // batch 0
	there   []time.Duration          // from the scheduler to a worker
	back    []time.Duration
	staging []time.Duration // from the action to its last input, at an idle GPU
}

// input is what one core was told that its decisions did not cause.
type input struct {
	events []timed
	end    protocol.Time
}

type timed struct {
	at    protocol.Time
	event sched.Event
}

type place struct {
	worker string
	gpu    int
}

// size is what equal durations are expected of.
type size struct {
	digest, kind string
	batch        int
}

// maxSamples of each size are kept, and of each delay.
const maxSamples = 4096

// NewMaterial returns an empty one; it is an Observer.
func NewMaterial() *Material {
	return &Material{
		sent: map[protocol.ActionID]protocol.Time{}, freed: map[place]protocol.Time{},
		kinds: map[place]string{}, digests: map[string]string{}, profile: map[string][]protocol.Profile{},
		infers: map[size][]time.Duration{}, loads: map[size][]time.Duration{},
	}
}

// Begin is told of a new core.
func (m *Material) Begin(sched.Setup) {
	m.cores = append(m.cores, &input{})
	clear(m.sent)
}

// Step takes what a step of the recording has.
func (m *Material) Step(now protocol.Time, e sched.Event, out *sched.Output) {
	in := m.cores[len(m.cores)-1]
	in.end = max(in.end, now)
	switch e := e.(type) {
	case *sched.Submit:
		kept := *e
		in.events = append(in.events, timed{now, &kept})
	case *sched.Result:
		m.measure(now, &e.Result)
	case *sched.Activate:
		m.learn(&e.State)
		in.events = append(in.events, timed{now, e})
	case *sched.SetSwitched:
		m.learn(&e.State)
		in.events = append(in.events, timed{now, e})
	case *sched.WorkerJoined:
		m.join(&e.State)
		in.events = append(in.events, timed{now, e})
	case *sched.WorkerLost, *sched.DoorLost, *sched.Withdraw:
		in.events = append(in.events, timed{now, e})
	}
	for i := range out.Actions {
		m.sent[out.Actions[i].Action.ID] = now
	}
}

func (m *Material) learn(state *protocol.ClockworkState) {
	for _, spec := range state.Models {
		m.digests[spec.Name] = spec.Digest
	}
	m.profiles(state.Profiles)
	for i := range state.Workers {
		m.join(&state.Workers[i])
	}
}

func (m *Material) join(w *protocol.WorkerState) {
	for _, g := range w.GPUs {
		m.kinds[place{w.ID, g.ID}] = g.Type
	}
	m.profiles(w.Profiles)
}

func (m *Material) profiles(list []protocol.Profile) {
	for _, p := range list {
		m.profile[p.Digest] = append(m.profile[p.Digest], p)
	}
}

// measure takes the durations of a result.
func (m *Material) measure(now protocol.Time, r *protocol.Result) {
	at, known := m.sent[r.Action]
	if !known {
		return
	}
	delete(m.sent, r.Action)
	sample(&m.there, r.Received.Sub(at))
	sample(&m.back, now.Sub(r.Sent))
	took := r.End.Sub(r.Begin)
	if r.Code != protocol.OK || took <= 0 || took > protocol.MaxMeasured {
		return
	}
	on := place{r.Worker, r.GPU}
	key := size{m.digests[r.Model], m.kinds[on], 0}
	into := m.loads
	switch r.Kind {
	case protocol.Infer:
		if m.freed[on] <= r.Received {
			sample(&m.staging, r.Begin.Sub(r.Received))
		}
		m.freed[on] = r.End
		key.batch, into = r.Batch, m.infers
	case protocol.LoadWeights:
	default:
		return
	}
	list := into[key]
	if sample(&list, took) {
		into[key] = list
		m.Samples++
	}
}

func sample(list *[]time.Duration, d time.Duration) bool {
	if len(*list) >= maxSamples {
		return false
	}
	*list = append(*list, max(0, d))
	return true
}

func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(list))[len(list)/2]
}

func mean(list []time.Duration) float64 {
	sum := 0.0
	for _, d := range list {
		sum += float64(d)
	}
	return sum / float64(len(list))
}

// profiled is how long the profile says that a batch takes (0: a transfer), 0
// where there is none.
func (m *Material) profiled(key size) time.Duration {
	var best *protocol.Profile
	for i := range m.profile[key.digest] {
		if p := &m.profile[key.digest][i]; best == nil || p.GPUType == key.kind {
			best = p
		}
	}
	if best == nil {
		return 0
	}
	if key.batch == 0 {
		return best.LoadWeights.P50
	}
	return best.Interpolated(key.batch, protocol.P50Of)
}

// durations draws from a Material; each emulation has its own.
type durations struct {
	*Material
	drawn  map[size]int
	scales map[size]float64 // of a model's profile, batch 0
}

// next is how long the next one of its size takes.
func (d *durations) next(key size) time.Duration {
	list := d.infers[key]
	if key.batch == 0 {
		list = d.loads[key]
	}
	if len(list) == 0 {
		return max(1, time.Duration(float64(d.profiled(key))*d.scale(key)))
	}
	d.drawn[key]++
	return max(1, list[(d.drawn[key]-1)%len(list)])
}

// scale is how what was measured of a model stands to its profile.
func (d *durations) scale(key size) float64 {
	if key.batch == 0 {
		return 1
	}
	whole := key
	whole.batch = 0
	if s, ok := d.scales[whole]; ok {
		return s
	}
	var ratios []float64
	for batch := 1; batch <= 1024; batch++ {
		at := key
		at.batch = batch
		if list := d.infers[at]; len(list) > 0 && d.profiled(at) > 0 {
			ratios = append(ratios, mean(list)/float64(d.profiled(at)))
		}
	}
	slices.Sort(ratios)
	s := 1.0
	if len(ratios) > 0 {
		s = ratios[len(ratios)/2]
	}
	d.scales[whole] = s
	return s
}
