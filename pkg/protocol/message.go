package protocol

import "strings"

// MinMessage is the smallest max_payload of a broker that Clockwork runs on, in bytes. What
// may be larger comes in chunks or pages, or in several messages; all else fits into this,
// with every list and text at its bound, also in JSON, where a byte may take six.
const MinMessage = 64 << 10

// Bounds of the texts and lists for people in one message. Texts are in bytes.
const (
	MaxText         = 1024 // of an error, an event, a reason
	MaxWorkerErrors = 16   // in the answer to a client
	MaxWorkerText   = 256  // of each of them
	// MaxGPUs bounds the GPUs of a worker: far more than the largest host has. To emulate a
	// larger cluster use several workers.
	MaxGPUs = 128
)

// ShortText cuts a text to a number of bytes, and then says so.
func ShortText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// ShortErrors returns the first of a list of workers' errors, with short messages, and how
// many it leaves out.
func ShortErrors(list []WorkerError) (short []WorkerError, more int) {
	for _, e := range list[:min(len(list), MaxWorkerErrors)] {
		e.Message = ShortText(e.Message, MaxWorkerText)
		short = append(short, e)
	}
	return short, len(list) - len(short)
}
