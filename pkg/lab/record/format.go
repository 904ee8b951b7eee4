package record

import (
	"hash/crc32"
	"reflect"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/protocol"
)

// header is the first line of a file; the number is the version. Version 1 had the events of
// the policy alone, without the term around it; version 2 an event of its own for missed
// messages.
const header = "clockwork-recording 3\n"

// These are the kinds of records, in the low four bits of the first byte.
const (
	recBegin = iota + 1
	recSubmitted
	recResult
	recTick
	recRare
	recAnswers
	recHeartbeatDue
	recMark
	recMissing
	recEnd
)

const kindBits = 0x0f

// Flags of a submission, in a byte of their own. Of has...: the field follows because it
// differs from its usual value, hasEpoch: from the last submission's.
const (
	isGenerated = 1 << iota
	isJSON
	hasPriority
	hasBatch
	hasBytes
	hasCrashes
	hasReply
	hasEpoch
)

// Flags of a result. hasIssue: issuer, epoch and incarnation follow; otherwise
// they are those of this worker's last result.
const (
	hasPhases = 0x10
	hasIssue  = 0x20
	hasFault  = 0x40
)

// Flags of a rare event. isPacked: its JSON is compressed. isRunes: each rune of its strings
// is a byte (EncodeEvent).
const (
	isPacked = 0x10
	isRunes  = 0x20
)

// rare are the events that are written as JSON, by the number in their record. Result is for
// those with more fields than a record of kind recResult has.
var rare = []reflect.Type{
	reflect.TypeFor[sched.Started](),
	reflect.TypeFor[sched.WorkerAnnounced](),
	reflect.TypeFor[sched.WorkerBeat](),
	reflect.TypeFor[sched.WorkerAnswered](),
	reflect.TypeFor[sched.SchedulerBeat](),
	reflect.TypeFor[sched.FrontDoorBeat](),
	reflect.TypeFor[sched.NoResponders](),
	reflect.TypeFor[sched.Result](),
	reflect.TypeFor[sched.Withdraw](),
}

// Bounds, for writing and reading alike.
const (
	blockTarget = 32 << 10
	maxBlock    = 64 << 20
	maxRare     = 64 << 20 // unpacked
	packFrom    = 512      // a shorter JSON is not compressed
	maxNames    = 1 << 16
	maxName     = 256
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// begin is what a term and the core in it are made with.
type begin struct {
	Policy string
	Config policies.Config
	Term   sched.TermConfig
}

// history is the state that writer and reader derive from earlier records, so
// that frequent records are short. Both update it in the same way.
type history struct {
	now    protocol.Time
	action protocol.ActionID
	doors  []door
	issues map[string]issue // by worker
	epoch  uint64           // of the last submission
	reply  string           // of the last submission
}

// door is a front door, with the numbers of the last request that it submitted, and of the
// last one that it claimed.
type door struct{ id, seq, claimed uint64 }

type issue struct{ issuer, epoch, incarnation uint64 }

// The index of a name or door in a record: unlisted precedes a value that does
// not enter the table, listed one that does; from known on, the index minus
// known is a position in the table.
const (
	unlisted = iota
	listed
	known
)
