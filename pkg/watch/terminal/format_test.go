package terminal

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 1: "1 ns", 850: "850 ns", 999: "999 ns", 1000: "1.00 us", 12345: "12.3 us", 999499: "999 us",
		999500: "1.00 ms", 4560 * time.Microsecond: "4.56 ms", 9996 * time.Microsecond: "10.0 ms",
		1200 * time.Millisecond: "1.20 s", 59949 * time.Millisecond: "59.9 s", 59950 * time.Millisecond: "1m00s",
		125 * time.Second: "2m05s", time.Hour - time.Second: "1h00m", 62 * time.Minute: "1h02m",
		100 * time.Hour: "100h00m", -1500: "-1.50 us",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%d ns is %q, want %q", d, got, want)
		}
	}
	if got := Duration(math.MinInt64); !strings.HasPrefix(got, "-2562047h") {
		t.Errorf("the least duration is %q", got)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 1536: "1.50 KiB", 10 << 20: "10.0 MiB", 102 << 20: "102 MiB",
		1<<20 - 1: "1.00 MiB", 1023 << 10: "1023 KiB", math.MaxInt64: "8.00 EiB", math.MinInt64: "-8.00 EiB", -5: "-5 B",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
