package journal

import (
	"encoding/json"
	"fmt"
	"reflect"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/measure"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/core/work"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/protocol"
)

// Core is a kind of core that can be written down and run again.
type Core struct {
	Name   string
	events map[string]reflect.Type
	// about is the number of the thing that an event is about, 0 for none.
	about func(event any) uint64
	// begin makes a machine from its config in JSON.
	begin func(config []byte) (machine, error)
}

// machine is a core at work again. Its step gives it an event about the thing of a
// number, and returns the output; the error says that there is no such thing.
type machine func(now protocol.Time, event any, about uint64) (out any, err error)

// Cores are the cores that are known.
var Cores = []Core{
	coreOf("startup", startup.New, (*startup.Machine).Step,
		startup.Started{}, startup.WorkerSeen{}, startup.WorkerLost{}, startup.WorkerAnswered{}, startup.LoadRequested{},
		startup.LoadResult{}, startup.ModelsStored{}, startup.StoreFailed{}, startup.ModelsUnstored{}, startup.StageStored{},
		startup.StageConflict{}, startup.Fenced{}, startup.ProfilerSeen{}, startup.ProfilingDone{}, startup.SchedulerSeen{},
		startup.ServiceSeen{}, startup.JoinConfirmed{}, startup.Tick{}),
	coreOf("measure", measure.New, (*measure.Machine).Step,
		measure.JobGiven{}, measure.ProfilesRead{}, measure.ProfileStored{}, measure.ActionResult{}, measure.WorkerSeen{},
		measure.WorkerLost{}, measure.Elected{}, measure.Abandon{}, measure.Tick{}),
	coreWith(requests, "frontdoor", newFrontDoor, (*frontdoor.Machine).Step,
		&frontdoor.Inbound{}, &frontdoor.Decoded{}, &frontdoor.Undecoded{}, &frontdoor.ClientGone{}, &frontdoor.Stored{}, &frontdoor.Unsent{}, &frontdoor.InputSent{}, &frontdoor.StageSeen{},
		&frontdoor.ModelSeen{}, &frontdoor.ModelDropped{}, &frontdoor.SchedulerBeat{}, &frontdoor.SchedulerLost{},
		&frontdoor.Dispatched{}, &frontdoor.OutputArrived{}, &frontdoor.Connection{},
		&frontdoor.BufferSeen{}, &frontdoor.Claimed{}, &frontdoor.BufferLost{}, &frontdoor.BufferReleased{}, &frontdoor.Stop{},
		&frontdoor.Tick{}),
	coreWith(orders, "work", newWorker, (*work.Worker).Step,
		&work.Received{}, &work.Input{}, &work.Staged{}, &work.Executed{}, &work.Fetched{}, &work.Transferred{},
		&work.ModelRead{}, &work.ExecutorLost{}, &work.ExecutorReady{}, &work.ClockReading{}, &work.Stop{}, &work.Abandon{}, &work.Tick{}),
}

// coreOf describes a core by how it is made and stepped, and its events, which stand for
// themselves.
func coreOf[Config, Machine, Event, Output any](name string, make func(Config) (Machine, error),
	step func(Machine, protocol.Time, Event) Output, events ...any) Core {
	none := things[Event, Output, struct{}]{
		in:    func(Event) (**struct{}, string) { return nil, "" },
		given: func(Output, func(string, *struct{})) {},
	}
	return coreWith(none, name, make, step, events...)
}

// coreWith describes a core some of whose events are about things that it gave out.
func coreWith[Config, Machine, Event, Output, Thing any](things things[Event, Output, Thing], name string, make func(Config) (Machine, error),
	step func(Machine, protocol.Time, Event) Output, events ...any) Core {
	c := Core{Name: name, events: map[string]reflect.Type{}}
	for _, e := range events {
		c.events[eventName(e)] = reflect.TypeOf(e)
	}
	c.about = func(e any) uint64 {
		if field, _ := things.in(e.(Event)); field != nil {
			return things.number(*field)
		}
		return 0
	}
	c.begin = func(written []byte) (machine, error) {
		var config Config
		if err := json.Unmarshal(written, &config); err != nil {
			return nil, fmt.Errorf("read config: %w", err)
		}
		m, err := make(config)
		if err != nil {
			return nil, err
		}
		given := owed[Thing]{}
		return func(now protocol.Time, event any, about uint64) (any, error) {
			e := event.(Event)
			if field, errand := things.in(e); field != nil {
				if *field = given.take(errand, about); *field == nil {
					return nil, fmt.Errorf("%s is about number %d, which is not out to %s", eventName(e), about, errand)
				}
			}
			out := step(m, now, e)
			things.given(out, func(errand string, t *Thing) { given.add(errand, things.number(t), t) })
			return out, nil
		}, nil
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

// eventName is the name of an event's type.
func eventName(e any) string {
	t := reflect.TypeOf(e)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

// event reads an event of a type by its name.
func (c *Core) event(name string, l *line) (any, error) {
	t := c.events[name]
	if t == nil {
		return nil, fmt.Errorf("core %s has no event %q", c.Name, name)
	}
	plain := t
	if t.Kind() == reflect.Pointer {
		plain = t.Elem()
	}
	e := reflect.New(plain)
	if err := record.DecodeEvent(l.Of, l.Bytes, e); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if t.Kind() == reflect.Pointer {
		return e.Interface(), nil
	}
	return e.Elem().Interface(), nil
}
