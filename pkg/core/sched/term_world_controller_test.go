package sched

import (
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
)

// wController is a controller's process: the core of the startup phase (package startup), which
// is over. It never fails: it has workers load the models, starts the scheduler and announces
// workers to it, until that is confirmed.
type wController struct {
	w     *termWorld
	core  *startup.Machine
	watch liveness.Watch // of workers
	wake  protocol.Time
}

func newWController(w *termWorld) *wController {
	c := startup.DefaultConfig()
	c.Issuer, c.Term = controller, 1
	core, err := startup.New(c)
	if err != nil {
		panic(err) // the config is our own
	}
	return &wController{w: w, core: core, wake: protocol.Never}
}

func (c *wController) begin() {
	c.step(startup.Started{Stage: protocol.Active, Models: wModels, Profiles: wProfiles})
	c.w.Every(protocol.HeartbeatEvery, func() {
		for _, lost := range c.watch.Tick() {
			c.step(startup.OfWorker(lost))
		}
	})
}

// workerBeat follows the workers.
func (c *wController) workerBeat(h protocol.Heartbeat) {
	changes, _ := c.watch.Beat(h)
	for _, change := range changes {
		c.step(startup.OfWorker(change))
	}
}

func (c *wController) schedulerBeat(h protocol.Heartbeat) {
	h.Service = protocol.Scheduler
	c.step(startup.ServiceBeat{Heartbeat: h})
}

// result takes a worker's result.
func (c *wController) result(r protocol.Result) { c.step(startup.LoadResult{Result: r}) }

func (c *wController) step(e startup.Event) {
	w := c.w
	out := c.core.Step(w.Now, e)
	for _, a := range out.Actions {
		w.order(w.worker(a.Worker), a.Action)
	}
	if out.Activate != nil {
		for _, s := range w.schedulers {
			w.loose(s.On(func() { s.step(&Started{*out.Activate}) }))
		}
	}
	for _, state := range append(out.JoinWorkers, out.JoinAgain...) {
		c.announce(state)
	}
	if out.Wake < c.wake {
		c.wake = out.Wake
		w.After(out.Wake.Sub(w.Now), c.tick)
	}
}

func (c *wController) tick() {
	if c.wake <= c.w.Now {
		c.wake = protocol.Never
		c.step(startup.Tick{})
	}
}

// announce has a worker join; whoever leads confirms that it has noted it. Copies may come much
// later.
func (c *wController) announce(state protocol.WorkerState) {
	w := c.w
	for _, s := range w.schedulers {
		announced := s.On(func() {
			if epoch := s.announced(state); epoch != 0 {
				w.loose(func() {
					c.step(startup.JoinConfirmed{ID: state.ID, Incarnation: state.Incarnation, Epoch: epoch})
				})
			}
		})
		w.loose(announced)
		if w.faulty() && w.chance(0.5) {
			w.After(w.UpTo(1500*time.Millisecond), announced)
		}
	}
}
