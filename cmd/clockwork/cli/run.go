package cli

import (
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

// Flags are the flags that every command has. Flags take precedence over CLOCKWORK_*
// variables.
type Flags struct {
	NATS   string `name:"nats" env:"CLOCKWORK_NATS,NATS_URL" default:"nats://127.0.0.1:4222" placeholder:"URL" help:"Where the broker is, by default nats://127.0.0.1:4222; up, demo and nats have their own."`
	Prefix string `default:"clockwork" help:"First token of all subjects; several stacks share a broker by it."`
	LogFlags
	CredentialFlags
	Version kong.VersionFlag `help:"Print the version and exit."`
	JSON    bool             `name:"json" help:"Print JSON for programs on the standard output; a failure is {\"error\": {...}} there, and still exit code 1 or 2."`
}

// Run runs the command that the arguments select, and returns the exit code. grammar is
// a struct for kong that contains f.
func Run(grammar any, f *Flags, description string, args []string, stdout, stderr *os.File) int {
	out, errs := &output{to: stdout}, &output{to: stderr}
	code := runTo(grammar, f, description, args, stdout, stderr, out, errs)
	if err := out.failure(); err != nil {
		fmt.Fprintf(errs, "clockwork: not all of the output could be written: %v\n", err)
		code = max(code, ExitFailed)
	}
	return code
}

// runTo is Run with the streams that out and errs write to.
func runTo(grammar any, f *Flags, description string, args []string, stdout, stderr *os.File, out, errs *output) int {
	exited := -1
	clearEmpty()
	parser := NewParser(grammar, description, out, errs, func(code int) { exited = code })
	parsed, err := parser.Parse(joinNegatives(helpAsFlag(args)))
	if exited >= 0 { // the help or the version was printed
		return exited
	}
	if out.failure() != nil { // the help could not be written, which is no wrong usage
		return ExitFailed
	}
	// Even after an error, the flags parsed so far say how to print it.
	out.json = f.JSON
	con := &Console{Out: out, Err: errs, JSON: f.JSON}
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return con.explain(wrongUsage(err))
	}
	con.TTY = term.IsTerminal(int(stdout.Fd())) && !f.JSON
	con.Display = terminal.OnFile(stdout)
	con.Screen = &Screen{Log: stderr, shared: con.TTY && term.IsTerminal(int(stderr.Fd()))}
	con.format = f.format(stderr)
	con.Log = con.LogAt(f.level(parsed.Command()))
	if err := parsed.Run(f, con); err != nil {
		return con.explain(err)
	}
	if err := con.Display.Done(); err != nil {
		fmt.Fprintf(errs, "clockwork: %v\n", err)
		return ExitFailed
	}
	return 0
}

// clearEmpty removes our variables that are set to nothing, as compose does with
// X: ${X:-}: they are as good as not set.
func clearEmpty() {
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" && (strings.HasPrefix(name, "CLOCKWORK_") || name == "NATS_URL" || name == "TRACEPARENT") {
			_ = os.Unsetenv(name) // the name is one that is set
		}
	}
}

// helpAsFlag turns help COMMAND into COMMAND --help.
func helpAsFlag(args []string) []string {
	if len(args) == 0 || args[0] != "help" {
		return args
	}
	return append(slices.Clone(args[1:]), "--help")
}

// NewParser returns a parser for a grammar.
func NewParser(grammar any, description string, stdout, stderr io.Writer, exit func(int)) *kong.Kong {
	parser, err := kong.New(grammar,
		kong.Name("clockwork"),
		kong.Description(description),
		kong.DefaultEnvars("CLOCKWORK"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(stdout, stderr),
		kong.Exit(exit),
		kong.KindMapper(reflect.Float64, kong.MapperFunc(finite)),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(span)),
		kong.TypeMapper(reflect.TypeFor[ByteSize](), kong.MapperFunc(size)),
		kong.ValueFormatter(helpText),
		kong.Vars{"version": VersionText()},
	)
	if err != nil {
		panic(err) // the grammar is wrong
	}
	return parser
}

// finite reads a number; NaN and infinity are none for any setting.
func finite(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("float", &text); err != nil {
		return err
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("expected a number such as 0.5, got %q", text)
	}
	target.SetFloat(f)
	return nil
}

// joinNegatives turns --slo -5ms into --slo=-5ms, so that a negative number is refused
// with its bound, and not as an unknown flag -5. No flag begins with a digit.
func joinNegatives(args []string) []string {
	var joined []string
	for _, arg := range args {
		last := len(joined) - 1
		negative := len(arg) > 1 && arg[0] == '-' && strings.ContainsRune(".0123456789", rune(arg[1]))
		if negative && last >= 0 && strings.HasPrefix(joined[last], "--") && !strings.Contains(joined[last], "=") {
			joined[last] += "=" + arg
			continue
		}
		joined = append(joined, arg)
	}
	return joined
}

// check refuses what the grammar cannot detect.
func (f *Flags) check() error {
	if err := protocol.CheckPrefix(f.Prefix); err != nil {
		return Usagef("--prefix: %v", err)
	}
	if err := bus.CheckAddresses(f.NATS); err != nil {
		return Usagef("--nats: %v", err)
	}
	return nil
}
