package workload

import (
	"bytes"
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// maxSeconds is the latest second of a trace, in 2255.
const maxSeconds = 9_000_000_000

// instant parses the time of a request, truncated to nanoseconds. It is a number
// of seconds, as Python and pandas write it (1.5, 1600000000.1234567890123,
// 1.6e+09), or a date and time of ISO 8601, with T or a space in between and in
// UTC if it has no zone (2020-09-13T12:26:40.123456, 2020-09-13 12:26:40+02:00).
func instant(text []byte) (protocol.Time, error) {
	if len(text) > 4 && text[4] == '-' && digits(text[:4]) {
		return date(text)
	}
	number, power, ok := scientific(text)
	before, after, pointed := bytes.Cut(number, []byte{'.'})
	if !ok || len(before) == 0 || pointed && len(after) == 0 || !digits(before) || !digits(after) {
		return 0, fmt.Errorf("%.40q is no time: expected seconds as in 1600000000.25, or a date as in 2020-09-13T12:26:40.25Z", text)
	}
	const most = maxSeconds * 1_000_000_000
	nanoseconds := uint64(0)
	for i := range len(before) + power + 9 {
		digit := uint64(0)
		switch {
		case i < len(before):
			digit = uint64(before[i] - '0')
		case i-len(before) < len(after):
			digit = uint64(after[i-len(before)] - '0')
		}
		if nanoseconds > (most-digit)/10 {
			return 0, fmt.Errorf("%.40q is after the year 2255: times are in seconds", text)
		}
		nanoseconds = 10*nanoseconds + digit
	}
	return protocol.Time(nanoseconds), nil
}

// scientific splits a number into mantissa and exponent.
func scientific(text []byte) (number []byte, power int, ok bool) {
	at := bytes.IndexAny(text, "eE")
	if at < 0 {
		return text, 0, true
	}
	sign, exponent := 1, text[at+1:]
	if len(exponent) > 0 && (exponent[0] == '+' || exponent[0] == '-') {
		if exponent[0] == '-' {
			sign = -1
		}
		exponent = exponent[1:]
	}
	n, ok := whole(exponent, 400) // more than the exponents of a float64
	return text[:at], sign * int(n), ok
}

func digits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

const dateLayout = "2006-01-02T15:04:05"

// date parses a date and time.
func date(text []byte) (protocol.Time, error) {
	fault := fmt.Errorf("%.40q is no date and time: expected one as in 2020-09-13T12:26:40.123456+00:00", text)
	if len(text) < len(dateLayout) || text[10] != 'T' && text[10] != ' ' {
		return 0, fault
	}
	second, err := time.Parse(dateLayout, string(text[:10])+"T"+string(text[11:len(dateLayout)]))
	if err != nil {
		return 0, fault
	}
	nanoseconds, rest, ok := fraction(text[len(dateLayout):])
	east, okToo := zone(rest)
	if !ok || !okToo {
		return 0, fault
	}
	switch at := second.Unix() - east; {
	case at < 0:
		return 0, fmt.Errorf("%.40q is before 1970", text)
	case at > maxSeconds:
		return 0, fmt.Errorf("%.40q is after the year 2255", text)
	default:
		return protocol.Time(at*1_000_000_000 + nanoseconds), nil
	}
}

// fraction parses the decimals of a second, if there are any.
func fraction(text []byte) (nanoseconds int64, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '.' {
		return 0, text, true
	}
	n := 1
	for ; n < len(text) && text[n] >= '0' && text[n] <= '9'; n++ {
		if n <= 9 {
			nanoseconds = 10*nanoseconds + int64(text[n]-'0')
		}
	}
	for i := n; i <= 9; i++ {
		nanoseconds *= 10
	}
	return nanoseconds, text[n:], n > 1
}

// zone parses how many seconds a zone is east of UTC: nothing, Z, +hh, +hhmm or
// +hh:mm.
func zone(text []byte) (east int64, ok bool) {
	if len(text) == 0 || len(text) == 1 && text[0] == 'Z' {
		return 0, true
	}
	if text[0] != '+' && text[0] != '-' || len(text) == 6 && text[3] != ':' {
		return 0, false
	}
	hours := text[1:min(3, len(text))]
	minutes := text[len(hours)+1:]
	if len(minutes) == 3 {
		minutes = minutes[1:]
	}
	h, ok := whole(hours, 23)
	m, okToo := whole(append([]byte{'0'}, minutes...), 59)
	if len(hours) != 2 || len(minutes) != 2 && len(minutes) != 0 {
		return 0, false
	}
	east = int64(h*3600 + m*60)
	if text[0] == '-' {
		east = -east
	}
	return east, ok && okToo
}
