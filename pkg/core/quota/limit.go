package quota

import (
	"encoding/json"
	"errors"
	"math"
)

// Limit bounds one tenant, or the requests for one model, at one front door. The
// zero value admits nothing; Unlimited bounds nothing.
type Limit struct {
	// Requests bounds the requests in flight: admitted and not yet answered.
	Requests int64
	// Bytes bounds the bytes of the messages in flight, as received.
	Bytes int64
	// Rate is the average number of requests admitted per second, Burst how many may
	// be admitted at once after a pause. Both are positive, Burst is at least 1.
	Rate  float64
	Burst float64
}

// MarshalJSON omits an unlimited Rate, because JSON has no infinity.
func (l Limit) MarshalJSON() ([]byte, error) {
	type plain Limit
	written := struct {
		plain
		Rate *float64 `json:",omitempty"`
	}{plain: plain(l)}
	if l.Paced() {
		written.Rate = &l.Rate
	}
	return json.Marshal(written)
}

// UnmarshalJSON reads the result of MarshalJSON: a missing Rate is unlimited.
func (l *Limit) UnmarshalJSON(text []byte) error {
	type plain Limit
	read := plain{Rate: math.Inf(1)}
	err := json.Unmarshal(text, &read)
	*l = Limit(read)
	return err
}

// None is the value of Requests or Bytes without a bound.
const None = math.MaxInt64

// Unlimited is the limit that bounds nothing; names with it are not counted.
var Unlimited = Limit{Requests: None, Bytes: None, Rate: math.Inf(1), Burst: 1}

// Paced reports whether the rate is limited.
func (l Limit) Paced() bool { return !math.IsInf(l.Rate, 1) }

// Rules are the limits of all tenants and models.
type Rules struct {
	// Tenants are the tenants with limits of their own, by name. Others applies to
	// each other tenant by itself, Anonymous to all clients without a name together.
	Tenants   map[string]Limit
	Others    Limit
	Anonymous Limit
	// Models are the models with limits of their own, by name; all tenants share the
	// limit of a model. OtherModels applies to each other model by itself.
	Models      map[string]Limit
	OtherModels Limit
}

// Default gives each named tenant at most a quarter of the requests and bytes
// that a front door takes: no three tenants can keep a fourth out. There are no
// rate limits. Clients without a name, which are all clients on an open broker,
// are unlimited.
func Default(requests, bytes int64) Rules {
	others := Unlimited
	others.Requests, others.Bytes = max(1, requests/4), max(1, bytes/4)
	return Rules{Others: others, Anonymous: Unlimited, OtherModels: Unlimited}
}

// Validate returns an error if limits were not set: the zero value would admit
// nothing.
func (r Rules) Validate() error {
	for _, l := range []Limit{r.Others, r.Anonymous, r.OtherModels} {
		if l.Burst < 1 {
			return errors.New("limits of tenants or models are not set; quota.Default sets them")
		}
	}
	return nil
}

// tenant returns the limit of a tenant; the empty name is that of anonymous clients.
func (r *Rules) tenant(name string) Limit {
	if name == "" {
		return r.Anonymous
	}
	if l, own := r.Tenants[name]; own {
		return l
	}
	return r.Others
}

// model returns the limit of a model.
func (r *Rules) model(name string) Limit {
	if l, own := r.Models[name]; own {
		return l
	}
	return r.OtherModels
}
