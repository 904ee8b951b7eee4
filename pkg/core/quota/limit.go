package quota

import (
	"errors"
	"math"
)

// Limit bounds what one tenant, or the requests for one model, may have at one
// front door. Its zero value lets nothing pass; Unlimited bounds nothing.
type Limit struct {
	// Requests may be in flight: taken, and not yet answered.
	Requests int64
	// Bytes are of their messages, as they came.
	Bytes int64
	// Rate is how many requests are taken a second on average, and Burst how many
	// at once by who sent nothing for a while: both positive, Burst at least 1.
	Rate  float64
	Burst float64
}

// None is the size of what is not bounded.
const None = math.MaxInt64

// Unlimited bounds nothing.
var Unlimited = Limit{Requests: None, Bytes: None, Rate: math.Inf(1), Burst: 1}

// paced reports whether there is a rate.
func (l Limit) paced() bool { return !math.IsInf(l.Rate, 1) }

// Rules are the limits of everybody.
type Rules struct {
	// Tenants are those with limits of their own, by name; Others is of each that
	// is not among them, and Anonymous of all together who have no name.
	Tenants   map[string]Limit
	Others    Limit
	Anonymous Limit
	// Models are those with limits of their own, which all tenants share, and
	// OtherModels is of each that is not among them.
	Models      map[string]Limit
	OtherModels Limit
}

// Default gives each tenant with a name at most a quarter of the requests and
// bytes that a front door takes: no three of them can keep a fourth out. Nobody
// has a rate, and those without a name, who are everybody on an open broker, have
// no limit.
func Default(requests, bytes int64) Rules {
	others := Unlimited
	others.Requests, others.Bytes = max(1, requests/4), max(1, bytes/4)
	return Rules{Others: others, Anonymous: Unlimited, OtherModels: Unlimited}
}

// Validate reports limits that were not set at all: their zero value would take
// nothing from anybody.
func (r Rules) Validate() error {
	for _, l := range []Limit{r.Others, r.Anonymous, r.OtherModels} {
		if l.Burst < 1 {
			return errors.New("limits of tenants or models are not set; quota.Default sets them")
		}
	}
	return nil
}

func (r *Rules) tenant(name string) Limit {
	if name == "" {
		return r.Anonymous
	}
	if l, own := r.Tenants[name]; own {
		return l
	}
	return r.Others
}

func (r *Rules) model(name string) Limit {
	if l, own := r.Models[name]; own {
		return l
	}
	return r.OtherModels
}
