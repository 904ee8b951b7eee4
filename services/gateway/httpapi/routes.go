package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// call is one request of HTTP.
type call struct {
	*Server
	w http.ResponseWriter
	r *http.Request
	// tenant is whose request it is, "" for nobody in particular.
	tenant string
	// model and version are those of the path; version is "" if it names none.
	model, version string
}

// route answers one path. {} stands for a model's name, {N} for its version.
type route struct {
	method, path string
	answer       func(*call)
	parts        []string // of path
}

var routes = split([]route{
	{method: http.MethodGet, path: "", answer: pageFile("index.html")},
	{method: http.MethodGet, path: "/page/style.css", answer: pageFile("style.css")},
	{method: http.MethodGet, path: "/page/icon.svg", answer: pageFile("icon.svg")},
	{method: http.MethodGet, path: "/page/script.js", answer: pageFile("script.js")},
	{method: http.MethodGet, path: "/page/answer.js", answer: pageFile("answer.js")},
	{method: http.MethodGet, path: "/page/api.js", answer: pageFile("api.js")},
	{method: http.MethodGet, path: "/page/dom.js", answer: pageFile("dom.js")},
	{method: http.MethodGet, path: "/page/tensor.js", answer: pageFile("tensor.js")},
	{method: http.MethodGet, path: "/page/models", answer: (*call).pageModels},
	{method: http.MethodGet, path: "/page/live", answer: (*call).pageLive},
	{method: http.MethodGet, path: "/v2", answer: (*call).metadata},
	{method: http.MethodGet, path: "/v2/health/live", answer: (*call).live},
	{method: http.MethodGet, path: "/v2/health/ready", answer: (*call).readiness},
	{method: http.MethodGet, path: "/v2/models/stats", answer: (*call).modelStatistics},
	{method: http.MethodGet, path: "/v2/models/{}", answer: (*call).modelMetadata},
	{method: http.MethodGet, path: "/v2/models/{}/ready", answer: (*call).modelReady},
	{method: http.MethodGet, path: "/v2/models/{}/config", answer: (*call).modelConfig},
	{method: http.MethodGet, path: "/v2/models/{}/stats", answer: (*call).modelStatistics},
	{method: http.MethodPost, path: "/v2/models/{}/infer", answer: (*call).infer},
	{method: http.MethodPost, path: "/v2/repository/index", answer: (*call).repositoryIndex},
	{method: http.MethodPost, path: "/v2/repository/models/{}/load", answer: (*call).repositoryLoad},
	{method: http.MethodPost, path: "/v2/repository/models/{}/unload", answer: (*call).repositoryUnload},
	{method: http.MethodGet, path: "/v2/models/{}/versions/{N}", answer: (*call).modelMetadata},
	{method: http.MethodGet, path: "/v2/models/{}/versions/{N}/ready", answer: (*call).modelReady},
	{method: http.MethodGet, path: "/v2/models/{}/versions/{N}/config", answer: (*call).modelConfig},
	{method: http.MethodGet, path: "/v2/models/{}/versions/{N}/stats", answer: (*call).modelStatistics},
	{method: http.MethodPost, path: "/v2/models/{}/versions/{N}/infer", answer: (*call).infer},
})

// split gives the routes their parts, once for all requests.
func split(routes []route) []route {
	for i := range routes {
		routes[i].parts = strings.Split(routes[i].path, "/")
	}
	return routes
}

// ServeHTTP finds the route of a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer fatal()
	c := &call{Server: s, w: w, r: r}
	// Whatever is left of a body is read within this time, also by net/http after an answer.
	times := http.NewResponseController(w)
	_ = times.SetReadDeadline(time.Now().Add(s.config.BodyTime))
	_ = times.SetWriteDeadline(noDeadline) // that of the answer before
	w.Header().Set("Cache-Control", "no-store")
	if status, why := s.foreign(r); why != nil {
		c.writeError(status, why)
		return
	}
	path := strings.Split(strings.TrimSuffix(r.URL.EscapedPath(), "/"), "/")
	if refusal := c.authenticate(); refusal != nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		c.refuse(refusal)
		return
	}
	allowed := ""
	for _, of := range routes {
		if !c.matches(of.parts, path) {
			continue
		}
		if of.method == r.Method || of.method == http.MethodGet && r.Method == http.MethodHead {
			of.answer(c)
			return
		}
		allowed = of.method
	}
	c.noRoute(path, allowed)
}

// authenticate notes whose request it is. Probes, which have no token, learn whether the gateway
// is well all the same, and a browser gets the page, which asks for a token and shows nothing
// before.
func (c *call) authenticate() (refusal *protocol.Error) {
	if strings.HasPrefix(c.r.URL.Path, "/v2/health/") || isPageFile(c.r.URL.Path) {
		return nil
	}
	c.tenant, refusal = c.oip.Tenant(c.r.Header.Get("Authorization"))
	return refusal
}

// fatal has a panic end the process, as anywhere else: net/http would go on with what the
// goroutine held, such as the front door's lock.
func fatal() {
	if p := recover(); p != nil {
		stack := debug.Stack()
		go panic(fmt.Sprintf("%v\n%s", p, stack))
		select {}
	}
}

// matches reports whether a path is a route's, and notes what stands for the names.
func (c *call) matches(route, path []string) bool {
	if len(route) != len(path) {
		return false
	}
	for i, part := range route {
		switch part {
		case "{}":
			c.model = unescaped(path[i])
		case "{N}":
			c.version = unescaped(path[i])
		default:
			if part != path[i] {
				return false
			}
		}
	}
	return true
}

func unescaped(part string) string {
	if text, err := url.PathUnescape(part); err == nil {
		return text
	}
	return part
}

// notOffered are paths of Triton and KServe that mean something which a gateway does not
// offer, by a part of them, and why.
var notOffered = []struct{ part, why string }{
	{"systemsharedmemory", "shared memory is not offered: send binary tensors"},
	{"cudasharedmemory", "shared memory is not offered: send binary tensors"},
	{"trace", "tracing is set by the environment of the services"},
	{"logging", "logging is set by the flags of the services"},
	{"generate", "text generation is not offered"},
	{"generate_stream", "text generation is not offered"},
}

// noRoute answers a path that is none, or not with this method.
func (c *call) noRoute(path []string, allowed string) {
	if allowed != "" {
		c.w.Header().Set("Allow", allowed)
		c.writeError(http.StatusMethodNotAllowed, protocol.Errorf(protocol.BadMessage, "%.20q: this path takes %s", c.r.Method, allowed))
		return
	}
	for _, n := range notOffered {
		if len(path) > 2 && path[1] == "v2" && slices.Contains(path[2:], n.part) {
			c.writeError(http.StatusNotImplemented, protocol.Errorf(protocol.BadMessage, "%s", n.why))
			return
		}
	}
	c.writeError(http.StatusNotFound, protocol.Errorf(protocol.BadMessage, "there is no path %.100q; see /v2 and /v2/models/NAME", c.r.URL.EscapedPath()))
}
