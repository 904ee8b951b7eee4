package yamlfile

import (
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clockwork/pkg/core/quota"
)

var base = quota.Default(1000, 1<<20)

func TestAFileOfLimits(t *testing.T) {
	got, err := Limits([]byte(`
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
	want := quota.Rules{
		Tenants: map[string]quota.Limit{
			"alice":           {Requests: 200, Bytes: 64 << 20, Rate: 500, Burst: 50},
			"bob":             {Requests: quota.None, Bytes: 65536, Rate: 0.5, Burst: 1},
			"closed":          {Requests: 0, Bytes: 64 << 20, Rate: free, Burst: 1},
			"like-the-others": {Requests: 200, Bytes: 64 << 20, Rate: free, Burst: 1},
		},
		Others:      quota.Limit{Requests: 200, Bytes: 64 << 20, Rate: free, Burst: 1},
		Anonymous:   quota.Limit{Requests: quota.None, Bytes: quota.None, Rate: 1000, Burst: 100},
		Models:      map[string]quota.Limit{"resnet50": {Requests: quota.None, Bytes: 2 << 30, Rate: free, Burst: 1}},
		OtherModels: quota.Unlimited,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestWhatAFileDoesNotSayIsAsBefore(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "tenants:\n", "tenants: {}\nmodels: {}\nanonymous: {}\n"} {
		got, err := Limits([]byte(text), base)
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
	got, err := Limits([]byte("tenants:\n  '*': {rate: 100, burst: 80}\n  a: {rate: 50}\n  b: {burst: 3}\n  c: {rate: none}\n"), base)
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
		"tenants:\n  a: {}\n  a: {}":           `line 3: "a" stands twice`,
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
		"a: &x {b: 1}\ntenants: *x":            `line 1: the file must be a mapping, as in {requests: 100}`,
		"models: {}\n---\nmodels: {}":          `there is more than one document`,
	} {
		if _, err := Limits([]byte(text), base); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	if _, err := Limits([]byte("tenants: {a"), base); err == nil {
		t.Error("half a file is taken")
	}
}

func FuzzLimits(f *testing.F) {
	f.Add([]byte("tenants:\n  \"*\": {requests: 1, bytes: 1KiB, rate: 2, burst: 3}\nmodels: {m: {rate: none}}\nanonymous: {}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Limits(text, base)
		if err != nil {
			return
		}
		all := slices.AppendSeq([]quota.Limit{r.Others, r.Anonymous, r.OtherModels}, maps.Values(r.Tenants))
		for _, l := range slices.AppendSeq(all, maps.Values(r.Models)) {
			if l.Requests < 0 || l.Bytes < 0 || !(l.Rate > 0) || !(l.Burst >= 1) {
				t.Fatalf("%q gives %+v", text, l)
			}
		}
	})
}
