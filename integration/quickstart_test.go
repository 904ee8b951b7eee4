package integration

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// The commands of the quick starts, read from the pages that users read, as written and
// from a cold start: nothing is waited for between two commands. docker's commands are
// left out.

// A quickStart is sections of a page whose commands are typed one after the other.
type quickStart struct {
	page     string
	sections []string // each begins with this line, and ends at the next heading
}

func TestTheQuickStartsWorkAsWritten(t *testing.T) {
	t.Parallel() // with the other tests that wait most of the time
	for name, q := range map[string]quickStart{
		"readme":             {page: "../README.md", sections: []string{"## Five things to do next"}},
		"emulated":           {page: "../docs/using.md", sections: []string{"## Serve an emulated model"}},
		"model of your own":  {page: "../docs/using.md", sections: []string{"## Serve a model of your own"}},
		"each service alone": {page: "../docs/using.md", sections: []string{"## Each service alone", "## Serve an emulated model"}},
		"operations":         {page: "../docs/operations.md", sections: []string{"## Real models"}},
		"over HTTP":          {page: "../docs/gateway.md", sections: []string{"## Try it"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			commands := 0
			for _, section := range q.sections {
				for _, line := range documented(t, q.page, section) {
					commands++
					d.typed(line)
				}
			}
			if commands < 3 {
				t.Errorf("%d commands: the test does not see them", commands)
			}
		})
	}
}

func TestTheBannersCommandsWork(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	up := d.start("clockwork up")
	banner := regexp.MustCompile(`(?m)^  (clockwork .*)$`)
	var lines [][]string
	for end := time.Now().Add(patience); len(lines) < 3; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the banner has %d commands:\n%s", len(lines), up.text())
		}
		lines = banner.FindAllStringSubmatch(up.text(), -1)
	}
	for _, line := range lines {
		d.typed(line[1])
	}
}

// documented returns the command lines in the fences of a section, without comments and
// with continued lines joined.
func documented(t *testing.T, page, section string) []string {
	t.Helper()
	body, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(body), "\n"+section+"\n")
	if !found {
		t.Fatalf("%s has no section %q", page, section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var lines []string
	for i, fence := range strings.Split(text, "```") {
		language, code, _ := strings.Cut(fence, "\n")
		if i%2 == 0 || language != "" {
			continue // prose, or a program
		}
		if strings.HasPrefix(code, "$ ") {
			continue // a command with what it prints
		}
		for line := range strings.SplitSeq(strings.ReplaceAll(code, "\\\n", " "), "\n") {
			if line, _, _ = strings.Cut(line, " #"); strings.TrimSpace(line) != "" {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	return lines
}

// desk is where a user sits: a directory with bin/clockwork, and terminals.
type desk struct {
	t       *testing.T
	dir     string
	address string // of the broker
	http    string // of the gateway
	env     []string
	running bool
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, dir: t.TempDir(), address: address, http: freeAddress(t)}
	bin := filepath.Join(d.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(bin, "clockwork")); err != nil {
		t.Fatal(err)
	}
	d.env = append(os.Environ(), "NATS_URL=nats://"+address, "CLOCKWORK_LISTEN="+address, "CLOCKWORK_HTTP="+d.http, "CLOCKWORK_GRPC=127.0.0.1:0", "PATH="+bin+":"+os.Getenv("PATH"))
	return d
}

// staysOn matches commands that run until they are ended.
var staysOn = regexp.MustCompile(`^(?:\./bin/)?clockwork (?:up|nats|controller|frontdoor|gateway|profiler|scheduler|worker)\b`)

// typed does what a line of a page says.
func (d *desk) typed(line string) {
	d.t.Helper()
	line = strings.ReplaceAll(line, "127.0.0.1:4222", d.address)
	line = strings.ReplaceAll(line, "127.0.0.1:8000", d.http)
	switch {
	case line == "make build": // TestMain has built it
	case strings.HasPrefix(line, "docker "):
	case strings.HasPrefix(line, "nats sub "):
	case staysOn.MatchString(line):
		d.start(line)
	case strings.HasPrefix(line, "curl "):
		d.curl(line)
	case strings.HasPrefix(line, "nats req "):
		d.natsRequest(line)
	default:
		d.run(line)
	}
}

// terminal is a running command and what it printed.
type terminal struct {
	log  string
	done chan struct{}
}

func (w *terminal) text() string {
	body, _ := os.ReadFile(w.log) // the test fails on what it misses
	return string(body)
}

// start runs a service until the test ends.
func (d *desk) start(line string) *terminal {
	d.t.Helper()
	if !d.running && !strings.Contains(line, " up") && !strings.Contains(line, " nats") {
		d.t.Logf("%q is typed before a broker runs", line)
	}
	d.running = true
	log, err := os.CreateTemp(d.dir, "log-")
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	w := &terminal{log: log.Name(), done: make(chan struct{})}
	command := exec.Command("bash", "-c", "exec "+line)
	command.Dir, command.Env, command.Stdout, command.Stderr = d.dir, d.env, log, log
	if err := command.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		_ = command.Wait() // a service that fails is seen by the commands that need it
	}()
	d.t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-w.done:
		case <-time.After(patience):
			_ = command.Process.Kill()
		}
		if d.t.Failed() {
			d.t.Logf("--- %s\n%s", line, w.text())
		}
	})
	return w
}

// commandTime bounds one command: many wait until models are measured.
const commandTime = 3 * time.Minute

// tooSlow matches refusals of a machine that is too busy for the documented SLO: how
// fast it is decides nothing here.
var tooSlow = regexp.MustCompile(`DEADLINE_(?:UNMEETABLE|EXCEEDED)`)

// run runs a command to its end; it has to succeed. A broker that starts takes a moment,
// as it does for people.
func (d *desk) run(line string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	for {
		var out bytes.Buffer
		command := exec.CommandContext(ctx, "bash", "-c", line)
		command.Dir, command.Env, command.Stdout, command.Stderr = d.dir, d.env, &out, &out
		err := command.Run()
		switch {
		case err == nil:
			d.t.Logf("$ %s\n%s", line, out.String())
			return
		case ctx.Err() != nil:
		case d.starting(out.String()), tooSlow.MatchString(out.String()):
			time.Sleep(100 * time.Millisecond)
			continue
		}
		d.t.Fatalf("%s: %v\n%s", line, err, out.String())
	}
}

// starting reports whether a command failed because nobody had started yet: people take
// longer to reach another terminal.
func (d *desk) starting(out string) bool {
	return d.running && (strings.Contains(out, "no servers available") || strings.Contains(out, "is the controller running?") ||
		strings.Contains(out, "no worker"))
}

// natsRequest sends what `nats req SUBJECT 'BODY'` sends.
func (d *desk) natsRequest(line string) {
	d.t.Helper()
	words := strings.SplitN(line, " ", 4)
	body := strings.Trim(words[3], "'")
	nc, err := nats.Connect("nats://"+d.address, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		d.t.Fatal(err)
	}
	defer nc.Close()
	for end := time.Now().Add(commandTime); ; time.Sleep(100 * time.Millisecond) {
		m, err := nc.Request(words[2], []byte(body), natsWait)
		if err == nil && m.Header.Get(protocol.ErrorCodeHeader) == "" {
			d.t.Logf("$ %s\n%.200s", line, m.Data)
			return
		}
		said := fmt.Sprint(err)
		if err == nil {
			said = string(m.Data)
		}
		if time.Now().After(end) || !tooSlow.MatchString(said) && err != nats.ErrNoResponders {
			d.t.Fatalf("%s: %s", line, said)
		}
	}
}

// curl sends what `curl [-d 'BODY'] URL` sends: not every machine has curl.
func (d *desk) curl(line string) {
	d.t.Helper()
	body, method := "", http.MethodGet
	if _, rest, posts := strings.Cut(line, " -d '"); posts {
		body, _, _ = strings.Cut(rest, "'")
		method = http.MethodPost
	}
	words := strings.Fields(line)
	for end := time.Now().Add(commandTime); ; time.Sleep(100 * time.Millisecond) {
		status, _, said := overHTTP(d.t, method, words[len(words)-1], []byte(body))
		if status == http.StatusOK {
			d.t.Logf("$ %s\n%.200s", line, said)
			return
		}
		if time.Now().After(end) || !tooSlow.Match(said) && !bytes.Contains(said, []byte("serves nothing yet")) {
			d.t.Fatalf("%s: %d %s", line, status, said)
		}
	}
}

// natsWait is how long nats req waits unless it is told otherwise.
const natsWait = 5 * time.Second
