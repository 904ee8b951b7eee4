package cli

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
	ExitFailed = 1
	exitUsage  = 2
)

// Console is where a command prints.
type Console struct {
	Out, Err io.Writer
	// JSON: print the protocol's own structures, errors too.
	JSON bool
	// TTY: out is a terminal on which bars may move.
	TTY     bool
	Display *terminal.Display
	Screen  *Screen
	Log     *slog.Logger // to the screen
	format  logFormat
}

// LogAt is a log of another level.
func (con *Console) LogAt(level slog.Level) *slog.Logger {
	return newLog(level, con.format, con.Screen)
}

// usageError is a wrong flag or argument that the grammar cannot see.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// Usagef says what is wrong with a flag or an argument.
func Usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// Usage makes a usageError of any error.
func Usage(err error) error {
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

// WithCode gives an error a code of the protocol.
func WithCode(code protocol.Code, err error) error { return coded{code, err} }

// Interrupted says so instead of what failed for it.
func Interrupted(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return WithCode(protocol.Cancelled, errors.New("interrupted"))
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
	return Usagef("%s\nRun %s --help to see what it takes.", plainly.Replace(err.Error()), command)
}

// plainly takes out of the parser's words what helps nobody: "EOL" is its name
// for the end of the line, and -h is the only short flag, close to any other.
var plainly = strings.NewReplacer(` but got "EOL" (<EOL>)`, ", got nothing", `, did you mean "-h"?`, "", "value value", "value")

// ErrShown: what failed was printed already; only the exit code is left.
var ErrShown = errors.New("shown already")

// explain prints an error as its reader wants it, and returns the exit code.
func (con *Console) explain(err error) int {
	code := ExitFailed
	if errors.As(err, &usageError{}) {
		code = exitUsage
	}
	switch {
	case errors.Is(err, ErrShown):
	case con.JSON:
		_ = PrintJSON(con.Out, map[string]*protocol.Error{"error": AsRefusal(err, code)})
	default:
		con.explainToPerson(err)
	}
	return code
}

func (con *Console) explainToPerson(err error) {
	var refused *protocol.Error
	if !errors.As(err, &refused) {
		fmt.Fprintf(con.Err, "clockwork: %v\n", err)
		return
	}
	fmt.Fprintf(con.Err, "%s: %s\n", refused.Code, refused.Message)
	for _, worker := range refused.Workers {
		fmt.Fprintf(con.Err, "  %s: %s: %s\n", worker.Worker, worker.Code, worker.Message)
	}
	if hint := hints[refused.Code]; hint != "" {
		fmt.Fprintln(con.Err, hint)
	}
}

// AsRefusal gives every failure a code, since programs switch on it.
func AsRefusal(err error, exit int) *protocol.Error {
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

func PrintJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// Connect reaches the stack that the flags name.
func (f *Flags) Connect(more ...nats.Option) (*client.Client, error) {
	options, err := f.Options()
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

// Interruptible ends with the first interrupt or termination, or when the
// terminal is closed.
func Interruptible() (context.Context, context.CancelFunc) {
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

// Show asks the stack one question and prints the answer, for a person or as
// JSON.
func Show[T any](c *Flags, con *Console, ask func(*client.Client, context.Context) (*T, *protocol.Error), print func(*T) error) error {
	ctx, cancel := Interruptible()
	defer cancel()
	stack, err := c.Connect()
	if err != nil {
		return err
	}
	defer stack.Close()
	answer, refused := ask(stack, ctx)
	if refused != nil {
		return Interrupted(ctx, refused)
	}
	if c.JSON {
		return PrintJSON(con.Out, answer)
	}
	return print(answer)
}
