package bus

import (
	"strings"
	"testing"
)

func TestAddressesThatCanNeverBeReachedAreRefused(t *testing.T) {
	for _, well := range []string{"nats://127.0.0.1:4222", "127.0.0.1:4222", "broker", "tls://broker.example", "nats://a:secret@b:1,nats://c", "ws://x:80", "nats://[::1]:4222"} {
		if err := CheckAddresses(well); err != nil {
			t.Errorf("%s: %v", well, err)
		}
	}
	for _, bad := range []string{"", ":", "http://broker:4222", "nats://127.0.0.1:99999", "nats://x:0", "nats://a:secret@b:port", "nats://a,,nats://b", "nats://"} {
		if err := CheckAddresses(bad); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
