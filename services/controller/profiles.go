package controller

import (
	"context"
	"errors"
	"slices"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// Profiles are in a bucket of their own, which the profiler writes. It may be full, or hold
// what nobody asked for: a profile that is missing there is measured again, so that no step
// of the startup depends on it.

// recallProfiles reads the stored profiles. Those that an older version stored with the
// state are copied to where they belong now.
func (l *leader) recallProfiles(ctx context.Context, old []protocol.Profile) ([]protocol.Profile, error) {
	profiles, err := l.bus.OpenProfiles(ctx)
	if err != nil {
		return nil, err
	}
	l.profiles = profiles
	read, err := profiles.Read(ctx)
	if err != nil {
		return nil, err
	}
	has := map[protocol.ProfileKey]bool{}
	for _, p := range read.Profiles {
		has[p.Key()] = true
	}
	old = slices.DeleteFunc(old, func(p protocol.Profile) bool { return has[p.Key()] })
	return append(read.Profiles, old...), l.fillProfiles(ctx, old)
}

// fillProfiles stores profiles where there are none.
func (l *leader) fillProfiles(ctx context.Context, list []protocol.Profile) error {
	for _, p := range list {
		err := l.profiles.FillProfile(ctx, p)
		if errors.Is(err, bus.ErrFull) {
			l.bus.Log.Warn("profiles are not stored, and will be measured again after a restart", "error", err)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
