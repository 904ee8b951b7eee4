package protocol

import (
	"fmt"
	"slices"
	"strings"
)

// kinds are the tokens that may follow a stack's prefix in its subjects.
var kinds = []string{"infer", "lane", "load", "ls", "state", "events", "watch", "figures", "explain", "scheduler", "profiler",
	"worker", "frontdoor", "result", "heartbeat", "health", "clock", "buffer", "store"}

// MaxPrefix bounds a prefix, in bytes: with it and a kind, streams have names.
const MaxPrefix = 128

// CheckPrefix returns why a prefix cannot be a stack's, nil if it can: tokens of [a-z0-9_-]
// with dots between, none of which but the first is a token of our own subjects. The
// subjects of a stack with such a prefix would be inside those of another: as clockwork.infer
// is inside clockwork, whose front doors would answer.
func CheckPrefix(prefix string) error {
	if len(prefix) > MaxPrefix {
		return fmt.Errorf("a prefix has at most %d bytes, this one has %d", MaxPrefix, len(prefix))
	}
	tokens := strings.Split(prefix, ".")
	for i, token := range tokens {
		if !ValidName(token) {
			return fmt.Errorf("the prefix %.80q is not made of [a-z0-9_-], with dots between", prefix)
		}
		if i > 0 && slices.Contains(kinds, token) {
			return fmt.Errorf("the prefix %s lies inside the subjects of a stack with the prefix %s, which would answer in its place: %q follows a prefix; choose another word",
				prefix, strings.Join(tokens[:i], "."), token)
		}
	}
	return nil
}

// StoreName returns the prefix as it begins the names of streams, buckets, services and
// accounts, which have no dots. No two prefixes share a name: prefixes have no capitals.
func StoreName(prefix string) string { return strings.ReplaceAll(prefix, ".", "_DOT_") }
