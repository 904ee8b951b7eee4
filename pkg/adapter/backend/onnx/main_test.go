//go:build linux && !static

package onnx

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// withoutONNX names the variable that lets tests go without ONNX Runtime.
const withoutONNX = "CLOCKWORK_TEST_NO_ONNX"

// checkCommand makes of this test binary a checker (Options.Checker). What
// follows it says how the checker behaves: as one should ("check"), or else.
const checkCommand = "check-model"

// executeCommand makes of this test binary an executor (Options.Executor).
const executeCommand = "execute-models"

// hangsBeside begins what an executor is called that never begins while a file is there.
const hangsBeside = "hangs beside "

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == checkCommand {
		os.Exit(checkMain(os.Args[2], os.Args[3:]))
	}
	if len(os.Args) == 3 && os.Args[1] == executeCommand {
		if err := ExecuteModels(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 4 && os.Args[1] == executeCommand && strings.HasPrefix(os.Args[2], hangsBeside) {
		if _, err := os.Stat(strings.TrimPrefix(os.Args[2], hangsBeside)); err == nil {
			time.Sleep(time.Hour)
		}
		fmt.Fprintln(os.Stderr, ExecuteModels(os.Args[3]))
		os.Exit(1)
	}
	if len(os.Args) == 4 && os.Args[1] == executeCommand {
		fmt.Fprintln(os.Stderr, lieMain(os.Args[3], os.Args[2]))
		os.Exit(1)
	}
	if len(os.Args) == 5 && os.Args[1] == workerCommand {
		fmt.Fprintln(os.Stderr, hangMain(os.Args[2], os.Args[3], os.Args[4]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func checkMain(behaviour string, args []string) int {
	if misbehave := misbehaviours[behaviour]; misbehave != nil {
		misbehave()
	}
	if len(args) != 3 {
		fmt.Fprintf(os.Stderr, "expected a library, a file and where to save, got %q\n", args)
		return 2
	}
	err := CheckModel(args[0], args[1], args[2])
	var refusal *protocol.Error
	switch {
	case errors.As(err, &refusal):
		fmt.Fprintln(os.Stderr, refusal) // as the command does
		return 1
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

// checker is the command line of a checker that behaves so.
func checker(t testing.TB, behaviour string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self, checkCommand, behaviour}
}

// executing is the command line of an executor.
func executing(t testing.TB) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self, executeCommand}
}
