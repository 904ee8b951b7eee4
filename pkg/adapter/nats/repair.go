package bus

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// decodeValue decodes a value as what its key says, and reports whether that is possible; the
// value of a key that nobody reads is nil.
func decodeValue(key string, value []byte) (decoded any, readable bool) {
	kind, _, _ := strings.Cut(key, ".")
	switch kind {
	case "stage":
		var v wire.StoredStage
		return &v, decodeStored(value, &v) == nil && v.Stage != 0
	case "model":
		var v wire.StoredModel
		return &v, decodeStored(value, &v) == nil && "model."+v.Name == key
	case "quarantine":
		var v wire.StoredQuarantine
		return &v, decodeStored(value, &v) == nil
	case "profile":
		var v protocol.Profile
		return &v, decodeStored(value, &v) == nil && (profileKey(&v) == key || firstProfileKey(&v) == key)
	case "fence":
		var v wire.StoredFence
		return &v, decodeStored(value, &v) == nil
	case "worker":
		var v protocol.WorkerState
		return &v, decodeStored(value, &v) == nil
	}
	return nil, true
}

// isValue reports whether a value can be read as what its key says.
func isValue(key string, value []byte) bool {
	_, readable := decodeValue(key, value)
	return readable
}

// Unreadable returns the keys whose values cannot be read, each with the last revision that
// can be, nil if there is none. after is a revision up to which all was well,
// 0 for none; the other result is that of the last one.
func (s *State) Unreadable(ctx context.Context, after uint64) (map[string][]byte, uint64, error) {
	broken := map[string]bool{}
	at, err := s.scan(ctx, ">", after, func(r record) {
		if key := s.key(r); r.removed() || isValue(key, r.data) {
			delete(broken, key)
		} else {
			broken[key] = true
		}
	})
	if err != nil || len(broken) == 0 {
		return nil, at, wrapped("read state", err)
	}
	found := map[string][]byte{}
	for key := range broken {
		found[key] = nil
		if _, err := s.scan(ctx, key, 0, func(r record) {
			switch {
			case r.removed():
				found[key] = nil
			case isValue(key, r.data):
				found[key] = r.data
			}
		}); err != nil {
			return nil, after, fmt.Errorf("read state: %w", err)
		}
	}
	return found, at, nil
}

// Repair replaces each value that cannot be read by the last one of its key that can be,
// or removes the key. It returns what it did, in the order of the keys, for the log. Of
// others' fences nothing is changed.
func (w *Writer) Repair(ctx context.Context) (done []string, err error) {
	var broken map[string][]byte
	err = w.caughtUp(ctx, func() (at uint64, err error) {
		broken, at, err = w.Unreadable(ctx, 0)
		return at, err
	})
	for _, key := range slices.Sorted(maps.Keys(broken)) {
		what := key + " as it was before"
		switch {
		case strings.HasPrefix(key, "fence."):
			continue
		case broken[key] == nil:
			what = key + " removed"
			err = w.drop(ctx, key)
		default:
			err = w.replace(ctx, key, broken[key])
		}
		if err != nil {
			return done, err
		}
		done = append(done, what)
	}
	return done, err
}
