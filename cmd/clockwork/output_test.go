package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"clockwork/cmd/clockwork/cli"
)

func TestVersionHelpAndZoo(t *testing.T) {
	for args, says := range map[string]string{
		"version": "go1", "--version": "go1", "version --json": `"platform"`, "help": "Usage: clockwork", "help infer": "Usage: clockwork infer",
		"zoo": "zoo/resnet50_v2", "zoo --json": `"path": "zoo/null_4k"`,
	} {
		code, stdout, stderr := invoke(t, strings.Fields(args)...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, says) {
			t.Errorf("%s: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
	if code, _, stderr := invoke(t, "help", "bogus"); code != 2 || !strings.Contains(stderr, "bogus") {
		t.Errorf("help bogus: exit code %d, %s", code, stderr)
	}
}

// A full disk is not silence: whoever reads the output has not got all of it.
func TestOutputThatCannotBeWrittenIsAFailure(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	stderr, err := os.Create(filepath.Join(t.TempDir(), "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	for _, args := range []string{"version", "--version", "version --json", "help", "--help", "infer --help", "zoo", "zoo --json", "keys " + t.TempDir(), "sim open --length 50ms", "ls --json --nats nats://127.0.0.1:1"} {
		if code := run(strings.Fields(args), full, stderr); code != 1 {
			t.Errorf("clockwork %s > /dev/full: exit code %d", args, code)
		}
	}
	text, err := os.ReadFile(stderr.Name())
	if err != nil || !strings.Contains(string(text), "no space left") || strings.Contains(string(text), "to see what it takes") {
		t.Errorf("stderr: %s, %v", text, err)
	}
}

func TestEmptyVariablesAreAsGoodAsNotSet(t *testing.T) {
	var c commandLine
	parser := cli.NewParser(&c, description, os.Stdout, os.Stderr, func(int) {})
	environment := []string{"PATH=" + os.Getenv("PATH"), "NATS_URL=", "TRACEPARENT="}
	for _, node := range parser.Model.Children {
		for _, flag := range append(node.Flags, parser.Model.Flags...) {
			for _, name := range flag.Envs {
				environment = append(environment, name+"=")
			}
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"ls --nats nats://127.0.0.1:1", "worker --gpus 0", "up --workers 0", "nats --listen x", "bench fixed --count 0"} {
		command := exec.Command(self, "-test.run", "^TestMainAsCommand$")
		command.Env = append(environment, "COMMAND_OF_TEST="+args)
		out, _ := command.CombinedOutput() // it fails, but not over a variable
		if strings.Contains(string(out), "from envar") || len(out) == 0 {
			t.Errorf("%s: %s", args, out)
		}
	}
}

// One environment is often shared by all processes of a stack: a variable that is not for a
// command does not concern it, whatever it holds.
func TestVariablesOfOtherCommandsBreakNone(t *testing.T) {
	var c commandLine
	parser := cli.NewParser(&c, description, os.Stdout, os.Stderr, func(int) {})
	variables := map[string]bool{}
	for _, node := range parser.Model.Children {
		for _, flag := range node.Flags {
			for _, name := range flag.Envs {
				variables[name] = true
			}
		}
	}
	arguments := map[string][]string{"load": {"x"}, "infer": {"m"}, "keys": {"x"}, "replay": {"main.go"}, "chaos": {"kill", "worker"}, "profiles": {"export", "x"}, "token": {"t", "f"}, "check-model": {"x", "x"}, "execute-models": {"x"}}
	for _, node := range parser.Model.Children {
		for name := range variables {
			t.Setenv(name, "\x01 no value of anything")
		}
		for _, flag := range append(node.Flags, parser.Model.Flags...) {
			for _, name := range flag.Envs {
				t.Setenv(name, "") // restored with the test
				_ = os.Unsetenv(name)
			}
		}
		if _, err := parser.Parse(append([]string{node.Name}, arguments[node.Name]...)); err != nil {
			t.Errorf("%s: %v", node.Name, err)
		}
	}
}

// The variable names the worker of a host, also where another service is asked.
func TestAWorkersNameDoesNotConcernOtherServices(t *testing.T) {
	t.Setenv("CLOCKWORK_NAME", "w7")
	for _, args := range []string{"healthcheck", "healthcheck --service scheduler", "healthcheck --service nats", "healthcheck --service worker"} {
		if code, _, stderr := invoke(t, append(strings.Fields(args), "--nats", "nats://127.0.0.1:1")...); code != 1 {
			t.Errorf("%s: exit code %d, %s", args, code, stderr)
		}
	}
	if code, _, stderr := invoke(t, "healthcheck", "--name", "w8"); code != 2 || !strings.Contains(stderr, "--service worker") {
		t.Errorf("with the flag: exit code %d, %s", code, stderr)
	}
}

// TestMainAsCommand is the command line, in a process whose environment a test has set.
func TestMainAsCommand(*testing.T) {
	if args := os.Getenv("COMMAND_OF_TEST"); args != "" {
		os.Exit(run(strings.Fields(args), os.Stdout, os.Stderr))
	}
}

// Names come from files and from others; no terminal may obey them.
func TestNoEscapeReachesATerminal(t *testing.T) {
	evil := "\x1b]0;owned\x07\x1b[2J\u009b31m\u202e\r"
	for _, args := range [][]string{{"load", evil}, {"infer", evil}, {"load", "x", "--nats", evil}, {evil}, {"replay", evil}, {"help", evil}, {"--json", "infer", evil}} {
		code, stdout, stderr := invoke(t, args...)
		if code == 0 || strings.ContainsAny(stdout+stderr, "\x1b\x07\u009b\u202e\r") {
			t.Errorf("%q: exit code %d, %q%q", args, code, stdout, stderr)
		}
		if args[0] == "--json" {
			var reply struct{ Error struct{ Message string } }
			if err := json.Unmarshal([]byte(stdout), &reply); err != nil || reply.Error.Message == "" {
				t.Errorf("%q: %v", stdout, err)
			}
		}
	}
}

// No setting takes what is no number.
func TestNumbersOfSettingsAreFinite(t *testing.T) {
	seen := 0
	var c commandLine
	parser := cli.NewParser(&c, description, os.Stdout, os.Stderr, func(int) {})
	for _, node := range parser.Model.Children {
		for _, flag := range node.Flags {
			if _, float := flag.Target.Interface().(float64); !float {
				continue
			}
			seen++
			for _, value := range []string{"NaN", "Inf", "-Inf", "nan", "1e999"} {
				parser, errs := cli.NewParser(&commandLine{}, description, os.Stdout, os.Stderr, func(int) {}), error(nil)
				if _, errs = parser.Parse(arguments(node, "--"+flag.Name+"="+value)); errs == nil {
					t.Errorf("%s --%s %s is accepted", node.Name, flag.Name, value)
				}
			}
		}
	}
	if seen < 8 {
		t.Errorf("%d flags: the test does not see them", seen)
	}
}

// arguments returns a command line with something for each positional argument.
func arguments(node *kong.Node, flag string) []string {
	args := []string{node.Name}
	for _, p := range node.Positional {
		if p.Required {
			args = append(args, "main.go")
		}
	}
	return append(args, flag)
}
