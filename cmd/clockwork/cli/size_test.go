package cli

import "testing"

func TestByteSize(t *testing.T) {
	for text, want := range map[string]ByteSize{"4096": 4096, "64KiB": 64 << 10, "16MiB": 16 << 20, "1GiB": 1 << 30, "": 0, "-1": 0, "0": 0, "1.5MiB": 0, "16MB": 0, "99999999999": 0} {
		var b ByteSize
		err := b.UnmarshalText([]byte(text))
		if (err == nil) != (want != 0) || b != want {
			t.Errorf("%q: %d, %v", text, b, err)
		}
	}
}
