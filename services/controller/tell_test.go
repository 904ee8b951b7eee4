package controller

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/logtext"
)

// TestAPeerThatFlipsItsStateCausesFewEvents has a worker join, wait, lack a model and leave ten
// thousand times in a minute, and somebody ask for loads that fail: log lines and events stay
// few. The events are not published here, for there is no broker, which has a line for each.
func TestAPeerThatFlipsItsStateCausesFewEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logtext.Buffer
		l := &leader{bus: &bus.Bus{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}}
		kinds := []string{protocol.EventWorkerJoined, protocol.EventWorkerWaits, protocol.EventWorkerLost, protocol.EventModelMissing,
			protocol.EventModelBack, protocol.EventQuarantine, protocol.EventBlocked, protocol.EventLoad}
		for i := range 10_000 {
			for _, kind := range kinds {
				l.tell(protocol.Event{Kind: kind, Worker: "w1", Model: "m", Path: strings.Repeat("p", i%100), Code: protocol.ModelNotFound})
			}
			time.Sleep(time.Minute / 10_000)
		}
		events := strings.Count(log.String(), "event not published")
		lines := strings.Count(log.String(), "\n") - events
		if most := len(kinds) * (20 + 60); events > most || lines > most || events < most/2 || lines < most/2 {
			t.Errorf("%d events and %d lines in a minute, expected at most %d", events, lines, most)
		}
	})
}

// TestProgressIsToldInFull: what happens at the pace of the machine has no bound.
func TestProgressIsToldInFull(t *testing.T) {
	var log logtext.Buffer
	l := &leader{bus: &bus.Bus{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}}
	for range 100 {
		for _, kind := range []string{protocol.EventStage, protocol.EventCountdown, protocol.EventProfile} {
			l.tell(protocol.Event{Kind: kind, Stage: "LOADING"})
		}
	}
	if n := strings.Count(log.String(), "event not published"); n != 300 {
		t.Errorf("%d events of 300", n)
	}
}
