package hostile

import (
	"fmt"
	"math"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// Numbers sets every number within *v, one at a time, to each extreme that its type holds,
// and calls do with the number's place, its type and value; then it sets it back. Numbers of
// a slice are those of its first element.
func Numbers(v any, do func(place string, of reflect.Type, value any)) {
	walk(reflect.ValueOf(v).Elem(), "", do)
}

func walk(v reflect.Value, place string, do func(string, reflect.Type, any)) {
	switch {
	case v.CanInt():
		was := v.Int()
		for _, n := range []int64{math.MinInt64, -1 << 62, -1 << 31, -2, -1, 0, 1 << 31, 1 << 46, 1 << 53, 1 << 62, math.MaxInt64 - 1, math.MaxInt64} {
			v.SetInt(n)
			do(place, v.Type(), n)
		}
		v.SetInt(was)
	case v.CanUint():
		was := v.Uint()
		for _, n := range []uint64{0, 1, 1 << 31, 1 << 62, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
			if !v.OverflowUint(n) {
				v.SetUint(n)
				do(place, v.Type(), n)
			}
		}
		v.SetUint(was)
	case v.CanFloat():
		was := v.Float()
		for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -math.MaxFloat64, math.MaxFloat64, math.SmallestNonzeroFloat64} {
			v.SetFloat(f)
			do(place, v.Type(), f)
		}
		v.SetFloat(was)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; v.Type().Field(i).IsExported() {
				walk(v.Field(i), fmt.Sprint(place, ".", name), do)
			}
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		walk(v.Elem(), place, do)
	case (v.Kind() == reflect.Slice || v.Kind() == reflect.Array) && v.Len() > 0:
		walk(v.Index(0), place+"[0]", do)
	}
}

// unbounded are the numbers with a sign that may have any value, and why.
var unbounded = map[string]string{
	"Priority": "the client's: a bound here would refuse other clients' requests with it",
	"Got":      "for people", "Limit": "for people",
}

// InBounds says by the type and the name of a number whether a message may have it (package
// protocol, bounds).
func InBounds(place string, of reflect.Type, value any) bool {
	name := place[strings.LastIndex(place, ".")+1:]
	switch n := value.(type) {
	case float64:
		return !math.IsNaN(n) && !math.IsInf(n, 0)
	case uint64:
		return true // it fits into its type
	case int64:
		switch {
		case unbounded[name] != "":
			return true
		case of == reflect.TypeFor[protocol.Time]():
			return n >= -int64(protocol.MaxTime) && n <= int64(protocol.MaxTime) || n == int64(protocol.Never)
		case of == reflect.TypeFor[time.Duration]():
			return time.Duration(n).Abs() <= protocol.MaxSpan && n != math.MinInt64
		case name == "Version":
			return n >= 0
		case name == "PageSize":
			return n >= 0 && n <= protocol.MaxPage
		case name == "GPU":
			return n >= -1 && n <= protocol.MaxCount
		case strings.HasPrefix(name, "Shape"):
			return n >= 0 && n <= protocol.MaxBytes/8
		case of.Kind() == reflect.Int64:
			return n >= 0 && n <= protocol.MaxBytes
		}
		return n >= 0 && n <= protocol.MaxCount
	}
	return false
}

// EachNumber runs a scenario again and again. It hands each of its events, pointers, to give,
// with what steps a core by it. In each run one number of one event is another extreme that a
// message may have; nothing may panic.
func EachNumber(t *testing.T, run func(give func(event any, step func()))) {
	t.Helper()
	tried := 0
	for at := 0; ; at++ {
		for n := 0; ; n++ {
			events, changed := changeNumber(t, run, at, n)
			if events <= at {
				t.Logf("%d numbers of %d events", tried, events)
				return
			}
			if !changed {
				break
			}
			tried++
		}
	}
}

// changeNumber runs a scenario with the n-th extreme of the event with an index, and returns
// how many events there are, and whether there is such an extreme.
func changeNumber(t *testing.T, run func(give func(event any, step func())), at, n int) (events int, changed bool) {
	t.Helper()
	what := ""
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("%s: panic: %v\n%s", what, p, debug.Stack())
		}
	}()
	run(func(event any, step func()) {
		events++
		if events-1 == at {
			seen := 0
			Numbers(event, func(place string, of reflect.Type, value any) {
				if !InBounds(place, of, value) {
					return
				}
				if seen++; seen-1 == n {
					what, changed = fmt.Sprintf("%T%s of %v", event, place, value), true
					step()
				}
			})
			if changed {
				return
			}
		}
		step()
	})
	return events, changed
}
