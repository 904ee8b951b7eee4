package ring

import (
	"slices"
	"testing"
)

func TestARingKeepsTheLatest(t *testing.T) {
	r := New[int](3)
	for i := 1; i <= 8; i++ {
		slot := r.Slot()
		if gone := max(0, i-3); *slot != gone {
			t.Errorf("%d takes the place of %d, want %d", i, *slot, gone)
		}
		*slot = i
		var got, want []int
		r.Latest(func(x *int) bool { got = append(got, *x); return true })
		for n := i; n > max(0, i-3); n-- {
			want = append(want, n)
		}
		if !slices.Equal(got, want) || r.Len() != len(want) {
			t.Errorf("after %d: %v, %d of them; want %v", i, got, r.Len(), want)
		}
	}
	looked := 0
	r.Latest(func(*int) bool { looked++; return looked < 2 })
	if looked != 2 {
		t.Errorf("%d were shown of 2", looked)
	}
}
