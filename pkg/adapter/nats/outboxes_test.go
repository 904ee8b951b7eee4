package bus

import (
	"fmt"
	"slices"
	"testing"
)

func TestOutboxesKeepReceiversApartAndItemsTogether(t *testing.T) {
	var sent []string
	opened := 0
	o := NewOutboxes(Cut[int]{Items: 3}, func(to string) func([]int) {
		opened++
		return func(items []int) { sent = append(sent, fmt.Sprint(to, items)) }
	})
	o.Flush() // of nothing
	for i := range 5 {
		o.Add("a", i)
	}
	if o.Len() != 5 {
		t.Errorf("%d of 5 are unsent", o.Len())
	}
	o.Add("b", 9)
	o.Flush()
	o.Add("a", 5)
	o.Flush()
	if want := []string{"a[0 1 2]", "a[3 4]", "b[9]", "a[5]"}; !slices.Equal(sent, want) || opened != 2 || o.Len() != 0 {
		t.Errorf("sent %v, expected %v; %d boxes were opened", sent, want, opened)
	}
}

// A message has so many bytes; what is larger by itself is sent alone.
func TestACutBoundsBytes(t *testing.T) {
	cut := Cut[int]{Items: 4, Size: func(n *int) int64 { return int64(*n) }, Bytes: func() int64 { return 10 }}
	for _, row := range []struct {
		sizes []int
		want  int
	}{{[]int{1, 2, 3}, 3}, {[]int{5, 5, 1}, 2}, {[]int{11, 1}, 1}, {[]int{10, 1}, 1}, {[]int{1, 1, 1, 1, 1}, 4}, {[]int{4, 11}, 1}} {
		if got := cut.first(row.sizes); got != row.want {
			t.Errorf("%v: %d in the first message, expected %d", row.sizes, got, row.want)
		}
	}
}

// Receivers that are no longer remembered lose nothing.
func TestOutboxesForgetReceiversAndNoItem(t *testing.T) {
	total := 0
	o := NewOutboxes(Cut[int]{Items: 8}, func(int) func([]int) { return func(items []int) { total += len(items) } })
	const receivers = maxOutboxes + 100
	for i := range receivers {
		o.Add(i, i)
	}
	if o.Flush(); total != receivers || len(o.boxes) > maxOutboxes {
		t.Errorf("%d of %d items are sent, %d boxes are remembered", total, receivers, len(o.boxes))
	}
}

// BenchmarkOutboxes is what 16 items for four receivers cost until they are sent.
func BenchmarkOutboxes(b *testing.B) {
	o := NewOutboxes(Cut[[8]int]{Items: 256}, func(int) func([][8]int) { return func([][8]int) {} })
	b.ReportAllocs()
	for b.Loop() {
		for i := range 16 {
			o.Add(i%4, [8]int{i})
		}
		o.Flush()
	}
}
