package record

import (
	"hash/crc32"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// header is the first line of a file; the number is the version.
const header = "clockwork-recording 1\n"

// The kinds of records, in the low four bits of their first byte.
const (
	recBegin = iota + 1
	recSubmit
	recResult
	recTick
	recRare
	recLost
	recDoor
	recMark
	recMissing
	recEnd
)

const kindBits = 0x0f

// Flags of a submission: a field follows that is mostly as it is without.
const (
	isGenerated = 0x10
	hasPriority = 0x20
	hasBatch    = 0x40
	hasBytes    = 0x80
)

// Flags of a result. hasIssue: issuer, epoch and incarnation follow, else they
// are those of this worker's last result.
const (
	hasPhases = 0x10
	hasIssue  = 0x20
	hasFault  = 0x40
)

// The events that are written as compressed JSON.
const (
	rareActivate = iota + 1
	rareJoined
	rareResult
)

// Bounds, for writing and reading alike.
const (
	blockTarget = 32 << 10
	maxBlock    = 64 << 20
	maxRare     = 64 << 20 // unpacked
	maxNames    = 1 << 16
	maxName     = 256
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// begin is what a core was made with.
type begin struct {
	Policy string
	Config sched.Config
}

// history is what both sides remember of the records before, so that the
// frequent ones are short. Both change it in the same way.
type history struct {
	now    protocol.Time
	action protocol.ActionID
	doors  []door
	issues map[string]issue // by worker
}

type door struct{ id, seq uint64 }

type issue struct{ issuer, epoch, incarnation uint64 }

// The numbers of names and doors in a record: unlisted stands before one that
// is not kept, listed before one that is, and from known on they are places in
// the table.
const (
	unlisted = iota
	listed
	known
)
