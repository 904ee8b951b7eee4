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

	bus "clockwork/pkg/adapter/nats"
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
	// TTY: Out is a terminal on which bars can be redrawn.
	TTY     bool
	Display *terminal.Display
	Screen  *Screen
	Log     *slog.Logger // to the screen
	format  logFormat
}

// LogAt returns a log with another level.
func (con *Console) LogAt(level slog.Level) *slog.Logger {
	return newLog(level, con.format, con.Screen)
}

// usageError is a wrong flag or argument that the grammar cannot detect.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// Usagef returns an error about a flag or an argument.
func Usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// Usage converts any error to a usageError.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err.Error()}
}

// coded is an error with a code of the protocol for programs; people see only its text.
type coded struct {
	code protocol.Code
	error
}

func (e coded) Unwrap() error { return e.error }

// WithCode adds a code of the protocol to an error.
func WithCode(code protocol.Code, err error) error { return coded{code, err} }

// Interrupted replaces an error that was caused by an interrupt with one that says so.
func Interrupted(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return WithCode(protocol.Cancelled, errors.New("interrupted"))
	}
	return err
}

// wrongUsage returns the parser's error, with a pointer to the command's help.
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

// plainly removes unhelpful parts of the parser's messages: "EOL" is its name for the
// end of the line, and -h is the only short flag and thus similar to any other.
var plainly = strings.NewReplacer(` but got "EOL" (<EOL>)`, ", got nothing", `, did you mean "-h"?`, "", "value value", "value")

// ErrShown: the failure has been printed already; only the exit code is left.
var ErrShown = errors.New("shown already")

// explain prints an error for people or as JSON, and returns the exit code.
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
	var refusal *protocol.Error
	if !errors.As(err, &refusal) {
		fmt.Fprintf(con.Err, "clockwork: %v\n", err)
		return
	}
	fmt.Fprintf(con.Err, "%s: %s\n", refusal.Code, refusal.Message)
	for _, worker := range refusal.Workers {
		fmt.Fprintf(con.Err, "  %s: %s: %s\n", worker.Worker, worker.Code, worker.Message)
	}
	if hint := hints[refusal.Code]; hint != "" {
		fmt.Fprintln(con.Err, hint)
	}
}

// AsRefusal gives every failure a code, since programs switch on it.
func AsRefusal(err error, exit int) *protocol.Error {
	var refusal *protocol.Error
	if errors.As(err, &refusal) {
		return refusal
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

// Denied returns what a connection that the broker denied means to who gave the flags, nil for
// any other error.
func (f *Flags) Denied(err error) error {
	switch {
	case !errors.Is(err, nats.ErrAuthorization):
		return nil
	case f.NKey == "":
		return protocol.Errorf(protocol.PermissionDenied, "%v; say who you are with --nkey FILE", err)
	}
	return protocol.Errorf(protocol.PermissionDenied, "%v; the broker does not know the key %s (--nkey)", err, f.NKey)
}

// Connect connects to the stack that the flags name.
func (f *Flags) Connect(more ...nats.Option) (*client.Client, error) {
	options, err := f.Options()
	if err != nil {
		return nil, err
	}
	stack, err := client.Connect(f.NATS, f.Prefix, append(options, more...)...)
	switch denied := f.Denied(err); {
	case denied != nil:
		return nil, denied
	case bus.IsAboutTLS(err):
		return nil, protocol.Errorf(protocol.StateUnavailable, "%v", err)
	case err != nil:
		return nil, protocol.Errorf(protocol.StateUnavailable,
			"%v; start a stack with clockwork up, or say where its broker is with --nats", err)
	}
	return stack, nil
}

// EndingSignals are those that ask a process to end: an interrupt, a termination signal,
// and that of a closed terminal.
func EndingSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// Interruptible returns a context that ends with the first interrupt or termination
// signal, or when the terminal is closed.
func Interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), EndingSignals()...)
	// A second signal has its default effect: it ends the process at once.
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// Show sends the stack one query and prints the answer, for people or as JSON.
func Show[T any](c *Flags, con *Console, ask func(*client.Client, context.Context) (*T, *protocol.Error), print func(*T) error) error {
	ctx, cancel := Interruptible()
	defer cancel()
	stack, err := c.Connect()
	if err != nil {
		return err
	}
	defer stack.Close()
	answer, refusal := ask(stack, ctx)
	if refusal != nil {
		return Interrupted(ctx, refusal)
	}
	if c.JSON {
		return PrintJSON(con.Out, answer)
	}
	return print(answer)
}
