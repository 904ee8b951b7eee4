package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// A server's processes are those that descend from it, and those that left it but have its
// tag; no others.
func TestAFamilyIsWhatAServerStarted(t *testing.T) {
	tag := "test-" + t.Name() + time.Now().Format("150405.000000000")
	cmd := exec.Command("sh", "-c", "setsid sleep 60 & sleep 60")
	cmd.Env = append(os.Environ(), tagName+"="+tag)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	v := &server{cmd: cmd, tag: tag}
	defer v.stopFamily()
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	for len(v.family()) < 3 {
		time.Sleep(time.Millisecond)
	}
	family := v.family()
	if !slices.Contains(family, cmd.Process.Pid) || slices.Contains(family, other.Process.Pid) || slices.Contains(family, os.Getpid()) {
		t.Errorf("of %d: %v; another: %d", cmd.Process.Pid, family, other.Process.Pid)
	}
	if memory(family) <= 0 {
		t.Error("it has no memory")
	}
	v.stopFamily()
	if left := v.family(); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	if stat(other.Process.Pid) == nil {
		t.Error("another process was ended")
	}
}
