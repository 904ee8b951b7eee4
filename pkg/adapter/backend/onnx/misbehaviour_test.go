//go:build linux && !static

package onnx

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// misbehaviours are what a checker may do that a hostile model has taken over.
var misbehaviours = map[string]func(){
	"crash": func() {
		_ = unix.Kill(os.Getpid(), unix.SIGSEGV)
		select {}
	},
	"hungry": func() {
		var taken [][]byte
		for {
			taken = append(taken, make([]byte, 1<<30))
			runtime.KeepAlive(taken)
		}
	},
	"loud": func() {
		for range 1000 {
			fmt.Fprint(os.Stderr, strings.Repeat("loud ", 1000))
			fmt.Print(strings.Repeat("loud ", 1000))
		}
		os.Exit(1)
	},
	"silent": func() { os.Exit(0) },
	"nonsense": func() {
		drain()
		_, _ = toGraph().WriteString("this is no graph")
		os.Exit(0)
	},
	"endless": func() {
		drain()
		for graph, zeros := toGraph(), make([]byte, 1<<20); ; {
			if _, err := graph.Write(zeros); err != nil {
				os.Exit(1)
			}
		}
	},
	"hang": func() {
		drain()
		time.Sleep(time.Hour)
	},
	"deaf": func() { time.Sleep(time.Hour) },
	"writes": func() {
		drain()
		signal.Reset(unix.SIGXFSZ)
		file, err := os.CreateTemp("", "written-by-a-checker-")
		if err == nil {
			_ = os.Remove(file.Name())
			_, err = file.WriteString("x")
		}
		fmt.Fprintln(os.Stderr, "SIGXFSZ or", err)
		os.Exit(1)
	},
	"forks": func() {
		drain()
		leave()
		fmt.Fprintln(os.Stderr, "left one")
		os.Exit(1)
	},
	"forks well": func() {
		drain()
		leave()
		os.Exit(0)
	},
	"tells": func() {
		drain()
		for name, resource := range map[string]int{"memory": unix.RLIMIT_AS, "cpu": unix.RLIMIT_CPU, "core": unix.RLIMIT_CORE, "file": unix.RLIMIT_FSIZE, "files": unix.RLIMIT_NOFILE} {
			var limit unix.Rlimit
			if err := unix.Getrlimit(resource, &limit); err != nil {
				panic(err)
			}
			fmt.Fprintf(os.Stderr, "%s=%d ", name, limit.Max)
		}
		for _, variable := range os.Environ() {
			if !strings.HasPrefix(variable, "LD_LIBRARY_PATH=") && variable != "GOTRACEBACK=none" {
				fmt.Fprint(os.Stderr, "it knows ", variable)
				break
			}
		}
		os.Exit(1)
	},
	"confined": func() {
		drain()
		if err := sandbox(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for what, do := range forbiddenToCheckers {
			if err := do(); !errors.Is(err, unix.EPERM) {
				fmt.Fprintf(os.Stderr, "it may %s: %v; ", what, err)
			}
		}
		fmt.Fprintln(os.Stderr, "that is all")
		os.Exit(1)
	},
}

// forbiddenToCheckers are tried by a confined process.
var forbiddenToCheckers = map[string]func() error{
	"start a program": func() error { return exec.Command("/proc/self/exe").Run() },
	"become another":  func() error { return unix.Exec("/proc/self/exe", nil, nil) },
	"open a socket": func() error {
		_, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		return err
	},
	"signal its parent":        func() error { return unix.Kill(os.Getppid(), 0) },
	"limit its parent":         func() error { return unix.Prlimit(os.Getppid(), unix.RLIMIT_CORE, nil, &unix.Rlimit{}) },
	"look into its parent":     func() error { return unix.PtraceAttach(os.Getppid()) },
	"leave its group":          func() error { return unix.Setpgid(0, 0) },
	"remove a file":            func() error { return unix.Unlink("/nowhere") },
	"make a folder":            func() error { return unix.Mkdir("/nowhere/at-all", 0o700) },
	"shorten a file":           func() error { return unix.Truncate("/nowhere", 0) },
	"get into another's space": func() error { return unix.Setns(0, 0) },
}

// drain reads the model, which comes after the limits.
func drain() { _, _ = io.Copy(io.Discard, os.Stdin) }

func toGraph() *os.File { return os.NewFile(3, "graph") }

// leave starts a process that holds what this one has open and never ends.
func leave() {
	cmd := exec.Command(os.Args[0], checkCommand, "deaf")
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdout, os.Stderr, []*os.File{toGraph()}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}
