package record

import (
	"encoding/json"
	"hash/crc32"

	"clockwork/pkg/protocol"
)

// header is the first line of a file; the number is the version. Version 1 had the events of
// the scheduler's policy alone, version 2 those of the scheduler alone, and other cores had a
// format of their own.
const header = "clockwork-recording 3\n"

// These are the kinds of records, in the low four bits of the first byte.
const (
	recBegin = iota + 1
	recSubmitted
	recResult
	recTick
	recEvent
	recAnswers
	recHeartbeatDue
	recMark
	recMissing
	recEnd
	recMachine
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

// Flags of an event that is written as JSON. isPacked: the JSON is compressed. isRunes: each rune
// of its strings is a byte (EncodeEvent). hasAbout: the number of what it is about follows.
const (
	isPacked = 0x10
	isRunes  = 0x20
	hasAbout = 0x40
)

// Bounds, for writing and reading alike.
const (
	blockTarget = 32 << 10
	maxBlock    = 64 << 20
	maxEvent    = 64 << 20 // unpacked
	packFrom    = 512      // a shorter JSON is not compressed
	maxNames    = 1 << 16
	maxName     = 256
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// begin is a machine that begins: its core, and what it is made with.
type begin struct {
	Core   string
	Config json.RawMessage
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
