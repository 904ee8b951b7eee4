package startup

// StoreWatch says how a leading controller looks after its store: what it looks at, in which
// order, what is made and written again, and what is told. The broker's data may be lost while
// all processes go on. Serving does not depend on the store, so that the loss would remain
// unnoticed until a restart.
//
// The driver carries out one errand after the other and reports how it ended, until there is
// none; some time later it begins the next look:
//
//	for order := w.Step(StoreAnswer{}); order.Errand != NoErrand; {
//		order = w.Step(carryOut(order))
//	}
//
// It does not help a controller that restarts before the store is written again, nor a standby
// that takes over in between: they start in QUERYING, with the models that all workers hold.
type StoreWatch struct {
	// readable is the revision up to which all values in the state can be read.
	readable uint64
	// buffer is when the startup buffer's stream was made, in nanoseconds of the broker's clock;
	// 0 before the first look.
	buffer int64
	// told: since the state was there last, it was told that it is written again.
	told bool
	// away is why the store is out of order, as told last; "" if it is in order.
	away string

	// errand is the one under way; the rest is of this look: its first fault, whether the state
	// is lost, up to which revision its values are, when the buffer was made, and whether it was
	// made again.
	errand Errand
	look
}

type look struct {
	fault  string
	lost   bool
	upto   uint64
	made   int64
	remade bool
}

// NewStoreWatch returns a watch of a store whose values can be read up to a revision.
func NewStoreWatch(readable uint64) *StoreWatch { return &StoreWatch{readable: readable} }

// Errand is what a StoreWatch wants done.
type Errand uint8

// The errands, in the order of a look.
const (
	// NoErrand: the look is over.
	NoErrand Errand = iota
	// OpenBuckets: make the buckets that are missing. That comes first, also while nothing can be
	// written: a bucket that is missing is a reason for that, and would stay away with it.
	OpenBuckets
	// CheckWrites: whether writes are taken. Reads succeed also where they are not.
	CheckWrites
	// LookAtState -> Missing.
	LookAtState
	// ReadValues: those after Readable -> Broken, Loss, Upto.
	ReadValues
	// MendState: write what the machine says of Loss (Machine.Mend).
	MendState
	// RepairValues: replace what still cannot be read by what was stored before.
	RepairValues
	// LookAtBuffer -> Made.
	LookAtBuffer
	// MakeBuffer: its stream is missing.
	MakeBuffer
	// RenewBuffer: its stream is another one than before, and what waited in it is gone.
	RenewBuffer
)

// StoreOrder is an errand, and what is told.
type StoreOrder struct {
	Errand   Errand
	Readable uint64 // of ReadValues
	// Loss is that of MendState, Lost whether the whole state is missing.
	Loss StoreLoss
	Lost bool
	// Tell: it is told that the state is written again. Once for each loss: the broker may forget
	// more while it is written.
	Tell bool
	// Turned: from now on the store is out of order for Fault, or in order again if that is "".
	// Outages are told at their begin and at their end.
	Turned bool
	Fault  string
}

// StoreAnswer says how an errand ended.
type StoreAnswer struct {
	// Fault is why it could not be done, "" if it was; Fenced that another controller leads: then
	// nothing is looked at, and nothing told.
	Fault  string
	Fenced bool
	// Missing: the state is not in the store.
	Missing bool
	// Broken: values can be read by nobody, with what is in Loss. Upto is the revision that the
	// others have.
	Broken bool
	Loss   StoreLoss
	Upto   uint64
	// Rewrites: what is lost was or is being written again, and told.
	Rewrites bool
	// Made is when the buffer's stream was made, 0 if there is none.
	Made int64
}

// Step takes the answer to the last errand, or begins a look, and returns what to do next.
func (w *StoreWatch) Step(a StoreAnswer) StoreOrder {
	if w.errand == MendState && a.Rewrites {
		w.told = true
	}
	switch {
	case w.errand == NoErrand:
		w.look = look{}
		return w.order(OpenBuckets)
	case a.Fenced:
		w.errand = NoErrand
		return StoreOrder{}
	case a.Fault != "":
		return w.failed(a.Fault)
	}
	return w.done(&a)
}

func (w *StoreWatch) order(e Errand) StoreOrder {
	w.errand = e
	return StoreOrder{Errand: e, Readable: w.readable}
}

// failed ends the look, or what it does about the state: the buffer may have room where the
// state has none.
func (w *StoreWatch) failed(fault string) StoreOrder {
	if w.fault == "" {
		w.fault = fault
	}
	switch w.errand {
	case LookAtState, ReadValues, MendState, RepairValues:
		return w.order(LookAtBuffer)
	}
	return w.end()
}

// done goes on after an errand that succeeded.
func (w *StoreWatch) done(a *StoreAnswer) StoreOrder {
	switch w.errand {
	case OpenBuckets:
		return w.order(CheckWrites)
	case CheckWrites:
		return w.order(LookAtState)
	case LookAtState:
		if a.Missing {
			w.readable, w.lost = 0, true
			return w.mend(StoreLoss{Stage: true})
		}
		w.told = false
		return w.order(ReadValues)
	case ReadValues:
		w.upto = a.Upto
		if a.Broken {
			return w.mend(a.Loss)
		}
		return w.read()
	case MendState:
		if w.lost {
			return w.order(LookAtBuffer)
		}
		return w.order(RepairValues)
	case RepairValues:
		return w.read()
	case MakeBuffer:
		w.remade = true
		return w.order(LookAtBuffer)
	case LookAtBuffer:
		return w.buffered(a.Made)
	case RenewBuffer:
		w.buffer = w.made
	}
	return w.end()
}

func (w *StoreWatch) mend(loss StoreLoss) StoreOrder {
	o := w.order(MendState)
	o.Loss, o.Lost, o.Tell = loss, w.lost, !w.told
	return o
}

// read notes up to where all values can be read now.
func (w *StoreWatch) read() StoreOrder {
	w.readable = w.upto
	return w.order(LookAtBuffer)
}

func (w *StoreWatch) buffered(made int64) StoreOrder {
	switch {
	case made == 0 && w.remade:
		return w.failed("the startup buffer was made, and is missing again")
	case made == 0:
		return w.order(MakeBuffer)
	case w.buffer != 0 && made != w.buffer:
		w.made = made
		return w.order(RenewBuffer)
	}
	w.buffer = made
	return w.end()
}

// end ends the look, and tells the begin and the end of an outage.
func (w *StoreWatch) end() StoreOrder {
	turned := (w.fault != "") != (w.away != "")
	if turned {
		w.away = w.fault
	}
	w.errand = NoErrand
	return StoreOrder{Turned: turned, Fault: w.fault}
}
