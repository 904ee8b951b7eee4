package replay

import (
	"strings"
	"testing"

	"clockwork/pkg/lab/policies"
)

// FuzzSet: a setting is taken, or refused by its name; nothing else changes.
func FuzzSet(f *testing.F) {
	for _, seed := range [][2]string{{"max-batch", "8"}, {"MaxBatch", "-1"}, {"", ""}, {"estimate.window", "1"}, {"slo", "5ms"}, {"default-slo", "NaN"}, {"policy", "a,b"}, {"...", "x"}} {
		f.Add(seed[0], seed[1])
	}
	for _, key := range Keys() {
		f.Add(key, "1e999")
		f.Add(key, "2")
		f.Add(key, "3ms")
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		config := policies.Defaults()
		if err := Set(&config, key, value); err != nil {
			if !strings.HasPrefix(err.Error(), "set ") {
				t.Fatal(err)
			}
			return
		}
		again := policies.Defaults()
		if err := Set(&again, strings.ToUpper(key), value); err != nil && upperAgain(key) {
			t.Fatalf("%q is a name, in capitals: %v", key, err)
		}
		_ = config.Validate() // it has an opinion, whatever was set
	})
}

// upperAgain reports whether a key is the same in capitals after it was in small
// letters, which some letters are not.
func upperAgain(key string) bool {
	small := strings.ToLower(key)
	return strings.ToUpper(small) == strings.ToUpper(key) //lint:ignore SA6005 EqualFold takes letters for equal that have other capitals
}
