package cli

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Durations and sizes of flags have bounds, in the tags from and to of their fields:
//
//	Timeout time.Duration `default:"2s" from:"1ms" to:"1h" ...`
//	Summary time.Duration `default:"10s" from:"0 or 1s" to:"24h" ...`
//
// The parser checks them, and the help states them.

// orNone begins a lower bound beside which 0 is allowed, which means none.
const orNone = "0 or "

// bounds are the bounds of a flag as they are written, "" for a flag without.
type bounds struct{ from, to string }

func boundsOf(v *kong.Value) bounds { return bounds{v.Tag.Get("from"), v.Tag.Get("to")} }

func (b bounds) String() string {
	if none, least := strings.CutPrefix(b.from, orNone); least {
		return orNone + "from " + none + " to " + b.to
	}
	return "from " + b.from + " to " + b.to
}

// check refuses a value that is out of bounds. read reads a bound, which a test has read
// before.
func (b bounds) check(text string, value int64, read func(string) (int64, error)) error {
	if b.to == "" {
		return nil
	}
	least, err := read(strings.TrimPrefix(b.from, orNone))
	if err != nil {
		return err
	}
	most, err := read(b.to)
	if err != nil {
		return err
	}
	if value >= least && value <= most {
		return nil
	}
	return fmt.Errorf("it is %s, and must be %s", text, b)
}

// span reads a duration.
func span(ctx *kong.DecodeContext, target reflect.Value) error {
	return bounded(ctx, target, "duration", func(text string) (int64, error) {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, fmt.Errorf("expected a duration such as 1.5s or 200ms, got %q", text)
		}
		return int64(d), nil
	})
}

// size reads a ByteSize.
func size(ctx *kong.DecodeContext, target reflect.Value) error {
	return bounded(ctx, target, "size", func(text string) (int64, error) {
		var b ByteSize
		err := b.UnmarshalText([]byte(text))
		return int64(b), err
	})
}

func bounded(ctx *kong.DecodeContext, target reflect.Value, kind string, read func(string) (int64, error)) error {
	var text string
	if err := ctx.Scan.PopValueInto(kind, &text); err != nil {
		return err
	}
	b := boundsOf(ctx.Value)
	none := strings.HasPrefix(b.from, orNone)
	if none && text == "0" { // which is no size by itself
		target.SetInt(0)
		return nil
	}
	value, err := read(text)
	if err == nil && !(none && value == 0) {
		err = b.check(text, value, read)
	}
	if err == nil {
		target.SetInt(value)
	}
	return err
}

// helpText adds its bounds to a flag's help.
func helpText(v *kong.Value) string {
	text := kong.DefaultHelpValueFormatter(v)
	if b := boundsOf(v); b.to != "" {
		text += " It is " + b.String() + "."
	}
	return text
}
