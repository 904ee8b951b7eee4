package main

import (
	"encoding/json"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/command"
)

// invoke runs the command line as a user does, with no variable of ours set.
func invoke(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return command.Invoke(t, run, args...)
}

func TestWrongUsageExits2WithAHint(t *testing.T) {
	for _, row := range []struct{ args, says string }{
		{"", "Run clockwork --help"},
		{"bogus", "Run clockwork --help"},
		{"infer", "Run clockwork infer --help"},
		{"infer m --count 0", "--count is 0; it must be from 1 to 1000000"},
		{"infer m --count 2000000000", "from 1 to 1000000"},
		{"infer m --count 2 --concurrency 20000000", "--concurrency is 20000000; it must be from 1 to 10000"},
		{"infer m --items 0", "from 1 to 1024"},
		{"infer m --count -3", "--count is -3"},
		{"infer m --slo -5ms", "--slo: it is -5ms, and must be from 1us to 1h"},
		{"infer m --slo 0s", "--slo: it is 0s, and must be from 1us to 1h"},
		{"infer m --slo 2h", "to 1h"},
		{"infer m --slo", "got nothing"},
		{"infer m --wait-timeout -1s", "--wait-timeout: it is -1s, and must be from 1ms to 24h"},
		{"infer Not.A.Name", "no model's name"},
		{"infer m --generated --input main.go", "Run clockwork infer --help"},
		{"infer m --input nowhere", "no such file"},
		{"infer m --count", "got nothing"},
		{"infer -1", "unknown flag -1"},
		{"load x --name", "got nothing"},
		{"load", "Run clockwork load --help"},
		{"load x --copies 0", "from 1 to 4096"},
		{"load x --copies -2", "from 1 to 4096"},
		{"load x --copies 5000", "from 1 to 4096"},
		{"load x --name Not.A.Name", "no model's name"},
		{"load x --timeout 0s", "--timeout"},
		{"ls extra", "Run clockwork ls --help"},
		{"up --workers 0", "--workers"},
		{"up --workers 65", "from 1 to 64"},
		{"up --gpus 0", "--gpus is 0"},
		{"up --models nowhere", "clockwork fetch"},
		{"up --models main.go", "cannot be read as a directory"},
		{"worker --gpus -1", "--gpus is -1"},
		{"worker --gpus 100000", "from 1 to 128"},
		{"worker --pages -1", "--pages is -1"},
		{"worker --backend onnx --onnx-library x --models nowhere", "clockwork fetch"},
		{"up --load-idle 0s", "load-idle"},
		{"up --max-payload 1KiB --listen 127.0.0.1:0", "--max-payload"},
		{"nats --max-payload 1GiB --listen 127.0.0.1:0", "--max-payload"},
		{"up --load-idle 1000h", "load-idle"},
		{"up --load-timeout 1000h", "load-timeout"},
		{"up --load-timeout 1ns", "--load-timeout: it is 1ns, and must be from 1s to 24h"},
		{"worker --page-size 1", "--page-size: it is 1, and must be from 4KiB to 1GiB"},
		{"up --page-size 0", "--page-size"},
		{"up --summary 1ms", "--summary: it is 1ms, and must be 0 or from 1s to 24h"},
		{"up --jitter -1", "jitter is -1; it must not be negative"},
		{"up --quarantine-after 1000", "quarantine-after is 1000; it must be from 0 to 100"},
		{"profiler --profile-iterations 0", "--profile-iterations is 0; it must be from 1 to"},
		{"up --log-keep 2000000000 --request-log x", "--log-keep is 2000000000; it must be from 1 to 1000"},
		{"up --default-slo 2h", "--default-slo: it is 2h, and must be from 100us to 1h"},
		{"frontdoor --default-slo 2h", "to 1h"},
		{"controller --buffer-timeout 1000h", "buffer-timeout"},
		{"init --buffer-timeout 1000h", "buffer-timeout"},
		{"up --max-batch 100000", "from 0 to 1024"},
		{"up --max-batch -1", "from 0 to 1024"},
		{"up --profile-iterations 1000000000", "from 1 to 10000"},
		{"up --scale NaN", "expected a number"},
		{"up --scale 1e300", "from 0 to"},
		{"up --jitter NaN", "expected a number"},
		{"up --jitter 1e9", "1000"},
		{"up --slow-down Inf", "expected a number"},
		{"up --slow-down=-1", "negative"},
		{"up --stall-every=-1", "negative"},
		{"up --fail-every=-1", "negative"},
		{"up --stall 100h --stall-every 2", "to 1h"},
		{"up --pages 100000000", "at most"},
		{"worker --clock-drift NaN", "expected a number"},
		{"worker --clock-drift 2", "clock drift"},
		{"worker --clock-step 100000h", "clock-step"},
		{"up --summary=-1s", "--summary"},
		{"up --metrics nowhere", "--metrics"},
		{"up --metrics-models=-1 --metrics :0", "--metrics-"},
		{"up --log-keep 0 --request-log x", "--log-keep"},
		{"top --interval 0s", "--interval"},
		{"top --count=-1", "--count"},
		{"up --load-idle soon", "Run clockwork up --help"},
		{"up --profile-iterations 0", "iterations"},
		{"up --scale=-1", "scale"},
		{"up --jitter=-1", "negative"},
		{"up --gpu-type V100", "gpu-type"},
		{"up --page-size lots", "16MiB"},
		{"up --backend cuda", "emulated"},
		{"up --policy best", "simple"}, {"scheduler --policy fifo", "simple"},
		{"up --listen 4222", "HOST:PORT"},
		{"up --listen 127.0.0.1:70000", "no port"},
		{"up --http 8000", "HOST:PORT"}, {"up --http 127.0.0.1:-1", "no port"}, {"gateway --http 127.0.0.1:99999", "no port"}, {"up --http localhost:nosuch", "no port"},
		{"up --metrics 127.0.0.1:99999", "no port"}, {"worker --metrics 9464", "HOST:PORT"},
		{"up --http :8000", "on every address"},
		{"gateway --http 0.0.0.0:8000", "--open"},
		{"gateway --http 0.0.0.0:8000 --gateway-tls-cert a --gateway-tls-key b", "--tokens"},
		{"gateway --tokens main.go", "line 1"},
		{"gateway --gateway-tls-cert main.go", "go together"},
		{"gateway --gateway-tls-cert main.go --gateway-tls-key main.go", "read certificate main.go"},
		{"gateway --http off --grpc off", "hears nothing"},
		{"up --grpc 8001", "HOST:PORT"}, {"up --grpc 127.0.0.1:99999", "no port"},
		{"gateway --http off --grpc 0.0.0.0:8001", "--open"},
		{"gateway --grpc-connections 0", "grpc-connections"},
		{"gateway --http-connections 0", "http-connections"},
		{"gateway --default-slo 2h", "to 1h"},
		{"nats --listen here:there", "no port"},
		{"nats --listen 0.0.0.0:4222", "clockwork keys"},
		{"nats --listen :4222", "on every address"},
		{"nats --listen [::]:4222", "--open"},
		{"nats --config testdata/open.conf", "--open"},
		{"nats --config testdata/open.conf --max-payload 8MiB", "--max-payload has no effect"},
		{"nats --config testdata/open-routes.conf", "as a server of its cluster"},
		{"up --listen 192.0.2.1:4222", "--open"},
		{"ls --nkey nowhere.nk", "nowhere.nk: no such file"},
		{"controller --nkey main.go", "holds no seed"},
		{"worker --tls-cert main.go", "go together"},
		{"profiler --tls-ca nowhere.pem", "nowhere.pem: no such file"},
		{"keys x --worker worker", "a name is"},
		{"keys x --client Not.A.Name", "a name is"},
		{"keys x --tls nats://here", "expected a host's name"},
		{"init --replicas 6", "from 0 to 5"},
		{"init --buffer-timeout 0s", "buffer-timeout"},
		{"worker --name Two.Words", "worker name"},
		{"controller --buffer-timeout 0s", "buffer-timeout"},
		{"scheduler --replicas 6", "from 0 to 5"},
		{"--prefix a..b ls", "--prefix"},
		{"--log-level loud ls", "log-level"},
		{"demo --duration 0s", "--duration"},
		{"controller --record main.go", "--record main.go exists; remove it"},
		{"frontdoor --record main.go", "--record main.go exists"},
		{"gateway --http 127.0.0.1:0 --record main.go", "--record main.go exists"},
		{"profiler --record main.go", "--record main.go exists"},
		{"scheduler --record main.go", "--record main.go exists"},
		{"worker --record main.go", "--record main.go exists"},
		{"up --record main.go", "--record main.go exists"},
		{"up --journal main.go", "--journal main.go exists"},
		{"scheduler --record .", "is a directory"},
		{"worker --record nowhere/file", "no such file"},
	} {
		code, _, stderr := invoke(t, strings.Fields(row.args)...)
		if code != 2 || !strings.Contains(stderr, row.says) {
			t.Errorf("clockwork %s: exit code %d, wanted 2 and %q in:\n%s", row.args, code, row.says, stderr)
		}
	}
}

func TestAnEmptyPathIsWrongUsage(t *testing.T) {
	code, _, stderr := invoke(t, "load", "")
	if code != 2 || !strings.Contains(stderr, "zoo/NAME") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}

func TestWithJSONFailuresAreJSONOnStdout(t *testing.T) {
	for args, want := range map[string]struct {
		exit int
		code protocol.Code
	}{
		"--json infer":                               {2, protocol.BadMessage},
		"ls --json --nats nats://127.0.0.1:1":        {1, protocol.StateUnavailable},
		"load x --json --nats nats://127.0.0.1:1":    {1, protocol.StateUnavailable},
		"load x --json --copies 0":                   {2, protocol.BadMessage},
		"nats --json --open --listen 192.0.2.1:4222": {1, protocol.StateUnavailable}, // no address of this machine
	} {
		code, stdout, stderr := invoke(t, strings.Fields(args)...)
		var reply struct{ Error protocol.Error }
		if err := json.Unmarshal([]byte(stdout), &reply); err != nil {
			t.Errorf("%s: %v in %q", args, err, stdout)
		}
		if code != want.exit || reply.Error.Code != want.code || reply.Error.Message == "" || stderr != "" {
			t.Errorf("%s: exit code %d, %+v, stderr %q", args, code, reply.Error, stderr)
		}
	}
}

func TestAFailureSaysItsCode(t *testing.T) {
	code, stdout, stderr := invoke(t, "ls", "--nats", "nats://127.0.0.1:1")
	if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "STATE_UNAVAILABLE: ") || !strings.Contains(stderr, "clockwork up") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestATakenPortIsSaidAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, command := range []string{"up", "nats"} {
		begin := time.Now()
		code, _, stderr := invoke(t, command, "--listen", l.Addr().String(), "--data", t.TempDir())
		if code != 1 || !strings.Contains(stderr, "in use") || !strings.Contains(stderr, "--listen") {
			t.Errorf("%s: exit code %d, stderr %q", command, code, stderr)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: took %v to say so", command, took)
		}
	}
}

func TestADataDirectoryHasOneBroker(t *testing.T) {
	dir := t.TempDir()
	unlock, err := serve.LockData(dir)
	if err != nil {
		t.Fatal(err)
	}
	code, _, stderr := invoke(t, "up", "--listen", "127.0.0.1:0", "--data", dir)
	if code != 1 || !strings.Contains(stderr, "--data") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	unlock()
	if unlock, err = serve.LockData(dir); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestEveryCommandExplainsItself(t *testing.T) {
	var c commandLine
	parser := cli.NewParser(&c, description, os.Stdout, os.Stderr, func(int) {})
	commands := [][]string{{}}
	for _, node := range parser.Model.Children {
		commands = append(commands, []string{node.Name})
		if node.Help == "" {
			t.Errorf("%s has no help", node.Name)
		}
		for _, flag := range append(node.Flags, parser.Model.Flags...) {
			explained(t, node.Name, flag)
		}
	}
	for _, command := range commands {
		code, stdout, stderr := invoke(t, append(command, "--help")...)
		if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "Usage: clockwork") {
			t.Errorf("%v --help: exit code %d, stderr %q, stdout:\n%s", command, code, stderr, stdout)
		}
		for line := range strings.SplitSeq(stdout, "\n") {
			if len(line) > 80 {
				t.Errorf("%v --help: wider than 80 columns: %s", command, line)
			}
		}
		if strings.Contains(stdout, "check-model") && len(command) == 0 {
			t.Error("the help names a hidden command")
		}
	}
}

func explained(t *testing.T, command string, flag *kong.Flag) {
	if flag.Help == "" || flag.Name != "help" && !strings.HasSuffix(flag.Help, ".") {
		t.Errorf("%s --%s: help is %q; it should be a sentence", command, flag.Name, flag.Help)
	}
}

func parse(t *testing.T, args ...string) commandLine {
	t.Helper()
	var c commandLine
	if _, err := cli.NewParser(&c, description, os.Stdout, os.Stderr, func(int) {}).Parse(args); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFlagsWinOverTheEnvironment(t *testing.T) {
	t.Setenv("CLOCKWORK_LOAD_IDLE", "3s")
	t.Setenv("CLOCKWORK_ONNX_LIBRARY", "/lib/ort.so")
	t.Setenv("NATS_URL", "nats://plain:1")
	c := parse(t, "up")
	if c.Up.LoadIdle != 3*time.Second || c.Up.ONNXLibrary != "/lib/ort.so" || c.NATS != "nats://plain:1" {
		t.Errorf("the environment was not read: %v, %q, %q", c.Up.LoadIdle, c.Up.ONNXLibrary, c.NATS)
	}
	if c = parse(t, "up", "--load-idle", "7s"); c.Up.LoadIdle != 7*time.Second {
		t.Errorf("the flag lost: %v", c.Up.LoadIdle)
	}
	t.Setenv("CLOCKWORK_NATS", "nats://ours:1")
	if c = parse(t, "ls"); c.NATS != "nats://ours:1" {
		t.Errorf("CLOCKWORK_NATS lost against NATS_URL: %q", c.NATS)
	}
	if c = parse(t, "ls", "--nats", "nats://flag:1"); c.NATS != "nats://flag:1" {
		t.Errorf("the flag lost: %q", c.NATS)
	}
}

func TestAWorkersNameDoesNotNameModels(t *testing.T) {
	t.Setenv("CLOCKWORK_NAME", "w7")
	if c := parse(t, "worker"); c.Worker.Name != "w7" {
		t.Errorf("the worker is called %q", c.Worker.Name)
	}
	if c := parse(t, "load", "zoo/googlenet"); c.Load.Name != "" {
		t.Errorf("the model is called %q", c.Load.Name)
	}
}

// Every duration and every size has bounds that the parser checks.
func TestDurationsAndSizesAreBounded(t *testing.T) {
	var c commandLine
	parser := cli.NewParser(&c, description, os.Stdout, os.Stderr, func(int) {})
	arguments := map[string][]string{"load": {"x"}, "infer": {"m"}, "keys": {"x"}, "replay": {"main.go"}, "chaos": {"kill", "worker"}}
	seen := 0
	for _, node := range parser.Model.Children {
		for _, flag := range node.Flags {
			of := flag.Target.Type()
			for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
				of = of.Elem()
			}
			absurd := []string{"-10000h", "10000h"}
			switch of {
			case reflect.TypeFor[time.Duration]():
				if flag.Tag.Get("from") != "0s" && flag.Tag.Get("from") != "-1h" {
					absurd = append(absurd, "1ns")
				}
			case reflect.TypeFor[cli.ByteSize]():
				absurd = []string{"1", "2000000000GiB"}
			default:
				continue
			}
			seen++
			for _, value := range absurd {
				_, err := parser.Parse(append(append([]string{node.Name}, arguments[node.Name]...), "--"+flag.Name+"="+value))
				if err == nil || !strings.Contains(err.Error(), "--"+flag.Name+": it is "+value+", and must be ") || !strings.Contains(err.Error(), "from "+strings.TrimPrefix(flag.Tag.Get("from"), "0 or ")) {
					t.Errorf("%s --%s=%s: %v", node.Name, flag.Name, value, err)
				}
			}
			if flag.Default != "" && flag.Default != "0" {
				if _, err := parser.Parse(append(append([]string{node.Name}, arguments[node.Name]...), "--"+flag.Name+"="+flag.Default)); err != nil {
					t.Errorf("%s: its own default: %v", node.Name, err)
				}
			}
		}
	}
	if seen < 40 {
		t.Errorf("%d durations and sizes", seen)
	}
}

// The bounds of flags are text in their tags; where the protocol has the bound, it is that one.
func TestBoundsOfFlagsAreTheProtocols(t *testing.T) {
	var c commandLine
	parser := cli.NewParser(&c, description, os.Stdout, os.Stderr, func(int) {})
	var least cli.ByteSize
	found := map[string]int{}
	for _, node := range parser.Model.Children {
		for _, flag := range node.Flags {
			from, to := flag.Tag.Get("from"), flag.Tag.Get("to")
			switch flag.Name {
			case "slo", "default-slo":
				if most, err := time.ParseDuration(to); err != nil || most > protocol.MaxSLO || most < protocol.MaxSLO && node.Name != "chaos" {
					t.Errorf("%s --%s is at most %s, an SLO %v", node.Name, flag.Name, to, protocol.MaxSLO)
				}
			case "max-payload":
				if err := least.UnmarshalText([]byte(from)); err != nil || least != protocol.MinMessage {
					t.Errorf("%s --%s is at least %s, a message %d", node.Name, flag.Name, from, protocol.MinMessage)
				}
			default:
				continue
			}
			found[flag.Name]++
		}
	}
	if found["slo"] < 3 || found["default-slo"] < 2 || found["max-payload"] < 2 {
		t.Errorf("found %v", found)
	}
}
