package httpapi

import (
	"net/http"
	"strings"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/page"
)

// pageFile answers with a file of the page that a browser shows.
func pageFile(name string) func(*call) {
	return func(c *call) {
		file := page.Files[name]
		h := c.w.Header()
		h.Set("Content-Security-Policy", page.Policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache") // another version may be served here by now
		c.write(http.StatusOK, file.Type, file.Body)
	}
}

// isPageFile reports whether a path is a file of the page, which is the same for everyone.
func isPageFile(path string) bool {
	name, below := strings.CutPrefix(path, "/page/")
	return path == "/" || below && page.Files[name].Type != ""
}

// pageModels answers which models there are.
func (c *call) pageModels() {
	list, absent := c.page.Search(c.r.URL.Query().Get("find"), time.Now())
	if absent != nil {
		c.refuse(absent)
		return
	}
	c.say(http.StatusOK, list)
}

// pageLive answers with the figures of the last seconds.
func (c *call) pageLive() { c.say(http.StatusOK, c.page.Live(time.Now())) }

// crossOrigin refuses what a page of another origin has a browser send.
var crossOrigin = http.NewCrossOriginProtection()

// foreign returns why a request may come from a page that has no business here, nil if it may
// not, and its status.
//
// A browser sends simple requests of any page to any address, also to one that only this
// machine reaches; what changes nothing is let through, since the page does not get to see the
// answer. And a page may have its own name resolve to an address of this machine, whose origin
// then is its own: so a gateway that only this machine reaches is called by an address, or by
// a name that cannot be anybody else's.
func (s *Server) foreign(r *http.Request) (status int, why *protocol.Error) {
	if s.local && !localName(r.Host) {
		return http.StatusMisdirectedRequest, protocol.Errorf(protocol.BadMessage,
			"this gateway is called localhost or by its address, not %.80q: a proxy before it sets the header Host", r.Host)
	}
	if err := crossOrigin.Check(r); err != nil {
		return http.StatusForbidden, protocol.Errorf(protocol.PermissionDenied, "a page of another origin sent this: %v", err)
	}
	return 0, nil
}
