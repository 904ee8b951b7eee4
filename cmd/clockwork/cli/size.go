package cli

import (
	"fmt"
	"strconv"
	"strings"
)

// ByteSize is the value of a flag such as 16MiB or 4096.
type ByteSize int64

// UnmarshalText parses a number of bytes.
func (b *ByteSize) UnmarshalText(text []byte) error {
	digits, factor := string(text), int64(1)
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if rest, ok := strings.CutSuffix(digits, unit); ok {
			digits, factor = rest, 1<<(10*(i+1))
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is no size such as 16MiB or 65536", text)
	}
	*b = ByteSize(n * factor)
	return nil
}
