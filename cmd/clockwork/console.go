package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"

	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// console is where a command prints.
type console struct {
	out, err io.Writer
	// json: print the protocol's own structures, errors too.
	json bool
	// tty: out is a terminal on which bars may move.
	tty     bool
	display *terminal.Display
	screen  *screen
	log     *slog.Logger // to the screen
	format  logFormat
}

// logAt is a log of another level.
func (con *console) logAt(level slog.Level) *slog.Logger {
	return newLog(level, con.format, con.screen)
}

// usageError is a wrong flag or argument that the grammar cannot see.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// usagef says what is wrong with a flag or an argument.
func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// usage makes a usageError of any error.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err.Error()}
}

// coded is an error that programs know by a code of the protocol; a person
// reads its text alone.
type coded struct {
	code protocol.Code
	error
}

func (e coded) Unwrap() error { return e.error }

// withCode gives an error a code of the protocol.
func withCode(code protocol.Code, err error) error { return coded{code, err} }

// interrupted says so instead of what failed for it.
func interrupted(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return withCode(protocol.Cancelled, errors.New("interrupted"))
	}
	return err
}

// wrongUsage is what the parser found, with where to read on.
func wrongUsage(err error) error {
	command := "clockwork"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil {
			command += " " + node.Name
		}
	}
	return usagef("%s\nRun %s --help to see what it takes.", plainly.Replace(err.Error()), command)
}

// plainly takes out of the parser's words what helps nobody: "EOL" is its name
// for the end of the line, and -h is the only short flag, close to any other.
var plainly = strings.NewReplacer(` but got "EOL" (<EOL>)`, ", got nothing", `, did you mean "-h"?`, "", "value value", "value")

// errShown: what failed was printed already; only the exit code is left.
var errShown = errors.New("shown already")

// explain prints an error as its reader wants it, and returns the exit code.
func (con *console) explain(err error) int {
	code := exitFailed
	if errors.As(err, &usageError{}) {
		code = exitUsage
	}
	switch {
	case errors.Is(err, errShown):
	case con.json:
		_ = printJSON(con.out, map[string]*protocol.Error{"error": asRefusal(err, code)})
	default:
		con.explainToPerson(err)
	}
	return code
}

func (con *console) explainToPerson(err error) {
	var refused *protocol.Error
	if !errors.As(err, &refused) {
		fmt.Fprintf(con.err, "clockwork: %v\n", err)
		return
	}
	fmt.Fprintf(con.err, "%s: %s\n", refused.Code, refused.Message)
	for _, worker := range refused.Workers {
		fmt.Fprintf(con.err, "  %s: %s: %s\n", worker.Worker, worker.Code, worker.Message)
	}
	if hint := hints[refused.Code]; hint != "" {
		fmt.Fprintln(con.err, hint)
	}
}

// asRefusal gives every failure a code, since programs switch on it.
func asRefusal(err error, exit int) *protocol.Error {
	var refused *protocol.Error
	if errors.As(err, &refused) {
		return refused
	}
	code := protocol.Internal
	var known coded
	switch {
	case errors.As(err, &known):
		code = known.code
	case exit == exitUsage:
		code = protocol.BadMessage
	}
	return protocol.Errorf(code, "%s", err)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// connect reaches the stack that the flags name.
func (f *flags) connect(more ...nats.Option) (*client.Client, error) {
	options, err := f.options()
	if err != nil {
		return nil, err
	}
	stack, err := client.Connect(f.NATS, f.Prefix, append(options, more...)...)
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return nil, protocol.Errorf(protocol.StateUnavailable, "%v; say who you are with --nkey FILE", err)
	case err != nil:
		return nil, protocol.Errorf(protocol.StateUnavailable,
			"%v; start a stack with clockwork up, or say where its broker is with --nats", err)
	}
	return stack, nil
}

// interruptible ends with the first interrupt or termination, or when the
// terminal is closed.
func interruptible() (context.Context, context.CancelFunc) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	return signal.NotifyContext(context.Background(), signals...)
}

func validPrefix(prefix string) bool {
	for token := range strings.SplitSeq(prefix, ".") {
		if !protocol.ValidName(token) {
			return false
		}
	}
	return true
}

// show asks the stack one question and prints the answer, for a person or as
// JSON.
func show[T any](c *flags, con *console, ask func(*client.Client, context.Context) (*T, *protocol.Error), print func(*T) error) error {
	ctx, cancel := interruptible()
	defer cancel()
	stack, err := c.connect()
	if err != nil {
		return err
	}
	defer stack.Close()
	answer, refused := ask(stack, ctx)
	if refused != nil {
		return interrupted(ctx, refused)
	}
	if c.JSON {
		return printJSON(con.out, answer)
	}
	return print(answer)
}
