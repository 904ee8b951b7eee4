package gateway

import (
	"net/http"
	"testing"

	"clockwork/pkg/adapter/access"
)

// Where tokens are asked for, the page is shown to everyone, and what it shows to who has one.
func TestThePageAsksForATokenWhereTheGatewayDoes(t *testing.T) {
	file, tokens := tokensOf(t, "alice")
	s := newStack(t, func(c *Config) { c.Gate = gateOf(t, access.Files{Tokens: file}) })
	for path, want := range map[string]int{"/": 200, "/page/script.js": 200, "/page/icon.svg": 200, "/page/index.html": 404, "/page/none.js": 401, "/page/models": 401, "/page/live": 401, "/page/models/../script.js": 401, "//": 401} {
		if a := s.do(http.MethodGet, path, nil); a.status != want {
			t.Errorf("%s: %d, want %d", path, a.status, want)
		}
	}
	s.token = tokens["alice"]
	if status, body := s.get("/page/live"); status != http.StatusOK {
		t.Errorf("with a token: %d %s", status, body)
	}
}
