package journal

import (
	"encoding/json"
	"fmt"
	"reflect"

	"clockwork/pkg/core/measure"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
)

// Core is a kind of core that can be written down and run again.
type Core struct {
	Name   string
	events map[string]reflect.Type
	// begin makes a machine from its config in JSON; its step returns the output.
	begin func(config []byte) (step func(now protocol.Time, event any) any, err error)
}

// Cores are the cores that are known.
var Cores = []Core{
	coreOf("startup", startup.New, (*startup.Machine).Step,
		startup.Started{}, startup.WorkerSeen{}, startup.WorkerLost{}, startup.WorkerAnswered{}, startup.LoadRequested{},
		startup.LoadResult{}, startup.ModelsStored{}, startup.StoreFailed{}, startup.ModelsUnstored{}, startup.StageStored{},
		startup.StageConflict{}, startup.ProfilerSeen{}, startup.ProfilingDone{}, startup.SchedulerSeen{}, startup.Tick{}),
	coreOf("measure", measure.New, (*measure.Machine).Step,
		measure.JobGiven{}, measure.ProfilesRead{}, measure.ProfileStored{}, measure.ActionResult{}, measure.WorkerSeen{},
		measure.WorkerLost{}, measure.Abandon{}, measure.Tick{}),
}

// coreOf describes a core by how it is made and stepped, and its events.
func coreOf[Config, Machine, Event, Output any](name string, make func(Config) (Machine, error),
	step func(Machine, protocol.Time, Event) Output, events ...any) Core {
	c := Core{Name: name, events: map[string]reflect.Type{}}
	for _, e := range events {
		t := reflect.TypeOf(e)
		c.events[t.Name()] = t
	}
	c.begin = func(written []byte) (func(protocol.Time, any) any, error) {
		var config Config
		if err := json.Unmarshal(written, &config); err != nil {
			return nil, fmt.Errorf("read config: %w", err)
		}
		m, err := make(config)
		if err != nil {
			return nil, err
		}
		return func(now protocol.Time, e any) any { return step(m, now, e.(Event)) }, nil
	}
	return c
}

func coreNamed(name string) *Core {
	for i := range Cores {
		if Cores[i].Name == name {
			return &Cores[i]
		}
	}
	return nil
}

// event reads an event of a type by its name.
func (c *Core) event(name string, written []byte) (any, error) {
	t := c.events[name]
	if t == nil {
		return nil, fmt.Errorf("core %s has no event %q", c.Name, name)
	}
	e := reflect.New(t)
	if err := json.Unmarshal(written, e.Interface()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return e.Elem().Interface(), nil
}
