package record

import (
	"hash/crc32"

	"clockwork/pkg/lab/policies"
	"clockwork/pkg/protocol"
)

// header is the first line of a file; the number is the version.
const header = "clockwork-recording 1\n"

// These are the kinds of records, in the low four bits of the first byte.
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

// Flags of a submission: the field follows because it differs from its usual
// value.
const (
	isGenerated = 0x10
	hasPriority = 0x20
	hasBatch    = 0x40
	hasBytes    = 0x80
)

// Flags of a result. hasIssue: issuer, epoch and incarnation follow; otherwise
// they are those of this worker's last result.
const (
	hasPhases = 0x10
	hasIssue  = 0x20
	hasFault  = 0x40
)

// These events are written as compressed JSON.
const (
	rareActivate = iota + 1
	rareJoined
	rareResult
	rareSubmit
	rareHealth
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

// begin is the policy and the configuration of a core.
type begin struct {
	Policy string
	Config policies.Config
}

// history is the state that writer and reader derive from earlier records, so
// that frequent records are short. Both update it in the same way.
type history struct {
	now    protocol.Time
	action protocol.ActionID
	doors  []door
	issues map[string]issue // by worker
}

type door struct{ id, seq uint64 }

type issue struct{ issuer, epoch, incarnation uint64 }

// The index of a name or door in a record: unlisted precedes a value that does
// not enter the table, listed one that does; from known on, the index minus
// known is a position in the table.
const (
	unlisted = iota
	listed
	known
)
