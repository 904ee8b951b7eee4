package walls

// module is the module's path; the rules leave it out.
const module = "clockwork/"

// wall forbids packages to import something, directly or through other packages
// of the module.
type wall struct {
	// of are the packages that the rule binds, not those that they may not import:
	// patterns of the module ("pkg/core/...") or import paths ("net/...").
	of, not []string
	why     string
	// but are the exempt packages within of, each with its reason.
	but map[string]string
	// direct: only direct imports count.
	direct bool
	// tests: it binds the tests of the packages, and what those import, in place of the packages.
	tests bool
	// foreign: what is neither of the standard library nor of the module is forbidden too.
	foreign bool
}

// decides are the packages that decide, or that replay or simulate decisions:
// the same inputs give the same outputs in the live service, the simulator and a
// replay.
var decides = []string{
	"pkg/protocol", "pkg/core/...", "pkg/adapter/backend/zoo", "pkg/watch/explain",
	"pkg/lab/policies", "pkg/lab/sim", "pkg/lab/replay", "pkg/lab/paper", "pkg/lab/record", "pkg/lab/workload", "pkg/lab/plot", "pkg/lab/report",
}

var walls = []wall{
	// The deciding packages are pure.
	{of: decides, not: []string{"net", "net/..."}, why: "what decides talks to nobody"},
	{of: decides, not: []string{"os", "os/...", "runtime", "runtime/...", "syscall"}, why: "what decides reads nothing of the machine it runs on"},
	{of: decides, not: []string{"log", "log/..."}, why: "what decides does not log: the shell shows (event, output) to observers"},
	{of: decides, not: []string{"sync", "sync/..."}, why: "what decides needs no lock: one goroutine at a time owns it"},
	{of: decides, not: []string{"crypto/rand", "math/rand", "math/rand/v2"}, why: "what decides rolls no dice",
		but: map[string]string{
			"pkg/lab/sim":   "its random numbers come from the seed of a run",
			"pkg/lab/paper": "it runs the simulator, whose random numbers come from the seed of a run",
		}},
	{of: decides, not: []string{"pkg/adapter/clock"}, why: "time is an argument of what decides"},

	{of: []string{"pkg/protocol", "pkg/core/..."}, foreign: true, why: "what decides, and its words, is made of the standard library and the module alone"},

	// Imports go one way: cmd -> services -> adapter, watch -> core, wire -> protocol.
	{of: []string{"pkg/protocol"}, not: []string{"pkg/...", "services/...", "cmd/..."}, why: "words stand below everything"},
	{of: []string{"pkg/core/..."}, not: []string{"pkg/wire", "pkg/adapter/...", "pkg/client", "pkg/watch/...", "pkg/lab/...", "services/...", "cmd/..."},
		why: "what decides knows words and other cores alone"},
	{of: []string{"pkg/protocol", "pkg/core/..."}, not: []string{"pkg/wire", "pkg/adapter/...", "pkg/client", "pkg/watch/...", "pkg/lab/...", "services/...", "cmd/..."},
		tests: true, why: "cores are tested with cores and the test kit", but: map[string]string{
			"pkg/core/sched": "its worlds run the laboratory's policies as well: ADR 22",
		}},
	{of: []string{"pkg/wire"}, not: []string{"pkg/core/...", "pkg/adapter/...", "pkg/client", "pkg/watch/...", "pkg/lab/...", "services/...", "cmd/..."},
		why: "bytes know words alone"},
	{of: []string{"pkg/adapter/...", "pkg/client", "pkg/watch/..."}, not: []string{"pkg/lab/...", "services/...", "cmd/..."},
		why: "plugs and watchers are used by services and the laboratory, not the other way round"},
	{of: []string{"services/..."}, not: []string{"pkg/lab/...", "cmd/..."}, why: "a service runs without the laboratory; cmd hands its observers in"},
	{of: []string{"pkg/lab/..."}, not: []string{"services/...", "cmd/..."}, why: "the laboratory runs cores and looks at live stacks from outside"},
	{of: []string{"services/controller"}, not: []string{"services/gateway/...", "services/scheduler", "services/profiler", "services/worker"},
		why: "services share messages, not code; a controller has a front door in it"},
	{of: []string{"services/gateway/..."}, not: []string{"services/controller", "services/scheduler", "services/profiler", "services/worker"},
		why: "services share messages, not code; a gateway has a front door in it"},
	{of: []string{"services/frontdoor", "services/scheduler", "services/profiler", "services/worker", "services/host"},
		not: []string{"services/controller", "services/gateway/...", "services/scheduler", "services/profiler", "services/worker", "services/frontdoor"}, why: "services share messages, not code"},
	{of: []string{"services/..."}, not: []string{"net/http"}, direct: true, why: "services hear the broker", but: map[string]string{"services/gateway/httpapi": "it hears HTTP"}},
	{of: []string{"cmd/clockwork/cli"}, not: []string{"cmd/...", "services/..."}, why: "what all commands have knows none of them, and no service"},
	{of: []string{"cmd/clockwork/serve", "cmd/clockwork/ask"}, not: []string{"cmd/clockwork/lab", "cmd/clockwork"}, why: "commands stand above what they share"},
	{of: []string{"cmd/clockwork/lab", "cmd/clockwork/ask"}, not: []string{"services/..."}, direct: true, why: "cmd/clockwork/serve runs services"},
	{of: []string{"pkg/...", "services/...", "cmd/..."}, not: []string{"pkg/testkit/..."}, why: "only tests use the test kit",
		but: map[string]string{"pkg/testkit/simworker": "it is made of the clock of the same worlds"}},

	// Only one package may use each technology.
	{of: []string{"pkg/...", "services/...", "cmd/..."}, not: []string{"github.com/nats-io/nats.go", "github.com/nats-io/nats.go/...", "github.com/nats-io/nats-server/..."},
		direct: true, why: "pkg/adapter/nats knows NATS; services and clients hold its messages and connections",
		but: map[string]string{
			"pkg/adapter/nats":    "it is the adapter",
			"pkg/client":          "clients hand their own connections and headers in",
			"pkg/lab/chaos":       "it looks at a broker that it breaks from outside",
			"pkg/testkit/bustest": "tests run real brokers",
			"services/...":        "a shell's callbacks take messages",
			"cmd/...":             "commands run the broker, and turn flags into options of connections",
		}},
	{of: []string{"pkg/...", "services/...", "cmd/..."}, not: []string{"github.com/vmihailenco/..."}, direct: true,
		why: "pkg/wire encodes and decodes, behind its pre-scan", but: map[string]string{"pkg/wire": "it is the encoder"}},
	{of: []string{"pkg/..."}, not: []string{"go.uber.org/..."}, why: "cmd and services wire; a package is usable without",
		but: map[string]string{"pkg/testkit/bustest": "it looks for goroutines that tests of services leave"}},
}

// noClock are the packages whose own source must not read the time or start a
// goroutine.
var noClock = append([]string{"pkg/wire"}, decides...)

// asksTheTime are the functions of package time that read or wait for the time.
var asksTheTime = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
