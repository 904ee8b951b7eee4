// Command peers puts the same load on Clockwork and on other inference servers, on one
// machine and in turns, and writes what came out as tables. docs/peers.md says what is
// compared and how; settings.yaml how each server is set up. `make bench-peers` runs it.
//
//	peers [-dir DIR] [-write DOCUMENT] CLOCKWORK
//
// Requests are sent by package bench, as `clockwork bench` sends them, over lines that speak
// each server's protocol. The workloads are those of `clockwork sim peers-w1` to `peers-w6`.
// The environment shortens a run: PEERS_SECS (of each measurement), PEERS_SEEDS, PEERS_LOADS,
// and PEERS_ONLY, such as w1,w4:clockwork,triton. What was measured of the same binary, settings
// and length is not measured again.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"clockwork/integration/figures"
)

func main() {
	dir := flag.String("dir", "bin/peers", "virtual environments, models and results")
	source := flag.String("source", "integration/peers", "this directory, whose servers are started")
	write := flag.String("write", "", "document whose tables are replaced after a whole run")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: peers [-dir DIR] [-source DIR] [-write DOCUMENT] CLOCKWORK")
		os.Exit(2)
	}
	debug.SetGCPercent(400) // payloads are large and short-lived
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := compare(ctx, *dir, *source, flag.Arg(0), *write); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// compare runs the comparison of the environment, prints its tables, and writes them into the
// document if it was whole.
func compare(ctx context.Context, dir, source, clockwork, document string) error {
	c, err := prepare(dir, source, clockwork)
	if err != nil {
		return err
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	var servers []string
	for _, s := range c.settings {
		servers = append(servers, s.name)
	}
	text := tablesOf(c.results.Bare, c.results.all, servers)
	fmt.Print("\n", text)
	if document == "" || !c.whole() {
		return nil
	}
	return writeTables(document, text)
}

// prepare reads settings, environment and earlier results.
func prepare(dir, source, clockwork string) (*comparison, error) {
	c := &comparison{out: os.Stdout}
	var err error
	if c.place, err = absolute(dir, source, clockwork); err != nil {
		return nil, err
	}
	if c.settings, err = readSettings(settingsFile); err != nil {
		return nil, err
	}
	if c.choice, c.length, err = chosen(os.Getenv); err != nil {
		return nil, err
	}
	binary, err := sumOf(c.clockwork)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("results-%s-%s-%v.jsonl", binary, sumOfText(settingsFile), c.length)
	c.results, err = openResults(c.in(name), c.measureBare)
	return c, err
}

func absolute(dir, source, clockwork string) (place, error) {
	dir, err1 := filepath.Abs(dir)
	source, err2 := filepath.Abs(source)
	clockwork, err3 := filepath.Abs(clockwork)
	return place{dir, source, clockwork}, errors.Join(err1, err2, err3)
}

// fullLength and fullSeeds are a whole run's.
const fullLength = 10 * time.Second

var fullSeeds = []uint64{1, 2}

// chosen reads what of the comparison is run from the environment.
func chosen(env func(string) string) (c choice, length time.Duration, err error) {
	if c, err = parseOnly(env("PEERS_ONLY")); err != nil {
		return c, 0, err
	}
	if c.loads, err = numbers(env("PEERS_LOADS")); err != nil {
		return c, 0, fmt.Errorf("PEERS_LOADS: %w", err)
	}
	c.seeds, length = fullSeeds, fullLength
	if seeds, err := numbers(env("PEERS_SEEDS")); err != nil {
		return c, 0, fmt.Errorf("PEERS_SEEDS: %w", err)
	} else if len(seeds) > 0 {
		c.seeds = nil
		for _, s := range seeds {
			c.seeds = append(c.seeds, uint64(s))
		}
	}
	if seconds, err := numbers(env("PEERS_SECS")); err != nil || len(seconds) > 1 {
		return c, 0, errors.Join(fmt.Errorf("PEERS_SECS is no number of seconds"), err)
	} else if len(seconds) == 1 {
		length = time.Duration(seconds[0] * float64(time.Second))
	}
	return c, length, nil
}

// whole reports whether all was measured, for as long as the document's tables say.
func (c *comparison) whole() bool {
	return len(c.workloads)+len(c.servers)+len(c.loads) == 0 && len(c.seeds) >= len(fullSeeds) && c.length >= fullLength
}

// quiet is the load average of a machine that does nothing else.
const quiet = 1.0

// measureBare measures bare sessions of the networks.
func (c *comparison) measureBare() (capacity, error) {
	if busy := loadAverage(); busy > quiet {
		fmt.Fprintf(c.out, "the load average is %.1f: other work has the processors too, and what follows says little\n", busy)
	}
	fmt.Fprintln(c.out, "measuring bare sessions")
	cmd := exec.Command(c.python("models"), filepath.Join(c.source, "bare.py"))
	var names []string
	for i := range networks {
		names = append(names, model(i).Name)
	}
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(c.source, "servers"), "PEERS_MODELS="+c.in("models"), "PEERS_NAMES="+strings.Join(names, ","),
		"OMP_NUM_THREADS=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("measure bare sessions: %w", err)
	}
	var times map[string]map[string]float64
	if err := json.Unmarshal(out, &times); err != nil {
		return nil, fmt.Errorf("measure bare sessions: %w", err)
	}
	fmt.Fprintf(c.out, "%s", out)
	bare := capacity{}
	for _, n := range networks {
		if bare[n] = times[n]["1"]; bare[n] <= 0 {
			return nil, fmt.Errorf("measure bare sessions: no time of %s", n)
		}
	}
	return bare, nil
}

// These lines enclose the tables in a document.
const (
	begin = "<!-- beside other servers: make bench-peers writes what follows -->"
	end   = "<!-- beside other servers ends -->"
)

func writeTables(document, tables string) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	with, err := figures.Put(string(text), begin, end, tables)
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	if bytes.Equal(text, []byte(with)) {
		return nil
	}
	return os.WriteFile(document, []byte(with), 0o644)
}
