package bus

import (
	"strings"
	"testing"

	"clockwork/pkg/protocol"
)

// Two stacks whose prefixes differ by a dot alone have nothing in common; one inside the
// subjects of another is refused with the reason.
func TestStacksOfDifferentPrefixesShareNothing(t *testing.T) {
	s, err := StartServer(ServerConfig{Host: "127.0.0.1", Port: -1, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { StopServer(s) })
	names := map[string]bool{}
	for _, prefix := range []string{"team.a", "team_a"} {
		b, err := Open(t.Context(), Config{InProcess: s, Prefix: prefix, Name: "test"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		stores, err := b.MakeStores(t.Context(), BufferConfig{Timeout: storeWait, MaxRequests: 10, MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for _, store := range stores {
			if store.Done != Made || names[store.Name] {
				t.Errorf("%s of %s was %s", store.Name, prefix, store.Done)
			}
			names[store.Name] = true
		}
	}
	if _, err := Open(t.Context(), Config{InProcess: s, Prefix: protocol.DefaultPrefix + ".infer", Name: "test"}); err == nil || !strings.Contains(err.Error(), "inside the subjects") {
		t.Errorf("a prefix inside another: %v", err)
	}
}
