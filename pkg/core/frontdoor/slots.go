package frontdoor

import (
	"maps"
	"slices"
)

// slots bound how much is done at a time, and that no tenant with a name has more than
// a quarter of it: another one finds room then.
type slots struct {
	most, taken int
	by          map[string]int // tenant
}

func newSlots(most int) slots { return slots{most: most, by: map[string]int{}} }

// take reports whether there were n slots for a tenant. Who has them gives them back.
func (s *slots) take(tenant string, n int) bool {
	if s.taken+n > s.most || tenant != "" && s.by[tenant]+n > s.most/4 {
		return false
	}
	s.taken += n
	s.by[tenant] += n
	return true
}

func (s *slots) giveBack(tenant string, n int) {
	s.taken -= n
	if s.by[tenant] -= n; s.by[tenant] == 0 {
		delete(s.by, tenant) // names may be made up
	}
}

func sortedKeys[V any](of map[uint64]V) []uint64 { return slices.Sorted(maps.Keys(of)) }
