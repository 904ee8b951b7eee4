package quota

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var base = Default(1000, 1<<20)

func TestAFileOfLimits(t *testing.T) {
	got, err := Parse([]byte(`
# who may have how much
tenants:
  "*":   {requests: 200, bytes: 64MiB}
  alice: {rate: 500, burst: 50}
  bob:
    requests: none
    bytes: 65536
    rate: 0.5
  closed: {requests: 0}
  like-the-others:
anonymous: {rate: 1e3}
models:
  resnet50: {bytes: 2GiB}
`), base)
	if err != nil {
		t.Fatal(err)
	}
	free := math.Inf(1)
	want := Rules{
		Tenants: map[string]Limit{
			"alice":           {200, 64 << 20, 500, 50},
			"bob":             {None, 65536, 0.5, 1},
			"closed":          {0, 64 << 20, free, 1},
			"like-the-others": {200, 64 << 20, free, 1},
		},
		Others:      Limit{200, 64 << 20, free, 1},
		Anonymous:   Limit{None, None, 1000, 100},
		Models:      map[string]Limit{"resnet50": {None, 2 << 30, free, 1}},
		OtherModels: Unlimited,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestWhatAFileDoesNotSayIsAsBefore(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "tenants:\n", "tenants: {}\nmodels: {}\nanonymous: {}\n"} {
		got, err := Parse([]byte(text), base)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		got.Tenants, got.Models = nil, nil
		if d := cmp.Diff(base, got); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
}

// TestARateTakesItsOwnBurst: that of "*" goes with the rate of "*".
func TestARateTakesItsOwnBurst(t *testing.T) {
	got, err := Parse([]byte("tenants:\n  '*': {rate: 100, burst: 80}\n  a: {rate: 50}\n  b: {burst: 3}\n  c: {rate: none}\n"), base)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]float64{"a": {50, 5}, "b": {100, 3}, "c": {math.Inf(1), 1}} {
		if l := got.Tenants[name]; [2]float64{l.Rate, l.Burst} != want {
			t.Errorf("%s: rate %v, burst %v; want %v", name, l.Rate, l.Burst, want)
		}
	}
}

func TestWhatIsWrongWithAFileIsSaidWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"tenants: [a]":                         `line 1: tenants must be a mapping, as in {requests: 100}`,
		"\ntenant: {}":                         `line 2: "tenant" is nothing that has limits; there are tenants, anonymous and models`,
		"tenants:\n  alice: 5":                 `line 2: tenants.alice must be a mapping, as in {requests: 100}`,
		"tenants:\n  alice: {requsts: 5}":      `line 2: tenants.alice: "requsts" is no limit; there are requests, bytes, rate and burst`,
		"tenants:\n  Alice: {requests: 5}":     `line 2: tenants: "Alice" is no name: 1 to 64 of [a-z0-9_-], or "*" for all others`,
		"tenants:\n  a: {}\n  a: {}":           `line 3: tenants has "a" twice`,
		"models:\n  m:\n    requests: -1":      `line 3: models.m.requests is "-1"; it must be a whole number from 0, or none`,
		"anonymous: {requests: 1.5}":           `line 1: anonymous.requests is "1.5"; it must be a whole number from 0, or none`,
		"anonymous: {requests: }":              `line 1: anonymous.requests is ""; it must be a whole number from 0, or none`,
		"anonymous: {requests: [1]}":           `line 1: anonymous.requests is no single value; it must be a whole number from 0, or none`,
		"anonymous: {bytes: 64MB}":             `line 1: anonymous.bytes is "64MB"; it must be a size such as 64MiB or 65536, or none`,
		"anonymous: {bytes: 9999999999999GiB}": `line 1: anonymous.bytes is "9999999999999GiB"; it must be a size such as 64MiB or 65536, or none`,
		"anonymous: {rate: 0}":                 `line 1: anonymous.rate is "0"; it must be a number of requests a second above 0, up to 1e+09, or none`,
		"anonymous: {rate: NaN}":               `line 1: anonymous.rate is "NaN"; it must be a number of requests a second above 0, up to 1e+09, or none`,
		"anonymous: {rate: 5, burst: 0}":       `line 1: anonymous.burst is "0"; it must be a whole number from 1`,
		"models:\n  '*': {burst: 9}":           `line 2: models."*" has a burst and no rate`,
		"a: &x {b: 1}\ntenants: *x":            `line 1: "a" is nothing that has limits; there are tenants, anonymous and models`,
		"models: {}\n---\nmodels: {}":          `there is more than one document`,
	} {
		if _, err := Parse([]byte(text), base); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	if _, err := Parse([]byte("tenants: {a"), base); err == nil {
		t.Error("half a file is taken")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("tenants:\n  \"*\": {requests: 1, bytes: 1KiB, rate: 2, burst: 3}\nmodels: {m: {rate: none}}\nanonymous: {}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text, base)
		if err != nil {
			return
		}
		for _, l := range []Limit{r.Others, r.Anonymous, r.OtherModels, r.tenant("a"), r.model("m")} {
			if l.Requests < 0 || l.Bytes < 0 || !(l.Rate > 0) || !(l.Burst >= 1) {
				t.Fatalf("%q gives %+v", text, l)
			}
		}
	})
}
