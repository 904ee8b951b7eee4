package lab

import (
	"os"
	"testing"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/testkit/command"
)

// invoke runs one of the laboratory's commands as a user does.
func invoke(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	run := func(args []string, stdout, stderr *os.File) int {
		var c struct {
			cli.Flags
			Bench   Bench   `cmd:""`
			Chaos   Chaos   `cmd:""`
			Demo    Demo    `cmd:""`
			Explain Explain `cmd:""`
			Replay  Replay  `cmd:""`
			Sim     Sim     `cmd:""`
		}
		return cli.Run(&c, &c.Flags, "", args, stdout, stderr)
	}
	return command.Invoke(t, run, args...)
}
