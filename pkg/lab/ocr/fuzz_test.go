package ocr

import (
	"bytes"
	"strings"
	"testing"

	"clockwork/pkg/testkit/hostile"
)

// FuzzKeys: a keys file is read as its lines, or refused with the line.
func FuzzKeys(f *testing.F) {
	for _, seed := range []string{"a\nb\n", "", "\n", "a\r\nb", "a\n\nb\n", "\xff\n", strings.Repeat("x", 70_000), strings.Repeat("a\n", 1000)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		hostile.Within(t, 64*len(file)+1<<20, "keys", func() {
			keys, err := ReadKeys(bytes.NewReader(file))
			if err != nil {
				if !strings.HasPrefix(err.Error(), "read keys: ") {
					t.Fatal(err)
				}
				return
			}
			lines := bytes.Count(bytes.TrimSuffix(file, []byte("\n")), []byte("\n")) + 1
			if keys.Classes() != lines+2 {
				t.Fatalf("%d classes of %d lines", keys.Classes(), lines)
			}
		})
	})
}

// FuzzDecode: whatever a model answers, its reading is of the alphabet, or
// refused.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 0, 63}, int64(1), int64(2))
	f.Add(make([]byte, 32), int64(2), int64(4))
	f.Add([]byte{}, int64(-1), int64(4))
	f.Add([]byte{}, int64(1)<<62, int64(1)<<62)
	f.Add([]byte{0, 0, 192, 127, 0, 0, 192, 127}, int64(1), int64(2))
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0}, int64(1), int64(2))
	f.Fuzz(func(t *testing.T, data []byte, steps, classes int64) {
		keys, err := ReadKeys(strings.NewReader("a\nb\n"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := keys.Decode(data, []int64{steps, classes})
		if err != nil {
			return
		}
		if len(r.Text) > len(data) || strings.Trim(r.Text, "ab ") != "" {
			t.Fatalf("%q was read of %d bytes", r.Text, len(data))
		}
	})
}
