package yamlfile

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
)

// Limits reads a file of limits. Those that it does not set are taken from base:
//
//	tenants:
//	  "*":   {requests: 200, bytes: 64MiB}   # each client with a name that is not below
//	  alice: {rate: 500, burst: 50}          # the rest as in "*"
//	anonymous: {rate: 1000}                  # all clients without a name together
//	models:
//	  "*":      {requests: 1000}             # each model that is not below, for all clients together
//	  resnet50: {bytes: none}
//
// The error names the line.
func Limits(text []byte, base quota.Rules) (quota.Rules, error) {
	root, err := Document(string(text))
	if err != nil || root == nil {
		return base, first(err)
	}
	r := base
	err = fields(root, "the file", func(key string, value *yaml.Node) (err error) {
		switch key {
		case "tenants":
			r.Tenants, r.Others, err = named(value, "tenants", base.Others)
		case "models":
			r.Models, r.OtherModels, err = named(value, "models", base.OtherModels)
		case "anonymous":
			r.Anonymous, err = limit(value, "anonymous", base.Anonymous)
		default:
			return fmt.Errorf("%q is nothing that has limits; there are tenants, anonymous and models", key)
		}
		return err
	})
	if err != nil {
		return quota.Rules{}, first(err)
	}
	return r, nil
}

// first is the first problem of a file, with its line.
func first(err error) error {
	if err == nil {
		return nil
	}
	p := Problems(err)[0]
	if p.Line == 0 {
		return p.Err
	}
	return fmt.Errorf("line %d: %w", p.Line, p.Err)
}

// isNothing reports whether a value is null, as after a key without a value.
func isNothing(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// everyOther is the key for all names that are not listed.
const everyOther = "*"

// named reads limits by name. The limits of "*" apply to all other names and are
// the defaults of the listed ones.
func named(n *yaml.Node, of string, base quota.Limit) (own map[string]quota.Limit, others quota.Limit, err error) {
	others = base
	err = fields(n, of, func(name string, value *yaml.Node) (err error) {
		if name == everyOther {
			others, err = limit(value, of+`."*"`, base)
		}
		return err
	})
	if err != nil {
		return nil, base, err
	}
	own = map[string]quota.Limit{}
	err = fields(n, of, func(name string, value *yaml.Node) (err error) {
		switch {
		case name == everyOther:
		case !protocol.ValidName(name):
			return fmt.Errorf("%s: %q is no name: 1 to %d of [a-z0-9_-], or \"*\" for all others", of, name, protocol.MaxName)
		default:
			own[name], err = limit(value, of+"."+name, others)
		}
		return err
	})
	return own, others, err
}

// limit reads one Limit; fields that are not set are taken from base. A rate without a
// burst gets the requests of a tenth of a second as its burst, at least 1. A burst is an
// error if neither n nor base has a rate.
func limit(n *yaml.Node, of string, base quota.Limit) (quota.Limit, error) {
	l, rate, burst := base, false, false
	err := fields(n, of, func(key string, value *yaml.Node) (err error) {
		switch key {
		case "requests":
			l.Requests, err = count(value)
		case "bytes":
			l.Bytes, err = size(value)
		case "rate":
			rate = true
			l.Rate, err = perSecond(value)
		case "burst":
			burst = true
			l.Burst, err = atOnce(value)
		default:
			return fmt.Errorf("%s: %q is no limit; there are requests, bytes, rate and burst", of, key)
		}
		if err != nil {
			return fmt.Errorf("%s.%s %w", of, key, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return base, err
	case !l.Paced() && burst:
		return base, At(n, "%s has a burst and no rate", of)
	case !l.Paced():
		l.Burst = quota.Unlimited.Burst
	case rate && !burst:
		l.Burst = math.Max(1, math.Floor(l.Rate/10))
	}
	return l, nil
}

// fields calls f for each pair of a mapping, in file order. A null counts as an
// empty mapping.
func fields(n *yaml.Node, of string, f func(key string, value *yaml.Node) error) error {
	if isNothing(n) {
		return nil
	}
	return EachKey(n, of+" must be a mapping, as in {requests: 100}", func(key, value *yaml.Node) error {
		err := f(key.Value, value)
		if err == nil || Problems(err)[0].Line > 0 {
			return err
		}
		return Problem{key.Line, err}
	})
}

// unbounded is the word for no limit.
const unbounded = "none"

// count reads a number of requests, from 0.
func count(n *yaml.Node) (int64, error) {
	if n.Value == unbounded {
		return quota.None, nil
	}
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 {
		return 0, fmt.Errorf("is %s; it must be a whole number from 0, or none", shown(n))
	}
	return v, nil
}

// size reads a number of bytes, from 0, with an optional unit of KiB, MiB or GiB.
func size(n *yaml.Node) (int64, error) {
	if n.Value == unbounded {
		return quota.None, nil
	}
	digits, factor := n.Value, int64(1)
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if rest, ok := strings.CutSuffix(digits, unit); ok {
			digits, factor = rest, 1<<(10*(i+1))
			break
		}
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 || v > math.MaxInt64/factor {
		return 0, fmt.Errorf("is %s; it must be a size such as 64MiB or 65536, or none", shown(n))
	}
	return v * factor, nil
}

// maxRate is the largest accepted rate, in requests per second.
const maxRate = 1e9

// perSecond reads a rate in requests per second, above 0.
func perSecond(n *yaml.Node) (float64, error) {
	if n.Value == unbounded {
		return quota.Unlimited.Rate, nil
	}
	v, err := strconv.ParseFloat(n.Value, 64)
	if n.Kind != yaml.ScalarNode || err != nil || !(v > 0 && v <= maxRate) {
		return 0, fmt.Errorf("is %s; it must be a number of requests a second above 0, up to %v, or none", shown(n), maxRate)
	}
	return v, nil
}

// atOnce reads a burst, a number of requests from 1.
func atOnce(n *yaml.Node) (float64, error) {
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < 1 || v > maxRate {
		return 0, fmt.Errorf("is %s; it must be a whole number from 1", shown(n))
	}
	return float64(v), nil
}

// shown returns a value for an error message.
func shown(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return "no single value"
	}
	return strconv.Quote(n.Value)
}
