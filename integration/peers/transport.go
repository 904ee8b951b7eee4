package main

import (
	"context"
	"fmt"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/bench"
	"clockwork/pkg/protocol"
)

// protocols open lines to a server's URL, by their names in settings.yaml.
var protocols = map[string]func(url string) ([]bench.Line, func(), error){
	"clockwork": openClockwork,
	"oip-http":  openHTTP(oipRequest),
	"oip-grpc":  openGRPC,
	"raw":       openHTTP(rawRequest),
}

const (
	// connections to a server whose protocol shares them among requests.
	connections = 2
	// grace is how long after its SLO a request may still be answered, after which it has none.
	grace = 2 * time.Second
	// answerBytes is the size of a network's output: 1,000 float32.
	answerBytes = 4000
)

func openClockwork(url string) ([]bench.Line, func(), error) {
	var clients []*client.Client
	closeAll := func() {
		for _, c := range clients {
			c.Close()
		}
	}
	for range connections {
		c, err := client.Connect(url, "")
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		clients = append(clients, c)
	}
	return bench.Lines(clients...), closeAll, nil
}

// answer is a line's callback.
type answer func(token uint64, o client.Outcome)

// served reports an answer with this many bytes of outputs.
func (a answer) served(token uint64, bytes int) {
	if bytes < answerBytes {
		a.failed(token, protocol.BadMessage)
		return
	}
	a(token, client.Outcome{Code: protocol.OK, Parameters: protocol.ResponseParameters{BatchSize: 1}})
}

func (a answer) failed(token uint64, code protocol.Code) { a(token, client.Outcome{Code: code}) }

// refusals are the codes with which a server says no, rather than fails.
var refusals = []protocol.Code{protocol.DeadlineUnmeetable, protocol.DeadlineExceeded, protocol.Overloaded, protocol.LimitExceeded}

// ask sends one request over lines and waits for its answer.
func ask(ctx context.Context, protocolName, url, model string, in *bench.Inputs) error {
	lines, closeLines, err := protocols[protocolName](url)
	if err != nil {
		return err
	}
	defer closeLines()
	answered := make(chan protocol.Code, 1)
	if err := lines[0].Open(func(_ uint64, o client.Outcome) { answered <- o.Code }); err != nil {
		return err
	}
	if err := lines[0].Send(1, model, in, askWait); err != nil {
		return err
	}
	select {
	case code := <-answered:
		if code != protocol.OK {
			return fmt.Errorf("%s answers %s", model, code)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(askWait + grace):
		return fmt.Errorf("%s does not answer", model)
	}
}

// askWait is the SLO of ask.
const askWait = 5 * time.Second
