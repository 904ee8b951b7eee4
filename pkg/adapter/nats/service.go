package bus

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"clockwork/pkg/protocol"
)

// Service is a NATS service as micro.AddService makes it: its endpoints are a queue group,
// and `nats service` discovers it, with the same messages. It is not made by micro, whose
// discovery answers whatever reply subject it is given. Its methods may be called from any
// goroutine.
type Service struct {
	bus         *Bus
	identity    micro.ServiceIdentity
	description string
	started     time.Time
	subs        []*nats.Subscription

	mu    sync.Mutex
	stats []*micro.EndpointStats
}

// Endpoint is one subject of a service, and with ByAsker those below it that name the asker.
// Handle may then be called from two goroutines; it returns the error with which it refused
// the message, or nil.
type Endpoint struct {
	Name, Subject string
	ByAsker       bool
	Handle        func(*nats.Msg) *protocol.Error
}

// Serve opens a service until Stop. A message whose reply subject may not be answered
// reaches no endpoint; one without a reply subject is handled.
func (b *Bus) Serve(description, version string, endpoints []Endpoint) (*Service, error) {
	s := &Service{
		bus: b, description: description, started: time.Now().UTC(),
		identity: micro.ServiceIdentity{Name: protocol.StoreName(b.Subjects.Prefix), ID: protocol.DoorName(RandomID()), Version: version, Metadata: map[string]string{}},
	}
	for _, e := range endpoints {
		stats := &micro.EndpointStats{Name: e.Name, Subject: e.Subject, QueueGroup: micro.DefaultQueueGroup}
		s.stats = append(s.stats, stats)
		subjects := []string{e.Subject}
		if e.ByAsker {
			subjects = append(subjects, protocol.By(e.Subject, "*"))
		}
		for _, subject := range subjects {
			if err := s.subscribe(subject, stats.QueueGroup, func(m *nats.Msg) { s.handle(e, stats, m) }); err != nil {
				return nil, err
			}
		}
	}
	for verb, answer := range map[micro.Verb]func() any{
		micro.PingVerb:  func() any { return micro.Ping{ServiceIdentity: s.identity, Type: micro.PingResponseType} },
		micro.InfoVerb:  s.info,
		micro.StatsVerb: s.measured,
	} {
		if err := s.discover(verb, answer); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// subscribe adds a subscription; on an error it stops the service.
func (s *Service) subscribe(subject, group string, handle nats.MsgHandler) error {
	sub, err := s.bus.QueueSubscribe(s.bus.Control, subject, group, handle)
	if err != nil {
		s.Stop()
		return err
	}
	s.subs = append(s.subs, sub)
	return nil
}

// discover answers one kind of question about the service: to all services, to those of
// its name, and to this one.
func (s *Service) discover(verb micro.Verb, answer func() any) error {
	for _, of := range [][2]string{{"", ""}, {s.identity.Name, ""}, {s.identity.Name, s.identity.ID}} {
		subject, err := micro.ControlSubject(verb, of[0], of[1])
		if err != nil {
			return fmt.Errorf("open discovery: %w", err)
		}
		err = s.subscribe(subject, "", func(m *nats.Msg) {
			body, err := json.Marshal(answer())
			if err == nil {
				err = s.bus.Respond(m, body)
			}
			if err != nil {
				s.bus.Log.Debug("discovery not answered", "error", err) // whoever asks will ask again
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) handle(e Endpoint, stats *micro.EndpointStats, m *nats.Msg) {
	if m.Reply != "" && !s.bus.MayAnswer(m) {
		return
	}
	began := time.Now()
	refusal := e.Handle(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.NumRequests++
	stats.ProcessingTime += time.Since(began)
	stats.AverageProcessingTime = stats.ProcessingTime / time.Duration(stats.NumRequests)
	if refusal != nil {
		stats.NumErrors++
		stats.LastError = refusal.Error()
	}
}

func (s *Service) info() any {
	info := micro.Info{ServiceIdentity: s.identity, Type: micro.InfoResponseType, Description: s.description, Endpoints: []micro.EndpointInfo{}}
	for _, e := range s.stats { // their names never change
		info.Endpoints = append(info.Endpoints, micro.EndpointInfo{Name: e.Name, Subject: e.Subject, QueueGroup: e.QueueGroup, Metadata: map[string]string{}})
	}
	return info
}

func (s *Service) measured() any {
	stats := micro.Stats{ServiceIdentity: s.identity, Type: micro.StatsResponseType, Started: s.started}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.stats {
		copied := *e
		stats.Endpoints = append(stats.Endpoints, &copied)
	}
	return stats
}

// Stop ends the service once the messages that have arrived are handled.
func (s *Service) Stop() {
	for _, sub := range s.subs {
		_ = sub.Drain() // the subscription ends with the connection at the latest
	}
}
