package oip

import (
	"clockwork/pkg/protocol"
	"clockwork/services/frontdoor"
)

// ModelIndex is a model as the repository extension lists it.
type ModelIndex struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
	Reason  string `json:"reason"` // it is not ready
}

// The states of models.
const (
	stateReady       = "READY"
	stateUnavailable = "UNAVAILABLE"
)

// Index lists the models; readyOnly: those that are served now.
func (s *Server) Index(readyOnly bool) (list []ModelIndex, absent *protocol.Error) {
	names, absent := s.ModelNames()
	if absent != nil {
		return nil, absent
	}
	list = make([]ModelIndex, 0, len(names))
	for _, name := range names {
		spec, gone := s.Model(name, "")
		why, state := s.Unready(name), stateReady
		if why != "" {
			state = stateUnavailable
		}
		if gone == nil && (why == "" || !readyOnly) {
			list = append(list, ModelIndex{name, VersionOf(&spec), state, why})
		}
	}
	return list, nil
}

// Load answers that a model is to be loaded: one that is there is. A gateway loads none, since
// whoever reaches it may send requests and nothing else.
func (s *Server) Load(model string) *protocol.Error {
	if _, refusal := s.Model(model, ""); refusal == nil || refusal.Code != protocol.UnknownModel {
		return refusal
	}
	return s.fixed("load it with: clockwork load")
}

// Unload answers that a model is to be unloaded.
func (s *Server) Unload(model string) *protocol.Error {
	if _, refusal := s.Model(model, ""); refusal != nil {
		return refusal
	}
	return s.fixed("models are not unloaded")
}

// fixed says why the set of models does not change here: the stack's refusal, where it would
// refuse anybody.
func (s *Server) fixed(instead string) (refusal *protocol.Error) {
	absent := s.Behind(func(d *frontdoor.FrontDoor) {
		refusal = protocol.Errorf(protocol.PermissionDenied, "a gateway changes no models; %s", instead)
		if d.Stage() >= protocol.Profiling {
			refusal = protocol.Refusal(protocol.LoadingClosed)
		}
	})
	if absent != nil {
		return absent
	}
	return refusal
}
