package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/cmd/clockwork/cli"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
)

type healthcheckCommand struct {
	Service string        `enum:"stack,nats,controller,frontdoor,gateway,profiler,scheduler,worker" default:"stack" help:"Whose health: controller, frontdoor, gateway, profiler, scheduler or worker (of this host), nats (the broker and its JetStream), or stack (a controller leads and answers, no kind of service is missing, and from ACTIVE on a request that is sent now is executed); by default stack."`
	Name    string        `help:"The worker's name, where several run on this host; by default any of them."`
	Timeout time.Duration `default:"2s" env:"-" from:"1ms" to:"1h" help:"How long to wait for the answer."`
}

// nameVariable sets --name here and of worker: an environment that several services share has
// it for the worker, and asks after the others nonetheless.
const nameVariable = "CLOCKWORK_NAME"

// health is the result for a healthy service.
type health struct {
	Service  string `json:"service"`
	State    string `json:"state"`
	InFlight int    `json:"in_flight,omitempty"`
}

// Run prints one line, and fails unless the service is healthy.
func (k *healthcheckCommand) Run(c *cli.Flags, con *cli.Console) error {
	if k.Service != string(protocol.Worker) && k.Name == os.Getenv(nameVariable) {
		k.Name = ""
	}
	if k.Name != "" && k.Service != string(protocol.Worker) {
		return cli.Usagef("--name is a worker's; it goes with --service worker")
	}
	ctx, cancel := cli.Interruptible()
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	found, err := k.ask(ctx, c)
	if refusal := new(protocol.Error); errors.As(err, &refusal) && refusal.Code == protocol.PermissionDenied {
		return err // which says nothing about health
	}
	if err != nil {
		return cli.WithCode(protocol.StateUnavailable, fmt.Errorf("%s is not healthy: %w", k.Service, err))
	}
	if c.JSON {
		return cli.PrintJSON(con.Out, found)
	}
	busy := ""
	if found.InFlight > 0 {
		busy = fmt.Sprintf(", %d in flight", found.InFlight)
	}
	_, err = fmt.Fprintf(con.Out, "%s is healthy: %s%s\n", found.Service, found.State, busy)
	return err
}

func (k *healthcheckCommand) ask(ctx context.Context, c *cli.Flags) (health, error) {
	options, err := c.Options()
	if err != nil {
		return health{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	refused := bus.OnDenied(cancel)
	stack, err := client.Connect(c.NATS, c.Prefix, append(options, nats.Timeout(k.Timeout), nats.NoReconnect(), refused)...)
	if err != nil {
		return health{}, err
	}
	defer stack.Close()
	found, err := k.query(ctx, c, stack)
	if refusal := stack.LastDenied(); err != nil && refusal != nil {
		return health{}, refusal
	}
	return found, err
}

func (k *healthcheckCommand) query(ctx context.Context, c *cli.Flags, stack *client.Client) (health, error) {
	switch k.Service {
	case "stack":
		return askStack(ctx, stack)
	case "nats":
		return k.askBroker(ctx, c, stack)
	}
	kind := protocol.ServiceKind(k.Service)
	if kind == protocol.Controller {
		kind = protocol.FrontDoor // each controller runs one, whether it leads or not
	}
	beat, err := bus.QueryHealth(ctx, stack.Conn(), protocol.Subjects{Prefix: c.Prefix}, kind, k.Name)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return health{}, fmt.Errorf("none on %s is connected to the broker", bus.HostName())
	case errors.Is(err, context.DeadlineExceeded):
		return health{}, fmt.Errorf("no answer within %v", k.Timeout)
	case err != nil:
		return health{}, err
	case beat.State == protocol.Stopping:
		return health{}, errors.New("it is stopping")
	}
	stalled := 0
	for _, g := range beat.GPUs {
		if g.Stalled {
			stalled++
		}
	}
	if stalled > 0 && stalled == len(beat.GPUs) {
		return health{}, fmt.Errorf("every GPU is stalled (%d)", stalled)
	}
	return health{k.Service, string(beat.State) + stalledText(stalled), beat.InFlight}, nil
}

func askStack(ctx context.Context, stack *client.Client) (health, error) {
	state, refusal := stack.Brief(ctx)
	if refusal != nil {
		return health{}, errors.New(refusal.Message)
	}
	if why := state.Unhealthy(); why != "" {
		return health{}, errors.New(why)
	}
	text := fmt.Sprintf("%s with %s%s", state.Stage, cli.Count(state.WorkerCount, "worker"), stalledText(state.GPUsStalled))
	if lacking := state.Serving().Capacity.Lacking(); lacking != "" {
		text += ", " + lacking
	}
	return health{"stack", text, 0}, nil
}

func stalledText(gpus int) string {
	if gpus == 0 {
		return ""
	}
	return fmt.Sprintf(", %s stalled", cli.Count(gpus, "GPU"))
}

// askBroker reads and writes: in a cluster that takes servers which have elected a leader,
// and anywhere a disk with room.
func (k *healthcheckCommand) askBroker(ctx context.Context, c *cli.Flags, stack *client.Client) (health, error) {
	streams, err := bus.ProbeStore(ctx, c.NATS, c.Prefix, c.Credentials(), stack.Conn(), nats.Timeout(k.Timeout), nats.NoReconnect())
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return health{}, errors.New("JetStream does not answer, or takes no writes")
	case err != nil:
		return health{}, err
	}
	return health{"nats", fmt.Sprintf("JetStream keeps %s", cli.Count(streams, "stream")), 0}, nil
}
