package controller

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
)

// TestProfilesOfAnOlderVersionAreFound: it stored them with the state.
func TestProfilesOfAnOlderVersionAreFound(t *testing.T) {
	s := newStack(t)
	old, release := bustest.Lead(t, s.bus, protocol.Controller)
	p := protocol.Profile{Digest: "d", GPUType: "t4", Backend: "emulated", LoadWeights: protocol.Measurement{Samples: 7, P50: time.Millisecond}}
	if err := old.PutProfile(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	release()
	s.controller()
	profiles, err := s.bus.OpenProfiles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "the profile is where the profiler looks for it", func() bool {
		found, is, err := profiles.Profile(t.Context(), p)
		return err == nil && is && found.LoadWeights.Samples == 7
	})
}
