package tsv

import (
	"strconv"

	"clockwork/pkg/protocol"
)

// Conversions of what the original writes as numbers, or cannot hold.

// number hashes a name to a number, where the original has a small number of its own:
// the same name always gives the same number, in both logs, exact in a double.
func number(name string) int64 {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a
	if name == "" {
		return 0
	}
	h := uint64(offset)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * prime
	}
	return int64(h & (1<<48 - 1))
}

// appendText appends a text as a field: "-" if it is empty. Characters that would end
// the field or the line, begin a quotation, or mean "missing" to a reader are
// percent-encoded as in a URL. Text longer than maxText is cut off.
func appendText(line []byte, text string) []byte {
	if text == "" {
		return append(line, '-')
	}
	escaped := len(text) <= 8 && missing[text]
	for i := range min(len(text), maxText) {
		c := text[i]
		if c < ' ' || c == '"' || c == '%' || c == 0x7f || i == 0 && escaped {
			const digits = "0123456789ABCDEF"
			line = append(line, '%', digits[c>>4], digits[c&15])
			continue
		}
		line = append(line, c)
	}
	return line
}

// maxText is the most bytes of a client's text that are written.
const maxText = 128

// missing are the texts that pandas takes for a missing value, and "-", ours for an
// empty one; none is longer than 8 bytes.
var missing = map[string]bool{
	"-": true, "#N/A": true, "#N/A N/A": true, "#NA": true, "-1.#IND": true, "-1.#QNAN": true, "-NaN": true, "-nan": true, "1.#IND": true,
	"1.#QNAN": true, "<NA>": true, "N/A": true, "NA": true, "NULL": true, "NaN": true, "None": true, "n/a": true, "nan": true, "null": true,
}

// resultNumbers are the original's statuses of a request; every other code is 1, an
// error.
var resultNumbers = map[protocol.Code]int64{
	protocol.OK: 0,

	protocol.DeadlineExceeded: 4, // the deadline passed

	protocol.BufferTimeout: 5, // not yet active
	protocol.BufferFull:    5,

	protocol.UnknownModel:    6, // not valid
	protocol.InvalidInput:    6,
	protocol.InvalidDeadline: 6,
	protocol.BatchTooLarge:   6,
	protocol.PayloadTooLarge: 6,
	protocol.BadMessage:      6,

	protocol.Overloaded:    7, // dropped by the controller
	protocol.LimitExceeded: 7,

	protocol.DeadlineUnmeetable: 8, // it could not begin in time
}

func resultNumber(code protocol.Code) int64 {
	if n, ok := resultNumbers[code]; ok {
		return n
	}
	return 1
}

// statusNumbers are the original's statuses of an action; every other code is 2, a
// runtime error.
var statusNumbers = map[protocol.Code]int64{
	protocol.OK:             0,
	protocol.Cancelled:      1,
	protocol.ShuttingDown:   3,
	protocol.UnknownModel:   10,
	protocol.TooLate:        11,
	protocol.InvalidAction:  12,
	protocol.InvalidGPU:     13,
	protocol.WeightsMissing: 20,
	protocol.AlreadyLoaded:  21,
	protocol.WeightsInUse:   22,
	protocol.WeightsChanged: 23,
	protocol.InvalidInput:   30,
	protocol.InvalidBatch:   31,
	protocol.NoMemory:       53,
}

// statusNumber returns the status of a result; without a result it is 1, cancelled.
func statusNumber(r *protocol.Result) int64 {
	if r == nil {
		return 1
	}
	if n, ok := statusNumbers[r.Code]; ok {
		return n
	}
	return 2
}

// kindNumbers are the original's types of action.
var kindNumbers = [...]int64{
	protocol.LoadModelFromDisk: 0,
	protocol.LoadWeights:       1,
	protocol.Infer:             2,
	protocol.EvictWeights:      3,
	protocol.ClearCache:        4,
	protocol.GetWorkerState:    5,
	protocol.Renew:             6, // which the original has not
}

// row appends a line, field by field.
type row struct{ line []byte }

func (r *row) number(n int64) { r.line = append(strconv.AppendInt(r.line, n, 10), '\t') }

func (r *row) bool(b bool) {
	n := int64(0)
	if b {
		n = 1
	}
	r.number(n)
}

func (r *row) text(s string) { r.line = append(appendText(r.line, s), '\t') }

// end ends the line, which has at least one field.
func (r *row) end() []byte {
	r.line[len(r.line)-1] = '\n'
	return r.line
}
